"""Compares the objects in the stores with the locations in the database.

Objects are listed first and images are read afterwards, so that an object that is written in
between has a record and is not mistaken for an orphan.  Only orphans are ever removed, and only
with :attr:`CheckOptions.delete_orphans`.
"""

from __future__ import annotations

import dataclasses
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

from glance_py import streams
from glance_py.context import get_admin_context
from glance_py.domain import errors, importing
from glance_py.domain.image import Image, ImageStatus, Location
from glance_py.domain.ports import Repositories
from glance_py.domain.query import ImageQuery
from glance_py.domain.uuids import UUID, is_uuid
from glance_store_py import errors as store_errors
from glance_store_py.driver import ObjectInfo, image_id_of
from glance_store_py.location import parse, redacted
from glance_store_py.stores import Stores

PAGE_SIZE = 1000

#: Kinds of findings.  A location whose object does not exist.
MISSING = "missing"
#: An object whose size or hash differs from the database.
SIZE = "size"
HASH = "hash"
#: The store failed or refused to answer.
UNREADABLE = "unreadable"
#: An object that belongs to no location.
ORPHAN = "orphan"

#: Names of objects in a URL: the id of an image, or that of one of its upload attempts.
_OBJECT_NAME = re.compile(
    f"(?<![0-9a-fA-F]){UUID}(?![0-9a-fA-F])" r"(?:\.(?:[2-9]|[1-9][0-9]+)(?![^/?#]))?"
)

