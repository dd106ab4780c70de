"""Counts Python calls and SQL statements: effort that no busy machine can falsify.

A call is the start of a Python function, by whoever's code it is.  Nothing is
measured in seconds here.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import gc
import importlib.metadata
import sys
from collections.abc import Callable
from types import CodeType, FrameType

import sqlalchemy as sa

OWN = frozenset({"glance_py", "glance_store_py"})

#: Functions of their own until Python 3.12 wrote them into the one around them (PEP 709).
_INLINED = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})

#: A rare turn, such as a look at the clock that falls due, must not count.
_REPEATS = 3


@dataclasses.dataclass(frozen=True)
class RequestCost:
    """What one request costs.

    own
        Calls of the service's own functions, by name.
    libraries
        Calls in everybody else's code, by package; "python" is the standard library.
    statements
        The SQL statements that were sent, BEGIN and COMMIT included.
    """

    own: dict[str, int]
    libraries: dict[str, int]
    statements: list[str]

    @property
    def calls(self) -> int:
        return sum(self.own.values()) + sum(self.libraries.values())


def measure_cost(request: Callable[[], Callable[[], None]]) -> RequestCost:
    """The effort of what ``request()`` makes ready, once everything is warm.

    ``request`` is called several times; its own effort does not count.
    """
    request()()
    return min((_count_calls(request()) for _ in range(_REPEATS)), key=lambda each: each.calls)


def _count_calls(action: Callable[[], None]) -> RequestCost:
    calls_by_code: collections.Counter[CodeType] = collections.Counter()
    modules: dict[CodeType, str] = {}
    statements: list[str] = []

    def on_profile_event(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            calls_by_code[frame.f_code] += 1
            modules.setdefault(frame.f_code, frame.f_globals.get("__name__") or "")

    def on_statement(_connection, _cursor, statement: str, *_rest: object) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", on_statement)
    gc.disable()
    sys.setprofile(on_profile_event)
    try:
        action()
    finally:
        sys.setprofile(None)
        gc.enable()
        sa.event.remove(sa.Engine, "before_cursor_execute", on_statement)
    own: collections.Counter[str] = collections.Counter()
    libraries: collections.Counter[str] = collections.Counter()
    for code, number in calls_by_code.items():
        package = modules[code].partition(".")[0]
        if package == __name__.partition(".")[0] or code.co_name in _INLINED:
            continue
        if package in OWN:
            own[f"{modules[code]}:{code.co_qualname}"] += number
        else:
            libraries["python" if _is_standard(package) else package] += number
    return RequestCost(dict(own), dict(libraries), statements)


def _is_standard(package: str) -> bool:
    return package in sys.stdlib_module_names or package.startswith("namedtuple_")


@functools.cache
def version(package: str) -> str:
    """The installed version of a package, as far as its calls may depend on it."""
    if package == "python":
        return "{}.{}".format(*sys.version_info)
    names = importlib.metadata.packages_distributions().get(package)
    return ".".join(importlib.metadata.version(names[0]).split(".")[:2]) if names else ""
