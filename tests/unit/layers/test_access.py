"""Operations x callers x rules: who reaches the records, and what the rules are asked.

Two questions about every operation.  With rules that allow everything: which callers
does ownership stop?  With one rule refused: is it asked, in its place, about the right
target, and does nothing reach the records?  An operation without a row fails the test.
"""

from __future__ import annotations

import dataclasses
import unittest
from collections.abc import Callable
from typing import Any

from glance_py import gateway
from glance_py.domain import errors
from glance_py.domain.change import ImageChange, RejectedChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import COPY_IMAGE, GLANCE_DIRECT, ImportRequest
from glance_py.domain.member import Member
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
from glance_py.domain.ports import (
    DEFINITION_OPERATIONS,
    IMAGE_OPERATIONS,
    MEMBER_OPERATIONS,
    NAMESPACE_OPERATIONS,
    TASK_OPERATIONS,
    Download,
    Upload,
)
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.registration import Registration
from glance_py.domain.task import Task
from glance_py.layers import metadefs_policy
from glance_py.layers.authorization import AuthorizationProxy, MemberAuthorizationProxy
from glance_py.layers.metadefs_authorization import (
    DefinitionAuthorizationProxy,
    NamespaceAuthorizationProxy,
)
from glance_py.layers.metadefs_policy import DefinitionPolicyProxy, NamespacePolicyProxy
from glance_py.layers.ownership import OwnershipProxy
from glance_py.layers.policy import MemberPolicyProxy, PolicyProxy
from glance_py.layers.tasks import TaskAdapter, TaskPolicyProxy
from glance_py.policies.enforcer import Enforcer
from glance_py.settings import TaskSettings
from tests.unit.factories import make_caller, make_conf
from tests.unit.layers.fake import deps

CALLERS = {
    "owner": make_caller("member", "reader", project="owner"),
    "friend": make_caller("member", "reader", project="friend"),
    "stranger": make_caller("member", "reader", project="stranger"),
    "nobody": make_caller("member", "reader", project=None),
    "service": make_caller("service", project="services"),
    "delegate": make_caller("member", project="stranger", service_roles=["service"]),
    #: A service of the owner's project, which needs nobody's trust for its own images.
    "agent": make_caller("member", "service", project="owner"),
    "admin": make_caller("admin", project="admins", is_admin=True),
}
EVERYBODY = " ".join(CALLERS)

OPTIONS, OLD_DEFAULTS = make_conf(), make_conf()
OLD_DEFAULTS.set_override("enforce_new_defaults", False, group="oslo_policy")

#: Image -> who sees it when asking by id, and whose it is to change.
IMAGES = {
    "private": (
        Image("private", owner="owner", visibility="private"),
        "owner agent admin",
        "owner agent admin",
    ),
    "shared": (
        Image("shared", owner="owner", visibility="shared"),
        "owner friend agent admin",
        "owner agent admin",
    ),
    "community": (
        Image("community", owner="owner", visibility="community"),
        EVERYBODY,
        "owner agent admin",
    ),
    "public": (Image("public", owner="owner", visibility="public"), EVERYBODY, "owner agent admin"),
    "ownerless": (Image("ownerless", owner=None, visibility="private"), EVERYBODY, "admin"),
}

ADD, REMOVE = Location("http://x/1"), Location("http://x/2", id=1)


class Rules(Enforcer):
    """Allows everything but some rules, and notes what it is asked: (rule, owner of the target).

    What follows from a refusal is the real thing.
    """

    def __init__(self, *refused: str) -> None:
        self.refused = frozenset(refused)
        self.asked: list[tuple[str, object]] = []

    def allows(self, ctx, rule, target) -> bool:
        self.asked.append((rule, target.get("project_id", "no target")))
        return rule not in self.refused

    def memoized_check(self, ctx, rule):
        return lambda target: self.allows(ctx, rule, target)


class FakeRepository:
    """The innermost layer: has what it is made of, notes which operations arrive, and from whom."""

    def __init__(self, **found: Any) -> None:
        self._found = found
        self.arrived: list[str] = []

    def __getattr__(self, operation: str) -> Callable:
        def answer(ctx, *arguments):
            if operation not in ("get", "resolve", "list", "resource_types"):
                self.arrived.append("elevated " + operation if ctx.is_elevated else operation)
            found = self._found.get(operation)
            return found(ctx, *arguments) if callable(found) else found

        return answer


@dataclasses.dataclass(frozen=True)
class Row:
    """One operation.

    ask
        Asks it of a layer, for a caller, about the image or namespace that was found.
    rules
        The rules that it needs, in their order; ``name@`` judges something other than the
        image: ``name@caller`` what belongs to the caller's project, ``name@none`` nothing.
    may
        Who gets it: those who see the image, or those whose it is to change.
    elevated
        Who gets it in addition, though it belongs to others.
    blunt
        Rules whose refusal is 403 even for one who may not see the image.
    filters
        Rules whose refusal leaves things out instead of being an error.
    """

    ask: Callable
    rules: tuple[str, ...]
    may: str = "owners"
    elevated: str = ""
    blunt: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()


