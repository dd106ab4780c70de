"""Imports and the unified limit of images whose data is on its way, with limits in a dictionary."""

from __future__ import annotations

import threading
import unittest
from unittest import mock

from glance_py import limits
from glance_py.importing.job import ImportJob
from tests.functional.test_import import DATA, ImportCase

LIMIT = "image_count_uploading"


class ImportLimitsTest(ImportCase):
    """One image of the project may be on its way."""

    options = "use_keystone_limits = true\n"

    def setUp(self) -> None:
        known = dict.fromkeys(limits.UNIFIED_LIMITS, -1) | {LIMIT: 1}
        self.enterContext(
            mock.patch.object(
                limits._LimitCache, "limits", lambda cache, project, refresh=False: known
            )
        )
        super().setUp()

    def uploaded(self) -> str:
        image_id = self.member.create()
        self.member.upload(image_id, DATA)
        return image_id

    def copy(self, image_id: str) -> tuple[dict, dict]:
        """Copy an image to the other store; the image and the task when that is over."""
        self.assertEqual(
            202, self.ask(image_id, "copy-image", self.admin, stores=["slow"]).status_int
        )
        return self.end(image_id)

    def check_refused(self, image: dict, task: dict) -> None:
        self.assertEqual("failure", task["status"])
        self.assertIn(LIMIT, task["message"])
        self.assertEqual("", image.get("os_glance_importing_to_stores", ""))

    def test_a_copy_needs_a_place(self) -> None:
        image_id, staged = self.uploaded(), self.member.create()
        self.assertEqual(204, self.stage(staged).status_int)
        image, task = self.copy(image_id)
        self.check_refused(image, task)
        self.assertEqual(("active", "fast"), (image["status"], image["stores"]))
        self.assertEqual(204, self.member.call("DELETE", f"/v2/images/{staged}").status_int)
        image, task = self.copy(image_id)
        self.assertEqual(("success", "fast,slow"), (task["status"], image["stores"]))

    def test_a_download_needs_a_place(self) -> None:
        staged = self.member.create()
        self.assertEqual(204, self.stage(staged).status_int)
        image, task = self.end(self.download_from("/image"))
        self.check_refused(image, task)
        self.assertEqual("queued", image["status"])
        # What is staged has its place.
        self.assertEqual(202, self.ask(staged, "glance-direct").status_int)
        self.assertEqual("active", self.end(staged)[0]["status"])
        image, _ = self.end(self.download_from("/image", image["id"]))
        self.assertEqual("active", image["status"])

    def test_a_copy_takes_a_place_while_it_runs(self) -> None:
        image_id, other, waiting = self.uploaded(), self.uploaded(), self.member.create()
        copies, running, go_on = ImportJob.add_copy, threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def add_copy(job, store):
            running.set()
            go_on.wait(60)
            copies(job, store)

        with mock.patch.object(ImportJob, "add_copy", add_copy):
            self.assertEqual(
                202, self.ask(image_id, "copy-image", self.admin, stores=["slow"]).status_int
            )
            self.assertTrue(running.wait(60))
            self.assertEqual(413, self.stage(waiting).status_int)
            self.check_refused(*self.copy(other))
            go_on.set()
            self.assertEqual("success", self.end(image_id)[1]["status"])
        self.assertEqual(204, self.stage(waiting).status_int)

    def test_two_copies_at_once_do_not_share_a_place(self) -> None:
        """Both see that there is one; the database gives it to one of them."""
        both = [self.uploaded(), self.uploaded()]
        running, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        copies, room = ImportJob.add_copy, limits.UnifiedLimits.check
        seen = threading.Barrier(2, timeout=60)

        def waiting(book, project, deltas):
            most = room(book, project, deltas)
            if LIMIT in deltas:
                seen.wait()
            return most

        def add_copy(job, store):
            running.set()
            go_on.wait(60)
            copies(job, store)

        with (
            mock.patch.object(limits.UnifiedLimits, "check", waiting),
            mock.patch.object(ImportJob, "add_copy", add_copy),
        ):
            threads = [
                threading.Thread(
                    target=self.ask,
                    args=(image_id, "copy-image", self.admin),
                    kwargs={"stores": ["slow"]},
                )
                for image_id in both
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertTrue(running.wait(60))
            go_on.set()
            tasks = [self.end(image_id)[1] for image_id in both]
        self.assertEqual(["failure", "success"], sorted(task["status"] for task in tasks))
        self.assertIn(LIMIT, next(task["message"] for task in tasks if task["status"] == "failure"))


if __name__ == "__main__":
    unittest.main()
