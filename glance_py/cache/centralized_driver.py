"""A cache driver with its entries in the database, where each host sees those of all hosts."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence

from glance_py.cache.directory import CacheBusy, CacheDirectory
from glance_py.domain import errors
from glance_py.domain.cached_image import CachedImage
from glance_py.domain.ports.cached_image import CachedImageRepository

LOG = logging.getLogger(__name__)


class CentralizedCacheDriver:
    """The entries of the host with this URL."""

    def __init__(self, repository: CachedImageRepository, url: str) -> None:
        self._repository = repository
        self._url = url
        self._cached_node_id: int | None = None

    @property
    def _node_id(self) -> int:
        """The number of this host; read from the database once."""
        if self._cached_node_id is None:
            self._cached_node_id = self._repository.get_or_create_node(self._url)
        return self._cached_node_id

    def migrate_from_sqlite(self, directory: CacheDirectory, name: str) -> None:
        """Move the entries of the sqlite driver, in the file ``name``, into the database.

        The file is removed afterwards.  When that is not possible now, a warning is logged and
        the next start tries again.
        """
        path = os.path.join(directory.path, name)
        if not os.path.isfile(path):
            return
        try:
            with directory.locked():
                if not os.path.isfile(path):
                    return
                entries = _read_sqlite_entries(path)
                self._repository.import_entries(self._node_id, entries)
                os.unlink(path)
                LOG.info(
                    "%d entries of the image cache moved from %s into the database",
                    len(entries),
                    path,
                )
        except (CacheBusy, errors.GlanceError, sqlite3.Error) as error:
            LOG.warning("The entries in %s stay there until the next start: %s", path, error)

    def add(self, image_id: str, size: int) -> None:
        self._repository.add(self._node_id, image_id, size)

    def hit(self, image_id: str, size: int) -> None:
        self._repository.hit(self._node_id, image_id, size)

    def remove(self, image_id: str) -> None:
        self._repository.remove(self._node_id, image_id)

    def entries(self) -> Sequence[CachedImage]:
        return self._repository.entries(self._node_id)

    def nodes(self, image_id: str) -> list[str]:
        return self._repository.nodes(image_id)


def _read_sqlite_entries(path: str) -> list[CachedImage]:
    connection = sqlite3.connect(path)
    try:
        entries = connection.execute(
            "SELECT image_id, hits, last_accessed, last_modified, size FROM cached_images"
        ).fetchall()
    except sqlite3.OperationalError:
        # The file has no table: the sqlite driver created it and did not use it.
        return []
    finally:
        connection.close()
    return [CachedImage(*row) for row in entries]
