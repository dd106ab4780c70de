"""Tables of checks: what a layer does about each operation of its port, and nothing left out.

A layer that decides what callers may do derives from :class:`CheckedLayer` and has a table with
one :class:`Check` for every operation of its port.  A class whose table lacks an operation, or
names one that does not exist, cannot be defined.  So an operation that is added to a port is
refused by the import of the layer, instead of passing unchecked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

#: An operation as a method of a layer: (layer, ctx, arguments ...) -> answer of the inner layer.
Method = Callable[..., object]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """What a layer does about one operation.

    rules
        The policy rules that it may ask, for layers of the policy.
    """

    rules: tuple[str, ...] = ()

    def method(self, operation: str) -> Method:
        """The method that checks and then calls the inner layer.

        :param operation: the name of the operation.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, slots=True)
class Unchecked(Check):
    """The layer passes the operation on; ``reason`` says why that is right."""

    reason: str = dataclasses.field(default="", kw_only=True)


@dataclasses.dataclass(frozen=True, slots=True)
class OwnMethod(Check):
    """The class of the layer has a method of this name, which checks by itself."""


class CheckedLayer:
    """A layer with a table of checks; to be named before the base class of its port.

    The methods of the table are added to the class when it is defined.  ``checks`` stands in
    the class itself: a table is not inherited.
    """

    operations: ClassVar[tuple[str, ...]]
    checks: ClassVar[Mapping[str, Check]]

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        checks = vars(cls).get("checks")
        if checks is None:
            raise TypeError(f"{cls.__name__} has no table 'checks'.")
        _verify_table(cls, checks)
        for operation, check in checks.items():
            if not isinstance(check, Unchecked | OwnMethod):
                method = check.method(operation)
                method.__name__ = operation
                method.__qualname__ = f"{cls.__qualname__}.{operation}"
                setattr(cls, operation, method)


def _verify_table(cls: type[CheckedLayer], checks: Mapping[str, Check]) -> None:
    """:raises TypeError: the table and the class do not fit together."""
    for name in cls.operations:
        if name not in checks:
            raise TypeError(f"{cls.__name__}.checks has no entry for the operation {name!r}.")
    for name, check in checks.items():
        if name not in cls.operations:
            raise TypeError(f"{cls.__name__}.checks: there is no operation {name!r}.")
        if isinstance(check, Unchecked) and not check.reason:
            raise TypeError(f"{cls.__name__}.checks[{name!r}] must give a reason.")
        if isinstance(check, OwnMethod) != (name in vars(cls)):
            raise TypeError(
                f"{cls.__name__}.{name} must be a method of the class exactly if its entry in "
                "'checks' is OwnMethod."
            )
