"""Health checks through the shipped pipeline: alive is not the same as ready.

Ready looks at the database, the stores and staging; alive looks at none of them,
so that a hanging file server does not have the process killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import threading
import types
import unittest
from unittest import mock

from glance_py import app, pipeline
from glance_py.domain import errors
from glance_py.middleware import health, oslo, probe
from tests.functional import service
from tests.functional.client import AppClient
from tests.functional.server import GLANCE_API, UWSGI, ServerCase
from tests.unit.middleware.wsgi_helpers import factory_dependencies
from tests.waiting import eventually


class ServiceTest(unittest.TestCase):
    def setUp(self):
        running = contextlib.ExitStack()
        self.addCleanup(running.close)
        self.app, self.directory = running.enter_context(service.running())
        running.enter_context(mock.patch.object(probe, "RESULT_TTL", 0.0))

    def ask(self, path="/healthcheck/ready"):
        answer = AppClient(self.app, "").call("GET", path)
        return answer.status_int, answer.text

    def test_a_database_that_was_never_prepared(self):
        """Neither is it ready nor do requests fail without a reason that an operator can find."""
        path = os.path.join(self.directory, "glance.sqlite")
        with contextlib.closing(sqlite3.connect(path)) as database:
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                if not name.startswith("sqlite_"):
                    database.execute(f'DROP TABLE "{name}"')
            database.commit()
        with self.assertLogs(probe.LOG, "WARNING") as logs:
            status, text = self.ask()
        self.assertEqual(503, status)
        self.assertIn("The database has not the schema of this release", text)
        self.assertIn("glance-manage db sync", "\n".join(logs.output))
        with self.assertLogs("glance_py", "ERROR") as logs:
            answer = AppClient(self.app, "u:p1:member").call("GET", "/v2/images")
        self.assertEqual((503, "5"), (answer.status_int, answer.headers["Retry-After"]))
        self.assertIn("glance-manage db sync", "\n".join(logs.output))
        self.assertNotIn("Traceback", "\n".join(logs.output))
        self.assertNotIn("images", answer.text.replace("image service", ""))

    def remove(self, name):
        shutil.rmtree(os.path.join(self.directory, name))

    def test_a_service_that_is_well(self):
        """Both answer without a token."""
        self.assertEqual((200, "OK"), self.ask("/healthcheck"))
        status, text = self.ask()
        self.assertEqual(200, status)
        self.assertEqual(["OK"] * 5, text.split())

    def test_the_default_store_is_needed(self):
        self.remove("fast")
        status, text = self.ask()
        self.assertEqual(503, status)
        self.assertIn("Not well: store fast", text)
        self.assertEqual(200, self.ask("/healthcheck")[0])
        os.mkdir(os.path.join(self.directory, "fast"))
        self.assertEqual(200, self.ask()[0])

    def test_another_store_is_named(self):
        self.remove("slow")
        status, text = self.ask()
        self.assertEqual(200, status)
        self.assertIn("Not well: store slow", text)

    def test_staging_is_needed(self):
        self.remove("staging")
        status, text = self.ask()
        self.assertEqual(503, status)
        self.assertIn("Staging has too little free space", text)
        self.assertNotIn(self.directory, text)


class RoomTest(unittest.TestCase):
    def test_room_for_staged_data(self):
        with service.configured() as (options, directory):
            stores = app.build_dependencies(options).stores
            found = os.statvfs(directory)
            self.assertAlmostEqual(
                found.f_bavail * found.f_frsize, app.staging_free_bytes(stores), delta=1 << 30
            )


class BackendTest(unittest.TestCase):
    """The backends alone, with stores that hang."""

    def build(self, backend, paste=None, **deps):
        deps = factory_dependencies(**deps)
        return backend(deps.conf, {**(paste or {}), health.DEPENDENCIES: deps})

    def test_a_store_that_hangs_is_waited_for_once(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        calls = []

        def check(store):
            calls.append(store)
            if store == "hangs":
                go_on.wait()

        backend = self.build(
            health.StoresHealthcheck,
            stores=types.SimpleNamespace(ids=("hangs", "well"), default="well", health_check=check),
        )
        with mock.patch.object(probe, "PROBE_TIMEOUT", 0.2):
            # The check of the store would never end.
            for _ in range(3):
                found = backend.healthcheck(0)
        self.assertTrue(found.available)
        self.assertEqual("Not well: store hangs", found.reason)
        self.assertEqual(1, calls.count("hangs"))

    def test_the_database_is_needed(self):
        def ping():
            raise errors.DatabaseUnavailable("at mysql://user:secret@host")

        found = self.build(health.DatabaseHealthcheck, ping=ping).healthcheck(0)
        self.assertFalse(found.available)
        self.assertEqual(
            ("The database does not answer", "DatabaseUnavailable"), (found.reason, found.details)
        )

    def test_a_schema_of_another_release(self):
        def ping():
            raise errors.DatabaseNotReady("The database lacks table images.")

        with self.assertLogs(probe.LOG, "WARNING") as logs:
            found = self.build(health.DatabaseHealthcheck, ping=ping).healthcheck(0)
        self.assertEqual(
            (False, "The database has not the schema of this release"),
            (found.available, found.reason),
        )
        self.assertIn("lacks table images", logs.output[0])

    def test_without_keystone_there_is_nothing_to_ask(self):
        self.assertTrue(self.build(health.IdentityHealthcheck).healthcheck(0).available)

    def test_what_hangs_costs_the_time_of_one_look(self):
        """However much of it hangs: all looks begin together."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        deps = factory_dependencies(
            ping=go_on.wait,
            staging_free_bytes=go_on.wait,
            checks={"identity": go_on.wait},
            stores=types.SimpleNamespace(
                ids=("a",), default="a", health_check=lambda store: go_on.wait()
            ),
        )
        backends = [
            kind(deps.conf, {health.DEPENDENCIES: deps})
            for kind in (
                health.DatabaseHealthcheck,
                health.IdentityHealthcheck,
                health.StoresHealthcheck,
                health.StagingHealthcheck,
            )
        ]
        waited, here, wait = [], threading.current_thread(), threading.Event.wait

        def count(event, timeout=None):
            if threading.current_thread() is here:
                waited.append(timeout)
            return wait(event, timeout)

        with (
            mock.patch.object(probe, "PROBE_TIMEOUT", 0.2),
            mock.patch.object(probe.threading.Event, "wait", count),
        ):
            found = [backend.healthcheck(0).available for backend in backends]
        self.assertEqual([False] * 4, found)
        self.assertLess(sum(filter(None, waited)), 0.3)

    def test_what_was_seen_is_remembered(self):
        pings = []
        backend = self.build(health.DatabaseHealthcheck, ping=lambda: pings.append(1))
        for _ in range(10):
            self.assertTrue(backend.healthcheck(0).available)
        self.assertEqual([1], pings)

    def test_room_that_is_wanted(self):
        for least, enough in (("100", True), ("101", False)):
            backend = self.build(
                health.StagingHealthcheck,
                {"staging_min_free": least},
                staging_free_bytes=lambda: 100,
            )
            self.assertEqual(enough, backend.healthcheck(0).available)


