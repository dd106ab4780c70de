"""Property protection: callers see and change custom properties as the operator's rules allow.

The rules are in ``property_rules``.  The inner layers see the whole image.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.importing import ImportRequest
from glance_py.domain.ports import Data, Download, ImageOperations, Upload
from glance_py.domain.query import ImageQuery, Page
from glance_py.layers.base import ImageLayer
from glance_py.layers.property_rules import PropertyProtections

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


class _ReadableProperties(dict[str, str]):
    """The properties that a caller may read; ``unfiltered`` are all properties of the image."""

    __slots__ = ("unfiltered",)

    def __init__(self, readable: dict[str, str], unfiltered: dict[str, str]) -> None:
        super().__init__(readable)
        self.unfiltered = unfiltered


def _with_all_properties(image: Image) -> Image:
    """The image as the inner layers returned it."""
    properties = image.properties
    if isinstance(properties, _ReadableProperties):
        return dataclasses.replace(image, properties=properties.unfiltered)
    return image


class PropertyProtectionProxy(ImageLayer):
    """Hides properties that the caller may not read; refuses other operations on them."""

    def __init__(self, inner: ImageOperations, protections: PropertyProtections) -> None:
        super().__init__(inner)
        self._allows = protections.allows

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return inner if deps.protections is None else cls(inner, deps.protections)

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
            # A hidden property is created, not updated, from the caller's view.
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
