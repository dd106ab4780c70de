"""What client and registry say to each other: every command, value and error, and nothing else."""

import datetime
import json
import unittest

from glance_py.domain import errors
from glance_py.domain.cached_image import CachedImage
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import (
    ClaimGrant,
    ClaimRelease,
    ClaimRequest,
    HeldClaim,
    UnclaimedWork,
)
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.metadef import (
    Association,
    Listing,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    Object,
    Property,
    ResourceType,
    Tag,
)
from glance_py.domain.ports import PendingData
from glance_py.domain.query import Filter, ImageQuery, Page
from glance_py.domain.quota import QuotaReservation
from glance_py.domain.task import Task, TaskQuery
from glance_py.registry import protocol
from glance_py.registry.protocol import COMMANDS, DecodeError

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678)
IMAGE = Image(
    "i",
    status="active",
    name="Ünï",
    owner="p",
    size=2**40,
    created_at=NOW,
    tags=["a"],
    properties={"k": "v"},
    caller_membership="q",
    locations=[Location("file:///a", {"store": "s", "deep": [{"x": 1.5}]}, "active", 7)],
)
NAMESPACE = Namespace(
    "N",
    "p",
    created_at=NOW,
    id=3,
    contents={
        Tag: [Tag("t", NOW)],
        Association: [Association("OS::X", NOW, None, "pre", "target")],
        Property: [Property("q", schema={"type": "integer", "maximum": 2.5})],
        Object: [Object("o", required=["q"], properties={"q": {"type": "string"}})],
    },
)
HELD = HeldClaim("i", 2, "h", "upload", 7, "host", "t", 1)
WORK = UnclaimedWork("i", "import", "t", NOW)
TASK = Task("t", "import", "p", input={"deep": {"list": [1, None]}}, expires_at=NOW)

#: A call of every command with its result.
CALLS = {
    "images.get": (("i",), IMAGE),
    "images.list": (
        (
            ImageQuery(
                filters=(
                    Filter("created_at", "gt", NOW),
                    Filter("id", "in", ("i", "j")),
                    Filter("protected", "eq", True),
                    Filter("size", "lte", 7),
                ),
                tags=("a",),
                properties=(("k", "v"),),
                sort=(("name", "asc"), ("id", "desc")),
                marker="m",
            ),
        ),
        Page([IMAGE, Image("j")], full=True),
    ),
    "images.create": ((IMAGE, QuotaReservation("p", {"images": 7}, reserve=5)), IMAGE),
    "images.update": (
        (
            IMAGE,
            ImageChange(
                fields={"name": None, "updated_at": NOW, "size": 4},
                set_properties={"k": "v"},
                remove_properties=frozenset({"a", "b"}),
                tags=["x"],
                add_tags=("y",),
                remove_tags=("z",),
                add_locations=(Location("file:///b"),),
                remove_locations=tuple(IMAGE.locations),
                update_locations=tuple(IMAGE.locations),
                location_indexes=(0, 1),
                expected=frozenset({"queued", "saving"}),
                acquire=ClaimRequest("h", "upload"),
                holder="g",
                release=ClaimRelease(),
                reservation=QuotaReservation(None, {}),
            ),
        ),
        IMAGE,
    ),
    "images.delete": ((IMAGE, "pending_delete"), None),
    "members.find": (("i", None), [Member("i", "p", "accepted", NOW, NOW)]),
    "members.create": (("i", "p"), Member("i", "p")),
    "members.update": ((Member("i", "p"), "accepted"), Member("i", "p", "accepted")),
    "members.delete": ((Member("i", "p"),), None),
    "tasks.create": ((TASK,), TASK),
    "tasks.get": (("t",), TASK),
    "tasks.list": ((TaskQuery(sort=("status", "asc")), None), [TASK]),
    "tasks.list_for_image": (("i",), [TASK]),
    "tasks.update": ((TASK,), TASK),
    "tasks.expire": ((), 3),
    "claims.take": (("i", ClaimRequest("h", "task", "host", "t", "u")), ClaimGrant(1)),
    "claims.beat": ((["h", "i"],), ["i"]),
    "claims.release": (("i", "h", ClaimRelease("t", True)), True),
    "claims.finish": ((["h"],), None),
    "claims.replace_holder": (("i", ["h"], "j"), True),
    "claims.held": ((), [HELD]),
    "claims.take_over": ((HELD, "h"), ClaimGrant(3, 2)),
    "claims.unclaimed": ((60.0,), [WORK]),
    "claims.take_unclaimed": ((WORK, ClaimRequest("h", "import")), None),
    "claims.get": (("i",), HELD),
    "usage.storage": (("p", "i"), 2**50),
    "usage.staging": (("p",), 0),
    "usage.images": ((None,), 1),
    "usage.uploading": (("p",), 1),
    "namespaces.get": (("N",), NAMESPACE),
    "namespaces.resolve": (("N",), NAMESPACE),
    "namespaces.list": (
        (NamespaceQuery(Listing(limit=4), "public", ("OS::X",)),),
        NamespacePage([NAMESPACE], full=True),
    ),
    "namespaces.create": ((NAMESPACE,), NAMESPACE),
    "namespaces.update": ((NAMESPACE, Namespace("M", "p")), NAMESPACE),
    "namespaces.delete": ((NAMESPACE,), None),
    "namespaces.resource_types": ((), [ResourceType("OS::X", NOW)]),
    "definitions.list": ((NAMESPACE, Tag, Listing()), [Tag("a"), Tag("b")]),
    "definitions.get": ((NAMESPACE, Property, "q"), Property("q")),
    "definitions.create": ((NAMESPACE, Object("o")), Object("o")),
    "definitions.create_all": ((NAMESPACE, Tag, [Tag("a")], True), [Tag("a")]),
    "definitions.update": ((NAMESPACE, "q", Property("r")), Property("r")),
    "definitions.delete": ((NAMESPACE, Association, "OS::X"), Association("OS::X")),
    "definitions.clear": ((NAMESPACE, Tag), None),
    "cached_images.get_or_create_node": (("http://n",), 4),
    "cached_images.add": ((4, "i", 5), None),
    "cached_images.hit": ((4, "i", 5), None),
    "cached_images.remove": ((4, "i"), None),
    "cached_images.entries": ((4,), [CachedImage("i", 1, 2.5, 3.5, 4, 5, "c")]),
    "cached_images.nodes": (("i",), ["http://n"]),
    "cached_images.import_entries": ((4, [CachedImage("i", 1, 2.5, 3, 4)]), None),
    "pending.find": ((60, 0, 10, True), [PendingData("i", "deleted", IMAGE.locations[0])]),
    "pending.add": (("i", IMAGE.locations[0]), None),
    "pending.begin_removal": ((IMAGE.locations,), [7]),
    "pending.cancel_removal": ((IMAGE.locations,), None),
    "pending.mark_deleted": ((IMAGE.locations,), None),
    "pending.unmark": ((IMAGE.locations,), None),
    "pending.complete_deletion": (("i",), True),
    "pending.restore": (("i", "active", "deleted"), None),
    "pending.is_shared": (("i", "file:///a"), True),
    "pending.statuses_at": (("i", "file:///a"), ["active"]),
    "pending.any_exist": ((["i"],), False),
    "ping": ((), None),
}


