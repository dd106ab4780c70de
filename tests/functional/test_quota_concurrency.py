"""Quotas of a project when its clients come at the same time, to several workers.

As much as allowed is stored, and not one byte or image more, whether clients say
how much they bring or not.  What a worker held when it died is given back.
"""

from __future__ import annotations

import concurrent.futures
import json
import unittest
from collections import Counter

from tests.functional.server import GLANCE_API, MIB, ServerCase, chunks
from tests.waiting import eventually

CLIENTS = 20


def at_once(act) -> list[int]:
    """The statuses of CLIENTS calls of ``act`` with a number, made at the same time."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(act, range(CLIENTS)))


class ParallelTest(ServerCase):
    command = GLANCE_API
    settings = {"workers": 2, "client_timeout": 60, "start": False}

    def configure(self, options: str) -> None:
        """Run the server with ``options``."""
        self.server.write_config(options)
        self.server.start()

    def stored(self) -> int:
        """Bytes of all images that the project has."""
        images = json.loads(self.server.ask("GET", "/v2/images?limit=100")[1])["images"]
        self.assertEqual({"queued", "active"}, {image["status"] for image in images})
        self.assertEqual(
            sum(image["status"] == "active" for image in images), len(self.server.files())
        )
        return sum(image["size"] or 0 for image in images)

    def test_uploads_that_say_their_size(self) -> None:
        """Seven and a half fit: seven get in."""
        self.configure(f"user_storage_quota = {7 * MIB + MIB // 2}")
        waiting = [self.server.create() for _ in range(CLIENTS)]
        statuses = at_once(lambda n: self.server.upload(waiting[n], chunks(4, MIB // 4), MIB))
        self.assertEqual({204: 7, 413: 13}, Counter(statuses), self.server.log())
        self.assertEqual(7 * MIB, self.stored())
        self.assertEqual(
            413,
            self.server.upload(waiting[statuses.index(413)], chunks(1, MIB // 2 + 1), MIB // 2 + 1),
        )
        self.assertEqual(
            204, self.server.upload(waiting[statuses.index(413)], chunks(1, MIB // 2), MIB // 2)
        )

    def test_uploads_that_do_not_say_their_size(self) -> None:
        """They get in or are refused in the middle; the sum is never too much."""
        quota = 7 * MIB + MIB // 2
        self.configure(f"user_storage_quota = {quota}")
        waiting = [self.server.create() for _ in range(CLIENTS)]
        statuses = at_once(lambda n: self.server.upload(waiting[n], chunks(8, MIB // 8 + n)))
        self.assertEqual({204, 413}, set(statuses), self.server.log())
        self.assertLessEqual(self.stored(), quota)
        self.assertGreaterEqual(statuses.count(204), 3)
        rest = quota - self.stored()
        refused = waiting[statuses.index(413)]
        self.assertEqual(413, self.server.upload(refused, chunks(1, rest + 1)))
        self.assertEqual(204, self.server.upload(refused, chunks(1, rest)))

    def test_images(self) -> None:
        self.configure("image_count_quota = 5")
        body = json.dumps({"name": "one of many"})
        statuses = at_once(
            lambda n: self.server.ask("POST", "/v2/images", body, Content_Type="application/json")[
                0
            ]
        )
        self.assertEqual({201: 5, 413: 15}, Counter(statuses), self.server.log())
        images = json.loads(self.server.ask("GET", "/v2/images")[1])["images"]
        self.server.ask("DELETE", f"/v2/images/{images[0]['id']}")
        self.server.create()


class DeathTest(ServerCase):
    command = GLANCE_API
    settings = {
        "client_timeout": 60,
        "short_leases": True,
        "options": f"user_storage_quota = {10 * MIB}",
    }

    def test_what_a_dead_worker_held_is_given_back(self) -> None:
        first, second = self.server.create(), self.server.create()
        sock = self.server.start_upload(first, f"Content-Length: {9 * MIB}", b"x" * MIB)
        self.assertEqual("saving", self.server.wait(first, "saving"))
        self.assertIsNone(self.server.show(first)["size"])
        self.assertEqual(413, self.server.upload(second, chunks(2, MIB), 2 * MIB))
        self.server.kill()
        sock.close()
        self.server.start()
        eventually(lambda: not self.server.files())
        self.assertEqual("queued", self.server.wait(first, "queued"), self.server.log())
        self.assertEqual(204, self.server.upload(second, chunks(2, MIB), 2 * MIB))


if __name__ == "__main__":
    unittest.main()
