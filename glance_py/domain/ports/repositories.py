"""The whole DAL, as one thing to pass around."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from glance_py.domain.claim import ClaimRepository
from glance_py.domain.ports.cached_image import CachedImageRepository
from glance_py.domain.ports.image import ImageRepository
from glance_py.domain.ports.member import MemberRepository
from glance_py.domain.ports.metadef import DefinitionOperations, NamespaceOperations
from glance_py.domain.ports.pending import PendingRepository
from glance_py.domain.ports.task import TaskRepository
from glance_py.domain.ports.usage import UsageRepository


@dataclasses.dataclass(frozen=True, slots=True)
class Repositories:
    """The whole DAL, as one thing to pass around."""

    images: ImageRepository
    members: MemberRepository
    tasks: TaskRepository
    claims: ClaimRepository
    usage: UsageRepository
    namespaces: NamespaceOperations
    definitions: DefinitionOperations
    cached_images: CachedImageRepository
    pending: PendingRepository
    #: Answers the database's health: raises errors.GlanceError when it is away.
    ping: Callable[[], None]
    #: ``once(key, run)``: does the writes of ``run`` once for a key of at most 64 characters and
    #: returns what it returned then, whichever process is asked.  None where that cannot be done.
    once: Callable[[str, Callable[[], bytes]], bytes] | None = None
    #: The same records by way of a connection of its own that gives up within seconds; for one
    #: thread.  None where there is no other way.
    for_heartbeats: Callable[[], Repositories] | None = None
