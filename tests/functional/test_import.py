"""Interoperable import, against a whole service: what clients see, and what is left behind."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import sqlite3
import threading
import unittest
import zipfile
from unittest import mock

from glance_py.importing import sources
from tests.functional import service
from tests.functional.client import OCTETS, AppClient, files
from tests.functional.web_source import WebSource, web_source
from tests.waiting import eventually

DATA = bytes(range(256)) * 4096 * 3
SHA256 = hashlib.sha256(DATA).hexdigest()

ALL_METHODS = "enabled_import_methods = [glance-direct,web-download,copy-image,glance-download]\n"


class ImportCase(unittest.TestCase):
    """A service of one's own with two stores, a source, and callers."""

    options = ""

    def setUp(self) -> None:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.source: WebSource = stack.enter_context(web_source(DATA))
        stack.enter_context(mock.patch.object(sources, "RETRY_DELAYS", (0.01,)))
        self.app, self.directory = stack.enter_context(
            service.running(ALL_METHODS + self.options + self.source.options)
        )
        self.member = AppClient(self.app, "u:p1:member")
        self.admin = AppClient(self.app, "u:p1:admin")

    def ask(
        self,
        image_id: str,
        method: str,
        who: AppClient | None = None,
        /,
        *,
        header: str | None = None,
        **body,
    ):
        """POST import; what belongs to the method comes as ``details``."""
        document = {"method": {"name": method, **body.pop("details", {})}, **body}
        headers = {"X_Image_Meta_Store": header} if header else {}
        return (who or self.member).call(
            "POST",
            f"/v2/images/{image_id}/import",
            json.dumps(document).encode(),
            content_type="application/json",
            **headers,
        )

    def download_from(self, path: str, image_id: str | None = None, **details) -> str:
        """Begin a web-download of the source's ``path``; the image."""
        image_id = image_id or self.member.create()
        answer = self.ask(
            image_id, "web-download", details={"uri": self.source.url(path), **details}
        )
        self.assertEqual((202, b""), (answer.status_int, answer.body), answer.text)
        return image_id

    def stage(self, image_id: str, data: bytes = DATA):
        return self.member.call("PUT", f"/v2/images/{image_id}/stage", data, content_type=OCTETS)

    def end(self, image_id: str) -> tuple[dict, dict]:
        """The image and its newest task, when nobody works on them any more."""

        def look() -> tuple[dict, dict]:
            task = self.member.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"][-1]
            return self.member.show(image_id), task

        def has_ended(found: tuple[dict, dict]) -> bool:
            image, task = found
            return task["status"] in ("success", "failure") and "os_glance_import_task" not in image

        return eventually(look, has_ended)

    def left(self, image_id: str) -> list[str]:
        """The directories that have a file of an image."""
        return sorted(
            {
                os.path.basename(os.path.dirname(path))
                for path in files(self.directory)
                if image_id in os.path.basename(path)
            }
        )

    def check_failed(self, image_id: str, words: str) -> dict:
        """The image is as it was before, the task says why, and nothing is left."""
        image, task = self.end(image_id)
        self.assertEqual(("failure", "queued"), (task["status"], image["status"]))
        self.assertIn(words, task["message"])
        self.assertIsNone(task["result"])
        self.assertEqual(
            [None] * 4,
            [image[name] for name in ("size", "virtual_size", "checksum", "os_hash_value")],
        )
        self.assertEqual("", image["os_glance_importing_to_stores"])
        self.assertEqual([], self.left(image_id))
        return image


