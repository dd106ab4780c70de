"""Values between API host and registry arrive as they were sent; other JSON is refused."""

from __future__ import annotations

import dataclasses
import datetime
import unittest
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from glance_py.domain.change import ImageChange
from glance_py.domain.claim import ClaimRelease, ClaimRequest
from glance_py.domain.image import COLUMNS, Image, Location
from glance_py.domain.member import Member
from glance_py.domain.metadef import (
    KINDS,
    Association,
    Definition,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    Object,
    Property,
    Tag,
)
from glance_py.domain.query import Filter, ImageQuery, Page
from glance_py.domain.task import Task, TaskQuery
from glance_py.registry import codec
from glance_py.registry.codec import DecodeError
from tests.unit.properties import json_values

TEXT = st.text(max_size=8)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
DOCUMENTS = st.dictionaries(TEXT, json_values.values(), max_size=3)
TIMES = st.datetimes()

#: How the types of fields are generated that ``from_type`` would make something else of.
st.register_type_strategy(datetime.datetime, TIMES)

LOCATIONS = st.builds(Location, TEXT, DOCUMENTS, TEXT, st.none() | INTEGERS, extra=DOCUMENTS)
IMAGES = st.builds(
    Image,
    id=TEXT,
    name=st.none() | TEXT,
    owner=st.none() | TEXT,
    protected=st.booleans(),
    min_ram=INTEGERS,
    size=st.none() | INTEGERS,
    created_at=st.none() | TIMES,
    deleted_at=st.none() | TIMES,
    tags=st.lists(TEXT, max_size=3),
    properties=st.dictionaries(TEXT, TEXT, max_size=3),
    locations=st.lists(LOCATIONS, max_size=2),
    caller_membership=st.none() | TEXT,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | TEXT,
        "status": TEXT,
        "size": st.none() | INTEGERS,
        "protected": st.booleans(),
    },
)
CHANGES = st.builds(
    ImageChange,
    fields=FIELDS,
    set_properties=st.dictionaries(TEXT, TEXT, max_size=3),
    remove_properties=st.sets(TEXT, max_size=3),
    tags=st.none() | st.lists(TEXT, max_size=3),
    add_tags=st.lists(TEXT, max_size=3).map(tuple),
    add_locations=st.lists(LOCATIONS, max_size=2).map(tuple),
    location_indexes=st.lists(INTEGERS, max_size=2).map(tuple),
    expected=st.none() | st.frozensets(TEXT, max_size=3),
    acquire=st.none() | st.from_type(ClaimRequest),
    holder=st.none() | TEXT,
    release=st.none() | st.from_type(ClaimRelease),
)
FILTERS = (
    st.builds(Filter, st.sampled_from(["name", "id"]), st.just("eq"), TEXT)
    | st.builds(Filter, st.just("size"), st.sampled_from(["gte", "lte"]), INTEGERS)
    | st.builds(Filter, st.just("created_at"), st.just("gt"), TIMES)
    | st.builds(Filter, st.just("protected"), st.just("eq"), st.booleans())
    | st.builds(Filter, st.just("id"), st.just("in"), st.lists(TEXT, max_size=3).map(tuple))
)
QUERIES = st.builds(
    ImageQuery,
    filters=st.lists(FILTERS, max_size=3).map(tuple),
    properties=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    marker=st.none() | TEXT,
    limit=INTEGERS,
)
DEFINITIONS = (
    st.builds(Tag, TEXT, st.none() | TIMES)
    | st.builds(Association, TEXT, prefix=st.none() | TEXT)
    | st.builds(Property, TEXT, schema=DOCUMENTS)
    | st.builds(
        Object,
        TEXT,
        description=st.none() | TEXT,
        required=st.none() | st.lists(TEXT, max_size=2),
        properties=st.none() | st.dictionaries(TEXT, DOCUMENTS, max_size=2),
    )
)
NAMESPACES = st.builds(
    Namespace,
    TEXT,
    st.none() | TEXT,
    created_at=st.none() | TIMES,
    id=st.none() | INTEGERS,
    contents=st.lists(DEFINITIONS, max_size=3).map(
        lambda those: {
            kind: [each for each in those if type(each) is kind]
            for kind in KINDS
            if kind in map(type, those)
        }
    ),
)
TASKS = st.builds(Task, TEXT, TEXT, TEXT, input=st.none() | DOCUMENTS, expires_at=st.none() | TIMES)

