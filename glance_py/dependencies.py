"""The objects that exist once in a process and that layers and background work share."""

from __future__ import annotations

import dataclasses

from oslo_config import cfg

from glance_py.claims import Claims
from glance_py.domain.ports import Repositories
from glance_py.importing.task_executor import TaskExecutor
from glance_py.layers.property_rules import PropertyProtections
from glance_py.limits import UnifiedLimits
from glance_py.notifications.notifier import Notifier
from glance_py.policies.enforcer import Enforcer
from glance_py.safe_http import UriFilter
from glance_py.settings import Settings
from glance_store_py.stores import Stores


@dataclasses.dataclass(frozen=True, slots=True)
class Dependencies:
    """What layers are built from; made once per process by ``app.build_dependencies``.

    ``conf`` is for code that hands a ConfigOpts to a library; everything else reads
    ``settings``.  ``protections`` is None without a property protection file, ``limits`` None
    without Keystone's unified limits.
    """

    conf: cfg.ConfigOpts
    settings: Settings
    repositories: Repositories
    stores: Stores
    enforcer: Enforcer
    notifier: Notifier
    claims: Claims
    uri_filter: UriFilter
    task_executor: TaskExecutor
    protections: PropertyProtections | None = None
    limits: UnifiedLimits | None = None
