"""A registry that dies under load: quick refusals meanwhile, and afterwards nothing half-done."""

from __future__ import annotations

import collections
import json
import tempfile
import threading
import unittest

from tests.functional.registry import SECTIONS
from tests.functional.registry_process import RegistryProcess
from tests.functional.server import GLANCE_API, OCTETS, ServerProcess
from tests.waiting import eventually

DATA = b"y" * 100_000


class Load(threading.Thread):
    """Makes images, fills, shows and removes them, one after the other."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(daemon=True)
        self._server = server
        self.stop = threading.Event()
        #: (what, status) to how often.
        self.answers: collections.Counter = collections.Counter()
        #: What ended the thread before it was told to stop.
        self.failure: Exception | None = None

    def _ask(self, method: str, path: str, body=None, **headers: str) -> tuple[int, bytes]:
        answer = self._server.ask(method, path, body, **headers)
        self.answers[method, answer[0]] += 1
        return answer

    def make(self, number: int, status: int) -> None:
        """Wait until so many more attempts to make an image have got this answer."""
        goal = self.answers["POST", status] + number
        eventually(
            lambda: self.answers["POST", status] >= goal or not self.is_alive(),
            explain=lambda: self.answers,
        )

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.failure = error

    def _work(self) -> None:
        while not self.stop.is_set():
            status, body = self._ask(
                "POST",
                "/v2/images",
                json.dumps({"disk_format": "raw", "container_format": "bare"}),
                Content_Type="application/json",
            )
            if status != 201:
                self.stop.wait(0.02)
                continue
            path = f"/v2/images/{json.loads(body)['id']}"
            self._ask("PUT", f"{path}/file", DATA, Content_Type=OCTETS)
            self._ask("GET", path)
            if body[7] % 2:
                self._ask("DELETE", path)


class DeathTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="glance-")
        self.addCleanup(directory.cleanup)
        self.registry = RegistryProcess(directory.name)
        self.server = ServerProcess(
            directory.name,
            GLANCE_API,
            short_leases=True,
            options=f"data_api = registry\nregistry_port = {self.registry.port}\n{SECTIONS}",
        )
        self.addCleanup(self.server.end)
        self.registry.start()
        self.addCleanup(self.registry.kill)

    def ask(self, what: str) -> dict:
        return json.loads(self.server.ask("GET", what)[1])

    def images(self) -> dict[str, str]:
        return {each["id"]: each["status"] for each in self.ask("/v2/images?limit=1000")["images"]}

    def test_it_is_killed_and_comes_back(self) -> None:
        loads = [Load(self.server) for _ in range(3)]
        for load in loads:
            load.start()
        for load in loads:
            load.make(5, 201)
        self.registry.kill()
        for load in loads:
            load.make(5, 503)
        status, text = self.server.ask("GET", "/v2/images")
        self.assertEqual(503, status, text)
        self.registry.start()
        for load in loads:
            load.make(5, 201)
        for load in loads:
            load.stop.set()
            load.join()
            self.assertIsNone(load.failure)
        answers = sum((load.answers for load in loads), collections.Counter())
        self.check_answers(answers)
        self.check_rest()

    def check_answers(self, answers: collections.Counter) -> None:
        """Done, or refused; nothing else."""
        fine = {("POST", 201), ("PUT", 204), ("GET", 200), ("DELETE", 204)}
        refused = {(method, 503) for method, _ in fine}
        self.assertLessEqual(set(answers), fine | refused, answers)
        for each in (*fine, ("POST", 503)):
            self.assertIn(each, answers)

    def check_rest(self) -> None:
        """Every image is whole or empty, and no bytes are left of any other."""
        left = eventually(
            self.images,
            lambda found: set(found.values()) <= {"queued", "active"},
            explain=self.server.log,
        )
        whole = {image for image, status in left.items() if status == "active"}
        for image in list(whole)[:5]:
            self.assertEqual(DATA, self.server.download(image))
        eventually(self.server.files, lambda files: files == sorted(whole))


if __name__ == "__main__":
    unittest.main()
