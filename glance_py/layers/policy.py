"""What did the operator allow?  Asks the rules, operation by operation.

A refused caller learns 403 when it may see the image and 404 when it may not.
What the inner layers do on their own account, such as an upload's change of
status, never comes through here and is not judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import ImportRequest
from glance_py.domain.member import Member
from glance_py.domain.ports import Data, Download, ImageOperations, MemberOperations, Upload
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.registration import Registration
from glance_py.layers.base import ImageLayer, MemberLayer
from glance_py.layers.ownership import foreign_owner_error
from glance_py.policies.enforcer import Enforcer
from glance_py.policies.target import ImageTarget, new_image_target

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

#: Visibilities that have a rule of their own.
VISIBILITY_RULES = {"public": "publicize_image", "community": "communitize_image"}

#: How many images are read at once while a rule hides all of them.
MAX_PAGE = 1000

#: Fields that come along with a location and fall under its rule.
_LOCATION_FIELDS = frozenset({"checksum", "os_hash_algo", "os_hash_value", "size", "status"})


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


class PolicyProxy(ImageLayer):
    """The rules about images."""

    def __init__(self, inner: ImageOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self._enforcer = enforcer

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return cls(inner, deps.enforcer)

    def get(self, ctx: Caller, image_id: str) -> Image:
        image = self.inner.get(ctx, image_id)
        self._enforcer.enforce_image(ctx, "get_image", image)
        return image

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        self._enforcer.enforce(ctx, "get_images", {"project_id": ctx.project_id})
        page = self.inner.list(ctx, query)
        visible = self._enforcer.memoized_check(ctx, "get_image")
        images = [image for image in page.images if visible(ImageTarget(image))]
        limit = query.limit
        while page.full and page.images and not images:
            # An answer without images has nothing that a link to the next page could begin
            # behind, and clients stop at it.
            limit = max(limit, min(2 * limit, MAX_PAGE))
            page = self._next_page(ctx, dataclasses.replace(query, limit=limit), page)
            images = [image for image in page.images if visible(ImageTarget(image))]
        return Page(images[: query.limit], full=page.full or len(images) > query.limit)

    def _next_page(self, ctx: Caller, query: ImageQuery, page: Page) -> Page:
        """The page after ``page``; images of that one may have been deleted since."""
        for image in reversed(page.images):
            try:
                return self.inner.list(ctx, dataclasses.replace(query, marker=image.id))
            except (errors.MarkerNotFound, errors.MarkerForbidden):
                continue
        return Page([])

    def create(self, ctx: Caller, image: Image) -> Image:
        target = new_image_target(image.owner, image.visibility)
        if not self._enforcer.allows(ctx, "add_image", target):
            raise (
                foreign_owner_error(image)
                if image.owner != ctx.project_id
                else (errors.PolicyForbids("add_image"))
            )
        visibility_rule = VISIBILITY_RULES.get(image.visibility)
        if visibility_rule:
            self._enforcer.enforce(ctx, visibility_rule, target)
        return self.inner.create(ctx, image)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        visibility_rule = VISIBILITY_RULES.get(str(change.fields.get("visibility")))
        if visibility_rule:
            # wire: this refusal is 403 even for one who may not see the image.
            self._enforcer.enforce(ctx, visibility_rule, ImageTarget(image))
        for rule in rules_for_change(change):
            self._enforcer.enforce_image(ctx, rule, image)
        return self.inner.update(ctx, image, change)

    def delete(self, ctx: Caller, image: Image) -> None:
        self._enforcer.enforce_image(ctx, "delete_image", image)
        self.inner.delete(ctx, image)

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        self._enforcer.enforce_image(ctx, "upload_image", image)
        return self.inner.upload(ctx, image, upload)

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        self._enforcer.enforce_image(ctx, "modify_image", image)
        return self.inner.stage(ctx, image, upload)

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        rule = "copy_image" if request.is_copy else "modify_image"
        self._enforcer.enforce_image(ctx, rule, image)
        self.inner.import_(ctx, image, request)

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        self._enforcer.enforce_image(ctx, "download_image", image)
        if request.prefer:
            self._enforcer.enforce_image(ctx, "download_from_store", image)
        return self.inner.download(ctx, image, request)

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        self._enforcer.enforce_image(ctx, "add_image_location", image)
        self.inner.add_location(ctx, image, registration)

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        self._enforcer.enforce_image(ctx, "fetch_image_location", image)
        return self.inner.list_locations(ctx, image)

    def delete_from_store(self, ctx: Caller, image: Image, store: str) -> Image:
        for rule in ("get_image_location", "delete_image_location"):
            self._enforcer.enforce_image(ctx, rule, image)
        return self.inner.delete_from_store(ctx, image, store)

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        rule = "deactivate" if to == "deactivated" else "reactivate"
        self._enforcer.enforce_image(ctx, rule, image)
        return self.inner.set_status(ctx, image, to)


class MemberPolicyProxy(MemberLayer):
    """The rules about the members of an image; what they judge is the image."""

    def __init__(self, inner: MemberOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self._enforcer = enforcer

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        return cls(inner, deps.enforcer)

    def _check(self, ctx: Caller, rule: str, image: Image) -> None:
        """Who may not see the image is told nothing of its members."""
        self._enforcer.enforce_image(ctx, "get_image", image)
        self._enforcer.enforce_image(ctx, rule, image)

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]:
        self._check(ctx, "get_members", image)
        # The target is the image, so that get_member has one answer for all of them.
        if not self._enforcer.allows(ctx, "get_member", ImageTarget(image)):
            return []
        return self.inner.list(ctx, image)

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        self._enforcer.enforce_image(ctx, "get_image", image)
        if not self._enforcer.allows(ctx, "get_member", ImageTarget(image)):
            # wire: who may not see a member is told that there is none.
            raise errors.MemberNotFound(member_id, image.id)
        return self.inner.get(ctx, image, member_id)

    def resolve(self, ctx: Caller, image: Image, member_id: str) -> Member:
        # wire: before it is changed or removed a member is read, and refused with 403 here.
        self._check(ctx, "get_member", image)
        return self.inner.resolve(ctx, image, member_id)

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        self._check(ctx, "add_member", image)
        return self.inner.create(ctx, image, member_id)

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member:
        self._check(ctx, "modify_member", image)
        return self.inner.update(ctx, image, member, status)

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self._check(ctx, "delete_member", image)
        self.inner.delete(ctx, image, member)
