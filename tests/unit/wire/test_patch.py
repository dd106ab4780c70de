"""From PATCH bodies to changes: paths, names, order of checks, both media types."""

import cProfile
import pstats
import unittest

import orjson

from glance_py.domain import errors
from glance_py.domain.change import RejectedChange
from glance_py.domain.image import Image, Location
from glance_py.wire import media_types, patch
from glance_py.wire.load import ImageLoader
from tests.unit.http.fakes import IMAGE

LOADER = ImageLoader(IMAGE)
SHA = "ab" * 64


def op(do, path, *value):
    return {"op": do, "path": path, **({"value": value[0]} if value else {})}


class Patches(unittest.TestCase):
    def setUp(self):
        self.reader = patch.PatchLoader(LOADER)
        self.image = Image(
            "i",
            name="n",
            disk_format="raw",
            container_format="bare",
            properties={"p": "v", "a/b": "slash"},
        )
        self.allowed = True

    def read(self, body, media_type=media_types.PATCH_V21):
        body = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.reader.operations(media_type, body)

    def attempt(self, *operations, media_type=media_types.PATCH_V21):
        rules = patch.LocationRules(self.allowed, "sha512", list)
        return patch.apply(self.image, self.read(list(operations), media_type), LOADER, rules)

    def apply(self, *operations, **how):
        """The change of operations that are possible."""
        change = self.attempt(*operations, **how)
        if isinstance(change, RejectedChange):
            self.fail(f"rejected: {change.error}")
        return change

    def refused(self, error, *operations, **how):
        with self.subTest(operations=operations), self.assertRaises(error):
            change = self.attempt(*operations, **how)
            if isinstance(change, RejectedChange):
                raise change.error


class Owners(Patches):
    def test_messages_of_pointers(self):
        for path, message in (
            ("name", 'Pointer `name` does not start with "/".'),
            ("/a//b", 'Pointer `/a//b` contains adjacent "/".'),
            ("/a/", 'Pointer `/a/` ends with "/".'),
            ("/a~2", 'Pointer `/a~2` contains "~" not part of a recognized escape.'),
            ("/a/b", "Invalid JSON pointer for this resource: '/a/b'"),
        ):
            with self.assertRaises(errors.Invalid) as raised:
                self.read([op("remove", path)])
            self.assertEqual(message, str(raised.exception))

    def test_the_empty_owner_is_none(self):
        change = self.apply(op("replace", "/owner", ""))
        self.assertEqual({"owner": None}, change.fields)
        self.assertEqual({"owner": "p2"}, self.apply(op("replace", "/owner", "p2")).fields)


