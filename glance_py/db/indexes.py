"""Optional indexes for large catalogues: ``glance-manage db indexes``.

The schema is shared with the original service, which has no index on names, nor on values of
properties and tags.  An operator may add these; both services work with and without them, and no
statement names one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import re
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from glance_py.db import errors as db_errors
from glance_py.db import locks
from glance_py.db.connection_setup import is_behind_pooler
from glance_py.db.database import Database
from glance_py.db.timeouts import RETRY_TIMEOUT
from glance_py.domain import errors
from glance_store_py.process import start_thread

#: Seconds between two reports of the progress of a build.
PROGRESS_INTERVAL = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Index:
    """One index.

    :param used_by: the lists and counts that become fast with it, for the operator.
    :param columns: for each product that has it, the definition after the name of the table, as
        the product itself shows it.
    """

    name: str
    table: str
    used_by: str
    columns: Mapping[str, str]


def _all_dialects(columns: str) -> dict[str, str]:
    return {
        "postgresql": f"USING btree ({columns})",
        "mysql": f"({columns})",
        "sqlite": f"({columns})",
    }


INDEXES = (
    # A value may be longer than a B-tree of PostgreSQL allows; a hash index has no limit.
    Index(
        "image_properties_value",
        "image_properties",
        "lists filtered by a property",
        {"postgresql": "USING hash (value)"},
    ),
    Index(
        "image_properties_name_value",
        "image_properties",
        "lists filtered by a property; quotas",
        {"mysql": "(name, value(64))", "sqlite": "(name, value)"},
    ),
    Index(
        "image_properties_copying",
        "image_properties",
        "quotas of projects with many images",
        {
            "postgresql": "USING btree (image_id) "
            "WHERE ((name)::text = 'os_glance_importing_to_stores'::text)"
        },
    ),
    Index(
        "image_tags_value",
        "image_tags",
        "lists filtered by a tag",
        _all_dialects("value, image_id"),
    ),
    Index(
        "image_members_member",
        "image_members",
        "lists of who has images shared with it",
        _all_dialects("member, image_id"),
    ),
    Index(
        "images_name",
        "images",
        "lists filtered or sorted by name",
        _all_dialects("name, created_at, id")
        | {"postgresql": "USING btree (name NULLS FIRST, created_at, id)"},
    ),
    # All columns that quotas read of an image, ordered so that its locations are near each other.
    Index(
        "images_owner_usage",
        "images",
        "quotas of projects with many images",
        _all_dialects("owner, id, status, deleted, size"),
    ),
)


class IndexState(enum.Enum):
    """The state of an index, as ``glance-manage db indexes`` shows it."""

    PRESENT = "present"
    MISSING = "missing"
    #: A build was interrupted: PostgreSQL writes the index and never reads it.
    INVALID = "unfinished"
    #: Another index has its name.
    FOREIGN = "other"


@dataclasses.dataclass(frozen=True, slots=True)
class IndexStatus:
    """An index and the index that the database has under its name.

    :param definition: of the index in the database, None without one.
    :param size: bytes, None where the database does not report it.
    """

    index: Index
    state: IndexState
    definition: str | None = None
    size: int | None = None


def for_dialect(dialect: str) -> tuple[Index, ...]:
    """The indexes for one product: postgresql, mysql or sqlite."""
    return tuple(index for index in INDEXES if dialect in index.columns)


def inspect_indexes(database: Database) -> list[IndexStatus]:
    """The status of each index.  Reads only the catalogue of the server.

    :raises errors.Conflict: there are no tables yet.
    """
    return database.read(lambda connection: _inspect_indexes(connection, database.dialect))


def add(database: Database, index: Index, report_progress: Callable[[str], None]) -> None:
    """Build an index without blocking writers (on SQLite they wait).

    An unfinished index is dropped first.  An exception, such as KeyboardInterrupt, cancels the
    build.

    :param report_progress: called about once a second with the progress in a few words.
    :raises errors.Conflict: another process changes indexes, the server refuses, or the
        connection is one of a pooler.
    """

    def work(connection: sa.Connection) -> None:
        # The lock excludes other builds, so an invalid index is an unfinished one.
        [found] = [
            each for each in _inspect_indexes(connection, database.dialect) if each.index == index
        ]
        if found.state is IndexState.INVALID:
            connection.exec_driver_sql(_drop(database.dialect, index))
        if found.state in (IndexState.INVALID, IndexState.MISSING):
            connection.exec_driver_sql(_create(database.dialect, index))

    _run(database, work, report_progress)


def drop(database: Database, index: Index, report_progress: Callable[[str], None]) -> None:
    """Drop an index without blocking others, finished or not; a foreign one stays.

    Arguments and errors as in :func:`add`.
    """

    def work(connection: sa.Connection) -> None:
        [found] = [
            each for each in _inspect_indexes(connection, database.dialect) if each.index == index
        ]
        if found.state in (IndexState.PRESENT, IndexState.INVALID):
            connection.exec_driver_sql(_drop(database.dialect, index))

    _run(database, work, report_progress)


# --- Statements ------------------------------------------------------------------------------


def _create(dialect: str, index: Index) -> str:
    concurrently = "CONCURRENTLY " if dialect == "postgresql" else ""
    online = " ALGORITHM=INPLACE LOCK=NONE" if dialect == "mysql" else ""
    return (
        f"CREATE INDEX {concurrently}{index.name} ON {index.table} {index.columns[dialect]}{online}"
    )


def _drop(dialect: str, index: Index) -> str:
    if dialect == "mysql":
        return f"ALTER TABLE {index.table} DROP INDEX {index.name}, ALGORITHM=INPLACE, LOCK=NONE"
    return f"DROP INDEX {'CONCURRENTLY ' if dialect == 'postgresql' else ''}{index.name}"


# --- Inspection ------------------------------------------------------------------------------

#: Definition, is it finished, bytes; see :class:`IndexStatus`.
_Found = tuple[str | None, bool, int | None]
_NONE: _Found = (None, True, None)

#: (definition, is it finished, bytes) of the index that the search path finds.
_POSTGRESQL = sa.text("""
    SELECT pg_get_indexdef(indexrelid), indisvalid, pg_relation_size(indexrelid)
    FROM pg_index WHERE indexrelid = to_regclass(:name)
