"""What a reader of an image sees while somebody writes it."""

from unittest import mock

from glance_py.db import rows
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from tests.contract.dal.backends import SQLite, caller


class TestReading(SQLite):
    def read_during(self, image, change):
        """Read ``image`` while, between its row and the rest, ``change`` happens once."""
        changes, complete = [change], rows.load_children

        def and_meanwhile(*arguments):
            if changes:
                self.repositories.images.update(caller("p1"), image, changes.pop())
            complete(*arguments)

        with mock.patch.object(rows, "load_children", and_meanwhile):
            return self.repositories.images.get(caller("p1"), image.id)

    def test_the_end_of_an_import_is_seen_as_a_whole(self):
        image = self.repositories.images.create(
            caller("p1"),
            Image("i", owner="p1", status="importing", properties={"os_glance_import_task": "t"}),
        )
        seen = self.read_during(
            image,
            ImageChange(
                fields={"status": "active", "checksum": "c"},
                remove_properties={"os_glance_import_task"},
                add_locations=(Location("file:///a"),),
            ),
        )
        self.assertEqual(
            ("active", "c", {}, 1),
            (seen.status, seen.checksum, seen.properties, len(seen.locations)),
        )

    def test_an_image_at_rest_is_read_once(self):
        image = self.repositories.images.create(
            caller("p1"), Image("j", owner="p1", status="active")
        )
        with mock.patch.object(
            rows, "load_children", mock.Mock(wraps=rows.load_children)
        ) as complete:
            self.repositories.images.get(caller("p1"), image.id)
        complete.assert_called_once()