def _update(**change) -> Callable:
    return lambda layer, ctx, image: layer.update(ctx, image, ImageChange(**change))


def _import(method: str) -> Callable:
    request = ImportRequest(method, {}, {})
    return lambda layer, ctx, image: layer.import_(ctx, image, request)


IMAGE_ROWS: dict[str, Row] = {
    "get": Row(lambda layer, ctx, image: layer.get(ctx, image.id), ("get_image",), "seers"),
    "resolve": Row(lambda layer, ctx, image: layer.resolve(ctx, image.id), (), "seers"),
    "list": Row(
        lambda layer, ctx, image: layer.list(ctx, ImageQuery()),
        ("get_images@caller", "get_image"),
        "seers",
        blunt=frozenset({"get_images"}),
        filters=frozenset({"get_image"}),
    ),
    "update": Row(_update(fields={"name": "n"}), ("modify_image",)),
    "update property": Row(_update(set_properties={"a": "b"}), ("modify_image",)),
    "update removal": Row(_update(remove_properties={"a"}), ("modify_image",)),
    "update tags": Row(_update(tags=["t"]), ("modify_image",)),
    "update one tag": Row(_update(add_tags=("t",)), ("modify_image",)),
    "update less a tag": Row(_update(remove_tags=("t",)), ("modify_image",)),
    "update private": Row(_update(fields={"visibility": "private"}), ("modify_image",)),
    "update public": Row(
        _update(fields={"visibility": "public"}),
        ("publicize_image", "modify_image"),
        blunt=frozenset({"publicize_image"}),
    ),
    "update community": Row(
        _update(fields={"visibility": "community"}),
        ("communitize_image", "modify_image"),
        blunt=frozenset({"communitize_image"}),
    ),
    "update add location": Row(_update(add_locations=(ADD,)), ("set_image_location",)),
    "update change location": Row(_update(update_locations=(REMOVE,)), ("set_image_location",)),
    "update first location": Row(
        _update(
            add_locations=(ADD,),
            fields={
                "checksum": "c",
                "os_hash_algo": "a",
                "os_hash_value": "v",
                "size": 1,
                "status": "active",
            },
        ),
        ("set_image_location",),
    ),
    "update remove location": Row(_update(remove_locations=(REMOVE,)), ("delete_image_location",)),
    "update all": Row(
        _update(
            add_locations=(ADD,),
            remove_locations=(REMOVE,),
            fields={"name": "n", "visibility": "public"},
        ),
        ("publicize_image", "set_image_location", "delete_image_location", "modify_image"),
        blunt=frozenset({"publicize_image"}),
    ),
    "delete": Row(lambda layer, ctx, image: layer.delete(ctx, image), ("delete_image",)),
    "upload": Row(
        lambda layer, ctx, image: layer.upload(ctx, image, Upload([])), ("upload_image",)
    ),
    "stage": Row(lambda layer, ctx, image: layer.stage(ctx, image, Upload([])), ("modify_image",)),
    "download": Row(
        lambda layer, ctx, image: layer.download(ctx, image, Download()),
        ("download_image",),
        "seers",
    ),
    "download preferring": Row(
        lambda layer, ctx, image: layer.download(ctx, image, Download(prefer=("fast",))),
        ("download_image", "download_from_store"),
        "seers",
    ),
    "set_status": Row(
        lambda layer, ctx, image: layer.set_status(ctx, image, "deactivated"), ("deactivate",)
    ),
    "set_status back": Row(
        lambda layer, ctx, image: layer.set_status(ctx, image, "active"), ("reactivate",)
    ),
    "import_": Row(_import(GLANCE_DIRECT), ("modify_image",)),
    "import_ copy": Row(_import(COPY_IMAGE), ("copy_image",), elevated=EVERYBODY),
    "add_location": Row(
        lambda layer, ctx, image: layer.add_location(ctx, image, Registration("http://x")),
        ("add_image_location",),
        elevated="service delegate agent",
    ),
    "list_locations": Row(
        lambda layer, ctx, image: layer.list_locations(ctx, image),
        ("fetch_image_location",),
        "seers",
    ),
    "delete_from_store": Row(
        lambda layer, ctx, image: layer.delete_from_store(ctx, image, "fast"),
        ("get_image_location", "delete_image_location"),
    ),
}

#: Operations that have no image to be about; they have tests of their own.
WITHOUT_IMAGE = {"create"}

#: The layers that judge rights, in the order of the gateway.
IMAGE_JUDGES = (AuthorizationProxy, PolicyProxy, OwnershipProxy)


class AccessCase(unittest.TestCase):
    def outcome(self, work: Callable) -> str:
        """ok, or what a client learns: 403, 404."""
        try:
            work()
        except errors.NotFound:
            return "404"
        except errors.Forbidden:
            return "403"
        return "ok"

    def assert_asked(self, row: Row, rules: Rules, owner: object, own: object = None) -> None:
        """The rules of the row were asked, about the right target."""
        targets = {"": owner, "caller": own, "none": "no target"}
        self.assertEqual(
            [(rule.partition("@")[0], targets[rule.partition("@")[2]]) for rule in row.rules],
            rules.asked,
        )


