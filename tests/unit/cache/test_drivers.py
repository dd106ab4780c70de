"""One suite for the three kinds of books of the image cache."""

from __future__ import annotations

import os
import tempfile
import unittest
import uuid

from glance_py.cache import build
from glance_py.cache.centralized_driver import CentralizedCacheDriver
from glance_py.cache.directory import CacheDirectory
from glance_py.cache.driver import BadDriverConfiguration
from glance_py.cache.sqlite_driver import SqliteCacheDriver
from glance_py.cache.xattr_driver import XattrCacheDriver
from glance_py.db.cached_images import SqlCachedImages
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from glance_py.db.tables import metadata
from glance_py.domain import errors
from glance_py.settings import CacheSettings


def repository(directory: str) -> SqlCachedImages:
    """The DAL over an empty database."""
    database = Database(create_engine(f"sqlite:///{directory}/glance.sqlite"))
    metadata.create_all(database.engine)
    return SqlCachedImages(database)


class DriverCases:
    """What every driver does; subclasses say which one it is."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-cache-"))
        self.directory = CacheDirectory(os.path.join(self.root, "cache"))
        self.driver = self.make()

    def add_image(self, size: int = 3) -> str:
        """A complete file, entered in the books."""
        image_id = str(uuid.uuid4())
        with open(self.directory.image_path(image_id), "wb") as file:
            file.write(b"x" * size)
        self.driver.add(image_id, size)
        return image_id

    def test_a_new_image_was_read_never(self) -> None:
        image_id = self.add_image(7)
        (entry,) = self.driver.entries()
        self.assertEqual((image_id, 7, 0), (entry.image_id, entry.size, entry.hits))
        self.assertLess(abs(entry.last_accessed - entry.last_modified), 2)

    def test_hits_are_counted(self) -> None:
        image_id = self.add_image()
        (before,) = self.driver.entries()
        self.driver.hit(image_id, 3)
        self.driver.hit(image_id, 3)
        (after,) = self.driver.entries()
        self.assertEqual(2, after.hits)
        self.assertGreaterEqual(after.last_accessed, before.last_accessed)
        self.assertAlmostEqual(before.last_modified, after.last_modified, places=3)

    def test_a_file_that_the_books_miss_is_entered_by_its_first_hit(self) -> None:
        image_id = self.add_image()
        self.driver.remove(image_id)
        self.driver.hit(image_id, 3)
        self.assertEqual(
            [(image_id, 1)], [(entry.image_id, entry.hits) for entry in self.driver.entries()]
        )

    def test_an_image_that_comes_again_starts_anew(self) -> None:
        image_id = self.add_image()
        self.driver.hit(image_id, 3)
        self.driver.add(image_id, 3)
        self.assertEqual([0], [entry.hits for entry in self.driver.entries()])

    def test_what_is_removed_is_gone(self) -> None:
        first, second = self.add_image(), self.add_image()
        os.unlink(self.directory.image_path(first))
        self.driver.remove(first)
        self.driver.remove(first)
        self.assertEqual([second], [entry.image_id for entry in self.driver.entries()])


class TestSqlite(DriverCases, unittest.TestCase):
    def make(self):
        return SqliteCacheDriver(self.directory, "cache.db")

    def test_they_survive_a_restart(self) -> None:
        image_id = self.add_image()
        self.assertEqual([image_id], [entry.image_id for entry in self.make().entries()])

    def test_they_know_one_node_only(self) -> None:
        self.assertRaises(errors.Conflict, self.driver.nodes, "an id")


class TestXattr(DriverCases, unittest.TestCase):
    def make(self):
        try:
            return XattrCacheDriver(self.directory)
        except BadDriverConfiguration as error:
            self.skipTest(str(error))

    def test_they_know_one_node_only(self) -> None:
        self.assertRaises(errors.Conflict, self.driver.nodes, "an id")


class TestCentral(DriverCases, unittest.TestCase):
    def make(self):
        self.repository = repository(self.root)
        return CentralizedCacheDriver(self.repository, "http://node-1")

    def test_each_node_has_its_own_and_all_know_where_an_image_is(self) -> None:
        other = CentralizedCacheDriver(self.repository, "http://node-2")
        image_id = self.add_image()
        self.assertEqual([], other.entries())
        other.add(image_id, 3)
        other.hit(image_id, 3)
        self.assertEqual([0], [entry.hits for entry in self.driver.entries()])
        self.assertEqual(["http://node-1", "http://node-2"], self.driver.nodes(image_id))

    def test_the_same_node_after_a_restart(self) -> None:
        image_id = self.add_image()
        again = CentralizedCacheDriver(self.repository, "http://node-1")
        self.assertEqual([image_id], [entry.image_id for entry in again.entries()])

    def test_the_sqlite_books_are_taken_over_once(self) -> None:
        old = SqliteCacheDriver(self.directory, "cache.db")
        image_id = str(uuid.uuid4())
        old.add(image_id, 5)
        old.hit(image_id, 5)
        (was,) = old.entries()
        self.driver.migrate_from_sqlite(self.directory, "cache.db")
        (entry,) = self.driver.entries()
        self.assertEqual((image_id, 5, 1), (entry.image_id, entry.size, entry.hits))
        self.assertAlmostEqual(was.last_accessed, entry.last_accessed, places=3)
        self.assertFalse(os.path.exists(os.path.join(self.directory.path, "cache.db")))
        self.driver.migrate_from_sqlite(self.directory, "cache.db")
        self.assertEqual(1, len(self.driver.entries()))


class TestChoice(unittest.TestCase):
    """Which driver the options mean."""

    def setUp(self) -> None:
        self.root = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-cache-"))
        self.directory = CacheDirectory(self.root)

    def test_centralized_db_needs_the_url_of_the_node(self) -> None:
        settings = CacheSettings(image_cache_dir=self.root)
        self.assertRaises(BadDriverConfiguration, build.load_driver, settings, self.directory, None)

    def test_sqlite_takes_the_place_of_xattr_where_there_are_no_attributes(self) -> None:
        settings = CacheSettings(image_cache_dir=self.root, image_cache_driver="xattr")
        set_attribute = os.setxattr

        def refuse(*args):
            raise OSError(95, "Operation not supported")

        self.addCleanup(setattr, os, "setxattr", set_attribute)
        os.setxattr = refuse
        with self.assertLogs("glance_py.cache", "ERROR"):
            driver = build.load_driver(settings, self.directory, None)
        self.assertIsInstance(driver, SqliteCacheDriver)
        self.assertNotIn("checkme", os.listdir(self.root))


if __name__ == "__main__":
    unittest.main()
