"""A cache driver with its entries in an SQLite file in the directory of the cache."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator

from glance_py.cache.directory import CacheDirectory
from glance_py.cache.driver import LocalCacheDriver
from glance_py.domain.cached_image import CachedImage

#: Seconds to wait for a lock of another process on the file.
_BUSY_TIMEOUT = 20.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cached_images (
    image_id TEXT PRIMARY KEY, last_accessed REAL DEFAULT 0.0, last_modified REAL DEFAULT 0.0,
    size INTEGER DEFAULT 0, hits INTEGER DEFAULT 0, checksum TEXT)
"""
_COLUMNS = "image_id, hits, last_accessed, last_modified, size"


class SqliteCacheDriver(LocalCacheDriver):
    """The table ``cached_images`` in the file ``name``; created when it does not exist."""

    def __init__(self, directory: CacheDirectory, name: str) -> None:
        self._path = os.path.join(directory.path, name)
        with self._transaction() as connection:
            connection.execute(_SCHEMA)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction on a new connection.

        To open one costs less than a pool that is safe in threads and after forks.
        """
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT)
        try:
            # A power failure may lose the last entries; the files are authoritative.
            connection.execute("PRAGMA synchronous = OFF")
            with connection:
                yield connection
        finally:
            connection.close()

    def add(self, image_id: str, size: int) -> None:
        self._insert(image_id, size, hits=0)

    def _insert(self, image_id: str, size: int, hits: int) -> None:
        now = time.time()
        with self._transaction() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO cached_images ({_COLUMNS}) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?)",
                (image_id, hits, now, now, size),
            )

    def hit(self, image_id: str, size: int) -> None:
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE cached_images SET hits = hits + 1, last_accessed = ? WHERE image_id = ?",
                (time.time(), image_id),
            ).rowcount
        if not changed:
            self._insert(image_id, size, hits=1)

    def remove(self, image_id: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM cached_images WHERE image_id = ?", (image_id,))

    def entries(self) -> list[CachedImage]:
        with self._transaction() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM cached_images "  # noqa: S608
                "ORDER BY last_modified, image_id"
            ).fetchall()
        return [CachedImage(*row) for row in rows]
