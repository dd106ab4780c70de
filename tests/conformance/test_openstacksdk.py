"""The library behind the ``openstack`` command, against the service's own server."""

from __future__ import annotations

import hashlib
import io
import tempfile
import unittest

import openstack
from openstack import exceptions

from tests.functional.test_server import GLANCE_API, ServerProcess


def connect(port: int, token: str) -> openstack.connection.Connection:
    """A connection that asks nobody for a token and sends this one."""
    return openstack.connection.Connection(
        auth_type="admin_token", auth={"endpoint": f"http://127.0.0.1:{port}/v2", "token": token}
    )


class TestOpenStackSDK(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        directory = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="glance-"))
        server = ServerProcess(directory, GLANCE_API)
        cls.addClassCleanup(server.end)
        cls.ann = connect(server.port, "ann:p1:member").image
        cls.bob = connect(server.port, "bob:p2:member").image

    def create(self, data: bytes = b"some data", **fields):
        return self.ann.create_image(
            fields.pop("name", "image"),
            data=io.BytesIO(data),
            disk_format="raw",
            container_format="bare",
            **fields,
        )

    def test_data_comes_back_as_it_went(self) -> None:
        data = bytes(range(256)) * 20_000
        image = self.ann.get_image(self.create(data))
        self.assertEqual("active", image.status)
        self.assertEqual(len(data), image.size)
        self.assertEqual(hashlib.md5(data, usedforsecurity=False).hexdigest(), image.checksum)
        # The library compares the checksum of what it receives.
        self.assertEqual(data, self.ann.download_image(image).content)

    def test_pages_are_followed(self) -> None:
        names = [f"page-{number}" for number in range(5)]
        for name in names:
            self.ann.create_image(name, tags=["paged"])
        found = [image.name for image in self.ann.images(tag="paged", limit=2, sort="name:asc")]
        self.assertEqual(names, found)

    def test_an_image_is_changed(self) -> None:
        image = self.create(os_distro="none", name="before")
        self.ann.update_image(image, name="after", min_ram=64, colour="red")
        self.ann.add_tag(image, "one")
        image = self.ann.get_image(image)
        self.assertEqual(("after", 64, ["one"]), (image.name, image.min_ram, image.tags))
        self.assertEqual(("none", "red"), (image.os_distro, image.properties["colour"]))
        self.ann.remove_tag(image, "one")
        self.assertEqual([], self.ann.get_image(image).tags)

    def test_an_image_is_shared(self) -> None:
        image = self.create(name="shared")
        self.ann.add_member(image, member_id="p2")
        self.assertEqual([], list(self.bob.images(name="shared")))
        self.bob.update_member("p2", image, status="accepted")
        self.assertEqual([image.id], [found.id for found in self.bob.images(name="shared")])
        self.assertEqual(["p2"], [member.member_id for member in self.ann.members(image)])
        self.ann.remove_member("p2", image)
        with self.assertRaises(exceptions.NotFoundException):
            self.bob.get_image(image)

    def test_an_image_is_switched_off_and_on(self) -> None:
        image = self.create()
        self.ann.deactivate_image(image)
        self.assertEqual("deactivated", self.ann.get_image(image).status)
        self.ann.reactivate_image(image)
        self.assertEqual("active", self.ann.get_image(image).status)

    def test_an_image_is_deleted(self) -> None:
        image = self.create()
        self.ann.delete_image(image)
        with self.assertRaises(exceptions.NotFoundException):
            self.ann.get_image(image)
        self.ann.delete_image(image)  # what is gone already is no error to this library

    def test_discovery(self) -> None:
        self.assertEqual(["local"], [store.id for store in self.ann.stores()])
        self.assertEqual("image", self.ann.get_image_schema().name)


if __name__ == "__main__":
    unittest.main()
