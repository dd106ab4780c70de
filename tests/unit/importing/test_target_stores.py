"""The stores to which an import writes."""

from __future__ import annotations

import unittest

from glance_py.domain import errors
from glance_py.domain.image import Image, Location
from glance_py.importing.target_stores import target_stores
from tests.unit.importing.fakes import ID, Stores, copy, web


class TargetStoresTest(unittest.TestCase):
    def setUp(self) -> None:
        self.stores = Stores("/nowhere")

    def choose(self, request, *present: str) -> list[str | None]:
        image = Image(ID, locations=[Location("u", {"store": store}) for store in present])
        return target_stores(self.stores, image, request)

    def refused(self, error: type[Exception], text: str, request, *present: str) -> None:
        with self.assertRaisesRegex(error, text):
            self.choose(request, *present)

    def test_what_the_request_names(self) -> None:
        self.assertEqual(["one"], self.choose(web()))
        self.assertEqual(["two", "one"], self.choose(web(stores=["two", "one", "two"])))
        self.assertEqual([], self.choose(web(stores=[])))
        self.assertEqual(["one", "two"], self.choose(web(all_stores=True)))

    def test_a_service_with_one_store(self) -> None:
        self.stores.multi = False
        self.assertEqual([None], self.choose(web()))
        self.refused(errors.Invalid, "many stores", web(all_must_succeed=False))

    def test_two_ways_at_once(self) -> None:
        self.refused(errors.Invalid, "Either", web(stores=["one"], all_stores=True))

    def test_an_unknown_store(self) -> None:
        self.refused(errors.Conflict, "no store 'x'", web(stores=["one", "x"]))

    def test_read_only_stores(self) -> None:
        for request in (
            web(stores=["ro"]),
            web(stores=["one", "ro"]),
            web(stores=["ro"], all_must_succeed=False),
        ):
            self.refused(errors.Invalid, "into ro: such stores are read-only", request)
        self.assertEqual(
            ["one", "ro"], self.choose(web(stores=["one", "ro"], all_must_succeed=False))
        )
        self.stores.read_only = {"one", "two", "ro"}
        self.refused(errors.Invalid, "all stores are read-only", web(all_stores=True))
        self.refused(errors.Invalid, "into one", web())
        self.refused(errors.Invalid, "into one, two", web(stores=["one", "two"]))

    def test_copies(self) -> None:
        self.assertEqual(["two"], self.choose(copy("two"), "one"))
        self.assertEqual(["two"], self.choose(copy(all_stores=True), "one"))
        self.assertEqual([], self.choose(copy(all_stores=True), "one", "two"))
        self.refused(errors.Invalid, "in store one already", copy("two", "one"), "one", "two")
        # Data of a queued image, which a failed upload left, is no copy.
        self.assertEqual(["one"], self.choose(web(stores=["one"]), "one"))


if __name__ == "__main__":
    unittest.main()
