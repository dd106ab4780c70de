"""The catalogue of metadata definitions over HTTP."""

from __future__ import annotations

import unittest
from unittest import mock

from glance_py.domain.metadef import (
    Association,
    Listing,
    Namespace,
    NamespacePage,
    Object,
    Property,
    ResourceType,
    Tag,
)
from tests.unit.http.fakes import NOW, Service

PATH = "/metadefs/namespaces"
NAMESPACE = Namespace("n", "p1", created_at=NOW, updated_at=NOW)
SCHEMA = {"title": "T", "type": "string"}

#: Each kind: its noun in paths, one as a request has it, and as the domain has it.
KINDS = (
    ("objects", {"name": "o", "properties": {"p": SCHEMA}}, Object("o", NOW, NOW)),
    ("properties", {"name": "p", **SCHEMA}, Property("p", schema={"name": "p", **SCHEMA})),
    ("tags", {"name": "t"}, Tag("t", NOW, NOW)),
    ("resource_types", {"name": "r", "prefix": "x_"}, Association("r", NOW, NOW, "x_")),
)


class MetadefTest(unittest.TestCase):
    def setUp(self) -> None:
        self.service = Service(limit_param_default=2, api_limit_max=5)
        self.namespaces = self.service.namespaces
        self.definitions = self.service.definitions
        self.namespaces.resolve.return_value = NAMESPACE
        self.namespaces.get.return_value = NAMESPACE
        self.call = self.service.call

    def check_call(self, operation: mock.Mock, *arguments: object) -> None:
        """The operation was called once with the caller and these arguments."""
        operation.assert_called_once()
        ctx, *given = operation.call_args.args
        self.assertEqual(("p1", list(arguments)), (ctx.project_id, given))


class NamespacesTest(MetadefTest):
    def test_list(self) -> None:
        self.namespaces.list.return_value = NamespacePage([NAMESPACE, NAMESPACE], full=True)
        body = self.call("GET", f"{PATH}?visibility=private").json
        self.assertEqual(["n", "n"], [each["namespace"] for each in body["namespaces"]])
        self.assertEqual(f"/v2{PATH}?visibility=private", body["first"])
        self.assertEqual(f"/v2{PATH}?visibility=private&marker=n", body["next"])
        query = self.namespaces.list.call_args.args[1]
        self.assertEqual(("private", 2), (query.visibility, query.listing.limit))
        for page in (NamespacePage([NAMESPACE]), NamespacePage([], full=True)):
            self.namespaces.list.return_value = page
            self.assertNotIn("next", self.call("GET", f"{PATH}?limit=9").json)
        self.assertEqual(5, self.namespaces.list.call_args.args[1].listing.limit)

    def test_create(self) -> None:
        self.namespaces.create.side_effect = lambda ctx, namespace: namespace
        answer = self.call("POST", PATH, {"namespace": "a b\xfc\u20ac"})
        self.assertEqual(
            (201, f"http://host/v2{PATH}/a b\xfc%E2%82%AC", "p1"),
            (answer.status, answer.headers["location"], answer.json["owner"]),
        )

    def test_show(self) -> None:
        found = Namespace("n", "p1", created_at=NOW, updated_at=NOW)
        found.contents = {Association: [KINDS[3][2]], Property: [KINDS[1][2]]}
        self.namespaces.get.return_value = found
        for query, name in (("", "p"), ("?resource_type=r", "x_p"), ("?resource_type=q", "p")):
            shown = self.call("GET", f"{PATH}/n{query}").json
            self.assertEqual([name], list(shown["properties"]))

    def test_update(self) -> None:
        self.namespaces.update.side_effect = lambda ctx, namespace, after: after
        answer = self.call("PUT", f"{PATH}/n", {"namespace": "m"})
        self.assertEqual((200, "m"), (answer.status, answer.json["namespace"]))
        self.assertIs(NAMESPACE, self.namespaces.update.call_args.args[1])

    def test_delete(self) -> None:
        self.assertEqual(204, self.call("DELETE", f"{PATH}/n").status)
        self.check_call(self.namespaces.delete, NAMESPACE)

    def test_resource_types(self) -> None:
        self.namespaces.resource_types.return_value = [ResourceType("r", NOW)]
        self.assertEqual(
            {"resource_types": [{"name": "r", "created_at": "2030-01-02T03:04:05Z"}]},
            self.call("GET", "/metadefs/resource_types").json,
        )