class PasteTest(unittest.TestCase):
    def test_a_backend_that_does_not_exist_stops_the_start(self):
        self.assertEqual(
            "glance_py.middleware.oslo:healthcheck",
            pipeline.FACTORY_ALIASES["oslo_middleware:Healthcheck.app_factory"],
        )
        with self.assertRaises(LookupError) as raised:
            oslo.healthcheck(factory_dependencies(), {}, backends="disable_by_file, glance_databse")
        self.assertIn("glance_databse", str(raised.exception))


class ReportCase(ServerCase):
    """A report of a serving process is written when an operator asks for it."""

    settings = {"start": False}

    def setUp(self):
        super().setUp()
        self.reports = self.server.directory / "reports"
        self.reports.mkdir()
        self.trigger = self.server.directory / "trigger"

    def with_reports(self, options: str = "") -> None:
        self.server.write_config(f"[oslo_reports]\nlog_dir = {self.reports}\n{options}")
        self.server.start()

    def check_report(self) -> None:
        files = eventually(
            lambda: [file for file in self.reports.iterdir() if file.stat().st_size],
            explain=self.server.log,
        )
        self.assertEqual(1, len(files), self.server.log())
        text = files[0].read_text()
        for words in (
            "Guru Meditation",
            "OpenStack Image service",
            "Thread",
            "filesystem_store_datadir",
        ):
            self.assertIn(words, text)
        self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])

    def check_file(self) -> None:
        """Touching a file works under every server."""
        self.with_reports(f"file_event_handler = {self.trigger}\n")
        self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
        self.assertEqual([], list(self.reports.iterdir()))
        self.trigger.touch()
        self.check_report()


class GlanceApiReportTest(ReportCase):
    command = GLANCE_API

    def test_file(self):
        self.check_file()

    def test_signal(self):
        self.with_reports()
        [worker] = eventually(self.server.workers)
        self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
        os.kill(worker, signal.SIGUSR2)
        self.check_report()


class UwsgiReportTest(ReportCase):
    command = UWSGI

    def test_file(self):
        self.check_file()


if __name__ == "__main__":
    unittest.main()