class ImageAccessTest(AccessCase):
    def build(self, *refused: str) -> None:
        self.rules = Rules(*refused)
        self.repositories = FakeRepository(
            get=self.image,
            resolve=self.image,
            list=self.page,
            list_locations=lambda ctx, image: [ADD],
            download=lambda *_: "data",
        )
        self.layer = gateway.build_stack(
            IMAGE_JUDGES, self.repositories, deps(OPTIONS, enforcer=self.rules)
        )

    def image(self, ctx, image_id: str) -> Image:
        member = "friend" if ctx.project_id == "friend" else None
        return dataclasses.replace(IMAGES[image_id][0], caller_membership=member)

    def page(self, ctx, query):
        return Page([dataclasses.replace(IMAGES["public"][0])], full=False)

    def ask(self, row: Row, who: str, image_id: str) -> str:
        """As a controller does: find the image, then ask."""
        ctx = CALLERS[who]
        return self.outcome(lambda: row.ask(self.layer, ctx, self.layer.resolve(ctx, image_id)))

    def test_the_layers_that_judge_rights_are_the_outermost(self) -> None:
        self.assertEqual(IMAGE_JUDGES, gateway.REQUEST_LAYERS[:3])

    def test_every_operation_has_a_row(self) -> None:
        self.assertEqual(
            set(IMAGE_OPERATIONS) - WITHOUT_IMAGE, {name.partition(" ")[0] for name in IMAGE_ROWS}
        )

    def test_who_reaches_the_records_whatever_the_rules_allow(self) -> None:
        wrong = []
        for name, row in IMAGE_ROWS.items():
            for image_id, (_image, seers, owners) in IMAGES.items():
                for who in CALLERS:
                    self.build()
                    sees = who in seers.split()
                    owns = who in (owners if row.may == "owners" else seers).split()
                    lent = sees and not owns and who in row.elevated.split()
                    expected = "404" if not sees else "ok" if owns or lent else "403"
                    found = self.ask(row, who, image_id)
                    operation = name.partition(" ")[0]
                    arrived = (
                        []
                        if expected != "ok" or operation in ("get", "resolve", "list")
                        else ["elevated " + operation if lent else operation]
                    )
                    if (found, self.repositories.arrived) != (expected, arrived):
                        wrong.append(
                            f"{name} of {image_id} by {who}: {found} "
                            f"{self.repositories.arrived}, not {expected} {arrived}"
                        )
        self.assertEqual([], wrong)

    def test_which_rules_are_asked_and_in_which_order(self) -> None:
        for name, row in IMAGE_ROWS.items():
            for who in ("owner", "admin"):
                with self.subTest(name, who=who):
                    self.build()
                    self.assertEqual("ok", self.ask(row, who, "public"))
                    self.assert_asked(row, self.rules, "owner", CALLERS[who].project_id)

    def test_a_rule_that_refuses_stops_the_operation(self) -> None:
        for name, row in IMAGE_ROWS.items():
            for rule in {each.partition("@")[0] for each in row.rules} - row.filters:
                with self.subTest(name, rule=rule):
                    self.build(rule)
                    expected = "404" if rule == "get_image" else "403"
                    self.assertEqual(expected, self.ask(row, "owner", "public"))
                    self.assertEqual([], self.repositories.arrived)
                    self.build(rule, "get_image")
                    expected = "403" if rule in row.blunt else "404"
                    self.assertEqual(expected, self.ask(row, "owner", "public"))
                    self.assertEqual([], self.repositories.arrived)

    def test_a_list_leaves_out_what_the_rule_on_one_refuses(self) -> None:
        self.build("get_image")
        page = self.layer.list(CALLERS["owner"], ImageQuery())
        self.assertEqual(([], False), (page.images, page.full))
        self.build()
        page = self.layer.list(CALLERS["owner"], ImageQuery())
        self.assertEqual(["public"], [image.id for image in page.images])

    # --- Creation ----------------------------------------------------------------------------

    def create(self, who: str, visibility: str = "private", owner: str | None = "owner") -> str:
        image = Image("new", owner=owner, visibility=visibility)
        return self.outcome(lambda: self.layer.create(CALLERS[who], image))

    def test_images_are_created_for_ones_own_project(self) -> None:
        for who in CALLERS:
            for owner in ("owner", "stranger", None):
                with self.subTest(who, owner=owner):
                    self.build()
                    may = who == "admin" or CALLERS[who].project_id == owner
                    self.assertEqual("ok" if may else "403", self.create(who, owner=owner))
                    self.assertEqual(["create"] if may else [], self.repositories.arrived)

    def test_the_rules_of_a_creation(self) -> None:
        for visibility, rules in (
            ("private", ["add_image"]),
            ("shared", ["add_image"]),
            ("community", ["add_image", "communitize_image"]),
            ("public", ["add_image", "publicize_image"]),
        ):
            self.build()
            self.assertEqual("ok", self.create("owner", visibility))
            self.assertEqual([(rule, "owner") for rule in rules], self.rules.asked)
            for rule in rules:
                self.build(rule)
                with self.assertRaises(errors.PolicyForbids) as raised:
                    self.layer.create(
                        CALLERS["owner"], Image("new", owner="owner", visibility=visibility)
                    )
                self.assertEqual((rule,), raised.exception.args)
                self.assertEqual([], self.repositories.arrived)

    def test_which_target_the_rules_of_a_creation_get(self) -> None:
        targets = []
        self.build()
        self.rules.allows = lambda ctx, rule, target: targets.append(dict(target)) or True
        self.create("owner", "public")
        self.assertEqual(
            [{"project_id": "owner", "owner": "owner", "visibility": "public"}] * 2, targets
        )

    def test_a_refused_creation_for_another_names_the_other(self) -> None:
        self.build("add_image")
        with self.assertRaises(errors.Forbidden) as raised:
            self.layer.create(CALLERS["stranger"], Image("new", owner="owner"))
        self.assertIn("'owner'", str(raised.exception))
        self.assertEqual([], self.repositories.arrived)

    # --- What holds beyond ownership ---------------------------------------------------------

    def test_only_administrators_give_images_away(self) -> None:
        for who in CALLERS:
            for owner in ("stranger", "owner", None):
                for image_id in ("public", "ownerless"):
                    with self.subTest(who, owner=owner, image=image_id):
                        self.build()
                        row = Row(_update(fields={"owner": owner}), ())
                        own = who in ("owner", "agent") and image_id == "public"
                        may = who == "admin" or own and owner == "owner"
                        self.assertEqual("ok" if may else "403", self.ask(row, who, image_id))
                        self.assertEqual(["update"] if may else [], self.repositories.arrived)
                        # It is refused before a rule could tell who sees the image.
                        self.assertEqual(may, bool(self.rules.asked))

    def test_data_of_deactivated_images_is_for_administrators(self) -> None:
        for who in CALLERS:
            for status in ("active", "deactivated"):
                self.build()
                image = dataclasses.replace(IMAGES["public"][0], status=status)
                may = who == "admin" or status == "active"
                self.assertEqual(
                    "ok" if may else "403",
                    self.outcome(
                        lambda image=image, who=who: self.layer.download(
                            CALLERS[who], image, Download()
                        )
                    ),
                )
                self.assertEqual(["download"] if may else [], self.repositories.arrived)
                self.assertEqual(
                    [ADD] if may else [], self.layer.list_locations(CALLERS[who], image)
                )

    def test_nobody_deletes_what_is_protected(self) -> None:
        for who in ("owner", "admin"):
            self.build()
            image = dataclasses.replace(IMAGES["public"][0], protected=True)
            with self.assertRaises(errors.ImageProtected):
                self.layer.delete(CALLERS[who], image)
            self.assertEqual([], self.repositories.arrived)

    def test_what_is_impossible_is_said_to_those_who_may_change_the_image(self) -> None:
        for who, expected in (
            ("owner", errors.Conflict),
            ("admin", errors.Conflict),
            ("stranger", errors.Forbidden),
        ):
            self.build()
            change = RejectedChange(fields={"name": "n"}, error=errors.Conflict("no"))
            with self.assertRaises(expected):
                self.layer.update(CALLERS[who], IMAGES["public"][0], change)
            self.assertEqual([], self.repositories.arrived)