def round_trip(command, args, **kwargs):
    """The arguments as the registry gets them."""
    body = protocol.dump_request(command, command.encode_arguments(args, kwargs))
    [call] = protocol.load_request(body)
    return call.arguments


class CommandsTest(unittest.TestCase):
    def test_read_and_idempotent_commands_exist(self):
        self.assertEqual(
            frozenset(), (protocol.READ_COMMANDS | protocol.IDEMPOTENT_COMMANDS) - COMMANDS.keys()
        )
        self.assertEqual(frozenset(), protocol.READ_COMMANDS & protocol.IDEMPOTENT_COMMANDS)

    def test_the_list_of_commands_is_fixed(self):
        """A new method of a port is on the wire only when somebody writes it down here, too."""
        self.assertEqual(set(CALLS), set(COMMANDS))
        self.assertLessEqual(protocol.READ_COMMANDS, set(COMMANDS))

    def test_arguments_arrive_as_they_were(self):
        for name, (args, _) in CALLS.items():
            with self.subTest(name):
                self.assertEqual(
                    dict(zip(COMMANDS[name].parameters, args, strict=False)),
                    round_trip(COMMANDS[name], args),
                )

    def test_results_arrive_as_they_were(self):
        for name, (_, result) in CALLS.items():
            with self.subTest(name):
                body = protocol.dump_response([protocol.encode_result(COMMANDS[name], result)])
                self.assertEqual(result, protocol.load_response(COMMANDS[name], body))

    def test_types_arrive_as_they_were(self):
        change = round_trip(COMMANDS["images.update"], CALLS["images.update"][0])["change"]
        self.assertEqual(
            [frozenset, list, tuple, tuple, frozenset],
            [
                type(each)
                for each in (
                    change.remove_properties,
                    change.tags,
                    change.add_tags,
                    change.location_indexes,
                    change.expected,
                )
            ],
        )
        query = round_trip(COMMANDS["images.list"], CALLS["images.list"][0])["query"]
        hash(query)

    def test_fields_of_a_task_are_arguments_of_their_own(self):
        self.assertEqual(
            {"task": TASK, "status": "success", "result": {"a": 1}, "expires_at": NOW},
            round_trip(
                COMMANDS["tasks.update"], (TASK,), status="success", result={"a": 1}, expires_at=NOW
            ),
        )

    def test_anything_that_can_be_walked_through_is_a_list(self):
        command = COMMANDS["pending.any_exist"]
        self.assertEqual({"ids": ["a"]}, round_trip(command, ({"a"},)))
        self.assertEqual({"ids": ["a"]}, round_trip(command, (iter("a"),)))

    def test_large_numbers_of_filters_compare_like_the_largest(self):
        query = ImageQuery(filters=(Filter("size", "lte", 10**30), Filter("size", "gt", -(10**30))))
        self.assertEqual(
            [2**64 - 1, -(2**63)],
            [each.value for each in round_trip(COMMANDS["images.list"], (query,))["query"].filters],
        )

    def test_what_cannot_be_written_is_a_clear_error(self):
        for value in ("lone \ud800 surrogate", 2**70):
            self.assertRaises(
                errors.Invalid,
                round_trip,
                COMMANDS["images.update"],
                (Image("i"), ImageChange(fields={"name": value})),
            )


