"""Changes that a Galera cluster compares with those of other nodes.

Two transactions on two nodes can both commit unless they change the same row:
when it commits, a transaction is certified by the keys of the rows that it
changed.  ``SELECT ... FOR UPDATE`` changes none, nor does an UPDATE that sets
what is there already, such as ``updated_at`` in the same second.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import event

#: The key in the ``info`` of a connection.
_INFO = "galera"
#: Works for any row and leaves nothing behind; the event of each UPDATE is certified.
_CHANGE_AND_REVERT = ("created_at + INTERVAL 1 SECOND", "created_at - INTERVAL 1 SECOND")


def detect_node(engine: sa.Engine) -> None:
    """Ask the first connection of a MySQL engine whether it leads to a Galera node."""
    known: list[bool] = []

    @event.listens_for(engine, "connect")
    def ask(connection, record) -> None:
        if not known:
            cursor = connection.cursor()
            cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
            row = cursor.fetchone()
            cursor.close()
            known.append(row is not None and row[1] == "ON")
        record.info[_INFO] = known[0]


def is_node(connection: sa.Connection) -> bool:
    """Does the connection lead to a node of a Galera cluster?"""
    return bool(connection.info.get(_INFO))


def certify(connection: sa.Connection, table: sa.Table, key: str | int | None) -> None:
    """On a Galera node, have this transaction conflict with all others that certify the row.

    Elsewhere nothing is done: there the lock of the row keeps others away.

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