# --- Members ---------------------------------------------------------------------------------

MEMBER_JUDGES = (MemberAuthorizationProxy, MemberPolicyProxy)

FRIEND = Member("shared", "friend")

MEMBER_ROWS: dict[str, Row] = {
    "list": Row(
        lambda layer, ctx, image: layer.list(ctx, image),
        ("get_image", "get_members", "get_member"),
        EVERYBODY,
        filters=frozenset({"get_member"}),
    ),
    "get": Row(
        lambda layer, ctx, image: layer.get(ctx, image, "friend"),
        ("get_image", "get_member"),
        "owner friend agent admin",
    ),
    "resolve": Row(
        lambda layer, ctx, image: layer.resolve(ctx, image, "friend"),
        ("get_image", "get_member"),
        "owner friend agent admin",
    ),
    "create": Row(
        lambda layer, ctx, image: layer.create(ctx, image, "new"),
        ("get_image", "add_member"),
        "owner agent admin",
        elevated=EVERYBODY,
    ),
    "update": Row(
        lambda layer, ctx, image: layer.update(ctx, image, FRIEND, "accepted"),
        ("get_image", "modify_member"),
        "friend admin",
    ),
    "delete": Row(
        lambda layer, ctx, image: layer.delete(ctx, image, FRIEND),
        ("get_image", "delete_member"),
        "owner agent admin",
    ),
}