class DefinitionsTest(MetadefTest):
    def test_list(self) -> None:
        for noun, _, definition in KINDS:
            self.definitions.list.reset_mock()
            self.definitions.list.return_value = [definition]
            answer = self.call("GET", f"{PATH}/n/{noun}")
            listed = answer.json["resource_type_associations" if noun[0] == "r" else noun]
            first = listed if isinstance(listed, dict) else listed[0]
            self.assertIn(definition.name, (first.get("name"), *first))
            listing = Listing() if noun == "tags" else None
            self.check_call(self.definitions.list, NAMESPACE, type(definition), listing)

    def test_create(self) -> None:
        for noun, document, definition in KINDS:
            with self.subTest(noun):
                self.definitions.create.reset_mock()
                self.definitions.create.side_effect = lambda ctx, namespace, new: new
                path = f"{PATH}/n/{noun}" + ("/t" if noun == "tags" else "")
                answer = self.call("POST", path, b"" if noun == "tags" else document)
                self.assertEqual((201, definition.name), (answer.status, answer.json["name"]))
                _, namespace, new = self.definitions.create.call_args.args
                self.assertIs(NAMESPACE, namespace)
                self.assertIs(type(definition), type(new))

    def test_show_and_update(self) -> None:
        for noun, document, definition in KINDS[:3]:
            with self.subTest(noun):
                path = f"{PATH}/n/{noun}/{definition.name}"
                self.definitions.get.reset_mock()
                self.definitions.get.return_value = definition
                self.assertEqual(definition.name, self.call("GET", path).json["name"])
                self.check_call(self.definitions.get, NAMESPACE, type(definition), definition.name)
                self.definitions.update.return_value = definition
                answer = self.call("PUT", path, document)
                self.assertEqual((200, definition.name), (answer.status, answer.json["name"]))
                _, namespace, name, after = self.definitions.update.call_args.args
                self.assertEqual(
                    (NAMESPACE, definition.name, type(definition)), (namespace, name, type(after))
                )

    def test_delete_and_clear(self) -> None:
        for noun, _, definition in KINDS:
            self.definitions.delete.reset_mock()
            path = f"{PATH}/n/{noun}"
            self.assertEqual(204, self.call("DELETE", f"{path}/{definition.name}").status)
            self.check_call(self.definitions.delete, NAMESPACE, type(definition), definition.name)
            if noun != "resource_types":
                self.definitions.clear.reset_mock()
                self.assertEqual(204, self.call("DELETE", path).status)
                self.check_call(self.definitions.clear, NAMESPACE, type(definition))

    def test_objects_show_the_path_of_their_namespace(self) -> None:
        self.definitions.get.return_value = KINDS[0][2]
        self.assertEqual(
            f"/v2{PATH}/n/objects/o", self.call("GET", f"{PATH}/n/objects/o").json["self"]
        )

    def test_bad_queries(self) -> None:
        for path in ("objects?limit=0", "tags?sort_dir=up", "properties/p?x=1"):
            self.assertEqual(400, self.call("GET", f"{PATH}/n/{path}").status)

    def test_tags_at_once(self) -> None:
        self.definitions.create_all.side_effect = lambda ctx, namespace, kind, tags, append: tags
        for tags, header, appended in (
            (["a"], {}, False),
            (["a"], {"x_openstack_append": "True"}, True),
            ([], {}, True),
        ):
            answer = self.call(
                "POST", f"{PATH}/n/tags", {"tags": [{"name": name} for name in tags]}, **header
            )
            self.assertEqual(
                (201, {"tags": [{"name": n} for n in tags]}), (answer.status, answer.json)
            )
            _, namespace, kind, new, append = self.definitions.create_all.call_args.args
            self.assertEqual(
                (NAMESPACE, Tag, tags, appended), (namespace, kind, [t.name for t in new], append)
            )

    def test_a_property_of_a_resource_type(self) -> None:
        """Its name has the prefix of the association, or it is not found."""
        self.definitions.get.side_effect = lambda ctx, namespace, kind, name: (
            Association(name, prefix={"r": "x_"}.get(name))
            if kind is Association
            else Property(name, schema=SCHEMA)
        )
        answer = self.call("GET", f"{PATH}/n/properties/x_p?resource_type=r")
        self.assertEqual((200, "p"), (answer.status, answer.json["name"]))
        for name, resource_type in (("p", "r"), ("x_p", "q")):
            path = f"{PATH}/n/properties/{name}?resource_type={resource_type}"
            self.assertEqual(404, self.call("GET", path).status)


if __name__ == "__main__":
    unittest.main()
