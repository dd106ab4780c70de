"""Images as objects of one Swift account: whole, or as segments and a manifest.

An image in segments is a dynamic large object: ``<name>_<token>_00001`` and so on
beside a manifest ``<name>``, which comes last; before it, there is no image.  The
token is of one writer alone, so that no two of them ever share a segment; which
segments are the image's, only its manifest says.  Older releases, and the
original, name segments ``<name>-00001``.  What fails leaves nothing.  Whose
account it is, and in which container an image lies, is for others to say.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import itertools
import logging
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import quote, unquote

from glance_store_py import errors
from glance_store_py.config import StoreOptions
from glance_store_py.driver import ObjectData, image_id_of
from glance_store_py.drivers.remote import resumable_chunks
from glance_store_py.drivers.swift_client import SwiftClient, SwiftListEntry

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOG = logging.getLogger(__name__)

#: What operators call a megabyte in the options of Swift stores.
MB = 1000 * 1024
#: Segments that are removed at the same time.
DELETE_THREADS = 8

#: Metadata of an object that tells who wrote it.
_WRITER_HEADER = "X-Object-Meta-Glance-Upload"
_IF_NONE_MATCH = {"if-none-match": "*"}
#: What the segments of one writer have in common, and then the name of one of them.  The id
#: of an image may end in twelve digits, the number of a segment has five or a few more.
_PREFIX = re.compile(r"(.+?)(?:-|_[0-9a-f]{32}_)\Z")
_SEGMENT = re.compile(r"(.+?(?:-|_[0-9a-f]{32}_))\d{5,11}\Z")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/")
_SPOOL_CHUNK = 256 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class SegmentLayout:
    """How images become objects.  Sizes in bytes.

    ``spool_dir`` is the directory in which segments wait that can be sent again,
    None for segments that are sent once, as they come.
    """

    large_object_size: int
    segment_size: int
    spool_dir: str | None
    max_resumes: int

    @classmethod
    def from_settings(cls, settings: StoreOptions) -> SegmentLayout:
        spool = settings["swift_upload_buffer_dir"] or tempfile.gettempdir()
        return cls(
            settings["swift_store_large_object_size"] * MB,
            settings["swift_store_large_object_chunk_size"] * MB,
            spool if settings["swift_buffer_on_upload"] else None,
            settings["swift_store_retry_get_count"],
        )


class SwiftObjects:
    """Operations on images in the account of ``client``."""

    def __init__(self, client: SwiftClient, layout: SegmentLayout) -> None:
        self._client = client
        self._layout = layout

    # ------------------------------------------------------------ writing

    def add(self, container: str, name: str, data: Iterable[bytes], size: int | None) -> int:
        """Store an image and return how many bytes it has.

        :raises errors.StoreObjectExists: there is one.
        """
        if self.exists(container, name):
            raise errors.StoreObjectExists(name)
        source = SegmentSource(data)
        writer_header = {_WRITER_HEADER: secrets.token_hex(16)}
        try:
            if size is not None and size < self._layout.large_object_size:
                self._client.put(
                    container, name, source.read(size), size, {**writer_header, **_IF_NONE_MATCH}
                )
            else:
                self._add_segments(container, name, source, size, writer_header)
        except errors.StoreObjectExists:
            raise
        except BaseException:
            self._remove_own_object(container, name, writer_header)
            raise
        return source.count

    def _add_segments(
        self,
        container: str,
        name: str,
        source: SegmentSource,
        size: int | None,
        writer_header: dict[str, str],
    ) -> None:
        written: list[str] = []
        prefix = f"{name}_{writer_header[_WRITER_HEADER]}_"
        try:
            while not source.at_end():
                segment = f"{prefix}{len(written) + 1:05d}"
                written.append(segment)
                self._add_segment(container, segment, source, size, writer_header)
            manifest = {"x-object-manifest": f"{quote(container)}/{quote(prefix)}"}
            self._client.put(
                container, name, b"", 0, {**manifest, **writer_header, **_IF_NONE_MATCH}, attempts=3
            )
        except BaseException as error:
            # A request that was sent twice may have met its own work.
            if not (
                isinstance(error, errors.StoreObjectExists)
                and self._is_own_object(container, name, writer_header)
            ):
                self._in_parallel(
                    lambda segment: self._remove_own_object(container, segment, writer_header),
                    written,
                )
                raise

    def _add_segment(
        self,
        container: str,
        segment: str,
        source: SegmentSource,
        size: int | None,
        writer_header: dict[str, str],
    ) -> None:
        length = self._layout.segment_size
        if self._layout.spool_dir is None:
            known = None if size is None else min(length, size - source.count + source.buffered)
            self._client.put(container, segment, source.read(length), known, writer_header)
            return
        with tempfile.TemporaryFile(dir=self._layout.spool_dir) as file:
            for chunk in source.read(length):
                file.write(chunk)
            self._client.put(
                container, segment, SpooledBody(file), file.tell(), writer_header, attempts=3
            )

    def _remove_own_object(self, container: str, name: str, writer_header: dict[str, str]) -> None:
        """Remove an object of ours, which a failure may have left; later when Swift is away."""

        def remove() -> None:
            if self._is_own_object(container, name, writer_header):
                self._client.delete(container, name)

        self._client.pool.deferred.remove(f"What may be left of {container}/{name}", remove)

    def _is_own_object(self, container: str, name: str, writer_header: dict[str, str]) -> bool:
        try:
            return (
                self._client.head(container, name).get(_WRITER_HEADER)
                == writer_header[_WRITER_HEADER]
            )
        except errors.StoreObjectNotFound:
            return False

    def _remove(self, container: str, names: Iterable[str]) -> None:
        """Remove objects, as many as can be removed.

        :raises errors.GlanceStoreError: the first that could not; the log names them all.
        """
        failures: list[errors.GlanceStoreError] = []

        def remove(name: str) -> None:
            try:
                self._client.delete(container, name)
            except errors.GlanceStoreError as error:
                LOG.warning("%s/%s was not removed: %s", container, name, error)
                failures.append(error)

        self._in_parallel(remove, names)
        if failures:
            raise failures[0]

    def _in_parallel(self, remove: Callable[[str], None], names: Iterable[str]) -> None:
        with concurrent.futures.ThreadPoolExecutor(DELETE_THREADS, "remover") as pool:
            for _ in pool.map(remove, names):
                pass

    # ------------------------------------------------------------ reading

    def get(self, container: str, name: str, start: int, stop: int | None) -> ObjectData:
        """See Driver.get."""
        if stop is not None and stop <= start:
            return ObjectData(iter(()), 0)
        part = None
        if start or stop is not None:
            part = f"bytes={start}-{'' if stop is None else stop - 1}"
        response = self._client.get(container, name, part)
        if response.status == 416:
            response.close()
            return ObjectData(iter(()), 0)
        length = _content_length(response, start)

        def reopen(done: int) -> BaseHTTPResponse:
            return self._client.get(container, name, f"bytes={start + done}-{start + length - 1}")

        chunks = resumable_chunks(
            self._client.pool, response, length, reopen, self._layout.max_resumes
        )
        return ObjectData(chunks, length, close=response.close)

    def size(self, container: str, name: str) -> int:
        """The size of an image in bytes."""
        return int(self._client.head(container, name)["Content-Length"])

    def exists(self, container: str, name: str) -> bool:
        """Is there such an object?"""
        try:
            self._client.head(container, name)
        except errors.StoreObjectNotFound:
            return False
        return True

    # ------------------------------------------------------------ the rest

    def delete(self, container: str, name: str) -> None:
        """Remove an image and the segments that its manifest names, or (for a name from

        :meth:`orphaned_segments`) segments without a manifest.  When a segment stays the
        manifest stays, too: without it nobody would know of the segment.

        :raises errors.StoreObjectNotFound: there is no such image.
        """
        try:
            headers = self._client.head(container, name)
        except errors.StoreObjectNotFound:
            if _PREFIX.match(name) and self._remove_segments(container, name):
                return
            raise
        if headers.get("X-Static-Large-Object", "").lower() == "true":
            self._client.delete_static(container, name)
            return
        manifest = _manifest(headers)
        if manifest is not None:
            self._remove_segments(*manifest)
        self._client.delete(container, name)

    def _remove_segments(self, container: str, prefix: str) -> int:
        """How many segments were removed."""
        try:
            names = [entry.name for entry in self._client.list_objects(container, prefix)]
        except errors.StoreObjectNotFound:
            return 0
        self._remove(container, names)
        return len(names)

    def orphaned_segments(self, container: str, name: str) -> list[str]:
        """What the segments of each writer of ``name`` begin with that no manifest names.

        Such a name is one for :meth:`delete`.  Includes writers that are at work.
        """
        found = {}
        try:
            for prefix in (f"{name}_", f"{name}-"):
                for entry in self._client.list_objects(container, prefix):
                    segment = _SEGMENT.match(entry.name)
                    if segment and image_name_of(segment[1]) == name:
                        found[segment[1]] = True
            if found:
                found.pop(self._segment_prefix(container, name), None)
        except errors.StoreObjectNotFound:
            return list(found)  # There is no manifest, or no container.
        return list(found)

    def _segment_prefix(self, container: str, name: str) -> str:
        """What the segments of an image begin with; "" when it has none in this container."""
        place, prefix = _manifest(self._client.head(container, name)) or ("", "")
        return prefix if place == container else ""

    def list_images(self, container: str) -> Iterator[tuple[str, int, float]]:
        """What lies in a container: name, size in bytes, time of the last change.

        Segments that no manifest names are listed by the name of :meth:`orphaned_segments`.
        """
        # Names of one image follow each other in a listing.
        for _, entries in itertools.groupby(
            self._client.list_objects(container), _image_id_of_entry
        ):
            yield from self._group_by_image(container, list(entries))

    def _group_by_image(
        self, container: str, entries: list[SwiftListEntry]
    ) -> Iterator[tuple[str, int, float]]:
        groups: dict[str, list[SwiftListEntry]] = {}
        whole = []
        for entry in entries:
            segment = _SEGMENT.match(entry.name)
            if segment:
                groups.setdefault(segment[1], []).append(entry)
            else:
                whole.append(entry)
        written = {image_name_of(prefix) for prefix in groups}
        for entry in whole:
            parts = [entry]
            if entry.name in written:
                try:
                    parts += groups.pop(self._segment_prefix(container, entry.name), ())
                except errors.StoreObjectNotFound:
                    continue  # It was removed since it was listed.
            yield _sum_entries(entry.name, parts)
        for prefix, parts in groups.items():
            yield _sum_entries(prefix, parts)


def image_name_of(name: str) -> str:
    """The name of the image to which an object of :meth:`SwiftObjects.list_images` belongs."""
    found = _PREFIX.match(name)
    return found[1] if found else name


def _image_id_of_entry(entry: SwiftListEntry) -> str:
    segment = _SEGMENT.match(entry.name)
    return image_id_of(image_name_of(segment[1]) if segment else entry.name)


def _sum_entries(name: str, entries: Iterable[SwiftListEntry]) -> tuple[str, int, float]:
    entries = list(entries)
    return name, sum(entry.size for entry in entries), max(map(_timestamp, entries))


def _manifest(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Container and prefix of the segments of a dynamic large object."""
    manifest = headers.get("X-Object-Manifest")
    if manifest is None:
        return None
    container, _, prefix = manifest.partition("/")
    return unquote(container), unquote(prefix)


