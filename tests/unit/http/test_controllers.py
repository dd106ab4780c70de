"""The controllers: what they ask of the gateway and what they answer."""

import unittest
from unittest import mock

import orjson

from glance_py.domain import errors
from glance_py.domain.change import ImageChange, RejectedChange
from glance_py.wire import patch
from tests.unit.http.fakes import Service, Stores

OCTETS = "application/octet-stream"


class Images(unittest.TestCase):
    def setUp(self):
        self.service = Service()

    def test_create_says_where_the_image_is_and_how_data_may_come(self):
        answer = self.service.call("POST", "/images", {"name": "n"})
        self.assertEqual(201, answer.status)
        self.assertEqual(f"http://host/v2/images/{answer.json['id']}", answer.headers["location"])
        self.assertEqual(
            ("glance-direct,web-download", "fast,slow"),
            (
                answer.headers["openstack-image-import-methods"],
                answer.headers["openstack-image-store-ids"],
            ),
        )

    def test_show_change_delete(self):
        image = self.service.image(name="n")
        self.assertEqual("n", self.service.call("GET", f"/images/{image}").json["name"])
        changed = self.service.patch(image, {"op": "replace", "path": "/name", "value": "m"})
        self.assertEqual((200, "m"), (changed.status, changed.json["name"]))
        answer = self.service.call("DELETE", f"/images/{image}")
        self.assertEqual((204, b""), (answer.status, answer.body))
        self.assertEqual(404, self.service.call("GET", f"/images/{image}").status)

    def test_patch_is_read_before_the_image_is(self):
        for path, status in (("/status", 403), ("/name/x", 400), ("/fine", 404)):
            self.assertEqual(
                status,
                self.service.patch("unknown", {"op": "add", "path": path, "value": "x"}).status,
            )

    def test_patch_that_changes_nothing_writes_nothing(self):
        image = self.service.image()
        self.assertEqual(200, self.service.patch(image).status)
        self.assertFalse(hasattr(self.service.images, "change"))

    def test_patch_of_other_media_types_names_the_right_ones(self):
        for media_type in ("application/json", "", "application/openstack-images-v2.2-json-patch"):
            answer = self.service.call("PATCH", "/images/x", b"[]", content_type=media_type)
            self.assertEqual(415, answer.status)
            self.assertIn("v2.1-json-patch", answer.headers["accept-patch"])

    def test_list_links_to_the_next_page_while_pages_are_full(self):
        first, second = self.service.image(), self.service.image()
        body = self.service.call("GET", "/images?limit=2&tag=a&tag=b").json
        self.assertEqual([first, second], [image["id"] for image in body["images"]])
        self.assertEqual("/v2/images?limit=2&tag=b", body["first"])
        self.assertEqual(f"/v2/images?limit=2&tag=a&tag=b&marker={second}", body["next"])
        self.assertNotIn("next", self.service.call("GET", "/images?limit=3").json)
        self.assertNotIn("next", self.service.call("GET", "/images?limit=0").json)

    def test_a_long_patch_asks_for_rights_first(self):
        """Operations of a caller without rights are not applied; see AUTHORIZE_FIRST_ABOVE."""
        operation = {"op": "add", "path": "/p", "value": "v"}
        for number, applied in ((100, True), (101, False)):
            with self.subTest(number):
                image = self.service.image()
                calls = []

                def update(ctx, image, change, calls=calls):
                    calls.append(type(change))
                    raise errors.Forbidden("no")

                self.service.images.update = update
                with mock.patch.object(patch, "apply", wraps=patch.apply) as apply:
                    answer = self.service.patch(image, *[operation] * number)
                self.assertEqual((403, applied), (answer.status, apply.called))
                self.assertEqual([ImageChange if applied else RejectedChange], calls)
                del self.service.images.update

    def test_a_long_patch_with_rights_is_applied(self):
        image = self.service.image()
        operations = [{"op": "add", "path": f"/p{n}", "value": "v"} for n in range(101)]
        answer = self.service.patch(image, *operations)
        self.assertEqual((200, "v"), (answer.status, answer.json["p100"]))

    def test_headers_of_a_new_image_name_what_there_is(self):
        with mock.patch.object(Stores, "multi", False):
            answer = Service(enabled_import_methods=()).call("POST", "/images", {})
        self.assertEqual({"content-type", "content-length", "location"}, {*answer.headers})

    def test_a_member_that_the_caller_may_not_see_is_not_found(self):
        image = self.service.image()

        def forbid(ctx, image, member_id):
            raise errors.Forbidden("no")

        self.service.members.get = forbid
        answer = self.service.call("GET", f"/images/{image}/members/p2", accept="application/json")
        self.assertEqual(404, answer.status)
        self.assertIn("p2", answer.json["message"])

    def test_tags(self):
        image = self.service.image(tags=["old"])
        path = f"/images/{image}/tags"
        self.assertEqual(204, self.service.call("PUT", f"{path}/new").status)
        self.assertEqual(["new", "old"], self.service.images.get(None, image).tags)
        self.assertEqual(204, self.service.call("DELETE", f"{path}/old").status)
        self.assertEqual(404, self.service.call("DELETE", f"{path}/old").status)
        self.assertEqual(400, self.service.call("PUT", f"{path}/{'t' * 256}").status)

    def test_actions(self):
        image = self.service.image()
        for action, status in (("deactivate", "deactivated"), ("reactivate", "active")):
            answer = self.service.call("POST", f"/images/{image}/actions/{action}")
            self.assertEqual(
                (204, status), (answer.status, self.service.images.get(None, image).status)
            )

    def test_members(self):
        path = f"/images/{self.service.image()}/members"
        answer = self.service.call("POST", path, {"member": "p2"})
        self.assertEqual(
            (200, "p2", "pending", "/v2/schemas/member"),
            (answer.status, answer.json["member_id"], answer.json["status"], answer.json["schema"]),
        )
        self.assertEqual(1, len(self.service.call("GET", path).json["members"]))
        answer = self.service.call("PUT", f"{path}/p2", {"status": "accepted"})
        self.assertEqual("accepted", answer.json["status"])
        self.assertEqual(200, self.service.call("GET", f"{path}/p2").status)
        self.assertEqual(204, self.service.call("DELETE", f"{path}/p2").status)
        self.assertEqual(404, self.service.call("GET", f"{path}/p2").status)

    def test_a_member_that_is_a_number_is_shown_as_it_came(self):
        path = f"/images/{self.service.image()}/members"
        self.assertEqual(5, self.service.call("POST", path, {"member": 5}).json["member_id"])
        self.assertEqual("5", self.service.call("GET", f"{path}/5").json["member_id"])


