"""What an attempt to store data writes to the record of its image.

An attempt begins with a change that takes the claim of the image, and ends with one that gives it
back.  Both may be lost on their way: an attempt that does not know whether its change was applied
asks the database under a new token, and leaves the decision to recovery when that fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from oslo_log import log as logging

from glance_py.claims import Claim, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, ImageStatus, Location, LocationStatus
from glance_py.domain.ports import ImageRepository, Upload
from glance_py.layers.data_deletion import DataDeleter

LOG = logging.getLogger(__name__)

#: How often the change that ends an attempt is sent before the database counts as unavailable.
_ATTEMPTS = 3


def location_urls(image: Image) -> frozenset[str]:
    """The URLs of all locations of an image."""
    return frozenset(location.url for location in image.locations)


def failure_message(error: BaseException) -> str:
    """The text of the notification about an upload that failed."""
    return str(error) if isinstance(error, errors.GlanceError) else "The data could not be stored."


def to_be_deleted(locations: Sequence[Location]) -> tuple[Location, ...]:
    """The locations as the record keeps them until their data is deleted."""
    return tuple(
        dataclasses.replace(location, status=LocationStatus.PENDING_DELETE)
        for location in locations
    )


class AttemptRecorder:
    """Writes to the records of images for attempts to store data.

    :param deleter: deletes the data of refused uploads, which the next upload replaces.
    """

    def __init__(self, images: ImageRepository, claims: Claims, deleter: DataDeleter) -> None:
        self._images = images
        self._claims = claims
        self._deleter = deleter

    def begin(
        self, ctx: Caller, image: Image, change: ImageChange
    ) -> tuple[Image, tuple[Location, ...]]:
        """Apply the change that takes the claim.

        :returns: the image after it, and the removed locations, whose data is to be deleted
            by :meth:`delete_replaced`.
        """
        pending = to_be_deleted(change.remove_locations)
        if pending:
            change = change.evolve(remove_locations=pending)
        return self._images.update(ctx, image, change), pending

    def delete_replaced(self, ctx: Caller, image: Image, pending: tuple[Location, ...]) -> None:
        """Delete data of a refused upload; an attempt does not fail when that is impossible."""
        if not pending:
            return
        try:
            self._deleter.delete(image.id, pending, ctx, location_urls(image))
        except errors.ImageInUse as exc:
            LOG.warning("Refused data of image %s is deleted later: %s", image.id, exc)

    def finish(
        self,
        ctx: Caller,
        image: Image,
        claim: Claim,
        change: ImageChange,
        is_recorded: Callable[[Image], bool],
    ) -> Image:
        """Apply the change that ends an attempt, and find out whether it was applied.

        :param is_recorded: returns True for an image to which it was.
        :raises errors.OutcomeUnknown: that cannot be found out.
        :raises errors.ClaimLost: it was not applied, since the claim was lost.
        :raises errors.DatabaseUnavailable: it was not applied.
        """
        for _ in range(_ATTEMPTS):
            try:
                # resolve_outcome replaces the token of the claim.
                return self._images.update(ctx, image, change.evolve(holder=claim.holder))
            except errors.OutcomeUnknown:
                recorded = self._claims.resolve_outcome(ctx, claim, is_recorded)
                if recorded is not None:
                    return recorded
                if claim.is_lost:
                    raise errors.ClaimLost(image.id) from None
        raise errors.DatabaseUnavailable()

    def reset_to_queued(
        self,
        ctx: Caller,
        image: Image,
        upload: Upload,
        claim: Claim,
        reason: BaseException,
        refused_data: ImageChange | None = None,
    ) -> None:
        """Set the image to queued after a failure; errors are logged, ``reason`` is raised on.

        :param image: the image as it is since the attempt began.
        :param refused_data: fields and locations that describe data that was refused.
        """
        if isinstance(reason, errors.OutcomeUnknown | errors.ClaimLost):
            return  # Recovery decides about the image.
        change = ImageChange(
            fields={
                "status": ImageStatus.QUEUED,
                "size": None,
                "virtual_size": None,
                **({} if refused_data is None else refused_data.fields),
            },
            add_locations=() if refused_data is None else refused_data.add_locations,
            expected=frozenset({image.status}),
        )
        try:
            upload.on_step(
                "queued", self._images.update(ctx, image, claim.guard(change, release=True))
            )
        except errors.ImageNotFound:
            LOG.info("Image %s was deleted while its data arrived", image.id)
            self._claims.release(claim)
        except errors.ClaimLost:
            LOG.warning("Image %s was taken over by recovery while its data arrived", image.id)
        except Exception:
            LOG.exception("Image %s stays in %s until its claim expires", image.id, image.status)