class MemberAccessTest(AccessCase):
    def build(self, *refused: str, old_defaults: bool = False) -> None:
        self.rules = Rules(*refused)
        self.repositories = FakeRepository(
            list=[FRIEND, Member("shared", "other")], get=FRIEND, resolve=FRIEND
        )
        options = OLD_DEFAULTS if old_defaults else OPTIONS
        self.layer = gateway.build_stack(
            MEMBER_JUDGES, self.repositories, deps(options, enforcer=self.rules)
        )

    def ask(self, row: Row, who: str, image: Image | None = None) -> str:
        image = image or IMAGES["shared"][0]
        return self.outcome(lambda: row.ask(self.layer, CALLERS[who], image))

    def test_the_layers_that_judge_rights_are_the_outermost(self) -> None:
        self.assertEqual(MEMBER_JUDGES, gateway.MEMBER_LAYERS[:2])

    def test_every_operation_has_a_row(self) -> None:
        self.assertEqual(set(MEMBER_OPERATIONS), set(MEMBER_ROWS))

    def test_who_reaches_the_records_whatever_the_rules_allow(self) -> None:
        for operation, row in MEMBER_ROWS.items():
            for who in CALLERS:
                with self.subTest(operation, who=who):
                    self.build()
                    owns = who in row.may.split()
                    lent = not owns and who in row.elevated.split()
                    refused = "404" if operation in ("get", "resolve") else "403"
                    self.assertEqual("ok" if owns or lent else refused, self.ask(row, who))
                    arrived = f"elevated {operation}" if lent else operation
                    self.assertEqual(
                        [arrived]
                        if (owns or lent) and operation in ("create", "update", "delete")
                        else [],
                        self.repositories.arrived,
                    )

    def test_only_shared_images_have_members(self) -> None:
        for operation, row in MEMBER_ROWS.items():
            for kind in ("private", "community", "public"):
                for who in ("owner", "admin"):
                    self.build("get_image")
                    self.assertEqual("403", self.ask(row, who, IMAGES[kind][0]), (operation, kind))
                    self.assertEqual([], self.repositories.arrived)

    def test_a_list_shows_others_to_the_owner_only(self) -> None:
        for who, shown in (
            ("owner", 2),
            ("admin", 2),
            ("friend", 1),
            ("stranger", 0),
            ("nobody", 0),
        ):
            self.build()
            self.assertEqual(shown, len(self.layer.list(CALLERS[who], IMAGES["shared"][0])), who)

    def test_an_owner_does_not_answer_for_its_own_row(self) -> None:
        own = Member("shared", "owner")
        for who, expected in (("owner", "403"), ("admin", "ok")):
            self.build()
            self.assertEqual(
                expected,
                self.outcome(
                    lambda who=who: self.layer.update(
                        CALLERS[who], IMAGES["shared"][0], own, "accepted"
                    )
                ),
            )

    def test_under_the_old_defaults_only_the_owner_shares(self) -> None:
        for who in CALLERS:
            self.build(old_defaults=True)
            may = who in ("owner", "agent", "admin")
            self.assertEqual("ok" if may else "403", self.ask(MEMBER_ROWS["create"], who))
            self.assertEqual(["create"] if may else [], self.repositories.arrived)

    def test_which_rules_are_asked_and_in_which_order(self) -> None:
        for operation, row in MEMBER_ROWS.items():
            with self.subTest(operation):
                self.build()
                self.assertEqual("ok", self.ask(row, "admin"))
                self.assert_asked(row, self.rules, "owner")

    def test_a_rule_that_refuses_stops_the_operation(self) -> None:
        for operation, row in MEMBER_ROWS.items():
            for rule in set(row.rules) - row.filters:
                with self.subTest(operation, rule=rule):
                    self.build(rule)
                    hidden = rule == "get_image" or operation == "get"
                    self.assertEqual("404" if hidden else "403", self.ask(row, "admin"))
                    self.build(rule, "get_image")
                    self.assertEqual("404", self.ask(row, "admin"))
                    self.assertEqual([], self.repositories.arrived)

    def test_a_list_is_empty_where_the_rule_on_one_refuses(self) -> None:
        self.build("get_member")
        self.assertEqual([], self.layer.list(CALLERS["admin"], IMAGES["shared"][0]))

    def test_who_may_not_see_a_member_is_told_that_there_is_none(self) -> None:
        self.build("get_member")
        with self.assertRaises(errors.MemberNotFound):
            self.layer.get(CALLERS["admin"], IMAGES["shared"][0], "friend")

    def test_the_rules_are_asked_before_whether_the_member_is_there(self) -> None:
        def missing(ctx, image, member_id):
            raise errors.MemberNotFound(member_id, image.id)

        for who in ("friend", "admin"):
            self.rules = Rules("get_member")
            layer = gateway.build_stack(
                MEMBER_JUDGES,
                FakeRepository(resolve=missing),
                deps(OPTIONS, enforcer=self.rules),
            )
            self.assertEqual(
                "403",
                self.outcome(
                    lambda who=who, layer=layer: layer.resolve(
                        CALLERS[who], IMAGES["shared"][0], "missing"
                    )
                ),
            )


