"""The layers in front of metadata definitions: who sees, who changes, what is told."""

import dataclasses
import datetime
import tempfile
import unittest

from glance_py import gateway
from glance_py.domain import errors
from glance_py.domain.metadef import (
    KINDS,
    Association,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    Object,
    Property,
    Tag,
)
from glance_py.policies.enforcer import Enforcer
from tests.unit.factories import make_caller, make_conf
from tests.unit.layers.fake import Notifier, deps

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678)


class Namespaces:
    """Namespaces by name."""

    def __init__(self, *namespaces):
        self.namespaces = {each.name: each for each in namespaces}

    def get(self, ctx, name):
        return self.namespaces[name]

    resolve = get

    def list(self, ctx, query):
        return NamespacePage(list(self.namespaces.values()), full=True)

    def create(self, ctx, namespace):
        return dataclasses.replace(namespace, created_at=NOW, updated_at=NOW)

    def update(self, ctx, namespace, after):
        return after

    def delete(self, ctx, namespace):
        return None

    def resource_types(self, ctx):
        return ["types"]


class Definitions:
    """Whatever is asked for is there."""

    def list(self, ctx, namespace, kind, listing=None):
        return [kind("x")]

    def get(self, ctx, namespace, kind, name):
        return kind(name)

    def create(self, ctx, namespace, definition):
        return definition

    def create_all(self, ctx, namespace, kind, definitions, append):
        return definitions

    def update(self, ctx, namespace, name, after):
        return after

    def delete(self, ctx, namespace, kind, name):
        return kind(name)

    def clear(self, ctx, namespace, kind):
        return None


PUBLIC = Namespace("public", "p1", visibility="public")
PRIVATE = Namespace("private", "p1")
LOCKED = Namespace("locked", "p1", protected=True)


class LayersCase(unittest.TestCase):
    #: What the operator's policy file says.
    policy = ""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        options = make_conf(directory.name, {"policy.yaml": self.policy})
        self.notifier = Notifier()
        self.deps = deps(conf=options, enforcer=Enforcer(options), notifier=self.notifier)
        self.namespaces = gateway.build_stack(
            gateway.NAMESPACE_LAYERS, Namespaces(PUBLIC, PRIVATE, LOCKED), self.deps
        )
        self.definitions = gateway.build_stack(gateway.DEFINITION_LAYERS, Definitions(), self.deps)
        self.admin = make_caller("admin", "member", "reader", project="p9", is_admin=True)


class VisibilityTest(LayersCase):
    def test_private_namespaces_are_there_for_their_project_and_administrators(self):
        for who, sees in (
            (make_caller("reader", project="p1"), True),
            (self.admin, True),
            (make_caller("reader", project="p2"), False),
        ):
            for operation in (self.namespaces.get, self.namespaces.resolve):
                if sees:
                    self.assertIs(PRIVATE, operation(who, "private"))
                else:
                    self.assertRaises(errors.NamespaceNotFound, operation, who, "private")
                self.assertIs(PUBLIC, operation(who, "public"))

    def test_lists_leave_out_what_the_rules_hide(self):
        names = [
            each.name
            for each in self.namespaces.list(
                make_caller("reader", project="p2"), NamespaceQuery()
            ).namespaces
        ]
        self.assertEqual(["public"], names)
        self.assertEqual(3, len(self.namespaces.list(self.admin, NamespaceQuery()).namespaces))

    def test_who_may_not_see_is_told_that_there_is_nothing(self):
        nobody = make_caller(project="p1")
        for operation, arguments in (
            (self.namespaces.get, ("public",)),
            (self.namespaces.list, (NamespaceQuery(),)),
            (self.namespaces.create, (PRIVATE,)),
            (self.namespaces.resource_types, ()),
            (self.namespaces.update, (PUBLIC, PUBLIC)),
            (self.namespaces.delete, (PUBLIC,)),
            (self.definitions.list, (PUBLIC, Tag)),
            (self.definitions.create, (PUBLIC, Tag("t"))),
        ):
            self.assertRaises(errors.NotFound, operation, nobody, *arguments)

    def test_who_sees_but_may_not_write_is_told_so(self):
        reader = make_caller("reader", project="p1")
        for kind in KINDS:
            self.assertTrue(self.definitions.list(reader, PUBLIC, kind))
            self.assertTrue(self.definitions.get(reader, PUBLIC, kind, "x"))
            self.assertRaises(
                errors.PolicyForbids, self.definitions.create, reader, PUBLIC, kind("x")
            )
            self.assertRaises(
                errors.PolicyForbids, self.definitions.delete, reader, PUBLIC, kind, "x"
            )
        for operation, arguments in (
            (self.namespaces.create, (PRIVATE,)),
            (self.namespaces.update, (PUBLIC, PUBLIC)),
            (self.namespaces.delete, (PUBLIC,)),
            (self.definitions.clear, (PUBLIC, Tag)),
            (self.definitions.update, (PUBLIC, "x", Tag("y"))),
            (self.definitions.create_all, (PUBLIC, Tag, [], True)),
        ):
            self.assertRaises(errors.PolicyForbids, operation, reader, *arguments)