class Reading(Patches):
    def test_wrong_shapes_are_invalid(self):
        for item in (
            op("move", "/q", "x"),
            {"path": "/name", "value": "x"},
            op("add", "name", 1),
            op("replace", "/name"),
            op("replace", 5, "x"),
            op([], "/name", "x"),
            {"op": "add", "value": "x"},
            "text",
            None,
            op("replace", "", "x"),
        ):
            with self.subTest(item=item), self.assertRaises(errors.Invalid):
                self.read([item])
        for body in (b"", b"[{", b"{}", b"null", b'"x"'):
            with self.subTest(body=body), self.assertRaises(errors.Invalid):
                self.read(body)

    def test_wrong_paths_are_invalid(self):
        for path in (
            "/name/",
            "/a//b",
            "///name",
            "//",
            "/x/y",
            "/tags/-",
            "/name/x",
            "/a~b",
            "/a~2b",
            "/a~",
            "/locations/0/url",
        ):
            with self.subTest(path=path), self.assertRaises(errors.Invalid):
                self.read([op("add", path, "x")])

    def test_names_of_paths(self):
        for path, name in (
            ("/name", "name"),
            ("//name", "name"),
            ("/ name ", "name"),
            ("/", ""),
            ("/ ", ""),
            ("/a~1b~0c", "a/b~c"),
            ("/~01", "~1"),
        ):
            with self.subTest(path=path):
                self.assertEqual(name, self.read([op("add", path, "x")])[0].name)

    def test_read_only_and_reserved_names_are_forbidden_whatever_the_value(self):
        for name in (
            "status",
            "checksum",
            "size",
            "virtual_size",
            "created_at",
            "updated_at",
            "direct_url",
            "self",
            "file",
            "schema",
            "os_hash_algo",
            "os_hash_value",
            "id",
            "location",
            "deleted",
            "deleted_at",
            "os_glance_x",
            "OS_GLANCE_x",
            "ös_glance_x",
            "os_gla\u00adnce_x",
        ):
            for operation in (
                op("add", f"/{name}", []),
                op("replace", f"/{name}", "x"),
                op("remove", f"/{name}"),
            ):
                with self.subTest(operation=operation), self.assertRaises(errors.Forbidden):
                    self.read([operation])

    def test_the_name_of_a_column_is_neither_there_nor_free(self):
        for operation, error in (
            (op("add", "/image_id", "x"), errors.NotFound),
            (op("replace", "/image_id", "x"), errors.NotFound),
            (op("remove", "/image_id"), errors.Forbidden),
        ):
            with self.subTest(operation=operation), self.assertRaises(error):
                self.read([operation])

    def test_values_are_checked(self):
        for name, value in (
            ("name", 1),
            ("tags", ["t" * 256]),
            ("tags", None),
            ("num", 1),
            ("nul", None),
            ("disk_format", "bare"),
            ("stores", 5),
        ):
            with self.subTest(name=name), self.assertRaises(errors.Invalid):
                self.read([op("add", f"/{name}", value)])

    def test_what_the_database_cannot_hold_counts_when_its_turn_comes(self):
        for name, value in (("min_ram", -1), ("min_disk", 2**31), ("emoji", "\U0001f600")):
            self.refused(errors.Invalid, op("add", f"/{name}", value))
        self.refused(errors.Conflict, op("remove", "/none"), op("add", "/min_ram", -1))
        self.refused(errors.Invalid, op("add", "/min_ram", -1), op("remove", "/none"))

    def test_a_step_sees_those_before_it(self):
        self.image.disk_format = None
        place = op("add", "/locations/-", {"url": "c://1", "metadata": {}})
        self.assertEqual(
            1, len(self.apply(op("replace", "/disk_format", "raw"), place).add_locations)
        )
        self.refused(errors.Invalid, place)
        self.image.disk_format = "raw"
        self.refused(errors.Invalid, op("replace", "/container_format", None), place)
        self.refused(errors.Forbidden, place, op("replace", "/disk_format", "qcow2"))
        self.refused(errors.Forbidden, place, op("remove", "/locations/0"))

    def test_several_first_locations_may_say_the_same_of_their_data(self):
        self.image.os_hash_value, self.image.os_hash_algo = "cd" * 64, "sha512"  # was refused
        first, second = (
            op(
                "add",
                "/locations/-",
                {
                    "url": f"c://{number}",
                    "metadata": {},
                    "validation_data": {"os_hash_algo": "sha512", "os_hash_value": SHA},
                },
            )
            for number in (1, 2)
        )
        change = self.apply(first, second)
        self.assertEqual((SHA, 2), (change.fields["os_hash_value"], len(change.add_locations)))
        second["value"]["validation_data"]["os_hash_value"] = "cd" * 64
        self.refused(errors.Conflict, first, second)

    def test_a_rejected_change_names_what_it_would_change(self):
        """The layers ask for the rights to all of it before they raise the error."""
        place = {"url": "c://1", "metadata": {}}
        for operation, fields, properties, added, removed in (
            (op("remove", "/none"), {}, ["none"], 0, 0),
            (op("remove", "/name"), {"name": None}, [], 0, 0),
            (op("replace", "/min_ram", -1), {"min_ram": -1}, [], 0, 0),
            (op("remove", "/locations/0"), {}, [], 0, 1),
            (op("add", "/locations/x", place), {}, [], 1, 0),
            (op("replace", "/locations", []), {}, [], 1, 0),
        ):
            with self.subTest(operation):
                change = self.attempt(op("replace", "/visibility", "public"), operation)
                self.assertIsInstance(change, RejectedChange)
                self.assertEqual(
                    ({"visibility": "public", **fields}, properties, added, removed),
                    (
                        change.fields,
                        list(change.set_properties),
                        len(change.add_locations),
                        len(change.remove_locations),
                    ),
                )
                ids = [each.id for each in (*change.add_locations, *change.remove_locations)]
                self.assertEqual({None}, {*ids, None})

    def test_older_media_type(self):
        self.assertEqual(
            [
                patch.Operation("insert", "a", value="x"),
                patch.Operation("replace", "name", value="y"),
                patch.Operation("remove", "p"),
            ],
            self.read(
                [{"add": "/a", "value": "x"}, {"replace": "/name", "value": "y"}, {"remove": "/p"}],
                media_types.PATCH_V20,
            ),
        )
        for item in (
            {"add": "/a", "remove": "/b", "value": "x"},
            {"value": "x"},
            op("replace", "/name", "x"),
            {"replace": "/name"},
        ):
            with self.subTest(item=item), self.assertRaises(errors.Invalid):
                self.read([item], media_types.PATCH_V20)


