"""What the factories of a paste file are given besides the options of their section.

Paste calls a factory with strings.  The loader of this service (``pipeline.py``) calls a factory
that is marked with :func:`needs_dependencies` with a :class:`FactoryDependencies` before them.
Why: decision record 10.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar
from wsgiref.types import WSGIApplication

if TYPE_CHECKING:
    from oslo_config import cfg

    from glance_py.cache.image_cache import ImageCache
    from glance_py.domain.ports import ImageOperations
    from glance_py.middleware.probe import Probe
    from glance_py.notifications.notifier import Notifier
    from glance_py.policies.enforcer import Enforcer
    from glance_py.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

#: What a filter factory of Paste returns: puts a filter in front of an application.
Filter = Callable[[WSGIApplication], WSGIApplication]

#: A requirement of a part of the pipeline: the server listens on loopback addresses only.
LOOPBACK_ONLY = "loopback"

_MARK = "needs_dependencies"


class StoreHealth(Protocol):
    """The stores, as far as the health check asks them."""

    @property
    def default(self) -> str:
        """The id of the default store; "" where the only store has no name."""

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all stores."""

    def health_check(self, store_id: str) -> None:
        """Return when a store answers.

        :raises Exception: it does not.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class CacheDependencies:
    """What the filters of the image cache work with.

    :param images: the operations as the controllers call them.
    :param cache: the image cache of this host.
    :param notifier: sends the notification ``image.send`` for a hit.
    """

    images: ImageOperations
    cache: ImageCache
    notifier: Notifier


@dataclasses.dataclass(frozen=True, slots=True)
class FactoryDependencies:
    """What a process has built before its pipeline, and what the pipeline adds for the process.

    :param conf: a ConfigOpts that has read its files, for the filters of other libraries.
    :param settings: the same options as typed values, for the filters of this service.
    :param application: what ends the pipeline: the v2 API, or the registry.
    :param ping: raises when the database does not answer or has another schema.
    :param cache: None when this host has no image cache.
    :param stores: None in a registry.
    :param staging_free_bytes: how many bytes are free in the staging area; None in a registry.
    :param server_requirements: filled by factories, for example with LOOPBACK_ONLY.
    :param checks: filled by factories: name of a thing that the service needs -> a function that
        raises when the thing does not work.
    :param probes: filled by the backends of the health check: all that they look at.
    """

    conf: cfg.ConfigOpts
    settings: Settings
    enforcer: Enforcer
    application: WSGIApplication
    ping: Callable[[], object]
    cache: CacheDependencies | None = None
    stores: StoreHealth | None = None
    staging_free_bytes: Callable[[], int] | None = None
    server_requirements: set[str] = dataclasses.field(default_factory=set)
    checks: dict[str, Callable[[], object]] = dataclasses.field(default_factory=dict)
    probes: list[Probe] = dataclasses.field(default_factory=list)


def needs_dependencies(factory: Callable[P, R]) -> Callable[P, R]:
    """Mark a Paste factory that takes a FactoryDependencies before the arguments of Paste.

    The marked factory raises RuntimeError when it is called without one: by a Paste loader other
    than that of this service.
    """

    @functools.wraps(factory)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        if not any(isinstance(arg, FactoryDependencies) for arg in args):
            raise RuntimeError(
                "The factories of this pipeline work only while glance_py.app builds the service; "
                "run glance_py.wsgi.api:application instead of loading the paste file directly."
            )
        return factory(*args, **options)

    setattr(checked, _MARK, True)
    return checked


def bind(factory: Callable[..., R], deps: FactoryDependencies) -> Callable[..., R]:
    """The factory as Paste calls it: with ``deps`` in front if it is marked, else unchanged."""
    return functools.partial(factory, deps) if getattr(factory, _MARK, False) else factory
