"""The DAL for cached images, on every database."""

import uuid

from glance_py.db.tables import cached_images, node_reference
from glance_py.domain.cached_image import CachedImage
from tests.contract.dal.backends import MariaDB, PostgreSQL, SQLite


class CachedImageCases:
    def setUp(self):
        super().setUp()
        self.execute(cached_images.delete())
        self.execute(node_reference.delete())
        self.cached = self.repositories.cached_images
        self.node = self.cached.get_or_create_node("http://node-1")
        self.image_id = str(uuid.uuid4())

    def known(self, node=None):
        return [
            (entry.image_id, entry.size, entry.hits)
            for entry in self.cached.entries(self.node if node is None else node)
        ]

    def test_a_node_keeps_its_number(self):
        self.assertEqual(self.node, self.cached.get_or_create_node("http://node-1"))
        self.assertNotEqual(self.node, self.cached.get_or_create_node("http://node-2"))

    def test_an_image_comes_is_read_and_goes(self):
        self.cached.add(self.node, self.image_id, 10**12)
        self.assertEqual([(self.image_id, 10**12, 0)], self.known())
        self.cached.hit(self.node, self.image_id, 10**12)
        self.assertEqual([(self.image_id, 10**12, 1)], self.known())
        self.cached.remove(self.node, self.image_id)
        self.cached.remove(self.node, self.image_id)
        self.assertEqual([], self.known())

    def test_a_hit_enters_what_was_not_known(self):
        self.cached.hit(self.node, self.image_id, 5)
        self.assertEqual([(self.image_id, 5, 1)], self.known())

    def test_nodes_do_not_mix(self):
        other = self.cached.get_or_create_node("http://node-0")
        self.cached.add(self.node, self.image_id, 5)
        self.cached.add(other, self.image_id, 5)
        self.assertEqual(["http://node-0", "http://node-1"], self.cached.nodes(self.image_id))
        self.cached.remove(self.node, self.image_id)
        self.assertEqual([(self.image_id, 5, 0)], self.known(other))

    def test_what_is_known_is_not_taken_over(self):
        new = str(uuid.uuid4())
        self.cached.add(self.node, self.image_id, 5)
        self.cached.import_entries(
            self.node,
            [
                CachedImage(self.image_id, 9, 1000.0, 1000.0, 5),
                CachedImage(new, 2, 2000.0, 1000.0, 7),
            ],
        )
        self.assertEqual([(self.image_id, 5, 0), (new, 7, 2)], self.known())
        self.assertEqual(2000.0, self.cached.entries(self.node)[1].last_accessed)
        self.cached.import_entries(self.node, [])


class TestSQLite(CachedImageCases, SQLite):
    pass


class TestPostgreSQL(CachedImageCases, PostgreSQL):
    pass


class TestMariaDB(CachedImageCases, MariaDB):
    pass
