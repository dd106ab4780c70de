"""Which custom properties may this caller create, read, change and delete?

The operator's rules file decides, by the name of the property; the first
section that matches counts, and nobody is above the rules, not even an
administrator.  This layer hides what may not be read; the inner layers it see
the whole image.
"""

from __future__ import annotations

import configparser
import dataclasses
import functools
import logging
import re
import time
import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import RESERVED_PREFIX, Image
from glance_py.domain.importing import ImportRequest
from glance_py.domain.ports import Data, Download, ImageOperations, Upload
from glance_py.domain.property_names import fold, spellings
from glance_py.domain.query import ImageQuery, Page
from glance_py.layers.base import ImageLayer
from glance_py.policies.enforcer import Enforcer
from glance_py.watched_file import WatchedFile

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)

OPERATIONS = ("create", "read", "update", "delete")

#: May this caller?
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

    pattern: re.Pattern
    folded: re.Pattern
    permissions: dict[str, PropertyPermission]

    def matches(self, name: str, spelled: Iterable[str]) -> bool:
        """Is it about the name, or about one of the spellings?"""
        return bool(self.pattern.search(name)) or any(map(self.folded.search, spelled))


def _fold_pattern(section: str, pattern: re.Pattern) -> re.Pattern:
    """The pattern of a section without regard to case and accents."""
    plain = re.sub(
        "[^\x00-\x7f]",
        lambda match: re.escape(fold(match[0])),
        unicodedata.normalize("NFC", section),
    )
    try:
        return re.compile(plain, re.IGNORECASE)
    except re.error:
        # A range of characters that has no meaning any more.
        return re.compile(pattern.pattern, re.IGNORECASE)


class PropertyProtections:
    """The rules file; read again when it has changed, without a restart.  Safe in threads.

    It is looked at about once a second, not per question.

    :raises InvalidPropertyRules: the file is not there, or says something that has no meaning;
        later, that is logged and the rules stay as they were.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, enforcer: Enforcer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.enabled = bool(conf.property_protection_file)
        if not self.enabled:
            return
        path = conf.find_file(conf.property_protection_file)
        if not path:
            raise InvalidPropertyRules(
                f"The property protection file {conf.property_protection_file} was not found."
            )
        by_policy = conf.property_protection_rule_format == "policies"
        self._rules = WatchedFile(
            f"The property protection file {path}",
            lambda: PropertyRules(path, by_policy, enforcer),
            [path],
            LOG,
            clock,
        )

    def allows(self, ctx: Caller, name: str, operation: str) -> bool:
        """May the caller do ``operation`` (one of OPERATIONS) to property ``name``?"""
        permissions = self._rules.get().lookup(name)
        return permissions is not None and permissions[operation](ctx)


class PropertyRules:
    """What a rules file says at one time.

    :raises InvalidPropertyRules: something that has no meaning.
    """

    def __init__(self, path: str, by_policy: bool, enforcer: Enforcer) -> None:
        self._by_policy = by_policy
        self._enforcer = enforcer
        self._service = re.compile(rf"{RESERVED_PREFIX}.*")
        self._sections: list[_Section] = []
        self._read(path)
        # Names come from callers: remember the section of many, but not of all.
        self.lookup = functools.lru_cache(maxsize=1024)(self._search)

    def _search(self, name: str) -> dict[str, PropertyPermission] | None:
        """Who may do what with this property; None when no section is about it.

        Where another section comes first for another spelling of the name, both
        must allow it: the database may hold the spellings for one property.
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
                LOG.warning("%s is empty: nobody may.", place)
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
        raise InvalidPropertyRules(f"{place} says both everyone (@) and nobody (!).")
    if "@" in names:
        return _allow_all
    if "!" in names or not names:
        return _deny_all
    allowed = frozenset(name.lower() for name in names)

    def permission(ctx: Caller) -> bool:
        roles = [*(ctx.roles or ()), *(ctx.service_roles or ())]
        return any(role.lower() in allowed for role in roles)

    return permission


class _ReadableProperties(dict):
    """The properties that a caller may read; ``unfiltered`` are all there are."""

    __slots__ = ("unfiltered",)

    def __init__(self, readable: dict[str, str], unfiltered: dict[str, str]) -> None:
        super().__init__(readable)
        self.unfiltered = unfiltered


def _with_all_properties(image: Image) -> Image:
    """The image as the inner layers handed it out."""
    properties = image.properties
    if isinstance(properties, _ReadableProperties):
        return dataclasses.replace(image, properties=properties.unfiltered)
    return image


class PropertyProtectionProxy(ImageLayer):
    """Filters what is read and judges what is written."""

    def __init__(self, inner: ImageOperations, protections: PropertyProtections) -> None:
        super().__init__(inner)
        self._allows = protections.allows

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        if deps.protections is None or not deps.protections.enabled:
            return inner
        return cls(inner, deps.protections)

    def _hide(self, ctx: Caller, image: Image, memo: dict[str, bool]) -> Image:
        properties = image.properties
        for name in properties:
            if name not in memo:
                memo[name] = self._allows(ctx, name, "read")
        readable = {name: value for name, value in properties.items() if memo[name]}
        if len(readable) == len(properties):
            return image
        return dataclasses.replace(image, properties=_ReadableProperties(readable, properties))

    def get(self, ctx: Caller, image_id: str) -> Image:
        return self._hide(ctx, self.inner.get(ctx, image_id), {})

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        return self._hide(ctx, self.inner.resolve(ctx, image_id), {})

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        page = self.inner.list(ctx, query)
        memo: dict[str, bool] = {}
        images = [self._hide(ctx, image, memo) for image in page.images]
        return dataclasses.replace(page, images=images)

    def create(self, ctx: Caller, image: Image) -> Image:
        for name in image.properties:
            self._check(ctx, name, "create")
        return self._hide(ctx, self.inner.create(ctx, image), {})

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        for name in change.set_properties:
            # To write what one cannot see is to create it.
            self._check(ctx, name, "update" if name in image.properties else "create")
        for name in change.remove_properties:
            self._check(ctx, name, "delete")
        return self._hide(ctx, self.inner.update(ctx, _with_all_properties(image), change), {})

    def _check(self, ctx: Caller, name: str, operation: str) -> None:
        if not self._allows(ctx, name, operation):
            raise errors.ReservedAttribute(name)

    def delete(self, ctx: Caller, image: Image) -> None:
        self.inner.delete(ctx, _with_all_properties(image))

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self._hide(ctx, self.inner.upload(ctx, _with_all_properties(image), upload), {})

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self._hide(ctx, self.inner.stage(ctx, _with_all_properties(image), upload), {})

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        return self.inner.download(ctx, _with_all_properties(image), request)

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        self.inner.import_(ctx, _with_all_properties(image), request)

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        return self._hide(ctx, self.inner.set_status(ctx, _with_all_properties(image), to), {})
