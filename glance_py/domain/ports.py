"""The interfaces between the rooms.

``ImageVerbs`` is what a controller calls and what every proxy layer stands in
front of; ``ImageRecords`` is what the innermost layer needs from the DAL,
whether that is SQL or the registry.  ``ctx`` is always the caller
(:class:`glance_py.context.RequestContext`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

from glance_py.domain.cached_image import CachedImage
from glance_py.domain.change import Change
from glance_py.domain.claim import Claim
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import ImportRequest
from glance_py.domain.member import Member
from glance_py.domain.metadef import (
    D,
    Kind,
    Listing,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    ResourceType,
)
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.registration import Registration
from glance_py.domain.task import Task, TaskQuery


@dataclasses.dataclass(slots=True)
class Upload:
    """Data on its way in.

    source
        Chunks of bytes, read once and never held.
    size
        How many bytes were announced, None when unknown.
    store
        The id of the store that was asked for, None for the default.
    filters
        Stream filters that layers hang in front of the store, outermost first
        (see ``streams.py``).
    progress
        Called with the name of a step and the image after the step has really
        been made: "saving", "prepare", "upload", "activate", "active".
    failed
        Called with one sentence when the data could not be stored.
    claim
        The room that the project must have when the data begins to come.
    """

    source: Iterable[bytes]
    size: int | None = None
    store: str | None = None
    filters: tuple = ()
    progress: Callable[[str, Image], None] = lambda step, image: None
    failed: Callable[[str], None] = lambda reason: None
    claim: Claim | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Download:
    """Which bytes are wanted: ``start`` inclusive, ``stop`` exclusive or None

    for the end; ``prefer`` names stores in the order they should be tried.
    """

    start: int = 0
    stop: int | None = None
    prefer: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class Data:
    """Bytes on their way out.

    ``chunks`` yields exactly ``length`` bytes or raises; ``close`` must be
    called.  ``file`` is an open file positioned at the first byte when the
    store has one and nobody needs to look at the bytes: then the server may
    send it without reading it.
    """

    chunks: Iterator[bytes]
    length: int
    file: BinaryIO | None = None
    close: Callable[[], None] = lambda: None


#: The image as it is at this moment and what shall change in it; held until that is recorded.
Settle = Callable[[], AbstractContextManager[tuple[Image, Change]]]


class ImageVerbs(Protocol):
    """What can be asked of images.  Every verb may raise errors.ImageNotFound."""

    def get(self, ctx, image_id: str) -> Image:
        """The image, for one who wants to look at it."""

    def find(self, ctx, image_id: str) -> Image:
        """The image, for one who will ask another verb of it.

        Only visibility is judged: what the policy says follows from the verb.
        """

    def list(self, ctx, query: ImageQuery) -> Page: ...

    def create(self, ctx, image: Image) -> Image: ...

    def update(self, ctx, image: Image, change: Change) -> Image: ...

    def delete(self, ctx, image: Image) -> None: ...

    def upload(self, ctx, image: Image, upload: Upload) -> Image: ...

    def stage(self, ctx, image: Image, upload: Upload) -> Image: ...

    def download(self, ctx, image: Image, wanted: Download) -> Data | None:
        """None: the image has no data (yet)."""

    def transition(self, ctx, image: Image, to: str) -> Image:
        """Deactivate or reactivate: ``to`` is deactivated or active."""

    def import_(self, ctx, image: Image, request: ImportRequest) -> None:
        """Have data brought into stores, in the background; returns when that is certain."""

    def register(self, ctx, image: Image, registration: Registration) -> None:
        """Have data that lies in a store become the image's; returns when that is certain."""

    def locate(self, ctx, image: Image) -> Sequence[Location]:
        """Where the data of the image lies."""

    def withdraw(self, ctx, image: Image, store: str) -> Image:
        """Remove the copy of the data in one store."""

    def add_copy(self, ctx, image: Image, upload: Upload, settle: Settle) -> Image:
        """One more copy of the data of an image that is being imported, in one store.

        ``settle`` is entered when the bytes are in the store and says which
        image they are of by then, and what changes together with its
        locations.  Only the import asks for this verb: what a caller may is
        decided before.
        """

    def remove_copy(self, ctx, image: Image, location: Location, change: Change) -> Image:
        """Take back what :meth:`add_copy` did; ``change`` is applied at the same time."""


#: The verbs on which callers are judged, and those of what does the work.
IMAGE_VERBS = ("get", "find", "list", "create", "update", "delete", "upload", "stage", "download",
               "transition", "import_", "register", "locate", "withdraw")
WORK_VERBS = (*IMAGE_VERBS[:-4], "add_copy", "remove_copy")


class MemberVerbs(Protocol):
    """What can be asked of the members of an image."""

    def list(self, ctx, image: Image) -> Sequence[Member]: ...

    def get(self, ctx, image: Image, member_id: str) -> Member: ...

    def create(self, ctx, image: Image, member_id: str) -> Member: ...

    def update(self, ctx, image: Image, member: Member, status: str) -> Member: ...

    def delete(self, ctx, image: Image, member: Member) -> None: ...


