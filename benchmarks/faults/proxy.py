"""TCP proxies that fail on demand, and know enough SQL and HTTP to fail at the worst moment.

A :class:`Link` is the network between one host and one server.  A :class:`Listener` takes
connections for it; one listener may serve several links when its clients can be distinguished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterable

CHUNK_BYTES = 1 << 16
#: Bytes of one transaction that are looked at.
TRANSACTION_LIMIT = 1 << 18
#: Seconds for which a client whose request was answered early may go on sending.
DRAIN_SECONDS = 2.0

METHODS = (b"GET ", b"PUT ", b"POST ", b"DELETE ", b"HEAD ")
UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
EMPTY_OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


def is_statement(data: bytes, statement: bytes) -> bool:
    """Do the bytes of a client end with this SQL statement?

    In PostgreSQL's protocol its text ends with a zero, in a simple query as well as (before
    Bind, Execute and Sync) in an extended one; in MySQL's it follows the byte of COM_QUERY.
    """
    return (
        data.endswith((statement + b"\x00", b"\x03" + statement))
        or b"P" in data[:1]
        and statement + b"\x00\x00\x00" in data[:64]
    )


def is_commit(data: bytes) -> bool:
    """Does a client ask its database to commit?"""
    return is_statement(data, b"COMMIT")


def adds_location(transaction: bytes) -> bool:
    """Does a transaction record data of an image, as the one that makes it active does?"""
    return b"INSERT INTO image_locations" in transaction


def is_request(data: bytes, *beginnings: bytes) -> bool:
    """Do the bytes of a client begin an HTTP request, with one of the methods if given?"""
    return data.startswith(beginnings or METHODS) and b" HTTP/1." in data[:4096]


def completes_multipart(data: bytes) -> bool:
    """Is it S3's CompleteMultipartUpload?"""
    line = data.partition(b"\r\n")[0]
    return is_request(data, b"POST ") and b"uploadId=" in line


@dataclasses.dataclass
class Trap:
    """A fault that waits for certain bytes of a client.

    :param matches: called with the connection and the bytes.
    :param action: ``lose`` (cut before they are forwarded), ``drop-answer`` (forward them, cut
        when the answer comes), ``tear-answer`` (forward half of the answer, then cut),
        ``late`` (forward them ``seconds`` later), ``late-answer``, or ``answer`` (do not
        forward them, send ``reply``).
    :param times: how often it acts.
    """

    matches: Callable[[Connection, bytes], bool]
    action: str
    seconds: float = 0.0
    reply: bytes = b""
    times: int = 1
    fired: int = 0


class Link:
    """The network between one host and one server; all methods may be called by any thread."""

    def __init__(self, name: str, sql: bool = False) -> None:
        self.name = name
        self.sql = sql
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._traps: list[Trap] = []
        self._stalled = False
        self.refusing = False
        self._is_discarding = False
        self.latency = 0.0

    # ------------------------------------------------------------ faults

    def cut(self) -> int:
        """Close all connections; how many there were."""
        with self._changed:
            open_now = list(self._connections)
        for connection in open_now:
            connection.close()
        return len(open_now)

    def stall(self, on: bool) -> None:
        """Hold all bytes back, and let them go again."""
        with self._changed:
            self._stalled = on
            self._changed.notify_all()

    def refuse(self, on: bool) -> None:
        """Close connections at once, and all that come."""
        self.refusing = on
        if on:
            self.cut()

    def blackhole(self, on: bool) -> None:
        """Throw bytes away, of connections that exist and that come; in the end close those."""
        with self._changed:
            self._is_discarding = on
            open_now = list(self._connections)
            for connection in open_now:
                connection.is_discarding |= on
        if not on:
            for connection in open_now:
                if connection.is_discarding:
                    connection.close()

    def arm(self, trap: Trap) -> None:
        """Set a trap."""
        with self._changed:
            self._traps.append(trap)

    def disarm(self, trap: Trap) -> None:
        """Take a trap away; what it holds back is let go in its time."""
        with self._changed:
            if trap in self._traps:
                self._traps.remove(trap)

    def heal(self) -> None:
        """No faults any more."""
        self.refuse(False)
        self.blackhole(False)
        self.stall(False)
        self.latency = 0.0
        with self._changed:
            self._traps.clear()

    # ------------------------------------------------------------ what connections ask

    def add(self, connection: Connection) -> None:
        with self._changed:
            self._connections.add(connection)
            connection.is_discarding = self._is_discarding

    def discard(self, connection: Connection) -> None:
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def wait_until_open(self, connection: Connection) -> None:
        """Returns when bytes may pass."""
        with self._changed:
            while self._stalled and not connection.closed:
                self._changed.wait(1)
        if self.latency:
            time.sleep(self.latency)

    def match_trap(self, connection: Connection, data: bytes) -> Trap | None:
        """The trap that these bytes are for."""
        if not self._traps:
            return None
        with self._changed:
            for trap in self._traps:
                if trap.matches(connection, data):
                    trap.fired += 1
                    if trap.fired >= trap.times:
                        self._traps.remove(trap)
                    return trap
        return None


