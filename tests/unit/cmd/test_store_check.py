"""store check: what is missing, wrong or nobody's is found, and only orphans are removed."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import tempfile
import time
import unittest

from oslo_config import cfg

from glance_py import config
from glance_py.app import build_dependencies
from glance_py.cmd import manage
from glance_py.context import RequestContext
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.ports import Upload
from glance_py.layers.location import LocationProxy

ME = RequestContext(is_admin=True, project_id="p")
OLD = time.time() - 48 * 3600


class TestStoreCheck(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = scratch.name
        self.file = os.path.join(scratch.name, "glance-api.conf")
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(
                f"[DEFAULT]\nenabled_backends = fast:file, slow:file, web:http\n"
                f"[database]\nconnection = sqlite:///{scratch.name}/glance.sqlite\n"
                f"[glance_store]\ndefault_backend = fast\n"
                f"[fast]\nfilesystem_store_datadir = {scratch.name}/fast\n"
                f"[slow]\nfilesystem_store_datadir = {scratch.name}/slow\n"
                f"[os_glance_staging_store]\nfilesystem_store_datadir = {scratch.name}/stage\n"
                f"[os_glance_tasks_store]\nfilesystem_store_datadir = {scratch.name}/tasks\n"
            )
        self.run_command("db", "sync")
        conf = cfg.ConfigOpts()
        config.load([], [self.file], conf)
        self.deps = build_dependencies(conf)
        self.addCleanup(self.deps.claims.stop)
        self.images = self.deps.repositories.images

    def run_command(self, *words):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = manage.main(["--config-file", self.file, *words])
        return status, out.getvalue()

    def check(self, *words):
        """The exit code, and what was found as (kind, image id, removed)."""
        status, out = self.run_command("store", "check", "--json", *words)
        lines = [json.loads(line) for line in out.splitlines()]
        self.counts = lines.pop()["checked"]
        return status, [(line["kind"], line["image_id"], line["removed"]) for line in lines]

    def image(self, data=b"data", hidden=False):
        image_id = f"00000000-0000-4000-8000-{len(os.listdir(self.directory + '/fast')):012d}"
        image = self.images.create(
            ME,
            Image(
                image_id,
                "queued",
                owner="p",
                disk_format="raw",
                container_format="bare",
                os_hidden=hidden,
            ),
        )
        return LocationProxy.build(self.images, self.deps).upload(
            ME, image, Upload([data], len(data))
        )

    def path(self, image_id, store="fast"):
        return os.path.join(self.directory, store, image_id)

    def put(self, image_id, store="fast", age=OLD):
        with open(self.path(image_id, store), "wb") as file:
            file.write(b"stray")
        os.utime(self.path(image_id, store), (age, age))

    def test_what_is_in_order_is_well(self):
        for hidden in (False, True):
            image = self.image(hidden=hidden)
            os.utime(self.path(image.id), (OLD, OLD))
        self.assertEqual((0, []), self.check("--verify-hash", "--delete-orphans"))
        self.assertEqual(
            (2, 2, 8), tuple(self.counts[name] for name in ("images", "copies", "hashed"))
        )
        self.assertEqual(["web"], self.counts["silent"])
        self.assertTrue(os.path.exists(self.path(image.id)))

    def test_what_is_missing_or_wrong_is_found(self):
        missing, short, other = self.image(), self.image(), self.image()
        os.unlink(self.path(missing.id))
        with open(self.path(short.id), "wb") as file:
            file.write(b"dat")
        with open(self.path(other.id), "wb") as file:
            file.write(b"atad")
        status, found = self.check()
        self.assertEqual(3, status)
        self.assertCountEqual([("missing", missing.id, False), ("size", short.id, False)], found)
        status, found = self.check("--verify-hash")
        self.assertIn(("hash", other.id, False), found)

    def test_orphans_are_found_and_removed_when_that_is_wanted(self):
        nobody = "99999999-0000-4000-8000-000000000000"
        image = self.image()
        self.put(nobody)
        self.put(image.id, "slow")
        wanted = [("orphan", nobody, False), ("orphan", image.id, False)]
        self.assertEqual((3, wanted), self.check())
        self.assertTrue(os.path.exists(self.path(nobody)))
        self.assertEqual(
            (0, [(*each[:2], True) for each in wanted]), self.check("--delete-orphans")
        )
        self.assertFalse(os.path.exists(self.path(nobody)))
        self.assertFalse(os.path.exists(self.path(image.id, "slow")))
        self.assertTrue(os.path.exists(self.path(image.id)))

    def test_attempts_of_an_image_are_told_from_each_other(self):
        """The image has its data from the second attempt; the first and the third are dead."""
        image = self.image()
        attempt = self.path(f"{image.id}.2")
        os.rename(self.path(image.id), attempt)
        found = self.images.get(ME, image.id)
        [location] = found.locations
        self.images.update(
            ME,
            found,
            ImageChange(
                remove_locations=(location,),
                add_locations=(dataclasses.replace(location, id=None, url=f"{location.url}.2"),),
            ),
        )
        os.utime(attempt, (OLD, OLD))
        self.assertEqual((0, []), self.check("--delete-orphans"))
        for name in (image.id, f"{image.id}.3", f"{image.id}.21"):
            self.put(name)
        self.assertEqual((3, [("orphan", image.id, False)] * 3), self.check())
        self.assertEqual((0, [("orphan", image.id, True)] * 3), self.check("--delete-orphans"))
        self.assertEqual([f"{image.id}.2"], os.listdir(self.directory + "/fast"))

    def test_an_attempt_of_an_image_that_is_being_copied_is_left_alone(self):
        image = self.image()
        self.put(f"{image.id}.2", "slow")
        found = self.images.get(ME, image.id)
        self.images.update(ME, found, ImageChange(set_properties={"os_glance_import_task": "t"}))
        self.assertEqual((0, []), self.check("--delete-orphans"))
        self.assertTrue(os.path.exists(self.path(f"{image.id}.2", "slow")))

    def test_what_is_young_or_foreign_or_arriving_is_left_alone(self):
        self.put("99999999-0000-4000-8000-000000000000", age=time.time())
        self.put("readme.txt")
        arriving = self.images.create(
            ME,
            Image(
                "88888888-0000-4000-8000-000000000000",
                "queued",
                owner="p",
                disk_format="raw",
                container_format="bare",
            ),
        )
        self.images.update(ME, arriving, ImageChange.status("saving", expected="queued"))
        self.put(arriving.id)
        self.assertEqual((0, []), self.check("--delete-orphans"))
        self.assertEqual((1, 1), (self.counts["young"], self.counts["foreign"]))
        self.assertEqual(2 + 1, len(os.listdir(self.directory + "/fast")))

    def test_data_that_waits_for_the_scrubber_is_no_orphan(self):
        image = self.image()
        os.utime(self.path(image.id), (OLD, OLD))
        self.images.delete(ME, self.images.get(ME, image.id), "pending_delete")
        self.assertEqual((0, []), self.check("--delete-orphans"))
        self.assertTrue(os.path.exists(self.path(image.id)))

    def test_two_stores_in_one_place_do_not_make_orphans(self):
        image = self.image()
        os.utime(self.path(image.id), (OLD, OLD))
        with open(self.file, encoding="utf-8") as file:
            text = file.read()
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text.replace("/slow\n", "/fast\n"))
        self.assertEqual((0, []), self.check("--delete-orphans"))
        self.assertTrue(os.path.exists(self.path(image.id)))

    def test_a_store_that_does_not_exist_is_refused(self):
        status, out = self.run_command("fsck", "--store", "nowhere")
        self.assertEqual(1, status)
        self.assertIn("nowhere", out)

    def test_people_get_sentences(self):
        self.put("99999999-0000-4000-8000-000000000000")
        status, out = self.run_command("fsck", "--store", "fast")
        self.assertEqual(3, status)
        self.assertIn("orphan: image 99999999-0000-4000-8000-000000000000 at file://", out)
        self.assertIn("Checked 0 copies of 0 images and 1 objects.", out)


if __name__ == "__main__":
    unittest.main()
