"""The staging area: data that has arrived and is not in a store of images yet.

The staging store holds one object per attempt (see ``domain.claim.object_name``).  Plugins work
on the file of the object and write theirs beside it, ``<name>.<suffix>``, until it replaces the
first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator

from glance_py.domain import errors
from glance_py.domain.claim import split_object_name
from glance_py.layers.store_errors import translate_store_errors
from glance_py.streams import Chunk
from glance_store_py.config import STAGING_STORE
from glance_store_py.errors import GlanceStoreError
from glance_store_py.location import parse
from glance_store_py.stores import Stores

#: Suffixes of the files that plugins write beside the data of an image.
SUFFIXES = ("decompressed", "converted")

_NULL_ID = "00000000-0000-0000-0000-000000000000"


@dataclasses.dataclass(frozen=True, slots=True)
class StagedObject:
    """A staged object, or a file of a plugin beside it.

    ``generation`` is that of the attempt that wrote it; ``idle_seconds`` the seconds since the
    file was last written.
    """

    name: str
    image_id: str
    generation: int
    idle_seconds: float


class StagingArea:
    """The staging store of this host, which other hosts may share.

    :param now: seconds since the epoch, the clock of the times of files.
    """

    def __init__(self, stores: Stores, now: Callable[[], float] = time.time) -> None:
        self._stores = stores
        self._now = now

    def _url(self, name: str) -> str:
        url = self._stores.predict_url(STAGING_STORE, name)
        if url is None:
            raise errors.GlanceError("The staging store does not know where it keeps an image.")
        return url

    def size(self, name: str) -> int | None:
        """The bytes staged under a name; None when this host cannot read such an object."""
        try:
            return self._stores.size(self._url(name), STAGING_STORE)
        except GlanceStoreError:
            return None

    def write(self, name: str, data: Iterable[Chunk], size: int | None) -> int:
        """Stage data in place of what was staged under the name; returns the number of bytes.

        :param size: the announced number of bytes, None when unknown.
        :raises errors.GlanceError: what the store raised.
        """
        self.remove(name)
        with translate_store_errors():
            return self._stores.add(STAGING_STORE, name, data, size, reserved=True).size

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[tuple[Iterator[bytes], int]]:
        """Open staged data; the block gets (chunks, number of bytes).

        :raises errors.NotFound: nothing is staged under the name.
        """
        with translate_store_errors():
            data = self._stores.get(self._url(name), STAGING_STORE)
        try:
            yield data.chunks, data.length
        finally:
            data.close()

    def path(self, name: str) -> str:
        """The path of the file that holds the staged bytes, for plugins."""
        return parse(self._url(name)).path

    def list(self) -> Iterator[StagedObject]:
        """The staged objects and the files of plugins; files with other names are left out."""
        directory = os.path.dirname(self.path(_NULL_ID))
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                for suffix in SUFFIXES:
                    name = name.removesuffix(f".{suffix}")
                found = split_object_name(name)
                if found is not None:
                    with contextlib.suppress(FileNotFoundError):
                        yield StagedObject(name, *found, self._now() - entry.stat().st_mtime)

    def remove_if_idle(self, name: str, seconds: float) -> bool:
        """Remove what is staged under a name, unless it was written within ``seconds``.

        :returns: False when it was, and nothing is removed.
        """
        for suffix in ("", *(f".{suffix}" for suffix in SUFFIXES)):
            with contextlib.suppress(FileNotFoundError):
                if self._now() - os.stat(self.path(name) + suffix).st_mtime < seconds:
                    return False
        self.remove(name)
        return True

    def remove(self, name: str) -> None:
        """Remove what is staged under a name, and the files of plugins beside it."""
        self._stores.delete_attempt(name, STAGING_STORE)
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path(name)}.{suffix}")
