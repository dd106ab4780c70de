"""Compiles the check trees of oslo.policy to functions, which are faster.

Only the classes of checks that the library itself ships are compiled; they are private, so their
exact types are compared and the version of oslo.policy has an upper bound.  Any other check, such
as one that asks a server, is called as the library calls it.  ``tests/unit/policies`` compares the
answers with those of the library for random rules.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from oslo_policy import _checks, policy

LOG = logging.getLogger(__name__)

Target = Mapping[str, object]
#: The caller; values of several types, as ``RequestContext.to_policy_values`` has them.
Credentials = Mapping[str, Any]

#: Does the check allow the caller?
CheckFunction = Callable[[Target, Credentials], bool]

_SINGLE_KEY = re.compile(r"%\(([^()]+)\)s\Z")


def _allow(target: Target, credentials: Credentials) -> bool:
    return True


def _deny(target: Target, credentials: Credentials) -> bool:
    return False


class CompiledRules:
    """A snapshot of all rules; each is compiled when it is first needed.

    :param rules: name -> check tree, and the name of the rule that stands for undefined ones.
    :param library: what checks that are not compiled get as their ``enforcer`` argument.
    """

    def __init__(self, rules: policy.Rules, library: policy.Enforcer) -> None:
        self._trees = policy.Rules(rules, rules.default_rule)
        self._library = library
        self._compiled: dict[str, tuple[CheckFunction, bool]] = {}

    def get(self, name: str) -> tuple[CheckFunction, bool]:
        """The function of a rule, and whether its answer depends on its arguments only.

        An undefined rule is the rule ``default``.  A rule that refers to itself, perhaps through
        others, allows nothing.
        """
        found = self._compiled.get(name)
        if found is None:
            found = self._compiled[name] = self._compile_rule(name, ())
        return found

    def _compile_rule(self, name: str, enclosing: tuple[str, ...]) -> tuple[CheckFunction, bool]:
        if name in enclosing:
            LOG.error("Policy rule %s refers to itself and allows nothing.", name)
            return _deny, True
        try:
            tree = self._trees[name]
        except KeyError:
            return _deny, True
        return self._compile_check(tree, (*enclosing, name))

    # The classes of checks have no common public type.
    def _compile_check(self, tree: Any, enclosing: tuple[str, ...]) -> tuple[CheckFunction, bool]:
        # Exact types: a subclass may behave differently.
        check_type = type(tree)
        if check_type is _checks.TrueCheck:
            return _allow, True
        if check_type is _checks.FalseCheck:
            return _deny, True
        if check_type is _checks.RuleCheck:
            return self._compile_rule(tree.match, enclosing)
        if check_type is _checks.RoleCheck:
            return _role_check(tree.match), True
        if check_type is _checks.GenericCheck:
            return _generic_check(tree.kind, tree.match), True
        if check_type is _checks.NotCheck:
            inner, cacheable = self._compile_check(tree.rule, enclosing)
            return (lambda target, credentials: not inner(target, credentials)), cacheable
        if check_type in (_checks.AndCheck, _checks.OrCheck):
            parts = [self._compile_check(part, enclosing) for part in tree.rules]
            checks = tuple(check_function for check_function, _ in parts)
            combine = _all_of if check_type is _checks.AndCheck else _any_of
            return combine(checks), all(cacheable for _, cacheable in parts)
        return self._call_library(tree, enclosing[0]), False

    def _call_library(self, tree: _checks.BaseCheck, name: str) -> CheckFunction:
        library = self._library

        def check_function(target: Target, credentials: Credentials) -> bool:
            return bool(_checks._check(tree, target, dict(credentials), library, name))

        return check_function


# Loops instead of all() and any(): a generator costs more than the checks.


def _all_of(checks: tuple[CheckFunction, ...]) -> CheckFunction:
    def check_function(target: Target, credentials: Credentials) -> bool:
        for one in checks:  # noqa: SIM110
            if not one(target, credentials):
                return False
        return True

    return check_function


def _any_of(checks: tuple[CheckFunction, ...]) -> CheckFunction:
    def check_function(target: Target, credentials: Credentials) -> bool:
        for one in checks:  # noqa: SIM110
            if one(target, credentials):
                return True
        return False

    return check_function


def _formatter(template: str) -> Callable[[Target], str]:
    """A function from a target to ``template`` with its ``%(key)s`` filled in.

    The function raises KeyError when the target has no such key.
    """
    if "%" not in template:
        return lambda target: template
    one_key = _SINGLE_KEY.match(template)
    if one_key:
        key = one_key.group(1)
        return lambda target: str(target[key])
    return lambda target: template % target


def _role_check(template: str) -> CheckFunction:
    if "%" not in template:
        role_name = template.lower()

        def check_function(target: Target, credentials: Credentials) -> bool:
            return role_name in [role.lower() for role in credentials.get("roles") or ()]

        return check_function
    text = _formatter(template)

    def check_with_target(target: Target, credentials: Credentials) -> bool:
        try:
            role_name = text(target).lower()
        except (KeyError, TypeError, ValueError):
            return False
        return role_name in [role.lower() for role in credentials.get("roles") or ()]

    return check_with_target


def _generic_check(left: str, template: str) -> CheckFunction:
    """The check ``left:template``; ``left`` is a literal, or a dotted path in the credentials."""
    text = _formatter(template)
    try:
        literal = str(ast.literal_eval(left))
    except (ValueError, SyntaxError):
        literal = None
    path = left.split(".")
    # Private; it knows which values of the credentials are compared, and how.
    find: Any = _checks.GenericCheck._find_in_dict

    def check_function(target: Target, credentials: Credentials) -> bool:
        try:
            right = text(target)
        except (KeyError, TypeError, ValueError):
            return False
        if literal is not None:
            return right == literal
        return bool(find(credentials, path, right))

    return check_function
