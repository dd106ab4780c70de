"""The parts of a route belong together: table, controller method and operation."""

from __future__ import annotations

import ast
import inspect
import pathlib
import re
import types
import typing
import unittest

from webob import exc

from glance_py.domain import errors
from glance_py.domain.ports import (
    DefinitionOperations,
    ImageOperations,
    MemberOperations,
    NamespaceOperations,
    TaskOperations,
)
from glance_py.http import controllers
from glance_py.http.router import RouteError, bind_actions
from glance_py.http.routes import ROUTES, Route, RouteTable
from glance_py.settings import Settings
from glance_py.wire.media_types import BodyKind
from tests.unit.http.fakes import FORMATS, IMAGE, Enforcer, Stores

CONTROLLERS = pathlib.Path(controllers.__file__).parent

#: The operations that no request asks for: the executor of tasks does.
INTERNAL: dict[type, set[str]] = {
    ImageOperations: set(),
    MemberOperations: set(),
    TaskOperations: {"start", "set_message", "succeed", "fail", "notify_run"},
    NamespaceOperations: set(),
    DefinitionOperations: set(),
}


def all_controllers() -> typing.Mapping[str, object]:
    operations = types.SimpleNamespace(
        images=None, members=None, tasks=None, namespaces=None, definitions=None
    )
    return controllers.controllers(
        operations, Settings(formats=FORMATS), Stores(), Enforcer(), IMAGE, None, None
    )


class RoutesTest(unittest.TestCase):
    def test_a_route_without_an_action_stops_the_start(self) -> None:
        for action in ("images.missing", "missing.index"):
            with self.assertRaisesRegex(RouteError, f"GET /x: there is no action {action}"):
                bind_actions([Route("GET", "/x", action)], all_controllers())

    def test_every_action_takes_the_variables_of_its_path(self) -> None:
        for route, action in bind_actions(ROUTES, all_controllers()).items():
            with self.subTest(f"{route.method} {route.path}"):
                variables = {*re.findall(r"{(\w+)}", route.path), *route.defaults}
                self.assertEqual({"request", *variables}, set(inspect.signature(action).parameters))

    def test_every_public_method_of_a_controller_answers_a_route(self) -> None:
        built = all_controllers()
        methods = {
            method
            for controller in built.values()
            for name, method in inspect.getmembers(type(controller), inspect.isfunction)
            if not name.startswith("_")
        }
        answering = {action.__func__ for action in bind_actions(ROUTES, built).values()}
        self.assertEqual(methods, answering)

    def test_every_operation_is_called_by_a_controller(self) -> None:
        called = {
            node.attr
            for path in CONTROLLERS.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
        for port, internal in INTERNAL.items():
            operations = {name for name in dir(port) if not name.startswith("_")}
            self.assertEqual(set(), operations - internal - called, port.__name__)

    def test_a_path_has_a_method_once(self) -> None:
        keys = [(route.method, route.path) for route in ROUTES]
        self.assertEqual(len(keys), len(set(keys)))

    def test_only_bodies_of_writes_are_read(self) -> None:
        for route in ROUTES:
            if route.body in (BodyKind.JSON, BodyKind.BYTES):
                self.assertIn(route.method, ("POST", "PUT", "PATCH"), route.path)


class RouteTableTest(unittest.TestCase):
    def setUp(self) -> None:
        self.one = Route("GET", "/a/{x}", "a.one")
        self.two = Route("PUT", "/a/{x}", "a.two", in_allow_header=False)
        self.fixed = Route("POST", "/a/b", "a.fixed", defaults={"kind": "k"})
        self.table = RouteTable([self.one, self.two, self.fixed])

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        route, variables = self.table.match(path, {"REQUEST_METHOD": method})
        return route, dict(variables)

    def test_variables_and_defaults(self) -> None:
        self.assertEqual((self.one, {"x": "1"}), self.match("GET", "/a/1"))
        self.assertEqual((self.two, {"x": "1"}), self.match("PUT", "/a/1"))
        self.assertEqual((self.fixed, {"kind": "k"}), self.match("POST", "/a/b"))

    def test_a_fixed_path_hides_a_variable(self) -> None:
        """wire: GET /a/b is 405, although GET /a/{x} exists."""
        with self.assertRaises(exc.HTTPMethodNotAllowed) as raised:
            self.match("GET", "/a/b")
        self.assertEqual("POST", raised.exception.headers["Allow"])

    def test_an_unlisted_path_is_not_found_by_other_methods(self) -> None:
        table = RouteTable([self.two])
        with self.assertRaises(errors.NotFound):
            table.match("/a/1", {"REQUEST_METHOD": "GET"})

    def test_an_unknown_path(self) -> None:
        with self.assertRaises(errors.NotFound):
            self.match("OPTIONS", "/b")
        with self.assertRaises(exc.HTTPNotImplemented):
            self.match("FOO", "/b")
        with self.assertRaises(exc.HTTPMethodNotAllowed):
            self.match("FOO", "/a/1")


if __name__ == "__main__":
    unittest.main()
