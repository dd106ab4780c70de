"""How much a project may have: Keystone's unified limits, and sizes in options.

Limits are kept by Keystone and asked for through oslo.limit; usage is what the
database says.  A limit is remembered for a moment, but nobody is refused by one
that was not just asked for: a raised limit counts at once.  What is checked when
is decided by the quota layer and the import.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.ports import Repositories, UsageRepository
from glance_store_py.breaker import CircuitBreaker, CircuitOpen

LOG = logging.getLogger(__name__)

MIB = 1024**2

#: Seconds for which the limits of a project are remembered at least, so that those who come at
#: the same time ask once, and seconds for the limits of all projects.
MIN_CACHE_TTL = 0.05
REGISTERED_LIMITS_TTL = 30.0

#: Seconds that Keystone may take for an answer, unless [oslo_limit] timeout says otherwise.
TIMEOUT = 5
_LIMITS_UNKNOWN = "The limits of the project are not known at the moment; try again later."

#: Resource of Keystone -> resource of a claim, and its unit in bytes or images.
RESOURCES: Mapping[str, tuple[str, int]] = {
    "image_size_total": ("storage", MIB),
    "image_stage_total": ("staging", MIB),
    "image_count_total": ("images", 1),
    "image_count_uploading": ("uploading", 1),
}

_USAGE_QUERIES: Mapping[str, Callable[[UsageRepository, str | None], int]] = {
    "storage": lambda usage, owner: usage.storage(owner),
    "staging": lambda usage, owner: usage.staging(owner),
    "images": lambda usage, owner: usage.images(owner),
    "uploading": lambda usage, owner: usage.uploading(owner),
}

_SIZE = re.compile(r"(\d+)(?:([KMGT]?)B)?\Z")


def storage_quota(conf) -> int:
    """Bytes that a project may store by ``user_storage_quota``; 0 is no quota.

    A number with an optional unit, B, KB, MB, GB or TB, in steps of 1024.

    :raises ValueError: the option says something else.
    """
    text = conf.user_storage_quota
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(
            f"[DEFAULT] user_storage_quota: {text!r} is not a size; give a number "
            "and B, KB, MB, GB or TB."
        )
    number, unit = match.groups()
    return int(number) * 1024 ** (" KMGT".index(unit) if unit else 0)


class UnifiedLimits:
    """Unified limits; exists when ``use_keystone_limits`` is set.  Safe in threads.

    oslo.limit reads ``[oslo_limit]`` from the process-wide ``cfg.CONF``.

    :param cache_ttl: seconds for which the limits of a project are remembered; a
        lowered limit may count that much later.
    :raises ValueError: the library is not installed.
    """

    def __init__(self, repositories: Repositories, cache_ttl: float = 0.0) -> None:
        if importlib.util.find_spec("oslo_limit") is None:
            raise ValueError(
                "[DEFAULT] use_keystone_limits is set, but oslo.limit is not "
                "installed; it comes with glance-py[limits]."
            )
        self._usage = repositories.usage
        self._cache = _LimitCache(max(cache_ttl, MIN_CACHE_TTL))

    def check(self, project: str | None, deltas: Mapping[str, int]) -> dict[str, int]:
        """Is there room for ``deltas``, and what are the limits?

        :param project: who is charged.
        :param deltas: resource -> how much more of it, in bytes or images; 0 asks
            whether there is too much already.
        :returns: what a claim calls ``most``: by its own names, in bytes or images;
            without what is unlimited.
        :raises errors.QuotaExceeded: a limit would be exceeded.
        :raises errors.IdentityUnavailable: the limits cannot be asked for.
        """
        limits = self._cache.limits(project)
        exceeded = self._exceeded_limits(project, deltas, limits)
        if exceeded:
            limits = self._cache.limits(project, refresh=True)
            exceeded = self._exceeded_limits(project, deltas, limits)
        if exceeded:
            raise errors.QuotaExceeded("; ".join(exceeded))
        return {
            RESOURCES[name][0]: limits[name] * RESOURCES[name][1]
            for name in deltas
            if limits[name] >= 0
        }

    def _exceeded_limits(
        self, project: str | None, deltas: Mapping[str, int], limits: Mapping[str, int]
    ) -> list[str]:
        """A sentence for each limit that there is no inner layer."""
        exceeded = []
        for name, delta in deltas.items():
            resource, unit = RESOURCES[name]
            if limits[name] < 0:
                continue
            used = _USAGE_QUERIES[resource](self._usage, project)
            if used + delta > limits[name] * unit:
                exceeded.append(
                    f"The limit of {name} is {limits[name]}, {used // unit} are used and "
                    f"{-(-delta // unit)} more were asked for"
                )
        return exceeded

    def usage(self, ctx: Caller) -> dict[str, dict[str, int]]:
        """Usage and limit of every resource, for ``GET /v2/info/usage``, in its units.

        :raises errors.IdentityUnavailable: the limits cannot be asked for.
        """
        limits = self._cache.limits(ctx.project_id or None)
        return {
            name: {
                "usage": _USAGE_QUERIES[resource](self._usage, ctx.project_id) // unit,
                "limit": limits[name],
            }
            for name, (resource, unit) in RESOURCES.items()
        }


class _LimitCache:
    """What Keystone said, for a moment.  Limits by resource of Keystone."""

    def __init__(self, cache_ttl: float) -> None:
        self._ttl = cache_ttl
        self._lock = threading.Lock()
        self._library_enforcer: Any = None
        self._entries: dict[str | None, tuple[float, dict[str, int]]] = {}
        self._breaker = CircuitBreaker(no_answer=(Exception,))
        # Those who miss the same limits at the same time ask once.
        self._fetch_locks = [threading.Lock() for _ in range(16)]

    def limits(self, project: str | None, refresh: bool = False) -> Mapping[str, int]:
        """The limits of a project; 0 for a resource that Keystone does not know."""
        now = time.monotonic()
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
        if project is None or entry is None or refresh or time.monotonic() >= entry[0]:
            defaults = dict.fromkeys(RESOURCES, 0) | dict(enforcer.get_registered_limits(None))
            self._store_entry(None, defaults, REGISTERED_LIMITS_TTL)
        else:
            defaults = entry[1]
        if project is None:
            return defaults
        return defaults | dict(enforcer.get_project_limits(project, None))

    def _store_entry(self, project: str | None, limits: dict[str, int], seconds: float) -> None:
        if len(self._entries) > 1000:
            self._entries = {None: self._entries[None]}
        self._entries[project] = (time.monotonic() + seconds, limits)

    def _get_library_enforcer(self):
        with self._lock:
            if self._library_enforcer is None:
                from oslo_limit import limit

                # The library registers its options when it is imported, and waits for ever.
                limit.CONF.set_default("timeout", TIMEOUT, group="oslo_limit")
                # It is asked for limits only; who counts what is not its business.
                self._library_enforcer = limit.Enforcer(lambda project, names: {}, cache=False)
            return self._library_enforcer
