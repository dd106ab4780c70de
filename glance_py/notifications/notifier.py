"""Tells other services what happened, over oslo.messaging.

A message is put into a bounded queue and sent by one thread of the process, so
that a slow, failing or absent broker neither slows nor fails a request; what
cannot be sent is counted and logged.  Which events happen, and when, is decided
by the layers.  The library is only imported when a driver is configured.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time

from oslo_config import cfg

LOG = logging.getLogger(__name__)
_LIBRARY_LOG = logging.getLogger("oslo_messaging.notify.messaging")

#: Messages that may wait; more are lost.
_QUEUE_SIZE = 2000

#: Seconds that a stopping process waits for its messages to leave.
_FLUSH_SECONDS = 5.0

#: Seconds between two complaints in the log.
_LOG_INTERVAL = 60.0

_GROUP = "oslo_messaging_notifications"


def configured_drivers(conf: cfg.ConfigOpts) -> list[str]:
    """The values of ``[oslo_messaging_notifications] driver``.

    The option belongs to oslo.messaging, which is not imported to learn that it
    is not needed: a second, tiny reader looks into the same files.
    """
    try:
        return [name for name in conf[_GROUP].driver if name]
    except (cfg.NoSuchOptError, cfg.NoSuchGroupError):
        reader = cfg.ConfigOpts()
        reader.register_opt(cfg.MultiStrOpt("driver", default=[]), group=_GROUP)
        reader([], default_config_files=conf.config_file, default_config_dirs=conf.config_dir)
        return [name for name in reader[_GROUP].driver if name]


class Notifier:
    """The way out for messages.  Safe in threads and across a fork.

    ``enabled`` is False when the operator configured no driver; then nobody
    needs to call.

    :raises ValueError: a driver is configured and the library is not installed.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._disabled = frozenset(conf.disabled_notifications)
        self.enabled = bool(configured_drivers(conf))
        self._lock = threading.Lock()
        self._process: int | None = None
        self._dropped = _DroppedMessages()
        if self.enabled:
            # Before workers are forked, so that they share its memory.
            try:
                import oslo_messaging
            except ImportError:
                raise ValueError(
                    f"[{_GROUP}] driver is set, but oslo.messaging is not installed; "
                    "it comes with glance-py[notifications]."
                ) from None
            oslo_messaging.set_transport_defaults(control_exchange="glance")
            atexit.register(self.close)

    def is_enabled(self, event: str) -> bool:
        """Is this event sent at all?

        ``disabled_notifications`` names events, or their part before the first dot.
        """
        return (
            self.enabled
            and event not in self._disabled
            and event.partition(".")[0] not in self._disabled
        )

    def info(self, event: str, payload: object) -> None:
        """Send a message of priority INFO, some time soon."""
        self._put("info", event, payload)

    def error(self, event: str, payload: object) -> None:
        """Send a message of priority ERROR, some time soon."""
        self._put("error", event, payload)

    def _put(self, priority: str, event: str, payload: object) -> None:
        if not self.is_enabled(event):
            return
        if self._process != os.getpid():
            self._start()
        try:
            self._messages.put_nowait((priority, event, payload))
        except queue.Full:
            self._dropped.add("too many messages are waiting; is the broker there?")

    def _start(self) -> None:
        """Begin to send from this process; threads do not survive a fork."""
        with self._lock:
            if self._process != os.getpid():
                self._messages: queue.Queue = queue.Queue(_QUEUE_SIZE)
                self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
                self._thread.start()
                self._process = os.getpid()

    def _run(self) -> None:
        sender = None
        while (message := self._messages.get()) is not None:
            priority, event, payload = message
            try:
                sender = sender or self._sender()
                getattr(sender, priority)({}, event, payload)
            except Exception as error:
                self._dropped.add(f"{type(error).__name__}: {error}")

    def _sender(self):
        import oslo_messaging

        _LIBRARY_LOG.addFilter(self._dropped.replace_library_error)
        return oslo_messaging.Notifier(
            oslo_messaging.get_notification_transport(self._conf),
            publisher_id=self._conf.default_publisher_id,
        )

    def close(self, seconds: float = _FLUSH_SECONDS) -> None:
        """Wait until all messages have left, but not longer than ``seconds``."""
        if self._process != os.getpid():
            return
        deadline = time.monotonic() + seconds
        try:
            self._messages.put(None, timeout=seconds)
        except queue.Full:
            pass
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            LOG.error(
                "%d notifications were not sent before the process ended.", self._messages.qsize()
            )
        self._dropped.log_dropped()
        _LIBRARY_LOG.removeFilter(self._dropped.replace_library_error)
        self._process = None


class _DroppedMessages:
    """Counts lost messages and complains now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._reason = ""
        self._next = 0.0

    def add(self, reason: str) -> None:
        with self._lock:
            self._count += 1
            self._reason = reason
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _LOG_INTERVAL
        self.log_dropped()

    def log_dropped(self) -> None:
        """Log what was lost since it was logged last."""
        with self._lock:
            count, self._count = self._count, 0
        if count:
            LOG.error("Lost %d notifications; the latest because %s", count, self._reason)

    def replace_library_error(self, record: logging.LogRecord) -> bool:
        """A filter for the library's log: it writes a traceback, and what was in the message,

        for each one that it could not send, and goes on as if nothing had happened.
        """
        if record.exc_info and record.exc_info[0] is not None:
            self.add(f"{record.exc_info[0].__name__}: {record.exc_info[1]}")
            return False
        return True
