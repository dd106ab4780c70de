"""Is there room?  Counts what an image may have and what a project may store.

A size that is announced is judged at once; one that is not is limited while
the bytes pass, and the sum is judged again when they all have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.domain.image import RESERVED_PREFIX, Image
from glance_py.domain.member import Member
from glance_py.domain.ports import MEMBER_VERBS, WORK_VERBS, Settle, Upload
from glance_py.layers.base import Proxy
from glance_py.limits import MIB, storage_quota
from glance_py.streams import Chunk, Filter, Limit


def _check(what: str, count: int, quota: int) -> None:
    """A negative quota is none."""
    if 0 <= quota < count:
        raise errors.QuotaExceeded(f"An image may have {quota} {what}; this would make {count}.")


def _counted(properties) -> int:
    """How many properties count: those of the service itself do not."""
    return sum(1 for name in properties if not name.startswith(RESERVED_PREFIX))


class QuotaProxy(Proxy):
    """Quotas of images: properties, tags, locations, sizes and unified limits."""

    verbs = WORK_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below)
        conf = services.conf
        self._properties = conf.image_property_quota
        self._tags = conf.image_tag_quota
        self._locations = conf.image_location_quota
        self._size_cap = conf.image_size_cap
        self._limits = services.limits
        # Unified limits take the place of the option.
        self._storage = 0 if services.limits else storage_quota(conf)
        self._usage = services.records.usage

    @classmethod
    def build(cls, below, services):
        """This layer in front of ``below``; there is always the cap on sizes."""
        return cls(below, services)

    def create(self, ctx, image: Image) -> Image:
        if self._limits:
            self._limits.check(ctx, {"image_count_total": 1})
        _check("properties", _counted(image.properties), self._properties)
        # wire: a tag given twice counts twice.
        _check("tags", len(image.tags), self._tags)
        return self.below.create(ctx, image)

    def update(self, ctx, image: Image, change: Change) -> Image:
        if change.set_properties.keys() - image.properties.keys():
            # To change what is there is always possible, even after a quota was lowered.
            after = change.properties_after(image.properties)
            _check("properties", _counted(after), self._properties)
        if change.tags is not None:
            _check("tags", len(change.tags), self._tags)
        if set(change.add_tags).difference(image.tags):
            _check("tags", len(change.tags_after(image.tags)), self._tags)
        if change.add_locations:
            self._check_locations(image, change)
        return self.below.update(ctx, image, change)

    def _check_locations(self, image: Image, change: Change) -> None:
        count = len(image.locations) + len(change.add_locations) - len(change.remove_locations)
        _check("locations", count, self._locations)
        size: Any = change.fields.get("size", image.size)
        if self._storage and size and size * count > self._left(image):
            raise self._over_storage()

    def upload(self, ctx, image: Image, upload: Upload) -> Image:
        if image.status != "queued":
            return self.below.upload(ctx, image, upload)  # which refuses it for its status
        if self._limits:
            self._limits.check(ctx, {"image_size_total": (upload.size or 0) // MIB,
                                     "image_count_uploading": 0})
        filters: list[Filter] = [self._cap(upload)]
        if self._storage:
            left = self._left(image)
            if left <= 0 if upload.size is None else upload.size > left:
                raise self._over_storage()
            filters.append(_Room(self, image, left))
        return self.below.upload(ctx, image, _filtered(upload, filters))

    def stage(self, ctx, image: Image, upload: Upload) -> Image:
        if image.status != "queued":
            return self.below.stage(ctx, image, upload)
        if self._limits:
            self._limits.check(ctx, {"image_stage_total": (upload.size or 0) // MIB,
                                     "image_count_uploading": 0})
        return self.below.stage(ctx, image, _filtered(upload, [self._cap(upload)]))

    def add_copy(self, ctx, image: Image, upload: Upload, settle: Settle) -> Image:
        filters: list[Filter] = [self._cap(upload)]
        if self._storage:
            copies = len(image.locations)
            left = self._left(image) - (image.size or 0) * copies
            if left < (upload.size or 0):
                raise self._over_storage()
            filters.append(_Room(self, image, left))
        return self.below.add_copy(ctx, image, _filtered(upload, filters), settle)

    def _cap(self, upload: Upload) -> Limit:
        """The limit on one image; a size is announced by the client and not believed."""
        error = errors.ImageTooLarge(f"An image may have {self._size_cap} bytes of data.")
        if upload.size is not None and upload.size > self._size_cap:
            raise error
        return Limit(self._size_cap, error)

    def _left(self, image: Image) -> int:
        """Bytes that the owner may still store, not counting this image."""
        return self._storage - self._usage.storage(image.owner, without=image.id)

    def _over_storage(self) -> errors.QuotaExceeded:
        return errors.QuotaExceeded(f"A project may store {self._storage} bytes of image data.")


def _filtered(upload: Upload, filters: Sequence[Filter]) -> Upload:
    return dataclasses.replace(upload, filters=(*upload.filters, *filters))


class _Room(Filter):
    """Keeps an upload within what its owner may store.

    Asks once more at the end: others may have stored something meanwhile.
    """

    def __init__(self, quota: QuotaProxy, image: Image, left: int) -> None:
        self._quota = quota
        self._image = image
        self._left = left
        self._size = 0

    def update(self, chunk: Chunk) -> None:
        self._size += len(chunk)
        if self._size > self._left:
            raise self._quota._over_storage()

    def finish(self) -> None:
        if self._size > self._quota._left(self._image):
            raise self._quota._over_storage()


class MemberQuotaProxy(Proxy):
    """How many projects an image may be shared with."""

    verbs = MEMBER_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below)
        self._quota = services.conf.image_member_quota

    @classmethod
    def build(cls, below, services):
        """This layer, or ``below`` itself when the quota is unlimited."""
        if services.conf.image_member_quota < 0:
            return below
        return cls(below, services)

    def create(self, ctx, image: Image, member_id: str) -> Member:
        _check("members", len(self.below.list(ctx, image)) + 1, self._quota)
        return self.below.create(ctx, image, member_id)
