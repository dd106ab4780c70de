"""Unified limits with a library that needs no Keystone."""

import types
import unittest
from unittest import mock

from oslo_limit import exception
from oslo_limit import limit as library

from glance_py import limits
from glance_py.domain import errors
from glance_py.domain.quota import MIB
from tests.unit.factories import make_member
from tests.unit.layers.fake import Usage


class Library:
    """oslo.limit's Enforcer with limits in dictionaries; counts how often it is asked."""

    defaults: dict = {}
    limits: dict = {}
    failure: Exception | None = None
    asked = 0

    def __init__(self, count, cache):
        if self.failure:
            raise self.failure

    def get_registered_limits(self, names):
        Library.asked += 1
        return list(self.defaults.items())

    def get_project_limits(self, project, names):
        Library.asked += 1
        return list(self.limits.get(project, {}).items())


class LimitsTest(unittest.TestCase):
    def setUp(self):
        patch = mock.patch.object(library, "Enforcer", Library)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(setattr, Library, "failure", None)
        usage = Usage(storage=5 * MIB, staging=3 * MIB, images=7, uploading=1)
        self.now = 0.0
        self.limits = limits.UnifiedLimits(
            types.SimpleNamespace(usage=usage), 5.0, clock=lambda: self.now
        )
        Library.defaults = {
            "image_size_total": 4,
            "image_count_total": 7,
            "image_count_uploading": -1,
        }
        Library.limits = {"p1": {"image_size_total": 10}}
        Library.asked = 0

    def test_room(self):
        wanted = {"image_size_total": 5 * MIB, "image_count_uploading": 1}
        self.assertEqual({"storage": 10 * MIB}, self.limits.check("p1", wanted))
        with self.assertRaises(errors.QuotaExceeded) as raised:
            self.limits.check("p1", {"image_size_total": 5 * MIB + 1})
        self.assertEqual(
            "The limit of image_size_total is 10, 5 are used and 6 more were asked for",
            str(raised.exception),
        )
        for over in ({"image_count_total": 1}, {"image_stage_total": 0}):
            with self.assertRaises(errors.QuotaExceeded):
                self.limits.check("p1", over)

    def test_a_caller_without_a_project_has_the_limits_of_all(self):
        self.assertEqual({"storage": 10 * MIB}, self.limits.check("p1", {"image_size_total": 0}))
        for project in ("p2", None):
            with self.assertRaises(errors.QuotaExceeded):
                self.limits.check(project, {"image_size_total": 0})

    def test_limits_are_remembered_for_a_moment(self):
        for _ in range(5):
            self.limits.check("p1", {"image_size_total": 1})
        self.assertEqual(2, Library.asked)
        self.limits.check("p1", {"image_count_total": 0})
        self.assertEqual(2, Library.asked)
        self.now = 6.0
        self.limits.check("p1", {"image_size_total": 1})
        self.assertEqual(3, Library.asked)

    def test_a_raised_limit_counts_at_once(self):
        with self.assertRaises(errors.QuotaExceeded):
            self.limits.check("p1", {"image_size_total": 6 * MIB})
        Library.limits = {"p1": {"image_size_total": 11}}
        self.limits.check("p1", {"image_size_total": 6 * MIB})
        with self.assertRaises(errors.QuotaExceeded):
            self.limits.check("p2", {"image_size_total": 1})
        Library.defaults["image_size_total"] = 6
        self.limits.check("p2", {"image_size_total": 1})

    def test_usage(self):
        self.assertEqual(
            {
                "image_size_total": {"usage": 5, "limit": 10},
                "image_stage_total": {"usage": 3, "limit": 0},
                "image_count_total": {"usage": 7, "limit": 7},
                "image_count_uploading": {"usage": 1, "limit": -1},
            },
            self.limits.usage(make_member()),
        )

    def test_a_keystone_that_does_not_answer_is_no_quota(self):
        Library.failure = exception.SessionInitError("secret")
        with self.assertLogs(limits.LOG), self.assertRaises(errors.GlanceError) as raised:
            self.limits.check("p1", {"image_size_total": 1})
        self.assertNotIsInstance(raised.exception, errors.LimitExceeded)
        self.assertNotIn("secret", str(raised.exception))
        Library.failure = None
        self.limits.check("p1", {"image_size_total": 1})