class Applying(Patches):
    def test_fields_properties_and_tags(self):
        change = self.apply(
            op("replace", "/name", "m"),
            op("add", "/new", "x"),
            op("replace", "/p", "w"),
            op("remove", "/a~1b"),
            op("add", "/tags", ["b", "a", "b"]),
        )
        self.assertEqual({"name": "m"}, change.fields)
        self.assertEqual({"new": "x", "p": "w"}, change.set_properties)
        self.assertEqual({"a/b"}, change.remove_properties)
        self.assertEqual(["b", "a", "b"], change.tags)

    def test_operations_see_those_before_them(self):
        change = self.apply(
            op("add", "/q", "1"),
            op("replace", "/q", "2"),
            op("remove", "/q"),
            op("remove", "/p"),
            op("add", "/p", "back"),
        )
        self.assertEqual(({"p": "back"}, set()), (change.set_properties, change.remove_properties))
        self.refused(errors.Conflict, op("replace", "/q", "1"), op("add", "/q", "1"))

    def test_nothing_is_an_empty_change(self):
        self.assertFalse(self.apply())
        self.assertFalse(self.apply(op("add", "/q", "1"), op("remove", "/q")))

    def test_the_older_form_adds_what_is_new_only(self):
        v20 = media_types.PATCH_V20
        change = self.apply({"add": "/new", "value": "x"}, media_type=v20)
        self.assertEqual({"new": "x"}, change.set_properties)
        change = self.apply({"remove": "/p"}, {"add": "/p", "value": "w"}, media_type=v20)
        self.assertEqual(({"p": "w"}, set()), (change.set_properties, change.remove_properties))

    def test_what_must_exist_or_must_not(self):
        self.refused(errors.Conflict, op("replace", "/q", "x"))
        self.refused(errors.Conflict, op("remove", "/q"))
        self.refused(errors.Forbidden, op("remove", "/name"))
        self.refused(
            errors.Conflict, {"add": "/name", "value": "x"}, media_type=media_types.PATCH_V20
        )
        self.refused(errors.Conflict, {"add": "/p", "value": "x"}, media_type=media_types.PATCH_V20)

    def test_formats_change_only_while_queued(self):
        self.assertEqual(
            frozenset({"queued"}), self.apply(op("replace", "/disk_format", "qcow2")).expected
        )
        self.image.status = "active"
        self.refused(errors.Forbidden, op("replace", "/disk_format", None))

    def test_a_property_may_be_called_stores(self):
        self.assertEqual({"stores": "x"}, self.apply(op("add", "/stores", "x")).set_properties)
        self.refused(errors.Conflict, op("replace", "/stores", "x"))


