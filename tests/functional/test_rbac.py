"""Who may do what, compared with what the original service answered (``rbac.json``).

Every role of every kind of project, on images of every visibility; and callers
without a token where the operator lets them look around.
"""

from __future__ import annotations

import json
import pathlib
import unittest

import webob

from tests.functional import rbac, service
from tests.functional.client import Client

FACTS = pathlib.Path(__file__).with_name("rbac.json")


class Service(unittest.TestCase):

    def ask(self, options: str = ""):
        """How to ask a service of one's own."""
        running = service.running(options)
        app, _directory = running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

        def call(method, path, body, headers):
            request = webob.Request.blank(path, method=method, body=body or b"")
            request.headers.update(headers)
            answer = request.get_response(app)
            return answer.status_int, answer.body

        self.app = app
        return rbac.Survey(call)


class RolesTest(Service):

    maxDiff = None

    def compare(self, asked):
        facts = json.loads(FACTS.read_text())
        wrong = []
        for kind, name, project, statuses in asked:
            expected = facts[kind][name][project]
            found = " ".join(str(status) for status in statuses)
            if found != expected:
                wrong.append(f"{kind} image, {name}, {project}: {found} instead of {expected}")
        self.assertEqual([], wrong)

    def test_images(self):
        self.compare(self.ask().of_images())

    def test_lists(self):
        self.compare(self.ask().of_lists())

    def test_what_concerns_no_image(self):
        self.compare(self.ask().alone())


if __name__ == "__main__":
    unittest.main()
