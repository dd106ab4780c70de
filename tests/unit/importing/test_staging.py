"""Staged data: its files, and which of them no image needs."""

from __future__ import annotations

import dataclasses
import os
import unittest

from glance_py.domain import errors
from glance_py.importing.staging import StagedObject, StagingArea
from glance_py.importing.staging_recovery import IDLE_SECONDS, StagingRecovery
from tests.unit.importing.fakes import ID, World

OTHER = "22222222-2222-4222-8222-222222222222"


class StagingCase(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(self)
        self.now = 1000.0
        self.staging = StagingArea(self.world.stores, lambda: self.now)

    def lay(self, name: str, age: float = 0.0) -> None:
        path = os.path.join(self.world.directory, name)
        with open(path, "wb") as file:
            file.write(b"data")
        os.utime(path, (self.now - age, self.now - age))


class StagingAreaTest(StagingCase):
    def test_write_and_read(self) -> None:
        self.assertEqual(4, self.staging.write(ID, [b"da", b"ta"], None))
        self.assertEqual(4, self.staging.size(ID))
        with self.staging.read(ID) as (chunks, size):
            self.assertEqual((b"data", 4), (b"".join(chunks), size))
        self.assertTrue(self.world.stores.closed)
        self.assertEqual(os.path.join(self.world.directory, ID), self.staging.path(ID))

    def test_what_was_staged_before_is_replaced(self) -> None:
        self.lay(ID)
        self.lay(f"{ID}.converted")
        self.staging.write(ID, [b"new"], 3)
        self.assertEqual([ID], self.world.staged())
        self.assertEqual(3, self.staging.size(ID))

    def test_nothing_there(self) -> None:
        self.assertIsNone(self.staging.size(ID))
        with self.assertRaises(errors.NotFound), self.staging.read(ID):
            self.fail("nothing to read")
        self.staging.remove(ID)

    def test_a_store_without_known_places(self) -> None:
        self.world.stores.predict_url = lambda store, name: None
        self.assertRaises(errors.GlanceError, self.staging.size, ID)

    def test_the_list(self) -> None:
        """The files of images and plugins; not those with other names."""
        for name in (ID, f"{OTHER}.3.decompressed", "readme", f"{OTHER}.other"):
            self.lay(name, 7)
        self.assertEqual(
            [StagedObject(ID, ID, 1, 7.0), StagedObject(f"{OTHER}.3", OTHER, 3, 7.0)],
            sorted(self.staging.list(), key=lambda found: found.name),
        )

    def test_the_list_without_a_directory(self) -> None:
        self.world.stores.directory = "/nowhere/at/all"
        self.assertEqual([], list(self.staging.list()))

    def test_what_was_written_a_moment_ago_stays(self) -> None:
        for suffix in ("", ".converted", ".decompressed"):
            self.lay(ID, 10)
            self.lay(ID + suffix, 9)
            self.assertFalse(self.staging.remove_if_idle(ID, 10))
            self.lay(ID + suffix, 10)
            self.assertTrue(self.staging.remove_if_idle(ID, 10))
            self.assertEqual([], self.world.staged())


class StagingRecoveryTest(StagingCase):
    def recover(self) -> list[str]:
        return StagingRecovery(self.world.repositories, self.staging).recover()

    def test_of_a_deleted_image(self) -> None:
        self.lay(ID)
        self.assertEqual([f"Removed staged data {ID}: the image is gone"], self.recover())
        self.assertEqual([], self.world.staged())

    def test_of_an_image_that_needs_none(self) -> None:
        for status in ("active", "queued", "saving", "deactivated"):
            self.world.image(status)
            self.lay(ID, IDLE_SECONDS - 1)
            self.assertEqual([], self.recover())
            self.lay(ID, IDLE_SECONDS)
            self.assertEqual([f"Removed staged data {ID}: the image is {status}"], self.recover())

    def test_of_an_image_that_needs_it(self) -> None:
        for status, properties in (
            ("uploading", {}),
            ("importing", {}),
            ("active", {"os_glance_import_task": "t"}),
        ):
            self.world.image(status, properties=properties)
            self.lay(ID, 3600)
            self.assertEqual([], self.recover(), status)

    def test_of_an_image_that_an_attempt_works_on(self) -> None:
        """Its own staged data and that which it imports are needed, older data is not."""
        world = self.world
        world.image("active")
        claim = world.hold()
        world.images.held[ID] = dataclasses.replace(world.images.held[ID], generation=3, staged=2)
        for name in (ID, f"{ID}.2", f"{ID}.3"):
            self.lay(name, 3600)
        self.assertEqual([f"Removed staged data {ID}: the image is active"], self.recover())
        world.images.held[ID] = dataclasses.replace(world.images.held[ID], holder="")
        world.images.images[ID].status = "uploading"
        self.assertEqual([f"Removed staged data {ID}.3: the image is uploading"], self.recover())
        self.assertEqual([f"{ID}.2"], world.staged())
        self.assertIsNotNone(claim)


if __name__ == "__main__":
    unittest.main()
