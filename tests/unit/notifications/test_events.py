"""The table of notifications: what the layers emit, and what the page for operators says."""

from __future__ import annotations

import pathlib
import re
import unittest

from glance_py import gateway
from glance_py.domain import ports
from glance_py.domain.metadef import KINDS
from glance_py.layers.metadefs_policy import DefinitionPolicyProxy
from glance_py.layers.notifying import NotifyingLayer
from glance_py.notifications.events import DISABLEABLE, ERROR, EVENTS, INFO, emit, has_events

PAGE = pathlib.Path(__file__).parents[3] / "doc/source/admin/notifications.md"

#: Sources of events -> the operations of the port.
OPERATIONS = {
    "images": ports.INTERNAL_OPERATIONS,
    "members": ports.MEMBER_OPERATIONS,
    "tasks": ports.INTERNAL_TASK_OPERATIONS,
    "namespaces": ports.NAMESPACE_OPERATIONS,
    "definitions": ports.DEFINITION_OPERATIONS,
}
#: The steps of an upload (``Upload.on_step``), its failure, and the ends of a download.
STEPS = {
    "upload": {
        "saving", "uploading", "prepare", "upload", "activate", "active", "queued", "failed",
    },
    "download": {"complete", "incomplete"},
}  # fmt: skip


class Sender:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, object]] = []

    def info(self, event, payload):
        self.sent.append((INFO, event, payload))

    def error(self, event, payload):
        self.sent.append((ERROR, event, payload))


class EventsTest(unittest.TestCase):
    def test_sources_are_operations_and_steps(self) -> None:
        for event in EVENTS:
            noun, _, what = event.source.partition(".")
            self.assertIn(what, STEPS.get(noun) or OPERATIONS[noun], event.name)
        steps = {event.source for event in EVENTS if event.source.partition(".")[0] in STEPS}
        self.assertEqual({f"{noun}.{what}" for noun in STEPS for what in STEPS[noun]}, steps)

    def test_each_operation_with_events_is_overridden_by_its_layer(self) -> None:
        layers = {
            layer.noun: layer
            for stack in gateway.STACKS.values()
            for layer in stack
            if issubclass(layer, NotifyingLayer)
        }
        self.assertEqual(set(OPERATIONS), set(layers))
        for event in EVENTS:
            noun, _, operation = event.source.partition(".")
            if noun in OPERATIONS:
                self.assertIn(operation, layers[noun].overrides(), event.name)

    def test_each_kind_has_events_for_what_can_be_done_with_it(self) -> None:
        for kind in KINDS:
            sources = {event.source for event in EVENTS if event.kind is kind}
            offered = {
                f"definitions.{name}"
                for name in ("create", "update", "delete", "clear")
                if DefinitionPolicyProxy.checks[name].by_kind[kind] is not None
            }
            self.assertEqual(offered, sources, kind.noun)

    def test_priorities(self) -> None:
        errors = {(event.name, event.source) for event in EVENTS if event.priority == ERROR}
        self.assertEqual(
            {("image.upload", "upload.failed"), ("image.send", "download.incomplete")}, errors
        )

    def test_a_source_without_events_emits_nothing(self) -> None:
        sender = Sender()
        emit(sender, "images.get", None)
        self.assertEqual([], sender.sent)
        self.assertFalse(has_events("images.get"))
        self.assertTrue(has_events("images.create"))
        self.assertFalse(has_events("definitions.create"))  # only with a kind

    def test_what_disabled_notifications_may_name(self) -> None:
        self.assertIn("image.create", DISABLEABLE)
        self.assertIn("metadef_resource_type", DISABLEABLE)
        self.assertNotIn("image.member", DISABLEABLE)
        self.assertNotIn("image.member.", DISABLEABLE)

    def test_the_page_for_operators_names_all_events(self) -> None:
        """In a cell ``.update`` continues the name before it; ``*`` stands for all the rest."""
        patterns, before = [], ""
        for name in re.findall(r"`([a-z_.*]+)`", _first_cells(PAGE.read_text())):
            before = before.rpartition(".")[0] + name if name.startswith(".") else name
            patterns.append(before)
        for name in {event.name for event in EVENTS}:
            matching = [each for each in patterns if _matches(each, name)]
            self.assertTrue(matching, f"{PAGE} does not name {name}")
        for pattern in patterns:
            self.assertTrue(
                any(_matches(pattern, event.name) for event in EVENTS), f"{PAGE}: {pattern}"
            )


def _first_cells(text: str) -> str:
    """The first cell of each row of the tables of a page."""
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


if __name__ == "__main__":
    unittest.main()