class Methods(ImportCase):
    def test_direct(self) -> None:
        """Staged data becomes an image in every store, and the staging area is empty again."""
        image_id = self.member.create()
        self.assertEqual(204, self.stage(image_id).status_int)
        self.assertEqual(
            ("uploading", len(DATA)),
            (self.member.show(image_id)["status"], self.member.show(image_id)["size"]),
        )
        self.assertEqual(202, self.ask(image_id, "glance-direct", all_stores=True).status_int)
        image, task = self.end(image_id)
        self.assertEqual(
            ("active", "fast,slow", "", ""),
            (
                image["status"],
                image["stores"],
                image["os_glance_importing_to_stores"],
                image["os_glance_failed_import"],
            ),
        )
        self.assertEqual(["fast", "slow"], self.left(image_id))
        self.assertEqual({"image_id": image_id}, task["result"])
        self.assertEqual(
            {
                "image_id": image_id,
                "backend": ["fast", "slow"],
                "import_req": {"method": {"name": "glance-direct"}, "all_stores": True},
            },
            task["input"],
        )
        self.assertEqual(DATA, self.member.download(image_id).body)

    def test_web_download(self) -> None:
        image_id = self.download_from(
            "/image", checksum=SHA256.upper(), checksum_algorithm="sha256"
        )
        image, _ = self.end(image_id)
        self.assertEqual(
            ("active", hashlib.md5(DATA).hexdigest()), (image["status"], image["checksum"])
        )
        self.assertEqual(["fast"], self.left(image_id))

    def test_copy(self) -> None:
        """Only administrators copy; what is everywhere is answered and not done."""
        image_id = self.member.create()
        self.member.upload(image_id, DATA)
        self.assertEqual(403, self.ask(image_id, "copy-image", stores=["slow"]).status_int)
        copy = {"all_stores": True, "all_stores_must_succeed": False}
        self.assertEqual(202, self.ask(image_id, "copy-image", self.admin, **copy).status_int)
        image, task = self.end(image_id)
        self.assertEqual(("active", "fast,slow"), (image["status"], image["stores"]))
        self.assertEqual(202, self.ask(image_id, "copy-image", self.admin, **copy).status_int)
        self.assertEqual(
            [task], self.member.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"]
        )
        self.assertEqual(
            400, self.ask(image_id, "copy-image", self.admin, stores=["slow"]).status_int
        )

    def test_stores_are_chosen_in_one_way(self) -> None:
        for status, header, body in (
            (400, "slow", {"stores": ["slow"]}),
            (400, None, {"stores": [], "all_stores": True}),
            (400, "slow", {"all_stores": True}),
            (409, "nope", {}),
            (409, None, {"stores": ["nope"]}),
            (400, None, {"stores": "slow"}),
            (400, None, {"all_stores": "yes"}),
            (202, "slow", {}),
        ):
            image_id = self.member.create()
            self.stage(image_id, b"x")
            answer = self.ask(image_id, "glance-direct", header=header, **body)
            self.assertEqual(status, answer.status_int, body)
        self.assertEqual("slow", self.end(image_id)[0]["stores"])

    def test_methods_of_a_strange_form(self) -> None:
        """A body that makes no sense is the client's mistake, whatever it is."""
        image_id = self.member.create()
        for body in (
            [],
            "text",
            {},
            {"method": "glance-direct"},
            {"method": None},
            {"method": {"name": ["web-download"]}},
            {"method": {"name": "web-download"}},
            {"method": {"name": "web-download", "uri": 5}},
            {"method": {"name": "web-download", "uri": "http://x/", "checksum": "0"}},
            {
                "method": {
                    "name": "web-download",
                    "uri": self.source.url(),
                    "checksum": "zz" * 32,
                    "checksum_algorithm": "sha256",
                }
            },
            {
                "method": {
                    "name": "glance-download",
                    "glance_region": "r",
                    "glance_image_id": "short",
                }
            },
        ):
            answer = self.member.call(
                "POST",
                f"/v2/images/{image_id}/import",
                json.dumps(body).encode(),
                content_type="application/json",
            )
            self.assertEqual(400, answer.status_int, body)
        self.assertEqual("queued", self.member.show(image_id)["status"])

    def test_data_that_is_there_already(self) -> None:
        """Staged bytes are never overwritten; the image can be used after the refusal."""
        image_id = self.member.create()
        with open(os.path.join(self.directory, "staging", image_id), "w") as file:
            file.write("other")
        self.assertEqual(409, self.stage(image_id).status_int)
        self.assertEqual("queued", self.member.show(image_id)["status"])
        self.download_from("/image", image_id)
        self.assertEqual("active", self.end(image_id)[0]["status"])
        self.assertEqual(DATA, self.member.download(image_id).body)

    def test_a_stage_too_large_or_broken_off(self) -> None:
        """Nothing stays of data that did not come whole, and the next attempt may succeed."""
        image_id = self.member.create()
        answer = self.member.call(
            "PUT",
            f"/v2/images/{image_id}/stage",
            b"12345",
            content_type=OCTETS,
            x_openstack_image_size="9",
        )
        self.assertEqual(400, answer.status_int)
        self.assertEqual([], self.left(image_id))
        self.assertEqual(204, self.stage(image_id).status_int)

    def test_what_is_offered_beyond_the_api(self) -> None:
        offered = self.member.call("GET", "/v2/ext/info/import").json["import"]
        self.assertIn("sha256", offered["checksum-algorithms"]["value"])


