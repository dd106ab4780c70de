"""``build_stack``: the order of layers, layers that are off, operations bound through."""

from __future__ import annotations

import unittest

from glance_py import gateway
from glance_py.layers.base import Proxy


class Innermost:
    def get(self):
        return ["below"]

    def list(self):
        return ["list"]


class Layer(Proxy):
    operations = ("get", "list")

    @classmethod
    def build(cls, inner, deps):
        return cls(inner)


class Outer(Layer):
    def get(self):
        return ["outer", *self.inner.get()]


class Inner(Layer):
    def get(self):
        return ["inner", *self.inner.get()]


class Off(Layer):
    @classmethod
    def build(cls, inner, deps):
        return inner


class BuildStackTest(unittest.TestCase):
    def test_the_first_layer_is_the_outermost(self):
        stack = gateway.build_stack((Outer, Off, Inner), Innermost(), None)
        self.assertEqual(["outer", "inner", "below"], stack.get())

    def test_a_layer_that_is_off_is_not_there(self):
        inner = Innermost()
        self.assertIs(inner, gateway.build_stack((Off, Off), inner, None))

    def test_a_verb_without_an_opinion_leads_straight_to_the_bottom(self):
        inner = Innermost()
        stack = gateway.build_stack((Outer, Inner), inner, None)
        self.assertEqual(inner.list, stack.list)
        self.assertEqual(("get",), Outer.overrides())
