"""The Swift driver keeps the contract of drivers, towards a real service.

GLANCE_TEST_SWIFT is the address of Keystone with the credentials of a user who
owns an account, and behind a comma those of one who owns another:
http://project:user:password@host:port/v3,project:user:password (domain Default).
GLANCE_TEST_SWIFT_TEMPAUTH is a Swift with tempauth and the credentials of two
users of different accounts: http://test:tester:testing@host:port and
test2:tester2:testing2 behind a comma.
Both may be the gateway of a Ceph with rgw_swift_account_in_url.
Without them the cases start a Swift of their own (tests/servers/swift.py), for which
a filter of the tests stands in for Keystone.
"""

import contextlib
import json
import os
import threading
import types
import unittest
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlsplit

from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from glance_store_py import errors
from glance_store_py.drivers import swift
from glance_store_py.drivers.swift_options import OPTIONS
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import StoreLocation, parse
from glance_store_py.testing import DriverContract, settings
from glance_store_py.testing.contract import MIB, failing
from tests.contract.store import servers

MB = 1000 * 1024


class Service:
    """What the variable names."""

    def __init__(self):
        value = servers.swift_keystone()
        first, _, self.other = value.partition(",")
        url = urlsplit(first)
        credentials, _, host = url.netloc.rpartition("@")
        self.project, self.user, self.password = credentials.split(":")
        self.address = f"{url.scheme}://{host}{url.path}"

    def options(self, directory):
        """Options of a store that uses a file of references."""
        path = os.path.join(directory, "swift.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                f"[ours]\nauth_address = '{self.address}'\nauth_version = 3\n"
                f"user = {self.project}:{self.user}\nkey = {self.password}\n"
                "user_domain_name = Default\nproject_domain_id = default\n"
            )
        return {"swift_store_config_file": path, "default_swift_reference": "ours"}


