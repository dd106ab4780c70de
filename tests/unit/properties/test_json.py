"""Bodies of requests: whatever a client sends is read, or refused with an error of the domain."""

from __future__ import annotations

import json
import unittest
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.wire import load
from glance_py.wire.load import MAX_DEPTH, ImageLoader
from tests.unit.http.fakes import IMAGE
from tests.unit.properties import json_values

LOADER = ImageLoader(IMAGE)

NAMES = st.sampled_from([field.name for field in IMAGE])

#: Values that fit the fields of an image, more often than any JSON does.
PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | st.text(max_size=300),
        "visibility": st.sampled_from(["private", "public", "shared", "community", "?"]),
        "protected": st.booleans(),
        "os_hidden": st.booleans(),
        "disk_format": st.sampled_from(["raw", "qcow2", "?", None]),
        "container_format": st.sampled_from(["bare", "ovf", "?", None]),
        "min_ram": st.integers(-1, 2**31) | st.floats(),
        "min_disk": st.integers(-1, 2**31),
        "tags": st.lists(st.text(max_size=260), max_size=3),
        "os_hash_algo": st.text(max_size=5),
        "colour": json_values.values(),
    },
)


class ParseTest(unittest.TestCase):
    @given(st.binary(max_size=40) | st.text(alphabet='[]{}",:0123eE+-.tfn \\u', max_size=40))
    @example(b"")
    @example(b"\xef\xbb\xbf{}")
    @example(b"[1e999]")
    @example('"\\ud800"')
    def test_bytes_are_json_or_invalid(self, body: bytes | str) -> None:
        body = body if isinstance(body, bytes) else body.encode()
        try:
            read = load.parse_json(body)
        except errors.Invalid:
            return
        self.assertEqual(json.loads(body), read)

    @given(json_values.values())
    def test_what_was_written_is_read(self, value: Any) -> None:
        self.assertEqual(value, load.parse_json(json_values.body(value)))

    @given(st.integers(1, 2 * MAX_DEPTH), st.data())
    def test_depth_is_limited_exactly(self, depth: int, data: st.DataObject) -> None:
        arrays = data.draw(st.lists(st.booleans(), min_size=depth, max_size=depth))
        opening = "".join("[" if array else '{"k":' for array in arrays)
        closing = "".join("]" if array else "}" for array in reversed(arrays))
        # Shallow neighbours make a document large, not deep.
        body = f"[{opening}1{closing}{',[]' * data.draw(st.integers(0, MAX_DEPTH))}]".encode()
        if depth + 1 <= MAX_DEPTH:
            load.parse_json(body)
        else:
            with self.assertRaises(errors.Invalid):
                load.parse_json(body)


class ImageTest(unittest.TestCase):
    @given(PLAUSIBLE | json_values.objects(NAMES))
    def test_an_image_is_storable_or_refused(self, document: dict[str, Any]) -> None:
        """Nothing that a database cannot hold passes, and each value arrives as it was sent."""
        try:
            image = LOADER.image(RequestContext(project_id="p"), json_values.body(document))
        except errors.GlanceError:
            return
        for text in (image.name or "", *image.tags, *image.properties):
            self.assertNotRegex(text, "[\x00\U00010000-\U0010ffff]")
        self.assertTrue(0 <= image.min_ram < 2**31 and 0 <= image.min_disk < 2**31)
        for name, value in image.properties.items():
            sent = document[name]
            if isinstance(sent, str | None):
                self.assertEqual(sent, value)
            else:
                self.assertEqual(sent, json.loads(value))
        self.assertEqual(
            {},
            {
                name: document[name]
                for name in LOADER.writable & document.keys()
                if getattr(image, name) != document[name]
            },
        )


if __name__ == "__main__":
    unittest.main()