class Connection:
    """One connection through a link; two threads carry its bytes."""

    def __init__(self, link: Link, client: socket.socket, server: socket.socket) -> None:
        self.link = link
        self._client, self._server = client, server
        self.closed = False
        self.is_discarding = False
        #: What the client sent since it began a transaction.
        self.transaction = bytearray()
        self._on_answer: Trap | None = None
        link.add(self)
        for work in (self._requests, self._answers):
            threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def close(self) -> None:
        """Both sides see the end of the connection."""
        self.closed = True
        self.link.discard(self)
        for each in (self._client, self._server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            with contextlib.suppress(OSError):
                work()
        finally:
            self.close()
            # The other thread may still use its own socket's number: it closes that one.
            with contextlib.suppress(OSError):
                (self._client if work == self._requests else self._server).close()

    def _requests(self) -> None:
        while data := self._client.recv(CHUNK_BYTES):
            if self.is_discarding:
                continue
            self._follow(data)
            trap = self.link.match_trap(self, data)
            if trap is not None:
                if trap.action == "lose":
                    return
                if trap.action == "answer":
                    self._answer_early(trap.reply)
                    return
                if trap.action == "late":
                    time.sleep(trap.seconds)
                else:
                    self._on_answer = trap
            self.link.wait_until_open(self)
            self._server.sendall(data)

    def _answers(self) -> None:
        while data := self._server.recv(CHUNK_BYTES):
            if self.is_discarding:
                continue
            trap, self._on_answer = self._on_answer, None
            if trap is not None:
                if trap.action == "late-answer":
                    time.sleep(trap.seconds)
                else:
                    if trap.action == "tear-answer":
                        self._client.sendall(data[: len(data) // 2])
                    return
            self.link.wait_until_open(self)
            self._client.sendall(data)

    def _follow(self, data: bytes) -> None:
        if self.link.sql:
            if is_statement(data, b"BEGIN"):
                self.transaction.clear()
            elif len(self.transaction) < TRANSACTION_LIMIT:
                self.transaction += data

    def _answer_early(self, reply: bytes) -> None:
        self._client.sendall(reply)
        self._client.settimeout(DRAIN_SECONDS)
        while self._client.recv(CHUNK_BYTES):
            pass


class Listener:
    """Takes connections on a port of loopback and carries them to ``target`` (host, port).

    :param choose: the link of a client, by the port that it connects from.
    """

    def __init__(self, target: tuple[str, int], choose: Callable[[int], Link]) -> None:
        self.target = target
        self._choose = choose
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, (_, port) = self._socket.accept()
                threading.Thread(target=self._connect, args=(client, port), daemon=True).start()

    def _connect(self, client: socket.socket, port: int) -> None:
        link = self._choose(port)
        try:
            if link.refusing:
                raise ConnectionRefusedError
            server = socket.create_connection(self.target, timeout=20)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Connection(link, client, server)


def listen_for(target: tuple[str, int], link: Link) -> Listener:
    """A listener for the clients of one link."""
    return Listener(target, lambda port: link)


def choose_by_process(
    links: Callable[[], Iterable[tuple[Iterable[int], Link]]], otherwise: Link
) -> Callable[[int], Link]:
    """Distinguishes clients on this machine by their processes.

    :param links: process ids with their link, called at each connection.
    :param otherwise: the link of all other processes.
    """

    def choose(port: int) -> Link:
        inode = _inode(port)
        for processes, link in links():
            for process in processes:
                if inode and _has_socket(process, inode):
                    return link
        return otherwise

    return choose


def _inode(port: int) -> str | None:
    """The inode of the socket of loopback with this local port."""
    wanted = f":{port:04X}"
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[9] != "0":
                return fields[9]
    return None


def _has_socket(process: int, inode: str) -> bool:
    wanted = f"socket:[{inode}]"
    with contextlib.suppress(OSError):
        for each in pathlib.Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(each.readlink()) == wanted:
                    return True
    return False
