"""The http driver beyond the contract: redirects, errors, secrets, proxies."""

import datetime
import http.server
import ipaddress
import os
import ssl
import tempfile
import threading
import unittest

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from glance_store_py import errors
from glance_store_py.drivers import http as driver
from glance_store_py.drivers.http_options import OPTIONS as HTTP_OPTIONS
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import parse
from glance_store_py.testing import settings


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers ``server.answers[path]``: (status, headers, body); notes every request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        self.close_connection = True

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


class HTTPCase(unittest.TestCase):
    def serve(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.answers, server.seen = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def setUp(self):
        super().setUp()
        self.server = self.serve()
        self.store = self.make()

    def make(self, **options):
        return GuardedDriver(driver.HttpDriver(settings(HTTP_OPTIONS, **options), "web"), "web")

    def get(self, path, start=0, stop=None, store=None):
        url = path if "://" in path else self.server.url + path
        data = (store or self.store).get(parse(url), start, stop)
        self.addCleanup(data.close)
        return b"".join(data.chunks)

    def answer(self, path, status=200, body=b"data", **headers):
        self.server.answers[path] = (
            status,
            {name.replace("_", "-"): value for name, value in headers.items()},
            body,
        )


class TestRedirects(HTTPCase):
    def chain(self, hops):
        for hop, status in zip(range(hops), (301, 302, 307, 308, 303), strict=False):
            self.answer(f"/{hop}", status, Location=f"/{hop + 1}")
        self.answer(f"/{hops}")

    def test_four_are_followed(self):
        self.chain(4)
        self.assertEqual(b"data", self.get("/0"))
        self.assertEqual(4, self.store.size(parse(self.server.url + "/0")))

    def test_five_are_too_many(self):
        self.chain(5)
        self.assertRaises(errors.MaxRedirectsExceeded, self.get, "/0")

    def test_other_statuses_are_no_redirects(self):
        for status in (300, 305, 304):
            self.answer("/x", status, Location="/y")
            self.assertRaises(errors.BadStoreUri, self.get, "/x")

    def test_nothing_but_http_is_followed(self):
        for target in ("file:///etc/passwd", "ftp://host/x", "memory://a/b", "http://ho st/"):
            self.answer("/x", 302, Location=target)
            with self.subTest(target=target):
                self.assertRaises(errors.BadStoreUri, self.get, "/x")

    def test_credentials_stay_with_their_host(self):
        other = self.serve()
        other.answers["/there"] = (200, {}, b"there")
        self.answer("/here", 302, Location="/here2")
        self.answer("/here2", 302, Location=other.url + "/there")
        url = self.server.url.replace("://", "://user:p%40ss@") + "/here"
        self.assertEqual(b"there", self.get(url))
        basic = "Basic dXNlcjpwQHNz"
        self.assertEqual([("GET", "/here", basic), ("GET", "/here2", basic)], self.server.seen)
        self.assertEqual([("GET", "/there", None)], other.seen)


class TestErrors(HTTPCase):
    def test_statuses_have_names(self):
        for status, name in (
            (404, errors.StoreObjectNotFound),
            (403, errors.BadStoreUri),
            (500, errors.BadStoreUri),
        ):
            self.answer("/x", status)
            with self.subTest(status=status):
                self.assertRaises(name, self.get, "/x")
                self.assertRaises(name, self.store.size, parse(self.server.url + "/x"))

    def test_nobody_there(self):
        location = parse("http://user:canary@127.0.0.1:9/x?sign=canary")
        with self.assertLogs("glance_store_py", "DEBUG") as logged:
            with self.assertRaises(errors.RemoteServiceUnavailable) as unavailable:
                self.store.get(location)
            with self.assertRaises(errors.BadStoreUri) as bad:
                self.store.size(location)
        self.assertNotIn("canary", f"{unavailable.exception} {bad.exception} {logged.output}")

    def test_an_answer_that_breaks_off_is_an_error(self):
        self.answer("/x", Content_Length="9")
        self.assertRaises(errors.GlanceStoreError, self.get, "/x")

    def test_an_answer_without_length_has_no_size_and_is_not_read(self):
        self.answer("/x", Content_Length=None, Connection="close")
        self.assertEqual(0, self.store.size(parse(self.server.url + "/x")))
        self.assertRaises(errors.BadStoreUri, self.get, "/x")

    def test_a_server_without_parts(self):
        self.answer("/x", body=b"0123456789")
        self.assertEqual(b"012", self.get("/x", 0, 3))
        self.assertRaises(errors.StoreRandomGetNotSupported, self.get, "/x", 3)

    def test_a_part_that_was_not_asked_for_is_refused(self):
        self.answer("/x", 206, Content_Range="bytes 0-3/10")
        self.assertRaises(errors.BadStoreUri, self.get, "/x", 3)

    def test_a_server_without_head_is_asked_with_get(self):
        self.answer("/x")
        get, Handler.do_HEAD = Handler.do_HEAD, lambda handler: handler.send_error(501)
        self.addCleanup(setattr, Handler, "do_HEAD", get)
        self.assertEqual(4, self.store.size(parse(self.server.url + "/x")))


class TestProxy(HTTPCase):
    def test_a_proxy_is_asked_for_its_scheme(self):
        store = self.make(http_proxy_information={"http": f"127.0.0.1:{self.server.server_port}"})
        self.answer("http://images.example/x", body=b"by proxy")
        self.assertEqual(b"by proxy", self.get("http://images.example/x", store=store))


class TestTLS(HTTPCase):
    def serve(self):
        server = super().serve()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.certificate = certificate(scratch.name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = server.url.replace("http:", "https:")
        server.answers["/x"] = (200, {}, b"secret")
        return server

    def test_a_certificate_of_nobody_is_refused(self):
        self.assertRaises(errors.RemoteServiceUnavailable, self.get, "/x", store=self.make())
        self.assertRaises(
            errors.RemoteServiceUnavailable, self.get, "/x", store=self.make(https_insecure=False)
        )

    def test_a_certificate_that_the_operator_trusts_is_accepted(self):
        store = self.make(https_ca_certificates_file=self.certificate)
        self.assertEqual(b"secret", self.get("/x", store=store))

    def test_a_trusted_authority_outweighs_insecure(self):
        self.assertRaises(
            errors.RemoteServiceUnavailable,
            self.get,
            "/x",
            store=self.make(https_ca_certificates_file=certifi.where(), https_insecure=True),
        )

    def test_without_any_check_a_warning_says_so_once(self):
        with self.assertLogs("glance_store_py.drivers.http", "WARNING") as logged:
            store = self.make(https_insecure=True)
            self.assertEqual(1, len(logged.output))
            self.assertEqual([b"secret"] * 2, [self.get("/x", store=store) for _ in range(2)])
        self.assertEqual(1, len(logged.output))
        self.assertIn("https_insecure", logged.output[0])


def certificate(directory: str) -> str:
    """A file with a key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = os.path.join(directory, "server.pem")
    with open(path, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file.write(made.public_bytes(serialization.Encoding.PEM))
    return path
