"""Removing later what could not be removed now, because the service was away.

For as long as this process lives: what a process leaves behind that dies with a
debt is found by the image's own recovery, or by the check of the store.  A debt
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
PERIOD = 5.0
#: So many debts are remembered; who fails that often has other worries.
MOST = 1000

#: What says that the service cannot do it at the moment.
UNABLE = (errors.RemoteServiceUnavailable, errors.RemoteServiceFailed, errors.TimeoutError)
#: What says that it is worth trying again: that, or it is still busy with the object.
AGAIN = (*UNABLE, errors.InUseByStore)

_Debt = tuple[str, Callable[[], None]]


class Later:
    """The debts of one process towards one service; used by many threads."""

    def __init__(self, period: float = PERIOD) -> None:
        self._period = period
        self._debts: list[_Debt] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def remove(self, what: str, remove: Callable[[], None], at_once: bool = True) -> None:
        """Call ``remove`` now, and again until it fails for no other reason than absence.

        :param what: for the log.
        :param at_once: False when the service is known to be unable.
        """
        if at_once and self._settled(what, remove):
            return
        with self._lock:
            if len(self._debts) >= MOST:
                LOG.error("%s stays where it is", what)
                return
            self._debts.append((what, remove))
            # A thread of the process that forked us counts as dead here.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="later", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._period)
            with self._lock:
                debts = tuple(self._debts)
            paid = [debt for debt in debts if self._settled(*debt)]
            with self._lock:
                self._debts = [debt for debt in self._debts if debt not in paid]
                if not self._debts:
                    self._thread = None
                    return

    def _settled(self, what: str, remove: Callable[[], None]) -> bool:
        """Is there nothing more to do?"""
        try:
            remove()
        except errors.NotFound:
            pass
        except AGAIN as error:
            LOG.warning("%s could not be removed yet: %s", what, error)
            return False
        except errors.GlanceStoreError as error:
            LOG.warning("%s was not removed: %s", what, error)
        except Exception:
            # Without this thread no other debt would be paid.
            LOG.exception("%s was not removed", what)
        return True
