"""Metadata definitions over HTTP, through the Paste pipeline and a real database."""

from __future__ import annotations

import json
import unittest
from urllib.parse import quote

from tests.functional import service
from tests.functional.client import AppClient

ALL = "/v2/metadefs/namespaces"


def bare(document):
    """Without the times, which differ from run to run."""
    if isinstance(document, dict):
        return {
            key: bare(value)
            for key, value in document.items()
            if key not in ("created_at", "updated_at")
        }
    return [bare(each) for each in document] if isinstance(document, list) else document


class MetadefCase(unittest.TestCase):
    def setUp(self):
        running = service.running()
        app, _directory = running.__enter__()
        self.app = app
        self.addCleanup(running.__exit__, None, None, None)
        self.client = {
            "admin": AppClient(app, "root:p1:admin"),
            "member": AppClient(app, "ann:p1:member"),
            "reader": AppClient(app, "ron:p1:reader"),
            "other": AppClient(app, "bob:p2:member"),
            "none": AppClient(app, "nil:p1:nothing"),
        }

    def call(self, method, path, body=None, who="admin", **headers):
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            headers["content_type"] = "application/json"
        return self.client[who].call(method, path, data, **headers)

    def code(self, *arguments, **how):
        return self.call(*arguments, **how).status_int

    def make(self, name="N", **document):
        answer = self.call("POST", ALL, {"namespace": name, **document})
        self.assertEqual(201, answer.status_int, answer.text)
        return f"{ALL}/{quote(name)}"

    def names(self, path, key, who="admin"):
        return [each["name"] for each in self.call("GET", path, who=who).json[key]]


