"""Rollback of a failed import, by the worker that ran it or by recovery after a crash.

Afterwards the image is queued without data, or active with the copies that it has, so that its
user can go on.  The claim of the image must be held, so that no other attempt works on it.  A
rollback may be done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from glance_py.claims import Claim, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import DIGEST_FIELDS, Image, ImageStatus
from glance_py.domain.importing import FAILED_STORES, PENDING_STORES, join_stores, stores_in
from glance_py.domain.ports import InternalImageOperations, Repositories
from glance_py.importing.job import reset_to_importing
from glance_py.importing.staging import StagingArea
from glance_py.layers.data_deletion import DataDeleter
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

#: The fields that are None in an image without data.
UNSET_FIELDS: dict[str, object] = dict.fromkeys(("size", "virtual_size", *DIGEST_FIELDS))


class ImportRollback:
    """Rolls imports back.

    :param images: the internal operations, without the layers that check callers.
    """

    def __init__(
        self,
        images: InternalImageOperations,
        repositories: Repositories,
        stores: Stores,
        staging: StagingArea,
        claims: Claims,
    ) -> None:
        self._images = images
        self._repositories = repositories
        self._stores = stores
        self._claims = claims
        self._staging = staging
        self._deleter = DataDeleter(stores, repositories.pending)

    def roll_back(
        self,
        ctx: Caller,
        claim: Claim,
        stores: Iterable[str | None],
        failed: Iterable[str | None],
        names: Sequence[str],
    ) -> str | None:
        """Undo what an import into ``stores`` did to an image, and release its claim.

        :param failed: the stores that the image lists as failed from now on.
        :param names: the names under which the import may have written objects.
        :returns: the status of the image afterwards, None when it is deleted.
        :raises errors.ClaimLost: another worker rolls it back.
        """
        stores = list(stores)
        try:
            image = self._repositories.images.get(ctx, claim.image_id)
            if image.status == ImageStatus.UPLOADING:
                # The import had not begun: the staged data waits for another one.
                self._claims.release(claim)
                return image.status
            self._remove_staged(claim, names)
            if image.status == ImageStatus.IMPORTING:
                image = self._remove_copies(ctx, image, claim, names)
            else:
                self._delete_objects(image, stores, names)
            return self._finish(ctx, image, claim, stores, failed)
        except errors.ImageNotFound:
            self._remove_staged(claim, names)
            self._delete_objects(Image(claim.image_id), stores, names)
            self._claims.release(claim)
            return None

    def _remove_staged(self, claim: Claim, names: Sequence[str]) -> None:
        for name in {claim.staged_name, *names}:
            self._staging.remove(name)

    def _remove_copies(
        self, ctx: Caller, image: Image, claim: Claim, names: Sequence[str]
    ) -> Image:
        """Remove all copies of an image that no user can read yet."""
        for location in image.locations:
            image = self._images.remove_copy(
                ctx, image, location, claim.guard(reset_to_importing())
            )
        self._delete_objects(image, self._stores.ids, names)
        return self._repositories.images.get(ctx, image.id)

    def _delete_objects(
        self, image: Image, stores: Iterable[str | None], names: Sequence[str]
    ) -> None:
        """Remove objects that no location records."""
        self._deleter.delete_attempts(
            image.id,
            [self._stores.default if store is None else store for store in stores],
            names,
            image.locations,
        )

    def _finish(
        self,
        ctx: Caller,
        image: Image,
        claim: Claim,
        stores: Iterable[str | None],
        failed: Iterable[str | None],
    ) -> str:
        """Record the result in the image and release the claim, in one transaction."""
        mine = {store for store in stores if store is not None}
        present = {location.store for location in image.locations}
        lost = {store for store in failed if store is not None}
        if image.status != ImageStatus.IMPORTING:
            lost -= present
        change = ImageChange(
            set_properties={
                PENDING_STORES: join_stores(set(stores_in(image, PENDING_STORES)) - mine),
                FAILED_STORES: join_stores(set(stores_in(image, FAILED_STORES)) | lost),
            }
        )
        if image.status == ImageStatus.IMPORTING:
            change = change.evolve(
                fields={"status": ImageStatus.QUEUED, **UNSET_FIELDS},
                expected=frozenset({ImageStatus.IMPORTING}),
            )
        try:
            return self._images.update(ctx, image, claim.guard(change, release=True)).status
        except errors.StatusConflict:
            self._claims.release(claim)
            return self._repositories.images.get(ctx, image.id).status
