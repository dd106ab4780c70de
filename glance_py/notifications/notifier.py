"""Sends notifications to other services, over oslo.messaging.

A message is put into a bounded queue and sent by one thread of the process, so that a slow,
failing or absent broker neither slows nor fails a request.  Messages that cannot be sent are
counted and logged.  The library is imported only when a driver is configured.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from glance_py.notifications.events import DISABLEABLE
from glance_py.settings import NotificationSettings
from glance_store_py.process import PerProcess, start_thread

LOG = logging.getLogger(__name__)
_LIBRARY_LOG = logging.getLogger("oslo_messaging.notify.messaging")

#: Messages that wait to be sent; further ones are dropped.
_QUEUE_SIZE = 2000

#: Seconds for which a stopping process waits until its messages are sent.
_FLUSH_SECONDS = 5.0

#: Seconds between two log lines about dropped messages.
_LOG_INTERVAL = 60.0

_GROUP = "oslo_messaging_notifications"

#: Priority, event type, payload; None ends the thread.
_Message = tuple[str, str, object] | None


def configured_drivers(conf: cfg.ConfigOpts) -> list[str]:
    """The values of ``[oslo_messaging_notifications] driver``.

    The option belongs to oslo.messaging, which need not be imported to find that no driver is
    configured: a second ConfigOpts with this option alone reads the same files.
    """
    try:
        return [name for name in conf[_GROUP].driver if name]
    except (cfg.NoSuchOptError, cfg.NoSuchGroupError):
        reader = cfg.ConfigOpts()
        reader.register_opt(cfg.MultiStrOpt("driver", default=[]), group=_GROUP)
        reader([], default_config_files=conf.config_file, default_config_dirs=conf.config_dir)
        return [name for name in reader[_GROUP].driver if name]


class Notifier:
    """Sends messages.  Safe in threads and across a fork.

    ``enabled`` is False when no driver is configured; then the notifier layers are left out.

    :param conf: what oslo.messaging reads its options from.
    :param open_sender: returns an object with the methods ``info`` and ``error`` of
        ``oslo_messaging.Notifier``; called in the thread that sends, again after a failure.
    :raises ValueError: a driver is configured and oslo.messaging is not installed.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        settings: NotificationSettings,
        open_sender: Callable[[], Any] | None = None,
    ) -> None:
        self._conf = conf
        self._publisher_id = settings.default_publisher_id
        self._disabled = frozenset(settings.disabled_notifications)
        self._open_sender = open_sender or self._open_library_sender
        self._dropped = _DroppedMessages()
        self._queue = PerProcess(self._start)
        self.enabled = bool(configured_drivers(conf))
        if not self.enabled:
            return
        unknown = sorted(self._disabled - DISABLEABLE)
        if unknown:
            LOG.warning(
                "[DEFAULT] disabled_notifications: there is no notification %s; it is ignored.",
                ", ".join(unknown),
            )
        try:
            # Imported before workers are forked, so that they share its memory.
            import oslo_messaging
        except ImportError:
            raise ValueError(
                f"[{_GROUP}] driver is set, but oslo.messaging is not installed; "
                "it comes with glance-py[notifications]."
            ) from None
        oslo_messaging.set_transport_defaults(control_exchange="glance")
        atexit.register(self.close)

    def is_enabled(self, event: str) -> bool:
        """False when nothing is sent for an event type.

        ``disabled_notifications`` names event types, or their part before the first dot.
        """
        return (
            self.enabled
            and event not in self._disabled
            and event.partition(".")[0] not in self._disabled
        )

    def info(self, event: str, payload: object) -> None:
        """Queue a message of priority INFO."""
        self._put("info", event, payload)

    def error(self, event: str, payload: object) -> None:
        """Queue a message of priority ERROR."""
        self._put("error", event, payload)

    def _put(self, priority: str, event: str, payload: object) -> None:
        if not self.is_enabled(event):
            return
        try:
            self._queue.get().messages.put_nowait((priority, event, payload))
        except queue.Full:
            self._dropped.add("too many messages are waiting; is the broker there?")

    def _start(self) -> _Queue:
        return _Queue(self._run)

    def _run(self, messages: queue.Queue[_Message]) -> None:
        sender = None
        while (message := messages.get()) is not None:
            priority, event, payload = message
            try:
                sender = sender or self._open_sender()
                getattr(sender, priority)({}, event, payload)
            except Exception as error:
                self._dropped.add(f"{type(error).__name__}: {error}")

    def _open_library_sender(self) -> Any:
        """An ``oslo_messaging.Notifier``; the library has no types."""
        import oslo_messaging

        _LIBRARY_LOG.addFilter(self._dropped.replace_library_error)
        return oslo_messaging.Notifier(
            oslo_messaging.get_notification_transport(self._conf), publisher_id=self._publisher_id
        )

    def close(self, seconds: float = _FLUSH_SECONDS) -> None:
        """Wait until the messages of this process are sent, but not longer than ``seconds``."""
        waiting = self._queue.peek()
        if waiting is None:
            return
        deadline = time.monotonic() + seconds
        try:
            waiting.messages.put(None, timeout=seconds)
        except queue.Full:
            pass
        waiting.thread.join(max(0.0, deadline - time.monotonic()))
        if waiting.thread.is_alive():
            LOG.error(
                "%d notifications were not sent before the process ended.",
                waiting.messages.qsize(),
            )
        self._dropped.log_dropped()
        _LIBRARY_LOG.removeFilter(self._dropped.replace_library_error)
        self._queue.discard(waiting)


class _Queue:
    """The messages that a process has not sent yet, and the thread that sends them."""

    def __init__(self, run: Callable[[queue.Queue[_Message]], None]) -> None:
        self.messages: queue.Queue[_Message] = queue.Queue(_QUEUE_SIZE)
        self.thread: threading.Thread = start_thread("notifications", lambda: run(self.messages))


class _DroppedMessages:
    """Counts dropped messages and logs them, at most once in ``_LOG_INTERVAL``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._reason = ""
        self._next_log: float | None = None

    def add(self, reason: str) -> None:
        """Count one message; ``reason`` is logged."""
        now = self._clock()
        with self._lock:
            self._count += 1
            self._reason = reason
            if self._next_log is not None and now < self._next_log:
                return
            self._next_log = now + _LOG_INTERVAL
        self.log_dropped()

    def log_dropped(self) -> None:
        """Log how many messages were dropped since the last log line."""
        with self._lock:
            count, self._count = self._count, 0
        if count:
            LOG.error("Lost %d notifications; the latest because %s", count, self._reason)

    def replace_library_error(self, record: logging.LogRecord) -> bool:
        """A filter for the log of oslo.messaging, which reports a failure only there.

        A record with an exception is counted and suppressed: it has a traceback and the payload.
        """
        if record.exc_info and record.exc_info[0] is not None:
            self.add(f"{record.exc_info[0].__name__}: {record.exc_info[1]}")
            return False
        return True
