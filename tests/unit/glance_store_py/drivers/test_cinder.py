"""The cinder driver with volumes that are files, as on an NFS share: order of steps, sharing.

Cinder and os-brick are fakes here; ``tests/contract/store/test_cinder.py`` has the real ones.
"""

import os
import tempfile
import unittest
import urllib.parse
from unittest import mock

from oslo_concurrency import lockutils

from glance_store_py import errors
from glance_store_py.drivers import cinder
from glance_store_py.drivers.cinder_api import VolumeClient, VolumeStateConflict
from glance_store_py.drivers.cinder_attachment import AttachmentManager, _lock_directory
from glance_store_py.drivers.cinder_options import OPTIONS, CinderSettings
from glance_store_py.drivers.deferred_delete import DeferredDeleter
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import parse
from glance_store_py.testing import settings

VOLUME = "e3a4e56c-0a7c-41d9-ae25-1485e223a69d"
MIB = 1 << 20


class FakeVolumeClient:
    """One volume; every step is written down in ``steps``."""

    def __init__(self, steps):
        self.steps = steps
        self.gib, self.metadata = 0, {}
        self.mine, self.others = [], []
        self.busy, self.kind = 0, {"driver_volume_type": "iscsi"}
        self.deferred = DeferredDeleter(retry_interval=0.01)
        #: Steps that Cinder is away for, and how often.
        self.away = {}

    def step(self, name):
        if self.away.get(name):
            self.away[name] -= 1
            raise errors.RemoteServiceUnavailable()
        self.steps.append(name)

    def create(self, name, gib, metadata):
        self.gib, self.metadata, self.name = gib, metadata, name
        self.step("create")
        return VOLUME

    def wait(self, volume, wanted):
        return self.show(volume)

    def find_by_metadata(self, metadata):
        if not metadata.items() <= self.metadata.items():
            return []
        return [{"id": VOLUME, "name": self.name, "metadata": self.metadata}]

    def show(self, volume):
        return {"size": self.gib, "metadata": self.metadata}

    def extend(self, volume, gib, status):
        self.steps.append(f"extend {status}")
        self.gib = gib

    def mark_complete(self, volume, metadata):
        self.metadata = metadata

    def delete(self, volume, wait=True):
        self.step("delete")

    def attach(self, volume, connector, mode):
        if self.busy:
            self.busy -= 1
            raise VolumeStateConflict()
        self.step(f"attach {mode}")
        self.mine = [{"id": "mine", "status": "attached", "connection_info": dict(self.kind)}]
        return self.mine[0]

    def complete_attachment(self, attachment):
        self.step("attached")

    def attachments(self, volume):
        if self.away.get("attachments"):
            self.step("attachments")
        return [*self.mine, *self.others]

    def detach(self, attachment):
        self.step("detach")
        self.mine = []


class Connector:
    """os-brick, for volumes that are files."""

    def __init__(self, steps, path):
        self.steps, self.path = steps, path

    def connect_volume(self, connection):
        self.steps.append("connect")
        return {"path": self.path}

    def disconnect_volume(self, connection, device, **how):
        self.steps.append("disconnect")

    def extend_volume(self, connection):
        self.steps.append("extended")


class FakeAttachmentManager(AttachmentManager):
    """A host whose volumes are all one file."""

    path = steps = None

    def _host_properties(self):
        return {"host": "here"}

    def _connector(self, kind, connection):
        return Connector(self.steps, self.path)


