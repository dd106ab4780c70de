"""The interface of a storage backend: a handful of operations, and what it can do.

A driver does I/O and nothing else.  Checks that are the same for all (capabilities,
announced sizes, short reads, names of errors) are in ``guard.py``; which store an
address belongs to is decided in ``stores.py``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Protocol

from glance_store_py.location import StoreLocation

#: Takes new objects.
ADD = "add"
#: Removes objects.
DELETE = "delete"
#: Reads a part of an object without reading what lies before it.
READ_RANDOM = "read_random"
#: Gives out an open file that the operating system may send by itself.
SENDFILE = "sendfile"
#: Knows beforehand where the data of an image goes.
PREDICTABLE_LOCATION = "predictable_location"
#: Refuses a second object for an image, however close the two writers are.
EXCLUSIVE = "exclusive"
#: Shows an object to readers only when all of it is there.
ATOMIC = "atomic"
#: Finds and removes what writers left that died half way.
CLEANUP = "cleanup"
#: Finds by the name of an object what was begun for it and never finished.
FIND_PARTIAL = "find_partial"
#: Tells which objects it holds.
LIST = "list"
#: Depends on one service elsewhere: while that is away, so are all its objects.
REMOTE = "remote"
#: Works with what the caller proves of himself, not with what the operator configured.
USER_CONTEXT = "user_context"
#: Judges readers by lists of its own, which have to follow an image's visibility and members.
ACLS = "acls"


_ATTEMPT_NAME = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?:[2-9]|[1-9][0-9]+)\Z", re.IGNORECASE
)


def image_id_of(name: str) -> str:
    """The id of the image for which an object was added under ``name``.

    The first upload attempt of an image is stored under the id of the image,
    attempt N under ``<image id>.<N>``; any other name stands for itself.
    """
    found = _ATTEMPT_NAME.match(name)
    return found[1] if found else name


@dataclasses.dataclass(frozen=True, slots=True)
class AddResult:
    """An object that was written: its address, its size in bytes, and what the

    store wants remembered about it (JSON-ready: dicts, lists and strings).
    """

    url: str
    size: int
    metadata: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class ObjectData:
    """Bytes on their way out of a store.

    ``chunks`` yields exactly ``length`` bytes or raises.  ``close`` must be
    called and may be called twice.  ``file``, where there is one, is an open
    binary file positioned at the first byte: use it or ``chunks``, not both.
    """

    chunks: Iterator[bytes]
    length: int
    file: BinaryIO | None = None
    close: Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object of a store: size in bytes, time of its last change in seconds since 1970.

    ``image_id`` is the image for which it was added, ``name`` the name under
    which it was added, see :func:`image_id_of` (empty: the id of the image).
    What was begun and never finished has a name and a URL of its own where a
    complete object may lie beside it: removing the one never removes the other.
    """

    url: str
    image_id: str
    size: int
    modified: float
    name: str = ""


class StoreCaller(Protocol):
    """Who asks the service.  ``service_catalog`` is the ``catalog`` of a Keystone token."""

    auth_token: str | None
    user_id: str | None
    project_id: str | None
    service_catalog: Sequence[Mapping] | None


class ObjectOperations(Protocol):
    """What can be done with objects."""

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> AddResult:
        """Store ``data`` as object ``name``; ``size`` bytes are announced, None is unknown.

        ``name`` is the id of an image, or ``<image id>.<N>`` for its upload
        attempt N: two names never share anything in the store.  Whatever is
        raised, by ``data`` too, nothing is left behind.

        :raises errors.StoreObjectExists: there is an object of this name already, which stays.
        :raises errors.StorageFull: there is no room for it.
        """

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        """The bytes from ``start`` up to, not including, ``stop`` (None: the end).

        What lies beyond the end of the object is left out.

        :raises errors.StoreObjectNotFound: there is no such object.
        """

    def size(self, location: StoreLocation) -> int:
        """The size of an object in bytes.

        :raises errors.StoreObjectNotFound: there is no such object.
        """

    def delete(self, location: StoreLocation) -> None:
        """Remove an object, and nothing that another writer stored.

        :raises errors.StoreObjectNotFound: there is no such object.
        :raises errors.InUseByStore: something depends on the object, which stays
            as it was.
        """


class Driver(ObjectOperations, Protocol):
    """One store of one kind, for the life of the process; used by many threads.

    It is built with (:class:`~glance_store_py.config.StoreOptions`, store id).
    Building it must not need the backend: :meth:`configure_add` may.

    schemes
        URL schemes it reads.
    capabilities
        Which of the capabilities above it has.
    prefixes
        Under which addresses its objects lie.
    properties
        What administrators may know of its settings; never a secret.
    """

    schemes: tuple[str, ...]
    capabilities: frozenset[str]
    prefixes: tuple[StoreLocation, ...]
    properties: Mapping[str, object]

    def configure_add(self) -> None:
        """Get ready to write, once, at start.

        :raises errors.BadStoreConfiguration: it will not be able to write.
        """

    def predict_locations(self, name: str) -> Sequence[StoreLocation]:
        """Where add would put this object (PREDICTABLE_LOCATION), most likely place first."""

    def cleanup(self) -> list[str]:
        """Remove what dead writers left (CLEANUP); one sentence for each thing removed."""

    def health_check(self) -> None:
        """Raise a GlanceStoreError when the store is not well.  Must be cheap."""


class ListingDriver(Driver, Protocol):
    """A driver with the capability LIST."""

    def list_objects(self) -> Iterator[ObjectInfo]:
        """All objects in the store, named after an image or not.

        With them, what was begun for an image and never finished: deleting its
        URL removes that and nothing else.
        """


class FindPartialDriver(Driver, Protocol):
    """A driver with the capability FIND_PARTIAL."""

    def find_partial(self, name: str) -> Sequence[StoreLocation]:
        """What writers of this object may have left, the work of those alive included.

        With PREDICTABLE_LOCATION also where the complete object would lie.
        """


class UserContextDriver(Driver, Protocol):
    """A driver with the capability USER_CONTEXT."""

    def as_caller(self, caller: StoreCaller | None) -> ObjectOperations:
        """The driver as ``caller``, for the time of one request; see AclDriver, too.

        :raises errors.StoreForbidden: nobody in particular asks.
        """


class AclDriver(ObjectOperations, Protocol):
    """A driver with the capability ACLS."""

    def set_acls(
        self, location: StoreLocation, public: bool, readers: Sequence[str], writers: Sequence[str]
    ) -> None:
        """Let the projects ``readers``, or all projects, read an object, and ``writers`` write."""
