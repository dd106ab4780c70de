"""Writes a report of this process on request: its threads, packages and options.

The request is the signal SIGUSR2 or, with ``[oslo_reports] file_event_handler``, a change of the
modification time of that file, which works under every server.  oslo.reports writes the report; it
is optional and imported only when it is needed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from oslo_config import cfg

from glance_store_py.process import start_thread

LOG = logging.getLogger(__name__)


def start(conf: cfg.ConfigOpts, service: str) -> None:
    """Install the signal handler or the thread that watches the file, in a serving process.

    :param conf: registers and reads the options of oslo.reports.
    :param service: the first part of the names of files in ``[oslo_reports] log_dir``.
    """
    if importlib.util.find_spec("oslo_reports") is None:
        return
    from oslo_reports import opts

    opts.set_defaults(conf)
    settings = conf.oslo_reports
    writer = ReportWriter(service, settings.log_dir)
    if settings.file_event_handler:
        watch = FileWatch(settings.file_event_handler)
        interval: int = settings.file_event_handler_interval
        start_thread("reports", lambda: _report_changes(watch, writer.write, interval))
    elif threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR2, lambda number, frame: writer.write(frame))


def _report_changes(watch: FileWatch, report: Callable[[], None], interval: float) -> None:
    """Call ``report`` after each change of the file, forever.

    :param interval: seconds between two looks at the file.
    """
    while True:
        time.sleep(interval)
        if watch.has_changed():
            report()


class FileWatch:
    """Notices changes of the modification time of a file, which need not exist."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._modified = self._modified_at()

    def has_changed(self) -> bool:
        """True when the file exists and was created or modified since the last call."""
        before, self._modified = self._modified, self._modified_at()
        return self._modified is not None and self._modified != before

    def _modified_at(self) -> float | None:
        with contextlib.suppress(OSError):
            return os.stat(self._path).st_mtime
        return None


class ReportWriter:
    """Writes reports to standard error, or into ``directory``, each to a file of its own."""

    def __init__(self, service: str, directory: str | None) -> None:
        self._service = service
        self._directory = directory

    def write(self, frame: FrameType | None = None) -> None:
        """Write a report.

        :param frame: what the signal interrupted, None without a signal.
        """
        from oslo_reports import guru_meditation_report

        name = f"{self._service}-{os.getpid()}"
        LOG.info("Writing a report of this process")
        guru_meditation_report.TextGuruMeditation.handle_signal(
            _Version(), name, self._directory, frame
        )


class _Version:
    """What oslo.reports prints about this package; the method names are the library's."""

    def vendor_string(self) -> str:
        return "glance-py"

    def product_string(self) -> str:
        return "OpenStack Image service"

    def version_string_with_package(self) -> str:
        from glance_py import config

        return config.version()