class SegmentSource:
    """Data that is taken in lengths; ``count`` bytes have been read of it,

    ``buffered`` of them were not taken yet.
    """

    def __init__(self, data: Iterable[bytes]) -> None:
        self._chunks = iter(data)
        self._rest = memoryview(b"")
        self.count = 0

    @property
    def buffered(self) -> int:
        return len(self._rest)

    def at_end(self) -> bool:
        """Has all been taken?"""
        if not self._rest:
            chunk = next(self._chunks, b"")
            self.count += len(chunk)
            self._rest = memoryview(chunk)
        return not self._rest

    def read(self, length: int) -> Iterator[bytes]:
        """The next ``length`` bytes, or as many as there are."""
        while length and not self.at_end():
            piece = self._rest[:length]
            self._rest = self._rest[len(piece) :]
            length -= len(piece)
            yield cast(bytes, piece)


class SpooledBody:
    """A file as a body that can be sent more than once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while chunk := self._file.read(_SPOOL_CHUNK):
            yield chunk


def _content_length(response: BaseHTTPResponse, start: int) -> int:
    """How many bytes an answer to GET holds."""
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if response.status == 200 and not start and "Content-Length" in response.headers:
        return int(response.headers["Content-Length"])
    if response.status != 206 or found is None or int(found[1]) != start:
        response.close()
        raise errors.GlanceStoreError("The object store gave something else than asked for.")
    return int(found[2]) + 1 - start


def _timestamp(entry: SwiftListEntry) -> float:
    return datetime.datetime.fromisoformat(entry.modified).timestamp()
