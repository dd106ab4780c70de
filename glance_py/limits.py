"""How much a project may use: Keystone's unified limits, and sizes in options.

Limits are kept by Keystone and asked for through oslo.limit at each check, so
that a changed limit counts at once; usage is what the database says.  What is
checked when is decided by the quota layer and the import.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from glance_py.domain import errors
from glance_py.domain.ports import Records, UsageRecords

LOG = logging.getLogger(__name__)

MIB = 1024 ** 2

#: Resource -> what a project uses of it, in the unit of its limit (MiB, or a number).
RESOURCES: Mapping[str, Callable[[UsageRecords, str | None], int]] = {
    "image_size_total": lambda usage, owner: usage.storage(owner) // MIB,
    "image_stage_total": lambda usage, owner: usage.staging(owner) // MIB,
    "image_count_total": lambda usage, owner: usage.images(owner),
    "image_count_uploading": lambda usage, owner: usage.uploading(owner),
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
        raise ValueError(f"[DEFAULT] user_storage_quota: {text!r} is not a size; give a number "
                         "and B, KB, MB, GB or TB.")
    number, unit = match.groups()
    return int(number) * 1024 ** (" KMGT".index(unit) if unit else 0)


class Limits:
    """Unified limits for the caller's project; exists when ``use_keystone_limits`` is set.

    oslo.limit reads ``[oslo_limit]`` from the process-wide ``cfg.CONF``.

    :raises ValueError: the library is not installed.
    """

    def __init__(self, records: Records) -> None:
        if importlib.util.find_spec("oslo_limit") is None:
            raise ValueError("[DEFAULT] use_keystone_limits is set, but oslo.limit is not "
                             "installed; it comes with glance-py[limits].")
        self._usage = records.usage
        self._lock = threading.Lock()
        self._made: Any = None

    def check(self, ctx, deltas: Mapping[str, int]) -> None:
        """Is there room for ``deltas``: resource -> how much more of it?

        :raises errors.QuotaExceeded: a limit would be exceeded.
        :raises errors.GlanceError: the limits cannot be asked for.
        """
        from oslo_limit import exception
        enforcer = self._enforcer()
        try:
            enforcer.enforce(ctx.project_id or None, dict(deltas))
        except exception.ProjectOverLimit as error:
            raise errors.QuotaExceeded("; ".join(
                f"The limit of {one.resource_name} is {one.limit}, {one.current_usage} are used "
                f"and {one.delta} more were asked for" for one in error.over_limit_info_list
            )) from None
        except Exception as error:
            raise self._unusable(error) from error

    def usage(self, ctx) -> dict[str, dict[str, int]]:
        """Usage and limit of every resource, for ``GET /v2/info/usage``.

        :raises errors.GlanceError: the limits cannot be asked for.
        """
        enforcer = self._enforcer()
        try:
            found = enforcer.calculate_usage(ctx.project_id or None, list(RESOURCES))
        except Exception as error:
            raise self._unusable(error) from error
        return {name: {"usage": one.usage, "limit": one.limit} for name, one in found.items()}

    def _count(self, project_id: str | None, names: Collection[str]) -> dict[str, int]:
        return {name: RESOURCES[name](self._usage, project_id) for name in names}

    def _enforcer(self):
        with self._lock:
            if self._made is None:
                from oslo_limit import limit
                try:
                    self._made = limit.Enforcer(self._count, cache=False)
                except Exception as error:
                    raise self._unusable(error) from error
            return self._made

    @staticmethod
    def _unusable(error: Exception) -> errors.GlanceError:
        LOG.error("Unified limits cannot be used: %s: %s", type(error).__name__, error)
        return errors.GlanceError("The limits of the project are not known at the moment.")
