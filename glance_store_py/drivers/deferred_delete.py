"""Removing later what could not be removed now, because the service was away.

For as long as this process lives: what a process leaves behind that dies with a
deletion is found by the image's own recovery, or by the check of the store.  A deletion
must name exactly what is to go, an upload or a mark and not just a name that
somebody else may have taken since.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from glance_store_py import errors

LOG = logging.getLogger(__name__)

#: Seconds between two attempts.
RETRY_INTERVAL = 5.0
#: So many deletions are remembered; who fails that often has other worries.
MAX_PENDING = 1000

#: What says that the service cannot do it at the moment.
UNAVAILABLE_ERRORS = (
    errors.RemoteServiceUnavailable,
    errors.RemoteServiceFailed,
    errors.StoreTimeout,
)
#: What says that it is worth trying again: that, or it is still busy with the object.
RETRYABLE_ERRORS = (*UNAVAILABLE_ERRORS, errors.InUseByStore)

_Deletion = tuple[str, Callable[[], None]]


class DeferredDeleter:
    """The deletions of one process towards one service; used by many threads."""

    def __init__(self, retry_interval: float = RETRY_INTERVAL) -> None:
        self._retry_interval = retry_interval
        self._pending: list[_Deletion] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def remove(
        self, description: str, remove: Callable[[], None], immediately: bool = True
    ) -> None:
        """Call ``remove`` now, and again until it fails for no other reason than absence.

        :param description: for the log.
        :param immediately: False when the service is known to be unable.
        """
        if immediately and self._try_delete(description, remove):
            return
        with self._lock:
            if len(self._pending) >= MAX_PENDING:
                LOG.error("%s stays where it is", description)
                return
            self._pending.append((description, remove))
            # A thread of the process that forked us counts as dead here.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._retry_until_empty, name="deferred-delete", daemon=True
                )
                self._thread.start()

    def _retry_until_empty(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._retry_interval)
            with self._lock:
                pending = tuple(self._pending)
            done = [deletion for deletion in pending if self._try_delete(*deletion)]
            with self._lock:
                self._pending = [deletion for deletion in self._pending if deletion not in done]
                if not self._pending:
                    self._thread = None
                    return

    def _try_delete(self, description: str, remove: Callable[[], None]) -> bool:
        """Is there nothing more to do?"""
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
            # Without this thread no other deletion would be done.
            LOG.exception("%s was not removed", description)
        return True
