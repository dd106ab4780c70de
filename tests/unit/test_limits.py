"""Sizes in options, and unified limits with a library that needs no Keystone."""

import types
import unittest
from unittest import mock

from oslo_limit import exception
from oslo_limit import limit as library

from glance_py import limits
from glance_py.domain import errors
from tests.unit.layers.fake import Usage
from tests.unit.setting import conf, member


class SizeTest(unittest.TestCase):

    def parse(self, text):
        return limits.storage_quota(conf(user_storage_quota=text))

    def test_units(self):
        for text, size in (("0", 0), ("17", 17), ("3000B", 3000), ("2KB", 2048),
                           ("1MB", 1024 ** 2), ("3GB", 3 * 1024 ** 3), ("1TB", 1024 ** 4)):
            self.assertEqual(size, self.parse(text))

    def test_everything_else_is_an_error(self):
        for text in ("", "KB", "1K", "1.5GB", "-1", "1 GB", "1gb", "1PB"):
            with self.subTest(text), self.assertRaises(ValueError):
                self.parse(text)


class Library:
    """oslo.limit's Enforcer with limits in a dictionary."""

    limits: dict = {}
    failure: Exception | None = None

    def __init__(self, count, cache):
        if self.failure:
            raise self.failure
        self.count = count

    def enforce(self, project, deltas):
        used = self.count(project, deltas)
        over = [exception.OverLimitInfo(name, self.limits[name], used[name], delta)
                for name, delta in deltas.items() if used[name] + delta > self.limits[name]]
        if over:
            raise exception.ProjectOverLimit(project, over)

    def calculate_usage(self, project, names):
        used = self.count(project, names)
        return {name: library.ProjectUsage(self.limits.get(name, 0), used[name])
                for name in names}


class LimitsTest(unittest.TestCase):

    def setUp(self):
        patch = mock.patch.object(library, "Enforcer", Library)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(setattr, Library, "failure", None)
        usage = Usage(storage=5 * 1024 ** 2, staging=3 * 1024 ** 2, images=7, uploading=1)
        self.limits = limits.Limits(types.SimpleNamespace(usage=usage))
        Library.limits = {"image_size_total": 10, "image_count_total": 7}

    def test_check(self):
        self.limits.check(member(), {"image_size_total": 5})
        with self.assertRaises(errors.QuotaExceeded) as raised:
            self.limits.check(member(), {"image_size_total": 6})
        self.assertEqual("The limit of image_size_total is 10, 5 are used and 6 more were asked "
                         "for", str(raised.exception))
        with self.assertRaises(errors.QuotaExceeded):
            self.limits.check(member(), {"image_count_total": 1})

    def test_usage(self):
        self.assertEqual({
            "image_size_total": {"usage": 5, "limit": 10},
            "image_stage_total": {"usage": 3, "limit": 0},
            "image_count_total": {"usage": 7, "limit": 7},
            "image_count_uploading": {"usage": 1, "limit": 0},
        }, self.limits.usage(member()))

    def test_a_keystone_that_does_not_answer_is_no_quota(self):
        Library.failure = exception.SessionInitError("secret")
        with self.assertLogs(limits.LOG), self.assertRaises(errors.GlanceError) as raised:
            self.limits.check(member(), {"image_size_total": 1})
        self.assertNotIsInstance(raised.exception, errors.LimitExceeded)
        self.assertNotIn("secret", str(raised.exception))
        Library.failure = None
        self.limits.check(member(), {"image_size_total": 1})
