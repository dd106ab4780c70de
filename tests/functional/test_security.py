"""Known flaws of image services, one case each, that this one must be free of.

A case is named after the advisory that described the flaw (OSSA, OSSN) and
speaks to the whole service as a client would.
"""

from __future__ import annotations

import json
import os
import unittest
from unittest import mock

from tests.functional.client import AppClient, files
from tests.functional.service import running

STORES = ("fast", "slow", "staging", "tasks")


class TestLongPatch(unittest.TestCase):
    def test_rights_come_before_the_work(self) -> None:
        """Operations of somebody who may not change the image are not even looked at."""
        with running() as (application, _directory):
            image_id = AppClient(application, "a:p1:admin").create(visibility="public")
            operations = [{"op": "add", "path": f"/p{n}", "value": "v"} for n in range(200)]
            with mock.patch("glance_py.wire.patch.apply") as applied:
                answer = AppClient(application, "u:p2:member").patch(image_id, *operations)
            self.assertEqual(403, answer.status_int)
            applied.assert_not_called()
            answer = AppClient(application, "u:p1:member").patch(image_id, *operations[:120])
            self.assertEqual(200, answer.status_int)
            self.assertEqual("v", answer.json["p119"])


class SecurityTestCase(unittest.TestCase):
    """A service of one's own for each class, and three people who use it."""

    options = ""

    @classmethod
    def setUpClass(cls) -> None:
        cls.app, cls.directory = cls.enterClassContext(running(cls.options))
        cls.ann = AppClient(cls.app, "ann:p1:member")
        cls.bob = AppClient(cls.app, "bob:p2:member")
        cls.root = AppClient(cls.app, "root:p9:admin")

    def stored(self) -> list[str]:
        """Files of images in any store, half-written ones included."""
        return files(*(os.path.join(self.directory, store) for store in STORES))

    def active(self, data: bytes = b"0123456789", **fields) -> str:
        """An image of ann's with data."""
        image_id = self.ann.create(**fields)
        self.assertEqual(204, self.ann.upload(image_id, data).status_int)
        return image_id

    def assert_refused(self, answer, status: int | None = None) -> None:
        """4xx, and where given the one that clients know."""
        if status is not None:
            self.assertEqual(status, answer.status_int, answer.text)
        self.assertTrue(400 <= answer.status_int < 500, answer.status)


class TestStrangers(SecurityTestCase):
    """What a project may not do to another project's images."""

    def test_ossa_2012_017_strangers_delete_nothing(self) -> None:
        shared = self.active(visibility="shared")
        self.ann.call(
            "POST",
            f"/v2/images/{shared}/members",
            b'{"member": "p2"}',
            content_type="application/json",
        )
        self.bob.call(
            "PUT",
            f"/v2/images/{shared}/members/p2",
            b'{"status": "accepted"}',
            content_type="application/json",
        )
        public = self.active()
        self.root.patch(public, {"op": "replace", "path": "/visibility", "value": "public"})
        for image_id, status in (
            (self.active(visibility="private"), 404),
            (self.active(protected=True), 404),
            (self.active(visibility="community"), 403),
            (shared, 403),
            (public, 403),
        ):
            self.assert_refused(self.bob.call("DELETE", f"/v2/images/{image_id}"), status)
            self.assertEqual(b"0123456789", self.ann.download(image_id).body)

    def test_who_may_not_change_an_image_learns_nothing_of_it(self) -> None:
        image_id = self.active(visibility="private", protected=True, secret="x")
        ron, nil = (AppClient(self.app, f"u:p1:{role}") for role in ("reader", "nothing"))
        for who, status in ((ron, 403), (nil, 404)):
            for operation in (
                {"op": "remove", "path": "/none"},
                {"op": "replace", "path": "/none", "value": "x"},
                {"op": "replace", "path": "/disk_format", "value": "qcow2"},
                {"op": "replace", "path": "/min_ram", "value": -1},
            ):
                self.assert_refused(who.patch(image_id, operation), status)
            self.assert_refused(who.call("DELETE", f"/v2/images/{image_id}"), status)

    def test_ossn_0005_nobody_consents_for_another(self) -> None:
        image_id = self.active(name="gift")
        self.ann.call(
            "POST",
            f"/v2/images/{image_id}/members",
            b'{"member": "p2"}',
            content_type="application/json",
        )
        accepts = self.ann.call(
            "PUT",
            f"/v2/images/{image_id}/members/p2",
            b'{"status": "accepted"}',
            content_type="application/json",
        )
        self.assert_refused(accepts, 403)
        self.assertEqual([], self.bob.call("GET", "/v2/images?name=gift").json["images"])

    def test_ossn_0075_a_deleted_id_is_never_free_again(self) -> None:
        image_id = self.active()
        self.ann.call("DELETE", f"/v2/images/{image_id}")
        answer = self.bob.call(
            "POST",
            "/v2/images",
            json.dumps({"id": image_id}).encode(),
            content_type="application/json",
        )
        self.assert_refused(answer, 409)

    def test_ossn_0015_only_the_operator_publishes(self) -> None:
        answer = self.ann.call(
            "POST", "/v2/images", b'{"visibility": "public"}', content_type="application/json"
        )
        self.assert_refused(answer, 403)
        image_id = self.ann.create()
        self.assert_refused(
            self.ann.patch(image_id, {"op": "replace", "path": "/visibility", "value": "public"}),
            403,
        )
        self.assertEqual("shared", self.ann.show(image_id)["visibility"])

    def test_an_owner_is_not_changed_by_a_refused_request(self) -> None:
        image_id = self.ann.create()
        for operation in ("add", "replace"):
            self.assert_refused(
                self.ann.patch(image_id, {"op": operation, "path": "/owner", "value": "p2"}), 403
            )
        self.assertEqual("p1", self.ann.show(image_id)["owner"])

    def test_deactivated_data_is_read_by_administrators_only(self) -> None:
        image_id = self.active()
        self.root.call("POST", f"/v2/images/{image_id}/actions/deactivate")
        for query, headers in (("", {}), ("", {"range": "bytes=0-1"}), ("?prefer=fast", {})):
            self.assert_refused(self.ann.download(image_id, query, **headers), 403)
        self.assertEqual(b"0123456789", self.root.download(image_id).body)


