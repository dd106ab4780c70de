"""The state of one import while it runs: the image, its stores and the copies made so far.

Threads that write to stores at the same time share a job; what they change is guarded by its
lock.  The order of the steps is in ``flow``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from glance_py.claims import Claim
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, ImageStatus, Location
from glance_py.domain.importing import (
    FAILED_STORES,
    GLANCE_DIRECT,
    PENDING_STORES,
    ImportRequest,
    join_stores,
    stores_in,
)
from glance_py.domain.ports import (
    InternalImageOperations,
    Repositories,
    Upload,
    UploadAttempt,
)
from glance_py.heartbeat import Clock
from glance_py.importing.staging import StagingArea
from glance_py.importing.task_executor import RunningTask
from glance_py.layers.store_errors import translate_store_errors
from glance_py.safe_http import Fetcher, UriFilter
from glance_py.settings import ImportSettings, TaskSettings
from glance_py.streams import Chunk, StreamFilter
from glance_store_py.driver import ObjectData
from glance_store_py.stores import Stores

if TYPE_CHECKING:
    from glance_py.importing.rollback import ImportRollback

MIB = 1024**2

#: The states of an image to which an import may still write.
_WRITABLE = frozenset({ImageStatus.IMPORTING, ImageStatus.ACTIVE, ImageStatus.DEACTIVATED})


@dataclasses.dataclass(frozen=True, slots=True)
class ImportDependencies:
    """What all imports of a process share.

    ``images`` are the internal operations: the caller's rights were checked before the import
    began.  ``image_size_cap`` is in bytes.
    """

    imports: ImportSettings
    tasks: TaskSettings
    image_size_cap: int
    images: InternalImageOperations
    repositories: Repositories
    stores: Stores
    staging: StagingArea
    uri_filter: UriFilter
    fetcher: Fetcher
    rollback: ImportRollback
    clock: Clock


class ImportJob:
    """The import of one image.

    :param stores: the ids of the stores to write to; [None] for the only store of a service
        without named stores.

    ``copied`` has the location that was made in a store, ``failed`` the error for which a store
    got none.
    """

    def __init__(
        self,
        deps: ImportDependencies,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        stores: Sequence[str | None],
        running_task: RunningTask,
        claim: Claim,
    ) -> None:
        self.deps = deps
        self.claim = claim
        #: The name of the data in the staging store.
        self.staged_name = (
            claim.staged_name if request.method_name == GLANCE_DIRECT else claim.object_name
        )
        self.ctx = ctx
        self.image = image
        self.request = request
        self.stores = tuple(stores)
        self.running_task = running_task
        self.copied: dict[str | None, Location] = {}
        self.failed: dict[str | None, BaseException] = {}
        self._lock = threading.Lock()
        running_task.get_cancel_reason = self._find_cancel_reason

    def _find_cancel_reason(self) -> str | None:
        """The reason for which the import must stop, None when it may go on."""
        if self.claim.is_lost:
            return "Another worker took the import over, because this one gave no sign of life."
        try:
            status = self.deps.repositories.images.get(self.ctx, self.image.id).status
        except errors.ImageNotFound:
            return "The image was deleted while its data was being imported."
        if status in _WRITABLE:
            return None
        return f"The image became {status} while its data was being imported."

    def raise_if_cancelled(self) -> None:
        """Return when the import may go on.

        :raises errors.TaskCancelled: the task is cancelled, with the reason.
        :raises errors.ClaimLost: another worker took the import over.
        """
        self.running_task.raise_if_cancelled()
        self.claim.raise_if_lost()

    def update_image(self, change: ImageChange) -> None:
        """Apply a change to the image while the claim is held, with a notification."""
        with self._lock:
            self.image = self.deps.images.update(self.ctx, self.image, self.claim.guard(change))

    def set_staged_size(self, size: int) -> None:
        """Record the number of staged bytes, without a notification."""
        with self._lock:
            self.image = self.deps.repositories.images.update(
                self.ctx, self.image, self.claim.guard(ImageChange(fields={"size": size}))
            )

    def add_copy(self, store: str | None) -> None:
        """Write the data to one store.

        The image becomes active with the last store, or with the first one when not all stores
        must succeed.
        """
        self.raise_if_cancelled()
        with self._open_source() as (chunks, size):
            upload = Upload(
                source=chunks,
                size=size,
                store=store,
                attempt=UploadAttempt(self.claim),
                filters=(
                    ProgressFilter(self.running_task, f"Copied {{}}{_store_suffix(store)}", size),
                ),
            )
            after = self.deps.images.add_copy(
                self.ctx, self.image, upload, lambda: self._finalize_copy(store)
            )
        made = after.locations[-1]
        with self._lock:
            self.copied[store] = made
            self.image = dataclasses.replace(
                after, locations=[*(x for x in self.image.locations if x.id != made.id), made]
            )

    @contextlib.contextmanager
    def _finalize_copy(self, store: str | None) -> Iterator[tuple[Image, ImageChange]]:
        """The image and the change to record with a copy; only one store at a time is inside."""
        with self._lock:
            ready = len(self.copied) + 1 == len(self.stores) or not self.request.all_must_succeed
            activate = ready and self.image.status == ImageStatus.IMPORTING
            yield (
                self.image,
                ImageChange(
                    fields={"status": ImageStatus.ACTIVE} if activate else {},
                    set_properties=self.store_lists(without=store),
                    expected=_WRITABLE,
                ),
            )
            self.copied[store] = Location("")
            if activate:
                self.image = dataclasses.replace(self.image, status=ImageStatus.ACTIVE)

    def record_failure(self, store: str | None, error: BaseException) -> None:
        """Record that a store got no copy."""
        with self._lock:
            self.failed[store] = error
        self.update_image(ImageChange(set_properties=self.store_lists()))

    def remove_copy(self, store: str | None) -> None:
        """Undo :meth:`add_copy`, unless users can read the image because of it."""
        first = self.image.status == ImageStatus.IMPORTING
        if not (first or self.request.is_copy and self.request.all_must_succeed):
            return
        location = self.copied.pop(store, None)
        if location is not None:
            change = (reset_to_importing() if first else ImageChange()).evolve(
                set_properties=self.store_lists()
            )
            with self._lock:
                self.image = self.deps.images.remove_copy(
                    self.ctx, self.image, location, self.claim.guard(change)
                )

    def store_lists(self, without: str | None = None) -> dict[str, str]:
        """The values of the properties that list pending and failed stores.

        :param without: a store that is not pending any more.
        """
        mine = {store for store in self.stores if store is not None}
        pending = mine - {*self.copied, *self.failed, without}
        failed = mine & set(self.failed)
        return {
            name: join_stores(stores | (set(stores_in(self.image, name)) - mine))
            for name, stores in ((PENDING_STORES, pending), (FAILED_STORES, failed))
        }

    @contextlib.contextmanager
    def _open_source(self) -> Iterator[tuple[Iterator[bytes], int]]:
        """Open the staged data, or for a copy the data of the image: (chunks, bytes)."""
        if not self.request.is_copy:
            with self.deps.staging.read(self.staged_name) as data:
                yield data
            return
        stored = self._open_stored()
        try:
            yield stored.chunks, stored.length
        finally:
            stored.close()

    def _open_stored(self) -> ObjectData:
        """Open the data in the default store, or in the first other one that can read it.

        :raises errors.SourceFailed: no store can.
        """
        stores = self.deps.stores
        reason: object = "it has none"
        for location in sorted(self.image.locations, key=lambda x: x.store != stores.default):
            try:
                with translate_store_errors():
                    return stores.get(location.url, location.store, caller=self.ctx)
            except errors.GlanceError as error:
                reason = error
        raise errors.SourceFailed(f"The data of the image cannot be read: {reason}")


def reset_to_importing() -> ImageChange:
    """A change with which the last copy of an image may be removed, as no user can read it yet."""
    return ImageChange.status(ImageStatus.IMPORTING, expected=ImageStatus.IMPORTING)


class ProgressFilter(StreamFilter):
    """Sets the progress of a task to the MiB that have passed; stops when it is cancelled.

    :param text: a format with one place for the amount.
    :param size: the total number of bytes, None when unknown.
    """

    def __init__(self, running_task: RunningTask, text: str, size: int | None) -> None:
        self._running_task = running_task
        self._text = text
        self._of_total = "" if size is None else f" of {size // MIB}"
        self._bytes = 0
        self._reported = -1

    def update(self, chunk: Chunk) -> None:
        """:raises errors.TaskCancelled: the task is cancelled."""
        self._running_task.raise_if_cancelled()
        self._bytes += len(chunk)
        if self._bytes // MIB > self._reported:
            self._report()

    def finish(self) -> None:
        """Report the last amount."""
        self._report()

    def _report(self) -> None:
        self._reported = self._bytes // MIB
        self._running_task.set_progress(self._text.format(f"{self._reported}{self._of_total} MiB"))


def _store_suffix(store: str | None) -> str:
    return "" if store is None else f" to {store}"
