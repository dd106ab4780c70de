"""A directory of images: for each one a JSON file named by its id, and ``<id>.img``.

Data that is not complete yet has the ending ``.img.part`` and is read on when
the copy is repeated.  A file without that ending is whole and has been checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator

from glance_py.replication import (
    ImageDocument,
    ImageSource,
    ReplicationError,
    TransferInterrupted,
    validated_id,
)

#: How often reading on is tried after the data broke off, without getting any further.
MAX_ATTEMPTS = 5


class ImageDirectory:
    """Images in ``path``.

    :raises ReplicationError: there is no such directory.
    """

    def __init__(self, path: str, chunk_size: int = 65536) -> None:
        self._path = pathlib.Path(path)
        self._chunk_size = chunk_size
        if not self._path.is_dir():
            raise ReplicationError(f"there is no directory {path}")

    def images(self) -> Iterator[ImageDocument]:
        """See :class:`glance_py.replication.ImageSource`."""
        for path in sorted(self._path.iterdir()):
            if not _is_id(path.name):
                continue
            try:
                image = json.loads(path.read_text())
                if image["id"] != path.name:
                    raise ValueError(f"it is of image {image['id']}")
                yield image
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ReplicationError(f"{path} cannot be read as an image: {error}") from None

    def find(self, image_id: str) -> ImageDocument | None:
        """The image, or None."""
        path = self._path / validated_id(image_id)
        return json.loads(path.read_text()) if path.exists() else None

    def has_data(self, image: ImageDocument) -> bool:
        """Is the image's data here, whole?"""
        try:
            return self._data_path(image).stat().st_size == image["size"]
        except OSError:
            return False

    def read_data(self, image: ImageDocument, start: int = 0) -> Iterator[bytes]:
        """See :class:`glance_py.replication.ImageSource`."""
        path = self._data_path(image)
        if not path.exists():
            raise ReplicationError("its data is not in the directory")
        with open(path, "rb") as file:
            file.seek(start)
            while chunk := file.read(self._chunk_size):
                yield chunk

    def save_metadata(self, image: ImageDocument) -> None:
        """Write down what an image is."""
        path = self._path / validated_id(image["id"])
        written = path.with_name(f"{path.name}.json.part")
        written.write_text(json.dumps(image, indent=2, sort_keys=True, ensure_ascii=False))
        written.replace(path)

    def save_data(
        self, image: ImageDocument, source: ImageSource, on_bytes: Callable[[int], None]
    ) -> None:
        """Bring an image's data here, from where it broke off the last time.

        :param on_bytes: called with the number of bytes of each piece.
        :raises ReplicationError: it broke off again and again, or is not what it should be.
        """
        path = self._data_path(image)
        part = path.with_name(f"{path.name}.part")
        with open(part, "ab") as file:
            start = file.tell()
            if start > (image["size"] or start):
                file.truncate(0)
                start = 0
            on_bytes(start)
            for chunk in read_resuming(image, source, start):
                file.write(chunk)
                on_bytes(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if not self._is_intact(part, image):
            part.unlink()
            raise ReplicationError("its data is not what its hash says; it was removed again")
        part.replace(path)

    def _data_path(self, image: ImageDocument) -> pathlib.Path:
        return self._path / f"{validated_id(image['id'])}.img"

    def _is_intact(self, path: pathlib.Path, image: ImageDocument) -> bool:
        with open(path, "rb") as file:
            if image.get("os_hash_value") and image["os_hash_algo"] in hashlib.algorithms_available:
                found = hashlib.file_digest(file, image["os_hash_algo"]).hexdigest()
                return found == image["os_hash_value"]
            if image.get("checksum"):
                found = hashlib.file_digest(
                    file, lambda: hashlib.md5(usedforsecurity=False)
                ).hexdigest()
                return found == image["checksum"]
        return image.get("size") in (None, path.stat().st_size)


def read_resuming(image: ImageDocument, source: ImageSource, start: int = 0) -> Iterator[bytes]:
    """The data from ``start`` on; where it breaks off, it is asked for from there.

    :raises ReplicationError: it broke off again and again without a byte in between.
    """
    failed = 0
    while True:
        try:
            for chunk in source.read_data(image, start):
                if chunk:
                    start += len(chunk)
                    failed = 0
                    yield chunk
            if image.get("size") in (None, start):
                return
            raise TransferInterrupted(f"the data ended at {start} of {image['size']} bytes")
        except TransferInterrupted:
            failed += 1
            if failed == MAX_ATTEMPTS:
                raise


def _is_id(name: str) -> bool:
    try:
        validated_id(name)
    except ReplicationError:
        return False
    return True