class TestState(SecurityTestCase):
    """A client does not move an image to a state, nor give it other data."""

    def test_ossa_2015_019_a_header_changes_no_status(self) -> None:
        image_id = self.ann.create()
        for method in ("PUT", "POST"):
            self.ann.call(method, f"/v2/images/{image_id}", x_image_meta_status="active")
        self.ann.patch(
            image_id, {"op": "replace", "path": "/name", "value": "n"}, x_image_meta_status="active"
        )
        self.assertEqual("queued", self.ann.show(image_id)["status"])

    def test_ossa_2016_006_data_is_not_replaced(self) -> None:
        image_id = self.active()
        self.assert_refused(self.ann.patch(image_id, {"op": "remove", "path": "/locations/0"}))
        self.assert_refused(
            self.ann.patch(image_id, {"op": "replace", "path": "/locations", "value": []})
        )
        self.assertEqual("active", self.ann.show(image_id)["status"])
        self.assert_refused(self.ann.upload(image_id, b"other"), 409)
        self.assertEqual(b"0123456789", self.ann.download(image_id).body)

    def test_what_the_service_writes_a_client_does_not(self) -> None:
        for field, value in (
            ("os_glance_import_task", "x"),
            ("owner", "p2"),
            ("status", "active"),
            ("deleted", "yes"),
            ("size", 1),
        ):
            answer = self.ann.call(
                "POST",
                "/v2/images",
                json.dumps({field: value}).encode(),
                content_type="application/json",
            )
            self.assert_refused(answer, 403)
        self.assert_refused(
            self.ann.call(
                "POST", "/v2/images", b'{"id": "../../etc/passwd"}', content_type="application/json"
            ),
            400,
        )

    def test_a_reserved_store_is_no_target(self) -> None:
        image_id = self.ann.create()
        before = self.stored()
        self.assert_refused(
            self.ann.upload(image_id, b"data", x_image_meta_store="os_glance_staging_store"), 400
        )
        self.assertEqual(before, self.stored())

    def test_ossn_0048_the_data_of_an_image_is_not_deleted(self) -> None:
        image_id = self.active()
        self.assert_refused(self.ann.call("DELETE", f"/v2/images/{image_id}/file"), 405)


