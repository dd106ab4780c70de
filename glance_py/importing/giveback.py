"""Taking back an import that did not succeed, by who made it or by who found it dead.

Afterwards the image is in a state from which its user can go on: queued without
any data, or active with the copies it has.  Everything here may be done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.domain.image import DIGESTS, Image
from glance_py.domain.importing import FAILED_STORES, PENDING_STORES, joined, listed
from glance_py.importing.job import unmade
from glance_py.importing.staging import Staging
from glance_store_py.errors import GlanceStoreError

LOG = logging.getLogger(__name__)

#: What an image without data does not know.
UNKNOWN: dict[str, object] = dict.fromkeys(("size", "virtual_size", *DIGESTS))


class GiveBack:
    """:param images: the verbs behind the policy; ``records`` the whole DAL."""

    def __init__(self, images, records, stores) -> None:
        self._images = images
        self._records = records
        self._stores = stores
        self._staging = Staging(stores)

    def image(self, ctx, image_id: str, stores: Iterable[str | None],
              failed: Iterable[str | None], task_id: str) -> str | None:
        """Take back what an import into ``stores`` made of an image.

        :param failed: which of them are listed as failed.
        :param task_id: the task that holds the image.
        :returns: the state in which the image is, None when it is gone.
        """
        self._staging.remove(image_id)
        stores = list(stores)
        try:
            image = self._records.images.get(ctx, image_id)
            if image.status == "importing":
                self._empty(ctx, image)
                image = self._records.images.get(ctx, image_id)
            else:
                self._discard(image, stores)
            status = self._settle(ctx, image, stores, failed).status
            # wire: after the state, so that without a lock an image is what it will be.
            self._records.locks.release(image_id, task_id)
            return status
        except errors.ImageNotFound:
            self._discard(Image(image_id), stores)
            return None

    def _empty(self, ctx, image: Image) -> None:
        """Bytes go before the state: a queued image is anybody's to fill."""
        for location in image.locations:
            image = self._images.remove_copy(ctx, image, location, unmade())
        self._discard(image, self._stores.ids)

    def _discard(self, image: Image, stores: Iterable[str | None]) -> None:
        """Remove bytes for which there is no location on record."""
        recorded = {location.url for location in image.locations}
        for store in stores:
            name = self._stores.default if store is None else store
            try:
                url = self._stores.location_of(name, image.id)
                # None: the store cannot say, and knows by itself what was not finished.
                if url not in recorded:
                    self._stores.discard(image.id, name)
            except GlanceStoreError as error:
                LOG.warning("Store %s: data of image %s may be left: %s", name, image.id, error)

    def _settle(self, ctx, image: Image, stores: Iterable[str | None],
                failed: Iterable[str | None]) -> Image:
        mine = {store for store in stores if store is not None}
        present = {location.store for location in image.locations}
        lost = {store for store in failed if store is not None}
        if image.status != "importing":
            lost -= present
        change = Change(set_properties={
            PENDING_STORES: joined(set(listed(image, PENDING_STORES)) - mine),
            FAILED_STORES: joined(set(listed(image, FAILED_STORES)) | lost),
        })
        if image.status == "importing":
            change.fields = {"status": "queued", **UNKNOWN}
            change.expected = frozenset({"importing"})
        try:
            return self._images.update(ctx, image, change)
        except errors.StatusConflict:
            return self._records.images.get(ctx, image.id)
