"""The Swift driver: whose account, which container, and what it does when Swift stumbles."""

import json
import os
import tempfile
import types
import unittest
from unittest import mock
from urllib.parse import parse_qsl

from glance_store_py import errors
from glance_store_py.drivers import remote, swift
from glance_store_py.drivers.remote import HttpPool, HttpPools
from glance_store_py.drivers.swift_accounts import AccountReference, load_references
from glance_store_py.drivers.swift_client import SwiftAuthenticationFailed, SwiftClient
from glance_store_py.drivers.swift_objects import SegmentLayout, SegmentSource, SwiftObjects
from glance_store_py.drivers.swift_options import OPTIONS, SwiftSettings
from glance_store_py.drivers.swift_tenants import CallerOperations, account_url
from glance_store_py.location import parse
from glance_store_py.testing import settings
from tests.unit.glance_store_py.drivers.stub_http import StubResponse, start_stub

FILE = """
[one]
user = service:glance
key = 'can%ary='
auth_address = "https://keystone.example:5000/"
project_domain_name = Services
[two]
auth_address = http://other.example/identity/v3
application_credential_id = id
application_credential_secret = secret
[three]
auth_address = http://other.example/v2.0
user = only
"""


class ReferenceFileTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = os.path.join(scratch.name, "swift.conf")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(FILE)

    def options(self, **values):
        return settings(
            OPTIONS,
            **{"swift_store_config_file": self.path, "default_swift_reference": "one", **values},
        )


class TestReferences(ReferenceFileTest):
    def test_what_the_file_says_is_what_keystone_gets(self):
        one = load_references(SwiftSettings.read(self.options()))["one"]
        plugin = one.plugin()
        self.assertEqual("https://keystone.example:5000/v3", plugin.auth_url)
        self.assertEqual(
            ("service", "Services", None),
            (plugin.project_name, plugin.project_domain_name, plugin.project_domain_id),
        )
        method = plugin.auth_methods[0]
        self.assertEqual(
            ("glance", "can%ary=", "default"),
            (method.username, method.password, method.user_domain_id),
        )

    def test_an_application_credential_needs_no_user(self):
        two = load_references(SwiftSettings.read(self.options()))["two"]
        self.assertIsNone(two.missing_options())
        self.assertEqual("http://other.example/identity/v3", two.plugin().auth_url)

    def test_an_old_version_of_the_api_becomes_the_new_one(self):
        three = AccountReference.from_values(
            {"auth_address": "http://h/v2.0", "user": "a:b", "key": "c"}
        )
        self.assertEqual("http://h/v3", three.plugin().auth_url)

    def test_the_older_options_are_a_reference_too(self):
        options = settings(
            OPTIONS,
            swift_store_auth_address="http://h/v3",
            swift_store_user="p:u",
            swift_store_key="k",
        )
        [reference] = load_references(SwiftSettings.read(options)).values()
        self.assertIsNone(reference.missing_options())

    def test_secrets_stay_out_of_sight(self):
        self.assertNotIn("ary", repr(load_references(SwiftSettings.read(self.options()))))
        self.assertNotIn(
            "secret",
            repr(load_references(SwiftSettings.read(self.options()))["two"]).replace(
                "credential_secret", ""
            ),
        )

    def test_a_file_beside_the_configuration_is_found(self):
        options = self.options(swift_store_config_file="swift.conf")
        options.config_files = [os.path.join(os.path.dirname(self.path), "glance-api.conf")]
        self.assertIn("one", load_references(SwiftSettings.read(options)))

    def test_what_cannot_work_is_refused_at_start_without_showing_it(self):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("key canary without sign\n")
        for options in ({}, {"swift_store_config_file": "/nowhere"}):
            with self.assertRaises(errors.BadStoreConfiguration) as caught:
                swift.SwiftDriver(self.options(**options), "s").configure_add()
            self.assertNotIn("canary", str(caught.exception))

    def test_an_incomplete_reference_is_refused_at_start(self):
        for name in ("three", "four"):
            made = swift.SwiftDriver(self.options(default_swift_reference=name), "s")
            self.assertRaises(errors.BadStoreConfiguration, made.configure_add)
        both = swift.SwiftDriver(self.options(swift_store_multi_tenant=True), "s")
        self.assertRaises(errors.BadStoreConfiguration, both.configure_add)