class NestedCreationTest(LayersCase):
    policy = '"metadef_admin": "role:member"\n"add_metadef_object": "!"\n'

    def test_a_new_namespace_needs_the_rule_of_everything_in_it(self):
        writer = make_caller("member", "reader", project="p1")
        self.assertTrue(
            self.namespaces.create(writer, Namespace("n", "p1", contents={Tag: [Tag("t")]}))
        )
        self.assertRaises(
            errors.PolicyForbids,
            self.namespaces.create,
            writer,
            Namespace("n", "p1", contents={Object: [Object("o")]}),
        )


class OwnershipTest(LayersCase):
    """Where the operator lets members write, ownership comes to bear."""

    policy = '"metadef_admin": "role:member"\n'

    def setUp(self):
        super().setUp()
        self.stranger = make_caller("member", "reader", project="p2")
        self.owner = make_caller("member", "reader", project="p1")

    def test_only_its_project_changes_a_namespace_whatever_the_rules_allow(self):
        for operation, arguments in (
            (self.namespaces.update, (PUBLIC, PUBLIC)),
            (self.namespaces.delete, (PUBLIC,)),
            (self.definitions.create, (PUBLIC, Tag("t"))),
            (self.definitions.create_all, (PUBLIC, Tag, [Tag("t")], True)),
            (self.definitions.update, (PUBLIC, "t", Tag("t"))),
            (self.definitions.delete, (PUBLIC, Tag, "t")),
            (self.definitions.clear, (PUBLIC, Tag)),
        ):
            self.assertRaises(errors.Forbidden, operation, self.stranger, *arguments)
            operation(self.owner, *arguments)
            operation(self.admin, *arguments)

    def test_namespaces_are_neither_made_for_others_nor_given_away(self):
        theirs = Namespace("n", "p2")
        self.assertRaises(errors.Forbidden, self.namespaces.create, self.owner, theirs)
        self.assertRaises(errors.Forbidden, self.namespaces.update, self.owner, PRIVATE, theirs)
        self.namespaces.create(self.admin, theirs)
        self.namespaces.update(self.admin, PRIVATE, theirs)

    def test_nothing_is_taken_from_a_protected_namespace(self):
        self.assertRaises(errors.Forbidden, self.namespaces.delete, self.admin, LOCKED)
        for kind in KINDS:
            self.assertRaises(
                errors.Forbidden, self.definitions.delete, self.admin, LOCKED, kind, "x"
            )
            self.definitions.create(self.admin, LOCKED, kind("x"))
        self.assertRaises(errors.Forbidden, self.definitions.clear, self.admin, LOCKED, Tag)
        self.definitions.create_all(self.admin, LOCKED, Tag, [Tag("t")], append=False)
        self.definitions.update(self.admin, LOCKED, "x", Tag("y"))


