"""A report of this process when an operator asks for one: threads, packages, options.

Asked for by SIGUSR2, or, where ``[oslo_reports] file_event_handler`` names a
file, by touching that file, which works under every server.  oslo.reports
writes it and is imported only then; without the library there are no reports.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import threading
import time
from types import FrameType

from oslo_config import cfg

LOG = logging.getLogger(__name__)


def start(conf: cfg.ConfigOpts, service: str) -> None:
    """Be ready to report, in a process that serves.

    :param service: its name, for the names of files in ``[oslo_reports] log_dir``.
    """
    if importlib.util.find_spec("oslo_reports") is None:
        return
    from oslo_reports import opts

    opts.set_defaults(conf)
    settings = conf.oslo_reports
    writer = _ReportWriter(service, settings.log_dir)
    if settings.file_event_handler:
        threading.Thread(
            target=_watch,
            name="reports",
            daemon=True,
            args=(settings.file_event_handler, settings.file_event_handler_interval, writer),
        ).start()
    elif threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR2, lambda number, frame: writer.write(frame))


def _watch(path: str, seconds: int, writer: _ReportWriter) -> None:
    """Report each time the file is touched; it need not be there yet."""
    last_modified = _modified_at(path)
    while True:
        time.sleep(seconds)
        now = _modified_at(path)
        if now is not None and now != last_modified:
            writer.write()
        last_modified = now


def _modified_at(path: str) -> float | None:
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime
    return None


class _ReportWriter:
    """Writes reports to standard error, or to a directory in a file for each process."""

    def __init__(self, service: str, directory: str | None) -> None:
        self._service = service
        self._directory = directory

    def write(self, frame: FrameType | None = None) -> None:
        """Write one now; ``frame`` is what a signal interrupted."""
        from oslo_reports import guru_meditation_report

        name = f"{self._service}-{os.getpid()}"
        LOG.info("Writing a report of this process.")
        guru_meditation_report.TextGuruMeditation.handle_signal(
            _Version(), name, self._directory, frame
        )


class _Version:
    """What the library asks about this package."""

    def vendor_string(self) -> str:
        return "glance-py"

    def product_string(self) -> str:
        return "OpenStack Image service"

    def version_string_with_package(self) -> str:
        from glance_py import config

        return config.version()
