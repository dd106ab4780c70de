"""The probe behind ``make mutants`` makes the errors that it is meant to make."""

from __future__ import annotations

import ast
import unittest

from glance_py import policies
from tests.mutants import operators, rights, runner

TEXT = """
RULES = ("get_image", "other")

class Layer:
    def one(self, ctx, image) -> bool:
        self.check(ctx, "get_image")
        if not ctx.admin and image.owner == ctx.project:
            raise Error(image)
        return image.mine

    def two(self):
        self.check("get_image")
"""
RULES = frozenset({"get_image", "get_images"})


class MutantsTest(unittest.TestCase):
    def made(self, names=None) -> dict[str, str]:
        """What was changed -> the text that comes of it."""
        tree = ast.parse(TEXT)
        found = {}
        for mutant in operators.mutants(tree, RULES, names):
            with mutant:
                found[mutant.description] = ast.unparse(tree)
        self.assertEqual(ast.unparse(ast.parse(TEXT)), ast.unparse(tree))
        return found

    def test_errors_that_are_made(self) -> None:
        condition = "not ctx.admin and image.owner == ctx.project"
        self.assertEqual(
            {
                "self.check(ctx, 'get_image') -> gone",
                "raise Error(image) -> gone",
                "self.check('get_image') -> gone",
                f"if {condition} -> True",
                f"if {condition} -> False",
                f"{condition} -> the other operator",
                f"{condition} -> without not ctx.admin",
                f"{condition} -> without image.owner == ctx.project",
                "not ctx.admin -> ctx.admin",
                "image.owner == ctx.project -> image.owner != ctx.project",
                "'get_image' -> 'get_images'",
                "('get_image', 'other') -> without 'get_image'",
                "('get_image', 'other') -> without 'other'",
            },
            set(self.made()),
        )

    def test_a_mutant_differs_in_one_place(self) -> None:
        original = ast.unparse(ast.parse(TEXT)).splitlines()
        for description, text in self.made().items():
            changed = [
                pair for pair in zip(original, text.splitlines(), strict=True) if pair[0] != pair[1]
            ]
            self.assertEqual(1, len(changed), description)

    def test_only_what_was_named_is_changed(self) -> None:
        self.assertEqual(
            {"self.check('get_image') -> gone", "'get_image' -> 'get_images'"},
            set(self.made(frozenset({"Layer.two"}))),
        )

    def test_what_is_looked_at_is_there(self) -> None:
        known = frozenset(rule.name for rule in policies.list_rules())
        for path, names in rights.TARGETS.items():
            tree = ast.parse((runner.ROOT / path).read_text())
            for name in names or ():
                self.assertTrue(
                    list(operators.mutants(tree, known, frozenset({name}))),
                    f"{path} has nothing to look at in {name}",
                )
