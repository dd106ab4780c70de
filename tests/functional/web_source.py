"""A web server that images are downloaded from, and that behaves badly when asked to."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator


class WebSource(http.server.ThreadingHTTPServer):
    """Serves ``data`` under every path; the path says how.

    /cut/N
        The first N connections break off after 700,000 bytes.
    /changing/N
        So too, and the object is another one each time.
    /unnamed/N
        So too, and nothing tells whether it is the same object.
    /long/N
        N bytes more are announced than there are.
    /stall
        Half of the data comes, the rest does not until :meth:`shutdown`.
    /status/N
        An answer of that status.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = data
        self.requests: list[tuple[str, str | None]] = []
        self.ended = threading.Event()

    def url(self, path: str = "/image") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    @property
    def options(self) -> str:
        """Configuration that lets a service download from here, sections and all."""
        return (
            f"[import_filtering_opts]\nallowed_hosts = [127.0.0.1]\n"
            f"allowed_ports = [{self.server_port}]\n"
        )


@contextlib.contextmanager
def web_source(data: bytes) -> Iterator[WebSource]:
    """A source that serves while the block runs."""
    source = WebSource(data)
    threading.Thread(target=source.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield source
    finally:
        source.ended.set()
        source.shutdown()
        source.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebSource

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # whoever asks may go at any time
            super().handle()

    def log_message(self, *args) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        _, kind, *rest = self.path.split("/")
        range_header = self.headers.get("Range")
        before = sum(path == self.path for path, _ in self.server.requests)
        self.server.requests.append((self.path, range_header))
        if kind == "status":
            self.send_response(int(rest[0]))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.server.data
        tag = f'"{before if kind == "changing" else 0}"'
        start = 0
        if range_header and self.headers.get("If-Range") == tag:
            start = int(range_header.removeprefix("bytes=").removesuffix("-"))
        more = int(rest[0]) if kind == "long" else 0
        if more and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if kind != "unnamed":
            self.send_header("ETag", tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start + more))
        self.end_headers()
        self._send(kind, data[start:], kind != "long" and bool(rest) and before < int(rest[0]))
        self.close_connection = self.close_connection or bool(more)

    def _send(self, kind: str, data: bytes, cut: bool) -> None:
        with contextlib.suppress(OSError):
            if kind == "stall":
                self.wfile.write(data[: len(data) // 2])
                self.server.ended.wait(60)
            elif cut:
                self.wfile.write(data[:700_000])
                self.wfile.flush()
            else:
                self.wfile.write(data)
                return
            self.close_connection = True
