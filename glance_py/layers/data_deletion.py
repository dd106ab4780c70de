"""Removing the data of images: only what an image owns, and never half.

A client may have registered a URL at which another image has its data (OSSN-0065).  Such
data stays when the client's image is deleted.  Data that cannot be deleted now keeps its row in
the state pending_delete; the scrubber and recovery try again.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Collection, Iterable, Sequence

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Location
from glance_py.domain.ports import PendingRepository
from glance_py.domain.uuids import UUID
from glance_store_py import errors as store_errors
from glance_store_py.location import redacted
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

_UUID = re.compile(f"(?<![0-9a-fA-F]){UUID}(?![0-9a-fA-F])")


class DataDeleter:
    """Removes bytes from stores and says so in the records."""

    def __init__(self, stores: Stores, pending: PendingRepository) -> None:
        self._stores = stores
        self._pending = pending

    def delete(
        self,
        image_id: str,
        locations: Sequence[Location],
        ctx: Caller | None = None,
        recorded: Collection[str] | None = None,
    ) -> int:
        """Remove data whose locations are pending_delete, as much of it as goes.

        ``ctx``, here and below, is who asks; None when the service does.

        :param recorded: the addresses at which the image has data now; None to look them up.

        :returns: how many of them are done with.
        :raises errors.ImageInUse: a store needs some of it; the others are gone.
        """
        gone, kept, in_use_error = [], [], None
        for location in locations:
            try:
                if self._is_recorded(image_id, location.url, recorded):
                    LOG.info(
                        "The data at %s stays: image %s has it at another location",
                        redacted(location.url),
                        image_id,
                    )
                    gone.append(location)
                elif self._delete_one(image_id, location, ctx):
                    gone.append(location)
            except store_errors.InUseByStore as exc:
                kept.append(location)
                in_use_error = exc
        self._pending.mark_deleted(gone)
        if in_use_error is not None:
            in_use = errors.ImageInUse(str(in_use_error))
            in_use.kept = kept
            raise in_use from in_use_error
        return len(gone)

    def _is_recorded(self, image_id: str, url: str, recorded: Collection[str] | None) -> bool:
        """Has the image itself this data at another location, which a client added?"""
        if recorded is None:
            return "active" in self._pending.statuses_at(image_id, url)
        return url in recorded

    def delete_unrecorded(
        self, image_id: str, location: Location, ctx: Caller | None = None
    ) -> None:
        """Remove data that was never recorded, such as that of an upload that failed.

        What cannot be removed now is recorded, so that it is removed later.
        """
        try:
            if self._delete_one(image_id, location, ctx):
                return
        except store_errors.InUseByStore as exc:
            LOG.error(
                "The data of image %s at %s cannot be removed yet: %s",
                image_id,
                redacted(location.url),
                exc,
            )
        try:
            self._pending.add(image_id, location)
        except errors.GlanceError as exc:
            LOG.error(
                "The data of image %s at %s is left behind, and cannot be noted for later "
                "removal: %s",
                image_id,
                redacted(location.url),
                exc,
            )

    def delete_attempts(
        self,
        image_id: str,
        stores: Iterable[str],
        names: Iterable[str],
        recorded: Sequence[Location],
    ) -> list[str]:
        """Remove the objects that attempts wrote and no location of the image records.

        What cannot be removed now is noted, so that it is removed later.

        :param names: the names under which the attempts wrote.
        :param recorded: the locations of the image; the claim keeps others from changing them.
        :returns: the URLs of what was removed.
        """
        removed: list[str] = []
        for store in stores:
            for name in names:
                if any(_is_object(location, store, name) for location in recorded):
                    continue
                url = self._stores.predict_url(store, name)
                if any(location.url == url for location in recorded):
                    continue  # Two stores may lead to one place.
                try:
                    removed += self._stores.delete_attempt(name, store, strict=True)
                except store_errors.GlanceStoreError as exc:
                    LOG.warning(
                        "Store %s: data of image %s could not be removed: %s", store, image_id, exc
                    )
                    if url is not None and store in self._stores.ids:  # not staging
                        metadata = {"store": store} if self._stores.multi else {}
                        self._pending.add(image_id, Location(url, metadata))
        return removed

    def _delete_one(self, image_id: str, location: Location, ctx: Caller | None) -> bool:
        """Remove one copy.  Is there nothing left to do about it?"""
        try:
            if self._belongs_to_another(image_id, location.url):
                LOG.info(
                    "Image %s was deleted; the data at %s stays, it is another image's",
                    image_id,
                    redacted(location.url),
                )
            else:
                self._stores.delete(location.url, location.store, caller=ctx)
        except store_errors.StoreObjectNotFound:
            LOG.debug("The data of image %s was gone already", image_id)
        except store_errors.StoreDeleteNotSupported:
            LOG.info("The store of image %s does not delete data", image_id)
        except store_errors.InUseByStore:
            raise
        except Exception as exc:
            LOG.error(
                "The data of image %s at %s could not be removed; it will be tried again: %s",
                image_id,
                redacted(location.url),
                exc,
            )
            return False
        return True

    def _belongs_to_another(self, image_id: str, url: str) -> bool:
        """Is this another image's data?"""
        named = image_ids_in(url)
        if self._pending.any_exist(named - {image_id}):
            return True
        return image_id not in named and self._pending.is_shared(image_id, url)

    def require_unused(self, image_id: str, url: str) -> None:
        """Refuse an address that a client names when the data there is another image's.

        :raises errors.Invalid: it is, or the data is being removed.
        """
        if self._belongs_to_another(image_id, url):
            raise errors.Invalid("The data at this location belongs to another image.")
        if "pending_delete" in self._pending.statuses_at(image_id, url):
            raise errors.Invalid("The data at this location is being removed.")


def _is_object(location: Location, store: str, name: str) -> bool:
    """Is this location that of the object ``name`` in a store?

    The rest of the address does not count: a store may have several directories, and its
    credentials, which are a part of some addresses, may be others by now.
    """
    return location.store in (None, store) and name in re.split(
        "[/?#]", urllib.parse.unquote(location.url)
    )


def image_ids_in(url: str) -> set[str]:
    """The ids that an address names, quoted or not.  Stores name data after its image."""
    return set(_UUID.findall(urllib.parse.unquote(url))) | set(_UUID.findall(url))
