"""Workers that die or are stopped in the middle of an import, as real processes.

Within moments the image can be used again, nothing stays behind, and the task
says what happened; without anybody's help.
"""

from __future__ import annotations

import http.client
import json
import os
import signal

from tests.functional.server import GLANCE_API, MIB, UWSGI, ServerCase
from tests.functional.web_source import web_source
from tests.waiting import eventually


class ServerCases:
    settings = {"client_timeout": 60, "short_leases": True}

    def setUp(self) -> None:
        source = web_source(b"x" * (2 * MIB))
        self.source = source.__enter__()
        self.addCleanup(source.__exit__, None, None, None)
        self.settings = {**self.settings, "options": self.source.options}
        super().setUp()
        # To stop it would wait for an import that never ends.
        self.addCleanup(self.server.kill)

    def show(self, image_id: str) -> dict:
        """The image; a dying worker may have taken the question with it."""
        return eventually(
            lambda: self.server.show(image_id),
            ignore=(ConnectionError, http.client.HTTPException),
        )

    def staged(self) -> list[str]:
        return os.listdir(self.server.directory / "staging")

    def ask(self, image_id: str, path: str) -> None:
        status, body = self.server.ask(
            "POST",
            f"/v2/images/{image_id}/import",
            json.dumps({"method": {"name": "web-download", "uri": self.source.url(path)}}),
            Content_Type="application/json",
        )
        self.assertEqual(202, status, body)

    def task(self, image_id: str) -> dict:
        return json.loads(self.server.ask("GET", f"/v2/images/{image_id}/tasks")[1])["tasks"][-1]

    def begin(self) -> str:
        """An import of which half has come."""
        image_id = self.server.create()
        self.ask(image_id, "/stall")
        eventually(self.staged)
        self.assertEqual("importing", self.server.show(image_id)["status"])
        return image_id

    def check_given_back(self, image_id: str, words: str) -> None:
        """Queued, without bytes, lock or waiting stores; and a second import succeeds."""
        image = eventually(
            lambda: self.show(image_id),
            lambda image: image["status"] == "queued" and "os_glance_import_task" not in image,
            explain=self.server.log,
        )
        self.assertEqual("", image["os_glance_importing_to_stores"])
        self.assertEqual("local", image["os_glance_failed_import"])
        eventually(lambda: not self.staged())
        self.assertEqual([], self.server.files())
        task = eventually(lambda: self.task(image_id), lambda task: task["status"] == "failure")
        self.assertIn(words, task["message"])
        self.ask(image_id, "/image")
        self.assertEqual("active", self.server.wait(image_id, "active"), self.server.log())

    def test_a_worker_dies(self) -> None:
        """Killed by signal 9, as when memory runs out."""
        image_id = self.begin()
        for worker in self.server.workers():
            os.kill(worker, signal.SIGKILL)
        self.check_given_back(image_id, "died")

    def test_all_die(self) -> None:
        """After a power cut the next start puts things right."""
        image_id = self.begin()
        self.server.kill()
        self.server.start()
        self.check_given_back(image_id, "died")

    def test_a_slow_import_lives(self) -> None:
        """An import in which nothing happens for longer than a lease is not taken for dead."""
        image_id = self.begin()
        self.server.outlive_lease(image_id)
        self.assertEqual("importing", self.server.show(image_id)["status"])
        self.assertEqual("processing", self.task(image_id)["status"])
        self.assertIn("Fetched 1 MiB", self.task(image_id)["message"])


class GlanceApiTest(ServerCases, ServerCase):
    command = GLANCE_API


class UwsgiTest(ServerCases, ServerCase):
    command = UWSGI
