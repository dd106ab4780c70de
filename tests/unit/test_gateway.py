"""The fold: layers in their order, what is switched off left out, verbs bound through."""

from __future__ import annotations

import unittest

from glance_py import gateway
from glance_py.layers.base import Proxy


class Below:
    def get(self):
        return ["below"]

    def list(self):
        return ["list"]


class Layer(Proxy):
    verbs = ("get", "list")

    @classmethod
    def build(cls, below, services):
        return cls(below)


class Outer(Layer):
    def get(self):
        return ["outer", *self.below.get()]


class Inner(Layer):
    def get(self):
        return ["inner", *self.below.get()]


class Off(Layer):
    @classmethod
    def build(cls, below, services):
        return below


class FoldTest(unittest.TestCase):
    def test_the_first_layer_is_the_outermost(self):
        onion = gateway.fold((Outer, Off, Inner), Below(), None)
        self.assertEqual(["outer", "inner", "below"], onion.get())

    def test_a_layer_that_is_off_is_not_there(self):
        below = Below()
        self.assertIs(below, gateway.fold((Off, Off), below, None))

    def test_a_verb_without_an_opinion_leads_straight_to_the_bottom(self):
        below = Below()
        onion = gateway.fold((Outer, Inner), below, None)
        self.assertEqual(below.list, onion.list)
        self.assertEqual(("get",), Outer.overrides())
