"""How long a client waits for a database, for each driver.

A server that crashes, or a network that loses packets, closes no connection: a client without a
limit waits for ever.  The kernel notices a host that is silent (``tcp_user_timeout``,
keepalives), but not a server, proxy or pooler whose kernel acknowledges packets that no program
reads.  Therefore the client limits its wait as well
(``tests/contract/dal/connection_loss_cases.py``).
"""

from __future__ import annotations

import dataclasses
import select
import time
from collections.abc import Callable, Generator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.pool import ConnectionPoolEntry


@dataclasses.dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; None for no limit.

    connect
        Until a server has accepted a connection.
    response
        For which a server may send nothing while an answer is due.  Longer than ``lock``,
        or a wait for a lock would look like a lost connection.
    lock
        For a lock that another transaction holds.
    read
        For a statement that only reads; the server ends it then.  Shorter than ``response``,
        or the client would give up and ask again while the server continues.
    """

    connect: int
    response: int | None
    lock: int
    read: float | None = None


#: Requests: shorter than the lease of an upload (30 s).
REQUEST = Timeouts(connect=10, response=25, lock=20, read=20)
#: Heartbeats: several must fit into a lease.
HEARTBEAT = Timeouts(connect=5, response=5, lock=4)
#: Changes of tables, and other commands of administrators.
MAINTENANCE = Timeouts(connect=10, response=None, lock=30)
#: For how long a write is retried after collisions with other transactions, in seconds.
RETRY_TIMEOUT = 30.0
#: Drivers of MySQL have no unlimited wait; long enough for one statement, in seconds.
_MYSQL_LONGEST_TIMEOUT = 6 * 3600


def lock_wait(seconds: float | None) -> int:
    """Whole seconds to wait for a lock: at least 1, at most ``RETRY_TIMEOUT``.

    :param seconds: None for the limit of requests.
    """
    return max(1, int(min(RETRY_TIMEOUT, REQUEST.lock if seconds is None else seconds)))


def connect_args(url: sa.URL, limits: Timeouts) -> dict[str, object]:
    """Arguments for the ``connect`` of the driver of ``url``: the limits except ``lock``."""
    driver = url.get_driver_name()
    if url.get_backend_name() == "postgresql" and driver.startswith("psycopg"):
        return {
            "connect_timeout": limits.connect,
            "tcp_user_timeout": limits.connect * 1000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
    if driver in ("pymysql", "mysqldb"):
        response = limits.response or _MYSQL_LONGEST_TIMEOUT
        return {
            "connect_timeout": limits.connect,
            "read_timeout": response,
            "write_timeout": response,
        }
    return {}


def limit_response_time(engine: sa.Engine, limits: Timeouts) -> None:
    """Make the connections of a PostgreSQL engine fail after ``limits.response``.

    libpq has no such option; its drivers have hooks in which a caller can wait.
    """
    if engine.dialect.driver == "psycopg2":
        _limit_psycopg2(engine, limits)
    elif engine.dialect.driver == "psycopg" and limits.response is not None:
        _limit_psycopg(engine, limits.response)


# --- psycopg2, which has no type annotations -------------------------------------------------


def _limit_psycopg2(engine: sa.Engine, limits: Timeouts) -> None:
    dbapi: Any = engine.dialect.dbapi
    if dbapi.extensions.get_wait_callback() is None:
        # The hook is one for the whole process; for connections of other libraries it waits
        # without a limit, as libpq does.
        dbapi.extensions.set_wait_callback(_wait_callback(dbapi))
    factory = type("Connection", (dbapi.extensions.connection,), {"glance_timeouts": limits})

    @event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, record: ConnectionPoolEntry, args: list[Any], options: dict[str, Any]
    ) -> None:
        options.setdefault("connection_factory", factory)


def _wait_callback(dbapi: Any) -> Callable[[Any], None]:
    """The function that psycopg2 calls to wait for an answer.

    psycopg2 closes the connection when the function raises.
    """
    extensions = dbapi.extensions
    done = extensions.POLL_OK
    connected_states = {
        extensions.STATUS_READY,
        extensions.STATUS_BEGIN,
        extensions.STATUS_PREPARED,
    }
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}

    def wait(connection: Any) -> None:
        limits: Timeouts | None = getattr(connection, "glance_timeouts", None)
        while (state := connection.poll()) != done:
            # A new poller each time: a connection that is being opened may go on to the next
            # host of the URL, with another socket.
            poller = select.poll()
            poller.register(connection.fileno(), events[state])
            limit = None
            if limits is not None:
                # ``connect_timeout`` of libpq must end first: then libpq tries the next host.
                limit = (
                    limits.response if connection.status in connected_states else limits.connect + 2
                )
            if not poller.poll(None if limit is None else limit * 1000):
                raise dbapi.OperationalError(f"the server did not answer for {limit} seconds")

    return wait


# --- psycopg 3 -------------------------------------------------------------------------------


def _limit_psycopg(engine: sa.Engine, response: int) -> None:
    dbapi: Any = engine.dialect.dbapi
    base: type[Any] = dbapi.Connection

    class LimitedConnection(base):  # type: ignore[misc]  # the class of a module known at run time
        """A connection that does not wait longer than ``response`` seconds."""

        def wait(self, gen: Generator[Any, Any, Any], interval: float = 0.1) -> object:
            """Wait for an answer.

            :raises psycopg.OperationalError: there was none in time; the connection is closed.
            """
            try:
                return super().wait(
                    _limited(gen, response, dbapi.OperationalError), interval=interval
                )
            except dbapi.OperationalError:
                if self.info.transaction_status == 1:  # ACTIVE: the answer is still due
                    self.close()
                raise

    @event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, record: ConnectionPoolEntry, args: list[Any], options: dict[str, Any]
    ) -> DBAPIConnection:
        made: DBAPIConnection = LimitedConnection.connect(*args, **options)
        return made


def _limited(
    gen: Generator[Any, Any, Any], response: int, error: type[Exception]
) -> Generator[Any, Any, Any]:
    """The generator ``gen`` of psycopg, which yields what to wait for, with a limit.

    :param response: seconds without any event after which ``error`` is raised.
    """
    ready: Any = None
    silent_since = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            # False when nothing happened for an interval.
            ready = yield wanted
            if ready:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > response:
                raise error(f"the server did not answer for {response} seconds")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
