"""Imports in a service of two hosts: one has the data, the other is asked, either may die."""

from __future__ import annotations

import os
import unittest

from tests.functional.hosts import two_hosts
from tests.functional.server import MIB
from tests.functional.web_source import web_source
from tests.waiting import eventually

DATA = os.urandom(MIB) * 3


class DisksOfTheirOwn(unittest.TestCase):
    """What is staged on one host can only be imported there."""

    def test_the_other_is_asked(self) -> None:
        with two_hosts() as (one, two):
            image_id = one.create()
            self.assertEqual(204, one.stage(image_id, DATA, len(DATA)))
            self.assertEqual([image_id], os.listdir(one.staging))
            self.assertEqual(202, two.import_(image_id, "glance-direct", all_stores=True))
            image, task = two.wait_for_task(image_id)
            self.assertEqual(("active", "success"), (image["status"], task["status"]), task)
            self.assertEqual([("fast", image_id), ("slow", image_id)], one.stored())
            self.assertEqual([], os.listdir(one.staging))
            self.assertTrue(two.download(image_id) == DATA, "the bytes differ")

    def test_who_has_the_data_is_away(self) -> None:
        """The client is told; when that host is back the same request succeeds."""
        with two_hosts() as (one, two):
            image_id = one.create()
            self.assertEqual(204, one.stage(image_id, DATA, len(DATA)))
            one.kill()
            self.assertEqual(504, two.import_(image_id, "glance-direct"))
            self.assertEqual("uploading", two.show(image_id)["status"])
            one.start()
            self.assertEqual(202, two.import_(image_id, "glance-direct"))
            self.assertEqual("active", two.wait_for_task(image_id)[0]["status"])


class StagingForAll(unittest.TestCase):
    """With one staging directory each host does it all."""

    def test_nobody_is_asked(self) -> None:
        with two_hosts(shared_staging=True) as (one, two):
            image_id = one.create()
            self.assertEqual(204, one.stage(image_id, DATA, len(DATA)))
            one.kill()
            self.assertEqual(202, two.import_(image_id, "glance-direct"))
            self.assertEqual("active", two.wait_for_task(image_id)[0]["status"])
            self.assertEqual([], os.listdir(two.staging))
            self.assertTrue(two.download(image_id) == DATA, "the bytes differ")


class AHostDies(unittest.TestCase):
    """The other one brings back what it was at, the dead one's disk is its own to tidy."""

    def test_and_the_other_goes_on(self) -> None:
        with (
            web_source(DATA) as source,
            two_hosts(more=source.options, short_leases=True) as (one, two),
        ):
            image_id = one.create()
            self.assertEqual(202, one.import_(image_id, "web-download", uri=source.url("/stall")))
            eventually(lambda: os.listdir(one.staging))
            one.kill()
            image, task = two.wait_for_task(image_id)
            self.assertEqual(("queued", "failure"), (image["status"], task["status"]))
            self.assertIn("died", task["message"])
            self.assertEqual(202, two.import_(image_id, "web-download", uri=source.url("/image")))
            self.assertEqual("active", two.wait_for_task(image_id)[0]["status"])
            one.start()
            eventually(lambda: not os.listdir(one.staging))
            self.assertEqual([("fast", f"{image_id}.3")], two.stored())

    def test_staged_data_of_an_image_that_was_given_back(self) -> None:
        """It lies whole on the disk of the one that died; the other cannot reach it."""
        with two_hosts(short_leases=True) as (one, two):
            image_id = one.create()
            self.assertEqual(204, one.stage(image_id, DATA, len(DATA)))
            one.kill()
            # As when it died at its first copy: the file stays, nobody waits for it.
            self.assertEqual(204, two.ask("DELETE", f"/v2/images/{image_id}")[0])
            self.assertEqual([image_id], os.listdir(one.staging))
            one.start()
            eventually(lambda: not os.listdir(one.staging))


if __name__ == "__main__":
    unittest.main()