class MalformedTest(unittest.TestCase):
    """Whatever comes, nothing of it is done, and the answer says where it is wrong."""

    def refused(self, document, words):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        with self.assertRaisesRegex(DecodeError, words):
            protocol.load_request(body)

    def test_requests(self):
        self.refused(b"{", "not JSON")
        self.refused({}, "must be a list of commands")
        self.refused(["ping"], "must be an object")
        self.refused([{"command": 3}], "must be an object")
        self.refused([{"command": "ping", "context": {}}], "nothing else")
        self.refused([{"command": "ping", "kwargs": []}], "kwargs of ping")
        self.refused([{"command": "ping", "kwargs": {"a": 1}}], "no argument 'a'")
        self.refused([{"command": "images.get"}], "needs the argument 'image_id'")
        for name in ("images._set", "images.__init__", "os.system", "records.ping", "images", ""):
            with self.assertRaises(protocol.UnknownCommand):
                protocol.load_request(json.dumps([{"command": name}]).encode())

    def refused_arguments(self, name, words, **kwargs):
        self.refused([{"command": name, "kwargs": kwargs}], words)

    def test_values(self):
        update = "images.update"
        self.refused_arguments("images.get", "image_id: not of type str", image_id=["i"])
        self.refused_arguments(update, "image: id is missing", image={}, change={})
        self.refused_arguments(
            update, "change: there is no 'do'", image={"id": "i"}, change={"do": 1}
        )
        self.refused_arguments(
            update,
            "fields: there is no 'deleted'",
            image={"id": "i"},
            change={"fields": {"deleted": True}},
        )
        self.refused_arguments(
            update,
            "fields: size: not of type int",
            image={"id": "i"},
            change={"fields": {"size": "7"}},
        )
        self.refused_arguments(
            update, "protected: not of type bool", image={"id": "i", "protected": 1}, change={}
        )
        self.refused_arguments(
            update, "created_at: not a time", image={"id": "i", "created_at": "soon"}, change={}
        )
        self.refused_arguments(
            "images.list",
            "there is no such field",
            query={"filters": [{"field": "secret", "op": "eq", "value": 1}]},
        )
        self.refused_arguments(
            "images.list",
            "not of type",
            query={"filters": [{"field": "size", "op": "eq", "value": {}}]},
        )
        self.refused_arguments(
            "definitions.clear",
            "not a kind",
            namespace={"name": "n", "owner": "p"},
            kind="os.system",
        )
        self.refused_arguments(
            "tasks.update",
            "there is no 'secret'",
            task={"id": "t", "type": "x", "owner": "p"},
            fields={"secret": 1},
        )

    def test_answers(self):
        for body in (
            b"<html>",
            b"{}",
            b"[]",
            b"[1]",
            b'[{"error": 1}]',
            b'[{"result": "x"}]',
            b'[{"error": {"class": "Nothing"}}]',
            b'[{"error": {"class": ["Nothing"], "args": []}}]',
            b'[{"result": 1}, {"result": 1}]',
        ):
            with self.assertRaises(DecodeError):
                protocol.load_response(COMMANDS["images.get"], body)

    def test_a_newer_registry_may_say_more(self):
        image = protocol.load_response(
            COMMANDS["images.get"], b'[{"result": {"id": "i", "colour": "blue"}}]'
        )
        self.assertEqual(Image("i"), image)


class ErrorsTest(unittest.TestCase):
    def test_every_error_arrives_as_it_was(self):
        for each in protocol.ERRORS.values():
            error = each("a", 3, None)
            body = protocol.dump_response([protocol.encode_error(error)])
            with self.assertRaises(each) as raised:
                protocol.load_response(protocol.PING, body)
            self.assertIs(each, type(raised.exception))
            self.assertEqual(error.args, raised.exception.args)

    def test_only_errors_of_the_domain_are_made(self):
        for name in ("SystemExit", "KeyError", "os.system"):
            body = json.dumps([{"error": {"class": name, "args": ["no"]}}]).encode()
            with self.assertRaises(errors.GlanceError) as raised:
                protocol.load_response(protocol.PING, body)
            self.assertIs(errors.GlanceError, type(raised.exception))
