"""The http driver keeps the contract of drivers, as far as it reads."""

import http.server
import pathlib
import re
import tempfile
import threading
import unittest

from glance_store_py.drivers import http as driver
from glance_store_py.drivers.http_options import OPTIONS as HTTP_OPTIONS
from glance_store_py.testing import DriverContract, settings
from tests.contract.store import servers
from tests.servers import nginx, ports


class Handler(http.server.BaseHTTPRequestHandler):
    """Objects in ``server.objects``, by path; whole or in one part (RFC 9110)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        whole = self.server.objects.get(self.path)
        wanted = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        if whole is None:
            return self.answer(404, b"no such thing")
        if wanted is None:
            return self.answer(200, whole)
        start, stop = int(wanted[1]), int(wanted[2] or len(whole)) + 1
        part = whole[start:stop]
        if not part:
            return self.answer(416, b"", f"bytes */{len(whole)}")
        return self.answer(206, part, f"bytes {start}-{start + len(part) - 1}/{len(whole)}")

    do_HEAD = do_GET

    def answer(self, status, body, content_range=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that stops reading is part of the game."""


class TestHTTP(DriverContract, unittest.TestCase):
    capabilities = driver.HttpDriver.capabilities

    def make_driver(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.objects = {}
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return driver.HttpDriver(settings(HTTP_OPTIONS), "contract")

    def put_object(self, image_id, data):
        self.server.objects[f"/{image_id}"] = data
        return f"http://127.0.0.1:{self.server.server_port}/{image_id}"


class TestNginx(DriverContract, unittest.TestCase):
    capabilities = driver.HttpDriver.capabilities

    @classmethod
    def setUpClass(cls):
        servers.needs(nginx.program(), "nginx is not installed")
        super().setUpClass()

    def make_driver(self):
        scratch = tempfile.TemporaryDirectory(prefix="nginx-")
        self.addCleanup(scratch.cleanup)
        self.files = pathlib.Path(scratch.name, "files")
        self.port, process = nginx.start(scratch.name)
        self.addCleanup(ports.end, process)
        return driver.HttpDriver(settings(HTTP_OPTIONS), "contract")

    def put_object(self, image_id, data):
        (self.files / image_id).write_bytes(data)
        return f"http://127.0.0.1:{self.port}/{image_id}"
