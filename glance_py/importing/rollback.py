"""Rolling back an import that did not succeed, by who made it or by who found it dead.

Afterwards the image is in a state from which its user can go on: queued without any data,
or active with the copies it has.  Whoever rolls back holds the claim of the image, so nobody
else works on it.  Everything here may be done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from glance_py.claims import Claim, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import DIGEST_FIELDS, Image
from glance_py.domain.importing import FAILED_STORES, PENDING_STORES, join_stores, stores_in
from glance_py.importing.job import reset_to_importing
from glance_py.importing.staging import StagingArea
from glance_py.layers.data_deletion import DataDeleter

LOG = logging.getLogger(__name__)

#: What an image without data does not know.
UNSET_FIELDS: dict[str, object] = dict.fromkeys(("size", "virtual_size", *DIGEST_FIELDS))


class ImportRollback:
    """Rolls imports back.

    :param images: the operations behind the policy.
    :param repositories: the whole DAL.
    """

    def __init__(self, images, repositories, stores, claims: Claims) -> None:
        self._images = images
        self._repositories = repositories
        self._stores = stores
        self._claims = claims
        self._staging = StagingArea(stores)
        self._deleter = DataDeleter(stores, repositories.pending)

    def roll_back(
        self,
        ctx: Caller,
        claim: Claim,
        stores: Iterable[str | None],
        failed: Iterable[str | None],
        names: Sequence[str],
    ) -> str | None:
        """Undo what an import into ``stores`` did to an image, and give its claim back.

        :param failed: which of the stores are listed as failed.
        :param names: under which names the import may have written objects.
        :returns: the status that the image has then, None when it is gone.
        :raises errors.ClaimLost: somebody else rolls it back.
        """
        stores = list(stores)
        try:
            image = self._repositories.images.get(ctx, claim.image_id)
            if image.status == "uploading":
                # The import had not begun: what was staged still waits for one.
                self._claims.release(claim)
                return image.status
            self._remove_staged(claim, names)
            if image.status == "importing":
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
        """Remove all copies of an image that has no user yet."""
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
        """The last write: the image says how the import ended, and its claim is free."""
        mine = {store for store in stores if store is not None}
        present = {location.store for location in image.locations}
        lost = {store for store in failed if store is not None}
        if image.status != "importing":
            lost -= present
        change = ImageChange(
            set_properties={
                PENDING_STORES: join_stores(set(stores_in(image, PENDING_STORES)) - mine),
                FAILED_STORES: join_stores(set(stores_in(image, FAILED_STORES)) | lost),
            }
        )
        if image.status == "importing":
            change.fields = {"status": "queued", **UNSET_FIELDS}
            change.expected = frozenset({"importing"})
        try:
            return self._images.update(ctx, image, claim.guard(change, release=True)).status
        except errors.StatusConflict:
            self._claims.release(claim)
            return self._repositories.images.get(ctx, image.id).status
