"""The operator's policy: asks the rules about images and members, operation by operation.

A refused caller gets 403 when it may see the image and 404 when it may not.  What the inner
layers do as part of an operation, such as the change of status by an upload, does not pass this
layer and is not checked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, ImageStatus, Visibility
from glance_py.domain.importing import ImportRequest
from glance_py.domain.member import Member
from glance_py.domain.ports import Download, ImageOperations, MemberOperations
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.visibility import foreign_owner_error
from glance_py.layers.base import ImageLayer, MemberLayer
from glance_py.layers.checks import Check, CheckedLayer, Method, OwnMethod, Unchecked
from glance_py.policies.enforcer import Enforcer
from glance_py.policies.target import ImageTarget, new_image_target

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

ArgumentT = TypeVar("ArgumentT")

#: Visibilities that have a rule of their own.
VISIBILITY_RULES: dict[str, str] = {
    Visibility.PUBLIC: "publicize_image",
    Visibility.COMMUNITY: "communitize_image",
}

#: The most images that are read at once while a rule hides all images of a page.
MAX_PAGE = 1000

#: Fields that are set together with a location; the rule on locations covers them.
_LOCATION_FIELDS = frozenset({"checksum", "os_hash_algo", "os_hash_value", "size", "status"})


class _PolicyLayer(Protocol):
    """A layer whose table has checks of this module."""

    enforcer: Enforcer
    inner: object


@dataclasses.dataclass(frozen=True, slots=True)
class Rules(Check):
    """All ``rules`` are asked about the image, in their order."""

    def method(self, operation: str) -> Method:
        rules = self.rules

        def checked(
            layer: _PolicyLayer, ctx: Caller, image: Image, *arguments: object, **named: object
        ) -> object:
            for rule in rules:
                layer.enforcer.enforce_image(ctx, rule, image)
            return getattr(layer.inner, operation)(ctx, image, *arguments, **named)

        return checked


@dataclasses.dataclass(frozen=True, slots=True)
class ChosenRules(Check, Generic[ArgumentT]):
    """Some of ``rules`` are asked about the image.

    choose
        Returns them, in their order, for the argument that follows the image.
    """

    choose: Callable[[ArgumentT], Sequence[str]] = dataclasses.field(kw_only=True)

    def method(self, operation: str) -> Method:
        choose = self.choose

        def checked(layer: _PolicyLayer, ctx: Caller, image: Image, argument: ArgumentT) -> object:
            for rule in choose(argument):
                layer.enforcer.enforce_image(ctx, rule, image)
            return getattr(layer.inner, operation)(ctx, image, argument)

        return checked


def _download_rules(request: Download) -> Sequence[str]:
    return ("download_image", "download_from_store") if request.prefer else ("download_image",)


def _import_rules(request: ImportRequest) -> Sequence[str]:
    return ("copy_image",) if request.is_copy else ("modify_image",)


def _status_rules(to: str) -> Sequence[str]:
    return ("deactivate",) if to == ImageStatus.DEACTIVATED else ("reactivate",)


def rules_for_change(change: ImageChange) -> list[str]:
    """The rules that a change needs, in the order in which they are asked."""
    rules = []
    fields = set(change.fields)
    if change.add_locations or change.update_locations:
        rules.append("set_image_location")
        fields -= _LOCATION_FIELDS
    if change.remove_locations:
        rules.append("delete_image_location")
    tags = change.tags is not None or change.add_tags or change.remove_tags
    if fields or tags or change.set_properties or change.remove_properties:
        rules.append("modify_image")
    return rules


class PolicyProxy(CheckedLayer, ImageLayer):
    """The rules about images."""

    checks = {
        "get": OwnMethod(("get_image",)),
        "resolve": Unchecked(reason="the operation that follows asks its own rules"),
        "list": OwnMethod(("get_images", "get_image")),
        "create": OwnMethod(("add_image", "publicize_image", "communitize_image")),
        "update": OwnMethod(
            (
                "publicize_image",
                "communitize_image",
                "set_image_location",
                "delete_image_location",
                "modify_image",
            )
        ),
        "delete": Rules(("delete_image",)),
        "upload": Rules(("upload_image",)),
        "stage": Rules(("modify_image",)),
        "download": ChosenRules(("download_image", "download_from_store"), choose=_download_rules),
        "set_status": ChosenRules(("deactivate", "reactivate"), choose=_status_rules),
        "import_": ChosenRules(("modify_image", "copy_image"), choose=_import_rules),
        "add_location": Rules(("add_image_location",)),
        "list_locations": Rules(("fetch_image_location",)),
        "delete_from_store": Rules(("get_image_location", "delete_image_location")),
    }

    def __init__(self, inner: ImageOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self.enforcer = enforcer

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return cls(inner, deps.enforcer)

    def get(self, ctx: Caller, image_id: str) -> Image:
        image = self.inner.get(ctx, image_id)
        self.enforcer.enforce_image(ctx, "get_image", image)
        return image

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        """Leaves out images that ``get_image`` refuses, and reads on for a page without any."""
        self.enforcer.enforce(ctx, "get_images", {"project_id": ctx.project_id})
        page = self.inner.list(ctx, query)
        visible = self.enforcer.memoized_check(ctx, "get_image")
        images = [image for image in page.images if visible(ImageTarget(image))]
        limit = query.limit
        while page.full and page.images and not images:
            # An answer without images cannot have a link to the next page, whose marker is the
            # last image, and clients stop there.
            limit = max(limit, min(2 * limit, MAX_PAGE))
            page = self._next_page(ctx, dataclasses.replace(query, limit=limit), page)
            images = [image for image in page.images if visible(ImageTarget(image))]
        return Page(images[: query.limit], full=page.full or len(images) > query.limit)

    def _next_page(self, ctx: Caller, query: ImageQuery, page: Page) -> Page:
        """The page after ``page``, whose last images may have been deleted since."""
        for image in reversed(page.images):
            try:
                return self.inner.list(ctx, dataclasses.replace(query, marker=image.id))
            except (errors.MarkerNotFound, errors.MarkerForbidden):
                continue
        return Page([])

    def create(self, ctx: Caller, image: Image) -> Image:
        target = new_image_target(image.owner, image.visibility)
        if not self.enforcer.allows(ctx, "add_image", target):
            if image.owner != ctx.project_id:
                raise foreign_owner_error(image)
            raise errors.PolicyForbids("add_image")
        visibility_rule = VISIBILITY_RULES.get(image.visibility)
        if visibility_rule:
            self.enforcer.enforce(ctx, visibility_rule, target)
        return self.inner.create(ctx, image)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        visibility_rule = VISIBILITY_RULES.get(str(change.fields.get("visibility")))
        if visibility_rule:
            # wire: this refusal is 403 even for a caller that may not see the image.
            self.enforcer.enforce(ctx, visibility_rule, ImageTarget(image))
        for rule in rules_for_change(change):
            self.enforcer.enforce_image(ctx, rule, image)
        return self.inner.update(ctx, image, change)


class MemberPolicyProxy(CheckedLayer, MemberLayer):
    """The rules about the members of an image; their target is the image.

    ``get_image`` is asked first: a caller that may not see the image learns nothing of its
    members.
    """

    checks = {
        "list": OwnMethod(("get_image", "get_members", "get_member")),
        "get": OwnMethod(("get_image", "get_member")),
        # wire: before a member is changed or removed it is read, and refused with 403 here.
        "resolve": Rules(("get_image", "get_member")),
        "create": Rules(("get_image", "add_member")),
        "update": Rules(("get_image", "modify_member")),
        "delete": Rules(("get_image", "delete_member")),
    }

    def __init__(self, inner: MemberOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self.enforcer = enforcer

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        return cls(inner, deps.enforcer)

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]:
        self.enforcer.enforce_image(ctx, "get_image", image)
        self.enforcer.enforce_image(ctx, "get_members", image)
        # The target is the image, so that get_member has one answer for all members.
        if not self.enforcer.allows(ctx, "get_member", ImageTarget(image)):
            return []
        return self.inner.list(ctx, image)

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        self.enforcer.enforce_image(ctx, "get_image", image)
        if not self.enforcer.allows(ctx, "get_member", ImageTarget(image)):
            # wire: 404, where resolve answers 403.
            raise errors.MemberNotFound(member_id, image.id)
        return self.inner.get(ctx, image, member_id)