""")
#: One row for each of its columns.
_MYSQL = sa.text("""
    SELECT column_name AS name, sub_part AS prefix, non_unique = 1 AND index_type = 'BTREE' AS plain
    FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = :table AND index_name = :name
    ORDER BY seq_in_index
""")
_MYSQL_SIZE = sa.text("""
    SELECT stat_value * @@innodb_page_size FROM mysql.innodb_index_stats
    WHERE database_name = DATABASE() AND table_name = :table AND index_name = :name
    AND stat_name = 'size'
""")
_SQLITE = sa.text("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND name = :name")


def _inspect_indexes(connection: sa.Connection, dialect: str) -> list[IndexStatus]:
    if not sa.inspect(connection).has_table("images"):
        raise errors.Conflict("The database has no tables yet; run 'glance-manage db sync'.")
    return [
        _index_status(index, dialect, *_INSPECT[dialect](connection, index))
        for index in for_dialect(dialect)
    ]


def _index_status(
    index: Index,
    dialect: str,
    definition: str | None,
    is_valid: bool,
    size: int | None,
) -> IndexStatus:
    if definition is None:
        return IndexStatus(index, IndexState.MISSING)
    if definition != f"{index.table} {index.columns[dialect]}":
        return IndexStatus(index, IndexState.FOREIGN, definition, size)
    return IndexStatus(
        index, IndexState.PRESENT if is_valid else IndexState.INVALID, definition, size
    )


def _inspect_postgresql(connection: sa.Connection, index: Index) -> _Found:
    row = connection.execute(_POSTGRESQL, {"name": index.name}).first()
    if row is None:
        return _NONE
    text, is_valid, size = row
    # CREATE INDEX name ON schema.table USING ...; UNIQUE stays and makes a difference.
    plain = re.sub(r"^CREATE INDEX \S+ ON (?:ONLY )?(?:\S+\.)?", "", text)
    return plain, is_valid, size


def _inspect_mysql(connection: sa.Connection, index: Index) -> _Found:
    parts = connection.execute(_MYSQL, {"name": index.name, "table": index.table}).all()
    if not parts:
        return _NONE
    columns = ", ".join(
        f"{part.name}({part.prefix})" if part.prefix else part.name for part in parts
    )
    special = "" if parts[0].plain else " (of another kind)"
    return f"{index.table} ({columns}){special}", True, _size_mysql(connection, index)


def _size_mysql(connection: sa.Connection, index: Index) -> int | None:
    # The user of a service usually may not read the database "mysql".
    with contextlib.suppress(Exception):
        size = connection.scalar(_MYSQL_SIZE, {"name": index.name, "table": index.table})
        return None if size is None else int(size)
    return None


def _inspect_sqlite(connection: sa.Connection, index: Index) -> _Found:
    row = connection.execute(_SQLITE, {"name": index.name}).first()
    if row is None:
        return _NONE
    if not row.sql or row.sql.upper().startswith("CREATE UNIQUE"):
        return f"{row.tbl_name} (of another kind)", True, None
    columns = " ".join(row.sql.partition("(")[2].split())
    return f"{row.tbl_name} ({columns}", True, None


_INSPECT: dict[str, Callable[[sa.Connection, Index], _Found]] = {
    "postgresql": _inspect_postgresql,
    "mysql": _inspect_mysql,
    "sqlite": _inspect_sqlite,
}


# --- Building --------------------------------------------------------------------------------

#: Settings of the session that changes an index.  A wait of PostgreSQL blocks no other session;
#: behind a wait of MySQL for a table all others queue.
_SESSION = {
    "postgresql": "SET lock_timeout = 0; SET statement_timeout = 0",
    "mysql": f"SET SESSION lock_wait_timeout = {int(RETRY_TIMEOUT)}",
}
#: Lock, settings and process would belong to the next client of the pooler.
_POOLER_REFUSED = (
    "A connection pooler (such as PgBouncer) stands between here and PostgreSQL. Indexes "
    "are built and dropped over a direct connection only: run this command with a "
    "configuration file whose [database] connection names the server itself."
)
_SESSION_ID = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
_CANCEL = {"postgresql": "SELECT pg_cancel_backend({})", "mysql": "KILL QUERY {}"}
_PROGRESS = {
    "postgresql": "SELECT phase || CASE WHEN blocks_total > 0 "
    "THEN ', ' || 100 * blocks_done / blocks_total || '%%' ELSE '' END "
    "FROM pg_stat_progress_create_index WHERE pid = {}",
    "mysql": "SELECT CONCAT(state, IF(progress > 0, CONCAT(', ', ROUND(progress), '%%'), '')) "
    "FROM information_schema.processlist WHERE id = {}",
}


def _run(
    database: Database,
    work: Callable[[sa.Connection], None],
    report_progress: Callable[[str], None],
) -> None:
    """Run ``work`` on a connection without time limit, and report its progress."""
    maintenance = database.with_long_timeouts()
    try:
        with maintenance.engine.connect() as connection:
            if is_behind_pooler(connection):
                raise errors.Conflict(_POOLER_REFUSED)
            if database.dialect in _SESSION:
                connection.exec_driver_sql(_SESSION[database.dialect]).close()
            with locks.try_session_lock(connection, "indexes"):
                _run_with_progress(database, connection, work, report_progress)
    except errors.GlanceError:
        raise
    except Exception as error:
        raise _translate_error(error) from error
    finally:
        maintenance.dispose()


def _run_with_progress(
    database: Database,
    connection: sa.Connection,
    work: Callable[[sa.Connection], None],
    report_progress: Callable[[str], None],
) -> None:
    # Drivers wait in C code until the server answers; this thread stays free for signals.
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            work(connection)
        except BaseException as error:
            failures.append(error)

    number = (
        connection.exec_driver_sql(_SESSION_ID[database.dialect]).scalar()
        if database.dialect in _SESSION_ID
        else None
    )
    worker = start_thread("index", attempt)
    try:
        worker.join(PROGRESS_INTERVAL)
        while worker.is_alive():
            report_progress(_progress(database, number))
            worker.join(PROGRESS_INTERVAL)
    except BaseException:
        _cancel(database, connection, number)
        worker.join()
        raise
    if failures:
        raise failures[0]


def _progress(database: Database, number: int | None) -> str:
    """The progress that the server reports; empty on MySQL and SQLite, which report none."""
    if number is not None:
        with contextlib.suppress(Exception):
            return str(_query_scalar(database, _PROGRESS[database.dialect], number) or "")
    return ""


def _cancel(database: Database, connection: sa.Connection, number: int | None) -> None:
    if number is None:
        connection.connection.driver_connection.interrupt()  # type: ignore[union-attr]
    else:
        _query_scalar(database, _CANCEL[database.dialect], number)


def _query_scalar(database: Database, statement: str, number: int) -> object:
    with database.engine.connect() as connection:
        result = connection.exec_driver_sql(statement.format(number), ())
        return result.scalar() if result.returns_rows else None


def _translate_error(error: BaseException) -> BaseException:
    """The error for the operator, with the text of the server: it has no values."""
    inner = getattr(error, "inner_exception", None) or error
    original = getattr(inner, "orig", None)
    if db_errors.is_connection_lost(error) or original is None:
        return db_errors.to_domain(error)
    if db_errors.is_contended(error):
        return errors.Conflict(
            f"Another transaction has held the table for {RETRY_TIMEOUT:.0f} seconds. Nothing was "
            f"changed; try again."
        )
    text = original.args[-1] if original.args else original
    return errors.Conflict(f"The database refuses: {str(text).strip().partition(chr(10))[0]}")
