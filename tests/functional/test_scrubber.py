"""Delayed delete and glance-scrubber: data is kept, brought back or removed, never lost."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

from glance_py.cmd import scrubber
from glance_store_py.stores import Stores
from tests.functional import registry
from tests.functional.client import AppClient
from tests.functional.service import running
from tests.waiting import eventually

DATA = b"0123456789"
OPTIONS = "delayed_delete = true\nshow_multiple_locations = true"


class ScrubberTestCase(unittest.TestCase):
    options = OPTIONS

    def setUp(self) -> None:
        # The lock of the command, so that tests and real scrubbers do not meet.
        self.enterContext(
            unittest.mock.patch.object(
                tempfile, "tempdir", self.enterContext(tempfile.TemporaryDirectory())
            )
        )
        self.app, self.directory = self.enterContext(running(self.options))
        self.ann = AppClient(self.app, "ann:p1:member")

    def uploaded(self) -> str:
        image_id = self.ann.create(name="kept", tags=["t"], os_distro="debian")
        self.assertEqual(204, self.ann.upload(image_id, DATA).status_int)
        return image_id

    def deleted(self) -> str:
        image_id = self.uploaded()
        self.assertEqual(204, self.ann.call("DELETE", f"/v2/images/{image_id}").status_int)
        self.assertEqual(404, self.ann.call("GET", f"/v2/images/{image_id}").status_int)
        return image_id

    def path(self, image_id: str) -> str:
        return os.path.join(self.directory, "fast", image_id)

    def run_command(self, *words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = scrubber.main(["--config-file", f"{self.directory}/glance-api.conf", *words])
        return code, out.getvalue(), err.getvalue()

    def states(self, image_id: str) -> tuple:
        with contextlib.closing(sqlite3.connect(f"{self.directory}/glance.sqlite")) as db:
            image = db.execute(
                "select status, deleted from images where id = ?", (image_id,)
            ).fetchone()
            places = db.execute(
                "select status, deleted from image_locations where image_id = ?", (image_id,)
            ).fetchall()
        return (image, *places)


class TestDelayedDelete(ScrubberTestCase):
    def test_data_is_kept_until_the_scrubber_comes(self) -> None:
        image_id = self.deleted()
        self.assertTrue(os.path.exists(self.path(image_id)))
        self.assertEqual((("pending_delete", 1), ("pending_delete", 1)), self.states(image_id))
        code, out, _ = self.run_command()
        self.assertEqual(0, code)
        self.assertIn(f"{image_id}: 1 copies removed", out)
        self.assertFalse(os.path.exists(self.path(image_id)))
        self.assertEqual((("deleted", 1), ("deleted", 1)), self.states(image_id))
        self.assertEqual((0, ""), self.run_command()[:2])

    def test_an_image_without_data_is_deleted_at_once(self) -> None:
        image_id = self.ann.create()
        self.ann.call("DELETE", f"/v2/images/{image_id}")
        self.assertEqual((("deleted", 1),), self.states(image_id))

    def test_an_image_comes_back(self) -> None:
        image_id = self.deleted()
        code, out, _ = self.run_command("--restore", image_id)
        self.assertEqual((0, f"Image {image_id} is active again.\n"), (code, out))
        image = self.ann.show(image_id)
        self.assertEqual(
            ("active", "kept", ["t"], "debian"),
            tuple(image[key] for key in ("status", "name", "tags", "os_distro")),
        )
        self.assertEqual(DATA, self.ann.download(image_id).body)
        self.assertEqual((0, ""), self.run_command()[:2])
        self.assertTrue(os.path.exists(self.path(image_id)))

    def test_only_a_kept_image_comes_back(self) -> None:
        for image_id in (self.uploaded(), "00000000-0000-0000-0000-000000000000"):
            code, _, err = self.run_command("--restore", image_id)
            self.assertEqual(1, code)
            self.assertIn(image_id, err)
            self.assertIn("pending_delete", err)
        scrubbed = self.deleted()
        self.run_command()
        self.assertEqual(1, self.run_command("--restore", scrubbed)[0])

    def test_no_image_comes_back_while_its_data_goes(self) -> None:
        """Scrubbers of several hosts do not know of each other; the records do."""
        image_id, answers = self.deleted(), []
        delete = Stores.delete

        def meanwhile(stores, *args, **kwargs):
            with unittest.mock.patch.object(scrubber, "_single_instance", contextlib.nullcontext):
                answers.append(self.run_command("--restore", image_id))
            return delete(stores, *args, **kwargs)

        with unittest.mock.patch.object(Stores, "delete", meanwhile):
            self.assertEqual(0, self.run_command()[0])
        [(code, _, err)] = answers
        self.assertEqual(1, code)
        self.assertIn("cannot be restored", err)
        self.assertEqual(404, self.ann.call("GET", f"/v2/images/{image_id}").status_int)
        self.assertFalse(os.path.exists(self.path(image_id)))

    def test_restore_and_daemon_exclude_each_other(self) -> None:
        code, _, err = self.run_command("--restore", self.deleted(), "--daemon")
        self.assertEqual(1, code)
        self.assertIn("exclude", err)

    def test_nothing_is_restored_while_a_scrubber_runs(self) -> None:
        image_id = self.deleted()
        place = os.path.join(tempfile.gettempdir(), f"glance-locks-{os.getuid()}")
        os.mkdir(place, 0o700)
        path = os.path.join(place, f"glance-scrubber-{os.getuid()}.lock")
        with open(path, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            code, _, err = self.run_command("--restore", image_id)
        self.assertEqual(1, code)
        self.assertIn("Another glance-scrubber", err)

    def test_the_lock_lies_where_nobody_else_can_write(self) -> None:
        image_id = self.deleted()
        shared = os.path.join(self.directory, "shared")
        os.mkdir(shared)
        os.chmod(shared, 0o1777)
        own = os.path.join(tempfile.gettempdir(), f"glance-locks-{os.getuid()}")
        for place, lines in ((shared, f"[oslo_concurrency]\nlock_path = {shared}\n"), (own, "")):
            if place == own:
                os.symlink(shared, own)  # as somebody who was there first may have made it
            with open(f"{self.directory}/locks.conf", "w") as file:
                file.write(lines)
            with self.subTest(place):
                code, _, err = self.run_command(
                    "--config-file", f"{self.directory}/locks.conf", "--restore", image_id
                )
                self.assertEqual(1, code)
                self.assertIn("lock_path", err)
                self.assertEqual([], os.listdir(shared))
        os.unlink(own)
        os.chmod(shared, 0o700)
        with open(f"{self.directory}/locks.conf", "w") as file:
            file.write(f"[oslo_concurrency]\nlock_path = {shared}\n")
        self.assertEqual(
            0,
            self.run_command(
                "--config-file", f"{self.directory}/locks.conf", "--restore", image_id
            )[0],
        )
        self.assertEqual([f"glance-scrubber-{os.getuid()}.lock"], os.listdir(shared))

    def test_json(self) -> None:
        image_id = self.deleted()
        _, out, _ = self.run_command("--json")
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(
            [
                {"image_id": image_id, "removed": 1, "left": 0, "reason": ""},
                {"images": 1, "removed": 1, "left": 0},
            ],
            lines,
        )

    def test_what_a_store_cannot_remove_stays_pending(self) -> None:
        image_id = self.deleted()
        os.rename(self.path(image_id), self.path(image_id) + ".aside")
        os.mkdir(self.path(image_id))  # which cannot be unlinked
        _, out, _ = self.run_command()
        self.assertIn(f"{image_id}: 0 copies removed, 1 left", out)
        self.assertEqual((("pending_delete", 1), ("pending_delete", 1)), self.states(image_id))
        os.rmdir(self.path(image_id))  # now there is nothing to remove
        _, out, _ = self.run_command()
        self.assertIn(f"{image_id}: 1 copies removed", out)
        self.assertEqual((("deleted", 1), ("deleted", 1)), self.states(image_id))

    def test_many_images_and_threads(self) -> None:
        images = [self.deleted() for _ in range(12)]
        with unittest.mock.patch("glance_py.scrubber.PAGE_SIZE", 5):
            code, out, _ = self.run_command()
        self.assertEqual(0, code)
        self.assertIn("12 images: 12 copies removed, 0 left", out)
        self.assertFalse([image for image in images if os.path.exists(self.path(image))])


class TestScrubTime(ScrubberTestCase):
    options = OPTIONS + "\nscrub_time = 3600\nscrub_pool_size = 3"

    def test_what_was_deleted_lately_is_kept(self) -> None:
        old, young = self.deleted(), self.deleted()
        with contextlib.closing(sqlite3.connect(f"{self.directory}/glance.sqlite")) as db:
            db.execute(
                "update image_locations set deleted_at = '2020-01-01 00:00:00.000000' "
                "where image_id = ?",
                (old,),
            )
            db.commit()
        self.run_command()
        self.assertFalse(os.path.exists(self.path(old)))
        self.assertTrue(os.path.exists(self.path(young)))


class TestDaemon(ScrubberTestCase):
    @unittest.skipIf(registry.is_requested(), "another process cannot reach a registry in this one")
    def test_it_runs_until_it_is_told_to_stop(self) -> None:
        first = self.deleted()
        daemon = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "glance_py.cmd.scrubber",
                "--config-file",
                f"{self.directory}/glance-api.conf",
                "--daemon",
                "--wakeup-time",
                "1",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": tempfile.gettempdir()},
        )
        self.addCleanup(daemon.stdout.close)
        self.addCleanup(daemon.kill)
        self.wait(first)
        second = self.deleted()
        self.wait(second)
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(0, daemon.wait(60))

    def wait(self, image_id: str) -> None:
        eventually(lambda: not os.path.exists(self.path(image_id)))


class TestPurpose(ScrubberTestCase):
    def test_a_wrong_configuration_is_told_in_one_sentence(self) -> None:
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            self.assertEqual(1, scrubber.main(["--config-file", "/nowhere.conf"]))
        self.assertRegex(err.getvalue(), r"\Aglance-scrubber: .*nowhere.conf.*\n\Z")
