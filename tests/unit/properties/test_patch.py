"""PATCH requests: any body is read or refused, and steps have the effect of a plain model."""

from __future__ import annotations

import copy
import re
import unittest
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from glance_py.domain import errors
from glance_py.domain.change import ImageChange, RejectedChange
from glance_py.domain.image import Image, Location
from glance_py.wire import media_types, patch
from glance_py.wire.load import ImageLoader
from tests.unit.http.fakes import IMAGE
from tests.unit.properties import json_values

LOADER = ImageLoader(IMAGE)
RULES = patch.LocationRules(allowed=True, algorithm="sha512", sort_locations=list)
READER = patch.PatchLoader(LOADER)

MEDIA_TYPES = st.sampled_from(media_types.PATCH)

#: Names of custom properties, with each character that a pointer escapes.
PROPERTIES = st.sampled_from(["p", "q", "a/b", "~", "~1", "x y"])

#: Pointers, right ones and nearly right ones.
POINTERS = (
    st.sampled_from(["/name", "/tags", "/locations", "/locations/-", "/locations/0", "/id", "/p"])
    | st.text(alphabet="/~01ab -", max_size=8)
    | st.text(max_size=5)
)
OPERATIONS = st.sampled_from(["add", "replace", "remove"])

#: Operations of both forms, of a right shape more often than any JSON has.
ITEMS = (
    st.fixed_dictionaries(
        {"op": OPERATIONS | st.text(max_size=3), "path": POINTERS},
        optional={"value": json_values.values()},
    )
    | st.builds(
        lambda do, path, value: {do: path, "value": value},
        OPERATIONS,
        POINTERS,
        json_values.values(),
    )
    | json_values.values()
)


def image(**fields: Any) -> Image:
    return Image("i", disk_format="raw", container_format="bare", **fields)


def pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def body(media_type: str, steps: list[tuple[str, str, Any]]) -> bytes:
    """(operation, pointer, value) in the form of a media type."""
    return json_values.body(
        [
            {"op": do, "path": path, "value": value}
            if media_type == media_types.PATCH_V21
            else {do: path, "value": value}
            for do, path, value in steps
        ]
    )


class AnyBodyTest(unittest.TestCase):
    @given(MEDIA_TYPES, st.lists(ITEMS, max_size=4) | json_values.values(), st.booleans())
    @example(media_types.PATCH_V21, [{"op": ["add"], "path": "/p", "value": ""}], True)
    @example(media_types.PATCH_V21, [{"op": "add", "path": ["/p"], "value": ""}], True)
    @example(media_types.PATCH_V20, [{"add": {}, "value": ""}], True)
    @example(media_types.PATCH_V21, [{"op": "add", "path": "/locations/٣", "value": {}}], False)
    def test_it_is_read_and_applied_or_refused(
        self, media_type: str, document: Any, queued: bool
    ) -> None:
        before = image(
            status="queued" if queued else "active",
            properties={"p": "v"},
            locations=[] if queued else [Location("file:///a", id=1), Location("file:///b", id=2)],
        )
        try:
            operations = READER.operations(media_type, json_values.body(document))
        except errors.GlanceError:
            return
        untouched = copy.deepcopy(before)
        patch.apply(before, operations, LOADER, RULES)
        self.assertEqual(untouched, before)
        self.assertEqual(len(document), len(operations))


class PointerTest(unittest.TestCase):
    @given(st.text(alphabet="/~01a", max_size=8).map("/a".__add__))
    @example("/a~~01")
    @example("/a~")
    def test_as_in_rfc_6901(self, path: str) -> None:
        """Names of one part are understood if and only if each ~ is that of an escape."""
        right = re.fullmatch("/(?:[^~/]|~[01])+", path)
        try:
            [operation] = READER.operations(
                media_types.PATCH_V21, body(media_types.PATCH_V21, [("add", path, "v")])
            )
        except errors.Invalid:
            self.assertIsNone(right)
        else:
            self.assertIsNotNone(right)
            self.assertEqual(path, pointer(operation.name))


class PropertiesTest(unittest.TestCase):
    @given(
        MEDIA_TYPES,
        st.dictionaries(PROPERTIES, st.sampled_from(["1", "2"])),
        st.lists(st.tuples(OPERATIONS, PROPERTIES, st.sampled_from(["1", "2"])), max_size=8),
    )
    def test_steps_act_as_on_a_dict(
        self, media_type: str, properties: dict[str, str], steps: list[tuple[str, str, str]]
    ) -> None:
        expected: dict[str, str] | None = dict(properties)
        for do, name, value in steps:
            exists = name in expected
            if (
                exists
                if media_type == media_types.PATCH_V20 and do == "add"
                else do != "add" and not exists
            ):
                expected = None
                break
            if do == "remove":
                del expected[name]
            else:
                expected[name] = value
        written = body(media_type, [(do, pointer(name), value) for do, name, value in steps])
        change = patch.apply(
            image(properties=properties), READER.operations(media_type, written), LOADER, RULES
        )
        if expected is None:
            self.assertIsInstance(change, RejectedChange)
            self.assertIsInstance(change.error, errors.Conflict)
        else:
            self.assertNotIsInstance(change, RejectedChange)
            self.assertEqual(expected, change.properties_after(properties))


class LocationsTest(unittest.TestCase):
    @given(
        st.lists(
            st.tuples(st.just("add"), st.sampled_from(["-", "0", "1", "007", "9" * 30]))
            | st.tuples(st.just("remove"), st.sampled_from(["-", "0", "1", "2"])),
            max_size=6,
        ),
        st.integers(1, 3),
    )
    def test_steps_act_as_on_a_list(self, steps: list[tuple[str, str]], number: int) -> None:
        """New ones have new addresses; what stands behind the end is the end."""
        before = [Location(f"file:///{each}", id=each) for each in range(number)]
        expected: list[str] | None = [location.url for location in before]
        written: list[tuple[str, str, Any]] = []
        for step, (do, position) in enumerate(steps):
            url = f"file:///new{step}"
            written.append((do, f"/locations/{position}", {"url": url, "metadata": {}}))
            if expected is None:
                continue
            if do == "add":
                last = len(expected)
                expected.insert(last if position == "-" else min(int(position), last), url)
            elif len(expected) == 1 or (position != "-" and int(position) >= len(expected)):
                expected = None
            else:
                del expected[-1 if position == "-" else int(position)]
        change = patch.apply(
            image(status="active", locations=before),
            READER.operations(media_types.PATCH_V21, body(media_types.PATCH_V21, written)),
            LOADER,
            RULES,
        )
        impossible = isinstance(change, RejectedChange) or any(
            location.id is None for location in change.remove_locations
        )
        self.assertEqual(expected is None, impossible)
        if expected is not None:
            self.assertEqual(expected, self.urls_after(before, change))

    @staticmethod
    def urls_after(before: list[Location], change: ImageChange) -> list[str]:
        """The list that the answer to the request shows."""
        urls = [each.url for each in before if each not in change.remove_locations]
        for position, added in zip(change.location_indexes, change.add_locations, strict=True):
            urls.insert(position, added.url)
        return urls


if __name__ == "__main__":
    unittest.main()