class TestLocations(ReferenceFileTest):
    def test_they_name_the_reference_and_the_container(self):
        image_id = "26cd2222-f84f-480a-9122-7a5104124eff"
        for seed, url in (
            (0, f"swift+config://one/glance/{image_id}"),
            (3, f"swift+config://one/glance_26c/{image_id}"),
            (10, f"swift+config://one/glance_26cd2222-f/{image_id}"),
        ):
            made = swift.SwiftDriver(self.options(swift_store_multiple_containers_seed=seed), "s")
            [location] = made.predict_locations(image_id)
            self.assertEqual(url, location.url)
            self.assertEqual(location, parse(url))

    def test_all_references_and_their_hosts_belong_to_the_store(self):
        made = swift.SwiftDriver(self.options(), "s")
        for url, expected in (
            ("swift+config://two/c/o", 1),
            ("swift+config://four/c/o", -1),
            ("swift+https://a%3Ab:k@keystone.example:5000/v3/c/o", 1),
            ("swift://a:b:k@keystone.example:5000/c/o", 1),
            ("swift+http://a:b:k@evil.example/c/o", -1),
        ):
            location = parse(url)
            self.assertEqual(expected, max(map(location.match_depth, made.prefixes)), url)

    def test_what_is_no_address(self):
        for url in (
            "swift+config://ref/object",
            "swift+config://u:k@ref/c/o",
            "swift:///c/o",
            "swift+https://u@h/c/o",
            "swift+https://h/a/../c/o",
            "swift://h/c/swift://x/o",
        ):
            self.assertRaises(errors.BadStoreUri, parse, url)

    def test_megabytes_are_what_operators_are_used_to(self):
        self.assertEqual(
            {
                "container": "glance",
                "large_object_size": 5_242_880_000,
                "large_object_chunk_size": 204_800_000,
            },
            swift.SwiftDriver(self.options(), "s").properties,
        )


class TestCatalogue(unittest.TestCase):
    def url(self, endpoint, **options):
        caller = types.SimpleNamespace(
            auth_token="t",
            service_catalog=[
                {"type": "image", "endpoints": [{"publicURL": "http://no"}]},
                {"type": "object-store", "endpoints": [endpoint]},
            ],
        )
        values = settings(OPTIONS, swift_store_multi_tenant=True, **options)
        return account_url(SwiftSettings.read(values), caller)

    def test_both_shapes_are_read(self):
        for endpoint in (
            {"publicURL": "http://s/v1/AUTH_p/", "region": "r"},
            {"interface": "public", "url": "http://s/v1/AUTH_p", "region_id": "r"},
        ):
            self.assertEqual("http://s/v1/AUTH_p", self.url(endpoint))
            self.assertEqual("http://s/v1/AUTH_p", self.url(endpoint, swift_store_region="r"))
            self.assertRaises(
                errors.GlanceStoreError, self.url, endpoint, swift_store_region="other"
            )
            self.assertRaises(
                errors.GlanceStoreError, self.url, endpoint, swift_store_endpoint_type="internalURL"
            )
            self.assertEqual(
                "http://e/v1/x", self.url(endpoint, swift_store_endpoint="http://e/v1/x/")
            )


class TestSegmentSource(unittest.TestCase):
    def test_lengths_are_taken_exactly(self):
        source = SegmentSource([b"abc", b"defgh", b"i"])
        taken = []
        while not source.at_end():
            taken.append(b"".join(source.read(4)))
        self.assertEqual([b"abcd", b"efgh", b"i"], taken)
        self.assertEqual((9, 0), (source.count, source.buffered))


