"""Makes transactions on different nodes of a Galera cluster conflict.

Locks hold on one node only.  At COMMIT the cluster certifies a transaction by the keys of the rows
that it changed, so two transactions on two nodes both commit unless they change the same row.
``SELECT ... FOR UPDATE`` changes no row, nor does an UPDATE that sets the present values, such as
``updated_at`` in the same second (``tests/contract/dal/galera_cases.py``).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

#: The key in the ``info`` of a connection.
_INFO = "galera"
#: Two UPDATEs that leave the row as it was; each is an event that is certified.
_CHANGE_AND_REVERT = ("created_at + INTERVAL 1 SECOND", "created_at - INTERVAL 1 SECOND")


def detect_node(engine: sa.Engine) -> None:
    """Find out with the first connection of a MySQL engine whether the server is a Galera node."""
    known: list[bool] = []

    @event.listens_for(engine, "connect")
    def ask(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        if not known:
            cursor = connection.cursor()
            cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
            row = cursor.fetchone()
            cursor.close()
            known.append(row is not None and row[1] == "ON")
        record.info[_INFO] = known[0]


def is_node(connection: sa.Connection) -> bool:
    """True when the server of the connection is a node of a Galera cluster."""
    return bool(connection.info.get(_INFO))


def certify(connection: sa.Connection, table: sa.Table, key: str | int | None) -> None:
    """On a Galera node, make this transaction conflict with all others that certify the row.

    On other servers it does nothing: there the lock of the row suffices.

    :param table: has the columns ``id`` and ``created_at``.
    :param key: the ``id`` of the row.
    """
    if not is_node(connection):
        return
    for change in _CHANGE_AND_REVERT:
        connection.execute(
            table.update()
            .where(table.c.id == sa.bindparam("this_row"))
            .values(created_at=sa.text(change)),
            {"this_row": key},
        )
