"""The interface of a storage driver: its operations and its capabilities.

A driver does input and output and nothing else.  Checks that are the same for all
drivers (capabilities, announced sizes, short reads, names of errors) are in ``guard.py``;
``stores.py`` decides which store a location belongs to.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar, Protocol, runtime_checkable

from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation

#: Takes new objects.
ADD = "add"
#: Removes objects.
DELETE = "delete"
#: Gives back the data and the size of its objects.
READ = "read"
#: Reads a part of an object without reading what comes before it.
READ_RANDOM = "read_random"
#: Gives out an open file that the operating system can send by itself.
SENDFILE = "sendfile"
#: Computes where the data of an image goes before it is written.
PREDICTABLE_LOCATION = "predictable_location"
#: Refuses a second object for an image, also when both are written at the same time.
EXCLUSIVE = "exclusive"
#: Shows an object to readers only when it is complete.
ATOMIC = "atomic"
#: Finds and removes what writers left that were killed half way.
CLEANUP = "cleanup"
#: Finds, by the name of an object, uploads of it that were begun and never finished.
FIND_PARTIAL = "find_partial"
#: Lists its objects.
LIST = "list"
#: Depends on one remote service: while that does not answer, no object can be reached.
REMOTE = "remote"
#: Uses the credentials of the caller, not only those that the operator configured.
USER_CONTEXT = "user_context"
#: Has access lists of its own, which must follow an image's visibility and members.
ACLS = "acls"


#: A piece of data on its way into a store; a memoryview has items of one byte.
Chunk = bytes | memoryview

_ATTEMPT_NAME = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?:[2-9]|[1-9][0-9]+)\Z", re.IGNORECASE
)


def image_id_of(name: str) -> str:
    """The id of the image for which an object was added under ``name``.

    The first upload attempt of an image is stored under the id of the image,
    attempt N under ``<image id>.<N>``; any other name is returned as it is.
    """
    found = _ATTEMPT_NAME.match(name)
    return found[1] if found else name


@dataclasses.dataclass(frozen=True, slots=True)
class AddResult:
    """An object that was written.

    ``size`` is in bytes; ``metadata`` is kept with the location of the image: a JSON object.
    """

    url: str
    size: int
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class ObjectData:
    """The data of an object, or of a part of it, for one reader.

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
    """An object in a listing: size in bytes, time of its last change in seconds since 1970.

    ``image_id`` is the image for which it was added, ``name`` the name under
    which it was added, see :func:`image_id_of` (empty: the id of the image).
    An unfinished upload has a name and a URL of its own where a complete object of
    the same name may exist: removing the one never removes the other.
    """

    url: str
    image_id: str
    size: int
    modified: float
    name: str = ""


class StoreCaller(Protocol):
    """The caller of an operation, as drivers with USER_CONTEXT see it; read only."""

    @property
    def auth_token(self) -> str | None:
        """The token of the request; a secret."""

    @property
    def user_id(self) -> str | None:
        """Keystone's id of the user."""

    @property
    def project_id(self) -> str | None:
        """Keystone's id of the project that the token is scoped to."""

    @property
    def roles(self) -> Sequence[str]:
        """Names of the roles that the caller has in its project."""

    @property
    def service_catalog(self) -> Sequence[Mapping[str, Any]] | None:
        """The ``catalog`` of the token as Keystone encodes it in JSON."""


#: (url, whether a server redirected to it) -> network addresses that may be connected to for
#: it.  Raises BadStoreUri when there are none.
StoreUrlPolicy = Callable[[str, bool], Sequence[str]]