# --- Tasks -----------------------------------------------------------------------------------

TASK = Task("t", "import", owner="owner")


class TaskAccessTest(AccessCase):
    ROWS = {
        "list": lambda layer, ctx: layer.list(ctx, None),
        "get": lambda layer, ctx: layer.get(ctx, "t"),
        "create": lambda layer, ctx: layer.create(ctx, TASK),
    }

    def test_every_operation_has_a_row(self) -> None:
        # That of an image is asked for with the image, by one who sees it.
        self.assertEqual(set(TASK_OPERATIONS) - {"list_for_image"}, set(self.ROWS))
        self.assertIs(TaskPolicyProxy, gateway.STACKS["Tasks"][0])

    def test_one_rule_guards_them_all(self) -> None:
        for operation, ask in self.ROWS.items():
            for refused in ((), ("tasks_api_access",)):
                rules, repositories = Rules(*refused), FakeRepository()
                repositories.arrived = []
                layer = TaskPolicyProxy.build(repositories, deps(enforcer=rules))
                self.assertEqual(
                    "403" if refused else "ok",
                    self.outcome(lambda ask=ask, layer=layer: ask(layer, CALLERS["owner"])),
                )
                self.assertEqual([("tasks_api_access", "no target")], rules.asked)
                self.assertEqual(
                    ["create"] if operation == "create" and not refused else [],
                    repositories.arrived,
                )

    def test_tasks_of_others_are_for_administrators(self) -> None:
        class TaskRepository:
            owners: list = []

            def expire(self):
                self.owners.clear()

            def list(self, query, owner):
                self.owners.append(owner)
                return []

            def list_for_image(self, image_id):
                return [TASK, Task("other", "import", owner="stranger")]

        repository = TaskAdapter(TaskRepository(), TaskSettings())
        for who, owner, list_for_image in (
            ("owner", "owner", ["t"]),
            ("stranger", "stranger", ["other"]),
            ("admin", None, ["t", "other"]),
        ):
            repository.list(CALLERS[who], None)
            self.assertEqual([owner], TaskRepository.owners, who)
            self.assertEqual(
                list_for_image,
                [task.id for task in repository.list_for_image(CALLERS[who], IMAGES["public"][0])],
                who,
            )
        # Without an owner the records list all tasks: a caller without a project has none.
        self.assertEqual([], repository.list(CALLERS["nobody"], None))
        self.assertEqual([], TaskRepository.owners)
        self.assertEqual([], repository.list_for_image(CALLERS["nobody"], IMAGES["public"][0]))


# --- Metadata definitions --------------------------------------------------------------------

#: The rules of each operation by kind; that of lists is in the method.
DEFINITION_RULES = {
    **DefinitionPolicyProxy.checks,
    "list": DefinitionPolicyProxy.checks["get"],
}

NAMESPACES = {
    "private": (Namespace("private", "owner"), "owner agent admin", "owner agent admin"),
    "public": (Namespace("public", "owner", visibility="public"), EVERYBODY, "owner agent admin"),
}
SEE = "get_metadef_namespace"

NAMESPACE_ROWS: dict[str, Row] = {
    "get": Row(
        lambda layer, ctx, found: layer.get(ctx, found.name),
        (
            SEE,
            "list_metadef_resource_types",
            "get_metadef_objects",
            "get_metadef_properties",
            "get_metadef_tags",
        ),
        "seers",
    ),
    "resolve": Row(lambda layer, ctx, found: layer.resolve(ctx, found.name), (), "seers"),
    "list": Row(
        lambda layer, ctx, found: layer.list(ctx, NamespaceQuery()),
        ("get_metadef_namespaces@caller", "list_metadef_resource_types@caller", SEE),
        "seers",
        filters=frozenset({SEE}),
    ),
    "update": Row(
        lambda layer, ctx, found: layer.update(ctx, found, found), ("modify_metadef_namespace",)
    ),
    "delete": Row(
        lambda layer, ctx, found: layer.delete(ctx, found), ("delete_metadef_namespace",)
    ),
    "resource_types": Row(
        lambda layer, ctx, found: layer.resource_types(ctx),
        ("list_metadef_resource_types@caller",),
        "seers",
    ),
}


def _kind(
    kind: type,
    one: str,
    many: str,
    add: str,
    modify: str | None,
    remove: str,
    clear: tuple[str, ...],
    filters: bool = False,
) -> dict[str, Row]:
    """The operations on the things of one kind in a namespace."""
    noun = kind.__name__
    rows = {
        f"list {noun}": Row(
            lambda layer, ctx, found: layer.list(ctx, found, kind),
            (many, one) if filters else (many,),
            "seers",
            filters=frozenset({one}) if filters else frozenset(),
        ),
        f"get {noun}": Row(
            lambda layer, ctx, found: layer.get(ctx, found, kind, "x"), (one,), "seers"
        ),
        f"create {noun}": Row(
            lambda layer, ctx, found: layer.create(ctx, found, kind("x")), (add,)
        ),
        f"delete {noun}": Row(
            lambda layer, ctx, found: layer.delete(ctx, found, kind, "x"), (remove,)
        ),
    }
    if modify:
        rows[f"update {noun}"] = Row(
            lambda layer, ctx, found: layer.update(ctx, found, "x", kind("y")), (modify,)
        )
    if clear:
        rows[f"clear {noun}"] = Row(lambda layer, ctx, found: layer.clear(ctx, found, kind), clear)
    return rows


