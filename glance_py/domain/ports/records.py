"""The whole DAL, as one thing to pass around."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from glance_py.domain.claim import ClaimRecords
from glance_py.domain.ports.cached_image import CachedImageRecords
from glance_py.domain.ports.image import ImageRecords
from glance_py.domain.ports.member import MemberRecords
from glance_py.domain.ports.metadef import DefinitionVerbs, NamespaceVerbs
from glance_py.domain.ports.pending import PendingRecords
from glance_py.domain.ports.task import TaskRecords
from glance_py.domain.ports.usage import UsageRecords


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """The whole DAL, as one thing to pass around."""

    images: ImageRecords
    members: MemberRecords
    tasks: TaskRecords
    claims: ClaimRecords
    usage: UsageRecords
    namespaces: NamespaceVerbs
    definitions: DefinitionVerbs
    cached_images: CachedImageRecords
    pending: PendingRecords
    #: Answers the database's health: raises errors.GlanceError when it is away.
    ping: Callable[[], None]
    #: ``once(key, run)``: does the writes of ``run`` once for a key of at most 64 characters and
    #: returns what it returned then, whichever process is asked.  None where that cannot be done.
    once: Callable[[str, Callable[[], bytes]], bytes] | None = None
    #: The same records by way of a connection of its own that gives up within seconds; for one
    #: thread.  None where there is no other way.
    for_heartbeats: Callable[[], Records] | None = None
