"""The command glance-scrubber: removes the data of deleted images, or restores an image.

With ``delayed_delete`` the data of a deleted image is kept until this command finds that it was
deleted ``scrub_time`` ago.  The command also removes data that the service failed to remove.  It
runs once, or periodically as a daemon.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from oslo_concurrency import opts as concurrency_options
from oslo_config import cfg
from oslo_log import log as logging

from glance_py import config
from glance_py.data_access import open_repositories
from glance_py.domain import errors
from glance_py.scrubber import Scrubber, ScrubResult
from glance_py.settings import DataSettings
from glance_store_py.errors import GlanceStoreError
from glance_store_py.process import try_lock
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

OPTIONS = [
    cfg.BoolOpt(
        "daemon",
        short="D",
        default=False,
        help="Run every wakeup_time seconds until stopped, instead of once.",
    ),
    cfg.IntOpt("wakeup-time", default=300, min=0, help="Seconds between two runs of the daemon."),
    cfg.StrOpt(
        "restore",
        metavar="<IMAGE_ID>",
        help="Restore the deleted image with this id to active. This is possible while "
        "delayed_delete keeps its data and no scrubber runs on this host.",
    ),
    cfg.BoolOpt(
        "json",
        default=False,
        help="Print the results as JSON, a line for each image and one at the end.",
    ),
]


@dataclasses.dataclass(frozen=True, slots=True)
class ScrubberArguments:
    """The values of OPTIONS; ``wakeup_time`` in seconds."""

    daemon: bool
    wakeup_time: int
    restore: str | None
    json: bool

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Read the values.

        :raises config.ConfigurationError: they contradict each other.
        """
        if conf.restore and conf.daemon:
            raise config.ConfigurationError("--restore and --daemon exclude each other.")
        return cls(conf.daemon, conf.wakeup_time, conf.restore, conf.json)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :param argv: its arguments; None for those of the process.
    :returns: the exit code: 0 done, 1 failed.
    """
    conf = cfg.ConfigOpts()
    conf.register_cli_opts(OPTIONS)
    try:
        config.load(
            sys.argv[1:] if argv is None else argv,
            conf=conf,
            prog="glance-scrubber",
            tool_file="glance-scrubber.conf",
            epilog="Exit codes: 0 done, 1 failed.",
            description="Removes the data of deleted images, once or as a daemon, or restores a "
            "deleted image.",
        )
        config.setup_logging(conf)
        arguments, settings = ScrubberArguments.from_conf(conf), DataSettings.from_conf(conf)
        with _single_instance(_lock_directory(conf)):
            scrubber = Scrubber(
                Stores.from_config(conf), open_repositories(conf).pending, settings.scrub_pool_size
            )
            if arguments.restore:
                scrubber.restore(arguments.restore)
                print(f"Image {arguments.restore} is active again.")
            else:
                _run(arguments, scrubber, settings.scrub_time)
    except (config.ConfigurationError, errors.GlanceError, GlanceStoreError, ValueError) as error:
        print(f"glance-scrubber: {error}", file=sys.stderr)
        return 1
    return 0


def _lock_directory(conf: cfg.ConfigOpts) -> str:
    """The directory of the lock file, in which other users cannot replace it.

    It is ``[oslo_concurrency] lock_path`` or, without that, a directory of this user in the
    directory for temporary files.

    :raises config.ConfigurationError: other users may write there.
    """
    for group, options in concurrency_options.list_opts():
        conf.register_opts(options, group)
    directory = conf.oslo_concurrency.lock_path
    default = os.path.join(tempfile.gettempdir(), f"glance-locks-{os.getuid()}")
    try:
        os.makedirs(directory or default, mode=0o700, exist_ok=True)
        status = os.stat(directory) if directory else os.lstat(default)
    except OSError as error:
        raise config.ConfigurationError(
            f"[oslo_concurrency] lock_path: {directory or default}: {error.strerror}."
        ) from None
    trusted = status.st_uid in (0, os.getuid()) if directory else status.st_uid == os.getuid()
    if not stat.S_ISDIR(status.st_mode) or not trusted or status.st_mode & stat.S_IWOTH:
        raise config.ConfigurationError(
            f"[oslo_concurrency] lock_path: other users may write to {directory or default}. "
            "Set it to a directory of this user."
        )
    return directory or default


@contextlib.contextmanager
def _single_instance(directory: str) -> Iterator[None]:
    """Hold the lock of this host: a scrubber must not remove the data of an image being restored.

    :raises errors.Conflict: another scrubber runs on this host.
    :raises config.ConfigurationError: the lock file cannot be opened.
    """
    path = os.path.join(directory, f"glance-scrubber-{os.getuid()}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise config.ConfigurationError(f"{path}: {error.strerror}.") from None
    try:
        if not try_lock(descriptor):
            raise errors.Conflict("Another glance-scrubber is running on this host.")
        yield
    finally:
        os.close(descriptor)


def _run(arguments: ScrubberArguments, scrubber: Scrubber, scrub_time: int) -> None:
    """Scrub once, or until SIGTERM or SIGINT as a daemon."""
    stop = threading.Event()
    if arguments.daemon:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
    while True:
        try:
            _scrub_once(arguments, scrubber, scrub_time, stop)
        except errors.GlanceError as error:
            if not arguments.daemon:
                raise
            LOG.error("Scrubbing failed and will be retried: %s", error)
        if not arguments.daemon or stop.wait(arguments.wakeup_time):
            return


def _scrub_once(
    arguments: ScrubberArguments, scrubber: Scrubber, scrub_time: int, stop: threading.Event
) -> None:
    """Remove all data that is due, and print each image when it is done."""
    images = removed = left = 0
    for done in scrubber.scrub(scrub_time):
        images, removed, left = images + 1, removed + done.removed, left + done.left
        _print_outcome(arguments, done)
        if stop.is_set():
            break
    if arguments.json:
        print(json.dumps({"images": images, "removed": removed, "left": left}), flush=True)
    elif images:
        print(f"{images} images: {removed} copies removed, {left} left", flush=True)


def _print_outcome(arguments: ScrubberArguments, done: ScrubResult) -> None:
    if arguments.json:
        print(json.dumps(dataclasses.asdict(done)), flush=True)
    else:
        rest = f", {done.left} left: {done.reason}" if done.left else ""
        print(f"{done.image_id}: {done.removed} copies removed{rest}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
