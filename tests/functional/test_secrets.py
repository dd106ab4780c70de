"""Secrets stay out of logs and answers, also at DEBUG and when something fails.

Canaries are put where secrets are: in tokens, in the database's address and
in the address of an image's data; then everything that was written is searched.
"""

from __future__ import annotations

import logging
import unittest

from glance_py import app
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from tests.functional.client import AppClient
from tests.functional.service import configured

CANARY = "c4n4ry"


class Recorder(logging.Handler):
    """Keeps every line, with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class TestSecrets(unittest.TestCase):
    def setUp(self) -> None:
        conf, _ = self.enterContext(
            configured("debug = true\nenabled_backends = fast:file, slow:file, web:http\n")
        )
        self.service = app.build_service(conf)
        self.recorder = Recorder()
        root = logging.getLogger()
        level = root.level
        root.addHandler(self.recorder)
        root.setLevel(logging.DEBUG)
        self.addCleanup(root.setLevel, level)
        self.addCleanup(root.removeHandler, self.recorder)

    def assert_silent(self, *answers) -> None:
        for line in self.recorder.lines:
            self.assertNotIn(CANARY, line)
        for answer in answers:
            self.assertNotIn(CANARY, answer.text)
            self.assertNotIn(CANARY, str(answer.headers))
            self.assertNotIn("Traceback", answer.text)

    def test_tokens_are_not_logged(self) -> None:
        ann = AppClient(self.service.app, "ann:p1:member")
        image_id = ann.create()
        answers = [
            ann.call("GET", "/v2/images", x_service_token=CANARY),
            ann.call("GET", f"/v2/images/{image_id}", authorization=f"Bearer {CANARY}"),
            AppClient(self.service.app, CANARY).call("GET", "/v2/images"),
        ]
        self.assert_silent(*answers)

    def test_credentials_in_a_location_are_not_shown(self) -> None:
        """CVE-2024-1141, OSSA-2013-007: reading and deleting fail, and say nothing."""
        root = AppClient(self.service.app, "root:p9:admin")
        image_id = root.create()
        url = f"http://user:{CANARY}@127.0.0.1:9/data?key={CANARY}"
        self.service.deps.repositories.images.update(
            None,
            Image(image_id),
            ImageChange(
                fields={"status": "active", "size": 10},
                add_locations=(Location(url, {"store": "web"}),),
            ),
        )
        self.assert_silent(
            root.download(image_id),
            root.call("GET", f"/v2/images/{image_id}"),
            root.call("GET", "/v2/info/stores/detail"),
            root.call("DELETE", f"/v2/images/{image_id}"),
        )

    def test_an_error_page_repeats_no_markup(self) -> None:
        """OSSA-2015-009: what a client sent comes back escaped, or not at all."""
        client = AppClient(self.service.app, "ann:p1:member")
        for path in (
            "/v2/images/%3Cscript%3E",
            "/v2/images?limit=%3Cscript%3E",
            "/v2/%3Cscript%3E",
            "/v2/images?sort=%3Cscript%3E",
        ):
            answer = client.call("GET", path, accept="text/html")
            self.assertGreaterEqual(answer.status_int, 400)
            self.assertNotIn("<script>", answer.text)


if __name__ == "__main__":
    unittest.main()
