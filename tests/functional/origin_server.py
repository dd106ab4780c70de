"""A web server on loopback whose objects a test makes up, and what it was asked."""

from __future__ import annotations

import http.server
import threading
import unittest


class OriginServer:
    """``objects`` by path: bytes, or an address to redirect to; HEAD and GET are answered."""

    def __init__(self, **objects: bytes | str) -> None:
        self.objects = {f"/{name}": value for name, value in objects.items()}
        self.requests: list[tuple[str, str]] = []
        self.release = threading.Event()
        self.release.set()
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                origin.requests.append((self.command, self.path))
                found = origin.objects.get(self.path)
                if isinstance(found, str):
                    self.send_response(302)
                    self.send_header("Location", found)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif found is None:
                    self.send_error(404)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(found)))
                    self.end_headers()
                    if self.command == "GET":
                        origin.release.wait(60)
                        self.wfile.write(found)

            do_GET = do_HEAD

            def log_message(self, *args) -> None:
                """Tests need no log of it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


def serve(case: type[unittest.TestCase], **objects: bytes | str) -> OriginServer:
    """An origin for all tests of a class."""
    origin = OriginServer(**objects)
    case.addClassCleanup(origin.close)
    return origin


def web_store(origin: OriginServer, more: str = "") -> str:
    """Configuration that lets ``origin`` be a place for data."""
    return f"""\
enabled_backends = fast:file, slow:file, web:http
show_multiple_locations = true
show_image_direct_url = true
{more}
[web]
weight = 0
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = [80,443,{origin.port}]
"""
