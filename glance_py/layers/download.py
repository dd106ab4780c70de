"""Downloads: the data of an image from the first of its stores that has all of it."""

from __future__ import annotations

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, ImageStatus, Location
from glance_py.domain.ports import Data, Download
from glance_py.layers.store_errors import translate_store_errors
from glance_store_py.driver import ObjectData
from glance_store_py.location import redacted
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)


class Downloader:
    """Reads the data of images from stores."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        """Open the data for reading.

        :returns: None when the image has no data, or no store has it.
        :raises errors.Invalid: a preferred store does not exist.
        :raises errors.StoreUnavailable: the stores that may have it do not answer.
        :raises errors.CorruptImageData: a store has fewer bytes than the image.
        """
        self._check_preferred(request.prefer)
        if image.status == ImageStatus.QUEUED:
            return None
        first_error: errors.GlanceError | None = None
        for location in self._ordered_locations(image, request.prefer):
            try:
                with translate_store_errors():
                    data = self._stores.get(
                        location.url, location.store, request.start, request.stop, caller=ctx
                    )
                _check_complete(image, request, data)
            except (errors.NotFound, errors.StoreUnavailable, errors.CorruptImageData) as exc:
                LOG.error(
                    "Image %s could not be read from %s: %s", image.id, redacted(location.url), exc
                )
                first_error = first_error or exc
                continue
            return Data(chunks=data.chunks, length=data.length, file=data.file, close=data.close)
        # wire: data that no store has is no error.
        if first_error is not None and not isinstance(first_error, errors.NotFound):
            raise first_error
        return None

    def _check_preferred(self, prefer: tuple[str, ...]) -> None:
        """:raises errors.Invalid: a preferred store does not exist, or there is only one store."""
        if prefer and not self._stores.multi:
            raise errors.Invalid("There is one store only; none can be preferred.")
        for store in prefer:
            if store not in self._stores.ids:
                raise errors.Invalid(f"There is no store '{store}' to download from.")

    def _ordered_locations(self, image: Image, prefer: tuple[str, ...]) -> list[Location]:
        """The locations in the order in which they are tried: as preferred, then by weight."""
        if len(image.locations) < 2:
            return image.locations
        rank: dict[str | None, int] = {
            store: -len(prefer) + place for place, store in enumerate(prefer)
        }
        return sorted(
            image.locations,
            key=lambda location: (
                rank.get(location.store, 0),
                -self._stores.weight(location.store),
            ),
        )


def _check_complete(image: Image, request: Download, data: ObjectData) -> None:
    """Notice a store that has too few bytes before the answer begins.

    :raises errors.CorruptImageData: fewer bytes than the image has; ``data`` is closed.
    """
    stop = image.size if request.stop is None else request.stop
    if stop is not None and data.length < stop - request.start:
        data.close()
        raise errors.CorruptImageData()
