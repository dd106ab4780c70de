"""Two workers with disks of their own, and two regions: what one has, the other asks for."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import unittest
import wsgiref.simple_server
from unittest import mock

from glance_py.app import build
from glance_py.importing import importer, sources
from tests.functional import service
from tests.functional.client import OCTETS, AppClient, files
from tests.waiting import eventually

DATA = bytes(range(256)) * 64


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(app):
    """An application on a port of this host; its URL."""
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def end(client: AppClient, image_id: str) -> tuple[dict, dict]:
    """The image and its newest task when that has ended."""
    tasks = eventually(
        lambda: client.call("GET", f"/v2/images/{image_id}/tasks").json["tasks"],
        lambda tasks: tasks and tasks[-1]["status"] in ("success", "failure"),
    )
    return client.show(image_id), tasks[-1]


def ask(client: AppClient, image_id: str, **method):
    return client.call(
        "POST",
        f"/v2/images/{image_id}/import",
        json.dumps({"method": method}).encode(),
        content_type="application/json",
    )


class Workers(unittest.TestCase):
    """Worker one stages; worker two, with the same database, is asked to go on."""

    def setUp(self) -> None:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        app = None
        seen = self.seen = []

        def one(environ, start_response):
            seen.append(
                (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_X_AUTH_TOKEN"))
            )
            return app(environ, start_response)

        self.url = stack.enter_context(served(one))
        app, self.one_directory = stack.enter_context(
            service.running(f"worker_self_reference_url = {self.url}\n")
        )
        conf, self.two_directory = stack.enter_context(
            service.configured("worker_self_reference_url = http://two.example\n")
        )
        conf.set_override("connection", f"sqlite:///{self.one_directory}/glance.sqlite", "database")
        two = build(conf)
        self.one, self.two = AppClient(app, "u:p1:member"), AppClient(two, "u:p1:member")

    def stage(self) -> str:
        image_id = self.one.create()
        self.assertEqual(
            204,
            self.one.call(
                "PUT", f"/v2/images/{image_id}/stage", DATA, content_type=OCTETS
            ).status_int,
        )
        return image_id

    def test_import_goes_to_who_has_the_data(self) -> None:
        image_id = self.stage()
        self.assertNotIn("os_glance_stage_host", self.two.show(image_id))
        answer = ask(self.two, image_id, name="glance-direct")
        self.assertEqual(202, answer.status_int, answer.text)
        self.assertEqual([("POST", f"/v2/images/{image_id}/import", "u:p1:member")], self.seen)
        image, task = end(self.two, image_id)
        self.assertEqual(("active", "success"), (image["status"], task["status"]))
        self.assertEqual(DATA, self.one.download(image_id).body)

    def test_a_refusal_comes_back_as_it_was(self) -> None:
        image_id = self.stage()
        answer = self.two.call(
            "POST",
            f"/v2/images/{image_id}/import",
            json.dumps({"method": {"name": "glance-direct"}, "stores": ["nope"]}).encode(),
        )
        self.assertEqual(409, answer.status_int)
        self.assertEqual("uploading", self.one.show(image_id)["status"])

    def test_deletion_removes_the_data_there(self) -> None:
        image_id = self.stage()
        self.assertEqual(204, self.two.call("DELETE", f"/v2/images/{image_id}").status_int)
        self.assertEqual([], files(f"{self.one_directory}/staging"))
        self.assertEqual(404, self.one.call("GET", f"/v2/images/{image_id}").status_int)

    def test_nobody_there(self) -> None:
        """An import says that the worker is gone; a deletion goes on without it."""
        image_id = self.stage()
        with (
            mock.patch.object(importer.StagingArea, "size", return_value=None),
            mock.patch("glance_py.importing.stage_host.TIMEOUT_SECONDS", 2),
        ):
            self._move(image_id)
            answer = ask(self.two, image_id, name="glance-direct")
            self.assertEqual(504, answer.status_int)
            self.assertIn("cannot be reached", answer.text)
            self.assertEqual("uploading", self.two.show(image_id)["status"])
            self.assertEqual(204, self.two.call("DELETE", f"/v2/images/{image_id}").status_int)

    def _move(self, image_id: str) -> None:
        """The worker that staged the data has gone."""
        with contextlib.closing(sqlite3.connect(f"{self.one_directory}/glance.sqlite")) as database:
            database.execute(
                "UPDATE image_properties SET value = 'http://127.0.0.1:9' "
                "WHERE name = 'os_glance_stage_host' AND image_id = ?",
                (image_id,),
            )
            database.commit()


class Regions(unittest.TestCase):
    """glance-download: an image of another region, read with the caller's token."""

    def setUp(self) -> None:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        remote, _ = stack.enter_context(service.running())
        self.url = stack.enter_context(served(remote))
        here, self.directory = stack.enter_context(
            service.running("enabled_import_methods = [glance-download]\n")
        )
        stack.enter_context(mock.patch.object(sources, "RETRY_DELAYS", (0.01,)))
        stack.enter_context(
            mock.patch.object(sources, "find_endpoint", lambda ctx, region, interface: self.url)
        )
        self.remote, self.here = AppClient(remote, "u:p1:member"), AppClient(here, "u:p1:member")

    def download(self, image_id: str) -> tuple[dict, dict]:
        mine = self.here.create(disk_format="qcow2", container_format="ovf")
        answer = ask(
            self.here, mine, name="glance-download", glance_region="r", glance_image_id=image_id
        )
        self.assertEqual(202, answer.status_int, answer.text)
        return end(self.here, mine)

    def test_data_and_what_is_known_of_it(self) -> None:
        image_id = self.remote.create(hw_disk_bus="scsi", os_type="linux", colour="red")
        self.remote.upload(image_id, DATA)
        image, task = self.download(image_id)
        self.assertEqual(
            ("active", "raw", "bare", "scsi", "linux"),
            (
                image["status"],
                image["disk_format"],
                image["container_format"],
                image["hw_disk_bus"],
                image["os_type"],
            ),
            task,
        )
        self.assertNotIn("colour", image)
        self.assertEqual(DATA, self.here.download(image["id"]).body)

    def test_an_image_without_data(self) -> None:
        image, task = self.download(self.remote.create())
        self.assertEqual(("queued", "failure"), (image["status"], task["status"]))
        self.assertIn("not active", task["message"])

    def test_an_image_that_is_not_there(self) -> None:
        image, task = self.download("00000000-0000-0000-0000-000000000000")
        self.assertEqual(("queued", "failure"), (image["status"], task["status"]))
        self.assertIn("404", task["message"])


if __name__ == "__main__":
    unittest.main()
