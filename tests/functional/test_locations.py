"""Locations that clients name: by PATCH, by the locations API, and one store at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import unittest

from tests.functional.client import AppClient, files
from tests.functional.origin_server import serve, web_store
from tests.functional.service import running
from tests.waiting import eventually

DATA = b"0123456789"
DIGEST = {"os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(DATA).hexdigest()}


def add(url: str, place: str = "-", **more) -> dict:
    return {
        "op": "add",
        "path": f"/locations/{place}",
        "value": {"url": url, "metadata": {}, **more},
    }


class LocationsTestCase(unittest.TestCase):
    options = ""

    @classmethod
    def setUpClass(cls) -> None:
        cls.origin = serve(
            cls,
            data=DATA,
            same=DATA,
            other=b"abcdefghij",
            long=DATA * 2,
            empty=b"",
            inside="http://[::1]:9/x",
            port="http://127.0.0.1:22/",
            file="file:///etc/passwd",
            loop="/loop",
            there="/data",
        )
        cls.app, cls.directory = cls.enterClassContext(running(web_store(cls.origin, cls.options)))
        cls.ann = AppClient(cls.app, "ann:p1:member")
        cls.bob = AppClient(cls.app, "bob:p2:member")
        cls.root = AppClient(cls.app, "root:p1:admin")
        cls.nova = AppClient(cls.app, "nova:p1:member+service")

    def url(self, name: str) -> str:
        return f"{self.origin.url}/{name}"

    def assert_status(self, status: int, answer) -> None:
        self.assertEqual(status, answer.status_int, answer.text)

    def register(self, who: AppClient, image_id: str, url: str, digest: dict | None = None):
        body = {"url": url, **({"validation_data": digest} if digest else {})}
        return who.call(
            "POST",
            f"/v2/images/{image_id}/locations",
            json.dumps(body).encode(),
            content_type="application/json",
        )

    def task(self, image_id: str) -> dict:
        """The newest task of an image when it has ended."""
        return eventually(
            lambda: self.ann.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"],
            lambda tasks: tasks and tasks[-1]["status"] in ("success", "failure"),
        )[-1]

    def uploaded(self, data: bytes = DATA, store: str = "fast") -> str:
        image_id = self.ann.create()
        self.assert_status(204, self.ann.upload(image_id, data, X_Image_Meta_Store=store))
        return image_id

    def registered(self, name: str = "data") -> str:
        """An image whose data is on the web, recorded by PATCH."""
        image_id = self.ann.create()
        self.assert_status(200, self.ann.patch(image_id, add(self.url(name))))
        return image_id

    def rows(self, image_id: str) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(f"{self.directory}/glance.sqlite")) as db:
            return db.execute(
                "select value, status, deleted from image_locations where image_id = ? order by id",
                (image_id,),
            ).fetchall()


class TestPatch(LocationsTestCase):
    def test_a_first_location_makes_the_image_active(self) -> None:
        image = self.ann.show(self.registered())
        self.assertEqual(("active", 10, None), (image["status"], image["size"], image["checksum"]))
        self.assertEqual(
            [{"url": self.url("data"), "metadata": {"store": "web"}}], image["locations"]
        )
        self.assertEqual(DATA, self.ann.download(image["id"]).body)

    def test_the_answer_shows_the_place_that_was_asked_for(self) -> None:
        image_id = self.registered()
        answer = self.ann.patch(image_id, add(self.url("same"), "0"))
        self.assertEqual(
            [self.url("same"), self.url("data")], [x["url"] for x in answer.json["locations"]]
        )

    def test_the_answer_repeats_what_was_said_of_a_new_location_and_no_other_does(self) -> None:
        image_id = self.ann.create()
        answer = self.ann.patch(image_id, add(self.url("data"), extra=1))
        self.assertEqual([1], [x["extra"] for x in answer.json["locations"]])
        self.assertEqual(
            [{"url": self.url("data"), "metadata": {"store": "web"}}],
            self.ann.show(image_id)["locations"],
        )
        answer = self.ann.patch(image_id, add(self.url("same")))
        self.assertNotIn("extra", answer.text)

    def test_a_location_wipes_away_what_was_refused(self) -> None:
        image_id = self.ann.create(disk_format="qcow2")
        self.assert_status(415, self.ann.upload(image_id, b"no disk"))
        self.assertEqual(1, len(self.ann.show(image_id)["locations"]))
        self.assert_status(200, self.ann.patch(image_id, add(self.url("data"))))
        image = self.ann.show(image_id)
        self.assertEqual(
            ("active", None, [self.url("data")]),
            (image["status"], image["checksum"], [x["url"] for x in image["locations"]]),
        )

    def test_formats_may_come_along(self) -> None:
        image_id = self.ann.create(disk_format=None, container_format=None)
        formats = [
            {"op": "replace", "path": f"/{name}", "value": value}
            for name, value in (("disk_format", "raw"), ("container_format", "bare"))
        ]
        self.assert_status(200, self.ann.patch(image_id, *formats, add(self.url("data"))))
        self.assertEqual("active", self.ann.show(image_id)["status"])

    def test_where_data_of_a_deactivated_image_lies_is_for_administrators(self) -> None:
        image_id = self.uploaded()
        path = f"/v2/images/{image_id}/locations"
        self.assertEqual(1, len(self.nova.call("GET", path).json))
        self.root.call("POST", f"/v2/images/{image_id}/actions/deactivate")
        self.assertEqual([], self.nova.call("GET", path).json)

    def test_formats_come_first(self) -> None:
        image_id = self.ann.create(disk_format=None)
        self.assert_status(400, self.ann.patch(image_id, add(self.url("data"))))
        self.assertEqual("queued", self.ann.show(image_id)["status"])

    def test_what_is_no_use_as_a_location(self) -> None:
        for name in ("nothing", "empty", "loop", "inside", "port", "file"):
            image_id = self.ann.create()
            with self.subTest(name):
                self.assert_status(400, self.ann.patch(image_id, add(self.url(name))))
                image = self.ann.show(image_id)
                self.assertEqual(("queued", []), (image["status"], image["locations"]))

    def test_ossa_2014_041_no_files_of_this_host_and_no_credentials(self) -> None:
        victim = self.uploaded()
        path = os.path.join(self.directory, "fast", victim)
        image_id = self.ann.create()
        for url in (
            f"file://{path}",
            f"FILE://{path}",
            f"filesystem://{path}",
            f"file://{self.directory}/fast/../fast/{victim}",
            f"fi%6ce://{path}",
            f"file:%2f%2f{path}",
            "swift+config://ref/container/x",
            "SWIFT+CONFIG://ref/c/x",
            "file:///etc/passwd",
            "cinder://fast/volume",
            "memory://x/y",
            "rbd://a/b/c/d;$(id)\n",
            "nope",
            "",
        ):
            for who in (self.ann, self.root):
                with self.subTest(url, who=who):
                    self.assert_status(400, who.patch(image_id, add(url)))
        for url in (f"file://{path}", f"File://{path}", "swift+config://ref/container/x"):
            for who in (self.ann, self.root, self.nova):
                with self.subTest(url, who=who):
                    self.assertIn(self.register(who, image_id, url).status_int, (400, 403))
        self.assert_status(204, self.ann.call("DELETE", f"/v2/images/{image_id}"))
        self.assertEqual(DATA, self.ann.download(victim).body)

    def test_cve_2026_71198_no_addresses_inside(self) -> None:
        image_id = self.ann.create()
        asked = len(self.origin.requests)
        for url in (
            "http://localhost/",
            "http://[::1]/",
            f"http://[::ffff:10.0.0.1]:{0}/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://169.254.169.254/latest",
            "http://0.0.0.0/",
            "http://127.0.0.1:22/",
            "http://127.1/",
        ):
            with self.subTest(url):
                self.assert_status(400, self.ann.patch(image_id, add(url)))
                self.assert_status(400, self.register(self.ann, image_id, url))
        self.assertEqual(asked, len(self.origin.requests))

    def test_a_location_twice(self) -> None:
        image_id = self.registered()
        self.assert_status(400, self.ann.patch(image_id, add(self.url("data"))))
        self.assert_status(
            400, self.ann.patch(image_id, add(self.url("same")), add(self.url("same")))
        )

    def test_ossn_0065_another_copy_is_a_copy(self) -> None:
        image_id = self.uploaded()
        for name in ("other", "long"):
            with self.subTest(name):
                self.assert_status(400, self.root.patch(image_id, add(self.url(name))))
        self.assert_status(200, self.root.patch(image_id, add(self.url("same"))))
        self.assert_status(200, self.root.patch(image_id, {"op": "remove", "path": "/locations/0"}))
        self.assertEqual(DATA, self.ann.download(image_id).body)
        self.assertEqual(hashlib.sha512(DATA).hexdigest(), self.ann.show(image_id)["os_hash_value"])

    def test_removing_a_location_removes_its_data_but_never_the_last(self) -> None:
        image_id = self.uploaded()
        path = os.path.join(self.directory, "fast", image_id)
        self.assert_status(403, self.root.patch(image_id, {"op": "remove", "path": "/locations/0"}))
        self.assertTrue(os.path.exists(path))
        self.assert_status(200, self.root.patch(image_id, add(self.url("same"))))
        self.assert_status(403, self.ann.patch(image_id, {"op": "remove", "path": "/locations/0"}))
        self.assert_status(200, self.root.patch(image_id, {"op": "remove", "path": "/locations/0"}))
        self.assertFalse(os.path.exists(path))
        self.assertEqual(["deleted", "active"], [row[1] for row in self.rows(image_id)])

    def test_metadata_is_text(self) -> None:
        image_id = self.ann.create()
        for value in ({"a": 1}, {"a": None}, {"a": [True]}):
            with self.subTest(value):
                self.assert_status(
                    400, self.ann.patch(image_id, add(self.url("data"), metadata=value))
                )
        answer = self.ann.patch(
            image_id, add(self.url("data"), metadata={"a": ["x", {"y": "z"}], "store": "fast"})
        )
        self.assertEqual(
            {"a": ["x", {"y": "z"}], "store": "web"}, answer.json["locations"][0]["metadata"]
        )

    def test_new_metadata_for_the_same_places(self) -> None:
        image_id = self.registered()
        answer = self.ann.patch(
            image_id,
            {
                "op": "replace",
                "path": "/locations",
                "value": [{"url": self.url("data"), "metadata": {"k": "v", "store": "slow"}}],
            },
        )
        self.assert_status(200, answer)
        self.assertEqual(
            [{"url": self.url("data"), "metadata": {"k": "v", "store": "web"}}],
            self.ann.show(image_id)["locations"],
        )

    def test_several_first_copies_have_one_size(self) -> None:
        image_id = self.ann.create()
        places = [{"url": self.url(name), "metadata": {}} for name in ("data", "long")]
        self.assert_status(
            400, self.ann.patch(image_id, {"op": "replace", "path": "/locations", "value": places})
        )
        places[1]["url"] = self.url("same")
        self.assert_status(
            200, self.ann.patch(image_id, {"op": "replace", "path": "/locations", "value": places})
        )


class TestQuota(LocationsTestCase):
    options = "image_location_quota = 2\nuser_storage_quota = 25"

    def test_locations_and_bytes(self) -> None:
        image_id = self.registered()
        self.assert_status(200, self.ann.patch(image_id, add(self.url("same"))))
        self.assert_status(413, self.ann.patch(image_id, add(self.url("there"))))
        second = self.ann.create()
        self.assert_status(413, self.ann.patch(second, add(self.url("data"))))
        self.assertEqual("queued", self.ann.show(second)["status"])
        self.assert_status(202, self.register(self.ann, second, self.url("data")))
        task = self.task(second)
        self.assertEqual("failure", task["status"])
        self.assertIn("25 bytes", task["message"])
        self.assertEqual("queued", self.ann.show(second)["status"])


class TestRegistration(LocationsTestCase):
    def test_without_a_hash_it_is_computed(self) -> None:
        image_id = self.ann.create()
        answer = self.register(self.ann, image_id, self.url("data"))
        self.assert_status(202, answer)
        self.assertEqual(b"", answer.body)
        task = self.task(image_id)
        self.assertEqual(
            ("success", "location_import", {"image_id": image_id}),
            (task["status"], task["type"], task["result"]),
        )
        self.assertEqual(
            {"image_id": image_id, "loc_url": self.url("data"), "validation_data": {}},
            task["input"],
        )
        # The end of the task is recorded before its claim is released.
        image = eventually(
            lambda: self.ann.show(image_id), lambda found: "os_glance_import_task" not in found
        )
        self.assertEqual(
            (
                "active",
                10,
                hashlib.md5(DATA, usedforsecurity=False).hexdigest(),
                "sha512",
                hashlib.sha512(DATA).hexdigest(),
            ),
            tuple(
                image[key]
                for key in ("status", "size", "checksum", "os_hash_algo", "os_hash_value")
            ),
        )

    def test_the_right_hash(self) -> None:
        image_id = self.ann.create()
        self.register(self.ann, image_id, self.url("data"), DIGEST)
        self.assertEqual("success", self.task(image_id)["status"])
        image = self.ann.show(image_id)
        self.assertEqual(
            ("active", "sha256", DIGEST["os_hash_value"]),
            (image["status"], image["os_hash_algo"], image["os_hash_value"]),
        )

    def test_refused_data_is_never_given_out(self) -> None:
        """What a web store cannot delete stays recorded, and out of reach (OSSN-0090)."""
        image_id = self.ann.create()
        self.register(self.ann, image_id, self.url("other"), DIGEST)
        task = self.task(image_id)
        self.assertEqual("failure", task["status"])
        self.assertIn("sha256 of the data is not the one", task["message"])
        image = self.ann.show(image_id)
        self.assertEqual(
            ("queued", None, None, [self.url("other")]),
            (
                image["status"],
                image["size"],
                image["os_hash_value"],
                [location["url"] for location in image["locations"]],
            ),
        )
        self.assertEqual(204, self.ann.call("GET", f"/v2/images/{image_id}/file").status_int)
        self.assert_status(202, self.register(self.ann, image_id, self.url("data"), DIGEST))
        self.assertEqual("success", self.task(image_id)["status"])
        self.assertEqual(
            [self.url("data")],
            [location["url"] for location in self.ann.show(image_id)["locations"]],
        )
        self.assertEqual(DATA, self.ann.call("GET", f"/v2/images/{image_id}/file").body)

    def test_an_upload_after_refused_data_stands_alone(self) -> None:
        image_id = self.ann.create()
        self.register(self.ann, image_id, self.url("other"), DIGEST)
        self.assertEqual("failure", self.task(image_id)["status"])
        self.ann.upload(image_id, b"mine")
        self.assertEqual(1, len(self.ann.show(image_id)["locations"]))
        self.assertEqual(b"mine", self.ann.call("GET", f"/v2/images/{image_id}/file").body)

    def test_what_goes_wrong_is_in_the_task(self) -> None:
        unset = self.ann.create(disk_format=None)
        self.register(self.ann, unset, self.url("data"))
        self.assertIn("disk_format", self.task(unset)["message"])
        absent = self.ann.create()
        self.register(self.ann, absent, self.url("nothing"))
        self.assertIn("cannot be read", self.task(absent)["message"])
        self.assertEqual("queued", self.ann.show(absent)["status"])

    def test_who_may(self) -> None:
        image_id = self.ann.create()
        rbd = "rbd://a/b/c/d"
        self.assert_status(403, self.register(self.ann, image_id, rbd))
        self.assert_status(403, self.register(self.root, image_id, rbd))
        self.assert_status(404, self.register(self.bob, image_id, self.url("data")))
        reader = AppClient(self.app, "eve:p1:reader")
        self.assert_status(403, self.register(reader, image_id, self.url("data")))
        self.assert_status(202, self.register(self.nova, image_id, rbd))
        self.assertIn("no store", self.task(image_id)["message"])

    def test_form(self) -> None:
        image_id = self.ann.create()
        url = self.url("data")
        for body in (
            {},
            [],
            "text",
            {"url": 5},
            {"url": None},
            {"url": url, "validation_data": {"os_hash_algo": "sha512"}},
            {"url": url, "validation_data": {"os_hash_value": "00"}},
            {"url": url, "validation_data": {"os_hash_algo": "nope", "os_hash_value": "x"}},
            {"url": url, "validation_data": {**DIGEST, "more": "x"}},
            {"url": url, "validation_data": {**DIGEST, "os_hash_value": "00"}},
            {"url": url, "validation_data": {**DIGEST, "os_hash_value": "z" * 64}},
        ):
            with self.subTest(body):
                self.assert_status(
                    400,
                    self.ann.call(
                        "POST",
                        f"/v2/images/{image_id}/locations",
                        json.dumps(body).encode(),
                        content_type="application/json",
                    ),
                )
        self.assertEqual([], self.ann.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"])

    def test_only_queued_images_and_one_at_a_time(self) -> None:
        self.assert_status(409, self.register(self.ann, self.registered(), self.url("data")))
        image_id = self.ann.create()
        self.origin.release.clear()
        self.addCleanup(self.origin.release.set)
        self.assert_status(202, self.register(self.ann, image_id, self.url("data"), DIGEST))
        self.assert_status(409, self.register(self.ann, image_id, self.url("data"), DIGEST))
        self.origin.release.set()
        self.assertEqual("success", self.task(image_id)["status"])

    def test_deleting_the_image_ends_it(self) -> None:
        image_id = self.ann.create()
        self.origin.release.clear()
        self.addCleanup(self.origin.release.set)
        self.register(self.ann, image_id, self.url("data"), DIGEST)
        eventually(lambda: self.ann.show(image_id)["status"], lambda status: status == "importing")
        self.assert_status(204, self.ann.call("DELETE", f"/v2/images/{image_id}"))
        self.origin.release.set()

        def task_status() -> str:
            with contextlib.closing(sqlite3.connect(f"{self.directory}/glance.sqlite")) as db:
                return db.execute(
                    "select status from tasks where image_id = ?", (image_id,)
                ).fetchone()[0]

        eventually(task_status, lambda status: status == "failure")
        self.assertEqual([], self.rows(image_id))

    def test_locations_are_for_services(self) -> None:
        image_id = self.registered()
        path = f"/v2/images/{image_id}/locations"
        self.assert_status(403, self.ann.call("GET", path))
        self.assert_status(404, self.bob.call("GET", path))
        for who in (self.root, self.nova):
            answer = who.call("GET", path)
            self.assert_status(200, answer)
            self.assertEqual([{"url": self.url("data"), "metadata": {"store": "web"}}], answer.json)


class TestBelieved(LocationsTestCase):
    options = "do_secure_hash = false"

    def test_a_hash_is_believed_and_none_is_computed(self) -> None:
        given, none = self.ann.create(), self.ann.create()
        self.register(self.ann, given, self.url("other"), DIGEST)
        self.register(self.ann, none, self.url("data"))
        self.assertEqual("success", self.task(given)["status"])
        self.assertEqual("success", self.task(none)["status"])
        image = self.ann.show(given)
        self.assertEqual(
            ("active", None, DIGEST["os_hash_value"]),
            (image["status"], image["checksum"], image["os_hash_value"]),
        )
        self.assertIsNone(self.ann.show(none)["os_hash_value"])
        self.assertNotIn(("GET", "/data"), self.origin.requests)


class TestOneStore(LocationsTestCase):
    def delete_from_store(self, who: AppClient, store: str, image_id: str):
        return who.call("DELETE", f"/v2/stores/{store}/{image_id}")

    def test_one_copy_goes_and_the_other_stays(self) -> None:
        image_id = self.uploaded()
        self.assert_status(200, self.root.patch(image_id, add(self.url("same"))))
        self.assert_status(404, self.delete_from_store(self.root, "slow", image_id))
        self.assert_status(403, self.delete_from_store(self.ann, "fast", image_id))
        self.assert_status(204, self.delete_from_store(self.root, "fast", image_id))
        self.assertFalse(os.path.exists(os.path.join(self.directory, "fast", image_id)))
        self.assertEqual(DATA, self.ann.download(image_id).body)
        self.assert_status(403, self.delete_from_store(self.root, "web", image_id))
        self.assert_status(403, self.delete_from_store(self.root, "slow", image_id))

    def test_refusals(self) -> None:
        queued = self.ann.create()
        self.assert_status(409, self.delete_from_store(self.root, "fast", queued))
        self.assert_status(409, self.delete_from_store(self.root, "nope", queued))
        self.assert_status(
            409, self.delete_from_store(self.root, "os_glance_staging_store", queued)
        )
        self.assert_status(
            404, self.delete_from_store(self.root, "fast", "00000000-0000-0000-0000-000000000000")
        )

    def test_one_of_two_copies_in_one_store(self) -> None:
        image_id = self.registered()
        self.ann.patch(image_id, add(self.url("same")))
        self.assert_status(204, self.delete_from_store(self.root, "web", image_id))
        self.assertEqual(
            [self.url("same")], [x["url"] for x in self.ann.show(image_id)["locations"]]
        )

    def test_a_single_store(self) -> None:
        with running("enabled_backends =\n[glance_store]\nfilesystem_store_datadir=/tmp") as (
            app,
            _directory,
        ):
            root = AppClient(app, "root:p1:admin")
            self.assert_status(404, self.delete_from_store(root, "file", root.create()))


class TestDeleting(LocationsTestCase):
    def test_what_a_store_cannot_remove_is_removed_later(self) -> None:
        from glance_py.scrubber import Scrubber

        image_id = self.uploaded()
        path = os.path.join(self.directory, "fast", image_id)
        os.rename(path, path + ".aside")
        os.mkdir(path)  # which cannot be unlinked
        self.assert_status(204, self.ann.call("DELETE", f"/v2/images/{image_id}"))
        self.assert_status(404, self.ann.call("GET", f"/v2/images/{image_id}"))
        self.assertEqual([("pending_delete", 1)], [row[1:] for row in self.rows(image_id)])
        os.rmdir(path)
        os.rename(path + ".aside", path)
        scrubber = self._scrubber(Scrubber)
        self.assertEqual(
            [(image_id, 1, 0)],
            [(done.image_id, done.removed, done.left) for done in scrubber.scrub(0, orphaned=True)],
        )
        self.assertFalse(os.path.exists(path))
        self.assertEqual([("deleted", 1)], [row[1:] for row in self.rows(image_id)])

    def _scrubber(self, made):
        from oslo_config import cfg

        from glance_py import config
        from glance_py.db.repositories import sql_repositories
        from glance_store_py.stores import Stores

        conf = config.load(
            ["--config-file", f"{self.directory}/glance-api.conf"], conf=cfg.ConfigOpts()
        )
        return made(Stores.from_config(conf), sql_repositories(conf).pending)

    def test_nothing_is_left_after_deleting(self) -> None:
        image_id = self.uploaded()
        self.ann.call("DELETE", f"/v2/images/{image_id}")
        self.assertEqual([], [x for x in files(f"{self.directory}/fast") if image_id in x])
        self.assertEqual([("deleted", 1)], [row[1:] for row in self.rows(image_id)])