class ObjectOperations(Protocol):
    """The operations on objects."""

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        """Store ``data`` as object ``name``; ``size`` bytes are announced, None is unknown.

        ``name`` is the id of an image, or ``<image id>.<N>`` for its upload
        attempt N: two names never share anything in the store.  Whatever is
        raised, by ``data`` too, nothing is left behind.

        :raises errors.StoreObjectExists: there is an object of this name already; it stays.
        :raises errors.StorageFull: there is no space for it.
        """

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        """The bytes from ``start`` up to, not including, ``stop`` (None: the end).

        Bounds beyond the end of the object stand for its end.

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
    """One store of one type, for the life of the process; used by many threads.

    It is built with (:class:`~glance_store_py.config.StoreOptions`, store id).
    Building it must not need the backend: :meth:`configure_add` may.  :class:`BaseDriver`
    has defaults for everything but the operations on objects.
    """

    @property
    def schemes(self) -> tuple[str, ...]:
        """URL schemes of its objects."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Those of the capabilities above that it has."""

    @property
    def prefixes(self) -> tuple[StoreLocation, ...]:
        """The locations under which its objects are."""

    @property
    def properties(self) -> Mapping[str, object]:
        """Settings that administrators may see; never a secret."""

    def configure_add(self) -> None:
        """Prepare for writing, once, at start.

        :raises errors.BadStoreConfiguration: it will not be able to write.
        """

    def predict_locations(self, name: str) -> Sequence[StoreLocation]:
        """Where add would put this object (PREDICTABLE_LOCATION), the most likely first."""

    def cleanup(self) -> list[str]:
        """Remove what killed writers left (CLEANUP); one sentence for each thing removed."""

    def health_check(self) -> None:
        """Check at low cost that the store can be used.

        :raises errors.GlanceStoreError: it cannot.
        """


class BaseDriver:
    """Defaults of a driver: no capabilities, nothing to prepare, to clean up or to check.

    A subclass sets ``spec`` and ``capabilities``, defines the operations on objects, and
    overrides the methods that its capabilities need.
    """

    spec: ClassVar[DriverSpec]
    capabilities: frozenset[str] = frozenset()
    prefixes: tuple[StoreLocation, ...] = ()
    properties: Mapping[str, object] = types.MappingProxyType({})

    @property
    def schemes(self) -> tuple[str, ...]:
        """URL schemes of its objects, from the spec."""
        return self.spec.schemes

    def configure_add(self) -> None:
        """Prepare nothing."""

    def predict_locations(self, name: str) -> Sequence[StoreLocation]:
        """Return nothing: where an object goes is not known beforehand."""
        return ()

    def cleanup(self) -> list[str]:
        """Remove nothing."""
        return []

    def health_check(self) -> None:
        """Check nothing."""


class ListingDriver(Driver, Protocol):
    """A driver with the capability LIST."""

    def list_objects(self) -> Iterator[ObjectInfo]:
        """All objects in the store, whether they are named after an image or not.

        Unfinished uploads are among them: deleting their URL removes these and nothing else.
        """


class FindPartialDriver(Driver, Protocol):
    """A driver with the capability FIND_PARTIAL."""

    def find_partial(self, name: str) -> Sequence[StoreLocation]:
        """The unfinished uploads of this object, those that are still running included.

        With PREDICTABLE_LOCATION also the location of the complete object.
        """


class UserContextDriver(Driver, Protocol):
    """A driver with the capability USER_CONTEXT."""

    def as_caller(self, caller: StoreCaller | None) -> ObjectOperations:
        """The operations with the credentials of ``caller``, for one request; see AclDriver.

        :raises errors.StoreForbidden: the request has no token.
        """


class AclDriver(ObjectOperations, Protocol):
    """The operations of a driver with the capability ACLS, for one caller."""

    def set_acls(
        self, location: StoreLocation, public: bool, readers: Sequence[str], writers: Sequence[str]
    ) -> None:
        """Let the projects ``readers``, or all projects, read an object, and ``writers`` write."""


@runtime_checkable
class UrlPolicyDriver(Protocol):
    """A driver that connects to servers which clients name."""

    #: Decides which network addresses are connected to; None allows all.
    url_policy: StoreUrlPolicy | None
