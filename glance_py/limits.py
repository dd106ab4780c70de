"""Unified limits: how much Keystone lets a project have.

Limits are kept by Keystone and read through oslo.limit; usage is counted by the database.  Limits
are cached, but a request is refused only by a limit that was just read, so that a raised limit
counts at once.  The quota layer and the import decide which limit is checked when.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.ports import Repositories, UsageRepository
from glance_py.domain.quota import RESOURCES, QuotaResource
from glance_store_py.breaker import CircuitBreaker, CircuitOpen

if TYPE_CHECKING:
    from oslo_limit.limit import Enforcer as LimitEnforcer

LOG = logging.getLogger(__name__)

#: The shortest time in seconds for which the limits of a project are cached, so that concurrent
#: requests read them once.
MIN_CACHE_TTL = 0.05
#: Seconds for which the limits of projects without limits of their own are cached.
REGISTERED_LIMITS_TTL = 30.0
#: The most projects whose limits are cached.
_MAX_ENTRIES = 1000

#: Seconds that Keystone may take for an answer, unless [oslo_limit] timeout says otherwise.
TIMEOUT = 5
#: The names of limits to read: None reads all, which the annotations of the library lack.
_ALL: Any = None
_LIMITS_UNKNOWN = "The limits of the project are not known at the moment; try again later."

#: Name of a limit in Keystone -> resource.
UNIFIED_LIMITS: Mapping[str, QuotaResource] = {
    resource.unified_limit: resource for resource in RESOURCES.values()
}


def count_used(usage: UsageRepository, resource: QuotaResource, owner: str | None) -> int:
    """What a project uses of a resource, in bytes or images."""
    count: Callable[[str | None], int] = getattr(usage, resource.name)
    return count(owner)


class UnifiedLimits:
    """Unified limits; exists when ``use_keystone_limits`` is set.  Safe in threads.

    oslo.limit reads ``[oslo_limit]`` from the process-wide ``cfg.CONF``.

    :param cache_ttl: seconds for which the limits of a project are cached; a lowered limit may
        count that much later.
    :param clock: returns seconds of a monotonic clock.
    :raises ValueError: oslo.limit is not installed.
    """

    def __init__(
        self,
        repositories: Repositories,
        cache_ttl: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if importlib.util.find_spec("oslo_limit") is None:
            raise ValueError(
                "[DEFAULT] use_keystone_limits is set, but oslo.limit is not "
                "installed; it comes with glance-py[limits]."
            )
        self._usage = repositories.usage
        self._cache = _LimitCache(max(cache_ttl, MIN_CACHE_TTL), clock)

    def check(self, project: str | None, deltas: Mapping[str, int]) -> dict[str, int]:
        """Compare usage and limits of a project.

        :param project: the project that the usage is charged to.
        :param deltas: name of a limit in Keystone to how much more will be used, in bytes or
            images; 0 checks that the limit is not exceeded already.
        :returns: the limits that there are, as ``QuotaReservation.limits`` has them: by the name
            of the resource, in bytes or images.
        :raises errors.QuotaExceeded: a limit would be exceeded.
        :raises errors.IdentityUnavailable: Keystone does not answer.
        """
        limits = self._cache.limits(project)
        exceeded = self._exceeded_limits(project, deltas, limits)
        if exceeded:
            limits = self._cache.limits(project, refresh=True)
            exceeded = self._exceeded_limits(project, deltas, limits)
        if exceeded:
            raise errors.QuotaExceeded("; ".join(exceeded))
        return {
            UNIFIED_LIMITS[name].name: limits[name] * UNIFIED_LIMITS[name].unit
            for name in deltas
            if limits[name] >= 0
        }

    def _exceeded_limits(
        self, project: str | None, deltas: Mapping[str, int], limits: Mapping[str, int]
    ) -> list[str]:
        """A sentence for each limit that would be exceeded."""
        exceeded = []
        for name, delta in deltas.items():
            resource = UNIFIED_LIMITS[name]
            unit = resource.unit
            if limits[name] < 0:
                continue
            used = count_used(self._usage, resource, project)
            if used + delta > limits[name] * unit:
                exceeded.append(
                    f"The limit of {name} is {limits[name]}, {used // unit} are used and "
                    f"{-(-delta // unit)} more were asked for"
                )
        return exceeded

    def usage(self, ctx: Caller) -> dict[str, dict[str, int]]:
        """Usage and limit by name of the limit, in its units, for ``GET /v2/info/usage``.

        :raises errors.IdentityUnavailable: Keystone does not answer.
        """
        limits = self._cache.limits(ctx.project_id or None)
        return {
            name: {
                "usage": count_used(self._usage, resource, ctx.project_id) // resource.unit,
                "limit": limits[name],
            }
            for name, resource in UNIFIED_LIMITS.items()
        }


class _LimitCache:
    """The limits that Keystone answered, by project and name of the limit."""

    def __init__(self, cache_ttl: float, clock: Callable[[], float]) -> None:
        self._ttl = cache_ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._library_enforcer: LimitEnforcer | None = None
        #: Project (None: the registered limits) -> when the entry expires, and the limits.
        self._entries: dict[str | None, tuple[float, dict[str, int]]] = {}
        self._breaker = CircuitBreaker(no_answer=(Exception,), clock=clock)
        # Requests that need the same limits at the same time read them once.
        self._fetch_locks = [threading.Lock() for _ in range(16)]

    def limits(self, project: str | None, refresh: bool = False) -> Mapping[str, int]:
        """The limits of a project; 0 for a resource that Keystone does not know.

        :param refresh: read them, even if they are cached.
        :raises errors.IdentityUnavailable: Keystone does not answer.
        """
        now = self._clock()
        with self._fetch_locks[hash(project) % len(self._fetch_locks)]:
            entry = self._entries.get(project)
            if entry is not None and now < entry[0] and not refresh:
                return entry[1]
            try:
                limits = self._breaker.call(lambda: self._fetch(project, refresh))
            except CircuitOpen:
                raise errors.IdentityUnavailable(_LIMITS_UNKNOWN) from None
            except Exception as error:
                LOG.error("Unified limits cannot be used: %s: %s", type(error).__name__, error)
                raise errors.IdentityUnavailable(_LIMITS_UNKNOWN) from error
            self._store_entry(project, limits, self._ttl)
            return limits

    def _fetch(self, project: str | None, refresh: bool) -> dict[str, int]:
        enforcer = self._get_library_enforcer()
        entry = self._entries.get(None)
        if project is None or entry is None or refresh or self._clock() >= entry[0]:
            defaults = dict.fromkeys(UNIFIED_LIMITS, 0) | dict(enforcer.get_registered_limits(_ALL))
            self._store_entry(None, defaults, REGISTERED_LIMITS_TTL)
        else:
            defaults = entry[1]
        if project is None:
            return defaults
        return defaults | dict(enforcer.get_project_limits(project, _ALL))

    def _store_entry(self, project: str | None, limits: dict[str, int], seconds: float) -> None:
        if len(self._entries) > _MAX_ENTRIES:
            self._entries = {None: self._entries[None]}
        self._entries[project] = (self._clock() + seconds, limits)

    def _get_library_enforcer(self) -> LimitEnforcer:
        with self._lock:
            if self._library_enforcer is None:
                from oslo_limit import limit

                # The library registers its options when it is imported, without a timeout.
                limit.CONF.set_default("timeout", TIMEOUT, group="oslo_limit")
                # It reads limits only; usage is counted here.
                self._library_enforcer = limit.Enforcer(lambda project, names: {}, cache=False)
            return self._library_enforcer
