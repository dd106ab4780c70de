"""How long a database may keep its clients waiting, for each driver.

A server that dies, or a network that loses packets, closes no connection: a
client that waits without a limit waits for ever.  The kernel notices a silent
host (``tcp_user_timeout``, keepalives) but not a server, proxy or pooler whose
kernel acknowledges what nobody answers; so the client limits its wait as well.
"""

from __future__ import annotations

import dataclasses
import select
import time
from collections.abc import Callable, Generator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event


@dataclasses.dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; None for no limit.

    connect
        For a server to accept a connection.
    response
        For which a server may send nothing while an answer is due.  Longer than ``lock``,
        or a wait for a lock would look like a lost connection.
    lock
        For a lock that another transaction holds.
    read
        For a statement that only reads, which the server then ends.  Shorter than ``response``,
        or a client would give up and ask again while the server goes on.
    """

    connect: int
    response: int | None
    lock: int
    read: float | None = None


#: Requests: shorter than the lease of an upload (30 s).
REQUEST = Timeouts(connect=10, response=25, lock=20, read=20)
#: Heartbeats: several must fit into a lease.
HEARTBEAT = Timeouts(connect=5, response=5, lock=4)
#: Changes of tables and other work of administrators.
MAINTENANCE = Timeouts(connect=10, response=None, lock=30)
#: MySQL drivers know no unlimited wait; this many seconds for one statement will do.
_MYSQL_LONGEST_TIMEOUT = 6 * 3600


def connect_args(url: sa.URL, timeouts: Timeouts) -> dict[str, object]:
    """The arguments of the driver of ``url`` that set the time-outs, apart from ``lock``."""
    driver = url.get_driver_name()
    if url.get_backend_name() == "postgresql" and driver.startswith("psycopg"):
        return {
            "connect_timeout": timeouts.connect,
            "tcp_user_timeout": timeouts.connect * 1000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
    if driver in ("pymysql", "mysqldb"):
        response = timeouts.response or _MYSQL_LONGEST_TIMEOUT
        return {
            "connect_timeout": timeouts.connect,
            "read_timeout": response,
            "write_timeout": response,
        }
    return {}


def limit_response_time(engine: sa.Engine, timeouts: Timeouts) -> None:
    """Have the connections of a PostgreSQL engine give up after ``timeouts.response``.

    libpq has no such option: its drivers let their callers wait instead.
    """
    if engine.dialect.driver == "psycopg2":
        _limit_psycopg2(engine, timeouts)
    elif engine.dialect.driver == "psycopg" and timeouts.response is not None:
        _limit_psycopg(engine, timeouts.response)


# --- psycopg2 --------------------------------------------------------------------------------


def _limit_psycopg2(engine: sa.Engine, timeouts: Timeouts) -> None:
    dbapi: Any = engine.dialect.dbapi
    if dbapi.extensions.get_wait_callback() is None:
        # One for the whole process; it waits without a limit for connections of others.
        dbapi.extensions.set_wait_callback(_wait_callback(dbapi))
    factory = type("Connection", (dbapi.extensions.connection,), {"glance_timeouts": timeouts})

    @event.listens_for(engine, "do_connect")
    def connect(dialect, record, args, options) -> None:
        options.setdefault("connection_factory", factory)


def _wait_callback(dbapi: Any) -> Callable[[Any], None]:
    """What psycopg2 calls to wait for an answer; it closes the connection when this raises."""
    extensions = dbapi.extensions
    done = extensions.POLL_OK
    connected_states = {
        extensions.STATUS_READY,
        extensions.STATUS_BEGIN,
        extensions.STATUS_PREPARED,
    }
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}

    def wait(connection: Any) -> None:
        timeouts: Timeouts | None = getattr(connection, "glance_timeouts", None)
        while (state := connection.poll()) != done:
            # Asked anew: a connection that is being made may go on to the next address.
            poller = select.poll()
            poller.register(connection.fileno(), events[state])
            limit = None
            if timeouts is not None:
                # The kernel's limit comes first: then libpq goes on to the next host of the URL.
                limit = (
                    timeouts.response
                    if connection.status in connected_states
                    else timeouts.connect + 2
                )
            if not poller.poll(None if limit is None else limit * 1000):
                raise dbapi.OperationalError(f"the server did not answer for {limit} seconds")

    return wait


# --- psycopg 3 -------------------------------------------------------------------------------


def _limit_psycopg(engine: sa.Engine, response: int) -> None:
    dbapi: Any = engine.dialect.dbapi

    class Connection(dbapi.Connection):
        """A connection that does not wait longer than ``response`` seconds."""

        def wait(self, gen: Any, interval: float = 0.1) -> Any:
            try:
                return super().wait(
                    _limited(gen, response, dbapi.OperationalError), interval=interval
                )
            except dbapi.OperationalError:
                if self.info.transaction_status == 1:  # ACTIVE: the answer is still due
                    self.close()
                raise

    @event.listens_for(engine, "do_connect")
    def connect(dialect, record, args, options) -> Any:
        return Connection.connect(*args, **options)


def _limited(gen: Any, response: int, error: type[Exception]) -> Generator[Any, Any, Any]:
    """The generator ``gen`` of psycopg, which yields what to wait for, with a limit."""
    ready: Any = None
    silent_since = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            # Falsy when nothing happened for an interval.
            ready = yield wanted
            if ready:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > response:
                raise error(f"the server did not answer for {response} seconds")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