DEFINITION_ROWS: dict[str, Row] = {
    **_kind(
        Object,
        "get_metadef_object",
        "get_metadef_objects",
        "add_metadef_object",
        "modify_metadef_object",
        "delete_metadef_object",
        ("delete_metadef_namespace",),
        filters=True,
    ),
    **_kind(
        Property,
        "get_metadef_property",
        "get_metadef_properties",
        "add_metadef_property",
        "modify_metadef_property",
        "remove_metadef_property",
        ("delete_metadef_namespace",),
    ),
    **_kind(
        Tag,
        "get_metadef_tag",
        "get_metadef_tags",
        "add_metadef_tag",
        "modify_metadef_tag",
        "delete_metadef_tag",
        ("delete_metadef_namespace", "delete_metadef_tags"),
    ),
    **_kind(
        Association,
        "get_metadef_resource_type",
        "list_metadef_resource_types",
        "add_metadef_resource_type_association",
        None,
        "remove_metadef_resource_type_association",
        (),
        filters=True,
    ),
    "create_all Tag": Row(
        lambda layer, ctx, found: layer.create_all(ctx, found, Tag, [Tag("x")], True),
        ("add_metadef_tags",),
    ),
}


class MetadefAccessTest(AccessCase):
    JUDGES = {
        "namespaces": (NamespacePolicyProxy, NamespaceAuthorizationProxy),
        "definitions": (DefinitionPolicyProxy, DefinitionAuthorizationProxy),
    }
    ROWS = {"namespaces": NAMESPACE_ROWS, "definitions": DEFINITION_ROWS}

    def build(self, *refused: str) -> None:
        self.rules = Rules(*refused)
        known = deps(OPTIONS, enforcer=self.rules)

        def get(ctx, name):
            return NAMESPACES[name][0]

        self.repositories = FakeRepository(
            get=get,
            resolve=get,
            resource_types=[],
            list=lambda ctx, query: NamespacePage([NAMESPACES["public"][0]], full=True),
        )
        self.namespaces = gateway.build_stack(self.JUDGES["namespaces"], self.repositories, known)
        self.things = FakeRepository(
            get=lambda ctx, namespace, kind, name: kind(name),
            list=lambda ctx, namespace, kind, listing: [kind("x")],
        )
        self.definitions = gateway.build_stack(self.JUDGES["definitions"], self.things, known)

    def ask(self, noun: str, row: Row, who: str, name: str) -> str:
        ctx = CALLERS[who]
        return self.outcome(
            lambda: row.ask(getattr(self, noun), ctx, self.namespaces.resolve(ctx, name))
        )

    def arrived(self) -> list[str]:
        return self.repositories.arrived + self.things.arrived

    def rows(self):
        for noun, rows in self.ROWS.items():
            for name, row in rows.items():
                yield noun, name, row

    def test_the_layers_that_judge_rights_are_the_outermost(self) -> None:
        self.assertEqual(self.JUDGES["namespaces"], gateway.NAMESPACE_LAYERS[:2])
        self.assertEqual(self.JUDGES["definitions"], gateway.DEFINITION_LAYERS[:2])

    def test_every_operation_has_a_row(self) -> None:
        self.assertEqual(set(NAMESPACE_OPERATIONS) - {"create"}, set(NAMESPACE_ROWS))
        self.assertEqual(
            set(DEFINITION_OPERATIONS), {name.partition(" ")[0] for name in DEFINITION_ROWS}
        )
        self.assertEqual(
            {
                (operation, kind.__name__)
                for operation in DefinitionPolicyProxy.operations
                for kind in KINDS
                if DEFINITION_RULES[operation].by_kind[kind] is not None
            },
            {tuple(name.split()) for name in DEFINITION_ROWS},
        )

    def test_who_reaches_the_records_whatever_the_rules_allow(self) -> None:
        for noun, name, row in self.rows():
            for namespace, (_found, seers, owners) in NAMESPACES.items():
                for who in CALLERS:
                    with self.subTest(name, who=who, namespace=namespace):
                        self.build()
                        sees = who in seers.split()
                        may = sees and (row.may == "seers" or who in owners.split())
                        expected = "404" if not sees else "ok" if may else "403"
                        self.assertEqual(expected, self.ask(noun, row, who, namespace))
                        changes = may and row.may == "owners"
                        self.assertEqual([name.split()[0]] if changes else [], self.arrived())

    def test_which_rules_are_asked_and_in_which_order(self) -> None:
        for noun, name, row in self.rows():
            with self.subTest(name):
                self.build()
                self.assertEqual("ok", self.ask(noun, row, "owner", "public"))
                self.assert_asked(row, self.rules, "owner", "owner")

    def test_a_rule_that_refuses_stops_the_operation(self) -> None:
        for noun, name, row in self.rows():
            for rule in {each.partition("@")[0] for each in row.rules} - row.filters:
                with self.subTest(name, rule=rule):
                    self.build(rule)
                    self.assertEqual(
                        "404" if rule == SEE else "403", self.ask(noun, row, "owner", "public")
                    )
                    self.assertEqual([], self.arrived())
                    self.build(rule, SEE)
                    self.assertEqual("404", self.ask(noun, row, "owner", "public"))
                    self.assertEqual([], self.arrived())

    def test_lists_leave_out_what_the_rule_on_one_refuses(self) -> None:
        owner = CALLERS["owner"]
        for rule, kind in (
            ("get_metadef_object", Object),
            ("get_metadef_resource_type", Association),
        ):
            self.build(rule)
            self.assertEqual([], self.definitions.list(owner, NAMESPACES["public"][0], kind))
            self.build()
            self.assertEqual(1, len(self.definitions.list(owner, NAMESPACES["public"][0], kind)))
        self.build(SEE)
        page = self.namespaces.list(owner, NamespaceQuery())
        self.assertEqual(([], True), (page.namespaces, page.full))

    def test_which_target_the_rules_get_for_a_namespace(self) -> None:
        self.assertEqual(
            {
                "project_id": "owner",
                "owner": "owner",
                "visibility": "public",
                "namespace": "public",
            },
            metadefs_policy.target(NAMESPACES["public"][0]),
        )

    def test_a_namespace_is_created_by_its_owner_with_the_rules_of_all_in_it(self) -> None:
        contents = {
            Object: [Object("o")],
            Tag: [Tag("t")],
            Property: [Property("p")],
            Association: [Association("a")],
        }
        rules = [
            "add_metadef_namespace",
            "add_metadef_object",
            "add_metadef_tag",
            "add_metadef_property",
            "add_metadef_resource_type_association",
        ]
        for who in CALLERS:
            self.build()
            may = who in ("owner", "agent", "admin")
            new = Namespace("n", "owner", contents=contents)
            self.assertEqual(
                "ok" if may else "403",
                self.outcome(lambda new=new, who=who: self.namespaces.create(CALLERS[who], new)),
                who,
            )
            self.assertEqual(["create"] if may else [], self.arrived())
            self.assertEqual([(rule, CALLERS[who].project_id) for rule in rules], self.rules.asked)
        for rule in rules:
            for refused, expected in (((rule,), "403"), ((rule, SEE), "404")):
                self.build(*refused)
                self.assertEqual(
                    expected,
                    self.outcome(
                        lambda: self.namespaces.create(
                            CALLERS["owner"], Namespace("n", "owner", contents=contents)
                        )
                    ),
                    refused,
                )
                self.assertEqual([], self.arrived())

    def test_a_namespace_has_an_owner_and_is_given_away_by_administrators(self) -> None:
        found = NAMESPACES["public"][0]
        for who, owner, expected in (
            ("owner", "stranger", errors.Forbidden),
            ("admin", "stranger", None),
            ("owner", None, errors.Invalid),
            ("admin", None, errors.Invalid),
            ("stranger", None, errors.Forbidden),
        ):
            with self.subTest(who, owner=owner):
                self.build()
                after = dataclasses.replace(found, owner=owner)
                if expected is None:
                    self.namespaces.update(CALLERS[who], found, after)
                    continue
                with self.assertRaises(expected):
                    self.namespaces.update(CALLERS[who], found, after)
                self.assertEqual([], self.arrived())
        for who in ("nobody", "admin"):
            self.build()
            with self.assertRaises(errors.Invalid):
                self.namespaces.create(CALLERS[who], Namespace("n", None))
            self.assertEqual([], self.arrived())

    def test_nothing_is_taken_from_what_is_protected(self) -> None:
        locked = Namespace("l", "owner", visibility="public", protected=True)
        for who in ("owner", "admin"):
            ctx = CALLERS[who]
            for work in (
                lambda ctx: self.namespaces.delete(ctx, locked),
                lambda ctx: self.definitions.delete(ctx, locked, Tag, "x"),
                lambda ctx: self.definitions.clear(ctx, locked, Tag),
            ):
                self.build()
                with self.assertRaises(errors.Forbidden) as raised:
                    work(ctx)
                self.assertIn("protected", str(raised.exception))
                self.assertEqual([], self.arrived())

    def test_what_is_not_there_is_missed_before_the_protection(self) -> None:
        locked = Namespace("l", "owner", visibility="public", protected=True)

        def missing(ctx, namespace, kind, name):
            raise errors.NotFound("nothing")

        layer = DefinitionAuthorizationProxy.build(FakeRepository(get=missing), deps())
        with self.assertRaises(errors.NotFound):
            layer.delete(CALLERS["owner"], locked, Tag, "x")


if __name__ == "__main__":
    unittest.main()