class FakeAccount:
    """An account whose first token has expired."""

    def __init__(self, url):
        self._url, self._token = url, "old"

    def url(self):
        return self._url

    def token(self):
        return self._token

    def is_token_rejected(self, token):
        better = self._token == "old"
        self._token = "new"
        return better


class TestServiceFailures(unittest.TestCase):
    def serve(self, answer, **layout):
        self.server = start_stub(self, answer)
        url = f"http://{self.server.address}/v1/AUTH_p"
        self.account = FakeAccount(url)
        return SwiftObjects(
            SwiftClient(self.account, HttpPool(url)),
            SegmentLayout(
                **{
                    "large_object_size": 100,
                    "segment_size": 10,
                    "spool_dir": None,
                    "max_resumes": 2,
                    **layout,
                }
            ),
        )

    def test_a_token_that_expired_is_replaced_once(self):
        objects = self.serve(
            lambda asked: StubResponse(
                200 if asked.headers["x-auth-token"] == "new" else 401,
                headers={"Content-Length": "4"},
            )
        )
        self.assertEqual(4, objects.size("c", "o"))
        objects = self.serve(lambda asked: StubResponse(401))
        self.assertRaises(errors.GlanceStoreError, objects.size, "c", "o")
        self.assertEqual(2, len(self.server.requests))

    def test_a_swift_that_accepts_no_token_is_not_asked_for_ever(self):
        """Keystone gives out a new token whenever it is asked, and Swift accepts none."""
        tokens = []

        def is_token_rejected(token):
            tokens.append(token)
            self.account._token = f"token {len(tokens)}"
            return True

        objects = self.serve(lambda asked: StubResponse(401 if len(tokens) < 50 else 500))
        self.account.is_token_rejected = is_token_rejected
        for number in (1, 2):
            self.assertRaises(SwiftAuthenticationFailed, objects.size, "c", "o")
            self.assertEqual(number, len(tokens))
        self.assertEqual(4, len(self.server.requests))

    def test_a_swift_that_is_overloaded_is_waited_for(self):
        pauses = []
        self.enterContext(mock.patch.object(remote, "sleep_before_retry", pauses.append))
        self.enterContext(mock.patch.object(remote, "clock", lambda: sum(pauses)))
        for status in (503, 498, 429):
            pauses.clear()
            objects = self.serve(
                lambda asked, status=status: StubResponse(
                    status if sum(pauses) < 20 else 200, headers={"Content-Length": "4"}
                )
            )
            self.account._token = "new"
            self.assertEqual(4, objects.size("c", "o"))

    def test_a_manifest_that_meets_its_own_work_is_a_success(self):
        stored = {}

        def answer(asked):
            if asked.method == "PUT" and asked.path.endswith("/o"):
                if stored:
                    return StubResponse(412)
                stored.update(asked.headers)
                return StubResponse(503)
            if asked.method == "HEAD":
                return (
                    StubResponse(
                        200,
                        headers={
                            "X-Object-Meta-Glance-Upload": stored["x-object-meta-glance-upload"],
                        },
                    )
                    if stored
                    else StubResponse(404)
                )
            return StubResponse(201)

        objects = self.serve(answer, spool_dir=tempfile.gettempdir())
        self.account._token = "new"
        self.assertEqual(25, objects.add("c", "o", [b"x" * 25], None))
        self.assertNotIn("DELETE", [asked.method for asked in self.server.requests])
        token = stored["x-object-meta-glance-upload"]
        self.assertEqual(f"c/o_{token}_", stored["x-object-manifest"])

    def test_a_spooled_segment_is_sent_again_whole(self):
        busy = [True]

        def answer(asked):
            if asked.method == "PUT" and busy and busy.pop():
                return StubResponse(503)
            return StubResponse(404 if asked.method == "HEAD" else 201)

        objects = self.serve(answer, spool_dir=tempfile.gettempdir())
        objects.add("c", "o", [b"x" * 10], None)
        self.assertEqual(
            [b"x" * 10] * 2,
            [asked.body for asked in self.server.requests if asked.path.endswith("_00001")],
        )

    def test_segments_of_a_failed_upload_go(self):
        marks = {}

        def answer(asked):
            if asked.method == "PUT":
                marks[asked.path] = asked.headers["x-object-meta-glance-upload"]
                return StubResponse(507 if asked.path.endswith("_00003") else 201)
            if asked.method == "HEAD" and asked.path in marks:
                return StubResponse(200, headers={"X-Object-Meta-Glance-Upload": marks[asked.path]})
            return StubResponse(404 if asked.method == "HEAD" else 204)

        objects = self.serve(answer, spool_dir=tempfile.gettempdir())
        self.assertRaises(errors.StorageFull, objects.add, "c", "o", [b"x" * 50], 150)
        (token,) = set(marks.values())
        self.assertEqual(
            {f"/v1/AUTH_p/c/o_{token}_0000{number}" for number in (1, 2, 3)},
            {asked.path for asked in self.server.requests if asked.method == "DELETE"},
        )

    def test_segments_of_somebody_else_stay(self):
        def answer(asked):
            if asked.method == "PUT":
                return StubResponse(507 if asked.path.endswith("_00002") else 201)
            found = asked.method == "HEAD" and asked.path.endswith("_00001")
            return StubResponse(200 if found else 404, headers={"X-Object-Meta-Glance-Upload": "x"})

        objects = self.serve(answer, spool_dir=tempfile.gettempdir())
        self.assertRaises(errors.StorageFull, objects.add, "c", "o", [b"x" * 50], 150)
        self.assertEqual([], [asked for asked in self.server.requests if asked.method == "DELETE"])

    def test_segments_of_an_upload_are_named_by_nobody_else(self):
        objects = self.serve(
            lambda asked: StubResponse(404 if asked.method == "HEAD" else 201),
            spool_dir=tempfile.gettempdir(),
        )
        for _ in range(2):
            objects.add("c", "o", [b"x" * 25], None)
        put = [
            asked.path.rpartition("/")[2]
            for asked in self.server.requests
            if asked.method == "PUT" and not asked.path.endswith("/o")
        ]
        self.assertEqual((6, 6), (len(put), len(set(put))))
        self.assertEqual(2, len({name[:-5] for name in put}))
        self.assertNotIn("DELETE", [asked.method for asked in self.server.requests])

    def listing(self, names, asked):
        """The page of a listing that was asked for."""
        query = dict(parse_qsl(asked.path.partition("?")[2], keep_blank_values=True))
        page = [
            name
            for name in sorted(names)
            if name.startswith(query["prefix"]) and name > query["marker"]
        ][:2]
        return StubResponse(
            200,
            json.dumps(
                [
                    {"name": name, "bytes": 5, "last_modified": "2026-01-01T00:00:00.000000"}
                    for name in page
                ]
            ).encode(),
        )

    def test_a_manifest_stays_as_long_as_one_of_its_segments(self):
        token = "0" * 32
        stuck = [True]
        names = {f"o_{token}_00001", f"o_{token}_00002", f"o_{'1' * 32}_00001", "o-00001", "o.2"}

        def answer(asked):
            name = asked.path.rpartition("/")[2]
            if asked.method == "GET":
                return self.listing(names, asked)
            if asked.method == "HEAD":
                return StubResponse(200, headers={"X-Object-Manifest": f"c/o_{token}_"})
            if stuck and name.endswith("00001"):
                return StubResponse(403)
            names.discard(name)
            return StubResponse(204)

        objects = self.serve(answer)
        self.account._token = "new"
        self.assertRaises(errors.StoreForbidden, objects.delete, "c", "o")
        self.assertNotIn(
            "/v1/AUTH_p/c/o",
            [asked.path for asked in self.server.requests if asked.method == "DELETE"],
        )
        stuck.clear()
        objects.delete("c", "o")
        self.assertEqual({f"o_{'1' * 32}_00001", "o-00001", "o.2"}, names)
        self.assertEqual(
            ("DELETE", "/v1/AUTH_p/c/o"),
            (self.server.requests[-1].method, self.server.requests[-1].path),
        )

    def test_segments_of_a_static_object_that_stay_are_told(self):
        def answer(asked):
            if asked.method == "HEAD":
                return StubResponse(200, headers={"X-Static-Large-Object": "True"})
            return StubResponse(
                200,
                json.dumps(
                    {"Response Status": "409 Conflict", "Errors": [["/c/s", "409 Conflict"]]}
                ).encode(),
            )

        objects = self.serve(answer)
        self.account._token = "new"
        self.assertRaises(errors.RemoteServiceFailed, objects.delete, "c", "o")

    def test_a_download_is_taken_up_as_often_as_the_operator_wants(self):
        data = bytes(range(256)) * 40

        def answer(asked):
            start = 0
            if "range" in asked.headers:
                start = int(asked.headers["range"].partition("=")[2].partition("-")[0])
            return StubResponse(
                206 if start else 200,
                data[start:],
                {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {},
                cut=4000,
            )

        whole = self.serve(answer).get("c", "o", 0, None)
        self.assertEqual(data, b"".join(whole.chunks))
        broken = self.serve(answer, max_resumes=1).get("c", "o", 0, None)
        self.assertRaises(errors.RemoteServiceUnavailable, lambda: b"".join(broken.chunks))

    def test_a_listing_is_read_page_by_page(self):
        digits = "8c7338aa-40f0-4fe4-bf94-012345678901"
        token = "1" * 32
        manifests = {digits: f"c/{digits}-", f"{digits}.2": f"c/{digits}.2_{token}_"}
        names = [
            digits,
            f"{digits}-00001",
            f"{digits}-00002",
            f"{digits}.2",
            f"{digits}.2_{token}_00001",
            f"{digits}_{token}_00001",
            "a",
            "b-00001",
            "b-00002",
            "c",
        ]

        def answer(asked):
            if asked.method == "HEAD":
                manifest = manifests.get(asked.path.rpartition("/")[2])
                return StubResponse(200, headers={"X-Object-Manifest": manifest})
            return self.listing(names, asked)

        found = [(name, size) for name, size, _ in self.serve(answer).list_images("c")]
        self.assertEqual(
            [
                (digits, 15),
                (f"{digits}.2", 10),
                (f"{digits}_{token}_", 5),
                ("a", 5),
                ("b-", 10),
                ("c", 5),
            ],
            found,
        )

    def test_times_in_a_listing_are_utc_with_a_zone_and_without(self):
        for written in ("2026-01-01T00:00:00.000000", "2026-01-01T00:00:00.000Z"):

            def answer(asked, written=written):
                page = (
                    []
                    if asked.path.endswith("marker=a")
                    else [{"name": "a", "bytes": 5, "last_modified": written}]
                )
                return StubResponse(200, json.dumps(page).encode())

            self.assertEqual([("a", 5, 1767225600.0)], list(self.serve(answer).list_images("c")))


class TestTenants(unittest.TestCase):
    def test_lists_of_readers(self):
        sent = []

        def answer(asked):
            sent.append({name: asked.headers[f"x-container-{name}"] for name in ("read", "write")})
            return StubResponse(204)

        server = start_stub(self, answer)
        url = f"http://{server.address}/v1/AUTH_p"
        caller = types.SimpleNamespace(auth_token="t", service_catalog=None)
        options = SwiftSettings.read(
            settings(OPTIONS, swift_store_endpoint=url, swift_store_admin_tenants=["ops"])
        )
        operations = CallerOperations(
            options, HttpPools(), SegmentLayout.from_settings(options), caller
        )
        place = parse(f"swift+http://{server.address}/v1/AUTH_p/glance_i/i")
        operations.set_acls(place, False, ["a", "b"], [])
        operations.set_acls(place, True, ["a"], [])
        self.assertEqual(
            [{"read": "a:*,b:*,ops:*", "write": "ops:*"}, {"read": "*:*", "write": "ops:*"}], sent
        )
