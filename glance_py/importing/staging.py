"""Where data waits between its arrival and the stores.

The staging store holds one object per attempt (see ``domain.claim.object_name``); plugins
work on its file and put theirs beside it, ``<name>.<suffix>``, until it takes the place of
the first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterable, Iterator

from glance_py.claims import STAGING_STORE
from glance_py.domain import errors
from glance_py.domain.claim import split_object_name
from glance_py.layers.store_errors import translate_store_errors
from glance_py.streams import Chunk
from glance_store_py.errors import GlanceStoreError
from glance_store_py.location import parse

#: What plugins may leave beside the data of an image.
SUFFIXES = ("decompressed", "converted")

_NULL_ID = "00000000-0000-0000-0000-000000000000"


@dataclasses.dataclass(frozen=True, slots=True)
class StagedObject:
    """A staged object: its name, the attempt that wrote it, and for how many seconds it is idle."""

    name: str
    image_id: str
    generation: int
    idle_seconds: float


class StagingArea:
    """The staging store of this host, or one that it shares with others."""

    def __init__(self, stores) -> None:
        self._stores = stores

    def _url(self, name: str) -> str:
        url = self._stores.predict_url(STAGING_STORE, name)
        if url is None:
            raise errors.GlanceError("The staging store does not know where it keeps an image.")
        return url

    def size(self, name: str) -> int | None:
        """Bytes that are staged under a name; None when none can be found from here."""
        try:
            return self._stores.size(self._url(name), STAGING_STORE)
        except GlanceStoreError:
            return None

    def write(self, name: str, data: Iterable[Chunk], size: int | None) -> int:
        """Stage data; what the same attempt staged before is dropped.  Returns how many bytes."""
        self.remove(name)
        with translate_store_errors():
            return self._stores.add(STAGING_STORE, name, data, size, reserved=True).size

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[tuple[Iterator[bytes], int]]:
        """The staged bytes, and how many there are.

        :raises errors.NotFound: there are none.
        """
        with translate_store_errors():
            data = self._stores.get(self._url(name), STAGING_STORE)
        try:
            yield data.chunks, data.length
        finally:
            data.close()

    def path(self, name: str) -> str:
        """The file that holds the staged bytes, for plugins."""
        return parse(self._url(name)).path

    def list(self) -> Iterator[StagedObject]:
        """What is staged here, with the files of plugins; other files are somebody else's."""
        directory = os.path.dirname(self.path(_NULL_ID))
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                for suffix in SUFFIXES:
                    name = name.removesuffix(f".{suffix}")
                found = split_object_name(name)
                if found is not None:
                    with contextlib.suppress(FileNotFoundError):
                        yield StagedObject(name, *found, time.time() - entry.stat().st_mtime)

    def remove_if_idle(self, name: str, seconds: float) -> bool:
        """Remove what nobody has touched for so long; False when somebody has since."""
        for suffix in ("", *(f".{suffix}" for suffix in SUFFIXES)):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - os.stat(self.path(name) + suffix).st_mtime < seconds:
                    return False
        self.remove(name)
        return True

    def remove(self, name: str) -> None:
        """Drop what is staged under a name, and what plugins left beside it."""
        self._stores.delete_attempt(name, STAGING_STORE)
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path(name)}.{suffix}")
