"""Changes of images as values."""

from __future__ import annotations

import dataclasses
import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange, RejectedChange, without_data
from glance_py.domain.claim import ClaimRelease, ClaimRequest
from glance_py.domain.image import Image, Location
from glance_py.domain.quota import RESOURCES, QuotaReservation


class ChangeTest(unittest.TestCase):
    def test_a_change_is_not_mutated(self) -> None:
        change = ImageChange(fields={"name": "a"})
        with self.assertRaises(dataclasses.FrozenInstanceError):
            change.holder = "me"
        other = change.evolve(holder="me")
        self.assertEqual((None, "me"), (change.holder, other.holder))
        self.assertEqual({"name": "a"}, other.fields)

    def test_evolve_keeps_the_class(self) -> None:
        error = errors.Conflict("no")
        change = RejectedChange(error=error).evolve(fields={"name": "a"})
        self.assertIs(error, change.error)

    def test_status(self) -> None:
        change = ImageChange.status("active", expected="saving", size=1)
        self.assertEqual(({"status": "active", "size": 1}, {"saving"}),
                         (change.fields, change.expected))  # fmt: skip
        self.assertEqual({"a", "b"}, ImageChange.status("x", expected=("a", "b")).expected)

    def test_what_changes_nothing_is_false(self) -> None:
        self.assertFalse(ImageChange(expected=frozenset({"active"}), holder="me"))
        for change in (
            {"fields": {"name": None}},
            {"set_properties": {"a": ""}},
            {"remove_properties": frozenset({"a"})},
            {"tags": []},
            {"add_tags": ("t",)},
            {"remove_tags": ("t",)},
            {"add_locations": (Location("u"),)},
            {"remove_locations": (Location("u"),)},
            {"update_locations": (Location("u"),)},
            {"acquire": ClaimRequest("h", "upload")},
            {"release": ClaimRelease()},
        ):
            self.assertTrue(ImageChange(**change), change)

    def test_properties_and_tags_after(self) -> None:
        change = ImageChange(
            set_properties={"a": "2", "c": "3"}, remove_properties=frozenset({"b", "c"})
        )
        self.assertEqual({"a": "2", "c": "3"}, change.properties_after({"a": "1", "b": "1"}))
        change = ImageChange(add_tags=("x",), remove_tags=("y",))
        self.assertEqual({"x", "z"}, change.tags_after(["y", "z"]))
        self.assertEqual({"w"}, ImageChange(tags=["w"]).tags_after(["y"]))

    def test_what_new_data_replaces(self) -> None:
        self.assertEqual({}, without_data(Image("i")))
        names = {"checksum", "os_hash_algo", "os_hash_value"}
        for known in ({"checksum": "c"}, {"os_hash_value": "v"}):
            self.assertEqual(dict.fromkeys(names), without_data(Image("i", **known)))


class ReservationTest(unittest.TestCase):
    def test_limits_are_compared_with_what_is_used(self) -> None:
        asked = []

        def used(resource: str, owner: str | None) -> int:
            asked.append((resource, owner))
            return 8

        QuotaReservation("p", {"images": 8, "storage": 9}).enforce(used)
        self.assertEqual([("images", "p"), ("storage", "p")], asked)
        for name, resource in RESOURCES.items():
            with self.assertRaises(errors.QuotaExceeded) as raised:
                QuotaReservation("p", {name: 7}).enforce(used)
            self.assertEqual(resource.message % 7, str(raised.exception))

    def test_names_of_resources_are_unique(self) -> None:
        self.assertEqual(
            len(RESOURCES), len({resource.unified_limit for resource in RESOURCES.values()})
        )
        for name, resource in RESOURCES.items():
            self.assertEqual(name, resource.name)


if __name__ == "__main__":
    unittest.main()