class Locations(Patches):
    def setUp(self):
        super().setUp()
        self.image.status = "active"
        self.image.locations = [Location("a://1", {}, id=1), Location("b://2", {}, id=2)]

    def place(self, url, **more):
        return {"url": url, "metadata": {}, **more}

    def test_only_where_they_are_shown(self):
        self.allowed = False
        self.refused(errors.Forbidden, op("remove", "/locations/0"))

    def test_add(self):
        change = self.apply(op("add", "/locations/-", self.place("c://3")))
        self.assertEqual((Location("c://3", {}),), change.add_locations)
        self.refused(errors.Invalid, op("add", "/locations/-", self.place("a://1")))
        self.refused(errors.Invalid, op("add", "/locations/x", self.place("c://3")))
        self.refused(errors.Invalid, op("add", "/locations/-", {"url": "c://3"}))
        self.image.status = "deactivated"
        self.refused(errors.Conflict, op("add", "/locations/-", self.place("c://3")))

    def test_remove(self):
        change = self.apply(op("remove", "/locations/0"))
        self.assertEqual(["a://1"], [x.url for x in change.remove_locations])
        absent = self.apply(op("remove", "/locations/2")).remove_locations
        self.assertEqual([None], [x.id for x in absent])  # a layer refuses it
        self.refused(errors.Invalid, op("remove", "/locations/x"))
        self.refused(errors.Forbidden, op("remove", "/locations/0"), op("remove", "/locations/0"))

    def test_replace_of_the_same_addresses_is_new_metadata(self):
        change = self.apply(
            op(
                "replace",
                "/locations",
                [{"url": "b://2", "metadata": {"k": "v"}}, self.place("a://1")],
            )
        )
        self.assertEqual((Location("b://2", {"k": "v"}, id=2),), change.update_locations)
        self.assertEqual(((), ()), (change.add_locations, change.remove_locations))
        self.refused(errors.Forbidden, op("replace", "/locations", []))
        self.refused(errors.Invalid, op("replace", "/locations", [self.place("c://3")]))
        self.refused(errors.Invalid, op("replace", "/locations/0", self.place("c://3")))

    def test_the_first_locations_of_a_queued_image(self):
        self.image.status = "queued"
        change = self.apply(op("replace", "/locations", [self.place("c://3")]))
        self.assertEqual(["c://3"], [each.url for each in change.add_locations])
        self.assertEqual((), change.remove_locations)

    def test_formats_are_needed_by_a_queued_image_alone(self):
        self.image.disk_format = None
        self.apply(op("add", "/locations/-", self.place("c://3")))

    def test_the_checksum_of_the_data(self):
        self.image.status, self.image.locations = "queued", []
        data = {"os_hash_algo": "sha512", "os_hash_value": SHA}
        for checksum, possible in (("a" * 32, True), ("g" * 32, False)):
            place = self.place("c://3", validation_data={**data, "checksum": checksum})
            if possible:
                change = self.apply(op("add", "/locations/-", place))
                self.assertEqual({**data, "checksum": checksum}, change.fields)
            else:
                self.refused(errors.Conflict, op("add", "/locations/-", place))

    def test_the_same_location_twice(self):
        same = self.place("c://3", metadata={"k": [{"a": 1}, 2]})
        self.refused(
            errors.Invalid, op("add", "/locations/-", same), op("add", "/locations/-", same)
        )
        self.refused(errors.Invalid, op("replace", "/locations", [self.place("a://1")] * 2))
        other = {**same, "metadata": {"k": [{"a": 2}, 2]}}
        change = self.apply(op("add", "/locations/-", same), op("add", "/locations/0", other))
        self.assertEqual((0, 3), change.location_indexes)
        self.refused(
            errors.Invalid,
            op("replace", "/locations", [self.place("b://2"), self.place("a://1")]),
            op("add", "/locations/-", self.place("a://1")),
        )

    def test_the_rest_of_a_new_location_is_in_the_response(self):
        data = {"os_hash_algo": "sha512", "os_hash_value": SHA}
        place = self.place("c://3", validation_data=data, status="active", more=1)
        self.image.status = "queued"
        [location] = self.apply(op("add", "/locations/-", place)).add_locations
        self.assertEqual({"validation_data": data, "more": 1}, location.extra)

    def test_the_work_grows_with_the_number_of_locations_not_with_its_square(self):
        """Counted in calls, so that the speed of the machine does not matter."""

        def calls(number):
            additions = self.read(
                [
                    op("add", "/locations/-", self.place("http://h/", metadata={"k": str(n)}))
                    for n in range(number)
                ]
            )
            rules = patch.LocationRules(True, "sha512", list)
            profile = cProfile.Profile(builtins=False)
            change = profile.runcall(patch.apply, self.image, additions, LOADER, rules)
            self.assertEqual(number, len(change.add_locations))
            values = [each.value for each in additions]
            self.image.locations = list(change.add_locations)
            replacement = self.read([op("replace", "/locations", values[::-1])])
            profile.runcall(patch.apply, self.image, replacement, LOADER, rules)
            self.image.locations = []
            return pstats.Stats(profile).total_calls

        self.image.status, self.image.locations = "active", []
        self.assertLess(calls(400), 5 * calls(100))

    def test_the_number_of_operations_is_bounded(self):
        self.assertEqual(10_000, patch.MAX_OPERATIONS)
        many = [op("add", f"/p{n}", "v") for n in range(patch.MAX_OPERATIONS)]
        self.read(many)
        with self.assertRaises(errors.LimitExceeded):
            self.read([*many, op("add", "/p", "v")])
        with self.assertRaises(errors.LimitExceeded):
            self.read([op("replace", "/locations", [self.place("a://1")] * patch.MAX_OPERATIONS)])

    def test_positions_beyond_the_end(self):
        for position in ("9", "9" * 20, "9" * 5000):
            with self.subTest(position[:20]):
                change = self.apply(op("add", f"/locations/{position}", self.place("c://3")))
                self.assertEqual((2,), change.location_indexes)
                [absent] = self.apply(op("remove", f"/locations/{position}")).remove_locations
                self.assertIsNone(absent.id)

    def test_a_place_that_was_left_may_be_taken_again(self):
        change = self.apply(
            op("remove", "/locations/0"), op("add", "/locations/0", self.place("a://1"))
        )
        self.assertEqual(["a://1"], [each.url for each in change.add_locations])
        self.refused(
            errors.Invalid,
            op("remove", "/locations/0"),
            op("add", "/locations/-", self.place("b://2")),
        )

    def test_digests_come_with_the_first_location(self):
        self.image.status, self.image.locations = "queued", []
        data = {"os_hash_algo": "sha512", "os_hash_value": SHA}
        change = self.apply(op("add", "/locations/-", self.place("c://3", validation_data=data)))
        self.assertEqual(data, change.fields)
        for wrong in (
            {"os_hash_algo": "md5", "os_hash_value": SHA},
            {"os_hash_algo": "sha512", "os_hash_value": "zz"},
            {"os_hash_algo": "sha512", "os_hash_value": "abab"},
        ):
            self.refused(
                errors.Conflict,
                op("add", "/locations/-", self.place("c://3", validation_data=wrong)),
            )
        self.image.disk_format = None
        self.refused(errors.Invalid, op("add", "/locations/-", self.place("c://3")))

    def test_known_digests_are_not_changed(self):
        self.image.os_hash_algo, self.image.os_hash_value = "sha512", SHA
        same = {"os_hash_algo": "sha512", "os_hash_value": SHA}
        change = self.apply(op("add", "/locations/-", self.place("c://3", validation_data=same)))
        self.assertEqual({}, change.fields)
        other = {"os_hash_algo": "sha512", "os_hash_value": "cd" * 64}
        self.refused(
            errors.Conflict, op("add", "/locations/-", self.place("c://3", validation_data=other))
        )