MEMBER_VERBS = ("list", "get", "create", "update", "delete")


class NamespaceVerbs(Protocol):
    """What can be asked of metadata namespaces; the DAL for them has the same verbs.

    ``get``, ``find``, ``update`` and ``delete`` may raise errors.NamespaceNotFound, and
    ``create`` and ``update`` errors.Duplicate.
    """

    def get(self, ctx, name: str) -> Namespace:
        """The namespace and everything in it, for one who wants to look at it."""

    def find(self, ctx, name: str) -> Namespace:
        """The namespace alone, for one who will ask something else about it."""

    def list(self, ctx, query: NamespaceQuery) -> NamespacePage: ...

    def create(self, ctx, namespace: Namespace) -> Namespace:
        """Record a namespace and its contents, whole or not at all."""

    def update(self, ctx, namespace: Namespace, after: Namespace) -> Namespace:
        """Replace what ``namespace`` says of itself, its name included; not its contents."""

    def delete(self, ctx, namespace: Namespace) -> None: ...

    def resource_types(self, ctx) -> Sequence[ResourceType]: ...


NAMESPACE_VERBS = ("get", "find", "list", "create", "update", "delete", "resource_types")


class DefinitionVerbs(Protocol):
    """What can be asked of one kind of things in a namespace; the DAL has the same verbs.

    All of them may raise errors.NamespaceNotFound; ``get``, ``update`` and
    ``delete`` errors.DefinitionNotFound; those that write errors.Duplicate.
    """

    def list(self, ctx, namespace: Namespace, kind: type[D],
             listing: Listing | None = None) -> Sequence[D]: ...

    def get(self, ctx, namespace: Namespace, kind: type[D], name: str) -> D: ...

    def create(self, ctx, namespace: Namespace, definition: D) -> D: ...

    def create_all(self, ctx, namespace: Namespace, kind: type[D],
                   definitions: Sequence[D], append: bool) -> Sequence[D]:
        """Record several at once, beside those that are there or instead of them."""

    def update(self, ctx, namespace: Namespace, name: str, after: D) -> D: ...

    def delete(self, ctx, namespace: Namespace, kind: type[D], name: str) -> D:
        """Remove one and return what it was."""

    def clear(self, ctx, namespace: Namespace, kind: Kind) -> None:
        """Remove all of this kind."""


DEFINITION_VERBS = ("list", "get", "create", "create_all", "update", "delete", "clear")


class ImageRecords(Protocol):
    """The DAL for images.

    ``get`` raises ImageNotFound for an id that is unknown or deleted and fills
    ``Image.member``; it does not judge visibility.  ``list`` judges it, in the
    query.  ``create`` raises Duplicate for an id that was ever used.
    ``update`` applies a change atomically and returns the image as it is then;
    it raises ImageNotFound when the image is gone and StatusConflict when
    ``change.expected`` does not hold.  Both raise QuotaExceeded when there is
    less room than the claim asks for.  ``delete`` marks the image and what
    belongs to it deleted (status "deleted", or "pending_delete") and raises
    StatusConflict when the image is no longer in one of the ``expected`` states.
    """

    def get(self, ctx, image_id: str) -> Image: ...

    def list(self, ctx, query: ImageQuery) -> Page: ...

    def create(self, ctx, image: Image, claim: Claim | None = None) -> Image: ...

    def update(self, ctx, image: Image, change: Change) -> Image: ...

    def delete(self, ctx, image: Image, status: str = "deleted") -> None: ...

    def heartbeat(self, image_id: str, status: str) -> bool:
        """Set updated_at to now while the image is in ``status``; False when it is not."""

    def stalled(self, status: str, seconds: float, limit: int = 100,
                unfinished: bool = False) -> Sequence[str]:
        """Ids of images in ``status`` whose updated_at is older than ``seconds``.

        ``unfinished`` leaves out those whose size is known.
        """


class MemberRecords(Protocol):
    """The DAL for members.

    ``find`` returns the members of an image, all or the one named; ``create``
    raises Duplicate; ``update`` and ``delete`` raise MemberNotFound.
    """

    def find(self, ctx, image_id: str, member_id: str | None = None) -> Sequence[Member]: ...

    def create(self, ctx, image_id: str, member_id: str) -> Member: ...

    def update(self, ctx, member: Member, status: str) -> Member: ...

    def delete(self, ctx, member: Member) -> None: ...


class UsageRecords(Protocol):
    """What a project occupies, for quotas.  Sizes in bytes.

    Whatever is decided by these numbers alone may be wrong a moment later; a
    :class:`~glance_py.domain.claim.Claim` is not.
    """

    def storage(self, owner: str | None, without: str | None = None) -> int:
        """Bytes of all copies of the owner's images, those that are coming included.

        :param without: an image to leave out.
        """

    def staging(self, owner: str | None) -> int:
        """Bytes of images that are uploading, importing or being copied."""

    def images(self, owner: str | None) -> int:
        """How many images the owner has."""

    def uploading(self, owner: str | None) -> int:
        """How many images are saving, uploading, importing or being copied."""


