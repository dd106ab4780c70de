"""Idempotent writes: a write with a key is applied once, however often it is requested.

A client that got no answer to a write repeats it with the same key.  The answer is inserted in the
transaction of the write, so a stored answer means that the write was committed.  Without one the
write may run: a write with the same key that is still running holds the key, which is unique,
until it ends.  A repeated request may therefore reach another process or host.
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

#: Seconds for which an answer is stored at least; clients repeat within minutes.  Clocks of hosts
#: differ by less.
RETENTION = 3600.0
#: Seconds between two deletions of expired answers, in each process.
CLEANUP_INTERVAL = 600.0
#: Answers that one transaction deletes.
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
    """Stores answers in a database, by key.

    :param clock: seconds that only increase, for CLEANUP_INTERVAL.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._next_cleanup = clock()

    def run_once(self, key: str, run: Callable[[], bytes]) -> bytes:
        """The answer that is stored under ``key``, or what ``run`` returns.

        The writes of ``run`` through the same database become one transaction, which also
        stores the answer.  ``run`` may be called several times and must have no other effects.

        :param key: at most 64 characters; other clients must not be able to guess it.
        :raises errors.GlanceError: what ``run`` raises, when no answer is stored.
        :raises errors.OutcomeUnknown: the answer to COMMIT was lost; the request may be repeated
            with the same key.
        """

        def keep(connection: sa.Connection, answer: bytes) -> None:
            connection.execute(
                registry_answers.insert(),
                {"id": key, "created_at": self._database.now(), "answer": answer},
            )

        try:
            answer = self._database.in_one_transaction(run, keep)
        except errors.GlanceError:
            # The write may have been applied before, and fail for that reason.
            found = self.find(key)
            if found is None:
                raise
            return found
        self._delete_expired()
        return answer

    def find(self, key: str) -> bytes | None:
        """The answer that is stored under ``key``, None without one."""
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
            LOG.warning("Expired answers of the registry were not deleted: %s", error)

    def _delete_batch(self) -> int:
        before = self._database.now() - datetime.timedelta(seconds=RETENTION)
        those = self._database.read(
            lambda connection: connection.scalars(_EXPIRED, {"before": before}).all()
        )
        if those:
            self._database.write(lambda connection: connection.execute(_DELETE, {"those": those}))
        return len(those)