#: A type as the ports name it -> values of it.
TYPES: dict[Any, st.SearchStrategy[Any]] = {
    Image: IMAGES,
    Image | None: st.none() | IMAGES,
    list[Image]: st.lists(IMAGES, max_size=2),
    Page: st.builds(Page, st.lists(IMAGES, max_size=2), st.booleans()),
    ImageChange: CHANGES,
    ImageQuery: QUERIES,
    Member: st.from_type(Member),
    Task: TASKS,
    TaskQuery: st.from_type(TaskQuery),
    NamespaceQuery: st.from_type(NamespaceQuery),
    Namespace: NAMESPACES,
    NamespacePage: st.builds(NamespacePage, st.lists(NAMESPACES, max_size=2), st.booleans()),
    Definition: DEFINITIONS,
    list[Definition]: st.lists(DEFINITIONS, max_size=3),
    dict[str, int]: st.dictionaries(TEXT, INTEGERS),
    tuple[str, int]: st.tuples(TEXT, INTEGERS),
}

_HINTS = st.sampled_from(list(TYPES))


def sent(hint: Any, value: Any) -> Any:
    """The JSON of a value on the other side."""
    return orjson.loads(orjson.dumps(codec.encode(hint, value), default=codec.encode_default))


class RoundTripTest(unittest.TestCase):
    @given(_HINTS.flatmap(lambda hint: st.tuples(st.just(hint), TYPES[hint])), st.booleans())
    def test_a_value_arrives_as_it_was_sent(self, typed: tuple[Any, Any], strict: bool) -> None:
        hint, value = typed
        self.assertEqual(value, codec.decode(hint, sent(hint, value), strict=strict))

    @given(st.dictionaries(st.text(max_size=5), json_values.values()), IMAGES)
    def test_unknown_fields_are_refused_only_by_the_strict(
        self, more: dict[str, Any], image: Image
    ) -> None:
        names = {field.name for field in dataclasses.fields(Image)}
        document = {**{f"x_{name}": each for name, each in more.items()}, **sent(Image, image)}
        self.assertLessEqual(names, document.keys())
        self.assertEqual(image, codec.decode(Image, document))
        if more:
            with self.assertRaises(DecodeError):
                codec.decode(Image, document, strict=True)


class AnyJsonTest(unittest.TestCase):
    @given(
        _HINTS,
        json_values.values()
        | json_values.objects(
            st.sampled_from(["id", "name", "created_at", "fields", "filters", "contents", "owner"])
        ),
    )
    @example(Image, {"id": "i", "created_at": "0001-01-01T00:00:00+14:00"})
    @example(Image, {"id": "i", "created_at": 5})
    @example(ImageQuery, {"filters": [{"field": "size", "op": "in", "value": 5}]})
    @example(ImageQuery, {"filters": [{"field": ["size"], "op": "in", "value": [5]}]})
    @example(ImageQuery, {"filters": [{"field": None, "op": "in", "value": [5]}]})
    @example(Namespace, {"name": "n", "owner": "o", "contents": {"tag": [{"name": None}]}})
    @example(Definition, [[], {}])
    def test_it_is_a_value_or_malformed(self, hint: Any, document: Any) -> None:
        try:
            codec.decode(hint, document, strict=True)
        except DecodeError:
            return

    @given(FIELDS, TEXT)
    def test_a_change_sets_no_field_that_an_image_lacks(
        self, fields: dict[str, Any], name: str
    ) -> None:
        document = {"fields": {**fields, f"x{name}": 1}}
        self.assertNotIn(f"x{name}", COLUMNS)
        with self.assertRaises(DecodeError):
            codec.decode(ImageChange, document, strict=True)


if __name__ == "__main__":
    unittest.main()