class CachedImageRecords(Protocol):
    """Which node has which images in its cache.  Sizes in bytes, nodes by number."""

    def node(self, url: str) -> int:
        """The number of the node with this URL; a new one is recorded."""

    def add(self, node: int, image_id: str, size: int) -> None:
        """A node has an image; what was known of it is forgotten."""

    def hit(self, node: int, image_id: str, size: int) -> None:
        """An image was read on a node; one that is not known there is entered."""

    def remove(self, node: int, image_id: str) -> None:
        """A node does not have an image, or not any more."""

    def entries(self, node: int) -> Sequence[CachedImage]:
        """What a node has, in the order in which it came."""

    def nodes(self, image_id: str) -> list[str]:
        """The URLs of the nodes that have an image."""

    def adopt(self, node: int, images: Iterable[CachedImage]) -> None:
        """Enter what a node knew of its images before; images that are known stay."""


class TaskVerbs(Protocol):
    """What can be asked of tasks."""

    def list(self, ctx, query: TaskQuery) -> Sequence[Task]: ...

    def get(self, ctx, task_id: str) -> Task: ...

    def create(self, ctx, task: Task) -> Task: ...

    def of_image(self, ctx, image: Image) -> Sequence[Task]:
        """The tasks about an image that the caller may see."""

    def start(self, task: Task) -> Task:
        """Work begins.  This and what follows raise TaskFinished for a task that was lost."""

    def tell(self, task: Task, message: str) -> Task:
        """Work goes on, and this is how far it is."""

    def succeed(self, task: Task, result: Mapping, message: str) -> Task: ...

    def fail(self, task: Task, message: str) -> Task: ...

    def ran(self, task: Task) -> None:
        """Nobody works on the task any more, as it was when it was handed over."""


#: The verbs on which callers are judged, and those of who works.
TASK_VERBS = ("list", "get", "create", "of_image")
TASK_WORK_VERBS = (*TASK_VERBS, "start", "tell", "succeed", "fail", "ran")


class TaskRecords(Protocol):
    """The DAL for tasks.

    ``get`` raises TaskNotFound.  ``update`` changes an unfinished task, sets
    its updated_at and raises TaskFinished when there is no such task any more.
    ``expire`` forgets tasks whose expires_at has passed.  ``stalled`` finds
    unfinished tasks whose updated_at is older than ``seconds``.
    """

    def create(self, task: Task) -> Task: ...

    def get(self, task_id: str) -> Task: ...

    def list(self, query: TaskQuery, owner: str | None = None) -> Sequence[Task]: ...

    def of_image(self, image_id: str) -> Sequence[Task]: ...

    def update(self, task: Task, **fields: Any) -> Task: ...

    def expire(self) -> int: ...

    def stalled(self, seconds: float, limit: int = 100) -> Sequence[str]: ...


class LockRecords(Protocol):
    """Which task imports into an image: at most one, whatever workers do at the same time."""

    def acquire(self, image_id: str, task_id: str) -> bool:
        """False when another task holds the image."""

    def release(self, image_id: str, task_id: str) -> bool:
        """False when this task does not hold it."""

    def holder(self, image_id: str) -> str | None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class PendingData:
    """Bytes that are to be removed: of which image, in which state that is, and where."""

    image_id: str
    image_status: str
    location: Location


class PendingRecords(Protocol):
    """The DAL for data that is to be removed: nothing is forgotten before it is gone.

    ``restore`` raises ImageNotFound when there is no such deleted image.
    """

    def find(self, seconds: float, after: int = 0, limit: int = 100,
             stray: bool = False) -> Sequence[PendingData]:
        """What has been waiting for ``seconds``, from row ``after`` on.

        ``stray``: only what belongs to no image that waits for the scrubber.
        """

    def forget(self, locations: Collection[Location]) -> None:
        """The data at these locations is gone."""

    def take_back(self, locations: Collection[Location]) -> None:
        """The data at these locations stays after all."""

    def finish(self, image_id: str) -> bool:
        """Call an image deleted when nothing of it is left; False when something is."""

    def restore(self, image_id: str, status: str, was: str = "pending_delete") -> None:
        """Undo the deletion of an image, which left it in state ``was``."""

    def is_shared(self, image_id: str, url: str) -> bool:
        """Does another image have its data at this address?"""

    def are_images(self, ids: Collection[str]) -> bool:
        """Is one of these the id of an image whose data may be there?"""


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """The whole DAL, as one thing to pass around."""

    images: ImageRecords
    members: MemberRecords
    tasks: TaskRecords
    locks: LockRecords
    usage: UsageRecords
    namespaces: NamespaceVerbs
    definitions: DefinitionVerbs
    cached_images: CachedImageRecords
    pending: PendingRecords
    #: Answers the database's health: raises errors.GlanceError when it is away.
    ping: Callable[[], None]
