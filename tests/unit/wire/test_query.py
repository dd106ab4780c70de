"""Query strings of image lists: filters, sorting, paging, links."""

import datetime
import os
import time
import unittest
from unittest import mock

from glance_py.domain import errors
from glance_py.domain.query import Filter
from glance_py.wire.query import MATCH_NONE, MAX_CONDITIONS, ImageQueryLoader
from tests.unit.http.fakes import IMAGE

LOADER = ImageQueryLoader(IMAGE, 25, 1000)
DATE = datetime.datetime(2001, 1, 1)


def load(text):
    return LOADER.load(text)


def filters(text):
    return load(text).query.filters


class Filters(unittest.TestCase):
    def test_comparisons(self):
        for text, wanted in (
            ("name=a", Filter("name", "eq", "a")),
            ("name=eq:a:b", Filter("name", "eq", "a:b")),
            ('name=in:a,"b, c","d\\"e"', Filter("name", "in", ("a", "b, c", 'd"e'))),
            ("name=in:", Filter("name", "in", ("",))),
            ("name=in:a,", Filter("name", "in", ("a", ""))),
            ("status=in:active,queued", Filter("status", "in", ("active", "queued"))),
            ("min_ram=%201", Filter("min_ram", "eq", 1)),
            ("size_min=50", Filter("size", "gte", 50)),
            ("min_ram_max=-1", Filter("min_ram", "lte", -1)),
            ("protected=true", Filter("protected", "eq", True)),
            ("owner=p2", Filter("owner", "eq", "p2")),
            ("created_at=gt:2001-01-01T00:00:00Z", Filter("created_at", "gt", DATE)),
            ("created_at=2001-01-01T02:00:00%2B02:00", Filter("created_at", "eq", DATE)),
            ("created_at=eq:2001-01-01", Filter("created_at", "eq", DATE)),
            ("created_at=gte:%202001-01-01%20", Filter("created_at", "gte", DATE)),
            ("created_at=lt:2001-01-01T00:00", Filter("created_at", "lt", DATE)),
            ("created_at=lte:2001", Filter("created_at", "lte", DATE)),
            ("created_at=neq:2001-01", Filter("created_at", "neq", DATE)),
        ):
            with self.subTest(text=text):
                self.assertEqual((wanted,), filters(text))

    def test_a_time_without_a_zone_is_utc_wherever_the_service_is(self):
        self.addCleanup(time.tzset)
        zone = mock.patch.dict(os.environ, TZ="Asia/Tokyo")
        self.addCleanup(zone.stop)
        zone.start()
        time.tzset()
        self.assertEqual(
            (Filter("created_at", "eq", DATE),), filters("created_at=2001-01-01T00:00:00")
        )

    def test_values_that_no_image_has_ask_for_nothing(self):
        for text in (
            "min_ram=x",
            "min_ram=gt:0",
            "size=",
            "size=1.5",
            "size=" + "9" * 30,
            "visibility=",
            "name=%00",
            "size_min=" + "9" * 30,
            "colour=%00",
            "tag=%00",
        ):
            with self.subTest(text=text):
                self.assertEqual((MATCH_NONE,), filters(text))

    def test_a_bound_beyond_all_numbers_is_no_bound(self):
        self.assertEqual((), filters("size_max=" + "9" * 30))
        self.assertEqual((), filters("size_min=-" + "9" * 30))
        self.assertEqual((MATCH_NONE,), filters("size_max=-" + "9" * 30))
        largest = 2**63 - 1
        for text, operator, value in (
            (f"size_max={largest}", "lte", largest),
            (f"size_min=-{largest}", "gte", -largest),
            (f"size={largest}", "eq", largest),
        ):
            self.assertEqual((Filter("size", operator, value),), filters(text))
        self.assertEqual((), filters(f"size_max={largest + 1}"))
        for text in (f"size={largest + 1}", f"size=-{largest + 1}", f"size_min={largest + 1}"):
            self.assertEqual((MATCH_NONE,), filters(text))

    def test_custom_properties_are_compared_as_they_are(self):
        query = load("colour=in:a,b&is_public=true&=&tags=x").query
        self.assertEqual(
            (("colour", "in:a,b"), ("is_public", "true"), ("", ""), ("tags", "x")), query.properties
        )

    def test_deleted_is_no_filter(self):
        query = load("deleted=true&marker=m&limit=3&sort=name").query
        self.assertEqual(((), ()), (query.filters, query.properties))

    def test_of_repeated_names_the_last_counts_but_times_are_a_range(self):
        self.assertEqual((Filter("name", "eq", "b"),), filters("name=a&name=b"))
        span = filters("updated_at=gt:2001-01-01&updated_at=lt:2002-01-01")
        self.assertEqual(["gt", "lt"], [each.op for each in span])
        self.assertEqual(("red", "big"), load("tag=red&tag=%20big%20").query.tags)

    def test_messages(self):
        one_of = "It must be one of"
        keys = "id, name, container_format, disk_format, status, size, created_at, updated_at"
        for text, message in (
            (
                "visibility=x",
                f"Invalid visibility: 'x'. {one_of} private, public, shared, community, all.",
            ),
            (
                "member_status=x",
                f"Invalid member_status: 'x'. {one_of} pending, accepted, rejected, all.",
            ),
            ("sort=x", f"Invalid sort key: 'x'. {one_of} {keys}."),
            ("sort=name:x", f"Invalid sort direction: 'x'. {one_of} asc, desc."),
            ("sort_key=name&sort=id", "Old and new sorting syntax cannot be combined"),
            (
                "sort_dir=asc&sort_dir=asc",
                "Number of sort dirs does not match the number of sort keys",
            ),
            ("limit=-1", "limit must be an integer, zero or more."),
            ("name=x:y", "Unable to filter by unknown operator 'x'."),
            ("x_min=1", "There is no numeric field 'x' to compare."),
            ("size_max=x", "Unable to filter on a range with a non-numeric value."),
            (
                "created_at=x",
                'Bad "created_at" query filter format. Use ISO 8601 DateTime notation.',
            ),
            ("protected=x", "The value of protected must be true or false."),
            ("locations=x", "Images cannot be filtered by 'locations'."),
        ):
            with self.assertRaises(errors.Invalid) as raised:
                load(text)
            self.assertEqual(message, str(raised.exception))

    def test_markers(self):
        for marker in ("", "x" * 37, "a%00"):
            with self.assertRaises(errors.MarkerNotFound):
                load(f"marker={marker}")
        self.assertEqual("x" * 36, load("marker=" + "x" * 36).query.marker)
        self.assertIsNone(load("").query.marker)

    def test_the_number_of_conditions_is_bounded(self):
        self.assertEqual(256, MAX_CONDITIONS)
        for text in ("tag=t{}", "p{}=v", "created_at=gt:2001"):
            most = "&".join(text.format(n) for n in range(MAX_CONDITIONS))
            load(most)
            with self.subTest(text), self.assertRaisesRegex(errors.Invalid, "filters"):
                load(f"{most}&name=n")
        self.assertEqual(("a",), load("&".join(["tag=a"] * 1000)).query.tags)

    def test_scope(self):
        query = load("visibility=all&member_status=pending&os_hidden=TRUE&deleted=x").query
        self.assertEqual(
            ("all", "pending", True, ()),
            (query.visibility, query.member_status, query.os_hidden, query.filters),
        )
        query = load("").query
        self.assertEqual(
            (None, "accepted", False), (query.visibility, query.member_status, query.os_hidden)
        )

    def test_what_is_not_understood_is_invalid(self):
        for text in (
            'name=in:"open',
            'name=in:a"b',
            'name=in:"a"b',
            "name=neq:a",
            "name=:a",
            "size_min=x",
            "size_min=1.5",
            "foo_min=1",
            "protected=True",
            "protected=",
            "os_hidden=x",
            "os_hidden=",
            "visibility=nope",
            "visibility=PUBLIC",
            "member_status=",
            "created_at=lte:junk",
            "created_at=",
            "created_at=in:2001",
            "changes-since=2001-01-01",
            "locations=x",
            "name=%ff",
            "%ff=1",
            "name=\xff",
        ):
            with self.subTest(text=text), self.assertRaises(errors.Invalid):
                load(text)


