"""The way to a registry: connections are kept, and no failure lasts long or is done twice."""

import contextlib
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
from unittest import mock

from glance_py.domain import errors
from glance_py.registry import connection as module
from glance_py.registry.connection import RegistryConnection
from glance_py.settings import RegistrySettings


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with its own body, or does what the body says."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections += 1

    def do_POST(self):
        self.server.requests += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"hang up" or (body == b"hang up once" and self.server.requests == 1):
            self.close_connection = True
            return
        if body == b"sleep":
            self.server.answering.wait()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@contextlib.contextmanager
def registry(tls=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.connections = server.requests = 0
    #: Requests whose body is "sleep" are answered when this is set: after the test.
    server.answering = threading.Event()
    server.daemon_threads = True
    server.handle_error = lambda *args: None
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.answering.set()
        server.shutdown()
        server.server_close()


def connection(port, **options):
    return RegistryConnection(RegistrySettings(registry_port=port, **options), 4)


class ConnectionTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(registry())
        self.connection = connection(self.server.server_port, registry_client_timeout=1)

    def away(self, body, is_repeatable=True, connection=None):
        with self.assertLogs("glance_py.registry.connection", "ERROR"):
            self.assertRaises(
                errors.DatabaseUnavailable,
                (connection or self.connection).post,
                body,
                {},
                is_repeatable,
            )

    def test_heartbeats_have_a_connection_that_gives_up_soon(self):
        patient = connection(self.server.server_port, registry_client_timeout=60)
        with mock.patch.object(module, "HEARTBEAT_TIMEOUT", 1):
            beats = patient.for_heartbeats()
        for _ in range(2):
            self.assertEqual((200, b"x"), patient.post(b"x", {}, True))
            self.assertEqual((200, b"y"), beats.post(b"y", {}, True))
        self.assertEqual(2, self.server.connections)
        self.away(b"sleep", connection=beats)

    def test_one_connection_serves_many_requests(self):
        for _ in range(5):
            self.assertEqual((200, b"x"), self.connection.post(b"x", {}, False))
        self.assertEqual(1, self.server.connections)

    def test_no_server_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.away(b"x", connection=connection(port))

    def test_a_server_that_does_not_respond(self):
        self.away(b"sleep")
        self.assertEqual(1, self.server.requests)

    def test_a_lost_answer_to_a_question_is_asked_for_again(self):
        self.assertEqual((200, b"hang up once"), self.connection.post(b"hang up once", {}, True))
        self.assertEqual(2, self.server.requests)

    def test_a_lost_answer_to_a_change_is_not(self):
        """Whether it was made is unknown; making it twice could be worse."""
        for body in (b"hang up once", b"sleep"):
            self.server.requests = 0
            with self.assertLogs("glance_py.registry.connection", "ERROR"):
                self.assertRaises(errors.OutcomeUnknown, self.connection.post, body, {}, False)
            self.assertEqual(1, self.server.requests)

    def test_a_change_that_was_not_sent_was_not_made(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (
            self.assertLogs("glance_py.registry.connection", "ERROR"),
            self.assertRaises(errors.DatabaseUnavailable) as raised,
        ):
            connection(port).post(b"x", {}, False)
        self.assertNotIsInstance(raised.exception, errors.OutcomeUnknown)

    def test_a_second_failure_is_the_last(self):
        self.away(b"hang up")
        self.assertEqual(2, self.server.requests)

    def test_a_registry_that_was_started_again(self):
        """What it closed meanwhile is not used, so even changes get through."""
        self.connection.post(b"x", {}, False)
        pooled = self.connection._pool.get().pool.queue
        for each in [each for each in pooled if each is not None]:
            each.sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual((200, b"y"), self.connection.post(b"y", {}, False))

    def test_a_child_process_has_connections_of_its_own(self):
        self.connection.post(b"x", {}, False)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                self.connection.post(b"x", {}, False)
            os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual(2, self.server.connections)
        self.connection.post(b"x", {}, False)
        self.assertEqual(2, self.server.connections)


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="glance-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        for name in ("registry", "host", "stranger"):
            subprocess.run(
                [
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    f"/CN={name}",
                    "-addext",
                    "subjectAltName=IP:127.0.0.1",
                    "-keyout",
                    cls.file(name, "key"),
                    "-out",
                    cls.file(name, "crt"),
                ],
                check=True,
                capture_output=True,
            )

    @classmethod
    def file(cls, name, kind):
        return os.path.join(cls.directory, f"{name}.{kind}")

    def setUp(self):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.file("registry", "crt"), self.file("registry", "key"))
        tls.load_verify_locations(self.file("host", "crt"))
        tls.verify_mode = ssl.CERT_REQUIRED
        self.port = self.enterContext(registry(tls)).server_port

    def connection(self, who="host", ca="registry", **options):
        return connection(
            self.port,
            registry_client_protocol="https",
            registry_client_cert_file=self.file(who, "crt"),
            registry_client_key_file=self.file(who, "key"),
            registry_client_ca_file=self.file(ca, "crt"),
            **options,
        )

    def away(self, connection):
        with self.assertLogs("glance_py.registry.connection", "ERROR"):
            self.assertRaises(errors.DatabaseUnavailable, connection.post, b"x", {}, True)

    def test_mutual_tls(self):
        self.assertEqual((200, b"x"), self.connection().post(b"x", {}, False))

    def test_a_host_that_the_registry_does_not_know(self):
        self.away(self.connection("stranger"))

    def test_a_registry_that_this_host_does_not_know(self):
        self.away(self.connection(ca="stranger"))

    def test_any_registry_when_the_operator_says_so(self):
        with self.assertLogs("glance_py.registry.connection", "WARNING"):
            insecure = self.connection(ca="stranger", registry_client_insecure=True)
        self.assertEqual((200, b"x"), insecure.post(b"x", {}, False))

    def test_files_that_are_not_there_stop_the_start(self):
        with self.assertRaisesRegex(ValueError, "registry_client_ca_file"):
            self.connection(ca="nobody")
        with self.assertRaisesRegex(ValueError, "needs registry_client_cert_file"):
            connection(
                self.port,
                registry_client_protocol="https",
                registry_client_key_file=self.file("host", "key"),
            )
