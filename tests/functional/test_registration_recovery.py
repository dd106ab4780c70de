"""Registrations whose reading fails, or whose worker dies: no image is stuck, no task unended."""

from __future__ import annotations

import hashlib
import time
import unittest
from unittest import mock

from glance_py import app, gateway
from glance_py.claims import Claim, LeaseTimes
from glance_py.context import RequestContext
from glance_py.db.repositories import sql_repositories as open_repositories
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.registration import Registration
from glance_py.domain.task import LOCATION_IMPORT, Task
from glance_py.importing.location_import import recover as recover_location_import
from glance_store_py import errors as store_errors
from tests.functional.origin_server import serve, web_store
from tests.functional.service import configured
from tests.waiting import eventually

ANN = RequestContext(
    auth_token="ann:p1:member", user_id="ann", project_id="p1", roles=["member", "reader"]
)
DATA = b"0123456789"


class LocationImportCase(unittest.TestCase):
    def setUp(self) -> None:
        self.origin = serve(type(self), data=DATA)
        self.conf, self.directory = self.enterContext(configured(web_store(self.origin)))
        self.deps = app.build_dependencies(self.conf)
        self.api = gateway.build(self.deps)
        self.repositories = self.deps.repositories

    def queued(self, image_id: str) -> Image:
        return self.api.images.create(
            ANN, Image(image_id, owner="p1", disk_format="raw", container_format="bare")
        )

    def begun(self, image: Image, status: str) -> Task:
        """A registration as a worker leaves it that dies."""
        tasks = self.deps.task_executor.tasks
        task = tasks.start(
            tasks.create(
                ANN,
                Task(
                    f"task-of-{image.name or image.id[:8]}",
                    LOCATION_IMPORT,
                    owner="p1",
                    image_id=image.id,
                    input={},
                ),
            )
        )
        change = ImageChange.status(status, expected="queued")
        claim_request = self.deps.claims.request("location_import", task.id)
        change = change.evolve(acquire=claim_request)
        grant = self.repositories.images.update(ANN, image, change).grant
        self.claim = Claim(image.id, grant, claim_request, time, lambda claim: True)
        return task

    def recover(self) -> list[str]:
        return recover_location_import(
            self.repositories,
            self.api.importer.images,
            self.deps.task_executor.tasks,
            self.deps.claims,
            self.claim,
        )


class TestDeadWorker(LocationImportCase):
    def test_the_image_is_queued_again_and_the_task_has_an_end(self) -> None:
        for number, (status, after) in enumerate(
            (("queued", "queued"), ("importing", "queued"), ("active", "active"))
        ):
            image = self.queued(f"00000000-0000-0000-0000-00000000000{number}")
            image.name = status
            task = self.begun(image, status)
            with self.subTest(status):
                self.assertEqual(1, len(self.recover()))
                self.assertEqual(after, self.repositories.images.get(ANN, image.id).status)
                self.assertEqual("failure", self.repositories.tasks.get(task.id).status)
                self.assertIsNone(self.repositories.claims.get(image.id))
                self.assertNotIn(
                    "os_glance_import_task", self.repositories.images.get(ANN, image.id).properties
                )

    def test_an_image_that_was_deleted(self) -> None:
        image = self.queued("00000000-0000-0000-0000-000000000009")
        task = self.begun(image, "importing")
        self.repositories.images.delete(ANN, self.repositories.images.get(ANN, image.id))
        self.recover()
        self.assertEqual("failure", self.repositories.tasks.get(task.id).status)


class TestRetries(LocationImportCase):
    def outcome(self, image_id: str, failures: int) -> Image:
        """Register the data while reading it fails so many times."""
        image = self.queued(image_id)
        real, left = self.deps.stores.get, [failures]

        def get(*args, **more):
            if left[0]:
                left[0] -= 1
                raise store_errors.RemoteServiceUnavailable()
            return real(*args, **more)

        with mock.patch.object(self.deps.stores, "get", get):
            self.api.images.add_location(ANN, image, Registration(f"{self.origin.url}/data"))
            eventually(lambda: self.repositories.claims.get(image_id) is None)
        return self.repositories.images.get(ANN, image_id)

    def test_reading_is_tried_http_retries_times_more(self) -> None:
        image = self.outcome("00000000-0000-0000-0000-000000000001", 3)
        self.assertEqual(hashlib.sha512(DATA).hexdigest(), image.os_hash_value)
        image = self.outcome("00000000-0000-0000-0000-000000000002", 4)
        self.assertEqual(("active", None), (image.status, image.os_hash_value))


class TestStray(LocationImportCase):
    def test_recovery_finishes_deletions_that_were_left(self) -> None:
        stored = self.deps.stores.add(
            "fast", "00000000-0000-0000-0000-000000000005", iter([DATA]), 10
        )
        image = self.repositories.images.create(
            ANN,
            Image(
                "00000000-0000-0000-0000-000000000005",
                status="active",
                owner="p1",
                locations=[Location(stored.url, stored.metadata)],
            ),
        )
        self.repositories.images.delete(ANN, image)  # and here the worker dies
        lines = app.build_recovery(
            self.deps, self.api.importer, times=LeaseTimes(timeout=0.0)
        ).recover()
        self.assertIn(
            "Removed data of image 00000000-0000-0000-0000-000000000005 that was left behind", lines
        )
        self.assertRaises(
            store_errors.StoreObjectNotFound, self.deps.stores.size, stored.url, "fast"
        )
        self.assertEqual([], open_repositories(self.conf).pending.find(0))


class TestKey(unittest.TestCase):
    def test_a_wrong_encryption_key_stops_the_start(self) -> None:
        with configured("metadata_encryption_key = 0123456789abcdef", behind_registry=False) as (
            conf,
            directory,
        ):
            conf.set_override("metadata_encryption_key", "short")
            with self.assertRaisesRegex(ValueError, "metadata_encryption_key"):
                app.build_dependencies(conf)

    def test_addresses_are_sealed_in_the_database(self) -> None:
        with configured("metadata_encryption_key = 0123456789abcdef") as (conf, directory):
            repositories = app.build_dependencies(conf).repositories
            image = repositories.images.create(
                ANN,
                Image(
                    "00000000-0000-0000-0000-000000000001",
                    status="active",
                    owner="p1",
                    locations=[Location("s3://user:canary@host/bucket/x")],
                ),
            )
            with open(f"{directory}/glance.sqlite", "rb") as file:
                self.assertNotIn(b"canary", file.read())
            self.assertEqual(
                "s3://user:canary@host/bucket/x",
                repositories.images.get(ANN, image.id).locations[0].url,
            )


if __name__ == "__main__":
    unittest.main()
