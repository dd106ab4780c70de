"""One import while it is being done: the image, the stores, and how far it is.

Several threads may write to stores for one job; what they share changes under
its lock.  The order of steps is not known here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from glance_py.claims import Claim
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import (
    FAILED_STORES,
    GLANCE_DIRECT,
    PENDING_STORES,
    ImportRequest,
    join_stores,
    stores_in,
)
from glance_py.domain.ports import Upload, UploadAttempt
from glance_py.importing.staging import StagingArea
from glance_py.importing.task_executor import RunningTask
from glance_py.layers.store_errors import translate_store_errors
from glance_py.streams import Chunk, StreamFilter

MIB = 1024**2


@dataclasses.dataclass(frozen=True, slots=True)
class ImportDependencies:
    """What every import of a process works with.

    ``images`` are the operations behind the policy: what the caller may was decided
    before the import began.
    """

    conf: Any
    images: Any
    repositories: Any
    stores: Any
    staging: StagingArea
    fetcher: Any
    rollback: Any


class ImportJob:
    """The import of one image into ``stores`` (ids; [None] is the only store there is).

    ``copied`` are the locations that it made, ``failed`` why it made none.
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
        """Why there is no point in going on, if there is none."""
        if self.claim.is_lost:
            return "Another worker took the import over, because this one gave no sign of life."
        try:
            status = self.deps.repositories.images.get(self.ctx, self.image.id).status
        except errors.ImageNotFound:
            return "The image was deleted while its data was being imported."
        if status in ("importing", "active", "deactivated"):
            return None
        return f"The image became {status} while its data was being imported."

    def raise_if_cancelled(self) -> None:
        """Is it still worth going on, and may this worker go on?

        :raises errors.TaskCancelled: no, with the reason.
        :raises errors.ClaimLost: another worker took the import over.
        """
        self.running_task.raise_if_cancelled()
        self.claim.raise_if_lost()

    def update_image(self, change: ImageChange) -> None:
        """Change the image in a way that the import itself wants."""
        with self._lock:
            self.image = self.deps.images.update(self.ctx, self.image, self.claim.guard(change))

    def set_staged_size(self, size: int) -> None:
        """Record how many bytes are staged, without a notification."""
        with self._lock:
            self.image = self.deps.repositories.images.update(
                self.ctx, self.image, self.claim.guard(ImageChange(fields={"size": size}))
            )

    def add_copy(self, store: str | None) -> None:
        """Bring the data into one store; the last one makes the image active.

        Or the first one, when not all need to succeed.
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
        """Several stores may be ready at the same time; one of them is the last."""
        with self._lock:
            ready = len(self.copied) + 1 == len(self.stores) or not self.request.all_must_succeed
            status = {"status": "active"} if self.image.status == "importing" and ready else {}
            yield (
                self.image,
                ImageChange(
                    fields=dict(status),
                    set_properties=self.store_lists(without=store),
                    expected=frozenset({"importing", "active", "deactivated"}),
                ),
            )
            self.copied[store] = Location("")
            if status:
                self.image = dataclasses.replace(self.image, status="active")

    def record_failure(self, store: str | None, error: BaseException) -> None:
        """A store got no copy; whether that matters is decided by others."""
        with self._lock:
            self.failed[store] = error
        self.update_image(ImageChange(set_properties=self.store_lists()))

    def remove_copy(self, store: str | None) -> None:
        """Take back what :meth:`add_copy` did, unless that made an image that can be used."""
        first = self.image.status == "importing"
        if not (first or self.request.is_copy and self.request.all_must_succeed):
            return
        location = self.copied.pop(store, None)
        if location is not None:
            change = reset_to_importing() if first else ImageChange()
            change.set_properties = self.store_lists()
            with self._lock:
                self.image = self.deps.images.remove_copy(
                    self.ctx, self.image, location, self.claim.guard(change)
                )

    def store_lists(self, without: str | None = None) -> dict[str, str]:
        """The properties that say which stores are waited for, and which failed."""
        mine = {store for store in self.stores if store is not None}
        over = {*self.copied, *self.failed, without}
        waiting = mine - over
        failed = mine & set(self.failed)
        return {
            PENDING_STORES: join_stores(
                waiting | (set(stores_in(self.image, PENDING_STORES)) - mine)
            ),
            FAILED_STORES: join_stores(failed | (set(stores_in(self.image, FAILED_STORES)) - mine)),
        }

    @contextlib.contextmanager
    def _open_source(self) -> Iterator[tuple[Iterator[bytes], int]]:
        """The data: staged, or for a copy of what a store has."""
        if not self.request.is_copy:
            with self.deps.staging.read(self.staged_name) as data:
                yield data
            return
        data = self._open_stored()
        try:
            yield data.chunks, data.length
        finally:
            data.close()

    def _open_stored(self):
        """The data from the default store, or else from any that has it.

        :raises errors.SourceFailed: none has it.
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
    """A change that may take the last copy of an image, since that has no user yet."""
    return ImageChange.status("importing", expected="importing")


class ProgressFilter(StreamFilter):
    """Lets a task tell how many bytes have passed, and stops them when it is over."""

    def __init__(self, running_task: RunningTask, text: str, size: int | None) -> None:
        """``text`` has a place for the amount; ``size`` in bytes, None if unknown."""
        self._work = running_task
        self._text = text
        self._of_total = "" if size is None else f" of {size // MIB}"
        self._bytes = 0
        self._reported = -1

    def update(self, chunk: Chunk) -> None:
        self._work.raise_if_cancelled()
        self._bytes += len(chunk)
        if self._bytes // MIB > self._reported:
            self._report()

    def finish(self) -> None:
        self._report()

    def _report(self) -> None:
        self._reported = self._bytes // MIB
        self._work.set_progress(self._text.format(f"{self._reported}{self._of_total} MiB"))


def _store_suffix(store: str | None) -> str:
    return "" if store is None else f" to {store}"