class ReadOnlyStores(ImportCase):
    """What can only fail is refused, and the staged data stays for another try."""

    options = "enabled_backends = fast:file, slow:file, web:http\n"

    def test_nothing_is_begun_that_a_read_only_store_would_end(self) -> None:
        image_id = self.member.create()
        self.assertEqual(204, self.stage(image_id).status_int)
        for choice in (
            {"header": "web"},
            {"stores": ["web"]},
            {"stores": ["fast", "web"]},
            {"stores": ["web"], "all_stores_must_succeed": False},
        ):
            answer = self.ask(image_id, "glance-direct", **choice)
            self.assertEqual(400, answer.status_int, choice)
            self.assertIn("Nothing can be imported into web", answer.text)
            self.assertEqual("uploading", self.member.show(image_id)["status"])
        self.assertEqual([], self.member.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"])
        answer = self.ask(
            image_id, "glance-direct", stores=["fast", "web"], all_stores_must_succeed=False
        )
        self.assertEqual(202, answer.status_int, answer.text)
        self.assertEqual("fast", self.end(image_id)[0]["stores"])

    def test_web_download_and_copy(self) -> None:
        image_id = self.member.create()
        answer = self.ask(
            image_id, "web-download", stores=["web"], details={"uri": self.source.url("/image")}
        )
        self.assertEqual(400, answer.status_int)
        self.assertEqual("queued", self.member.show(image_id)["status"])
        self.assertEqual(204, self.member.upload(image_id, DATA).status_int)
        self.assertEqual(
            400, self.ask(image_id, "copy-image", self.admin, stores=["web"]).status_int
        )
        self.assertEqual(
            202, self.ask(image_id, "copy-image", self.admin, all_stores=True).status_int
        )
        self.assertEqual("fast,slow", self.end(image_id)[0]["stores"])


class Failures(ImportCase):
    """Every failure has a reason, and gives the image back."""

    def test_source_without_data(self) -> None:
        self.check_failed(self.download_from("/status/404"), "The source answered 404.")

    def test_source_that_fails_and_recovers_not(self) -> None:
        self.check_failed(self.download_from("/status/503"), "The source answered 503.")
        self.assertEqual(1 + sources.RETRIES, len(self.source.requests))

    def test_other_data(self) -> None:
        image = self.check_failed(
            self.download_from("/image", checksum="0" * 64, checksum_algorithm="sha256"),
            "The checksum differs",
        )
        self.assertEqual("fast", image["os_glance_failed_import"])

    def test_wrong_format_of_staged_data(self) -> None:
        """The user may stage again at once, and the second attempt may succeed."""
        image_id = self.member.create(disk_format="qcow2")
        self.stage(image_id)
        self.assertEqual(202, self.ask(image_id, "glance-direct", all_stores=True).status_int)
        image = self.check_failed(image_id, "qcow2")
        self.assertEqual("fast", image["os_glance_failed_import"])
        self.member.patch(image_id, {"op": "replace", "path": "/disk_format", "value": "raw"})
        self.assertEqual(204, self.stage(image_id).status_int)
        self.assertEqual(202, self.ask(image_id, "glance-direct", all_stores=True).status_int)
        image, _ = self.end(image_id)
        self.assertEqual(("active", ""), (image["status"], image["os_glance_failed_import"]))

    def test_one_store_fails(self) -> None:
        """With all needed, the copies that were made are taken back; else they stay."""
        for must_succeed in (True, False):
            image_id = self.member.create()
            self.stage(image_id)
            blocking = os.path.join(self.directory, "slow", image_id)
            with open(blocking, "w") as file:
                file.write("taken")
            self.ask(
                image_id,
                "glance-direct",
                stores=["fast", "slow"],
                all_stores_must_succeed=must_succeed,
            )
            if must_succeed:
                image = self.check_failed(image_id, "already holds data")
            else:
                image, task = self.end(image_id)
                self.assertEqual(
                    ("active", "fast", "success"),
                    (image["status"], image["stores"], task["status"]),
                )
                self.assertIn("Some stores failed", task["message"])
                self.assertEqual(DATA, self.member.download(image_id).body)
            self.assertEqual("slow", image["os_glance_failed_import"])

    def test_no_store_succeeds(self) -> None:
        image_id = self.member.create(disk_format="qcow2")
        self.stage(image_id)
        self.ask(image_id, "glance-direct", all_stores=True, all_stores_must_succeed=False)
        image = self.check_failed(image_id, "qcow2")
        self.assertEqual("fast,slow", image["os_glance_failed_import"])

    def test_copy_that_fails_keeps_the_image(self) -> None:
        image_id = self.member.create()
        self.member.upload(image_id, DATA)
        os.unlink(os.path.join(self.directory, "fast", image_id))
        self.ask(image_id, "copy-image", self.admin, stores=["slow"])
        image, task = self.end(image_id)
        self.assertEqual(
            ("active", "failure", "slow"),
            (image["status"], task["status"], image["os_glance_failed_import"]),
        )
        self.assertIn("cannot be read", task["message"])
        self.assertEqual(len(DATA), image["size"])


class BrokenConnections(ImportCase):
    """A connection that is cut costs time, never the image and never its bytes."""

    def check(self, path: str) -> list[str | None]:
        image_id = self.download_from(path)
        image, task = self.end(image_id)
        self.assertEqual("active", image["status"], task)
        self.assertEqual(DATA, self.member.download(image_id).body)
        return [asked for _, asked in self.source.requests]

    def test_taken_up_where_it_ended(self) -> None:
        self.assertEqual([None, "bytes=700000-", "bytes=1400000-"], self.check("/cut/2"))

    def test_as_often_as_it_gets_further(self) -> None:
        """Patience is for sources that bring nothing, however often connections are cut."""
        self.source.data = DATA * 2
        image, task = self.end(self.download_from("/cut/8"))
        self.assertEqual(("active", len(DATA) * 2), (image["status"], image["size"]), task)
        self.assertEqual(hashlib.sha512(DATA * 2).hexdigest(), image["os_hash_value"])
        self.assertEqual(9, len(self.source.requests))

    def test_a_source_that_boasts(self) -> None:
        """It announced more than it has, and says so when it is asked for the rest."""
        self.check_failed(self.download_from("/long/1000"), "fewer bytes than it announced")

    def test_an_object_that_changed_begins_again(self) -> None:
        asked = self.check("/changing/1")
        self.assertEqual([None, "bytes=700000-", None], asked)

    def test_an_object_without_a_name_begins_again(self) -> None:
        self.assertEqual([None, None, None], self.check("/unnamed/2"))

    def test_an_end_to_patience(self) -> None:
        image_id = self.download_from("/unnamed/99")
        self.check_failed(image_id, "too early")


class AtTheSameTime(ImportCase):
    def test_two_imports(self) -> None:
        """Of several requests at the same moment one begins, whoever comes first."""
        image_id = self.member.create()
        statuses: list[int] = []
        barrier = threading.Barrier(4)

        def ask() -> None:
            barrier.wait()
            statuses.append(
                self.ask(
                    image_id, "web-download", details={"uri": self.source.url("/image")}
                ).status_int
            )

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([202, 409, 409, 409], sorted(statuses))
        self.assertEqual("active", self.end(image_id)[0]["status"])

    def test_an_import_is_seen_at_once(self) -> None:
        """The answer 202 and the state importing are one; a second import is refused."""
        image_id = self.download_from("/stall")
        image = self.member.show(image_id)
        self.assertEqual(
            ("importing", "fast"), (image["status"], image["os_glance_importing_to_stores"])
        )
        task = self.member.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"][-1]
        self.assertEqual(
            (image["os_glance_import_task"], "processing"), (task["id"], task["status"])
        )
        self.assertEqual(
            409,
            self.ask(
                image_id, "web-download", details={"uri": self.source.url("/image")}
            ).status_int,
        )
        self.assertEqual(409, self.stage(image_id).status_int)

    def test_staged_data_and_a_uri_are_not_both_meant(self) -> None:
        image_id = self.member.create()
        self.stage(image_id)
        body = json.dumps({"method": {"name": "glance-direct", "uri": "http://127.0.0.1/x"}})
        path = f"/v2/images/{image_id}/import"
        self.assertEqual(
            202,
            self.member.call(
                "POST", path, body.encode(), content_type="application/json"
            ).status_int,
        )
        [task] = self.member.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"]
        self.assertEqual("failure", task["status"])
        self.assertIn("uri", task["message"])
        image = self.member.show(image_id)
        self.assertEqual(
            ("uploading", task["id"]), (image["status"], image["os_glance_import_task"])
        )
        body = json.dumps({"method": {"name": "glance-direct"}, "stores": "wrong"}).encode()
        answer = self.member.call("POST", path, body, content_type="application/json")
        self.assertEqual(409, answer.status_int)
        with contextlib.closing(sqlite3.connect(f"{self.directory}/glance.sqlite")) as database:
            database.execute("update tasks set updated_at = '2020-01-01 00:00:00.000000'")
            database.commit()
        self.assertEqual(
            400, self.member.call("POST", path, body, content_type="application/json").status_int
        )
        body = json.dumps({"method": {"name": "glance-direct"}}).encode()
        self.assertEqual(
            202, self.member.call("POST", path, body, content_type="application/json").status_int
        )
        self.assertEqual("active", self.end(image_id)[0]["status"])

    def test_deleted_meanwhile(self) -> None:
        """No bytes are left of an image that was deleted while its data came."""
        image_id = self.download_from("/stall")
        eventually(lambda: self.left(image_id))
        self.assertEqual(204, self.member.call("DELETE", f"/v2/images/{image_id}").status_int)
        self.source.ended.set()
        eventually(lambda: self.left(image_id), lambda left: not left)
        tasks = self.admin.call("GET", "/v2/tasks").json["tasks"]
        self.assertIn(tasks[0]["status"], ("processing", "failure"))

    def test_a_lock_that_nobody_holds(self) -> None:
        """A lock whose task has ended, or never began, keeps nobody away."""
        image_id = self.member.create()
        with contextlib.closing(sqlite3.connect(f"{self.directory}/glance.sqlite")) as database:
            database.execute(
                "INSERT INTO image_properties (image_id, name, value, created_at, deleted) "
                "VALUES (?, 'os_glance_import_task', 'gone', '2026-01-01', 0)",
                (image_id,),
            )
            database.commit()
        self.download_from("/image", image_id)
        self.assertEqual("active", self.end(image_id)[0]["status"])


class Parallel(ImportCase):
    options = "[image_import_opts]\nmax_parallel_stores = 2\n"

    def test_stores_side_by_side(self) -> None:
        image_id = self.member.create()
        self.stage(image_id)
        self.ask(image_id, "glance-direct", all_stores=True)
        image, _ = self.end(image_id)
        self.assertEqual(
            ("active", {"fast", "slow"}, ""),
            (
                image["status"],
                set(image["stores"].split(",")),
                image["os_glance_importing_to_stores"],
            ),
        )

    def test_taken_back_side_by_side(self) -> None:
        image_id = self.member.create(disk_format="qcow2")
        self.stage(image_id)
        self.ask(image_id, "glance-direct", all_stores=True)
        self.check_failed(image_id, "qcow2")

    def test_one_of_two(self) -> None:
        image_id = self.member.create()
        self.stage(image_id)
        with open(os.path.join(self.directory, "slow", image_id), "w") as file:
            file.write("taken")
        self.ask(image_id, "glance-direct", all_stores=True)
        image = self.check_failed(image_id, "already holds data")
        self.assertEqual("slow", image["os_glance_failed_import"])


class Caps(ImportCase):
    options = f"image_size_cap = {len(DATA) - 1}\n"

    def test_more_than_the_cap(self) -> None:
        """Too much is refused by what the source announces, before any of it comes."""
        self.check_failed(self.download_from("/image"), "larger than image_size_cap")


class Quotas(ImportCase):
    options = "user_storage_quota = 4MB\n"

    def test_a_copy_too_many(self) -> None:
        image_id = self.member.create()
        self.stage(image_id)
        self.ask(image_id, "glance-direct", all_stores=True)
        self.check_failed(image_id, "may store 4194304 bytes")


class Plugins(ImportCase):
    options = (
        "[image_import_opts]\n"
        "image_import_plugins = [no_op,inject_image_metadata,image_decompression]\n"
        "[inject_metadata_properties]\n"
        "inject = colour:blue,os_glance_x:1,status:active\n"
    )

    def test_packed_data(self) -> None:
        """Packed data is unpacked before it is stored; what is packed on purpose stays."""
        path = os.path.join(self.directory, "archive.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("disk.raw", DATA)
        with open(path, "rb") as file:
            packed = file.read()
        for data in (packed, gzip.compress(DATA)):
            image_id = self.member.create()
            self.stage(image_id, data)
            self.ask(image_id, "glance-direct")
            image, task = self.end(image_id)
            self.assertEqual(
                ("active", len(DATA), "blue"),
                (image["status"], image["size"], image["colour"]),
                task,
            )
            self.assertEqual(DATA, self.member.download(image_id).body)
        image_id = self.member.create(container_format="compressed")
        self.stage(image_id, packed)
        self.ask(image_id, "glance-direct")
        self.assertEqual(len(packed), self.end(image_id)[0]["size"])

    def test_an_archive_of_two(self) -> None:
        path = os.path.join(self.directory, "archive.zip")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("one", b"1")
            archive.writestr("../two", b"2")
        image_id = self.member.create()
        with open(path, "rb") as file:
            self.stage(image_id, file.read())
        self.ask(image_id, "glance-direct")
        self.check_failed(image_id, "exactly one file")

    def test_roles_without_injection(self) -> None:
        image_id = self.member.create()
        self.stage(image_id)
        self.ask(image_id, "glance-direct", self.admin)
        self.assertNotIn("colour", self.end(image_id)[0])


class TasksApi(ImportCase):
    def test_import_from_a_task(self) -> None:
        """The old way: a task that makes the image, too."""
        answer = self.admin.call(
            "POST",
            "/v2/tasks",
            json.dumps(
                {
                    "type": "import",
                    "input": {
                        "import_from": self.source.url(),
                        "import_from_format": "raw",
                        "image_properties": {"name": "old", "colour": "red"},
                    },
                }
            ).encode(),
        )
        self.assertEqual(201, answer.status_int, answer.text)
        path = answer.headers["Location"].partition("/v2/")[2]
        task = eventually(
            lambda: self.admin.call("GET", f"/v2/{path}").json,
            lambda task: task["status"] in ("success", "failure"),
        )
        self.assertEqual("success", task["status"], task)
        image = self.member.show(task["result"]["image_id"])
        self.assertEqual(
            ("active", "old", "red"), (image["status"], image["name"], image["colour"])
        )

    def test_addresses_are_judged(self) -> None:
        for source in ("file:///etc/passwd", "http://169.254.169.254/", "http://localhost:1/"):
            answer = self.admin.call(
                "POST",
                "/v2/tasks",
                json.dumps(
                    {
                        "type": "import",
                        "input": {"import_from": source, "import_from_format": "raw"},
                    }
                ).encode(),
            )
            self.assertEqual(400, answer.status_int, source)

    def test_pages(self) -> None:
        """Walking the pages shows every task once, newest first."""
        made = []
        for _ in range(5):
            answer = self.admin.call(
                "POST", "/v2/tasks", json.dumps({"type": "location_import", "input": {}}).encode()
            )
            made.append(answer.json["id"])
        seen, path = [], "/v2/tasks?limit=2&sort_key=created_at"
        while path:
            page = self.admin.call("GET", path).json
            seen += [task["id"] for task in page["tasks"]]
            path = page.get("next")
        self.assertEqual(list(reversed(made)), seen)

    def test_only_administrators(self) -> None:
        for method, path in (
            ("GET", "/v2/tasks"),
            ("POST", "/v2/tasks"),
            ("GET", "/v2/tasks/00000000-0000-0000-0000-000000000000"),
        ):
            self.assertEqual(
                403, self.member.call(method, path, b"{}" if method == "POST" else b"").status_int
            )


if __name__ == "__main__":
    unittest.main()
