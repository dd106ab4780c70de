"""A directory of images: for each image a JSON file named by its id, and a file ``<id>.img``.

Incomplete data is in ``<id>.img.part``, and the next copy continues it.  The data in ``<id>.img``
is complete and was compared with the image's hash.
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

#: How many reads in a row may end without a byte before a transfer fails.
MAX_ATTEMPTS = 5


class ImageDirectory:
    """The images in the directory ``path``.

    :param chunk_size: bytes that are read at once.
    :raises ReplicationError: the directory does not exist.
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
        """The image with this id; None when it is not in the directory."""
        path = self._path / validated_id(image_id)
        found: ImageDocument | None = json.loads(path.read_text()) if path.exists() else None
        return found

    def has_data(self, image: ImageDocument) -> bool:
        """True when the complete data of the image is in the directory."""
        try:
            return bool(self._data_path(image).stat().st_size == image["size"])
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
        """Write the JSON file of an image; it replaces an older one atomically."""
        path = self._path / validated_id(image["id"])
        written = path.with_name(f"{path.name}.json.part")
        written.write_text(json.dumps(image, indent=2, sort_keys=True, ensure_ascii=False))
        written.replace(path)

    def save_data(
        self, image: ImageDocument, source: ImageSource, on_bytes: Callable[[int], None]
    ) -> None:
        """Copy the data of an image, from where the last copy was interrupted.

        :param on_bytes: called with the number of bytes of each chunk, and of the part that exists.
        :raises ReplicationError: the transfer failed, or the data does not match the hash.
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
            raise ReplicationError("its data does not match its hash and was removed")
        part.replace(path)

    def _data_path(self, image: ImageDocument) -> pathlib.Path:
        return self._path / f"{validated_id(image['id'])}.img"

    def _is_intact(self, path: pathlib.Path, image: ImageDocument) -> bool:
        with open(path, "rb") as file:
            if image.get("os_hash_value") and image["os_hash_algo"] in hashlib.algorithms_available:
                found = hashlib.file_digest(file, image["os_hash_algo"]).hexdigest()
                return bool(found == image["os_hash_value"])
            if image.get("checksum"):
                found = hashlib.file_digest(
                    file, lambda: hashlib.md5(usedforsecurity=False)
                ).hexdigest()
                return bool(found == image["checksum"])
        return image.get("size") in (None, path.stat().st_size)


def read_resuming(image: ImageDocument, source: ImageSource, start: int = 0) -> Iterator[bytes]:
    """Yields the data from byte ``start`` on; an interrupted read is continued.

    :raises TransferInterrupted: MAX_ATTEMPTS reads in a row ended without a byte.
    :raises ReplicationError: the source refuses to send the data.
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