class NamespaceTest(MetadefCase):
    def test_a_location_shows_the_name_as_far_as_a_header_can(self):
        for name, shown in (
            ("a b", "a b"),
            ("100%", "100%"),
            ("\xdcn\xef", "\xdcn\xef"),
            ("\u20ac", "%E2%82%AC"),
            ("a\nb", "a%0Ab"),
        ):
            answer = self.call("POST", ALL, {"namespace": name})
            self.assertEqual(f"http://localhost{ALL}/{shown}", answer.headers["location"])

    def test_the_namespace_without_a_name_lists_all_resource_types(self):
        self.make("N", resource_type_associations=[{"name": "T", "prefix": "p"}])
        self.assertEqual(201, self.code("POST", ALL, {"namespace": ""}))
        listed = {
            each["namespace"]: bare(each.get("resource_type_associations"))
            for each in self.call("GET", ALL).json["namespaces"]
        }
        self.assertEqual({"N": [{"name": "T", "prefix": "p"}], "": [{"name": "T"}]}, listed)

    def test_a_namespace_from_birth_to_death(self):
        answer = self.call("POST", ALL, {"namespace": "N", "description": "d"})
        self.assertEqual(f"http://localhost{ALL}/N", answer.headers["location"])
        shown = {
            "namespace": "N",
            "description": "d",
            "owner": "p1",
            "visibility": "private",
            "protected": False,
            "self": f"{ALL}/N",
            "schema": "/v2/schemas/metadefs/namespace",
        }
        self.assertEqual(shown, bare(answer.json))
        self.assertEqual(shown, bare(self.call("GET", f"{ALL}/N").json))
        self.assertEqual(409, self.code("POST", ALL, {"namespace": "N"}))
        renamed = self.call("PUT", f"{ALL}/N", {"namespace": "M", "protected": True})
        self.assertEqual(
            (200, "M", True, None),
            (
                renamed.status_int,
                renamed.json["namespace"],
                renamed.json["protected"],
                renamed.json.get("description"),
            ),
        )
        self.assertEqual(404, self.code("GET", f"{ALL}/N"))
        self.assertEqual(403, self.code("DELETE", f"{ALL}/M"))
        self.call("PUT", f"{ALL}/M", {"namespace": "M"})
        self.assertEqual(204, self.code("DELETE", f"{ALL}/M"))
        self.assertEqual(404, self.code("DELETE", f"{ALL}/M"))

    def test_who_has_no_project_must_say_whose_it_is(self):
        for token, without, with_owner in (("u:none:reader", 403, 403), ("u:none:admin", 400, 201)):
            self.client["nobody"] = AppClient(self.app, token)
            self.assertEqual(without, self.code("POST", ALL, {"namespace": "N"}, who="nobody"))
            self.assertEqual(
                with_owner, self.code("POST", ALL, {"namespace": "N", "owner": "p1"}, who="nobody")
            )
        self.assertEqual(400, self.code("PUT", f"{ALL}/N", {"namespace": "M"}, who="nobody"))
        self.assertEqual("", self.call("POST", ALL, {"namespace": "O", "owner": ""}).json["owner"])

    def test_numbers_and_words_that_only_some_clients_send(self):
        schema = {"title": "t", "type": "string", "minLength": 1.0, "confidential": False}
        answer = self.call("POST", ALL, {"namespace": "N", "properties": {"p": schema}})
        self.assertEqual((201, schema), (answer.status_int, answer.json["properties"]["p"]))
        schema["confidential"] = "no"
        self.assertEqual(
            400, self.code("POST", ALL, {"namespace": "M", "properties": {"p": schema}})
        )

    def test_everything_in_it_can_come_at_once(self):
        contents = {
            "resource_type_associations": [{"name": "OS::A", "prefix": "a_"}, {"name": "OS::B"}],
            "properties": {"p": {"title": "P", "type": "integer", "default": 3}},
            "objects": [
                {
                    "name": "o",
                    "required": ["q"],
                    "properties": {"q": {"title": "Q", "type": "string"}},
                }
            ],
            "tags": [{"name": "t1"}, {"name": "t2"}],
        }
        answer = self.call("POST", ALL, {"namespace": "N", **contents})
        self.assertEqual("3", answer.json["properties"]["p"]["default"])
        self.assertEqual(contents["objects"], answer.json["objects"])
        shown = self.call("GET", f"{ALL}/N?resource_type=OS::A").json
        self.assertEqual(["a_p"], list(shown["properties"]))
        self.assertEqual(
            (["a_q"], ["a_q"]),
            (list(shown["objects"][0]["properties"]), shown["objects"][0]["required"]),
        )
        self.assertEqual([{"name": "t2"}, {"name": "t1"}], shown["tags"])
        self.assertEqual(
            ["OS::A", "OS::B"],
            self.names("/v2/metadefs/resource_types", "resource_types", who="reader"),
        )
        for path, status in (
            ("a_p?resource_type=OS::A", 200),
            ("p?resource_type=OS::A", 404),
            ("p?resource_type=OS::B", 404),
            ("p?resource_type=OS::C", 404),
            ("a_x?resource_type=OS::A", 404),
            ("p", 200),
            ("p?x=1", 400),
        ):
            self.assertEqual(status, self.code("GET", f"{ALL}/N/properties/{path}"), path)
        self.assertEqual(
            "p", self.call("GET", f"{ALL}/N/properties/a_p?resource_type=OS::A").json["name"]
        )

    def test_a_namespace_that_is_wrong_inside_is_not_made_at_all(self):
        for wrong, status in (
            ({"objects": [{"name": "o"}, {"name": "o"}]}, 409),
            ({"tags": [{"name": "t"}, {"name": "t"}]}, 409),
            ({"objects": [{}]}, 400),
            ({"resource_type_associations": [{}]}, 400),
        ):
            self.assertEqual(status, self.code("POST", ALL, {"namespace": "N", **wrong}), wrong)
        self.assertEqual(400, self.code("POST", ALL, []))
        self.assertEqual(400, self.code("POST", ALL))
        self.assertEqual(403, self.code("POST", ALL, {"namespace": "N", "created_at": "x"}))
        self.assertEqual([], self.call("GET", ALL).json["namespaces"])

    def test_names_of_all_sorts(self):
        for name in ("with space", "quote\"'", "a\r\nb: c", "100%"):
            path = self.make(name)
            self.assertEqual(name, self.call("GET", path).json["namespace"])
        # In a path each byte is a character, as with the original.
        self.assertEqual(404, self.code("GET", self.make("Ünï")))
        self.assertEqual(
            200,
            self.code(
                "GET",
                self.make("Ωmega".encode().decode("latin-1")).replace("%C3%8E%C2%A9", "%CE%A9"),
            ),
        )
        self.make("sla/sh")
        self.assertEqual(404, self.code("GET", f"{ALL}/sla%2Fsh"))

    def test_lists_are_walked_by_their_links(self):
        for number in range(5):
            self.make(f"n{number}")
        walked, path = [], f"{ALL}?limit=2&sort_key=namespace&sort_dir=asc"
        while path:
            page = self.call("GET", path).json
            self.assertEqual(f"{ALL}?limit=2&sort_key=namespace&sort_dir=asc", page["first"])
            walked += [each["namespace"] for each in page["namespaces"]]
            path = page.get("next")
        self.assertEqual([f"n{number}" for number in range(5)], walked)
        for query, status in (
            ("limit=x", 400),
            ("limit=-1", 400),
            ("sort_key=nope", 400),
            ("sort_dir=nope", 400),
            ("visibility=shared", 400),
            ("marker=none", 404),
        ):
            self.assertEqual(status, self.code("GET", f"{ALL}?{query}"), query)


