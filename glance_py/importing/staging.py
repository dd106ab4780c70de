"""Where data waits between its arrival and the stores.

The staging store holds one object per image, named by its id; plugins work on
its file and put theirs beside it, ``<image id>.<suffix>``, until it takes the
place of the first.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator

from glance_py.domain import errors
from glance_py.layers.location import STAGING_STORE
from glance_py.layers.store_errors import naming_store_errors
from glance_py.streams import Chunk
from glance_store_py.errors import GlanceStoreError
from glance_store_py.location import parse

#: What plugins may leave beside the data of an image.
SUFFIXES = ("decompressed", "converted")

#: ``<image id>`` or ``<image id>.<suffix>``; other files in the directory are somebody else's.
_NAME = re.compile(r"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:\..*)?\Z")
_NOBODY = "00000000-0000-0000-0000-000000000000"


class Staging:
    """The staging store of this host, or one that it shares with others."""

    def __init__(self, stores) -> None:
        self._stores = stores

    def _url(self, image_id: str) -> str:
        url = self._stores.location_of(STAGING_STORE, image_id)
        if url is None:
            raise errors.GlanceError("The staging store does not know where it keeps an image.")
        return url

    def size(self, image_id: str) -> int | None:
        """Bytes that are staged for an image; None when none can be found from here."""
        try:
            return self._stores.size(self._url(image_id), STAGING_STORE)
        except GlanceStoreError:
            return None

    def write(self, image_id: str, data: Iterable[Chunk], size: int | None) -> int:
        """Stage data; whatever was there before is dropped.  Returns how many bytes it was."""
        self.remove(image_id)
        with naming_store_errors():
            return self._stores.add(STAGING_STORE, image_id, data, size, reserved=True).size

    @contextlib.contextmanager
    def read(self, image_id: str) -> Iterator[tuple[Iterator[bytes], int]]:
        """The staged bytes, and how many there are.

        :raises errors.NotFound: there are none.
        """
        with naming_store_errors():
            data = self._stores.get(self._url(image_id), STAGING_STORE)
        try:
            yield data.chunks, data.length
        finally:
            data.close()

    def path(self, image_id: str) -> str:
        """The file that holds the staged bytes, for plugins."""
        return parse(self._url(image_id)).path

    def names(self) -> Iterator[tuple[str, float]]:
        """Ids of images for which something is staged, and for how many seconds it lay still."""
        directory = os.path.dirname(self.path(_NOBODY))
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                found = _NAME.match(entry.name)
                if found is not None:
                    with contextlib.suppress(FileNotFoundError):
                        yield found[1], time.time() - entry.stat().st_mtime

    def remove_still(self, image_id: str, seconds: float) -> bool:
        """Drop what has not been touched for so long; False when somebody has come since."""
        for suffix in ("", *(f".{suffix}" for suffix in SUFFIXES)):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - os.stat(self.path(image_id) + suffix).st_mtime < seconds:
                    return False
        self.remove(image_id)
        return True

    def remove(self, image_id: str) -> None:
        """Drop what is staged, and what plugins left beside it."""
        self._stores.discard(image_id, STAGING_STORE)
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path(image_id)}.{suffix}")
