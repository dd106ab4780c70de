"""Retries deletions that failed because the service did not answer.

Only while this process runs: what remains when a process ends is found by the recovery of
the image, or by ``glance-manage store check``.  A deletion must name exactly what to
remove, such as an upload id or the mark of a writer: another writer may have taken the name
of an object since.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable

from glance_store_py import errors
from glance_store_py.process import PerProcess, start_thread

LOG = logging.getLogger(__name__)

#: Seconds between two attempts.
RETRY_INTERVAL = 5.0
#: Upper bound of pending deletions; further ones are logged and dropped.
MAX_PENDING = 1000

#: Errors that mean that the service cannot delete at the moment.
UNAVAILABLE_ERRORS = (
    errors.RemoteServiceUnavailable,
    errors.RemoteServiceFailed,
    errors.StoreTimeout,
)
#: Errors after which a deletion is tried again: these, or the object is still in use.
RETRYABLE_ERRORS = (*UNAVAILABLE_ERRORS, errors.InUseByStore)

_Deletion = tuple[str, Callable[[], None]]


@dataclasses.dataclass(slots=True)
class _Pending:
    """The pending deletions of one process; ``thread`` is None while there are none."""

    deletions: list[_Deletion] = dataclasses.field(default_factory=list)
    thread: threading.Thread | None = None
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class DeferredDeleter:
    """Deletions in one service; used by many threads.

    A child process begins without any: its parent does what the parent has pending.
    """

    def __init__(self, retry_interval: float = RETRY_INTERVAL) -> None:
        self._retry_interval = retry_interval
        self._pending = PerProcess(_Pending)

    def remove(
        self, description: str, remove: Callable[[], None], immediately: bool = True
    ) -> None:
        """Call ``remove`` now, and again in a thread while its error is one of RETRYABLE_ERRORS.

        :param description: what is removed, for the log.
        :param immediately: False leaves the first attempt to the thread, when the service is
            known not to answer.
        """
        if immediately and self._try_delete(description, remove):
            return
        pending = self._pending.get()
        with pending.lock:
            if len(pending.deletions) >= MAX_PENDING:
                LOG.error("%s is not removed: too many deletions are pending", description)
                return
            pending.deletions.append((description, remove))
            if pending.thread is None or not pending.thread.is_alive():
                pending.thread = start_thread("deferred-delete", self._retry_until_empty)

    def join(self, seconds: float) -> bool:
        """Wait until nothing is pending in this process; False when that takes longer."""
        thread = self._pending.get().thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _retry_until_empty(self) -> None:
        pending = self._pending.get()
        pause = threading.Event()
        while True:
            pause.wait(self._retry_interval)
            with pending.lock:
                deletions = tuple(pending.deletions)
            done = [deletion for deletion in deletions if self._try_delete(*deletion)]
            with pending.lock:
                pending.deletions = [each for each in pending.deletions if each not in done]
                if not pending.deletions:
                    pending.thread = None
                    return

    def _try_delete(self, description: str, remove: Callable[[], None]) -> bool:
        """Call ``remove``; True when it must not be called again."""
        try:
            remove()
        except errors.StoreObjectNotFound:
            pass
        except RETRYABLE_ERRORS as error:
            LOG.warning("%s could not be removed yet: %s", description, error)
            return False
        except errors.GlanceStoreError as error:
            LOG.warning("%s was not removed: %s", description, error)
        except Exception:
            # The thread must go on with the other deletions.
            LOG.exception("%s was not removed", description)
        return True
