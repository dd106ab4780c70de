"""A cache driver with its entries in the files: extended attributes and times.

The file system must have user extended attributes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from glance_py.cache.directory import CacheDirectory
from glance_py.cache.driver import BadDriverConfiguration, LocalCacheDriver
from glance_py.domain.cached_image import CachedImage

_HITS = "user.hits"


class XattrCacheDriver(LocalCacheDriver):
    """Reads hits from an attribute, and times and size from the status, of each file.

    :raises BadDriverConfiguration: the file system has no extended attributes.
    """

    def __init__(self, directory: CacheDirectory) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        probe = os.path.join(directory.path, "checkme")
        try:
            with open(probe, "w"):
                os.setxattr(probe, _HITS, b"1")
        except OSError as error:
            raise BadDriverConfiguration(
                f"no extended attributes in image_cache_dir ({error.strerror})"
            ) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(probe)

    def add(self, image_id: str, size: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.setxattr(self._directory.image_path(image_id), _HITS, b"0")
            os.utime(self._directory.image_path(image_id))

    def hit(self, image_id: str, size: int) -> None:
        path = self._directory.image_path(image_id)
        with contextlib.suppress(FileNotFoundError), self._lock:
            stat = os.stat(path)
            # A file system that is mounted with noatime does not set it.
            os.utime(path, ns=(time.time_ns(), stat.st_mtime_ns))
            os.setxattr(path, _HITS, str(_hits(path) + 1).encode())

    def remove(self, image_id: str) -> None:
        """Do nothing: the entry is part of the file."""

    def entries(self) -> list[CachedImage]:
        found = []
        for image_id, stat in self._directory.image_files().items():
            with contextlib.suppress(FileNotFoundError):
                found.append(
                    CachedImage(
                        image_id,
                        _hits(self._directory.image_path(image_id)),
                        stat.st_atime,
                        stat.st_mtime,
                        stat.st_size,
                    )
                )
        return sorted(found, key=lambda entry: (entry.last_modified, entry.image_id))


def _hits(path: str) -> int:
    try:
        return int(os.getxattr(path, _HITS))
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return 0
