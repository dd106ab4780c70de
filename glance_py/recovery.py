"""Never stuck: what a worker that died left behind is brought back.

A worker that receives data holds a lease on the image: while it lives, it
refreshes ``updated_at`` of the row.  Whoever looks measures by its own clock how
long that has not happened, since the clocks of hosts differ.  An image whose
lease ran out has lost its worker; any other worker puts it back to the state
from which the client can try again, and removes the bytes that nobody owns.
This room decides nothing about images whose worker lives.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from oslo_log import log as logging

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.domain.image import Image
from glance_py.domain.task import Task
from glance_py.scrubber import Scrubber
from glance_store_py.location import redacted

LOG = logging.getLogger(__name__)

#: Seconds between two refreshes of a lease, and after which it has run out.
HEARTBEAT = 5.0
LEASE = 30.0
#: Seconds between two looks for lost work.
PERIOD = 5.0
#: Seconds between two looks into the stores themselves, which costs more.
SWEEP = 60.0

_MYSELF = RequestContext(is_admin=True)

#: In seconds: also what bears a stamp of next year, from a clock that is wrong.
ANY_AGE = -366 * 86400.0

#: Turns between two looks for data that could not be removed with its image.
STRAY_TURNS = 40


class Lease:
    """Keeps the images on which this process works from being taken for lost."""

    def __init__(self, records) -> None:
        self._records = records
        self._held: dict[str, str] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @contextlib.contextmanager
    def hold(self, image: Image, status: str) -> Iterator[None]:
        """While the block runs, ``image`` in ``status`` counts as being worked on."""
        with self._lock:
            self._held[image.id] = status
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(image.id, None)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with self._lock:
                held = dict(self._held)
            for image_id, status in held.items():
                try:
                    self._records.images.heartbeat(image_id, status)
                except Exception as exc:
                    # Without this thread every image in our hands would be taken for lost.
                    LOG.warning("The lease of image %s was not refreshed: %s", image_id, exc)


class Recovery:
    """One background thread per process that looks for lost work.

    :param imports: takes back what an import left (``is_over``,
        ``recover_image``, ``recover_staging``).
    :param tasks: who takes back the tasks of a type.
    """

    def __init__(self, records, stores, imports,
                 tasks: Mapping[str, Callable[[Task], Iterable[str]]]) -> None:
        self._records = records
        self._stores = stores
        self._imports = imports
        self._tasks = tasks
        self._scrubber = Scrubber(stores, records.pending)
        self._turn = 0
        self._stop = threading.Event()
        self._next_sweep = 0.0
        #: When what is being worked on was last refreshed, and since when that is known.
        self._seen: dict[str, tuple[datetime.datetime, float]] = {}
        os.register_at_fork(after_in_child=self.start)

    def start(self) -> None:
        """Begin looking, at once and then every PERIOD seconds."""
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="recovery", daemon=True).start()

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._stop.set()

    def _run(self) -> None:
        stop = self._stop
        while True:
            try:
                self.recover()
            except Exception:
                LOG.exception("Looking for work that a dead worker left failed; will try again")
            if stop.wait(PERIOD):
                return

    def recover(self) -> list[str]:
        """Bring back what was lost.  Returns a line for each thing that was done.

        What cannot be brought back now is in the log and does not keep the rest.
        """
        done: list[str] = []
        images, tasks = self._records.images, self._records.tasks
        before, self._seen = self._seen, {}
        lost = functools.partial(self._lost, before)
        for image_id in lost(images.stalled("saving", ANY_AGE)):
            done += self._try(self._bring_back, image_id, "saving")
        for image_id in lost(images.stalled("uploading", ANY_AGE, unfinished=True)):
            done += self._try(self._bring_back, image_id, "uploading")
        for task_id in lost(tasks.stalled(ANY_AGE)):
            done += self._try(self._end, task_id)
        for image_id in lost(images.stalled("importing", ANY_AGE), self._import_lease):
            done += self._try(self._imports.recover_image, image_id)
        if done or time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP
            done += self._try(self._stores.sweep)
            done += self._try(self._imports.recover_staging)
        if self._turn % STRAY_TURNS == 0:
            done += self._try(self._remove_stray)
        self._turn += 1
        return done

    def _lost(self, before: Mapping[str, tuple[datetime.datetime, float]],
              found: Iterable[tuple[str, datetime.datetime]],
              lease: Callable[[str], float] = lambda _: LEASE) -> list[str]:
        """Those that nobody refreshed for as long as a lease lasts.

        The clock of whoever refreshed them may be wrong: whatever their age by
        it, none is lost that was refreshed before our eyes.
        """
        now = time.monotonic()
        lost = []
        for each, stamp in found:
            known, since = before.get(each, (None, now))
            if known != stamp:
                since = now - _head_start(stamp)
            self._seen[each] = stamp, since
            if now - since >= lease(each):
                lost.append(each)
        return lost

    def _import_lease(self, image_id: str) -> float:
        """Shorter when only whoever takes an import back can be at work, and died at that."""
        return min(LEASE, 2 * HEARTBEAT) if self._imports.is_over(image_id) else LEASE

    @staticmethod
    def _try(act: Callable[..., Iterable[str]], *subject: str) -> list[str]:
        """What was done, which the log tells, too; nothing when that failed."""
        try:
            done = list(act(*subject))
        except errors.DatabaseUnavailable:
            raise
        except Exception:
            LOG.exception("%s failed%s; it will be tried again",
                          act.__name__.strip("_"), " for " + subject[0] if subject else "")
            return []
        for line in done:
            LOG.warning(line)
        return done

    def _remove_stray(self) -> Iterable[str]:
        """Finish deletions that a store or a dying worker left unfinished."""
        return [f"Removed data of image {done.image_id} that was left behind"
                for done in self._scrubber.scrub(LEASE, stray=True) if done.removed]

    def _end(self, task_id: str) -> Iterable[str]:
        task = self._records.tasks.get(task_id)
        recover = self._tasks.get(task.type)
        return () if recover is None else recover(task)

    def _bring_back(self, image_id: str, status: str) -> list[str]:
        """Bytes first: once the image is queued, its name belongs to the next upload."""
        done = [f"Removed {redacted(url)}, which a dead worker left" for url in
                self._stores.discard(image_id)]
        try:
            self._records.images.update(
                _MYSELF, Image(image_id, status),
                Change.status("queued", expected=status, size=None, virtual_size=None),
            )
        except (errors.ImageNotFound, errors.StatusConflict):
            return done
        return [*done, f"Image {image_id} was left {status} by a dead worker: it is queued again"]


def _head_start(stamp: datetime.datetime) -> float:
    """For how many seconds nobody refreshed what bears this stamp when we first see it.

    Never so many that a living worker could not refresh it twice before its
    lease has run out: a process that has just started need not wait for a
    whole one, and none trusts the clocks of others.
    """
    age = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - stamp
    return max(0.0, min(age.total_seconds(), LEASE - 2 * HEARTBEAT))