class NotificationTest(LayersCase):
    def payload(self, number=-1):
        return self.notifier.sent[number][2]

    def test_left_out_when_nobody_listens(self):
        self.notifier.enabled = False
        inner = Namespaces()
        self.assertIs(inner, gateway.NAMESPACE_LAYERS[-1].build(inner, self.deps))

    def test_what_was_refused_is_not_announced(self):
        self.assertRaises(errors.Forbidden, self.namespaces.delete, self.admin, LOCKED)
        self.assertEqual([], self.notifier.sent)

    def test_a_namespace_and_what_came_with_it(self):
        self.namespaces.create(
            self.admin,
            Namespace(
                "n",
                "p1",
                description="d",
                contents={
                    Association: [Association("a", prefix="x_")],
                    Object: [Object("o")],
                    Tag: [Tag("t")],
                    Property: [Property("p", schema={"type": "string"})],
                },
            ),
        )
        self.assertEqual(
            [
                "metadef_namespace.create",
                "metadef_resource_type.create",
                "metadef_object.create",
                "metadef_tag.create",
                "metadef_property.create",
            ],
            [event for _priority, event, _payload in self.notifier.sent],
        )
        self.assertEqual(
            {
                "namespace": "n",
                "namespace_old": "n",
                "display_name": None,
                "protected": False,
                "visibility": "private",
                "owner": "p1",
                "description": "d",
                "created_at": "2026-01-02T03:04:05Z",
                "updated_at": "2026-01-02T03:04:05Z",
                "deleted": False,
                "deleted_at": None,
            },
            self.payload(0),
        )
        self.assertEqual(
            {
                "namespace": "n",
                "name": "a",
                "name_old": "a",
                "prefix": "x_",
                "properties_target": None,
                "created_at": "2026-01-02T03:04:05Z",
                "updated_at": "2026-01-02T03:04:05Z",
                "deleted": False,
                "deleted_at": None,
            },
            self.payload(1),
        )

    def test_changes_tell_the_old_name(self):
        self.namespaces.update(self.admin, PUBLIC, Namespace("new", "p1"))
        self.assertEqual(
            ("new", "public"), (self.payload()["namespace"], self.payload()["namespace_old"])
        )
        self.definitions.update(self.admin, PUBLIC, "old", Tag("new"))
        self.assertEqual(("new", "old"), (self.payload()["name"], self.payload()["name_old"]))

    def test_removals(self):
        for kind, event in (
            (Association, "metadef_resource_type.delete"),
            (Object, "metadef_object.delete"),
            (Tag, "metadef_tag.delete"),
            (Property, "metadef_property.delete"),
        ):
            self.definitions.delete(self.admin, PUBLIC, kind, "x")
            self.assertEqual(("INFO", event), self.notifier.sent[-1][:2])
            self.assertTrue(self.payload()["deleted"])
            self.assertIsNotNone(self.payload()["deleted_at"])
        for kind, event in (
            (Object, "delete_objects"),
            (Tag, "delete_tags"),
            (Property, "delete_properties"),
        ):
            self.definitions.clear(self.admin, PUBLIC, kind)
            self.assertEqual(("INFO", f"metadef_namespace.{event}"), self.notifier.sent[-1][:2])
            self.assertFalse(self.payload()["deleted"])
        self.namespaces.delete(self.admin, PUBLIC)
        self.assertEqual("metadef_namespace.delete", self.notifier.sent[-1][1])

    def test_many_tags_are_announced_one_by_one(self):
        self.definitions.create_all(self.admin, PUBLIC, Tag, [Tag("a"), Tag("b")], append=True)
        self.assertEqual(
            ["a", "b"],
            [
                payload["name"]
                for _p, event, payload in self.notifier.sent
                if event == "metadef_tag.create"
            ],
        )

    def test_properties_are_told_key_by_key(self):
        self.definitions.create(
            self.admin,
            PUBLIC,
            Property(
                "p",
                schema={
                    "type": "integer",
                    "title": "P",
                    "minimum": 0,
                    "default": 3,
                    "operators": ["="],
                },
            ),
        )
        payload = self.payload()
        self.assertEqual(
            ("integer", "P", "3", None),
            (payload["type"], payload["title"], payload["default"], payload["minimum"]),
        )
        self.assertNotIn("operators", payload)
        self.assertNotIn("created_at", payload)
        self.definitions.create(
            self.admin, PUBLIC, Object("o", properties={"q": {"type": "string"}})
        )
        [told] = self.payload()["properties"]
        self.assertEqual(("q", "string", None), (told["name"], told["type"], told["enum"]))


if __name__ == "__main__":
    unittest.main()
