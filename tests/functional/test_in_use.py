"""Data that its store needs: the image stays, whole, and says so."""

from __future__ import annotations

import unittest
from unittest import mock

from glance_store_py import errors as store_errors
from glance_store_py.drivers import file
from tests.functional.client import AppClient
from tests.functional.service import running

DATA = b"0123456789"


class TestInUse(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.app, cls.directory = cls.enterClassContext(running())
        cls.ann = AppClient(cls.app, "ann:p1:member")
        cls.root = AppClient(cls.app, "root:p1:admin")

    def uploaded(self) -> str:
        image_id = self.ann.create(tags=["t"], os_distro="debian")
        self.assertEqual(204, self.ann.upload(image_id, DATA).status_int)
        return image_id

    def test_an_image_whose_data_is_in_use_is_not_deleted(self) -> None:
        image_id = self.uploaded()
        before = self.ann.show(image_id)
        with mock.patch.object(file.FileDriver, "delete", side_effect=store_errors.InUseByStore()):
            answer = self.ann.call("DELETE", f"/v2/images/{image_id}")
        self.assertEqual(409, answer.status_int, answer.text)
        after = self.ann.show(image_id)
        self.assertEqual({**before, "updated_at": None}, {**after, "updated_at": None})
        self.assertEqual(DATA, self.ann.download(image_id).body)
        self.assertEqual(204, self.ann.call("DELETE", f"/v2/images/{image_id}").status_int)

    def test_a_deactivated_image_stays_deactivated(self) -> None:
        image_id = self.uploaded()
        self.ann.call("POST", f"/v2/images/{image_id}/actions/deactivate")
        with mock.patch.object(file.FileDriver, "delete", side_effect=store_errors.HasSnapshot()):
            self.assertEqual(409, self.ann.call("DELETE", f"/v2/images/{image_id}").status_int)
        self.assertEqual("deactivated", self.ann.show(image_id)["status"])


if __name__ == "__main__":
    unittest.main()
