"""The S3 driver: how it signs and addresses, and what it does when the service stumbles."""

import calendar
import dataclasses
import hashlib
import threading
import unittest
import zlib
from unittest import mock
from urllib.parse import parse_qsl

from glance_store_py import errors
from glance_store_py.drivers import remote, s3
from glance_store_py.drivers.s3_client import (
    S3BucketMissing,
    S3ServiceError,
    crc32,
    region_from_host,
    uses_virtual_host,
)
from glance_store_py.drivers.s3_options import OPTIONS
from glance_store_py.drivers.s3_signature import (
    EMPTY_SHA256,
    S3Credentials,
    query_string,
    sign_headers,
)
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import parse, redacted
from glance_store_py.testing import settings
from tests.unit.glance_store_py.drivers.stub_http import StubResponse, start_stub

MIB = 1024 * 1024


def store(host="http://s3.example", **options):
    defaults = {
        "s3_store_host": host,
        "s3_store_access_key": "access",
        "s3_store_secret_key": "canary",
        "s3_store_bucket": "images",
        "s3_store_large_object_chunk_size": 5,
    }
    return s3.S3Driver(settings(OPTIONS, **{**defaults, **options}), "s")


class TestSignature(unittest.TestCase):
    """The examples of the Amazon S3 API reference."""

    def sign(self, method, path, query, headers, payload=EMPTY_SHA256):
        key = S3Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        now = calendar.timegm((2013, 5, 24, 0, 0, 0))
        answer = sign_headers(
            key,
            "us-east-1",
            method,
            path,
            query_string(query),
            {"host": "examplebucket.s3.amazonaws.com", **headers},
            payload,
            now,
        )
        return answer["authorization"].rpartition("Signature=")[2]

    def test_get_object(self):
        self.assertEqual(
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            self.sign("GET", "/test.txt", {}, {"range": "bytes=0-9"}),
        )

    def test_put_object(self):
        self.assertEqual(
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            self.sign(
                "PUT",
                "/test%24file.text",
                {},
                {
                    "date": "Fri, 24 May 2013 00:00:00 GMT",
                    "x-amz-storage-class": "REDUCED_REDUNDANCY",
                },
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
        )

    def test_a_query(self):
        self.assertEqual(
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            self.sign("GET", "/", {"lifecycle": ""}, {}),
        )
        self.assertEqual(
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            self.sign("GET", "/", {"prefix": "J", "max-keys": "2"}, {}),
        )


class TestPayload(unittest.TestCase):
    """What x-amz-content-sha256 says of a body; the values are the protocol's."""

    def digest(self, host: str, send) -> str:
        """The header of the request that ``send(client)`` makes."""
        client = store(host)._client
        with mock.patch.object(client.pool, "request", side_effect=ConnectionError) as request:
            self.assertRaises(ConnectionError, send, client)
        return request.call_args.args[2]["x-amz-content-sha256"]

    def test_a_body_that_is_sent_once_is_not_hashed(self):
        for host in ("http://h", "https://h"):
            self.assertEqual(
                "UNSIGNED-PAYLOAD",
                self.digest(host, lambda client: client.put_stream("id", [b"data"], 4, {})),
            )

    def test_tls_protects_a_body_already(self):
        put = lambda client: client.put("id", bytearray(b"data"), {})  # noqa: E731
        self.assertEqual("UNSIGNED-PAYLOAD", self.digest("https://h", put))
        self.assertEqual(hashlib.sha256(b"data").hexdigest(), self.digest("http://h", put))

    def test_no_body_has_the_hash_of_nothing(self):
        empty = hashlib.sha256(b"").hexdigest()
        for host in ("http://h", "https://h"):
            self.assertEqual(empty, self.digest(host, lambda client: client.delete("id")))


class TestConfiguration(unittest.TestCase):
    def test_what_an_operator_forgot_is_named(self):
        for option in (
            "s3_store_host",
            "s3_store_access_key",
            "s3_store_secret_key",
            "s3_store_bucket",
        ):
            made = store(**{option: None})
            with self.assertRaises(errors.BadStoreConfiguration) as caught:
                made.configure_add()
            self.assertEqual(option, caught.exception.args[1])

    def test_what_cannot_work_is_refused(self):
        for options in ({"s3_store_bucket_url_format": "odd"}, {"host": "ftp://x"}):
            self.assertRaises(errors.BadStoreConfiguration, store(**options).configure_add)
        small = store()
        small._part_size = MIB
        self.assertRaises(errors.BadStoreConfiguration, small.configure_add)

    def test_addresses_are_as_databases_have_them(self):
        for host, url in (
            ("http://h:81", "s3://h:81/images/id"),
            ("h", "s3://h/images/id"),
            ("https://h/", "s3+https://h/images/id"),
        ):
            made = store(host)
            made.configure_add()
            [location] = made.predict_locations("id")
            self.assertEqual(url, location.url)
            self.assertEqual(location, parse(url))
            for scheme in made.schemes:
                other = parse(f"{scheme}://{url.partition('://')[2]}")
                self.assertEqual(2, max(map(other.match_depth, made.prefixes)))

    def test_credentials_in_old_addresses_are_never_shown(self):
        url = "s3://access:can/ary@h/images/id"
        location = parse(url)
        for text in (location.url, location.redacted, repr(location), redacted(url)):
            self.assertNotIn("ary", text)
        self.assertEqual("s3://h/images/id", location.url)

    def test_what_is_no_address(self):
        for url in (
            "s3://host",
            "s3://host/bucket",
            "s3://host/bucket/",
            "s3:///bucket/key",
            "s3://a/b/../c",
            "s3://h/b/k ey",
            "s3://h/b/s3://x/y",
        ):
            self.assertRaises(errors.BadStoreUri, parse, url)

    def test_where_the_bucket_stands(self):
        for style, host, bucket, expected in (
            ("auto", "s3.eu-west-1.amazonaws.com", "images", True),
            ("auto", "s3.amazonaws.com", "my.images", False),
            ("auto", "ceph.example", "images", False),
            ("virtual", "ceph.example", "images", True),
            ("path", "s3.amazonaws.com", "images", False),
        ):
            self.assertEqual(
                expected, uses_virtual_host(style, host, bucket), (style, host, bucket)
            )
        virtual = store("https://s3.eu-west-1.amazonaws.com")._client
        self.assertEqual("https://images.s3.eu-west-1.amazonaws.com", virtual._base)

    def test_the_region_of_a_host(self):
        for host, region in (
            ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3-ap-southeast-2.amazonaws.com", "ap-southeast-2"),
            ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("s3.dualstack.us-west-2.amazonaws.com", "us-west-2"),
            ("s3.amazonaws.com", "us-east-1"),
            ("ceph", "us-east-1"),
        ):
            self.assertEqual(region, region_from_host(host))

    def test_10_000_parts_are_enough(self):
        made = store()
        known = made._part_sizes(1024**4)
        self.assertGreaterEqual(10_000 * known(1), 1024**4)
        unknown = made._part_sizes(None)
        self.assertEqual(
            [5 * MIB, 10 * MIB, 10 * MIB, 20 * MIB],
            [unknown(number) for number in (5000, 5001, 5500, 5501)],
        )
        usual = store(s3_store_large_object_chunk_size=10)._part_sizes(None)
        self.assertGreater(sum(map(usual, range(1, 10_001))), 5 * 1024**4)


RESULT = StubResponse(
    200,
    b"""<?xml version="1.0" encoding="UTF-8"?>
    <CompleteMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <ETag>"x"</ETag></CompleteMultipartUploadResult>""",
)


class TestServiceFailures(unittest.TestCase):
    def setUp(self):
        super().setUp()
        #: Seconds waited between attempts; a clock that nothing else moves.
        self.pauses = []
        self.enterContext(mock.patch.object(remote, "sleep_before_retry", self.pauses.append))
        self.enterContext(mock.patch.object(remote, "clock", lambda: sum(self.pauses)))

    def serve(self, answer, **options):
        """A store whose service has what it answered to have stored."""
        held, sent = {}, {}

        def remembering(asked):
            path = asked.path.partition("?")[0]
            got = answer(asked)
            if asked.method == "HEAD" and path in held and got.status == 404:
                return StubResponse(200, headers=held[path])
            if asked.headers.get("x-amz-meta-glance-upload"):
                sent[path] = asked.headers["x-amz-meta-glance-upload"], 0
            if asked.method == "PUT" and path in sent:
                sent[path] = sent[path][0], sent[path][1] + len(asked.body)
            if (
                got.status == 200
                and path in sent
                and (asked.method == "PUT" and asked.path == path or got is RESULT)
            ):
                held[path] = {
                    "x-amz-meta-glance-upload": sent[path][0],
                    "Content-Length": str(sent[path][1]),
                }
            return got

        self.server = start_stub(self, remembering)
        return GuardedDriver(store(f"http://{self.server.address}", **options), "s")

    def methods(self):
        return [asked.method for asked in self.server.requests]

    def test_a_busy_service_is_asked_again(self):
        answers = iter(
            [
                StubResponse(503),
                StubResponse(404),
                StubResponse(500),
                StubResponse(200),
                StubResponse(404),
            ]
        )
        self.serve(lambda asked: next(answers)).add("id", [b"data"])
        self.assertEqual(["HEAD", "HEAD", "PUT", "PUT", "HEAD"], self.methods())
        self.assertEqual(b"data", self.server.requests[-2].body)

    def test_a_service_that_is_overloaded_for_half_a_minute_is_waited_for(self):
        guard = self.serve(
            lambda asked: (
                StubResponse(503)
                if sum(self.pauses) < 20
                else StubResponse(200, headers={"Content-Length": "4"})
            )
        )
        (location,) = guard.predict_locations("id")
        self.assertEqual(4, guard.size(location))
        self.assertLess(max(self.pauses), 10)
        self.assertLess(len(self.server.requests), 12)

    def test_a_service_that_stays_overloaded_is_given_up_and_keeps_nobody_else_waiting(self):
        guard = self.serve(lambda asked: StubResponse(503))
        (location,) = guard.predict_locations("id")
        for least, most, idle in ((20, 40, 0), (0, 2, 0), (0, 2, 10), (20, 40, 100)):
            self.pauses.append(idle)
            before = sum(self.pauses)
            self.assertRaises(errors.RemoteServiceFailed, guard.size, location)
            waited = sum(self.pauses) - before
            self.assertTrue(least <= waited <= most, self.pauses)

    def test_a_failure_that_does_not_ask_for_time_gets_none(self):
        guard = self.serve(lambda asked: StubResponse(500))
        (location,) = guard.predict_locations("id")
        self.assertRaises(errors.RemoteServiceFailed, guard.size, location)
        self.assertEqual((3, True), (len(self.server.requests), sum(self.pauses) < 2))

    def test_a_put_that_meets_its_own_work_is_a_success(self):
        stored = {}

        def answer(asked):
            if asked.method == "PUT":
                if stored:
                    return StubResponse(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                stored.update(asked.headers)
                return StubResponse(500)
            return (
                StubResponse(
                    200,
                    headers={
                        "x-amz-meta-glance-upload": stored["x-amz-meta-glance-upload"],
                        "Content-Length": "4",
                    },
                )
                if stored
                else StubResponse(404)
            )

        self.assertEqual(4, self.serve(answer).add("id", [b"data"]).size)

    def test_a_service_without_conditional_writes_is_written_to_without(self):
        def answer(asked):
            if asked.method == "PUT":
                return StubResponse(501 if "if-none-match" in asked.headers else 200)
            return StubResponse(404)

        guard = self.serve(answer)
        guard.add("id", [b"data"])
        guard.add("other", [b"data"])
        self.assertEqual(["HEAD", "PUT", "PUT", "HEAD", "HEAD", "PUT", "HEAD"], self.methods())

    def test_a_put_that_meets_the_work_of_another_is_a_duplicate(self):
        taken = StubResponse(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        guard = self.serve(lambda asked: taken if asked.method == "PUT" else StubResponse(404))
        self.assertRaises(errors.StoreObjectExists, guard.add, "id", [b"data"])
        self.assertNotIn("DELETE", self.methods())

    def uploading(self, complete):
        def answer(asked):
            if asked.method == "POST" and "uploads" in asked.path:
                return StubResponse(200, b"<R><UploadId>u/1</UploadId></R>")
            if asked.method == "POST":
                return complete
            return StubResponse(404 if asked.method == "HEAD" else 200, headers={"ETag": '"e"'})

        return answer

    def test_a_failure_behind_status_200_is_one(self):
        guard = self.serve(
            self.uploading(StubResponse(200, b"  <Error><Code>InternalError</Code></Error>"))
        )
        self.assertRaises(errors.GlanceStoreError, guard.add, "id", [bytes(6 * MIB)])
        self.assertEqual(
            ("DELETE", "/images/id?uploadId=u%2F1"),
            (self.server.requests[-1].method, self.server.requests[-1].path),
        )

    def unclear(self):
        """Answers with status 200 that do not say that an upload was completed."""
        half = RESULT.body[:100]
        return (
            StubResponse(200, b""),
            StubResponse(200, b"   \n"),
            StubResponse(200, half),
            StubResponse(200, RESULT.body, cut=100),
            StubResponse(200, b"<html>It works!</html>"),
            StubResponse(200, b"<Error><Code>InternalError</Code></Error>"),
        )

    def test_an_answer_that_does_not_say_that_an_upload_was_completed_is_no_success(self):
        for answer in self.unclear():
            with self.subTest(answer=answer):
                guard = self.serve(self.uploading(answer))
                self.assertRaises(errors.GlanceStoreError, guard.add, "id", [bytes(6 * MIB)])
                self.assertEqual(
                    ("DELETE", "/images/id?uploadId=u%2F1"),
                    (self.server.requests[-1].method, self.server.requests[-1].path),
                )

    def test_an_answer_that_does_not_say_so_is_a_success_when_the_object_is_there(self):
        for answer in self.unclear():
            for size, is_there in ((6 * MIB, True), (6 * MIB - 1, False)):
                with self.subTest(answer=answer, size=size):
                    mark = {}

                    def complete(asked, answer=answer, size=size, mark=mark):
                        if "uploads" in asked.path:
                            mark["x-amz-meta-glance-upload"] = asked.headers[
                                "x-amz-meta-glance-upload"
                            ]
                        elif asked.method == "POST":
                            mark["Content-Length"] = str(size)
                        if asked.method == "HEAD" and "Content-Length" in mark:
                            return StubResponse(200, headers=mark)
                        return self.uploading(answer)(asked)

                    guard = self.serve(complete)
                    if is_there:
                        self.assertEqual(size, guard.add("id", [bytes(6 * MIB)]).size)
                        self.assertNotIn("DELETE", self.methods())
                    else:
                        self.assertRaises(
                            errors.GlanceStoreError, guard.add, "id", [bytes(6 * MIB)]
                        )

    def test_an_upload_is_completed_at_the_second_attempt(self):
        answers = iter(self.unclear()[:2])
        guard = self.serve(
            lambda asked: self.uploading(
                next(answers, RESULT)
                if "uploadId" in asked.path and asked.method == "POST"
                else RESULT
            )(asked)
        )
        self.assertEqual(6 * MIB, guard.add("id", [bytes(6 * MIB)]).size)

    def test_what_the_service_says_to_have_stored_must_be_there(self):
        def forgetful(asked):
            return StubResponse(200 if asked.method != "HEAD" else 404)

        for size in (4, 6 * MIB):  # A single request, and one that is streamed.
            server = start_stub(self, forgetful)
            guard = GuardedDriver(store(f"http://{server.address}"), "s")
            self.assertRaises(errors.RemoteServiceFailed, guard.add, "id", [bytes(size)], size)

    def test_a_service_that_is_slow_to_show_what_it_stored_is_asked_again(self):
        guard = self.serve(lambda asked: StubResponse(404 if asked.method == "HEAD" else 200))
        held = self.server.answer
        heads = []

        def late(asked):
            if asked.method == "HEAD":
                heads.append(asked)
                if len(heads) <= 3:  # The first one comes before the upload.
                    return StubResponse(404)
            return held(asked)

        self.server.answer = late
        self.assertEqual(4, guard.add("id", [b"data"]).size)

    def test_a_result_may_stand_behind_white_space(self):
        guard = self.serve(self.uploading(RESULT))
        held = self.server.answer

        def padded(asked):
            got = held(asked)
            return dataclasses.replace(got, body=b" \n " + got.body) if got is RESULT else got

        self.server.answer = padded
        self.assertEqual(6 * MIB, guard.add("id", [bytes(6 * MIB)]).size)
        self.assertEqual([], self.pauses)

    def test_an_upload_that_never_got_an_answer_is_aborted_later(self):
        uploads = ["lost"]
        aborted = threading.Event()
        guard = self.serve(
            lambda asked: (
                StubResponse(503)
                if asked.method == "POST"
                else StubResponse(404)
                if asked.method == "HEAD"
                else StubResponse(
                    200, b"<R><Upload><Key>id</Key><UploadId>lost</UploadId></Upload></R>"
                )
                if asked.method == "GET"
                else (uploads.clear(), aborted.set(), StubResponse(204))[2]
            )
        )
        guard.driver._client.pool.deferred._retry_interval = 0.01
        self.assertRaises(errors.RemoteServiceFailed, guard.add, "id", [bytes(6 * MIB)])
        self.assertTrue(aborted.wait(60))
        self.assertEqual([], uploads)

    def test_an_upload_whose_beginning_got_no_answer_does_not_stay(self):
        for ends_well in (True, False):
            with self.subTest(ends_well=ends_well):
                uploads = {}

                def answer(asked, uploads=uploads, ends_well=ends_well):
                    query = dict(parse_qsl(asked.path.partition("?")[2], keep_blank_values=True))
                    if asked.method == "GET":
                        found = "".join(
                            f"<Upload><Key>{key}</Key><UploadId>{number}</UploadId></Upload>"
                            for number, key in uploads.items()
                        )
                        return StubResponse(200, f"<R>{found}</R>".encode())
                    if asked.method == "POST" and "uploads" in query:
                        uploads[str(len(uploads))] = "id"
                        # The first upload begins, but nobody learns of it.
                        return (
                            StubResponse(503)
                            if len(uploads) == 1
                            else StubResponse(200, b"<R><UploadId>1</UploadId></R>")
                        )
                    if asked.method == "POST":
                        if ends_well:
                            del uploads[query["uploadId"]]
                        return RESULT if ends_well else StubResponse(403)
                    if asked.method == "DELETE":
                        uploads.pop(query.get("uploadId"), None)
                    return StubResponse(404 if asked.method == "HEAD" else 200)

                guard = self.serve(answer)
                if ends_well:
                    guard.add("id", [bytes(6 * MIB)])
                else:
                    self.assertRaises(errors.GlanceStoreError, guard.add, "id", [bytes(6 * MIB)])
                self.assertEqual({}, uploads)

    def test_parts_are_complete_and_in_order(self):
        guard = self.serve(self.uploading(RESULT))
        guard.add("id", [b"a" * 5 * MIB, b"b" * 5 * MIB, b"c"])
        self.assertIn(b"<PartNumber>3</PartNumber>", self.server.requests[-2].body)
        self.assertEqual("*", self.server.requests[-2].headers["if-none-match"])
        sizes = {
            asked.path.partition("&")[0]: len(asked.body)
            for asked in self.server.requests
            if asked.method == "PUT"
        }
        self.assertEqual(
            {
                "/images/id?partNumber=1": 5 * MIB,
                "/images/id?partNumber=2": 5 * MIB,
                "/images/id?partNumber=3": 1,
            },
            sizes,
        )

    def test_the_region_that_the_service_names_is_believed(self):
        def answer(asked):
            if "/eu-north-1/" not in asked.headers["authorization"]:
                return StubResponse(400, headers={"x-amz-bucket-region": "eu-north-1"})
            return StubResponse(200 if asked.method == "PUT" else 404)

        self.serve(answer).add("id", [b"data"])
        self.assertEqual(["HEAD", "HEAD", "PUT", "HEAD"], self.methods())

    def test_a_missing_bucket_is_made_only_when_that_is_wanted(self):
        buckets = set()

        def answer(asked):
            if asked.path == "/images":
                if asked.method == "PUT":
                    buckets.add(asked.path)
                return StubResponse(200 if buckets else 404)
            if asked.method == "PUT":
                return (
                    StubResponse(200)
                    if buckets
                    else StubResponse(404, b"<Error><Code>NoSuchBucket</Code></Error>")
                )
            return StubResponse(404)

        self.assertRaises(errors.BadStoreConfiguration, self.serve(answer).add, "id", [b"data"])
        self.serve(answer, s3_store_create_bucket_on_put=True).add("id", [b"data"])

    def test_a_full_service(self):
        for status, code in ((403, "QuotaExceeded"), (507, "InsufficientStorage")):
            full = StubResponse(status, f"<Error><Code>{code}</Code></Error>".encode())
            guard = self.serve(
                lambda asked, full=full: full if asked.method == "PUT" else StubResponse(404)
            )
            self.assertRaises(errors.StorageFull, guard.add, "id", [b"data"])

    def test_a_download_that_breaks_off_is_taken_up(self):
        data = bytes(range(256)) * 100

        def answer(asked):
            wanted = asked.headers.get("range")
            if wanted is None:
                return StubResponse(200, data, {"ETag": '"e"'}, cut=1000)
            start = int(wanted.partition("=")[2].partition("-")[0])
            return StubResponse(
                206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            )

        guard = self.serve(answer)
        [location] = guard.predict_locations("id")
        self.assertEqual(data, b"".join(guard.get(location).chunks))
        self.assertEqual('"e"', self.server.requests[-1].headers["if-match"])

    def test_bytes_that_differ_from_their_checksum_are_refused(self):
        guard = self.serve(
            lambda asked: StubResponse(200, b"data", {"x-amz-checksum-crc32": "AAAAAA=="}),
            s3_store_enable_data_integrity_protection=True,
            s3_store_response_checksum_validation="when_supported",
        )
        [location] = guard.predict_locations("id")
        self.assertRaises(errors.GlanceStoreError, lambda: b"".join(guard.get(location).chunks))
        self.assertEqual("ENABLED", self.server.requests[-1].headers["x-amz-checksum-mode"])

    def test_a_dead_service_is_left_alone_after_some_failures(self):
        server = start_stub(self, lambda asked: StubResponse())
        guard = GuardedDriver(store(f"http://{server.address}"), "s")
        server.shutdown()
        server.server_close()
        [location] = guard.predict_locations("id")
        for _ in range(5):
            self.assertRaises(errors.RemoteServiceUnavailable, guard.size, location)
        with mock.patch.object(guard.driver, "size", side_effect=AssertionError("was asked")):
            self.assertRaises(errors.RemoteServiceUnavailable, guard.size, location)

    def listing(self, asked):
        """The pages of the bucket, of one entry each."""
        query = dict(parse_qsl(asked.path.partition("?")[2], keep_blank_values=True))
        if "uploads" in query:
            number = "2" if query.get("key-marker") else "1"
            more = (
                "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
                "<NextUploadIdMarker>u</NextUploadIdMarker>"
            )
            page = (
                f"<Upload><Key>id</Key><UploadId>u/{number}</UploadId>"
                "<Initiated>2026-01-01T00:00:00Z</Initiated></Upload>"
            )
        else:
            number = "2" if query.get("continuation-token") else "1"
            more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
            page = (
                f"<Contents><Key>id{number}</Key><Size>{number}</Size>"
                "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
            )
        return StubResponse(200, f"<R>{page}{more if number == '1' else ''}</R>".encode())

    def test_objects_and_unfinished_uploads_are_listed_page_by_page(self):
        guard = self.serve(self.listing)
        self.assertEqual(
            [
                ("id?uploadId=u%2F1", 0, 1767225600.0),
                ("id?uploadId=u%2F2", 0, 1767225600.0),
                ("id1", 1, 1767225600.0),
                ("id2", 2, 1767225600.0),
            ],
            [(each.name, each.size, each.modified) for each in guard.list_objects()],
        )

    def test_unfinished_uploads_are_found_and_aborted_by_their_url(self):
        guard = self.serve(self.listing)
        found = guard.find_partial("id")
        self.assertEqual(
            ["/images/id", "/images/id?uploadId=u%2F1", "/images/id?uploadId=u%2F2"],
            [location.path for location in found],
        )
        self.assertEqual([], guard.find_partial("i")[1:])
        guard.delete(found[1])
        self.assertEqual("/images/id?uploadId=u%2F1", self.server.requests[-1].path)
        self.assertEqual("DELETE", self.server.requests[-1].method)

    def test_an_object_is_deleted_if_there_is_one(self):
        guard = self.serve(lambda asked: StubResponse(200))
        (location,) = guard.predict_locations("id")
        guard.delete(location)
        self.assertEqual(["HEAD", "DELETE"], self.methods())
        guard = self.serve(lambda asked: StubResponse(404))
        self.assertRaises(errors.StoreObjectNotFound, guard.delete, location)
        self.assertEqual(["HEAD"], self.methods())

    def test_health_is_that_of_the_bucket(self):
        self.serve(lambda asked: StubResponse(200)).health_check()
        missing = self.serve(lambda asked: StubResponse(404))
        self.assertRaisesRegex(errors.GlanceStoreError, "no bucket images", missing.health_check)
        self.serve(
            lambda asked: StubResponse(404), s3_store_create_bucket_on_put=True
        ).health_check()
        denied = self.serve(lambda asked: StubResponse(403))
        self.assertRaises(errors.StoreForbidden, denied.health_check)

    def test_a_bucket_is_made_in_its_region(self):
        guard = self.serve(lambda asked: StubResponse(200), s3_store_region_name="eu-north-1")
        guard.driver._client.create_bucket()
        self.assertIn(
            b"<LocationConstraint>eu-north-1</LocationConstraint>", self.server.requests[-1].body
        )
        guard = self.serve(lambda asked: StubResponse(409))
        guard.driver._client.create_bucket()
        self.assertEqual(b"", self.server.requests[-1].body)

    def test_a_part_beyond_the_end_or_without_bytes_is_empty(self):
        guard = self.serve(lambda asked: StubResponse(416))
        (location,) = guard.predict_locations("id")
        self.assertEqual([], list(guard.get(location, 10).chunks))
        self.assertEqual([], list(guard.get(location, 5, 5).chunks))
        self.assertEqual(1, len(self.server.requests))

    def test_an_answer_with_another_part_is_an_error(self):
        for answer in (
            StubResponse(200, b"data"),
            StubResponse(206, b"data", {"Content-Range": "bytes 0-3/4"}),
            StubResponse(206, b"data", {"Content-Range": "nonsense"}),
            StubResponse(206, b"data"),
        ):
            guard = self.serve(lambda asked, answer=answer: answer)
            (location,) = guard.predict_locations("id")
            with self.subTest(answer=answer):
                self.assertRaisesRegex(errors.GlanceStoreError, "part", guard.get, location, 1)

    def test_the_checksum_of_parts_is_sent(self):
        guard = self.serve(
            self.uploading(RESULT),
            s3_store_enable_data_integrity_protection=True,
            s3_store_request_checksum_calculation="when_supported",
        )
        guard.add("id", [b"a" * 5 * MIB, b"b"])
        crc = crc32(zlib.crc32(b"b"))
        [part] = [asked for asked in self.server.requests if "partNumber=2" in asked.path]
        self.assertEqual(crc, part.headers["x-amz-checksum-crc32"])
        complete = self.server.requests[-2].body
        self.assertIn(f"<ChecksumCRC32>{crc}</ChecksumCRC32>".encode(), complete)
        begin = next(asked for asked in self.server.requests if asked.path.endswith("uploads="))
        self.assertEqual("CRC32", begin.headers["x-amz-checksum-algorithm"])

    def test_errors_have_their_names(self):
        for status, code, error in (
            (403, "AccessDenied", errors.StoreForbidden),
            (401, "", errors.StoreForbidden),
            (413, "", errors.StorageFull),
            (500, "", errors.RemoteServiceFailed),
            (400, "RequestTimeout", errors.RemoteServiceFailed),
            (400, "Odd", S3ServiceError),
            (409, "ConditionalRequestConflict", errors.StoreObjectExists),
            (404, "NoSuchBucket", S3BucketMissing),
            (404, "NoSuchKey", errors.StoreObjectNotFound),
        ):
            answer = StubResponse(status, f"<Error><Code>{code}</Code></Error>".encode())
            guard = self.serve(lambda asked, answer=answer: answer)
            with self.subTest(status=status, code=code):
                self.assertRaises(error, guard.driver._client.get, "id")

    def test_no_log_holds_the_secret(self):
        with self.assertLogs(level="DEBUG") as logs:
            guard = self.serve(lambda asked: StubResponse(403))
            self.assertRaises(errors.StorageWriteDenied, guard.add, "id", [b"data"])
        self.assertNotIn("canary", str(logs.output) + repr(guard.driver._client._credentials))
        self.assertNotIn("canary", str(guard.driver.properties))
