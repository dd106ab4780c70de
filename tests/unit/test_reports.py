"""Reports of a process: what causes one, and where it is written."""

import importlib.util
import os
import pathlib
import signal
import tempfile
import threading
import unittest
from unittest import mock

from glance_py import reports
from tests.unit.factories import make_conf


class FileWatchTest(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "trigger"

    def test_a_new_file_is_a_change(self):
        watch = reports.FileWatch(str(self.path))
        self.assertFalse(watch.has_changed())
        self.path.touch()
        self.assertTrue(watch.has_changed())
        self.assertFalse(watch.has_changed())

    def test_another_time_is_a_change(self):
        self.path.touch()
        watch = reports.FileWatch(str(self.path))
        self.assertFalse(watch.has_changed())
        os.utime(self.path, (1, 1))
        self.assertTrue(watch.has_changed())

    def test_a_removed_file_is_none(self):
        self.path.touch()
        watch = reports.FileWatch(str(self.path))
        self.path.unlink()
        self.assertFalse(watch.has_changed())

    def test_each_change_is_reported_once(self):
        class EndOfTest(Exception):
            pass

        watch = mock.Mock()
        watch.has_changed.side_effect = [False, True, False, True, EndOfTest]
        report = mock.Mock()
        with mock.patch.object(reports.time, "sleep") as sleep, self.assertRaises(EndOfTest):
            reports._report_changes(watch, report, 7)
        self.assertEqual(2, report.call_count)
        self.assertEqual([mock.call(7)] * 5, sleep.mock_calls)


@unittest.skipUnless(importlib.util.find_spec("oslo_reports"), "oslo.reports is not installed")
class StartTest(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.conf = make_conf()
        from oslo_reports import opts

        opts.set_defaults(self.conf)
        self.conf.set_override("log_dir", self.directory, "oslo_reports")
        handler = signal.getsignal(signal.SIGUSR2)
        self.addCleanup(signal.signal, signal.SIGUSR2, handler)

    def written(self):
        return [path.read_text() for path in pathlib.Path(self.directory).iterdir()]

    def test_a_signal_writes_a_report(self):
        reports.start(self.conf, "glance-api")
        signal.raise_signal(signal.SIGUSR2)
        [text] = self.written()
        self.assertIn("OpenStack Image service", text)
        self.assertIn("glance-py", text)

    def test_a_file_replaces_the_signal(self):
        before = signal.getsignal(signal.SIGUSR2)
        self.conf.set_override("file_event_handler", f"{self.directory}/trigger", "oslo_reports")
        self.conf.set_override("file_event_handler_interval", 3, "oslo_reports")
        with mock.patch.object(reports, "start_thread") as start_thread:
            reports.start(self.conf, "glance-api")
        self.assertIs(before, signal.getsignal(signal.SIGUSR2))
        [name, run] = start_thread.call_args.args
        self.assertEqual("reports", name)
        with mock.patch.object(reports, "_report_changes") as report_changes:
            run()
        watch, report, interval = report_changes.call_args.args
        self.assertEqual(3, interval)
        pathlib.Path(self.directory, "trigger").touch()
        self.assertTrue(watch.has_changed())
        pathlib.Path(self.directory, "trigger").unlink()
        report()
        self.assertEqual(1, len(self.written()))

    def test_another_thread_cannot_install_the_signal(self):
        before = signal.getsignal(signal.SIGUSR2)
        thread = threading.Thread(target=reports.start, args=(self.conf, "glance-api"))
        thread.start()
        thread.join()
        self.assertIs(before, signal.getsignal(signal.SIGUSR2))

    def test_there_are_no_reports_without_the_library(self):
        before = signal.getsignal(signal.SIGUSR2)
        with mock.patch.object(importlib.util, "find_spec", return_value=None):
            reports.start(self.conf, "glance-api")
        self.assertIs(before, signal.getsignal(signal.SIGUSR2))


if __name__ == "__main__":
    unittest.main()
