"""What the factories of a paste file need, handed over while a pipeline is built.

Paste calls factories with nothing but strings.  The composition root leaves
what it has built here for the moment of loading; no factory reads it later and
no request ever does.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

#: The server must listen on this machine's own addresses only.
LOOPBACK_ONLY = "loopback"


@dataclasses.dataclass(frozen=True, slots=True)
class FactoryDependencies:
    """``conf`` a ready ConfigOpts, ``enforcer`` the policy enforcer, ``api`` the v2 WSGI app.

    ``images`` are the operations as the controllers call them, ``cache`` is the image
    cache, None when this node has none, and ``notifier`` the way out for messages.
    ``ping`` raises when the database is away or not ready, ``stores`` are the named stores, and
    ``staging_free_bytes`` tells how many bytes are free for data that waits for its import.
    ``checks`` are further looks at what the service needs, by name, which filters leave here for
    the health check; each raises when something is wrong.  ``probes`` is what the health check
    looks at, all of it.
    """

    conf: Any
    enforcer: Any
    api: Any
    images: Any
    cache: Any
    notifier: Any
    ping: Any = None
    stores: Any = None
    staging_free_bytes: Any = None
    #: What parts of the pipeline demand of the server, for example LOOPBACK_ONLY.
    server_requirements: set[str] = dataclasses.field(default_factory=set)
    checks: dict[str, Callable[[], None]] = dataclasses.field(default_factory=dict)
    probes: list[Any] = dataclasses.field(default_factory=list)


_current: contextvars.ContextVar[FactoryDependencies] = contextvars.ContextVar("factory_deps")


@contextlib.contextmanager
def providing(deps: FactoryDependencies) -> Iterator[None]:
    """Let factories that are called inside see ``deps``."""
    token = _current.set(deps)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> FactoryDependencies:
    """The composition whose pipeline is being built.

    :raises RuntimeError: a factory was called from somewhere else.
    """
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError(
            "The factories of this pipeline work only while glance_py.app builds the service; "
            "run glance_py.wsgi.api:application instead of loading the paste file directly."
        ) from None
