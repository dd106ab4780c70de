"""The operator's rules about custom properties: which callers may do what, by name.

The rules file (``property_protection_file``) has sections, whose names are patterns.  The rules
hold for all callers, administrators included.
"""

from __future__ import annotations

import configparser
import dataclasses
import functools
import logging
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterable

from glance_py.domain.caller import Caller
from glance_py.domain.image import RESERVED_PREFIX
from glance_py.domain.property_names import fold, spellings
from glance_py.policies.enforcer import Enforcer
from glance_py.settings import PropertyProtectionSettings
from glance_py.watched_file import WatchedFile

LOG = logging.getLogger(__name__)

#: What a section of the rules file allows or forbids.
OPERATIONS = ("create", "read", "update", "delete")

#: Returns whether a caller may do one of OPERATIONS to a property.
PropertyPermission = Callable[[Caller], bool]


class InvalidPropertyRules(ValueError):
    """The rules file cannot be used; the service does not start."""


def _allow_all(ctx: Caller) -> bool:
    return True


def _deny_all(ctx: Caller) -> bool:
    return False


def _all_of(one: PropertyPermission, other: PropertyPermission) -> PropertyPermission:
    return lambda ctx: one(ctx) and other(ctx)


_UNRESTRICTED: dict[str, PropertyPermission] = dict.fromkeys(OPERATIONS, _allow_all)


@dataclasses.dataclass(frozen=True, slots=True)
class _Section:
    """A section of the rules file: its pattern, and the same for folded spellings."""

    pattern: re.Pattern[str]
    folded: re.Pattern[str]
    permissions: dict[str, PropertyPermission]

    def matches(self, name: str, spelled: Iterable[str]) -> bool:
        """True when the section applies to the name or to one of its other spellings."""
        return bool(self.pattern.search(name)) or any(map(self.folded.search, spelled))


def _fold_pattern(section: str, pattern: re.Pattern[str]) -> re.Pattern[str]:
    """The pattern of a section without regard to case and accents."""
    plain = re.sub(
        "[^\x00-\x7f]",
        lambda match: re.escape(fold(match[0])),
        unicodedata.normalize("NFC", section),
    )
    try:
        return re.compile(plain, re.IGNORECASE)
    except re.error:
        # Folding made a range of characters invalid.
        return re.compile(pattern.pattern, re.IGNORECASE)


class PropertyProtections:
    """The rules of a file, which is read again when it has changed.  Safe in threads.

    The file is checked about once a second, not for each call.

    :param settings: name a file.
    :param clock: returns seconds of a monotonic clock.
    :raises InvalidPropertyRules: the file does not exist or cannot be used; when that happens
        later, it is logged and the rules stay as they were.
    """

    def __init__(
        self,
        settings: PropertyProtectionSettings,
        enforcer: Enforcer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        path = settings.property_protection_file or ""
        by_policy = settings.property_protection_rule_format == "policies"
        if not os.path.exists(path):
            raise InvalidPropertyRules(f"The property protection file {path} was not found.")
        self._rules = WatchedFile(
            f"The property protection file {path}",
            lambda: PropertyRules(path, by_policy, enforcer),
            [path],
            LOG,
            clock,
        )

    def allows(self, ctx: Caller, name: str, operation: str) -> bool:
        """True when the caller may do ``operation`` (one of OPERATIONS) to property ``name``."""
        permissions = self._rules.get().lookup(name)
        return permissions is not None and permissions[operation](ctx)


class PropertyRules:
    """The sections of a rules file, as they were when it was read.

    :raises InvalidPropertyRules: the file cannot be used; the text names the section.
    """

    def __init__(self, path: str, by_policy: bool, enforcer: Enforcer) -> None:
        self._by_policy = by_policy
        self._enforcer = enforcer
        self._service = re.compile(rf"{RESERVED_PREFIX}.*")
        self._sections: list[_Section] = []
        self._read(path)
        # A bounded cache, because the names come from callers.
        self.lookup = functools.lru_cache(maxsize=1024)(self._search)

    def _search(self, name: str) -> dict[str, PropertyPermission] | None:
        """The permissions of a property; None when no section applies to it.

        The first section that matches the name counts.  Where another section is the first for
        another spelling of the name, both must allow an operation, because the database may
        treat the spellings as one property (tests/functional/test_property_names.py).
        """
        # wire: a section may match anywhere in the name.
        if self._service.search(name):
            return _UNRESTRICTED
        exact = next((each for each in self._sections if each.pattern.search(name)), None)
        if exact is None:
            return None
        spelled = (name, *spellings(name))
        first = next(each for each in self._sections if each.matches(name, spelled))
        if first is exact:
            return exact.permissions
        return {
            operation: _all_of(exact.permissions[operation], first.permissions[operation])
            for operation in OPERATIONS
        }

    def _read(self, path: str) -> None:
        rules = configparser.RawConfigParser()
        try:
            with open(path, encoding="utf-8") as file:
                rules.read_file(file)
        except (OSError, UnicodeError, configparser.Error) as error:
            raise InvalidPropertyRules(
                f"The property protection file {path} cannot be read: {error}"
            ) from error
        checks: dict[str, str] = {}
        for section in rules.sections():
            if not section.startswith(RESERVED_PREFIX):
                self._add(section, dict(rules.items(section)), checks)
        if checks:
            self._enforcer.register(checks)

    def _add(self, section: str, values: dict[str, str], checks: dict[str, str]) -> None:
        try:
            pattern = re.compile(section)
        except re.error as error:
            raise InvalidPropertyRules(
                f"[{section}] is not a regular expression: {error}"
            ) from error
        missing = [operation for operation in OPERATIONS if operation not in values]
        if missing:
            raise InvalidPropertyRules(f"[{section}] does not say who may {', '.join(missing)}.")
        permissions = {}
        for operation in OPERATIONS:
            names = [name.strip() for name in values[operation].split(",")]
            names = [name for name in names if name]
            place = f"[{section}] {operation}"
            if not names:
                LOG.warning("%s is empty: no caller may.", place)
            if self._by_policy:
                permission = self._policy(place, f"{section}:{operation}", names, checks)
            else:
                permission = _roles(place, names)
            permissions[operation] = permission
        self._sections.append(_Section(pattern, _fold_pattern(section, pattern), permissions))

    def _policy(
        self, place: str, rule: str, names: list[str], checks: dict[str, str]
    ) -> PropertyPermission:
        if len(names) > 1:
            raise InvalidPropertyRules(f"{place} takes the name of one policy rule.")
        if not names or names == ["!"]:
            return _deny_all
        if names == ["@"]:
            return _allow_all
        checks[rule] = f"rule:{names[0]}"
        enforcer = self._enforcer
        return lambda ctx: enforcer.allows(ctx, rule, {})


def _roles(place: str, names: list[str]) -> PropertyPermission:
    if "@" in names and "!" in names:
        raise InvalidPropertyRules(f"{place} says both all callers (@) and no caller (!).")
    if "@" in names:
        return _allow_all
    if "!" in names or not names:
        return _deny_all
    allowed = frozenset(name.lower() for name in names)

    def permission(ctx: Caller) -> bool:
        roles = [*(ctx.roles or ()), *(ctx.service_roles or ())]
        return any(role.lower() in allowed for role in roles)

    return permission