class Sorting(unittest.TestCase):
    def test_orders_are_total(self):
        for text, wanted in (
            ("", "created_at:desc id:desc"),
            ("sort_dir=asc", "created_at:asc id:asc"),
            ("sort=name", "name:desc created_at:desc id:desc"),
            ("sort=name:asc", "name:asc created_at:asc id:asc"),
            ("sort=name:", "name:desc created_at:desc id:desc"),
            (
                "sort=%20disk_format:asc,name:desc",
                "disk_format:asc name:desc created_at:desc id:desc",
            ),
            ("sort=name:asc,name:desc", "name:asc created_at:desc id:desc"),
            ("sort=id:asc", "id:asc created_at:asc"),
            ("sort_key=size&sort_key=name&sort_dir=asc", "size:asc name:asc created_at:asc id:asc"),
            (
                "sort_key=size&sort_dir=asc&sort_key=name&sort_dir=desc",
                "size:asc name:desc created_at:desc id:desc",
            ),
        ):
            with self.subTest(text=text):
                self.assertEqual(wanted, " ".join(map(":".join, load(text).query.sort)))

    def test_what_is_no_order_is_invalid(self):
        for text in (
            "sort=name:up",
            "sort=nope",
            "sort=:asc",
            "sort=",
            "sort=name,,size",
            "sort=min_ram:desc",
            "sort=owner",
            "sort=size,min_disk",
            "sort_key=protected",
            "sort=name:asc&sort_key=size",
            "sort=name&sort_dir=asc",
            "sort_key=nope",
            "sort_key=",
            "sort_dir=",
            "sort_key=name&sort_dir=up",
            "sort_dir=asc&sort_dir=desc",
            "sort_key=name&sort_key=size&sort_key=id&sort_dir=asc&sort_dir=desc",
        ):
            with self.subTest(text=text), self.assertRaises(errors.Invalid):
                load(text)


