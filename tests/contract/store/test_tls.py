"""S3 and Swift behind TLS: the operator's own authority is believed, and no other."""

import datetime
import ipaddress
import os
import ssl
import unittest
import uuid
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from glance_store_py import errors
from glance_store_py.drivers import s3, swift
from glance_store_py.drivers.s3_options import OPTIONS as S3_OPTIONS
from glance_store_py.drivers.swift_options import OPTIONS as SWIFT_OPTIONS
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import parse
from glance_store_py.testing import settings
from tests.contract.store import servers
from tests.servers.faulty import FaultyProxy

DATA = os.urandom(3_000_000)


def self_signed(directory: str) -> str:
    """A file with a key and a certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, uuid.uuid4().hex)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = os.path.join(directory, f"{uuid.uuid4()}.pem")
    with open(path, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    return path


class TlsContract:
    """Cases for a driver that ``make(address, authorities)`` makes."""

    def setUp(self) -> None:
        directory = self.enterContext(servers.scratch())
        self.right, self.wrong = self_signed(directory), self_signed(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.right)
        self.proxy = FaultyProxy(self.target(directory), context)
        self.addCleanup(self.proxy.kill)

    def store(self, ca_file: str | None) -> GuardedDriver:
        made = self.make(f"https://{self.proxy.address}", ca_file)
        made.configure_add()
        return GuardedDriver(made, "tls")

    def test_the_own_authority_is_believed(self) -> None:
        store = self.store(self.right)
        stored = store.add("image", [DATA], None)
        location = parse(stored.url)
        data = store.get(location, 5, 2_000_000)
        self.assertTrue(DATA[5:2_000_000] == b"".join(data.chunks))
        store.delete(location)

    def test_others_are_not(self) -> None:
        for ca_file in (self.wrong, None):
            with self.subTest(ca_file=ca_file):
                self.assertRaises(
                    errors.RemoteServiceUnavailable,
                    self.store(ca_file).add,
                    "image",
                    [DATA],
                    None,
                )


class TestS3(TlsContract, unittest.TestCase):
    def target(self, directory: str) -> str:
        self.url = urlsplit(servers.s3())
        return self.url.netloc.rpartition("@")[2]

    def make(self, address: str, ca_file: str | None) -> s3.S3Driver:
        return s3.S3Driver(
            settings(
                S3_OPTIONS,
                s3_store_host=address,
                s3_store_access_key=self.url.username,
                s3_store_secret_key=self.url.password,
                s3_store_bucket="tls",
                s3_store_create_bucket_on_put=True,
                s3_store_cacert=ca_file,
            ),
            "tls",
        )


class TestSwift(TlsContract, unittest.TestCase):
    """Keystone is behind the same authority."""

    def target(self, directory: str) -> str:
        self.url = urlsplit(servers.swift_keystone().partition(",")[0])
        credentials, _, host = self.url.netloc.rpartition("@")
        self.project, self.user, self.key = credentials.split(":")
        self.directory = directory
        return host

    def make(self, address: str, ca_file: str | None) -> swift.SwiftDriver:
        path = os.path.join(self.directory, "references.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                f"[tls]\nauth_address = {address}{self.url.path}\n"
                f"user = {self.project}:{self.user}\nkey = {self.key}\n"
            )
        return swift.SwiftDriver(
            settings(
                SWIFT_OPTIONS,
                swift_store_config_file=path,
                default_swift_reference="tls",
                swift_store_endpoint=f"{address}/v1/KEY_p-{self.project}",
                swift_store_container="tls",
                swift_store_create_container_on_put=True,
                swift_store_large_object_chunk_size=1,
                swift_store_cacert=ca_file,
            ),
            "tls",
        )
