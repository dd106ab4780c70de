"""The modules ``rados`` and ``rbd`` with a cluster in memory, as far as the driver uses them."""

from __future__ import annotations

import contextlib
import datetime
import errno
import types
from collections.abc import Callable, Iterator
from unittest import mock

FSID = "5a4e1c2b-0000-4000-8000-00000000abcd"


class Cluster:
    """The state of a cluster; ``failures`` are error numbers that the next requests raise."""

    def __init__(self) -> None:
        self.images: dict[str, dict] = {}
        self.trash: list[str] = []
        self.connections = 0
        self.configured_fsid: str | None = None
        #: Operation -> error numbers of its next calls.
        self.failures: dict[str, list[int]] = {}
        self.ids = iter(range(1, 10_000))
        self.now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self.has_directory = False

    def check(self, operation: str, error: Callable[[int], Exception]) -> None:
        left = self.failures.get(operation)
        if left:
            raise error(left.pop(0))

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Make the modules importable."""
        rados, rbd = _rados(self), _rbd(self)
        with mock.patch.dict("sys.modules", {"rados": rados, "rbd": rbd}):
            self.rados, self.rbd = rados, rbd
            yield


def _rados(cluster: Cluster) -> types.ModuleType:
    module = types.ModuleType("rados")

    class Error(Exception):
        def __init__(self, number: int) -> None:
            super().__init__(f"[errno {number}]")
            self.errno = number

    class ObjectNotFound(Error):
        pass

    class Ioctx:
        def set_osdmap_full_try(self) -> None:
            pass

        def stat(self, name: str) -> tuple[int, int]:
            cluster.check("stat", Error)
            if not cluster.has_directory:
                raise ObjectNotFound(errno.ENOENT)
            return 0, 0

    class Rados:
        def __init__(self, conffile: str, rados_id: str | None) -> None:
            cluster.check("configure", Error)
            self.options: dict[str, str] = {}

        def conf_set(self, option: str, value: str) -> None:
            self.options[option] = value

        def conf_get(self, option: str) -> str | None:
            return cluster.configured_fsid

        def shutdown(self) -> None:
            pass

        def connect(self) -> None:
            cluster.check("connect", Error)
            cluster.connections += 1
            cluster.options = self.options

        def open_ioctx(self, pool: str) -> Ioctx:
            return Ioctx()

        def get_fsid(self) -> str:
            return FSID

    module.Error, module.ObjectNotFound, module.Rados = Error, ObjectNotFound, Rados
    return module


class Completion:
    def __init__(self, result: int, callback: Callable[[], object]) -> None:
        self._result, self._callback = result, callback

    def wait_for_complete_and_cb(self) -> None:
        self._callback()

    def get_return_value(self) -> int:
        return self._result


def require(condition: bool, message: str) -> None:
    """Fail when the driver does what no cluster allows."""
    if not condition:
        raise AssertionError(message)


def _rbd(cluster: Cluster) -> types.ModuleType:  # noqa: C901 (classes, not branches)
    module = types.ModuleType("rbd")

    class Error(Exception):
        errno: int | None = None

        def __init__(self, number: int | None = None) -> None:
            super().__init__("rbd failed")
            if number is not None:
                self.errno = number

    class ImageNotFound(Error):
        errno = errno.ENOENT

    class ImageExists(Error):
        errno = errno.EEXIST

    class ImageBusy(Error):
        errno = errno.EBUSY

    class ImageHasSnapshots(Error):
        errno = errno.ENOTEMPTY

    class RBD:
        def create(self, pool: object, name: str, size: int, order: int, old_format: bool) -> None:
            cluster.check("create", Error)
            if name in cluster.images:
                raise ImageExists()
            cluster.images[name] = {
                "id": str(next(cluster.ids)),
                "data": bytearray(size),
                "order": order,
                "snapshots": {},
                "watchers": [],
                "clones": 0,
                "created": cluster.now,
            }

        def remove(self, pool: object, name: str) -> None:
            cluster.check("remove", Error)
            found = cluster.images[name]
            if found["snapshots"]:
                raise ImageHasSnapshots()
            if found["watchers"]:
                raise ImageBusy()
            del cluster.images[name]

        def list(self, pool: object) -> list[str]:
            return sorted(cluster.images)

        def trash_move(self, pool: object, name: str, delay: int) -> None:
            cluster.trash.append(name)
            del cluster.images[name]

    class Image:
        def __init__(
            self, pool: object, name: str, snapshot: str | None = None, read_only: bool = False
        ) -> None:
            cluster.check("open", Error)
            try:
                self._image = cluster.images[name]
                self._data = (
                    self._image["data"]
                    if snapshot is None
                    else self._image["snapshots"][snapshot]["data"]
                )
            except KeyError:
                raise ImageNotFound() from None
            self.closed = False

        def __enter__(self) -> Image:
            return self

        def __exit__(self, *error: object) -> None:
            self.close()

        def close(self) -> None:
            self.closed = True

        def id(self) -> str:
            return self._image["id"]

        def size(self) -> int:
            cluster.check("size", Error)
            return len(self._data)

        def resize(self, size: int) -> None:
            del self._data[size:]
            self._data.extend(bytes(size - len(self._data)))

        def aio_write(self, data: bytes, offset: int, callback: Callable) -> Completion:
            if not isinstance(data, bytes):
                raise TypeError("data must be a byte string")
            left = cluster.failures.get("write")
            if left:
                return Completion(-left.pop(0), lambda: None)
            require(offset + len(data) <= len(self._data), "a write beyond the end")
            self._data[offset : offset + len(data)] = data
            return Completion(0, lambda: callback(None))

        def aio_read(self, offset: int, length: int, callback: Callable) -> Completion:
            require(not self.closed, "a read from an image that was closed")
            left = cluster.failures.get("read")
            if left:
                return Completion(-left.pop(0), lambda: None)
            data = bytes(self._data[offset : offset + length])
            return Completion(len(data), lambda: callback(None, data))

        def flush(self) -> None:
            cluster.check("flush", Error)

        def create_snap(self, name: str) -> None:
            self._image["snapshots"][name] = {"data": bytearray(self._data), "protected": False}

        def protect_snap(self, name: str) -> None:
            self._image["snapshots"][name]["protected"] = True

        def is_protected_snap(self, name: str) -> bool:
            return self._image["snapshots"][name]["protected"]

        def unprotect_snap(self, name: str) -> None:
            if self._image["clones"]:
                raise ImageBusy()
            self._image["snapshots"][name]["protected"] = False

        def remove_snap(self, name: str) -> None:
            require(not self._image["snapshots"][name]["protected"], "a protected snapshot")
            del self._image["snapshots"][name]

        def list_snaps(self) -> list[dict]:
            return [{"name": name} for name in self._image["snapshots"]]

        def watchers_list(self) -> list:
            return self._image["watchers"]

        def create_timestamp(self) -> datetime.datetime:
            return self._image["created"]

        modify_timestamp = create_timestamp

    for each in (Error, ImageNotFound, ImageExists, ImageBusy, ImageHasSnapshots, RBD, Image):
        setattr(module, each.__name__, each)
    return module
