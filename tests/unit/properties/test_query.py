"""Query strings of lists: any is understood or refused, and links ask for the same again."""

from __future__ import annotations

import dataclasses
import unittest
import urllib.parse

from hypothesis import assume, example, given
from hypothesis import strategies as st

from glance_py.domain import errors
from glance_py.domain.query import Filter
from glance_py.wire import query
from tests.unit.http.fakes import IMAGE

MAX_LIMIT = 1000
LOADER = query.ImageQueryLoader(IMAGE, default_limit=25, max_limit=MAX_LIMIT)

NAMES = st.sampled_from(
    [
        *sorted(query.FIXED_PARAMETERS),
        *(field.name for field in IMAGE if field.filter),
        "size_min",
        "size_max",
        "changes-since",
        "deleted",
        "os_distro",
    ]
)
VALUES = st.sampled_from(
    ["", "true", "false", "shared", "all", "accepted", "name", "name:asc,size", "asc", "desc"]
    + ["in:a,b", 'in:"a,b"', 'in:"a', "eq:a", "x:a", "0", "-1", "007", "9" * 41, "1e3"]
    + ["gt:2020-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
    + ["2020", "2020-13", "lte:2020-W01-1", "gte: 2020-01-01 "]
) | st.text(max_size=8)
PARAMETERS = st.lists(st.tuples(NAMES | st.text(max_size=5), VALUES), max_size=6)


def load(parameters: list[tuple[str, str]]) -> query.ImageListRequest:
    """:raises errors.GlanceError: the service refuses them."""
    return LOADER.load(urllib.parse.urlencode(parameters))


class QueryTest(unittest.TestCase):
    @given(st.text(alphabet=st.characters(max_codepoint=255), max_size=30))
    @example("name=%ff")
    @example("%00=%00")
    def test_any_query_string_is_understood_or_refused(self, text: str) -> None:
        try:
            LOADER.load(text)
        except errors.GlanceError:
            return

    @given(PARAMETERS)
    def test_a_query_is_complete(self, parameters: list[tuple[str, str]]) -> None:
        """What data access relies on: a total order, a bounded page, bounded conditions."""
        try:
            found = load(parameters).query
        except errors.GlanceError:
            return
        keys = [key for key, _direction in found.sort]
        self.assertEqual(len(set(keys)), len(keys))
        self.assertLessEqual({"created_at", "id"}, set(keys))
        self.assertLessEqual({direction for _key, direction in found.sort}, {"asc", "desc"})
        self.assertTrue(0 <= found.limit <= MAX_LIMIT)
        for each in found.filters:
            if isinstance(each.value, int):
                self.assertLess(abs(each.value), 2**63)
            values = each.value if each.op == "in" else (each.value,)
            self.assertNotIn("\x00", "".join(value for value in values if isinstance(value, str)))

    @given(PARAMETERS, st.uuids().map(str))
    def test_the_next_page_is_of_the_same_list(
        self, parameters: list[tuple[str, str]], marker: str
    ) -> None:
        try:
            asked = load(parameters)
        except errors.GlanceError:
            return
        again = LOADER.load(asked.page_after(marker).partition("?")[2])
        names = [name for name, _value in parameters]
        assume(names.count("marker") < 2)  # Two of them ask for nothing.
        self.assertEqual(dataclasses.replace(asked.query, marker=marker), again.query)

    @given(PARAMETERS)
    def test_the_first_page_is_of_the_same_list(self, parameters: list[tuple[str, str]]) -> None:
        assume(len({name for name, _value in parameters}) == len(parameters))
        try:
            asked = load(parameters)
        except errors.GlanceError:
            return
        again = LOADER.load(asked.first_page.partition("?")[2])
        self.assertEqual(dataclasses.replace(asked.query, marker=None), again.query)

    @given(st.lists(st.text(max_size=8), min_size=1, max_size=5), st.data())
    def test_a_quoted_list_is_read_back(self, values: list[str], data: st.DataObject) -> None:
        written = []
        for value in values:
            if '"' in value or "," in value or data.draw(st.booleans()):
                value = '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))
            written.append(value)
        self.assertEqual(values, query.split_list(",".join(written)))

    @given(st.integers(-(2**65), 2**65), st.integers(0, 5), st.sampled_from(["size", "min_ram"]))
    def test_a_number_is_a_number_or_nothing(self, number: int, zeros: int, name: str) -> None:
        sign = "-" if number < 0 else ""
        [found] = load([(name, f" {sign}{'0' * zeros}{abs(number)} ")]).query.filters
        possible = abs(number) < 2**63
        self.assertEqual(Filter(name, "eq", number) if possible else query.MATCH_NONE, found)


if __name__ == "__main__":
    unittest.main()
