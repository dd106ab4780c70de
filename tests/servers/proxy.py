"""A TCP proxy that loses, stalls and delays what passes through it.

It stands between a client under test and a real server (a database, a registry,
a store) and knows no protocol.  Faults are set at any time and take effect on
connections that are open already:

    with FaultInjectingProxy(("127.0.0.1", 5432)) as proxy:
        proxy.fail_request(b"COMMIT")     # the server commits, the client never hears of it
        ...
        proxy.heal()

Traffic must not be encrypted where the bytes of a request are looked at: give
PostgreSQL URLs ``sslmode=disable`` (:meth:`FaultInjectingProxy.url` does).
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

#: Bytes that are read at once.
CHUNK_SIZE = 64 * 1024
#: Bytes of a request that singles it out.
LONGEST_PATTERN = 64
#: Seconds that the proxy waits for the server's answer to a request that is singled out.
CONNECT_TIMEOUT = 30.0
#: Of SO_LINGER: close with RST, and drop what was not sent.
_RESET = struct.pack("ii", 1, 0)


class Fault(enum.Enum):
    """What happens to a connection on which a request was singled out."""

    #: The connection is reset before the server gets the request.
    CUT_BEFORE = "cut before"
    #: The server gets the request and answers; then the connection is reset.
    CUT_AFTER = "cut after"
    #: The server gets the request and answers; the client gets nothing, and no end of
    #: the connection either.
    SILENT_AFTER = "silent after"


@dataclasses.dataclass
class FaultTrigger:
    """A request that is singled out.

    ``fired`` is set when the fault has happened: for faults after the answer, when the
    server has answered.
    """

    pattern: bytes
    fault: Fault
    times: int = 1
    fired: threading.Event = dataclasses.field(default_factory=threading.Event)


class FaultInjectingProxy:
    """Forwards connections of ``port`` to ``target``; closed by ``close`` or as a context.

    ``accepted``: connections so far.  ``received`` and ``sent``: bytes that came from
    clients, and bytes that were passed on to clients.  ``delay``: seconds before each piece
    of an answer is passed on.  ``rewrite``: makes of each piece what is passed on instead.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.delay = 0.0
        self.rewrite: Callable[[bytes], bytes] = bytes
        self.accepted = self.received = self.sent = 0
        self._lock = threading.Lock()
        self._connections: set[_ProxiedConnection] = set()
        self._triggers: list[FaultTrigger] = []
        self._refuses = False
        self._drops_responses = False
        self._forwarding = threading.Event()
        self._forwarding.set()
        self._wake = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"proxy {self.port}", daemon=True).start()

    def __enter__(self) -> FaultInjectingProxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def url(self, url: str | sa.URL) -> sa.URL:
        """The SQLAlchemy URL ``url`` of the target, by way of this proxy."""
        parsed = sa.make_url(url).set(host="127.0.0.1", port=self.port)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.update_query_dict({"sslmode": "disable"})
        return parsed

    # --- Faults ------------------------------------------------------------------------------

    def cut(self, refuse: bool = False) -> None:
        """Reset all connections; with ``refuse`` new ones, too, until :meth:`heal`."""
        self._refuses = refuse
        for connection in self._open():
            connection.reset()

    def refuse(self) -> None:
        """Reset new connections until :meth:`heal`; those that are open go on."""
        self._refuses = True

    def stall(self) -> None:
        """Pass nothing on in either direction; connections stay open and are accepted."""
        self._forwarding.clear()

    def drop_responses(self) -> None:
        """Pass requests on and throw answers away; connections stay open."""
        self._drops_responses = True

    def fail_request(
        self, pattern: bytes, fault: Fault = Fault.CUT_AFTER, times: int = 1
    ) -> FaultTrigger:
        """Apply ``fault`` to the next ``times`` requests whose bytes hold ``pattern``."""
        trigger = FaultTrigger(pattern, fault, times)
        with self._lock:
            self._triggers.append(trigger)
        return trigger

    def heal(self) -> None:
        """No faults any more: what was stalled goes on; what was dropped stays lost."""
        with self._lock:
            self._triggers.clear()
        self._refuses = self._drops_responses = False
        self.delay = 0.0
        self.rewrite = bytes
        self._forwarding.set()
        wake, self._wake = self._wake, threading.Event()
        wake.set()

    def close(self) -> None:
        """Reset all connections and listen no longer."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        for connection in self._open():
            connection.reset()

    # --- Forwarding --------------------------------------------------------------------------

    def _open(self) -> list[_ProxiedConnection]:
        with self._lock:
            return list(self._connections)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refuses:
                _reset(client)
                continue
            try:
                server = socket.create_connection(self.target, timeout=CONNECT_TIMEOUT)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for socket_ in (client, server):
                socket_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _ProxiedConnection(self, client, server)
            with self._lock:
                self._connections.add(connection)
            connection.start()

    def _trigger(self, before: bytes, data: bytes) -> FaultTrigger | None:
        """The trap for a request that goes on with ``data``; a pattern may come in two pieces."""
        with self._lock:
            for trigger in self._triggers:
                # Not so much that a pattern of the past is found again.
                if trigger.pattern in before[len(before) - len(trigger.pattern) + 1 :] + data:
                    trigger.times -= 1
                    if trigger.times <= 0:
                        self._triggers.remove(trigger)
                    return trigger
        return None

    def _forget(self, connection: _ProxiedConnection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _ProxiedConnection:
    """One connection of a client and the one to the server that belongs to it."""

    def __init__(
        self, proxy: FaultInjectingProxy, client: socket.socket, server: socket.socket
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._trigger: FaultTrigger | None = None

    def start(self) -> None:
        for pump in (self._forward_requests, self._forward_responses):
            threading.Thread(target=self._pump, args=(pump,), daemon=True).start()

    def reset(self) -> None:
        self._proxy._forget(self)
        for socket_ in (self._client, self._server):
            _reset(socket_)

    def _pump(self, pump: Any) -> None:
        try:
            pump()
        except OSError:
            pass
        finally:
            # One side has ended: so has the connection.
            self.reset()

    def _forward_requests(self) -> None:
        proxy = self._proxy
        before = bytes(LONGEST_PATTERN)
        while data := self._client.recv(CHUNK_SIZE):
            proxy.received += len(data)
            proxy._forwarding.wait()
            trigger = proxy._trigger(before, data)
            before = data.rjust(LONGEST_PATTERN, b"\0")[-LONGEST_PATTERN:]
            if trigger is not None:
                if trigger.fault is Fault.CUT_BEFORE:
                    trigger.fired.set()
                    return
                self._trigger = trigger
            self._server.sendall(data)

    def _forward_responses(self) -> None:
        proxy = self._proxy
        while data := self._server.recv(CHUNK_SIZE):
            proxy._forwarding.wait()
            if self._trigger is not None:
                self._trigger.fired.set()
                if self._trigger.fault is Fault.CUT_AFTER:
                    return
                continue
            if proxy._drops_responses:
                continue
            if proxy.delay:
                proxy._wake.wait(proxy.delay)
            data = proxy.rewrite(data)
            self._client.sendall(data)
            proxy.sent += len(data)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with contextlib.suppress(OSError):
        # Threads that wait for it in recv do not notice a close.
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
