"""A plugin that unpacks data in the formats gzip, ZIP and LHA.

It writes the unpacked data beside the staged data and limits its size while it grows, so that a
small file cannot fill a disk.  Archives of several files and encrypted archives are refused; an
archive inside of an archive is not unpacked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol, Self

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.importing.plugins.base import ImportPlugin, StagedImage

_CHUNK = 1024 * 1024

#: The unpacked data may have so many bytes, however small the packed data is.
_ALWAYS_ALLOWED_BYTES = 1024**3

_MIB = 1024**2

#: Bytes of the directory of a ZIP archive.  One entry has at most 46 bytes and three fields of
#: 64 KiB; zipfile reads the whole directory and makes an object of each entry.
_MAX_DIRECTORY_BYTES = 46 + 3 * (2**16 - 1)

#: Compression methods of a ZIP archive.  The decoders of the others (bzip2, LZMA) have no bound
#: on what one call returns: a few bytes become gigabytes in memory.
_ZIP_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

#: Entries of an LHA archive that are read before it is refused for having several.
_MAX_LHA_ENTRIES = 2


class _Reader(Protocol):
    """An open file with unpacked data."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""


#: Opens the packed data in a file.
_Unpacker = Callable[[str], AbstractContextManager[_Reader]]


@contextlib.contextmanager
def _gzip(path: str) -> Iterator[_Reader]:
    with gzip.open(path) as stream:
        yield stream


class _ArchiveFile(io.BufferedReader):
    """The file of a ZIP archive, which limits how much of its directory is read at once.

    ``max_read`` is the most bytes that one read may return, None for any number.
    """

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))
        self.max_read: int | None = _MAX_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """See :meth:`io.BufferedReader.read`.

        :raises errors.Invalid: there are more than ``max_read`` bytes to return.
        """
        if self.max_read is None or size is not None and 0 <= size <= self.max_read:
            return super().read(size)
        data = super().read(self.max_read + 1)
        if len(data) > self.max_read:
            raise errors.Invalid(
                "A ZIP archive must hold exactly one file, the image; the "
                "directory of this one is larger."
            )
        return data


@contextlib.contextmanager
def _zip(path: str) -> Iterator[_Reader]:
    with _ArchiveFile(path) as packed, zipfile.ZipFile(packed) as archive:
        members = archive.infolist()
        if len(members) != 1 or members[0].is_dir():
            raise errors.Invalid("A ZIP archive must hold exactly one file, the image.")
        if members[0].flag_bits & 1:
            raise errors.Invalid("The ZIP archive is encrypted.")
        if members[0].compress_type not in _ZIP_METHODS:
            raise errors.Invalid(
                "The file in a ZIP archive must be stored or deflated; pack it "
                "again with one of these methods."
            )
        packed.max_read = None
        with archive.open(members[0]) as stream:
            yield stream


@contextlib.contextmanager
def _lha(path: str) -> Iterator[_Reader]:
    try:
        import lhafile
    except ImportError:
        raise errors.Invalid("LHA archives cannot be unpacked here.") from None

    several = "An LHA archive must hold exactly one file, the image."
    entries = []

    def count(_: object, offset: int, size: int, entry: Any) -> None:
        entries.append(entry)
        if len(entries) >= _MAX_LHA_ENTRIES:
            raise errors.Invalid(several)

    with open(path, "rb") as packed:
        try:
            lhafile.Lhafile(packed, callback=count)
        except lhafile.BadLhafile as error:
            raise errors.Invalid(f"The archive is damaged: {error}.") from error
        if len(entries) != 1 or entries[0].directory:
            raise errors.Invalid(several)
        packed.seek(entries[0].file_offset)
        yield _LhaReader(packed, entries[0])


class _LhaReader:
    """Reads the file in an LHA archive in pieces of the decoder's window, at most 64 KiB.

    :param packed: the archive, positioned at the first byte of the packed file.
    :param member: the library's description of that file (lhafile has no types).
    """

    def __init__(self, packed: BinaryIO, member: Any) -> None:
        import lzhlib

        self._member = member
        self._packed = packed
        self._remaining = member.compress_size
        self._size = 0
        self._chunk = b""
        self._session = lzhlib.LZHDecodeSession(
            types.SimpleNamespace(read=self._read_packed),
            types.SimpleNamespace(write=self._write_unpacked),
            member,
        )

    def read(self, size: int, /) -> bytes:
        """The next piece, of a length that the decoder chooses; empty at the end.

        :raises EOFError: size or checksum of the file are not those in the archive.
        :raises RuntimeError: the decoder does not understand the packed data.
        """
        self._chunk = b""
        while not self._session.do_next():
            if self._chunk:
                return self._chunk
        if not self._chunk and (self._size, self._session.crc16) != (
            self._member.file_size,
            self._member.CRC,
        ):
            raise EOFError("its checksum is wrong")
        return self._chunk

    def _read_packed(self, size: int) -> bytes:
        """The next bytes of the packed file, without those that follow it in the archive."""
        data = self._packed.read(min(size, self._remaining))
        self._remaining -= len(data)
        return data

    def _write_unpacked(self, piece: bytes) -> None:
        self._chunk += piece
        self._size += len(piece)


#: (offset, bytes at that offset, function) of each packed format.
_FORMATS: tuple[tuple[int, bytes, _Unpacker], ...] = (
    (0, b"\x1f\x8b\x08", _gzip),
    (0, b"PK\x03\x04", _zip),
    (2, b"-lh", _lha),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DecompressionSettings:
    """The group ``[image_decompression]``, and ``image_size_cap`` in bytes."""

    max_ratio: int = 250
    image_size_cap: int = 1 << 40

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Read the options from ``conf``."""
        return cls(conf.image_decompression.max_ratio, conf.image_size_cap)


class ImageDecompression(ImportPlugin):
    """Replaces packed data by the file in it.

    Images of container_format ``compressed`` stay packed.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._settings = DecompressionSettings.from_conf(conf)

    def process(self, staged: StagedImage) -> None:
        """See :meth:`ImportPlugin.process`.

        :raises errors.Invalid: the archive is damaged, or has other files than one image.
        :raises errors.ImageTooLarge: the unpacked data is too large.
        """
        unpack = _detect_format(staged.path)
        if unpack is None or staged.image.container_format == "compressed":
            return
        path = f"{staged.path}.decompressed"
        try:
            with unpack(staged.path) as source, open(path, "wb") as target:
                size = self._unpack(source, target, staged)
        except (
            EOFError,
            OSError,
            zlib.error,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
        ) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise errors.Invalid(f"The archive is damaged: {error}.") from error
        staged.replace(path)
        staged.update_image(ImageChange(fields={"size": size}))

    def _unpack(self, source: _Reader, target: BinaryIO, staged: StagedImage) -> int:
        """Write all bytes of ``source`` to ``target``; returns their number."""
        packed = staged.image.size or 0
        max_size = min(
            self._settings.image_size_cap,
            max(_ALWAYS_ALLOWED_BYTES, packed * self._settings.max_ratio),
        )
        size = 0
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > max_size:
                raise errors.ImageTooLarge(
                    f"The data grows to more than {max_size // _MIB} MiB when it is unpacked."
                )
            staged.raise_if_cancelled()
            staged.set_progress(f"Unpacked {size // _MIB} MiB")
            target.write(chunk)
        return size


def _detect_format(path: str) -> _Unpacker | None:
    """The function that opens the packed data in a file; None when it is not packed."""
    with open(path, "rb") as file:
        head = file.read(8)
    for offset, magic, unpack in _FORMATS:
        if head[offset : offset + len(magic)] == magic:
            return unpack
    return None