class TestLimits(SecurityTestCase):
    """What is too much is refused, and nothing of it stays."""

    options = "image_size_cap = 1000\nuser_storage_quota = 2000B\n"

    def test_ossa_2014_028_the_cap_holds_however_data_arrives(self) -> None:
        for upload in (
            lambda i: self.ann.upload(i, b"x" * 1001),
            lambda i: self.ann.upload_chunked(i, (b"x" * 100 for _ in range(11))),
        ):
            image_id = self.ann.create()
            self.assert_refused(upload(image_id), 413)
            self.assertEqual("queued", self.ann.show(image_id)["status"])
            self.assertEqual([], self.stored())

    def test_a_length_that_lies_is_found_out(self) -> None:
        image_id = self.ann.create()
        self.assert_refused(self.ann.upload_chunked(image_id, iter([b"x" * 10]), announced=20), 400)
        self.assertEqual("queued", self.ann.show(image_id)["status"])
        self.assertEqual([], self.stored())

    def test_the_quota_counts_chunked_data(self) -> None:
        carol = AppClient(self.app, "carol:p4:member")
        for _ in range(2):
            self.assertEqual(204, carol.upload(carol.create(), b"x" * 900).status_int)
        third = carol.create()
        before = self.stored()
        self.assert_refused(carol.upload_chunked(third, iter([b"x" * 150, b"x" * 150])), 413)
        self.assertEqual(before, self.stored())
        self.assertEqual("queued", carol.show(third)["status"])


class TestDeletedMeanwhile(SecurityTestCase):
    """OSSA-2015-003, -020: an image deleted while its data arrives leaves no data behind."""

    def test_no_bytes_are_left(self) -> None:
        for announced in (None, 2_000_000):
            image_id = self.ann.create()

            def chunks(image_id=image_id):
                yield b"x" * 1_000_000
                self.assertEqual(204, self.ann.call("DELETE", f"/v2/images/{image_id}").status_int)
                yield b"x" * 1_000_000

            answer = self.ann.upload_chunked(image_id, chunks(), announced)
            self.assertIn(answer.status_int, (404, 410), answer.text)
            self.assertEqual([], self.stored())

    def test_a_failing_client_leaves_nothing(self) -> None:
        image_id = self.ann.create()

        def chunks():
            yield b"x" * 1_000_000
            raise ConnectionResetError("the client went away")

        self.assert_refused(self.ann.upload_chunked(image_id, chunks()), 400)
        self.assertEqual([], self.stored())
        self.assertEqual("queued", self.ann.show(image_id)["status"])


class TestLocations(SecurityTestCase):
    """OSSA-2014-041, 2015-002: no location leads to the files of this host."""

    options = "show_multiple_locations = true\n"

    def test_a_location_reads_and_deletes_no_file(self) -> None:
        victim = os.path.join(self.directory, "victim")
        with open(victim, "w") as file:
            file.write("secret of the host")
        for client in (self.ann, self.root):
            for url in (
                f"file://{victim}",
                f"FILE://{victim}",
                f"filesystem://{victim}",
                f"file://{self.directory}/fast/../victim",
                f"file://{self.directory}/fast/%2e%2e/victim",
                "swift+config://ref/container/object",
                "file:///etc/passwd;$(id)\n",
            ):
                image_id = client.create()
                location = {"url": url, "metadata": {"store": "fast"}}
                self.assert_refused(
                    client.patch(image_id, {"op": "add", "path": "/locations/-", "value": location})
                )
                self.assert_refused(
                    client.patch(
                        image_id, {"op": "replace", "path": "/locations", "value": [location]}
                    )
                )
                self.assertNotIn(b"secret", client.download(image_id).body)
                self.assertEqual(204, client.call("DELETE", f"/v2/images/{image_id}").status_int)
        self.assertTrue(os.path.exists(victim))


class TestPropertyProtection(SecurityTestCase):
    """OSSN-0013: the first rule that matches a property decides."""

    @classmethod
    def setUpClass(cls) -> None:
        import tempfile

        rules = cls.enterClassContext(tempfile.NamedTemporaryFile("w", suffix=".conf"))
        rules.write(
            "[^secret_.*]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n"
            "[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"
        )
        rules.flush()
        cls.options = f"property_protection_file = {rules.name}\n"
        super().setUpClass()

    def test_the_strict_rule_comes_first(self) -> None:
        answer = self.ann.call(
            "POST", "/v2/images", b'{"secret_key": "x"}', content_type="application/json"
        )
        self.assert_refused(answer, 403)
        image_id = self.ann.create(free="yes")
        self.root.patch(image_id, {"op": "add", "path": "/secret_key", "value": "x"})
        self.assertNotIn("secret_key", self.ann.show(image_id))
        self.assertIn("secret_key", self.root.show(image_id))
        self.assert_refused(
            self.ann.patch(image_id, {"op": "replace", "path": "/secret_key", "value": "y"})
        )
        self.ann.patch(image_id, {"op": "replace", "path": "/free", "value": "no"})
        self.assertEqual("x", self.root.show(image_id)["secret_key"])


if __name__ == "__main__":
    unittest.main()
