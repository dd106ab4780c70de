"""Cached images of all nodes: the port ``CachedImageRepository`` in SQL.

A row means that a node has an image in its cache.  The path of the file is not recorded.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from glance_py.db.database import Database
from glance_py.db.tables import cached_images, node_reference
from glance_py.domain import errors
from glance_py.domain.cached_image import CachedImage

_NODE_OF = sa.select(node_reference.c.node_reference_id).where(
    node_reference.c.node_reference_url == sa.bindparam("url")
)
_OF_NODE = cached_images.c.node_reference_id == sa.bindparam("node")
_OF_IMAGE = cached_images.c.image_id == sa.bindparam("image")
_ENTRIES = (
    sa.select(
        cached_images.c.image_id,
        cached_images.c.hits,
        cached_images.c.last_accessed,
        cached_images.c.last_modified,
        cached_images.c.size,
        cached_images.c.id,
        cached_images.c.checksum,
    )
    .where(_OF_NODE)
    .order_by(cached_images.c.id)
)
_HIT = (
    cached_images.update()
    .where(_OF_NODE, _OF_IMAGE)
    .values(hits=cached_images.c.hits + 1, last_accessed=sa.bindparam("now"))
)
_REMOVE = cached_images.delete().where(_OF_NODE, _OF_IMAGE)
_NODES = (
    sa.select(node_reference.c.node_reference_url)
    .join_from(
        cached_images,
        node_reference,
        cached_images.c.node_reference_id == node_reference.c.node_reference_id,
    )
    .where(_OF_IMAGE)
    .order_by(node_reference.c.node_reference_url)
)


class SqlCachedImages:
    """Cached images in a database.  Nodes are known by the ids of their rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_or_create_node(self, url: str) -> int:
        """The id of the node with this URL; inserts the node when there is none."""
        found = self._find_node(url)
        if found is not None:
            return found
        try:
            self._database.write(
                lambda connection: connection.execute(
                    node_reference.insert(), {"node_reference_url": url}
                )
            )
        except errors.Duplicate:
            # Another worker of the node has inserted it meanwhile.
            pass
        made = self._find_node(url)
        if made is None:
            raise errors.DatabaseUnavailable()
        return made

    def _find_node(self, url: str) -> int | None:
        return self._database.read(lambda connection: connection.scalar(_NODE_OF, {"url": url}))

    def add(self, node: int, image_id: str, size: int, hits: int = 0) -> None:
        """Insert an image that a node has; replaces an existing row.

        :param size: bytes.
        """
        now = self._database.now()
        row = _row(node, image_id, hits, now, now, size)
        bound = {"node": node, "image": image_id}

        def work(connection: sa.Connection) -> None:
            connection.execute(_REMOVE, bound)
            connection.execute(cached_images.insert(), row)

        try:
            self._database.write(work)
        except errors.Duplicate:
            # Another worker of the node has inserted it between the two statements.
            pass

    def hit(self, node: int, image_id: str, size: int) -> None:
        """Count a read of an image on a node; inserts the image when it has no row.

        :param size: bytes.
        """
        bound = {"node": node, "image": image_id, "now": self._database.now()}
        changed = self._database.write(lambda connection: connection.execute(_HIT, bound).rowcount)
        if not changed:
            self.add(node, image_id, size, hits=1)

    def remove(self, node: int, image_id: str) -> None:
        """Delete the row of an image on a node, if there is one."""
        self._database.write(
            lambda connection: connection.execute(_REMOVE, {"node": node, "image": image_id})
        )

    def entries(self, node: int) -> Sequence[CachedImage]:
        """The images of a node, in the order in which they were inserted."""
        rows = self._database.read(
            lambda connection: connection.execute(_ENTRIES, {"node": node}).all()
        )
        return [
            CachedImage(row[0], row[1], _epoch(row[2]), _epoch(row[3]), *row[4:]) for row in rows
        ]

    def nodes(self, image_id: str) -> list[str]:
        """The URLs of the nodes that have an image, in alphabetical order."""
        return self._database.read(
            lambda connection: list(connection.scalars(_NODES, {"image": image_id}))
        )

    def import_entries(self, node: int, images: Iterable[CachedImage]) -> None:
        """Insert images of a node that have no row yet."""
        rows = [
            _row(
                node,
                image.image_id,
                image.hits,
                _moment(image.last_accessed),
                _moment(image.last_modified),
                image.size,
            )
            for image in images
        ]

        def work(connection: sa.Connection) -> None:
            known = {row.image_id for row in connection.execute(_ENTRIES, {"node": node})}
            new = [row for row in rows if row["image_id"] not in known]
            if new:
                connection.execute(cached_images.insert(), new)

        self._database.write(work)


def _row(
    node: int,
    image_id: str,
    hits: int,
    accessed: datetime.datetime,
    modified: datetime.datetime,
    size: int,
) -> dict[str, object]:
    return {
        "image_id": image_id,
        "hits": hits,
        "last_accessed": accessed,
        "last_modified": modified,
        "size": size,
        "node_reference_id": node,
    }


def _epoch(moment: datetime.datetime) -> float:
    """Seconds since 1970 of a naive UTC time."""
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def _moment(seconds: float) -> datetime.datetime:
    """The naive UTC time of seconds since 1970."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
