"""The spec of file stores: their options, their URLs, and where the driver is."""

from __future__ import annotations

import dataclasses
import posixpath

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.driver_settings import DriverSettings
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation

OPTIONS = (
    cfg.StrOpt(
        "filesystem_store_datadir",
        default="/var/lib/glance/images",
        help="Directory that holds the image files. It is made at start when it is missing, "
        "and the service's user must be able to write to it.",
    ),
    cfg.MultiStrOpt(
        "filesystem_store_datadirs",
        deprecated_for_removal=True,
        deprecated_since="Flamingo",
        deprecated_reason="A store per directory says the same and lets users choose.",
        help="Several directories instead of one, each as path or path:priority. New files go "
        "to the directory with the highest priority that has free space; among equals, to the one "
        "with the most free space.",
    ),
    cfg.StrOpt(
        "filesystem_store_metadata_file",
        help="A JSON file with an object, or a list of objects, that have an id and a "
        "mountpoint. The object whose mountpoint holds a new image file becomes metadata of "
        "the image's location, so that a client on the same share can find the file.",
    ),
    cfg.IntOpt(
        "filesystem_store_file_perm",
        default=0,
        help="Permissions of image files, as the octal digits that chmod takes (for example "
        "640); 0 leaves them to the umask. The owner must be able to read. Where group or "
        "others may read, they may also enter the directory.",
    ),
    cfg.IntOpt(
        "filesystem_store_chunk_size",
        default=64 * 1024,
        min=1,
        help="Bytes that are read at a time when an image cannot be sent by the operating "
        "system itself. As long as this is left unset, 1 MiB is used.",
    ),
    cfg.BoolOpt(
        "filesystem_thin_provisioning",
        default=False,
        help="Leave holes in image files where the data is zero, instead of writing zeros.",
    ),
    cfg.IntOpt(
        "filesystem_store_timeout",
        default=0,
        min=0,
        help="Seconds after which an answer of the file system is no longer waited for "
        "(looking at a file, removing one, asking for free space) and the request fails with "
        "status 503. Guards against a hanging network file system. 0 waits for ever.",
    ),
    cfg.IntOpt(
        "filesystem_store_thread_pool_size",
        default=10,
        min=1,
        help="Threads that do the waiting when filesystem_store_timeout is set.",
    ),
    cfg.IntOpt(
        "filesystem_store_threadpool_threshold",
        default=75,
        min=0,
        max=100,
        help="Log a warning when more than this share (percent) of those threads is busy.",
    ),
)


@dataclasses.dataclass(frozen=True, repr=False)
class FileSettings(DriverSettings):
    """The options of a file store; their help says what they mean."""

    filesystem_store_datadir: str
    filesystem_store_datadirs: list[str] | None
    filesystem_store_metadata_file: str | None
    filesystem_store_file_perm: int
    filesystem_store_chunk_size: int
    filesystem_thin_provisioning: bool
    filesystem_store_timeout: int
    filesystem_store_thread_pool_size: int
    filesystem_store_threadpool_threshold: int


def _parse(scheme: str, rest: str) -> StoreLocation:
    """Parse a path of the local file system, which is taken literally: no quoting, no query."""
    if not rest.startswith("/"):
        raise errors.BadStoreUri("A file address needs an absolute path.")
    if "\0" in rest or ".." in rest.split("/"):
        raise errors.BadStoreUri("A file address must name its file directly.")
    # Both schemes mean the same file; two leading slashes mean one.
    return StoreLocation("file", path="/" + posixpath.normpath(rest).lstrip("/"))


SPEC = DriverSpec(
    name="file",
    schemes=("file", "filesystem"),
    parse=_parse,
    import_path="glance_store_py.drivers.file:FileDriver",
    options=OPTIONS,
    aliases=("filesystem", "glance.store.filesystem.Store"),
)
