"""HTTP to the hosts, and data that can be made again from its name."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import http.server
import json
import random
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

from benchmarks.faults.shadow import Outcome

ADMIN = "operator:operators:admin"
OCTET_STREAM = "application/octet-stream"
CHUNK_BYTES = 1 << 16


def member_token(project: str) -> str:
    """The token of a user of a project."""
    return f"client:{project}:member"


def content(name: str, size: int) -> Iterator[bytes]:
    """``size`` bytes that belong to ``name``, in pieces; none is like another."""
    block = random.Random(name).randbytes(CHUNK_BYTES)  # noqa: S311 - repeatable on purpose
    for start in range(0, size, CHUNK_BYTES):
        head = f"{name} {start:016d} ".encode()
        yield (head + block[len(head) :])[: size - start]


def digest_of(name: str, size: int) -> str:
    """SHA-512 of :func:`content`."""
    digest = hashlib.sha512()
    for piece in content(name, size):
        digest.update(piece)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An answer.  Without one ``status`` is 0 and ``error`` the reason.

    ``sent`` is true when the request may have arrived.
    """

    status: int
    body: bytes = b""
    error: str = ""
    sent: bool = True

    @property
    def outcome(self) -> Outcome:
        """What is known of the request now."""
        if not self.sent:
            return Outcome.NOT_SENT
        if 200 <= self.status < 300:
            return Outcome.ACKNOWLEDGED
        return Outcome.REFUSED if 400 <= self.status < 500 else Outcome.UNKNOWN

    def json(self) -> dict:
        return json.loads(self.body)

    def __str__(self) -> str:
        text = self.body[:160].decode(errors="replace") if self.status >= 300 else ""
        return f"{self.status or 'no answer'} {self.error or text}".rstrip()


class Api:
    """All hosts of the service.

    :param ports: of the hosts.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports

    def ask(
        self,
        host: int,
        method: str,
        path: str,
        body=None,
        token: str = ADMIN,
        timeout: float = 30,
        read: Callable[[http.client.HTTPResponse], bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """One request to one host.

        :param body: bytes, or pieces of it; pieces without Content_Length are sent as chunks.
        :param read: takes the content of a 200, and returns what shall be the answer's body.
        :param headers: with underscores.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[host], timeout=timeout)
        with contextlib.closing(connection):
            try:
                connection.connect()
            except OSError as error:
                return Answer(0, error=repr(error), sent=False)
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    # A server that refuses a request may close before it has read all of it.
                    connection.request(
                        method,
                        path,
                        body,
                        {
                            "X-Auth-Token": token,
                            **{name.replace("_", "-"): value for name, value in headers.items()},
                        },
                        encode_chunked=headers.get("Transfer_Encoding") == "chunked",
                    )
                answer = connection.getresponse()
                data = read(answer) if read and answer.status == 200 else answer.read()
                return Answer(answer.status, data)
            except (OSError, http.client.HTTPException) as error:
                return Answer(0, error=repr(error)[:200])

    def call(
        self,
        host: int,
        method: str,
        path: str,
        document: object = None,
        token: str = ADMIN,
        timeout: float = 30,
        media_type: str = "application/json",
    ) -> Answer:
        """A request with a document of JSON."""
        body = None if document is None else json.dumps(document).encode()
        return self.ask(host, method, path, body, token, timeout, Content_Type=media_type)

    def send(
        self,
        host: int,
        path: str,
        body: Iterator[bytes],
        size: int | None,
        token: str,
        timeout: float = 30,
    ) -> Answer:
        """Upload data: with its size, or in chunks."""
        framing = (
            {"Transfer_Encoding": "chunked"} if size is None else {"Content_Length": str(size)}
        )
        return self.ask(
            host, "PUT", path, body, token, timeout, Content_Type=OCTET_STREAM, **framing
        )

    def download(self, host: int, image_id: str, timeout: float = 60) -> tuple[Answer, str | None]:
        """Get an image's data: the answer, and its SHA-512 when all of it came."""
        digest = hashlib.sha512()

        def read(answer: http.client.HTTPResponse) -> bytes:
            while piece := answer.read(1 << 20):
                digest.update(piece)
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            return b""

        answer = self.ask(host, "GET", f"/v2/images/{image_id}/file", timeout=timeout, read=read)
        return answer, digest.hexdigest() if answer.status in (200, 204) else None


class OriginServer:
    """A web server on loopback that has every content, at ``/NAME/SIZE/SECONDS-IT-TAKES``."""

    def __init__(self, no_delays: threading.Event) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name, size, seconds = urllib.parse.unquote(self.path)[1:].split("/")
                self.send_response(200)
                self.send_header("Content-Length", size)
                self.end_headers()
                if self.command == "GET":
                    with contextlib.suppress(OSError):
                        for piece in throttled(
                            content(name, int(size)), int(size), float(seconds), no_delays
                        ):
                            self.wfile.write(piece)

            do_HEAD = do_GET

            def log_message(self, *args: object) -> None:
                """Written to no file."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, name: str, size: int, seconds: float) -> str:
        return f"http://127.0.0.1:{self.port}/{name}/{size}/{seconds:.1f}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def throttled(
    pieces: Iterator[bytes], size: int, seconds: float, no_delays: threading.Event
) -> Iterator[bytes]:
    """The same pieces, spread over some seconds; as fast as possible once ``no_delays`` is set."""
    number = max(1, -(-size // CHUNK_BYTES))
    # Few pauses: each piece of a large image is too short to wait for.
    every = max(1, number // 50)
    for index, piece in enumerate(pieces):
        yield piece
        if seconds and index % every == 0:
            no_delays.wait(seconds / (number / every))
