"""What all proxy layers share: a inner layer, and operations bound straight to it.

A layer overrides the operations that it has an opinion on.  For the others the
method of the inner layer is bound to the layer itself when it is built, so that
passing through a layer without an opinion costs nothing.
"""

from __future__ import annotations

from typing import Any


class Proxy:
    """A layer in front of ``inner``; subclasses say which ``operations`` exist."""

    operations: tuple[str, ...] = ()
    inner: Any

    @classmethod
    def is_enabled(cls, deps: Any) -> bool:
        """Is this layer switched on?"""
        return True

    @classmethod
    def build(cls, inner: Any, deps: Any) -> Any:
        """This layer in front of ``inner``, or ``inner`` itself when it is switched off."""
        return cls(inner, deps) if cls.is_enabled(deps) else inner

    def __init__(self, inner: Any, deps: Any = None) -> None:
        self.inner = inner
        for operation in self.operations:
            if not hasattr(type(self), operation):
                setattr(self, operation, getattr(inner, operation))

    @classmethod
    def overrides(cls) -> tuple[str, ...]:
        """The operations on which this layer has an opinion, for ``glance-manage layers``."""
        return tuple(operation for operation in cls.operations if hasattr(cls, operation))
