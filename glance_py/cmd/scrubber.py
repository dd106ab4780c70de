"""glance-scrubber: removes the data of deleted images, or brings an image back.

Under ``delayed_delete`` deleted images keep their data until this command finds
it older than ``scrub_time``.  It also finishes what the service itself could not
remove.  Once, or again and again as a daemon.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence

from oslo_concurrency import opts as concurrency_options
from oslo_config import cfg
from oslo_log import log as logging

from glance_py import config
from glance_py.data_access import open_repositories
from glance_py.domain import errors
from glance_py.scrubber import Scrubber, ScrubResult
from glance_store_py.errors import GlanceStoreError
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

OPTIONS = [
    cfg.BoolOpt(
        "daemon",
        short="D",
        default=False,
        help="Run until stopped, every wakeup_time seconds, instead of once.",
    ),
    cfg.IntOpt("wakeup-time", default=300, min=0, help="Seconds between two runs of the daemon."),
    cfg.StrOpt(
        "restore",
        metavar="<IMAGE_ID>",
        help="Bring the deleted image with this id back to active. Works while its data "
        "is kept by delayed_delete and no scrubber runs on this host.",
    ),
    cfg.BoolOpt(
        "json",
        default=False,
        help="Print what was done as JSON, a line for each image and one in the end.",
    ),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :param argv: the words after the name of the program.
    :returns: the exit code: 0, or 1 when it could not be done.
    """
    conf = cfg.ConfigOpts()
    conf.register_cli_opts(OPTIONS)
    try:
        config.load(
            sys.argv[1:] if argv is None else argv,
            conf=conf,
            prog="glance-scrubber",
            tool_file="glance-scrubber.conf",
            epilog="Exit codes: 0 done, 1 it could not be done.",
            description="Removes the data of deleted images, once or as a daemon, or "
            "brings a deleted image back.",
        )
        config.setup_logging(conf)
        if conf.restore and conf.daemon:
            raise config.ConfigurationError("--restore and --daemon exclude each other.")
        with _single_instance(_lock_directory(conf)):
            scrubber = Scrubber(
                Stores.from_config(conf), open_repositories(conf).pending, conf.scrub_pool_size
            )
            if conf.restore:
                scrubber.restore(conf.restore)
                print(f"Image {conf.restore} is active again.")
            else:
                _run(conf, scrubber)
    except (config.ConfigurationError, errors.GlanceError, GlanceStoreError, ValueError) as error:
        print(f"glance-scrubber: {error}", file=sys.stderr)
        return 1
    return 0


def _lock_directory(conf: cfg.ConfigOpts) -> str:
    """A directory in which nobody else can put anything in the place of our lock.

    ``[oslo_concurrency] lock_path``, or one of our own among the temporary files.

    :raises config.ConfigurationError: others may write there.
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
            "Set it to a directory of this user alone."
        )
    return directory or default


@contextlib.contextmanager
def _single_instance(directory: str) -> Iterator[None]:
    """One scrubber at a time on a host: a restored image must not lose its data meanwhile."""
    path = os.path.join(directory, f"glance-scrubber-{os.getuid()}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise config.ConfigurationError(f"{path}: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.Conflict("Another glance-scrubber is running on this host.") from None
        yield
    finally:
        os.close(descriptor)


def _run(conf: cfg.ConfigOpts, scrubber: Scrubber) -> None:
    stop = threading.Event()
    if conf.daemon:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
    while True:
        try:
            _scrub_once(conf, scrubber, stop)
        except errors.GlanceError as error:
            if not conf.daemon:
                raise
            LOG.error("Scrubbing failed and will be tried again: %s", error)
        if not conf.daemon or stop.wait(conf.wakeup_time):
            return


def _scrub_once(conf: cfg.ConfigOpts, scrubber: Scrubber, stop: threading.Event) -> None:
    """One pass over all that is due, telling of each image as it is done."""
    images = removed = left = 0
    for done in scrubber.scrub(conf.scrub_time):
        images, removed, left = images + 1, removed + done.removed, left + done.left
        _print_outcome(conf, done)
        if stop.is_set():
            break
    if conf.json:
        print(json.dumps({"images": images, "removed": removed, "left": left}), flush=True)
    elif images:
        print(f"{images} images: {removed} copies removed, {left} left", flush=True)


def _print_outcome(conf: cfg.ConfigOpts, done: ScrubResult) -> None:
    if conf.json:
        print(json.dumps(dataclasses.asdict(done)), flush=True)
    else:
        rest = f", {done.left} left: {done.reason}" if done.left else ""
        print(f"{done.image_id}: {done.removed} copies removed{rest}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
