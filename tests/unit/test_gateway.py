"""``build_stack``: the order of layers, disabled layers, operations bound to inner layers."""

from __future__ import annotations

import inspect
import unittest

from glance_py import gateway
from glance_py.domain import ports
from glance_py.layers import base


class Innermost:
    """Has all operations of tasks; answers with what was called."""

    def list(self, ctx, query):
        return ["list"]

    def get(self, ctx, task_id):
        return ["innermost"]

    def create(self, ctx, task):
        return ["create"]

    def list_for_image(self, ctx, image):
        return ["list_for_image"]


class Layer(base.TaskLayer):
    @classmethod
    def build(cls, inner, deps):
        return cls(inner)


class Outer(Layer):
    def get(self, ctx, task_id):
        return ["outer", *self.inner.get(ctx, task_id)]


class Inner(Layer):
    def get(self, ctx, task_id):
        return ["inner", *self.inner.get(ctx, task_id)]


class Disabled(Layer):
    @classmethod
    def build(cls, inner, deps):
        return inner


class BuildStackTest(unittest.TestCase):
    def test_the_first_layer_is_the_outermost(self) -> None:
        stack = gateway.build_stack((Outer, Disabled, Inner), Innermost(), None)
        self.assertEqual(["outer", "inner", "innermost"], stack.get(None, "t"))

    def test_a_disabled_layer_is_left_out(self) -> None:
        inner = Innermost()
        self.assertIs(inner, gateway.build_stack((Disabled, Disabled), inner, None))

    def test_operations_that_no_layer_overrides_are_those_of_the_innermost(self) -> None:
        inner = Innermost()
        stack = gateway.build_stack((Outer, Inner), inner, None)
        self.assertEqual(inner.list, stack.list)
        self.assertEqual(("get",), Outer.overrides())


#: Base class of layers -> the port of ``inner``, the port that it offers.
BASES = {
    base.ImageLayer: (ports.ImageOperations, ports.ImageOperations),
    base.ImportAdapter: (ports.LocatedImageOperations, ports.ImageOperations),
    base.LocationImportAdapter: (ports.InternalImageOperations, ports.LocatedImageOperations),
    base.InternalImageLayer: (ports.InternalImageOperations, ports.InternalImageOperations),
    base.ImageAdapter: (ports.ImageRepository, ports.InternalImageOperations),
    base.MemberLayer: (ports.MemberOperations, ports.MemberOperations),
    base.TaskLayer: (ports.TaskOperations, ports.TaskOperations),
    base.InternalTaskLayer: (ports.InternalTaskOperations, ports.InternalTaskOperations),
    base.NamespaceLayer: (ports.NamespaceOperations, ports.NamespaceOperations),
    base.DefinitionLayer: (ports.DefinitionOperations, ports.DefinitionOperations),
}


def operations_of(port: type) -> set[str]:
    return {
        name
        for cls in port.__mro__
        for name, member in vars(cls).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


class Recorder:
    """Answers every operation with its name and arguments."""

    def __getattr__(self, operation):
        return lambda *arguments: (operation, arguments)


class BaseTest(unittest.TestCase):
    def test_the_names_of_the_operations_are_those_of_the_port(self) -> None:
        for cls, (_inner, offered) in BASES.items():
            with self.subTest(cls.__name__):
                self.assertEqual(operations_of(offered), set(cls.operations))
                self.assertEqual(len(cls.operations), len(set(cls.operations)))

    def test_delegations_call_the_same_operation_with_the_same_arguments(self) -> None:
        """They are replaced when a layer is built, and must mean the same."""
        for cls in BASES:
            for name in cls.operations:
                method = getattr(cls, name, None)
                if method is None:  # an adapter, whose subclass implements it
                    continue
                with self.subTest(cls.__name__, operation=name):
                    arguments = [object() for _ in list(inspect.signature(method).parameters)[1:]]
                    self.assertNotIn(name, cls.overrides())
                    layer = cls.__new__(cls)
                    layer.inner = Recorder()
                    answer = method(layer, *arguments)
                    if inspect.signature(method).return_annotation == "None":
                        self.assertIsNone(answer)
                        continue
                    called, given = answer
                    self.assertEqual(name, called)
                    self.assertEqual(arguments[: len(given)], list(given))

    def test_each_base_passes_on_all_operations_that_both_ports_have(self) -> None:
        for cls, (inner, offered) in BASES.items():
            if cls is base.ImageAdapter:  # update and delete differ between the two
                continue
            with self.subTest(cls.__name__):
                shared = operations_of(inner) & operations_of(offered)
                self.assertEqual(set(), {name for name in shared if not hasattr(cls, name)})
                self.assertEqual(
                    operations_of(offered) - shared,
                    {name for name in cls.operations if not hasattr(cls, name)},
                )


if __name__ == "__main__":
    unittest.main()
