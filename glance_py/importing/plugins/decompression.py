"""Unpacks data that comes as gzip, as a ZIP archive of one file, or as LHA.

What is unpacked is written beside the data and measured while it grows: a small
file cannot fill a disk, and nothing reaches a store before all of it is there.
Archives of several files, encrypted ones and archives in archives stay refused
or packed.
"""

from __future__ import annotations

import contextlib
import gzip
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.importing.plugins.base import Staged

_CHUNK = 1024 * 1024

#: However small the data was, it may become so large.
_ALLOWED = 1024 ** 3

_MIB = 1024 ** 2


@contextlib.contextmanager
def _gzip(path: str) -> Iterator[BinaryIO]:
    with gzip.open(path) as stream:
        yield stream  # type: ignore[misc]


@contextlib.contextmanager
def _zip(path: str) -> Iterator[BinaryIO]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) != 1 or members[0].is_dir():
            raise errors.Invalid("A ZIP archive must hold exactly one file, the image.")
        if members[0].flag_bits & 1:
            raise errors.Invalid("The ZIP archive is encrypted.")
        with archive.open(members[0]) as stream:
            yield stream  # type: ignore[misc]


@contextlib.contextmanager
def _lha(path: str) -> Iterator[BinaryIO]:
    try:
        import lhafile
    except ImportError:
        raise errors.Invalid("LHA archives cannot be unpacked here.") from None
    with open(path, "rb") as packed:
        try:
            members = lhafile.Lhafile(packed).infolist()
        except lhafile.BadLhafile as error:
            raise errors.Invalid(f"The archive is damaged: {error}.") from error
        if len(members) != 1 or members[0].directory:
            raise errors.Invalid("An LHA archive must hold exactly one file, the image.")
        packed.seek(members[0].file_offset)
        yield _Lha(packed, members[0])  # type: ignore[misc]


class _Lha:
    """Reads the file in an LHA archive in pieces of the decoder's window, 64 KiB at the most.

    :param packed: the archive, at the place where the data of the file begins.
    :param member: what the library says of that file.
    """

    def __init__(self, packed: BinaryIO, member: Any) -> None:
        import lzhlib

        self._member = member
        self._packed = packed
        self._left = member.compress_size
        self._size = 0
        self._piece = b""
        self._session = lzhlib.LZHDecodeSession(
            types.SimpleNamespace(read=self._take), types.SimpleNamespace(write=self._give), member)

    def read(self, size: int) -> bytes:
        """The next piece, whose length the decoder chooses; empty at the end.

        :raises EOFError: the file is not what was packed.
        :raises RuntimeError: the packed data makes no sense.
        """
        self._piece = b""
        while not self._session.do_next():
            if self._piece:
                return self._piece
        if not self._piece and (self._size, self._session.crc16) != (
                self._member.file_size, self._member.CRC):
            raise EOFError("its checksum is wrong")
        return self._piece

    def _take(self, size: int) -> bytes:
        """The next bytes of what is packed, and nothing of what follows it."""
        data = self._packed.read(min(size, self._left))
        self._left -= len(data)
        return data

    def _give(self, piece: bytes) -> None:
        self._piece += piece
        self._size += len(piece)


#: First bytes -> how to read what is packed.
_FORMATS: tuple[tuple[int, bytes, Callable], ...] = (
    (0, b"\x1f\x8b\x08", _gzip),
    (0, b"PK\x03\x04", _zip),
    (2, b"-lh", _lha),
)


class ImageDecompression:
    """Replaces packed data by what is in it.

    Images of container_format ``compressed`` are packed on purpose.
    """

    def __init__(self, conf) -> None:
        self._cap = conf.image_size_cap
        self._ratio = conf.image_decompression.max_ratio

    def process(self, staged: Staged) -> None:
        """:raises errors.Invalid: the archive is damaged, or holds more than an image.

        :raises errors.ImageTooLarge: it grows too large.
        """
        unpack = _recognise(staged.path)
        if unpack is None or staged.image.container_format == "compressed":
            return
        path = f"{staged.path}.decompressed"
        try:
            with unpack(staged.path) as source, open(path, "wb") as target:
                size = self._copy(source, target, staged)
        except (EOFError, OSError, zlib.error, zipfile.BadZipFile, NotImplementedError,
                RuntimeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise errors.Invalid(f"The archive is damaged: {error}.") from error
        staged.replace(path)
        staged.change(Change(fields={"size": size}))

    def _copy(self, source: BinaryIO, target: BinaryIO, staged: Staged) -> int:
        packed = staged.image.size or 0
        most = min(self._cap, max(_ALLOWED, packed * self._ratio))
        size = 0
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise errors.ImageTooLarge(
                    f"The data grows to more than {most // _MIB} MiB when it is unpacked.")
            staged.check()
            staged.say(f"Unpacked {size // _MIB} MiB")
            target.write(chunk)
        return size


def _recognise(path: str) -> Callable | None:
    with open(path, "rb") as file:
        head = file.read(8)
    for place, magic, unpack in _FORMATS:
        if head[place:place + len(magic)] == magic:
            return unpack
    return None