class ContentsTest(MetadefCase):
    def test_objects(self):
        path = self.make() + "/objects"
        first = {
            "name": "o",
            "required": ["q"],
            "properties": {"q": {"title": "Q", "type": "string"}},
        }
        answer = self.call("POST", path, first)
        address = {"self": f"{path}/o", "schema": "/v2/schemas/metadefs/object"}
        self.assertEqual((201, {**first, **address}), (answer.status_int, bare(answer.json)))
        self.assertEqual(409, self.code("POST", path, first))
        self.call("POST", path, {"name": "a"})
        self.assertEqual(["a", "o"], self.names(path, "objects"))
        self.assertEqual(["a", "o"], self.names(f"{path}?limit=1", "objects"))
        self.assertEqual(400, self.code("GET", f"{path}?limit=0"))
        self.assertEqual(
            {
                "name": "a",
                "required": [],
                "properties": {},
                "self": f"{path}/a",
                "schema": address["schema"],
            },
            bare(self.call("GET", f"{path}/a").json),
        )
        self.assertEqual(409, self.code("PUT", f"{path}/a", {"name": "o"}))
        self.assertEqual("b", self.call("PUT", f"{path}/a", {"name": "b"}).json["name"])
        self.assertEqual(404, self.code("PUT", f"{path}/a", {"name": "c"}))
        self.assertEqual(
            (204, 404), (self.code("DELETE", f"{path}/b"), self.code("DELETE", f"{path}/b"))
        )
        self.assertEqual((204, 204), (self.code("DELETE", path), self.code("DELETE", path)))
        self.assertEqual([], self.names(path, "objects"))

    def test_properties(self):
        path = self.make(properties={"nested": {"title": "N", "type": "string"}}) + "/properties"
        one = {"name": "p", "title": "P", "type": "number", "minimum": 0.5, "default": True}
        shown = {**one, "minimum": 0, "default": "True"}
        answer = self.call("POST", path, one)
        self.assertEqual((201, shown), (answer.status_int, answer.json))
        self.assertEqual(
            {"p": shown, "nested": {"title": "N", "type": "string"}},
            self.call("GET", path).json["properties"],
        )
        self.assertEqual("nested", self.call("GET", f"{path}/nested").json["name"])
        self.assertEqual(409, self.code("PUT", f"{path}/nested", one))
        self.assertEqual(200, self.code("PUT", f"{path}/p", {**one, "name": "q"}))
        self.assertEqual(400, self.code("PUT", f"{path}/q", {}))
        self.assertEqual(204, self.code("DELETE", f"{path}/q"))
        self.assertEqual(204, self.code("DELETE", path))

    def test_tags(self):
        path = self.make() + "/tags"

        def put(*names, **headers):
            return self.code("POST", path, {"tags": [{"name": name} for name in names]}, **headers)

        self.assertEqual(
            (201, 409, 400),
            (
                self.code("POST", f"{path}/one"),
                self.code("POST", f"{path}/one"),
                self.code("POST", f"{path}/{'x' * 81}"),
            ),
        )
        self.assertEqual(400, self.code("POST", f"{path}/two", {"name": "two"}))
        self.assertEqual(201, put("a", "b"))
        self.assertEqual(["b", "a"], self.names(path, "tags"))
        self.assertEqual(409, put("c", "c"))
        self.assertEqual(201, put())
        self.assertEqual(409, put("c", "a", x_openstack_append="true"))
        self.assertEqual(["b", "a"], self.names(path, "tags"))
        self.assertEqual(201, put("c", x_openstack_append="True"))
        self.assertEqual(["c", "b"], self.names(f"{path}?limit=2", "tags"))
        self.assertEqual(
            ["b", "c"], self.names(f"{path}?marker=a&sort_key=name&sort_dir=asc", "tags")
        )
        self.assertEqual(
            (404, 400),
            (self.code("GET", f"{path}?marker=x"), self.code("GET", f"{path}?sort_key=x")),
        )
        for body in ({}, [], {"tags": "x"}, {"tags": [{"x": "y"}]}):
            self.assertEqual(400, self.code("POST", path, body))
        self.assertEqual(
            (200, 409, 404),
            (
                self.code("PUT", f"{path}/c", {"name": "d"}),
                self.code("PUT", f"{path}/d", {"name": "a"}),
                self.code("PUT", f"{path}/x", {"name": "y"}),
            ),
        )
        self.assertEqual(
            (204, 404), (self.code("DELETE", f"{path}/d"), self.code("DELETE", f"{path}/d"))
        )
        self.assertEqual(204, self.code("DELETE", path))
        self.assertEqual([], self.names(path, "tags"))

    def test_resource_types(self):
        path = self.make() + "/resource_types"
        answer = self.call("POST", path, {"name": "OS::A", "prefix": "a_"})
        self.assertEqual(
            (201, {"name": "OS::A", "prefix": "a_"}), (answer.status_int, bare(answer.json))
        )
        self.assertEqual(409, self.code("POST", path, {"name": "OS::A"}))
        self.assertEqual(["OS::A"], self.names(path, "resource_type_associations"))
        self.make("M", resource_type_associations=[{"name": "OS::B"}])
        listed = self.call("GET", f"{ALL}?resource_types=OS::A,OS::C").json["namespaces"]
        self.assertEqual(
            [["OS::A"]],
            [
                [each["name"] for each in namespace["resource_type_associations"]]
                for namespace in listed
            ],
        )
        self.assertEqual(
            (204, 404, 404),
            (
                self.code("DELETE", f"{path}/OS::A"),
                self.code("DELETE", f"{path}/OS::A"),
                self.code("DELETE", f"{path}/none"),
            ),
        )
        self.assertEqual(
            ["OS::A", "OS::B"], self.names("/v2/metadefs/resource_types", "resource_types")
        )

    def test_nothing_is_taken_from_a_protected_namespace(self):
        path = self.make(
            protected=True,
            objects=[{"name": "x"}],
            tags=[{"name": "x"}],
            properties={"x": {"title": "X", "type": "string"}},
            resource_type_associations=[{"name": "x"}],
        )
        for noun in ("objects", "tags", "properties"):
            self.assertEqual(403, self.code("DELETE", f"{path}/{noun}"))
        for noun in ("objects", "tags", "properties", "resource_types"):
            self.assertEqual(403, self.code("DELETE", f"{path}/{noun}/x"))
        self.assertEqual(201, self.code("POST", f"{path}/objects", {"name": "y"}))


