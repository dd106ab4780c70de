"""Compiles the check trees of oslo.policy to plain functions.

The library decides what a rule means; here the same meaning is made fast, for
the checks that it ships.  A check that someone else registered, or one that
asks another server, is called as the library would call it.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from oslo_policy import _checks, policy

LOG = logging.getLogger(__name__)

#: (target, credentials) -> allowed?
Judge = Callable[[Mapping[str, object], Mapping[str, object]], bool]

_ONE_KEY = re.compile(r"%\(([^()]+)\)s\Z")


def _yes(target: Mapping, credentials: Mapping) -> bool:
    return True


def _no(target: Mapping, credentials: Mapping) -> bool:
    return False


class Rulebook:
    """A snapshot of all rules, compiled one by one as they are asked for.

    ``rules`` are the check trees by name; ``library`` is the enforcer that
    foreign checks expect to be handed.
    """

    def __init__(self, rules: policy.Rules, library: policy.Enforcer) -> None:
        self._trees = policy.Rules(rules, rules.default_rule)
        self._library = library
        self._judges: dict[str, tuple[Judge, bool]] = {}

    def judge(self, name: str) -> tuple[Judge, bool]:
        """The function of a rule, and whether it depends on nothing but its arguments.

        A rule that is defined nowhere is what the rule ``default`` says; a rule
        that leads back to itself allows nothing.
        """
        found = self._judges.get(name)
        if found is None:
            found = self._judges[name] = self._rule(name, ())
        return found

    def _rule(self, name: str, above: tuple[str, ...]) -> tuple[Judge, bool]:
        if name in above:
            LOG.error("Policy rule %s leads back to itself and allows nothing.", name)
            return _no, True
        try:
            tree = self._trees[name]
        except KeyError:
            return _no, True
        return self._tree(tree, (*above, name))

    def _tree(self, tree: Any, above: tuple[str, ...]) -> tuple[Judge, bool]:
        # Exact types: a subclass may mean something else.
        kind = type(tree)
        if kind is _checks.TrueCheck:
            return _yes, True
        if kind is _checks.FalseCheck:
            return _no, True
        if kind is _checks.RuleCheck:
            return self._rule(tree.match, above)
        if kind is _checks.RoleCheck:
            return _role(tree.match), True
        if kind is _checks.GenericCheck:
            return _comparison(tree.kind, tree.match), True
        if kind is _checks.NotCheck:
            inner, pure = self._tree(tree.rule, above)
            return (lambda target, credentials: not inner(target, credentials)), pure
        if kind in (_checks.AndCheck, _checks.OrCheck):
            parts = [self._tree(part, above) for part in tree.rules]
            judges = tuple(judge for judge, _ in parts)
            combine = _all_of if kind is _checks.AndCheck else _any_of
            return combine(judges), all(pure for _, pure in parts)
        return self._foreign(tree, above[0]), False

    def _foreign(self, tree: _checks.BaseCheck, name: str) -> Judge:
        library = self._library

        def judge(target: Mapping, credentials: Mapping) -> bool:
            return bool(_checks._check(tree, target, dict(credentials), library, name))

        return judge


# Plain loops: all() and any() over a generator cost more than the checks themselves.


def _all_of(judges: tuple[Judge, ...]) -> Judge:
    def judge(target: Mapping, credentials: Mapping) -> bool:
        for one in judges:  # noqa: SIM110
            if not one(target, credentials):
                return False
        return True

    return judge


def _any_of(judges: tuple[Judge, ...]) -> Judge:
    def judge(target: Mapping, credentials: Mapping) -> bool:
        for one in judges:  # noqa: SIM110
            if one(target, credentials):
                return True
        return False

    return judge


def _text(template: str) -> Callable[[Mapping], str]:
    """Fills ``%(key)s`` places from a target; raises KeyError when a key is missing."""
    if "%" not in template:
        return lambda target: template
    one_key = _ONE_KEY.match(template)
    if one_key:
        key = one_key.group(1)
        return lambda target: str(target[key])
    return lambda target: template % target


def _role(template: str) -> Judge:
    if "%" not in template:
        wanted = template.lower()

        def judge(target: Mapping, credentials: Mapping) -> bool:
            return wanted in [role.lower() for role in credentials.get("roles") or ()]

        return judge
    text = _text(template)

    def judge_target(target: Mapping, credentials: Mapping) -> bool:
        try:
            wanted = text(target).lower()
        except (KeyError, TypeError, ValueError):
            return False
        return wanted in [role.lower() for role in credentials.get("roles") or ()]

    return judge_target


def _comparison(left: str, template: str) -> Judge:
    """``left:template``: left is a literal, or a path into the credentials."""
    text = _text(template)
    try:
        literal = str(ast.literal_eval(left))
    except (ValueError, SyntaxError):
        literal = None
    path = left.split(".")
    find: Any = _checks.GenericCheck._find_in_dict

    def judge(target: Mapping, credentials: Mapping) -> bool:
        try:
            right = text(target)
        except (KeyError, TypeError, ValueError):
            return False
        if literal is not None:
            return right == literal
        return find(credentials, path, right)

    return judge
