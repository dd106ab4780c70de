"""Writes that are done once however often they are asked for.

A client that lost the answer to a write asks again under the same key.  The
answer is kept in the transaction of the write itself: whoever finds it knows
that the write was done, and whoever does not may do it, since a write of the
same key that is still under way holds the key until it ends.  So it does not
matter which process or host is asked again.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from glance_py.db.database import Database
from glance_py.db.tables import registry_answers
from glance_py.domain import errors

LOG = logging.getLogger(__name__)

#: Seconds for which an answer is kept at least; clients ask again within minutes.  The clocks
#: of hosts may differ by less.
RETENTION = 3600.0
#: Seconds between two looks for answers that are older, in each process.
CLEANUP_INTERVAL = 600.0
#: Answers that one transaction removes.
BATCH = 500

_ANSWER = sa.select(registry_answers.c.answer).where(registry_answers.c.id == sa.bindparam("key"))
_EXPIRED = (
    sa.select(registry_answers.c.id)
    .where(registry_answers.c.created_at < sa.bindparam("before"))
    .order_by(registry_answers.c.created_at)
    .limit(BATCH)
)
_DELETE = registry_answers.delete().where(
    registry_answers.c.id.in_(sa.bindparam("those", expanding=True))
)


class SqlIdempotentWrites:
    """Answers in a database, by key."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._next_cleanup = clock()

    def run_once(self, key: str, run: Callable[[], bytes]) -> bytes:
        """The answer that is kept under ``key``, or what ``run`` returns.

        The writes of ``run`` through the same database become one transaction, which keeps
        the answer, too.  It may run several times and must have no other effects.

        :param key: at most 64 characters; nobody else may be able to guess it.
        :raises errors.GlanceError: what ``run`` raises, when the key has no answer.
        :raises errors.OutcomeUnknown: the answer to COMMIT was lost; to ask again under the
            same key does no harm.
        """

        def keep(connection: sa.Connection, answer: bytes) -> None:
            connection.execute(
                registry_answers.insert(),
                {"id": key, "created_at": self._database.now(), "answer": answer},
            )

        try:
            answer = self._database.in_one_transaction(run, keep)
        except errors.GlanceError:
            # It may have been done before: then it is no wonder that it cannot be done again.
            found = self.find(key)
            if found is None:
                raise
            return found
        self._delete_expired()
        return answer

    def find(self, key: str) -> bytes | None:
        """The answer that is kept under ``key``."""
        return self._database.read(lambda connection: connection.scalar(_ANSWER, {"key": key}))

    def _delete_expired(self) -> None:
        with self._lock:
            if self._clock() < self._next_cleanup:
                return
            self._next_cleanup = self._clock() + CLEANUP_INTERVAL
        try:
            while self._delete_batch() == BATCH:
                pass
        except errors.GlanceError as error:
            LOG.warning("Old answers of the registry were not removed: %s", error)

    def _delete_batch(self) -> int:
        before = self._database.now() - datetime.timedelta(seconds=RETENTION)
        those = self._database.read(
            lambda connection: connection.scalars(_EXPIRED, {"before": before}).all()
        )
        if those:
            self._database.write(lambda connection: connection.execute(_DELETE, {"those": those}))
        return len(those)