class WhoTest(MetadefCase):
    """Every request by everybody: 200 or 204, 403 where one may look, 404 where not."""

    PROPERTY = {"name": "x", "title": "X", "type": "string"}
    READS = (
        "",
        "?resource_type=T",
        "/objects",
        "/objects/x",
        "/properties",
        "/properties/x",
        "/properties/p_x?resource_type=T",
        "/tags",
        "/tags/x",
        "/resource_types",
    )
    WRITES = (
        ("PUT", "", {"namespace": "N"}),
        ("POST", "/objects", {"name": "y"}),
        ("PUT", "/objects/x", {"name": "x"}),
        ("PUT", "/objects/none", {"name": "x"}),
        ("DELETE", "/objects/x", None),
        ("DELETE", "/objects/none", None),
        ("DELETE", "/objects", None),
        ("POST", "/properties", PROPERTY),
        ("PUT", "/properties/x", PROPERTY),
        ("DELETE", "/properties/x", None),
        ("DELETE", "/properties", None),
        ("POST", "/tags/y", None),
        ("POST", "/tags", {"tags": [{"name": "y"}]}),
        ("PUT", "/tags/x", {"name": "x"}),
        ("DELETE", "/tags/x", None),
        ("DELETE", "/tags", None),
        ("POST", "/resource_types", {"name": "U"}),
        ("DELETE", "/resource_types/T", None),
        ("DELETE", "", None),
    )

    def setUp(self):
        super().setUp()
        for name in ("public", "private"):
            self.make(
                name,
                visibility=name,
                objects=[{"name": "x"}],
                tags=[{"name": "x"}],
                properties={"x": {"title": "X", "type": "string"}},
                resource_type_associations=[{"name": "T", "prefix": "p_"}],
            )

    def test_reading(self):
        for who, sees in (
            ("reader", {"public", "private"}),
            ("other", {"public"}),
            ("none", set()),
        ):
            for name in ("public", "private", "absent"):
                for path in self.READS:
                    self.assertEqual(
                        200 if name in sees else 404,
                        self.code("GET", f"{ALL}/{name}{path}", who=who),
                        (who, name, path),
                    )

    def test_writing(self):
        for who, sees in (
            ("member", {"public", "private"}),
            ("other", {"public"}),
            ("none", set()),
        ):
            for name in ("public", "private", "absent"):
                for method, path, body in self.WRITES:
                    self.assertEqual(
                        403 if name in sees else 404,
                        self.code(method, f"{ALL}/{name}{path}", body, who=who),
                        (who, name, method, path),
                    )

    def test_lists(self):
        for who, names in (
            ("admin", ["private", "public"]),
            ("member", ["private", "public"]),
            ("other", ["public"]),
        ):
            self.assertEqual(
                names,
                [each["namespace"] for each in self.call("GET", ALL, who=who).json["namespaces"]],
            )
        self.assertEqual(404, self.code("GET", ALL, who="none"))
        self.assertEqual(404, self.code("GET", "/v2/metadefs/resource_types", who="none"))
        self.assertEqual(403, self.code("GET", f"{ALL}?marker=private", who="other"))
        self.assertEqual(403, self.code("POST", ALL, {"namespace": "N"}, who="member"))


if __name__ == "__main__":
    unittest.main()
