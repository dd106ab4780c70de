"""The cinder driver keeps the contract of drivers, against a real Cinder.

``GLANCE_TEST_CINDER_KEYSTONE`` is a Keystone in whose catalog the Cinder is, with an account
that has the roles ``member`` and ``service``: ``http://user:password@127.0.0.1:5000/v3,project``.
``GLANCE_TEST_CINDER`` is the URL of a Cinder with ``auth_strategy = noauth``, its version
included (``http://127.0.0.1:8776/v3``): for that one Keystone is played by this module, which
gives out the tokens that such a Cinder takes.  All volumes of the project are removed.  For
volumes that are RBD, the modules rados and rbd must be there, and the keyring of Cinder's user
in ``/etc/ceph``.
"""

import dataclasses
import http.server
import json
import os
import signal
import threading
import types
import unittest
import uuid

from glance_store_py import errors
from glance_store_py.drivers import cinder
from glance_store_py.drivers.cinder_options import OPTIONS
from glance_store_py.location import parse
from glance_store_py.testing import DriverContract, settings
from tests.contract.store import servers
from tests.waiting import eventually

URL = os.environ.get("GLANCE_TEST_CINDER")
PROJECT = "5ad4ea1e0b6c4f6d8c2d4c1f6a5b9e01"


class Keystone(http.server.BaseHTTPRequestHandler):
    """Identity API v3, as far as a password and an application credential need it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        version = {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": f"http://{self.headers['Host']}/v3"}],
        }
        self.answer(300, {"versions": {"values": [version]}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked["auth"]["identity"]["methods"])
        endpoint = {
            "interface": "public",
            "region_id": "one",
            "region": "one",
            "id": "e",
            "url": f"{URL}/{PROJECT}",
        }
        self.answer(
            201,
            {
                "token": {
                    "methods": ["password"],
                    "expires_at": "2199-01-01T00:00:00.000000Z",
                    "issued_at": "2024-01-01T00:00:00.000000Z",
                    "roles": [],
                    "user": {"id": "glance", "name": "glance", "domain": {"id": "d", "name": "D"}},
                    "project": {
                        "id": PROJECT,
                        "name": "service",
                        "domain": {"id": "d", "name": "D"},
                    },
                    "catalog": [
                        {"type": "volumev3", "name": "cinderv3", "id": "c", "endpoints": [endpoint]}
                    ],
                }
            },
        )

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Subject-Token", f"glance:{PROJECT}")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


class CinderContract(DriverContract):
    """The contract, and what is particular to volumes."""

    capabilities = cinder.CinderDriver.capabilities

    @classmethod
    def setUpClass(cls):
        servers.needs_os_brick()
        super().setUpClass()

    def account(self) -> dict[str, str]:
        """The options of a store that say who asks Cinder."""
        raise NotImplementedError

    def make_driver(self):
        made = cinder.CinderDriver(
            settings(OPTIONS, cinder_state_transition_timeout=120, **self.account()), "contract"
        )
        self.volumes = made._volumes
        self.addCleanup(self.tidy)
        return made

    def ours(self):
        found = self.volumes._request("GET", "/volumes/detail")["volumes"]
        return [volume for volume in found if volume["status"] != "deleting"]

    def tidy(self):
        for volume in self.ours():
            self.volumes.delete(volume["id"])

    def leftovers(self):
        return [volume["name"] for volume in self.ours()]

    def test_a_volume_says_what_it_holds_and_nobody_is_attached(self):
        stored = self.store.add(self.image_id, [b"data"])
        volume = self.volumes.show(stored.url.rpartition("/")[2])
        self.assertEqual("available", volume["status"])
        self.assertEqual(1, volume["size"])
        self.assertEqual(f"image-{self.image_id}", volume["name"])
        self.assertEqual(
            {"image_size": "4", "glance_image_id": self.image_id, "readonly": "True"},
            volume["metadata"],
        )

    def test_two_readers_of_a_volume_share_its_attachment(self):
        url = self.put_object(self.image_id, b"x" * 3000000)
        location = cinder.StoreLocation("cinder", "contract", f"/{url.rpartition('/')[2]}")
        first, second = self.store.get(location), self.store.get(location, 1000)
        self.assertEqual(1, len(self.volumes.attachments(location.path[1:])))
        self.assertEqual(3000000, len(b"".join(first.chunks)))
        self.assertEqual(2999000, len(b"".join(second.chunks)))
        self.assertEqual([], self.volumes.attachments(location.path[1:]))

    def test_a_volume_grows_when_the_size_is_not_known(self):
        for online in (False, True):
            self.store.driver._extends_attached = online
            with self.subTest(online=online):
                piece = os.urandom(1 << 20)
                stored = self.store.add(self.image_id, (piece for _ in range(1030)))
                self.assertEqual(1030 << 20, stored.size)
                location = parse(stored.url)
                self.assertEqual(2, self.volumes.show(location.path[1:])["size"])
                self.assertEqual(piece, self.read(location, 1029 << 20))
                self.assertEqual(piece, self.read(location, 1023 << 20, 1024 << 20))
                self.store.delete(location)

    def test_a_volume_that_cinder_keeps_is_in_use(self):
        location = parse(self.put_object(self.image_id, b"data"))
        snapshot = self.volumes._request(
            "POST", "/snapshots", {"snapshot": {"volume_id": location.path[1:], "name": "backup"}}
        )["snapshot"]["id"]
        self.assertRaises(errors.InUseByStore, self.store.delete, location)
        self.assertEqual(b"data", self.read(location))
        path = f"/snapshots/{snapshot}"
        eventually(
            lambda: self.volumes._request("GET", path)["snapshot"]["status"],
            lambda status: status == "available",
        )
        self.volumes._request("DELETE", path)

        def is_gone() -> bool:
            try:
                self.volumes._request("GET", path)
            except errors.StoreObjectNotFound:
                return True
            return False

        eventually(is_gone)
        self.store.delete(location)

    def test_a_volume_that_somebody_writes_to_is_busy(self):
        location = parse(self.put_object(self.image_id, b"data"))
        self.store.driver._attachments._attempts = 1
        with self.store.driver._attachments.attach_for_write(location.path[1:]):
            self.assertRaises(errors.StoreObjectBusy, self.store.get, location)
            self.assertRaises(errors.InUseByStore, self.store.delete, location)
        self.assertEqual(b"data", self.read(location))

    def test_what_a_killed_writer_left_is_found_and_removed(self):
        self.put_object(self.image_id, b"finished, and to be left alone")

        def source():
            yield b"x" * (1 << 20)
            os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if not child:
            try:
                self.store.add(self.image_id, source())
            finally:
                os._exit(1)
        self.assertEqual(signal.SIGKILL, os.waitpid(child, 0)[1])
        (remains,) = self.store.find_partial(self.image_id)
        self.store.delete(remains)
        self.assertEqual([], self.store.find_partial(self.image_id))
        self.assertEqual(1, len(self.leftovers()))

    def test_the_project_of_the_caller_owns_the_image(self):
        caller = types.SimpleNamespace(project_id="theirs")
        location = parse(self.store.add(self.image_id, [b"data"], 4, caller).url)
        self.assertEqual("theirs", self.volumes.show(location.path[1:])["metadata"]["image_owner"])

    def test_a_volume_type_that_is_not_there_is_named(self):
        volumes = self.store.driver._volumes
        volumes._settings = dataclasses.replace(volumes._settings, cinder_volume_type="gold")
        self.assertRaisesRegex(
            errors.BadStoreConfiguration,
            "cinder_volume_type.*gold",
            self.store.add,
            self.image_id,
            [b"data"],
        )
        self.assertEqual([], self.leftovers())


class NoauthContract(CinderContract):
    """A Cinder that believes every token."""

    options: dict[str, str]
    method: str

    @classmethod
    def setUpClass(cls):
        if not URL:
            raise unittest.SkipTest("GLANCE_TEST_CINDER is not set")
        super().setUpClass()

    def account(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keystone)
        server.asked = self.asked = []
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return {
            "cinder_store_auth_address": f"http://127.0.0.1:{server.server_port}",
            **self.options,
        }

    def test_it_proved_who_it_is(self):
        self.put_object(self.image_id, b"data")
        self.assertEqual([[self.method]], self.asked)


class TestCinder(NoauthContract, unittest.TestCase):
    options = {
        "cinder_store_user_name": "glance",
        "cinder_store_password": "secret",
        "cinder_store_project_name": "service",
    }
    method = "password"


class TestCinderKeystone(CinderContract, unittest.TestCase):
    """A Cinder that asks Keystone who somebody is, and wants service tokens."""

    @classmethod
    def setUpClass(cls):
        servers.cinder_account()
        super().setUpClass()

    def account(self):
        return servers.cinder_account()

    def wrong(self, option: str) -> cinder.CinderDriver:
        """The same store with another value of an option."""
        options = {**self.store.driver._settings.options, option: "canary"}
        return cinder.CinderDriver(settings(**options), "contract")

    def test_who_is_not_known_is_refused(self):
        location = parse(self.put_object(self.image_id, b"data"))
        for option in (
            "cinder_store_password",
            "cinder_store_user_name",
            "cinder_store_project_name",
        ):
            with self.subTest(option=option):
                stranger = self.wrong(option)
                self.assertRaises(errors.StoreForbidden, stranger.add, self.image_id, [b"data"], 4)
                self.assertRaises(errors.StoreForbidden, stranger.get, location)
                self.assertRaises(errors.StoreForbidden, stranger.delete, location)
        self.assertEqual(1, len(self.leftovers()))


class CredentialCases:
    """Only the cases in which it matters who asks."""

    CASES = (
        "test_it_proved",
        "test_an_object_is_read",
        "test_two_readers",
        "test_what_a_killed_writer",
    )

    @classmethod
    def applies(cls, name, case):
        return name.startswith(cls.CASES) and super().applies(name, case)


class TestApplicationCredential(CredentialCases, NoauthContract, unittest.TestCase):
    options = {
        "cinder_store_application_credential_id": "id",
        "cinder_store_application_credential_secret": "secret",
    }
    method = "application_credential"


class TestApplicationCredentialKeystone(CredentialCases, CinderContract, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        servers.cinder_account()
        super().setUpClass()

    def account(self):
        from keystoneauth1.identity import v3
        from keystoneauth1.session import Session

        known = servers.cinder_account()
        session = Session(
            v3.Password(
                known["cinder_store_auth_address"],
                username=known["cinder_store_user_name"],
                password=known["cinder_store_password"],
                user_domain_name="Default",
                project_name=known["cinder_store_project_name"],
                project_domain_name="Default",
            )
        )
        path = (
            f"{known['cinder_store_auth_address']}/users/{session.get_user_id()}"
            "/application_credentials"
        )
        made = session.post(
            path, json={"application_credential": {"name": f"contract-{uuid.uuid4()}"}}
        ).json()["application_credential"]
        self.addCleanup(session.delete, f"{path}/{made['id']}")
        return {
            "cinder_store_auth_address": known["cinder_store_auth_address"],
            "cinder_store_application_credential_id": made["id"],
            "cinder_store_application_credential_secret": made["secret"],
        }
