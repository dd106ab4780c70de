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

from glance_py.replication import Broken, Failure, Image, Source, checked_id

#: How often reading on is tried after the data broke off, without getting any further.
ATTEMPTS = 5


class Directory:
    """Images in ``path``.

    :raises Failure: there is no such directory.
    """

    def __init__(self, path: str, chunk: int = 65536) -> None:
        self._path = pathlib.Path(path)
        self._chunk = chunk
        if not self._path.is_dir():
            raise Failure(f"there is no directory {path}")

    def images(self) -> Iterator[Image]:
        """See :class:`glance_py.replication.Source`."""
        for path in sorted(self._path.iterdir()):
            if not _is_id(path.name):
                continue
            try:
                image = json.loads(path.read_text())
                if image["id"] != path.name:
                    raise ValueError(f"it is of image {image['id']}")
                yield image
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Failure(f"{path} cannot be read as an image: {error}") from None

    def find(self, image_id: str) -> Image | None:
        """The image, or None."""
        path = self._path / checked_id(image_id)
        return json.loads(path.read_text()) if path.exists() else None

    def has_data(self, image: Image) -> bool:
        """Is the image's data here, whole?"""
        try:
            return self._data(image).stat().st_size == image["size"]
        except OSError:
            return False

    def data(self, image: Image, start: int = 0) -> Iterator[bytes]:
        """See :class:`glance_py.replication.Source`."""
        path = self._data(image)
        if not path.exists():
            raise Failure("its data is not in the directory")
        with open(path, "rb") as file:
            file.seek(start)
            while piece := file.read(self._chunk):
                yield piece

    def keep(self, image: Image) -> None:
        """Write down what an image is."""
        path = self._path / checked_id(image["id"])
        written = path.with_name(f"{path.name}.json.part")
        written.write_text(json.dumps(image, indent=2, sort_keys=True, ensure_ascii=False))
        written.replace(path)

    def keep_data(self, image: Image, source: Source, tell: Callable[[int], None]) -> None:
        """Bring an image's data here, from where it broke off the last time.

        :param tell: called with the number of bytes of each piece.
        :raises Failure: it broke off again and again, or is not what it should be.
        """
        path = self._data(image)
        part = path.with_name(f"{path.name}.part")
        with open(part, "ab") as file:
            start = file.tell()
            if start > (image["size"] or start):
                file.truncate(0)
                start = 0
            tell(start)
            for piece in reading_on(image, source, start):
                file.write(piece)
                tell(len(piece))
            file.flush()
            os.fsync(file.fileno())
        if not self._is_whole(part, image):
            part.unlink()
            raise Failure("its data is not what its hash says; it was removed again")
        part.replace(path)

    def _data(self, image: Image) -> pathlib.Path:
        return self._path / f"{checked_id(image['id'])}.img"

    def _is_whole(self, path: pathlib.Path, image: Image) -> bool:
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


def reading_on(image: Image, source: Source, start: int = 0) -> Iterator[bytes]:
    """The data from ``start`` on; where it breaks off, it is asked for from there.

    :raises Failure: it broke off again and again without a byte in between.
    """
    failed = 0
    while True:
        try:
            for piece in source.data(image, start):
                if piece:
                    start += len(piece)
                    failed = 0
                    yield piece
            if image.get("size") in (None, start):
                return
            raise Broken(f"the data ended at {start} of {image['size']} bytes")
        except Broken:
            failed += 1
            if failed == ATTEMPTS:
                raise


def _is_id(name: str) -> bool:
    try:
        checked_id(name)
    except Failure:
        return False
    return True