class TestVolumes(unittest.TestCase):
    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        lockutils.set_defaults(scratch.name)
        path = os.path.join(scratch.name, "volume")
        with open(path, "wb") as file:
            file.truncate(4 * MIB)
        options = settings(OPTIONS, cinder_attachment_retry_attempts=2)
        self.driver = cinder.CinderDriver(options, "vol")
        self.steps = []
        self.volumes = self.driver._volumes = FakeVolumeClient(self.steps)
        self.driver._attachments = FakeAttachmentManager(CinderSettings.read(options), self.volumes)
        self.driver._attachments.path, self.driver._attachments.steps = path, self.steps
        self.store = GuardedDriver(self.driver, "vol")

    def add(self, *chunks):
        return parse(self.store.add("image", chunks).url)

    def test_a_volume_is_written_disconnected_and_then_detached(self):
        location = self.add(b"hello", b", volume")
        self.assertEqual(f"cinder://vol/{VOLUME}", location.url)
        self.assertEqual(
            ["create", "attach rw", "connect", "attached", "disconnect", "detach"], self.steps
        )
        self.assertEqual({"glance_image_id": "image", "image_size": "13"}, self.volumes.metadata)
        self.assertEqual(b"lo, vol", b"".join(self.store.get(location, 3, 10).chunks))

    def test_a_volume_of_another_attempt_is_the_images_and_found_by_its_own_name(self):
        image_id = "11111111-2222-4333-8444-555555555555"
        self.store.add(f"{image_id}.2", [b"data"])
        self.assertEqual({"glance_image_id": image_id, "image_size": "4"}, self.volumes.metadata)
        self.assertEqual(f"image-{image_id}.2", self.volumes.name)
        self.assertEqual([], self.store.find_partial(f"{image_id}.2"))
        self.volumes.metadata[cinder.UNFINISHED_KEY] = "mark"
        for name, found in ((image_id, 0), (f"{image_id}.2", 1), (f"{image_id}.21", 0)):
            self.assertEqual(found, len(self.store.find_partial(name)), name)

    def test_readers_share_the_attachment_and_the_last_lets_go(self):
        location = self.add(b"data")
        self.steps.clear()
        first, second = self.store.get(location), self.store.get(location)
        self.assertEqual(b"data", b"".join(first.chunks))
        self.assertEqual(["attach ro", "connect", "attached"], self.steps)
        self.assertEqual(b"data", b"".join(second.chunks))
        self.assertEqual(["disconnect", "detach"], self.steps[3:])
        self.assertEqual({}, self.driver._attachments._shared)

    def test_whoever_has_the_last_byte_may_remove_the_image(self):
        location = self.add(b"x" * MIB, b"end")
        self.steps.clear()
        pieces = iter(self.store.get(location).chunks)
        next(pieces)
        self.assertNotIn("detach", self.steps)
        self.assertEqual(b"end", next(pieces))
        self.assertEqual(["disconnect", "detach"], self.steps[3:])

    def test_an_image_that_was_read_is_not_lost_because_its_volume_stays_attached(self):
        location = self.add(b"data")
        with (
            mock.patch.object(self.volumes, "detach", side_effect=errors.StoreObjectBusy()),
            self.assertLogs("glance_store_py.drivers.cinder", "ERROR"),
        ):
            self.assertEqual(b"data", b"".join(self.store.get(location).chunks))

    def test_what_another_worker_of_this_host_uses_stays_connected(self):
        self.volumes.others = [
            {"id": "theirs", "status": "attached", "connection_info": {"attached_host": "here"}}
        ]
        self.add(b"data")
        self.assertEqual(["create", "attach rw", "connect", "attached", "detach"], self.steps)
        self.volumes.others[0]["connection_info"]["attached_host"] = "elsewhere"
        self.steps.clear()
        self.add(b"data")
        self.assertIn("disconnect", self.steps)

    def test_a_volume_grows_detached_or_attached(self):
        for online, steps in (
            (
                False,
                ["disconnect", "detach", "extend available", "attach rw", "connect", "attached"],
            ),
            (True, ["extend in-use", "extended"]),
        ):
            with self.subTest(online=online), mock.patch.object(cinder, "GIB", MIB):
                self.steps.clear()
                self.driver._extends_attached = online
                location = self.add(b"x" * MIB, b"y")
                self.assertEqual(
                    ["create", "attach rw", "connect", "attached", *steps, "disconnect", "detach"],
                    self.steps,
                )
                self.assertEqual((2, MIB + 1), (self.volumes.gib, self.store.size(location)))

    def test_a_source_that_fails_is_detached_before_the_volume_goes(self):
        def source():
            yield b"x" * (2 * MIB)
            raise ValueError

        self.assertRaises(ValueError, self.store.add, "image", source())
        self.assertEqual(["disconnect", "detach", "delete"], self.steps[-3:])

    def test_volumes_that_change_the_bytes_are_refused(self):
        for more in ({"encrypted": True}, {"format": "qcow2"}):
            with self.subTest(more=more):
                self.steps.clear()
                self.volumes.kind = {"driver_volume_type": "nfs", **more}
                self.assertRaisesRegex(
                    errors.GlanceStoreError, "cannot hold images", self.add, b"data"
                )
                self.assertEqual(["create", "attach rw", "detach", "delete"], self.steps)

    def wait_for_deferred(self):
        """Wait until no deletion in Cinder is pending."""
        self.assertTrue(self.volumes.deferred.join(60))

    def test_what_an_upload_leaves_while_cinder_is_away_goes_when_it_is_back(self):
        for step in ("create", "attach rw", "attached", "attachments", "detach"):
            with self.subTest(step=step), self.assertLogs("glance_store_py"):
                self.steps.clear()
                # Once for the upload itself, and twice for what would tidy up.
                self.volumes.away = {step: 1, "delete": 2}
                self.assertRaises(errors.RemoteServiceUnavailable, self.add, b"data")
                self.assertNotIn("delete", self.steps)
                self.wait_for_deferred()
                self.assertEqual("delete", self.steps[-1])
                self.assertEqual([], self.volumes.mine)
                self.assertEqual(self.steps.count("connect"), self.steps.count("disconnect"))

    def test_what_was_created_by_another_upload_is_not_removed(self):
        self.volumes.create("image", 1, {cinder.UNFINISHED_KEY: "theirs"})
        self.steps.clear()
        with mock.patch.object(
            self.volumes, "create", side_effect=errors.RemoteServiceUnavailable()
        ):
            self.assertRaises(errors.RemoteServiceUnavailable, self.add, b"data")
            self.wait_for_deferred()
        self.assertEqual([], self.steps)

    def test_a_volume_that_was_read_is_let_go_of_when_cinder_is_back(self):
        location = self.add(b"data")
        for step in ("attachments", "detach"):
            with self.subTest(step=step):
                self.steps.clear()
                self.volumes.away = {step: 2}
                with self.assertLogs("glance_store_py.drivers.cinder", "ERROR"):
                    self.assertEqual(b"data", b"".join(self.store.get(location).chunks))
                self.wait_for_deferred()
                self.assertEqual(
                    ["attach ro", "connect", "attached", "disconnect", "detach"], self.steps
                )

    def test_a_volume_that_stays_attached_elsewhere_is_busy(self):
        location = self.add(b"data")
        self.driver._attachments._attempts = 1
        self.volumes.busy = 1
        self.assertRaises(errors.StoreObjectBusy, self.store.get, location)
        self.assertEqual({}, self.driver._attachments._shared)
        self.assertEqual(b"data", b"".join(self.store.get(location).chunks))