class Info(unittest.TestCase):
    def test_what_is_offered(self):
        service = Service()
        self.assertEqual(
            ["glance-direct", "web-download"],
            service.call("GET", "/info/import").json["import-methods"]["value"],
        )
        self.assertEqual(
            [
                {"id": "fast", "description": "quick", "default": "true"},
                {"id": "slow", "read-only": "true"},
            ],
            service.call("GET", "/info/stores").json["stores"],
        )
        self.assertEqual(403, service.call("GET", "/info/stores/detail").status)
        detail = service.call("GET", "/info/stores/detail", admin=True).json["stores"][0]
        self.assertEqual(
            ("file", 0, {"data_dir": "/x"}),
            (detail["type"], detail["weight"], detail["properties"]),
        )
        service.stores.multi = False
        self.assertEqual(404, service.call("GET", "/info/stores").status)

    def test_usage(self):
        self.assertEqual({"usage": {}}, Service().call("GET", "/info/usage").json)

        class Limits:
            def usage(self, ctx):
                return {"image_count_total": {"usage": 1, "limit": 2}}

        self.assertEqual(
            2,
            Service(limits=Limits())
            .call("GET", "/info/usage")
            .json["usage"]["image_count_total"]["limit"],
        )

    def test_schemas_are_served_as_they_are(self):
        service = Service()
        self.assertEqual("image", service.call("GET", "/schemas/image").json["name"])
        self.assertEqual("tags", service.call("GET", "/schemas/metadefs/tags").json["name"])


class Uploads(unittest.TestCase):
    def setUp(self):
        self.service = Service()
        self.image = self.service.image()

    def put(self, operation="file", body=b"abc", content_type=OCTETS, **how):
        return self.service.call(
            "PUT", f"/images/{self.image}/{operation}", body, content_type=content_type, **how
        )

    def test_data_pass_unread_with_what_was_said_of_them(self):
        self.assertEqual(204, self.put(x_image_meta_store="slow").status)
        upload = self.service.images.uploaded
        self.assertEqual(
            (b"abc", 3, "slow"), (self.service.images.data[self.image], upload.size, upload.store)
        )
        self.put(x_openstack_image_size="7")
        self.assertEqual(7, self.service.images.uploaded.size)
        self.put(
            content_type="application/octet-stream; charset=utf-8",
            extra={
                "HTTP_TRANSFER_ENCODING": "chunked",
                "CONTENT_LENGTH": "",
                "wsgi.input_terminated": True,
            },
        )
        self.assertIsNone(self.service.images.uploaded.size)

    def test_other_content_types(self):
        for content_type in ("text/plain", "", "APPLICATION/OCTET-STREAM", "multipart/form-data"):
            for operation in ("file", "stage"):
                self.assertEqual(415, self.put(operation, content_type=content_type).status)

    def test_a_client_that_says_0_does_not_know(self):
        for size, meant in (("0", None), (" 10 ", 10), ("+10", 10), ("10", 10)):
            self.assertEqual(204, self.put(x_openstack_image_size=size).status)
            self.assertEqual(meant, self.service.images.uploaded.size)

    def test_sizes_that_are_none(self):
        for size in ("x", "-5", "1.5", "9" * 30, "\u0663"):
            self.assertEqual(400, self.put(x_openstack_image_size=size).status)

    def test_staging_needs_an_import_that_takes_staged_data(self):
        self.assertEqual(204, self.put("stage").status)
        self.service = Service(enabled_import_methods=["web-download"])
        self.image = self.service.image()
        self.assertEqual(404, self.put("stage").status)


