"""Ranges of downloads, compared with slices of bytes (RFC 9110, 14.1.2)."""

from __future__ import annotations

import unittest

from hypothesis import example, given
from hypothesis import strategies as st

from glance_py.domain import errors
from glance_py.http.ranges import requested_range

SIZES = st.integers(0, 12)
NUMBERS = st.integers(0, 15) | st.integers(10**17, 10**40)
BLANKS = st.sampled_from(["", " "])


def part(data: bytes, header: str | None, content_range: str | None = None) -> bytes | None:
    """The bytes of ``data`` that are sent; None when the range cannot be satisfied."""
    try:
        found = requested_range(header, content_range, len(data))
    except errors.RangeNotSatisfiable:
        return None
    if found is None:
        return data
    start, stop = found
    if not 0 <= start < stop <= len(data):
        raise AssertionError(f"{header} {content_range}: {start}-{stop} of {len(data)} bytes")
    return data[start:stop]


class RangeTest(unittest.TestCase):
    def check(self, expected: bytes, header: str, data: bytes) -> None:
        """An empty part is one that cannot be satisfied."""
        self.assertEqual(expected or None, part(data, header), header)

    @given(SIZES, NUMBERS, NUMBERS, BLANKS)
    def test_first_and_last(self, size: int, first: int, last: int, blank: str) -> None:
        data = bytes(range(size))
        self.check(data[first : last + 1], f"bytes={blank}{first}-{last}{blank}", data)

    @given(SIZES, NUMBERS)
    def test_from_a_byte_to_the_end(self, size: int, first: int) -> None:
        data = bytes(range(size))
        self.check(data[first:], f"bytes={first}-", data)

    @given(SIZES, NUMBERS)
    def test_a_suffix(self, size: int, length: int) -> None:
        data = bytes(range(size))
        # wire: a suffix of no bytes is the whole image.
        self.check(data[-length:] if length else data, f"bytes=-{length}", data)

    @given(SIZES, NUMBERS, NUMBERS, st.sampled_from(["*", "12", "0"]))
    def test_the_older_form(self, size: int, first: int, last: int, total: str) -> None:
        """A part must lie inside of the image as a whole."""
        data = bytes(range(size))
        inside = first <= last < size
        self.assertEqual(
            data[first : last + 1] if inside else None,
            part(data, None, f"bytes {first}-{last}/{total}"),
        )

    @given(
        st.text(max_size=30) | st.text(alphabet="bytes=-,0123456789 \t٣", max_size=30),
        st.booleans(),
        SIZES,
    )
    @example("bytes=0-0,2-3", False, 12)
    @example("bytes=٣-٣", False, 12)
    @example("bytes=0-0\n", False, 12)
    def test_any_header_is_understood_or_refused(self, header: str, older: bool, size: int) -> None:
        try:
            part(bytes(range(size)), None if older else header, header if older else None)
        except errors.Invalid:
            self.assertIn(",", header)


if __name__ == "__main__":
    unittest.main()
