"""The DAL for the image cache: the port ``CachedImageRepository`` in SQL.

A row says that a node has an image; where a node keeps the file is not known
here.
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
    """Cached images in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_or_create_node(self, url: str) -> int:
        """The number of the node with this URL; a new one is recorded."""
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
            # Another worker of the node was quicker.
            pass
        made = self._find_node(url)
        if made is None:
            raise errors.DatabaseUnavailable()
        return made

    def _find_node(self, url: str) -> int | None:
        return self._database.read(lambda connection: connection.scalar(_NODE_OF, {"url": url}))

    def add(self, node: int, image_id: str, size: int, hits: int = 0) -> None:
        """A node has an image of ``size`` bytes; what was known of it is forgotten."""
        now = self._database.now()
        row = _row(node, image_id, hits, now, now, size)
        bound = {"node": node, "image": image_id}

        def work(connection: sa.Connection) -> None:
            connection.execute(_REMOVE, bound)
            connection.execute(cached_images.insert(), row)

        try:
            self._database.write(work)
        except errors.Duplicate:
            # Another worker of the node entered it between the two statements.
            pass

    def hit(self, node: int, image_id: str, size: int) -> None:
        """An image was read on a node; one that is not known there is entered."""
        bound = {"node": node, "image": image_id, "now": self._database.now()}
        changed = self._database.write(lambda connection: connection.execute(_HIT, bound).rowcount)
        if not changed:
            self.add(node, image_id, size, hits=1)

    def remove(self, node: int, image_id: str) -> None:
        """A node does not have an image, or not any more."""
        self._database.write(
            lambda connection: connection.execute(_REMOVE, {"node": node, "image": image_id})
        )

    def entries(self, node: int) -> Sequence[CachedImage]:
        """What a node has, in the order in which it came."""
        rows = self._database.read(
            lambda connection: connection.execute(_ENTRIES, {"node": node}).all()
        )
        return [
            CachedImage(row[0], row[1], _epoch(row[2]), _epoch(row[3]), *row[4:]) for row in rows
        ]

    def nodes(self, image_id: str) -> list[str]:
        """The URLs of the nodes that have an image."""
        return self._database.read(
            lambda connection: list(connection.scalars(_NODES, {"image": image_id}))
        )

    def import_entries(self, node: int, images: Iterable[CachedImage]) -> None:
        """Enter what a node knew of its images before; images that are known stay."""
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
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