class TestSwift(DriverContract, unittest.TestCase):
    capabilities = swift.SINGLE_TENANT_CAPABILITIES
    options: dict = {}
    #: Three segments.
    ATTEMPT_SIZE = 3 * MIB

    @classmethod
    def setUpClass(cls):
        servers.swift_keystone()
        super().setUpClass()

    def make_driver(self):
        service = Service()
        self.container = f"contract-{uuid.uuid4()}"
        directory = self.enterContext(servers.scratch())
        made = swift.SwiftDriver(
            settings(
                OPTIONS,
                **{
                    **service.options(directory),
                    "swift_store_container": self.container,
                    "swift_store_create_container_on_put": True,
                    "swift_store_large_object_size": 2,
                    "swift_store_large_object_chunk_size": 1,
                    **self.options,
                },
            ),
            "contract",
        )
        self.client = made._client(made._references["ours"])
        self.addCleanup(self.remove)
        return made

    def names(self):
        found = []
        for container in self.client.list_containers(self.container):
            found += [(container, entry.name) for entry in self.client.list_objects(container)]
        return found

    def leftovers(self):
        return [name for _, name in self.names()]

    def remove(self):
        for container, name in self.names():
            self.client.delete(container, name)
        for container in list(self.client.list_containers(self.container)):
            self.client.delete_container(container)

    def test_segments_become_one_object(self):
        for size in (MB - 1, MB, MB + 1, 2 * MB, 3 * MB + 17):
            for announced in (None, size):
                with self.subTest(size=size, announced=announced):
                    image_id = str(uuid.uuid4())
                    data = (uuid.uuid4().bytes * (size // 16 + 1))[:size]
                    chunks = [data[at : at + 99_991] for at in range(0, size, 99_991)]
                    stored = self.store.add(image_id, chunks, announced)
                    self.assertEqual(size, stored.size)
                    location = parse(stored.url)
                    self.assertTrue(data == self.read(location), "the bytes differ")
                    self.assertEqual(size, self.store.size(location))
                    self.assertEqual(data[MB - 3 : MB + 3], self.read(location, MB - 3, MB + 3))
                    self.store.delete(location)
                    self.assertEqual([], self.leftovers())

    def test_a_source_that_fails_between_segments_leaves_nothing(self):
        for announced in (None, 5 * MIB):
            with self.assertRaises(Exception) as caught:
                self.store.add(self.image_id, failing(*[b"x" * MIB] * 3), announced)
            self.assertEqual("BrokenSource", type(caught.exception).__name__)
            self.assertEqual([], self.leftovers())

    def test_segments_without_a_manifest_are_found_and_removed(self):
        location = self.store.predict_locations(self.image_id)[0]
        stored = self.store.add(self.image_id, [b"x" * 3 * MB])
        self.assertEqual(location.url, stored.url)
        container = location.path.split("/")[1]
        self.client.delete(container, self.image_id)
        # As older releases, and the original, name them.
        for number in (1, 2):
            self.client.put(container, f"{self.image_id}-{number:05d}", b"old", 3)
        self.assertEqual(5, len(self.leftovers()))
        self.assertCountEqual(
            [(self.image_id, 3 * MB), (self.image_id, 6)],
            [(found.image_id, found.size) for found in self.store.list_objects()],
        )
        self.assertRaises(errors.StoreObjectNotFound, self.store.delete, location)
        remains = self.store.find_partial(self.image_id)
        self.assertEqual(location, remains[0])
        self.assertCountEqual(
            [found.url for found in self.store.list_objects()], [found.url for found in remains[1:]]
        )
        for each in remains[1:]:
            self.store.delete(each)
        self.assertEqual([], self.leftovers())

    def test_a_late_writer_does_not_touch_the_segments_of_another(self):
        """Two writers of one name: the slower one is refused, and nothing of it stays."""
        begun, published = threading.Event(), threading.Event()
        failure = []

        def late():
            yield b"l" * MB
            begun.set()
            published.wait(60)
            yield b"l" * 2 * MB

        def write():
            try:
                self.store.add(self.image_id, late())
            except errors.StoreObjectExists as error:
                failure.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(published.set)
        self.assertTrue(begun.wait(60))
        stored = self.store.add(self.image_id, [b"w" * MB] * 4)
        published.set()
        writer.join()
        self.assertEqual(1, len(failure))
        self.assertTrue(self.read(parse(stored.url)) == b"w" * 4 * MB, "the bytes differ")
        self.assertEqual(5, len(self.leftovers()))

    def test_an_object_of_an_older_release_keeps_to_its_own_segments(self):
        location = self.store.predict_locations(self.image_id)[0]
        self.store.add(self.attempt(2), [b"x" * 3 * MB])
        container = location.path.split("/")[1]
        for number, content in enumerate((b"first", b"second"), 1):
            self.client.put(container, f"{self.image_id}-{number:05d}", content, len(content))
        self.client.put(
            container, self.image_id, b"", 0, {"x-object-manifest": f"{container}/{self.image_id}-"}
        )
        # A dead writer of this release, under the same name.
        dead = f"{self.image_id}_{'0' * 32}_"
        self.client.put(container, f"{dead}00001", b"dead", 4)
        self.assertEqual(b"firstsecond", self.read(location))
        self.assertCountEqual(
            [(self.image_id, 11), (dead, 4), (self.attempt(2), 3 * MB)],
            [(found.name, found.size) for found in self.store.list_objects()],
        )
        self.store.delete(location)
        self.assertCountEqual(
            [dead, self.attempt(2)], [found.name for found in self.store.list_objects()]
        )
        self.delete_attempt(self.image_id)
        self.assertEqual([self.attempt(2)], [found.name for found in self.store.list_objects()])

    def test_a_static_large_object_goes_with_its_segments(self):
        location = parse(self.store.add(self.image_id, [b"first"], 5).url)
        container = location.path.split("/")[1]
        self.client.put(container, "elsewhere", b"second", 6)
        manifest = json.dumps([{"path": f"/{container}/elsewhere"}]).encode()
        self.client.delete(container, self.image_id)
        self.client.pool.request(
            "PUT",
            f"{self.client.account.url()}/{container}/{self.image_id}?multipart-manifest=put",
            {"x-auth-token": self.client.account.token()},
            manifest,
        ).read()
        self.assertEqual(b"second", self.read(location))
        self.store.delete(location)
        self.assertEqual([], self.leftovers())

    def test_objects_are_listed(self):
        small = self.store.add(self.image_id, [b"data"], 4)
        large = self.store.add(str(uuid.uuid4()), [b"x" * 2 * MB])
        self.assertEqual(
            {(small.url, 4), (large.url, 2 * MB)},
            {(found.url, found.size) for found in self.store.list_objects()},
        )

    def test_a_token_that_is_not_accepted_any_more_is_replaced(self):
        account = self.client.account
        old = account.token()
        session = account._session.get()
        session.auth.get_access(session)._auth_token = "expired"
        self.assertEqual("expired", account.token())
        location = parse(self.store.add(self.image_id, [b"data"], 4).url)
        self.assertEqual(b"data", self.read(location))
        self.assertNotEqual("expired", account.token())
        self.assertIsNotNone(old)

    def test_a_wrong_password_is_told_without_it(self):
        made = swift.SwiftDriver(
            settings(
                OPTIONS,
                swift_store_auth_address=Service().address,
                swift_store_user="service:glance",
                swift_store_key="canary",
                swift_store_container=self.container,
            ),
            "contract",
        )
        made.configure_add()
        with (
            self.assertLogs(level="DEBUG") as logs,
            self.assertRaises(errors.GlanceStoreError) as caught,
        ):
            made.add(self.image_id, [b"data"], 4)
        self.assertNotIn("canary", str(logs.output) + str(caught.exception))


class TestSwiftWithOptions(TestSwift):
    options = {
        "swift_store_multiple_containers_seed": 3,
        "swift_buffer_on_upload": True,
        "swift_store_retry_get_count": 2,
    }


class TestOlderOptions(unittest.TestCase):
    def setUp(self):
        self.service = Service()
        self.container = f"contract-{uuid.uuid4()}"
        self.driver = swift.SwiftDriver(
            settings(
                OPTIONS,
                swift_store_auth_address=self.service.address,
                swift_store_user=f"{self.service.project}:{self.service.user}",
                swift_store_key=self.service.password,
                swift_store_container=self.container,
                swift_store_create_container_on_put=True,
            ),
            "contract",
        )
        self.driver.configure_add()

    def test_addresses_hold_no_credentials_and_those_that_do_are_read(self):
        stored = self.driver.add("id", [b"data"], 4)
        self.assertNotIn(self.service.password + "@", stored.url)
        location = parse(stored.url)
        user = f"{self.service.project}%3A{self.service.user}"
        old = parse(stored.url.replace("://", f"://{user}:{self.service.password}@"))
        for place in (location, old):
            self.assertEqual(b"data", b"".join(self.driver.get(place).chunks))
            self.assertGreaterEqual(
                max(place.match_depth(prefix) for prefix in self.driver.prefixes), 0
            )
        self.driver.delete(old)
        self.driver._client(self.driver._references["ref1"]).delete_container(self.container)


class MultiTenantContract(DriverContract):
    """Every project in its own account, with the token of the caller."""

    capabilities = swift.MULTI_TENANT_CAPABILITIES
    #: Three segments.
    ATTEMPT_SIZE = 3 * MIB

    def log_in_both(self):
        """The callers self.owner and self.other."""
        raise NotImplementedError

    def make_driver(self):
        self.log_in_both()
        return swift.SwiftDriver(
            settings(
                OPTIONS,
                swift_store_multi_tenant=True,
                swift_store_large_object_size=2,
                swift_store_large_object_chunk_size=1,
                swift_store_use_trusts=False,
            ),
            "contract",
        )

    def setUp(self):
        super().setUp()
        self.store = CallerBoundStore(self.store, self.owner)
        self.addCleanup(self.store.clear)

    def test_nobody_in_particular_may_do_nothing(self):
        self.assertRaises(errors.StoreForbidden, self.store.guard.add, self.image_id, [b"x"])

    def test_a_container_goes_with_its_image(self):
        location = parse(self.store.add(self.image_id, [b"x" * 3 * MB]).url)
        operations = self.store.driver.as_caller(self.owner)
        client, container, _ = operations._resolve(location)
        self.assertTrue(client.has_container(container))
        self.store.delete(location)
        self.assertFalse(client.has_container(container))
        self.assertRaises(errors.StoreInvalidInput, self.store.add, self.image_id, [b"x"], 2)
        self.assertFalse(client.has_container(container))

    def test_each_attempt_has_a_container_which_goes_with_it(self):
        made = self.add_attempts(1, 2)
        operations = self.store.driver.as_caller(self.owner)
        client, first, name = operations._resolve(made[1][0])
        second = operations._resolve(made[2][0])[1]
        self.assertEqual((f"glance_{self.image_id}", f"glance_{self.attempt(2)}"), (first, second))
        # What a dead writer of this attempt left goes, too.
        client.put(first, f"{name}_{'0' * 32}_00001", b"dead", 4)
        self.store.delete(made[1][0])
        self.assertFalse(client.has_container(first))
        self.assert_intact(made, 2)
        self.store.delete(made[2][0])
        self.assertFalse(client.has_container(second))

    def test_a_token_goes_to_no_other_host(self):
        place = StoreLocation("swift+http", "192.0.2.1", f"/v1/AUTH_x/glance_x/{self.image_id}")
        self.assertRaises(errors.BadStoreUri, self.store.get, place)


class TestTenants(MultiTenantContract, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        servers.swift_tempauth()
        super().setUpClass()

    def log_in_both(self):
        value = servers.swift_tempauth()
        first, second = value.split(",")
        url = urlsplit(first)
        self.address = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
        self.owner = self.log_in(url.netloc.rpartition("@")[0])
        self.other = self.log_in(second)

    def log_in(self, credentials):
        user, _, key = credentials.rpartition(":")
        answer = urllib.request.urlopen(
            urllib.request.Request(
                f"{self.address}/auth/v1.0", headers={"X-Auth-User": user, "X-Auth-Key": key}
            )
        )
        url = answer.headers["X-Storage-Url"]
        return types.SimpleNamespace(
            auth_token=answer.headers["X-Auth-Token"],
            user_id=user,
            project_id=url.rpartition("AUTH_")[2],
            roles=["member"],
            service_catalog=[{"type": "object-store", "endpoints": [{"publicURL": url}]}],
        )


class TestTenantsWithKeystone(MultiTenantContract, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        servers.swift_keystone()
        super().setUpClass()

    def log_in_both(self):
        self.service = Service()
        self.owner = self.log_in(self.service.project, self.service.user, self.service.password)
        self.other = self.log_in(*self.service.other.split(":"))

    def log_in(self, project, user, password):
        plugin = v3.Password(
            self.service.address,
            username=user,
            password=password,
            project_name=project,
            user_domain_id="default",
            project_domain_id="default",
        )
        access = plugin.get_access(Session(plugin))
        return types.SimpleNamespace(
            auth_token=access.auth_token,
            user_id=access.user_id,
            project_id=access.project_id,
            roles=access.role_names,
            service_catalog=access.service_catalog.catalog,
        )

    def test_who_may_read_follows_the_lists(self):
        location = parse(self.store.add(self.image_id, [b"data"]).url)
        theirs = CallerBoundStore(self.store.guard, self.other)
        self.assertRaises(errors.StoreForbidden, theirs.get, location)
        self.store.guard.set_acls(location, False, [self.other.project_id], caller=self.owner)
        self.assertEqual(b"data", b"".join(theirs.get(location).chunks))
        self.assertRaises(errors.StoreForbidden, theirs.delete, location)
        self.store.guard.set_acls(location, False, [], caller=self.owner)
        self.assertRaises(errors.StoreForbidden, theirs.get, location)

    def test_a_public_image_is_not_read_without_a_token(self):
        location = parse(self.store.add(self.image_id, [b"data"]).url)
        self.store.guard.set_acls(location, True, [], caller=self.owner)
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{location.authority}{location.path}")
        # The gateway of Ceph denies that there is anything.
        self.assertIn(caught.exception.code, (401, 404))

    def test_an_upload_outlives_its_token(self):
        directory = self.enterContext(servers.scratch())
        file = os.path.join(directory, "glance-api.conf")
        with open(file, "w", encoding="utf-8") as out:
            out.write(
                "[keystone_authtoken]\nauth_type = password\n"
                f"auth_url = {self.service.address}\nusername = {self.service.user}\n"
                f"password = {self.service.password}\n"
                f"project_name = {self.service.project}\n"
                "user_domain_id = default\nproject_domain_id = default\n"
            )
        options = settings(
            OPTIONS, swift_store_multi_tenant=True, swift_store_large_object_chunk_size=1
        )
        options.config_files = [file]
        store = CallerBoundStore(
            GuardedDriver(swift.SwiftDriver(options, "contract"), "contract"), self.other
        )
        self.addCleanup(store.clear)
        token = self.other.auth_token

        def source():
            yield b"x" * MB
            self.other.auth_token = "expired"
            yield b"y" * MB
            self.other.auth_token = token

        location = parse(store.add(self.image_id, source()).url)
        self.assertEqual(2 * MB, store.size(location))
        store.delete(location)


class CallerBoundStore:
    """A guarded store as one caller uses it."""

    def __init__(self, guard: GuardedDriver, caller):
        self.guard, self.caller = guard, caller
        self.driver, self.capabilities = guard.driver, guard.capabilities
        self.predict_locations, self.cleanup, self.health_check = (
            guard.predict_locations,
            guard.cleanup,
            guard.health_check,
        )
        self.find_partial = guard.find_partial
        self.added = []

    def add(self, *args):
        stored = self.guard.add(*args, caller=self.caller)
        self.added.append(parse(stored.url))
        return stored

    def clear(self):
        for location in self.added:
            with contextlib.suppress(errors.StoreObjectNotFound):
                self.guard.delete(location, caller=self.caller)

    def __getattr__(self, operation):
        method = getattr(self.guard, operation)
        return lambda *args, **kwargs: method(*args, **kwargs, caller=self.caller)