class TestLockDirectory(unittest.TestCase):
    def test_it_is_ours_alone_or_not_used(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        with mock.patch.object(tempfile, "gettempdir", return_value=directory):
            place = _lock_directory()
            self.assertEqual(0o700, os.stat(place).st_mode & 0o777)
            self.assertEqual(place, _lock_directory())
            with mock.patch.object(os, "getuid", return_value=os.getuid() + 1):
                os.rename(place, f"{place[: place.rindex('-')]}-{os.getuid()}")
                self.assertRaisesRegex(errors.BadStoreConfiguration, "lock_path", _lock_directory)


class TestLists(unittest.TestCase):
    """What Cinder lists is believed only as far as it says so itself."""

    def setUp(self):
        super().setUp()
        self.api = VolumeClient(CinderSettings.read(settings(OPTIONS)))
        self.api._request = self.ask
        self.asked = []
        self.filters = "work"
        self.found = [
            {
                "id": f"{number}",
                "volume_id": f"{number % 2}",
                "metadata": {"glance_image_id": f"{number % 2}", "other": "x"},
            }
            for number in range(5)
        ]

    def ask(self, method, path):
        """A service that gives two at a time."""
        kind, _, query = path.strip("/").partition("/detail?")
        query = dict(urllib.parse.parse_qsl(query))
        marker = query.pop("marker", None)
        self.asked.append(query)
        if query and self.filters == "refused":
            raise VolumeStateConflict()
        start = int(marker) + 1 if marker else 0
        return {kind: self.found[start : start + 2]}

    def test_filters_may_be_refused_or_ignored(self):
        for self.filters in ("refused", "ignored"):
            with self.subTest(filters=self.filters):
                self.assertEqual(
                    ["1", "3"],
                    [each["id"] for each in self.api.find_by_metadata({"glance_image_id": "1"})],
                )
                self.assertEqual(
                    ["0", "2", "4"], [each["id"] for each in self.api.attachments("0")]
                )

    def test_filters_are_asked_for(self):
        self.api.find_by_metadata({"glance_image_id": "1"})
        self.assertEqual([{"metadata": "{'glance_image_id': '1'}"}] * 4, self.asked)
