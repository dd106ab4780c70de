"""Finds other images with the same location URL, also when URLs are encrypted.

``image_locations.value`` has no index, and an encrypted value differs each time.  The table
``location_digests`` has a keyed digest of the URL for each location up to a certain row id; rows
with larger ids are read.  A lookup adds digests for further rows and no other code writes the
table, so that it does not matter which process or release inserted a location.  The digests are
only a hint: the URL of the location itself is compared, and without the table all locations are
read.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import threading
import time

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from glance_py.db.database import Database
from glance_py.db.hints import not_deleted
from glance_py.db.tables import image_locations, location_digests

LOG = logging.getLogger(__name__)

#: The row with this id is no location: its digest identifies the key of all others.
KEY_ROW = 0
#: When more rows than this have no digest, a lookup adds digests.
MAX_UNINDEXED_ROWS = 500
#: Rows of one transaction that adds digests, and seconds that one lookup spends on it.
BATCH = 1000
UPDATE_SECONDS = 1.0
#: After so many rows, digests of purged locations are deleted.
CLEANUP_INTERVAL_ROWS = 10_000
#: Ids are assigned in order and committed in any order.  After so many seconds no transaction
#: can still commit a smaller id than those that are visible.
SETTLED_SECONDS = 3600

_IN_USE = not_deleted(image_locations) | sa.and_(
    image_locations.c.status == "pending_delete", image_locations.c.deleted == sa.true()
)
_OF_OTHER_IMAGES = sa.select(image_locations.c.value).where(
    _IN_USE, image_locations.c.image_id != sa.bindparam("this_image")
)
_UNINDEXED = _OF_OTHER_IMAGES.where(image_locations.c.id > sa.bindparam("reach"))
_UNINDEXED_WITH_URL = _UNINDEXED.where(image_locations.c.value == sa.bindparam("url")).limit(1)
_INDEXED = _OF_OTHER_IMAGES.join(
    location_digests,
    location_digests.c.location_id == image_locations.c.id,
).where(location_digests.c.digest == sa.bindparam("digest"))
_STATE = sa.select(
    sa.select(location_digests.c.digest)
    .where(location_digests.c.location_id == KEY_ROW)
    .scalar_subquery(),
    sa.select(sa.func.max(location_digests.c.location_id)).scalar_subquery(),
    sa.select(sa.func.max(image_locations.c.id)).scalar_subquery(),
)
_NEXT = (
    sa.select(image_locations.c.id, image_locations.c.value)
    .where(image_locations.c.id > sa.bindparam("reach"))
    .order_by(image_locations.c.id)
    .limit(sa.bindparam("limit"))
)
#: The first row that is too new.  Rows behind it get no digest yet, whatever their age.
_UNSETTLED = sa.select(sa.func.min(image_locations.c.id)).where(
    image_locations.c.id > sa.bindparam("reach"),
    image_locations.c.id <= sa.bindparam("last"),
    image_locations.c.created_at > sa.bindparam("since"),
)
_PURGED = (
    sa.select(location_digests.c.location_id)
    .where(
        location_digests.c.location_id != KEY_ROW,
        ~sa.exists().where(image_locations.c.id == location_digests.c.location_id),
    )
    .limit(BATCH)
)
_DELETE = location_digests.delete().where(
    location_digests.c.location_id.in_(sa.bindparam("those", expanding=True))
)


class LocationIndex:
    """Finds locations by their URL.  Safe in threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cipher = database.cipher
        self._updating = threading.Lock()

    def has_other_image(self, image_id: str, url: str) -> bool:
        """True when another image than ``image_id`` has data at ``url`` that is not deleted yet.

        :raises errors.GlanceError: a URL cannot be decrypted.
        """
        last_indexed, last = self._database.read(self._read_state)
        found = self._is_indexed(image_id, url) if last_indexed else False
        found = found or self._is_unindexed(image_id, url, last_indexed)
        if last - last_indexed > MAX_UNINDEXED_ROWS:
            self._update()
        return found

    def _read_state(self, connection: sa.Connection) -> tuple[int, int]:
        """The largest id with a digest, and the largest of all; 0 for none.

        (0, 0) where digests are not used.
        """
        if connection.dialect.name == "sqlite":
            return 0, 0  # It reuses ids; and large catalogues are not on SQLite.
        try:
            key, last_indexed, last = connection.execute(_STATE).one()
        except (db_exc.DBError, sa_exc.ProgrammingError):
            if sa.inspect(connection).has_table(location_digests.name):
                raise
            # The release is newer than the schema: "glance-manage db expand" was not run yet.
            return 0, 0
        return last_indexed if key == self._fingerprint() else 0, last or 0

    def _is_indexed(self, image_id: str, url: str) -> bool:
        values = self._database.read(
            lambda connection: (
                connection.execute(_INDEXED, {"this_image": image_id, "digest": self._digest(url)})
                .scalars()
                .all()
            )
        )
        return any(self._decrypt(value) == url for value in values)

    def _is_unindexed(self, image_id: str, url: str, last_indexed: int) -> bool:
        bound = {"this_image": image_id, "reach": last_indexed}
        if self._cipher is None:
            return (
                self._database.read(
                    lambda connection: connection.execute(
                        _UNINDEXED_WITH_URL, {**bound, "url": url}
                    ).first()
                )
                is not None
            )
        return self._database.read(
            lambda connection: any(
                self._decrypt(value) == url
                for value in connection.execute(_UNINDEXED, bound).scalars()
            )
        )

    # --- Bringing it up to date ------------------------------------------------------------------

    def _update(self) -> None:
        """Add digests for further rows, unless another thread does."""
        if not self._updating.acquire(blocking=False):
            return
        try:
            deadline = time.monotonic() + UPDATE_SECONDS
            while time.monotonic() < deadline:
                if self._database.write(self._index_next_rows, lock="location digests") < BATCH:
                    break
        except Exception as error:
            # The lookup itself has succeeded.
            LOG.warning("No digests could be added to location_digests: %s", error)
        finally:
            self._updating.release()

    def _index_next_rows(self, connection: sa.Connection) -> int:
        """Add digests for the next rows in the caller's transaction; returns how many."""
        last_indexed, _ = self._read_state(connection)
        if not last_indexed:
            # There are no digests, or they were made with another key.
            connection.execute(location_digests.delete())
            connection.execute(
                location_digests.insert(), {"location_id": KEY_ROW, "digest": self._fingerprint()}
            )
        rows = [
            tuple(row) for row in connection.execute(_NEXT, {"reach": last_indexed, "limit": BATCH})
        ]
        if rows:
            since = self._database.now() - datetime.timedelta(seconds=SETTLED_SECONDS)
            unsettled = connection.scalar(
                _UNSETTLED, {"reach": last_indexed, "last": rows[-1][0], "since": since}
            )
            if unsettled is not None:
                rows = [row for row in rows if row[0] < unsettled]
        if rows:
            connection.execute(
                location_digests.insert(),
                [
                    {"location_id": number, "digest": self._digest(self._decrypt(value))}
                    for number, value in rows
                ],
            )
            if rows[-1][0] // CLEANUP_INTERVAL_ROWS != last_indexed // CLEANUP_INTERVAL_ROWS:
                purged = connection.execute(_PURGED).scalars().all()
                connection.execute(_DELETE, {"those": purged})
        return len(rows)

    # --- With a key or without -------------------------------------------------------------------

    def _decrypt(self, value: str) -> str:
        return value if self._cipher is None else self._cipher.decrypt(value)

    def _digest(self, url: str) -> str:
        if self._cipher is None:
            return hashlib.sha256(url.encode()).hexdigest()
        return self._cipher.digest(url)

    def _fingerprint(self) -> str:
        return self._digest("fingerprint")