#: In all but these states an image may get data at any moment.
_STABLE_STATUSES = frozenset(
    {ImageStatus.ACTIVE, ImageStatus.DEACTIVATED, ImageStatus.DELETED, ImageStatus.KILLED}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One difference.

    kind
        A constant of this module.
    url
        Of the object, without credentials.
    detail
        More about it for the operator, for example both sizes.
    removed
        True for an orphan that was removed.
    """

    kind: str
    store: str | None
    image_id: str
    url: str
    detail: str = ""
    removed: bool = False


@dataclasses.dataclass(slots=True)
class CheckCounts:
    """The numbers of what was compared.

    images, copies
        Images, and their locations in the compared stores.
    hashed
        Bytes that were read for hashes.
    objects
        Objects in the stores.
    foreign
        Those whose name is not that of an image.
    young
        Those without a location that are not older than ``CheckOptions.older_than``.
    silent
        The stores that cannot list their objects.
    """

    images: int = 0
    copies: int = 0
    hashed: int = 0
    objects: int = 0
    foreign: int = 0
    young: int = 0
    silent: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to compare; ``older_than`` is the minimal age of an orphan in seconds."""

    stores: Sequence[str]
    verify_hash: bool = False
    delete_orphans: bool = False
    older_than: float = 24 * 3600


class StoreComparison:
    """One comparison of stores and database.

    :param on_progress: called after each object, image and chunk of data.
    """

    def __init__(
        self,
        repositories: Repositories,
        stores: Stores,
        options: CheckOptions,
        on_progress: Callable[[CheckCounts], None] = lambda counts: None,
    ) -> None:
        self._repositories = repositories
        self._stores = stores
        self._options = options
        self._on_progress = on_progress
        self._admin_context = get_admin_context()
        #: (store, URL) -> object; an image may have objects of several upload attempts.
        self._objects: dict[tuple[str, str], ObjectInfo] = {}
        #: (store, object name) of all locations.
        self._recorded: set[tuple[str, str]] = set()
        self._recorded_paths: set[str] = set()
        #: Ids, in lower case, of images that may get data at any moment.
        self._unstable_ids: set[str] = set()
        self.counts = CheckCounts()

    def run(self) -> Iterator[Finding]:
        """Yields each difference as soon as it is found."""
        self._list_objects()
        for image in self._list_images():
            self.counts.images += 1
            if not _is_stable(image):
                self._unstable_ids.add(image.id.lower())
            for location in image.locations:
                yield from self._check_location(image, location)
            self._on_progress(self.counts)
        self._record_pending()
        yield from self._find_orphans()

    def _list_objects(self) -> None:
        for store in self._options.stores:
            try:
                for found in self._stores.list_objects(store):
                    self.counts.objects += 1
                    if not is_uuid(found.image_id):
                        self.counts.foreign += 1
                    else:
                        self._objects[store, found.url] = found
                    self._on_progress(self.counts)
            except store_errors.StoreListNotSupported:
                self.counts.silent.append(store)

    def _list_images(self) -> Iterator[Image]:
        for hidden in (False, True):
            marker: str | None = None
            while True:
                page = self._repositories.images.list(
                    self._admin_context,
                    ImageQuery(
                        visibility="all",
                        member_status="all",
                        os_hidden=hidden,
                        marker=marker,
                        limit=PAGE_SIZE,
                    ),
                )
                yield from page.images
                if not page.full:
                    break
                marker = page.images[-1].id

    # --- locations in the database -----------------------------------------------------------

    def _check_location(self, image: Image, location: Location) -> Iterator[Finding]:
        store = location.store or self._stores.store_for_url(location.url)
        self._record(image.id, location.url, store)
        if store is None or store not in self._options.stores or image.status == ImageStatus.QUEUED:
            # The location of a queued image records data that was refused and may be removed.
            return
        self.counts.copies += 1

        def finding(kind: str, detail: str = "") -> Finding:
            return Finding(kind, store, image.id, redacted(location.url), detail)

        try:
            size = self._size(location, store)
            if image.size is not None and size != image.size:
                yield finding(SIZE, f"{size} bytes instead of {image.size}")
            elif self._options.verify_hash:
                yield from self._compare_hash(image, location, finding)
        except store_errors.StoreObjectNotFound:
            yield finding(MISSING)
        except store_errors.GlanceStoreError as exc:
            yield finding(UNREADABLE, str(exc))

    def _size(self, location: Location, store: str) -> int:
        """The size of a copy in bytes, from the list of objects or, without an entry, the store."""
        listed = self._objects.get((store, parse(location.url).url))
        return self._stores.size(location.url, location.store) if listed is None else listed.size

    def _compare_hash(
        self, image: Image, location: Location, finding: Callable[[str, str], Finding]
    ) -> Iterator[Finding]:
        if image.os_hash_algo is None and image.checksum is None:
            return
        digests = streams.HashFilter(image.os_hash_algo or "sha512")
        data = self._stores.get(location.url, location.store)
        try:
            for chunk in streams.filtered(data.chunks, (digests,)):
                self.counts.hashed += len(chunk)
                self._on_progress(self.counts)
        finally:
            data.close()
        if image.checksum not in (None, digests.checksum) or (
            image.os_hash_algo is not None and image.os_hash_value != digests.value
        ):
            yield finding(HASH, f"{digests.algorithm} is {digests.value}")

    def _record_pending(self) -> None:
        """Record the locations of deleted images whose data the scrubber will remove."""
        after = 0
        while found := self._repositories.pending.find(0, after, PAGE_SIZE):
            after = found[-1].location.id or 0
            for pending in found:
                location = pending.location
                self._record(
                    pending.image_id,
                    location.url,
                    location.store or self._stores.store_for_url(location.url),
                )

    def _record(self, image_id: str, url: str, store: str | None) -> None:
        self._recorded_paths.add(_object_path(url))
        for name in _possible_names(image_id, url):
            if store is None:
                self._unstable_ids.add(image_id_of(name))
            else:
                self._recorded.add((store, name))

    # --- objects without a location ----------------------------------------------------------

    def _find_orphans(self) -> Iterator[Finding]:
        newest_orphan = time.time() - self._options.older_than
        for (store, _), found in self._objects.items():
            if (
                (store, _object_name(found)) in self._recorded
                or found.image_id.lower() in self._unstable_ids
                or _object_path(found.url) in self._recorded_paths
            ):
                continue
            if found.modified > newest_orphan:
                self.counts.young += 1
                continue
            finding = Finding(
                ORPHAN, store, found.image_id, redacted(found.url), f"{found.size} bytes"
            )
            if self._options.delete_orphans and self._is_still_orphan(store, found):
                yield self._delete_orphan(finding, found.url)
            else:
                yield finding

    def _is_still_orphan(self, store: str, found: ObjectInfo) -> bool:
        """Check again: the comparison may have taken hours."""
        try:
            image = self._repositories.images.get(self._admin_context, found.image_id)
        except errors.ImageNotFound:
            return True
        return _is_stable(image) and not any(
            _object_name(found) in _possible_names(image.id, location.url)
            and (location.store or self._stores.store_for_url(location.url)) in (store, None)
            for location in image.locations
        )

    def _delete_orphan(self, finding: Finding, url: str) -> Finding:
        try:
            self._stores.delete(url, finding.store)
        except store_errors.StoreObjectNotFound:
            pass  # it was removed in the meantime
        except store_errors.GlanceStoreError as exc:
            return dataclasses.replace(finding, detail=f"{finding.detail}; {exc}")
        return dataclasses.replace(finding, removed=True)


def _is_stable(image: Image) -> bool:
    """True unless the image may get data now.

    An image that is copied to another store stays active, and has the lock property.
    """
    return image.status in _STABLE_STATUSES and not image.properties.get(importing.LOCK_PROPERTY)


def _object_name(found: ObjectInfo) -> str:
    """The name with which an object was added; the image's id for the rest of an upload."""
    return (found.name or found.image_id).lower()


def _possible_names(image_id: str, url: str) -> set[str]:
    """The names of the objects that a location of an image may refer to.

    A URL that does not contain the id of the image (a client may have added it) may refer to the
    object with the image's id as its name.
    """
    found = {
        name.lower()
        for text in (url, urllib.parse.unquote(url))
        for name in _OBJECT_NAME.findall(text)
    }
    if image_id.lower() not in map(image_id_of, found):
        found.add(image_id.lower())
    return found


def _object_path(url: str) -> str:
    """Container and name of an object, the last two segments of its URL.

    Two stores may contain the same object, with URLs that have only this in common.
    """
    return "/".join(url.rsplit("/", 2)[1:])
