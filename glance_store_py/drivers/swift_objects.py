"""Images as objects of one Swift account: whole, or as segments and a manifest.

An image in segments is a dynamic large object: segments ``<name>_<token>_00001`` and so
on, and a manifest ``<name>``, which is written last and makes the image visible.  Each
writer has a token of its own, so that two writers never share a segment; only the
manifest tells which segments belong to the image.  Older releases, and Glance, name
segments ``<name>-00001``.  An upload that fails leaves nothing.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import logging
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, unquote

from glance_store_py import errors
from glance_store_py.driver import Chunk, ObjectData, image_id_of
from glance_store_py.drivers.http_messages import byte_range, part_length, timestamp
from glance_store_py.drivers.remote import resumable_chunks
from glance_store_py.drivers.swift_client import SwiftClient, SwiftListEntry
from glance_store_py.drivers.swift_options import SwiftSettings

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOG = logging.getLogger(__name__)

#: Bytes of a megabyte in the options of Swift stores.
MB = 1000 * 1024
#: Segments that are removed at the same time.
DELETE_THREADS = 8

#: Metadata of an object with a random value for each upload: identifies its writer.
_WRITER_HEADER = "X-Object-Meta-Glance-Upload"
_IF_NONE_MATCH = {"if-none-match": "*"}
#: The prefix of all segments of one writer, and the name of one segment.  The id of an image
#: may end in twelve digits; the number of a segment has five to eleven.
_PREFIX = re.compile(r"(.+?)(?:-|_[0-9a-f]{32}_)\Z")
_SEGMENT = re.compile(r"(.+?(?:-|_[0-9a-f]{32}_))\d{5,11}\Z")
#: Bytes that are read from a spooled segment at a time.
_SPOOL_CHUNK = 256 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class SegmentLayout:
    """How images are stored.  Sizes in bytes.

    large_object_size
        From this size on, and when the size is unknown, an image is stored in segments.
    spool_dir
        The directory in which each segment is written to a file first, so that it can be sent
        again; None: segments are sent once, directly from the source.
    max_resumes
        How often a download is resumed after its connection broke.
    """

    large_object_size: int
    segment_size: int
    spool_dir: str | None
    max_resumes: int

    @classmethod
    def from_settings(cls, settings: SwiftSettings) -> SegmentLayout:
        spool = settings.swift_upload_buffer_dir or tempfile.gettempdir()
        return cls(
            settings.swift_store_large_object_size * MB,
            settings.swift_store_large_object_chunk_size * MB,
            spool if settings.swift_buffer_on_upload else None,
            settings.swift_store_retry_get_count,
        )


class SwiftObjects:
    """Operations on images in the account of ``client``."""

    def __init__(self, client: SwiftClient, layout: SegmentLayout) -> None:
        self._client = client
        self._layout = layout

    # ------------------------------------------------------------ writing

    def add(self, container: str, name: str, data: Iterable[Chunk], size: int | None) -> int:
        """Store an image and return its size in bytes.

        :raises errors.StoreObjectExists: there is an object of this name.
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
            # The first of two equal requests may have succeeded without an answer.
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
        """Remove an object if this writer stored it; later when Swift does not answer."""

        def remove() -> None:
            if self._is_own_object(container, name, writer_header):
                self._client.delete(container, name)

        self._client.pool.deferred.remove(f"An incomplete upload of {container}/{name}", remove)

    def _is_own_object(self, container: str, name: str, writer_header: dict[str, str]) -> bool:
        try:
            return (
                self._client.head(container, name).get(_WRITER_HEADER)
                == writer_header[_WRITER_HEADER]
            )
        except errors.StoreObjectNotFound:
            return False

    def _remove(self, container: str, names: Iterable[str]) -> None:
        """Remove objects; an error does not stop the others.

        :raises errors.GlanceStoreError: the first error; the log has all.
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
        response = self._client.get(container, name, byte_range(start, stop))
        if response.status == 416:
            response.close()
            return ObjectData(iter(()), 0)
        length = part_length(response, start)

        def reopen(done: int) -> BaseHTTPResponse:
            return self._client.get(container, name, f"bytes={start + done}-{start + length - 1}")

        chunks = resumable_chunks(response, length, reopen, self._layout.max_resumes)
        return ObjectData(chunks, length, close=response.close)

    def size(self, container: str, name: str) -> int:
        """The size of an image in bytes."""
        return int(self._client.head(container, name)["Content-Length"])

    def exists(self, container: str, name: str) -> bool:
        """True when there is such an object."""
        try:
            self._client.head(container, name)
        except errors.StoreObjectNotFound:
            return False
        return True

    # ------------------------------------------------------------ the rest

    def delete(self, container: str, name: str) -> None:
        """Remove an image and the segments that its manifest names.

        With a name from :meth:`orphaned_segments`: remove segments without a manifest.  When
        removing a segment fails the manifest stays, which is the only record of the segment.

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
        """Remove segments by their prefix; returns how many."""
        try:
            names = [entry.name for entry in self._client.list_objects(container, prefix)]
        except errors.StoreObjectNotFound:
            return 0
        self._remove(container, names)
        return len(names)

    def orphaned_segments(self, container: str, name: str) -> list[str]:
        """The prefixes of segments of ``name`` that no manifest names, one for each writer.

        :meth:`delete` accepts them.  Uploads that are still running are included.
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
            return list(found)  # The manifest or the container does not exist.
        return list(found)

    def _segment_prefix(self, container: str, name: str) -> str:
        """The prefix of the segments of an image; "" when it has none in this container."""
        place, prefix = _manifest(self._client.head(container, name)) or ("", "")
        return prefix if place == container else ""

    def list_images(self, container: str) -> Iterator[tuple[str, int, float]]:
        """The images in a container: name, size in bytes, time of the last change.

        Segments without a manifest are listed under their prefix, see
        :meth:`orphaned_segments`.
        """
        # A listing is sorted: all names of one image are adjacent.
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
                    continue  # Removed after it was listed.
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
    return (
        name,
        sum(entry.size for entry in entries),
        max(timestamp(entry.modified) for entry in entries),
    )


def _manifest(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Container and prefix of the segments of a dynamic large object."""
    manifest = headers.get("X-Object-Manifest")
    if manifest is None:
        return None
    container, _, prefix = manifest.partition("/")
    return unquote(container), unquote(prefix)


class SegmentSource:
    """Data that is read in segments.

    ``count`` bytes were taken from the source; ``buffered`` of them were not given out yet.
    """

    def __init__(self, data: Iterable[Chunk]) -> None:
        self._chunks = iter(data)
        self._rest = memoryview(b"")
        self.count = 0

    @property
    def buffered(self) -> int:
        """Bytes that were taken from the source and not given out."""
        return len(self._rest)

    def at_end(self) -> bool:
        """True when there is no more data; may read the next chunk."""
        if not self._rest:
            chunk = next(self._chunks, b"")
            self.count += len(chunk)
            self._rest = memoryview(chunk)
        return not self._rest

    def read(self, length: int) -> Iterator[Chunk]:
        """The next ``length`` bytes, or as many as there are."""
        while length and not self.at_end():
            piece = self._rest[:length]
            self._rest = self._rest[len(piece) :]
            length -= len(piece)
            yield piece


class SpooledBody:
    """A file as a body that can be sent more than once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while chunk := self._file.read(_SPOOL_CHUNK):
            yield chunk