class Paging(unittest.TestCase):
    def test_a_list_that_is_asked_for_in_two_ways_is_empty(self):
        for text, kept in (
            ("limit=1&limit=2", ("limit", 1)),
            ("visibility=public&visibility=public", ("visibility", "public")),
            ("member_status=all&member_status=x", ("member_status", "all")),
        ):
            found = load(text).query
            self.assertIn(MATCH_NONE, found.filters)
            self.assertEqual(kept[1], getattr(found, kept[0]))
        self.assertNotIn(MATCH_NONE, load("name=a&name=b&tag=x&tag=y").query.filters)

    def test_limits(self):
        for text, wanted in (
            ("", 25),
            ("limit=0", 0),
            ("limit=1001", 1000),
            ("limit=%2B7", 7),
            ("limit=" + "9" * 30, 1000),
        ):
            with self.subTest(text=text):
                self.assertEqual(wanted, load(text).query.limit)
        for text in (
            "limit=-1",
            "limit=x",
            "limit=",
            "limit",
            "limit=1.5",
            "marker=",
            "marker=" + "x" * 37,
            "limit=" + "9" * 5000,
        ):
            with self.subTest(text=text), self.assertRaises(errors.Invalid):
                load(text)

    def test_the_next_page_keeps_every_parameter_in_its_place(self):
        asked = load("limit=2&tag=a&marker=m&sort=name:asc&tag=b%20c&x")
        following = "/v2/images?limit=2&tag=a&sort=name%3Aasc&tag=b+c&x=&marker=n"
        self.assertEqual(following, asked.page_after("n"))

    def test_the_first_page_keeps_the_last_of_a_repeated_name(self):
        asked = load("limit=2&tag=a&marker=m&sort=name:asc&tag=b")
        self.assertEqual("/v2/images?limit=2&tag=b&sort=name%3Aasc", asked.first_page)

    def test_links_of_a_list_that_asks_for_nothing(self):
        self.assertEqual(
            ("/v2/images", "/v2/images?marker=n"), (load("&&").first_page, load("").page_after("n"))
        )