class Downloads(unittest.TestCase):
    def setUp(self):
        self.service = Service()
        self.image_id = self.service.image()
        self.image = self.service.images.get(None, self.image_id)
        self.data = bytes(range(100))
        self.image.size, self.image.checksum = 100, "c" * 32
        self.image.os_hash_value = "d" * 128
        self.service.images.data[self.image_id] = self.data

    def get(self, query="", **how):
        return self.service.call("GET", f"/images/{self.image_id}/file{query}", **how)

    def test_whole_image(self):
        answer = self.get()
        self.assertEqual((200, self.data), (answer.status, answer.body))
        self.assertEqual(
            {
                "content-type": OCTETS,
                "content-length": "100",
                "content-md5": "c" * 32,
                "accept-ranges": "bytes",
                "etag": f'"{"d" * 128}"',
            },
            answer.headers,
        )
        self.assertTrue(self.service.images.closed)

    def test_no_data(self):
        del self.service.images.data[self.image_id]
        self.image.size = None
        self.assertEqual(204, self.get(range="bytes=0-1").status)

    def test_ranges(self):
        for header, start, stop in (
            ("bytes=0-9", 0, 10),
            ("bytes=90-", 90, 100),
            ("bytes=-10", 90, 100),
            ("bytes=0-0", 0, 1),
            ("bytes=50-1000", 50, 100),
            ("bytes=-1000", 0, 100),
            ("bytes=-0", 0, 100),
            ("bytes= 0-9", 0, 10),
            ("BYTES=0-9", 0, 10),
            ("bytes=0-" + "9" * 5000, 0, 100),
        ):
            with self.subTest(header=header):
                answer = self.get(range=header)
                self.assertEqual(
                    (206, self.data[start:stop], f"bytes {start}-{stop - 1}/100"),
                    (answer.status, answer.body, answer.headers["content-range"]),
                )

    def test_ranges_without_a_byte(self):
        for header in (
            "bytes=100-",
            "bytes=9-0",
            "bytes=a-b",
            "bytes=",
            "bytes=-",
            "junk",
            "chars=0-9",
            "bytes 0-9/100",
            "bytes=" + "9" * 5000 + "-",
        ):
            with self.subTest(header=header):
                self.assertEqual(416, self.get(range=header).status)
        self.assertEqual(400, self.get(range="bytes=0-4,10-14").status)

    def test_content_range_in_a_request(self):
        for header, status in (
            ("bytes 0-9/100", 206),
            ("bytes 0-9/*", 206),
            ("bytes 0-9/50", 206),
            ("bytes 90-200/100", 416),
            ("bytes */100", 416),
            ("bytes 0-9", 416),
            ("bytes=0-9", 416),
            ("junk", 416),
            ("bytes 9-0/100", 416),
        ):
            with self.subTest(header=header):
                self.assertEqual(status, self.get(content_range=header).status)
        both = self.get(range="bytes=0-1", content_range="bytes 5-9/100")
        self.assertEqual("bytes 0-1/100", both.headers["content-range"])

    def test_conditions(self):
        tag = f'"{"d" * 128}"'
        for header in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            answer = self.get(if_none_match=header)
            self.assertEqual((304, b""), (answer.status, answer.body))
        self.assertEqual(200, self.get(if_none_match='"x"').status)
        self.assertEqual(206, self.get(range="bytes=0-1", if_range=tag).status)
        self.assertEqual(200, self.get(range="bytes=0-1", if_range='"x"').status)

    def test_preferred_stores(self):
        self.get("?prefer=slow,%20fast")
        self.assertEqual(("slow", "fast"), self.service.images.wanted.prefer)
        self.get()
        self.assertEqual((), self.service.images.wanted.prefer)

    def test_a_body_that_falls_short_breaks_the_connection(self):
        self.service.images.data[self.image_id] = self.data[:50]
        with self.assertRaisesRegex(Exception, "50 bytes too early"):
            self.get()
        self.assertTrue(self.service.images.closed)

    def test_a_whole_file_is_left_to_the_server(self):
        download = self.service.images.download
        opened = object()

        def with_file(*args):
            data = download(*args)
            data.file = opened
            return data

        self.service.images.download = with_file
        handed = []
        wrapper = {"wsgi.file_wrapper": lambda file, size: handed.append(file) or [b"sent"]}
        self.assertEqual(b"sent", self.get(extra=wrapper).body)
        self.assertIs(opened, handed[0]._file)
        handed[0].close()
        self.assertTrue(self.service.images.closed)
        self.assertEqual(self.data[:2], self.get(range="bytes=0-1", extra=wrapper).body)


class Errors(unittest.TestCase):
    def test_json_that_is_no_json(self):
        service = Service()
        image = service.image()
        for method, path in (
            ("POST", "/images"),
            ("POST", f"/images/{image}/members"),
            ("PUT", f"/images/{image}/members/p2"),
        ):
            for body in (b"{", b"[]", orjson.dumps("x")):
                self.assertEqual(400, service.call(method, path, body).status)
