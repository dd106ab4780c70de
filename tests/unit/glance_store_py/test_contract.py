"""The contract of drivers has the cases that a driver's capabilities ask for, and no others."""

from __future__ import annotations

import unittest

from glance_store_py import driver
from glance_store_py.drivers import memory
from glance_store_py.testing import DriverContract, settings

READS, WRITES = "test_a_part_is_read_by_its_bounds", "test_the_size_need_not_be_known"
READS_NO_PARTS = "test_a_store_that_reads_no_parts_says_so"
READS_NOT = "test_a_store_that_reads_nothing_says_so"
ALWAYS = "test_health_check_passes_for_a_working_store"


def cases(*capabilities: str, base: type = DriverContract) -> list[str]:
    """The names of the cases for a driver of these capabilities."""
    made = type("Made", (base, unittest.TestCase), {"capabilities": frozenset(capabilities)})
    return unittest.defaultTestLoader.getTestCaseNames(made)


class ContractTest(unittest.TestCase):
    def assert_cases(self, found: list[str], *expected: str) -> None:
        self.assertEqual(
            set(expected), {READS, WRITES, READS_NO_PARTS, READS_NOT, ALWAYS} & set(found)
        )

    def test_capabilities_select_the_cases(self) -> None:
        self.assert_cases(cases(), ALWAYS, READS_NOT)
        self.assert_cases(cases(driver.READ), ALWAYS, READS_NO_PARTS)
        self.assert_cases(cases(driver.READ, driver.READ_RANDOM), ALWAYS, READS)
        self.assert_cases(cases(driver.ADD), ALWAYS, READS_NOT, WRITES)

    def test_case_returns_in_subclass_with_more_capabilities(self) -> None:
        class Less(DriverContract):
            capabilities = frozenset()

        self.assert_cases(
            cases(driver.ADD, driver.READ, driver.READ_RANDOM, base=Less), ALWAYS, READS, WRITES
        )

    def test_a_class_may_do_without_a_case(self) -> None:
        class Without(DriverContract):
            capabilities = frozenset()
            test_health_check_passes_for_a_working_store = None

        self.assertIsNone(Without.test_health_check_passes_for_a_working_store)

    def test_undeclared_capabilities_keep_all_cases(self) -> None:
        class Undeclared(DriverContract, unittest.TestCase):
            pass

        found = unittest.defaultTestLoader.getTestCaseNames(Undeclared)
        self.assert_cases(found, ALWAYS, READS, WRITES, READS_NO_PARTS, READS_NOT)

    def test_what_is_said_is_what_the_driver_claims(self) -> None:
        class Wrong(DriverContract, unittest.TestCase):
            capabilities = memory.MemoryDriver.capabilities - {driver.EXCLUSIVE}

            def make_driver(self):
                return memory.MemoryDriver(settings(), "contract")

        result = unittest.TestResult()
        Wrong(ALWAYS).run(result)
        self.assertEqual(1, len(result.failures))

    def test_no_case_of_a_driver_is_skipped(self) -> None:
        class Memory(DriverContract, unittest.TestCase):
            capabilities = memory.MemoryDriver.capabilities

            def make_driver(self):
                return memory.MemoryDriver(settings(), "contract")

        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(Memory).run(result)
        self.assertEqual(([], True), (result.skipped, result.wasSuccessful()))
