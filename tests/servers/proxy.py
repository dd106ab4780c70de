"""A TCP proxy that loses, stalls and delays what passes through it.

It stands between a client under test and a real server (a database, a registry,
a store) and knows no protocol.  Faults are set at any time and take effect on
connections that are open already:

    with Proxy(("127.0.0.1", 5432)) as proxy:
        proxy.lose_answer_to(b"COMMIT")     # the server commits, the client never hears of it
        ...
        proxy.heal()

Traffic must not be encrypted where the bytes of a request are looked at: give
PostgreSQL URLs ``sslmode=disable`` (:meth:`Proxy.url` does).
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
PIECE = 64 * 1024
#: Bytes of a request that singles it out.
LONGEST_NEEDLE = 64
#: Seconds that the proxy waits for the server's answer to a request that is singled out.
PATIENCE = 30.0
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
class Trap:
    """A request that is singled out.

    ``sprung`` is set when the fault has happened: for faults after the answer, when the
    server has answered.
    """

    needle: bytes
    fault: Fault
    times: int = 1
    sprung: threading.Event = dataclasses.field(default_factory=threading.Event)


class Proxy:
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
        self._flows: set[_Flow] = set()
        self._traps: list[Trap] = []
        self._refuses = False
        self._drops_answers = False
        self._passes = threading.Event()
        self._passes.set()
        self._wake = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"proxy {self.port}", daemon=True).start()

    def __enter__(self) -> Proxy:
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
        for flow in self._open():
            flow.reset()

    def refuse(self) -> None:
        """Reset new connections until :meth:`heal`; those that are open go on."""
        self._refuses = True

    def stall(self) -> None:
        """Pass nothing on in either direction; connections stay open and are accepted."""
        self._passes.clear()

    def drop_answers(self) -> None:
        """Pass requests on and throw answers away; connections stay open."""
        self._drops_answers = True

    def lose_answer_to(self, needle: bytes, fault: Fault = Fault.CUT_AFTER, times: int = 1) -> Trap:
        """Apply ``fault`` to the next ``times`` requests whose bytes hold ``needle``."""
        trap = Trap(needle, fault, times)
        with self._lock:
            self._traps.append(trap)
        return trap

    def heal(self) -> None:
        """No faults any more: what was stalled goes on; what was dropped stays lost."""
        with self._lock:
            self._traps.clear()
        self._refuses = self._drops_answers = False
        self.delay = 0.0
        self.rewrite = bytes
        self._passes.set()
        wake, self._wake = self._wake, threading.Event()
        wake.set()

    def close(self) -> None:
        """Reset all connections and listen no longer."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        for flow in self._open():
            flow.reset()

    # --- Forwarding --------------------------------------------------------------------------

    def _open(self) -> list[_Flow]:
        with self._lock:
            return list(self._flows)

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
                server = socket.create_connection(self.target, timeout=PATIENCE)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            flow = _Flow(self, client, server)
            with self._lock:
                self._flows.add(flow)
            flow.start()

    def _trap(self, before: bytes, data: bytes) -> Trap | None:
        """The trap for a request that goes on with ``data``; a needle may come in two pieces."""
        with self._lock:
            for trap in self._traps:
                # Not so much that a needle of the past is found again.
                if trap.needle in before[len(before) - len(trap.needle) + 1 :] + data:
                    trap.times -= 1
                    if trap.times <= 0:
                        self._traps.remove(trap)
                    return trap
        return None

    def _forget(self, flow: _Flow) -> None:
        with self._lock:
            self._flows.discard(flow)


class _Flow:
    """One connection of a client and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._trap: Trap | None = None

    def start(self) -> None:
        for pump in (self._requests, self._answers):
            threading.Thread(target=self._pump, args=(pump,), daemon=True).start()

    def reset(self) -> None:
        self._proxy._forget(self)
        for each in (self._client, self._server):
            _reset(each)

    def _pump(self, pump: Any) -> None:
        try:
            pump()
        except OSError:
            pass
        finally:
            # One side has ended: so has the connection.
            self.reset()

    def _requests(self) -> None:
        proxy = self._proxy
        before = bytes(LONGEST_NEEDLE)
        while data := self._client.recv(PIECE):
            proxy.received += len(data)
            proxy._passes.wait()
            trap = proxy._trap(before, data)
            before = data.rjust(LONGEST_NEEDLE, b"\0")[-LONGEST_NEEDLE:]
            if trap is not None:
                if trap.fault is Fault.CUT_BEFORE:
                    trap.sprung.set()
                    return
                self._trap = trap
            self._server.sendall(data)

    def _answers(self) -> None:
        proxy = self._proxy
        while data := self._server.recv(PIECE):
            proxy._passes.wait()
            if self._trap is not None:
                self._trap.sprung.set()
                if self._trap.fault is Fault.CUT_AFTER:
                    return
                continue
            if proxy._drops_answers:
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
