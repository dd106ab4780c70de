"""The notifier layers: what is announced, in which order, with what inside."""

import datetime
import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.ports import Data, Download, Upload
from glance_py.layers.notifier import MemberNotifierProxy, NotifierProxy
from glance_store_py import config as store_config
from tests.unit.factories import make_conf, make_member
from tests.unit.layers.fake import Images, Members, Notifier, deps

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, 678)


class Steps(Images):
    """An upload that makes its steps, or fails after the second."""

    fails = False

    def upload(self, ctx, image, upload):
        for step in ("saving", "prepare"):
            upload.on_step(step, Image(id=image.id, status="saving"))
        if self.fails:
            upload.on_failure("no room")
            raise errors.StoreFull()
        for step in ("upload", "activate", "active"):
            upload.on_step(step, Image(id=image.id, status="active"))
        return Image(id=image.id, status="active")


class NotifierProxyTest(unittest.TestCase):
    def setUp(self):
        self.notifier = Notifier()
        self.inner = Steps()
        self.image = Image(
            id="i",
            owner="p1",
            properties={"a": "b"},
            tags=["t"],
            visibility="public",
            created_at=WHEN,
            updated_at=WHEN,
        )

    def layer(self, **values):
        options = make_conf(**values)
        if values:
            options.register_opts(
                [store_config.cfg.StrOpt("default_backend", default="fast")], group="glance_store"
            )
        return NotifierProxy.build(self.inner, deps(conf=options, notifier=self.notifier))

    def test_left_out_when_nobody_listens(self):
        self.notifier.enabled = False
        self.assertIs(self.inner, self.layer())

    def test_create_update_delete(self):
        layer = self.layer()
        layer.create(make_member(), self.image)
        layer.update(make_member(), self.image, ImageChange(fields={"name": "n"}))
        layer.delete(make_member(), self.image)
        self.assertEqual(
            [("INFO", "image.create"), ("INFO", "image.update"), ("INFO", "image.delete")],
            self.notifier.events,
        )
        created, updated, deleted = [payload for _, _, payload in self.notifier.sent]
        self.assertEqual(
            {
                "id": "i",
                "name": None,
                "status": "queued",
                "created_at": "2026-01-02T03:04:05Z",
                "updated_at": "2026-01-02T03:04:05Z",
                "min_disk": 0,
                "min_ram": 0,
                "protected": False,
                "checksum": None,
                "owner": "p1",
                "disk_format": None,
                "container_format": None,
                "size": None,
                "virtual_size": None,
                "is_public": True,
                "visibility": "public",
                "properties": {"a": "b"},
                "tags": ["t"],
                "deleted": False,
                "deleted_at": None,
            },
            created,
        )
        self.assertEqual("n", updated["name"])
        self.assertEqual(("deleted", True), (deleted["status"], deleted["deleted"]))
        self.assertRegex(deleted["deleted_at"], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")

    def test_a_transition_that_changes_nothing_is_no_news(self):
        layer = self.layer()
        layer.set_status(make_member(), self.image, "deactivated")
        layer.set_status(make_member(), Image(id="i", status="deactivated"), "deactivated")
        self.assertEqual([("INFO", "image.update")], self.notifier.events)

    def test_upload(self):
        told = []
        upload = Upload(source=[], on_step=lambda step, image: told.append(step))
        self.layer(enabled_backends={"fast": "file", "slow": "file"}).upload(
            make_member(), self.image, upload
        )
        self.assertEqual(
            [
                ("INFO", "image.update"),
                ("INFO", "image.prepare"),
                ("INFO", "image.upload"),
                ("INFO", "image.activate"),
                ("INFO", "image.update"),
            ],
            self.notifier.events,
        )
        self.assertEqual(["saving", "prepare", "upload", "activate", "active"], told)
        saving, prepare, stored, activate, _ = [payload for _, _, payload in self.notifier.sent]
        lists = {"os_glance_importing_to_stores": [], "os_glance_failed_import": []}
        self.assertEqual({**saving, **lists, "backend": "fast"}, prepare)
        self.assertEqual({**activate, **lists}, stored)

    def test_upload_to_a_named_store_and_to_the_only_one(self):
        self.layer(enabled_backends={"fast": "file"}).upload(
            make_member(), self.image, Upload(source=[], store="slow")
        )
        self.assertEqual("slow", self.notifier.sent[1][2]["backend"])
        self.layer().upload(make_member(), self.image, Upload(source=[]))
        self.assertNotIn("backend", self.notifier.sent[6][2])

    def test_a_failed_upload_is_an_error_in_one_sentence(self):
        self.inner.fails = True
        with self.assertRaises(errors.StoreFull):
            self.layer().upload(make_member(), self.image, Upload(source=[]))
        self.assertEqual(
            ("ERROR", "image.upload", "Failed to upload image data for image i: no room"),
            self.notifier.sent[-1],
        )

    def test_stage(self):
        self.layer().stage(make_member(), self.image, Upload(source=[]))
        self.assertEqual([("INFO", "image.update")], self.notifier.events)


class DownloadTest(unittest.TestCase):
    def setUp(self):
        self.notifier = Notifier()
        self.closed = []
        self.image = Image(id="i", owner="p1")

    def download(self, length=3, data=True):
        inner = Images()
        inner.download = lambda ctx, image, wanted: (
            Data(
                chunks=iter([b"ab", b"c"]),
                length=length,
                file=object(),
                close=lambda: self.closed.append(1),
            )
            if data
            else None
        )
        layer = NotifierProxy.build(inner, deps(conf=make_conf(), notifier=self.notifier))
        return layer.download(make_member(), self.image, Download())

    def test_complete(self):
        data = self.download()
        self.assertIsNone(data.file)
        self.assertEqual([b"ab", b"c"], list(data.chunks))
        data.close()
        data.close()
        self.assertEqual(
            [
                (
                    "INFO",
                    "image.send",
                    {
                        "bytes_sent": 3,
                        "image_id": "i",
                        "owner_id": "p1",
                        "receiver_tenant_id": "p1",
                        "receiver_user_id": "u",
                    },
                )
            ],
            self.notifier.sent,
        )
        self.assertTrue(self.closed)

    def test_a_client_that_went_away(self):
        data = self.download()
        next(data.chunks)
        next(data.chunks)
        data.close()
        self.assertEqual([("ERROR", "image.send")], self.notifier.events)
        self.assertEqual(2, self.notifier.sent[0][2]["bytes_sent"])

    def test_nothing_to_send(self):
        self.assertIsNone(self.download(data=False))

    def test_the_file_stays_when_nobody_wants_to_know(self):
        self.notifier.silent = ("image.send",)
        self.assertIsNotNone(self.download().file)


class MemberNotifierTest(unittest.TestCase):
    def test_sharing(self):
        notifier = Notifier()
        share = Member("i", "p2", created_at=WHEN, updated_at=WHEN)
        layer = MemberNotifierProxy.build(Members(share), deps(notifier=notifier))
        image = Image(id="i")
        layer.create(make_member(), image, "p3")
        layer.update(make_member(), image, share, "accepted")
        layer.delete(make_member(), image, share)
        self.assertEqual(
            ["image.member.create", "image.member.update", "image.member.delete"],
            [event for _, event in notifier.events],
        )
        self.assertEqual(
            {
                "image_id": "i",
                "member_id": "p2",
                "status": "accepted",
                "created_at": "2026-01-02T03:04:05Z",
                "updated_at": "2026-01-02T03:04:05Z",
                "deleted": False,
                "deleted_at": None,
            },
            notifier.sent[1][2],
        )
        self.assertTrue(notifier.sent[2][2]["deleted"])
        self.assertIsNotNone(notifier.sent[2][2]["deleted_at"])
