"""Filters for streams of bytes: they limit, hash, inspect and verify data.

A filter sees every chunk before the store does and may raise to stop the transfer; it neither
changes nor keeps a chunk.  :func:`filtered` composes filters.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Protocol

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.ports.data import Chunk as Chunk
from glance_py.domain.ports.data import DataFilter
from glance_py.settings import FormatSettings

LOG = logging.getLogger(__name__)

#: Data up to this many bytes is hashed in the thread of the request; more is hashed in others.
_INLINE_BYTES = 256 * 1024

#: The most chunks that wait for a hashing thread.
_QUEUED_CHUNKS = 8

#: An image with all of these properties has a signature over its data.
SIGNATURE_PROPERTIES = (
    "img_signature",
    "img_signature_hash_method",
    "img_signature_key_type",
    "img_signature_certificate_uuid",
)

#: Format inspectors get pieces of at least this many bytes, however small the
#: chunks are: some decide on the first piece that they see.
_MIN_INSPECTED_BYTES = 64 * 1024


class StreamFilter:
    """Base class of filters; a subclass overrides what it needs."""

    def update(self, chunk: Chunk) -> None:
        """Called with each chunk; raises a domain error to stop the transfer."""

    def finish(self) -> None:
        """Called after the last chunk; raises a domain error to refuse the data."""

    def close(self) -> None:
        """Release resources.  Called once, last, also after an error."""


def filtered(
    source: Iterable[Chunk], filters: Sequence[DataFilter]
) -> Generator[Chunk, None, None]:
    """Yield the chunks of ``source``, untouched, after each filter has seen them.

    The generator ends, without an error, only when every filter accepted all of it.
    """
    updates = tuple(one.update for one in filters)
    try:
        for chunk in source:
            for update in updates:
                update(chunk)
            yield chunk
        for one in filters:
            one.finish()
    finally:
        for one in filters:
            one.close()


class SizeLimit(StreamFilter):
    """Raises ``error`` when there are more than ``maximum`` bytes."""

    def __init__(self, maximum: int, error: errors.GlanceError) -> None:
        self._left = maximum
        self._error = error

    def update(self, chunk: Chunk) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise self._error


class _Feeder:
    """Calls ``update`` with chunks in a thread of its own, up to _QUEUED_CHUNKS behind."""

    def __init__(self, update: Callable[[Chunk], object]) -> None:
        self._update = update
        self._error: BaseException | None = None
        # Two queues in C, for chunks and for free slots, take much less time per chunk than one
        # bounded queue.Queue.
        self._chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_QUEUED_CHUNKS):
            self._slots.put(None)
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            if self._error is None:
                try:
                    self._update(chunk)
                except Exception as error:
                    self._error = error
            self._slots.put(None)

    def put(self, chunk: Chunk) -> None:
        self._slots.get()
        self._chunks.put(chunk)

    def stop(self) -> BaseException | None:
        """Wait until all chunks are processed; returns the error of ``update``, if any."""
        self._chunks.put(None)
        self._thread.join()
        return self._error


class _ParallelFilter(StreamFilter):
    """Calls several functions with all chunks, in threads when there is much data."""

    def __init__(self, *updates: Callable[[Chunk], object]) -> None:
        self._updates = updates
        self._feeders: list[_Feeder] = []
        self._inline = _INLINE_BYTES

    def update(self, chunk: Chunk) -> None:
        if self._inline > 0:
            self._inline -= len(chunk)
            for update in self._updates:
                update(chunk)
            return
        if not self._feeders:
            self._feeders = [_Feeder(update) for update in self._updates]
        for feeder in self._feeders:
            feeder.put(chunk)

    def _stop(self) -> list[BaseException]:
        feeders, self._feeders = self._feeders, []
        return [error for feeder in feeders if (error := feeder.stop())]

    def finish(self) -> None:
        for error in self._stop():
            raise error

    def close(self) -> None:
        self._stop()


class HashFilter(_ParallelFilter):
    """MD5 as ``checksum`` and ``algorithm`` as ``value``, in hexadecimal.

    ``algorithm`` is a name of hashlib.  Both can be read after ``finish``.
    """

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        # MD5 is part of the API as a checksum, not a protection.
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hash = hashlib.new(algorithm)
        super().__init__(self._md5.update, self._hash.update)

    def fields(self) -> dict[str, str]:
        """The fields of an image that describe the data."""
        return {
            "checksum": self.checksum,
            "os_hash_algo": self.algorithm,
            "os_hash_value": self.value,
        }

    @property
    def checksum(self) -> str:
        return self._md5.hexdigest()

    @property
    def value(self) -> str:
        return self._hash.hexdigest()


class SignatureVerifier(Protocol):
    """The verifiers of cryptography, as cursive returns them."""

    def update(self, data: Chunk, /) -> None: ...

    def verify(self) -> None:
        """:raises cryptography.exceptions.InvalidSignature: the data does not match."""


class SignatureFilter(_ParallelFilter):
    """Verifies the signature over the data that the properties of the image have."""

    def __init__(self, verifier: SignatureVerifier) -> None:
        self._verifier = verifier
        super().__init__(verifier.update)

    def finish(self) -> None:
        super().finish()
        from cryptography.exceptions import InvalidSignature

        try:
            self._verifier.verify()
        except InvalidSignature:
            raise errors.Invalid("The data does not match the signature of the image.") from None


def signature_filters(ctx: Caller, image: Image) -> tuple[SignatureFilter, ...]:
    """The filter that verifies the signature of an image; empty when it is not signed.

    Reads the certificate from the key manager with the caller's token.

    :raises errors.Invalid: the properties do not describe a valid signature.
    :raises errors.GlanceError: the libraries are not installed; data is never stored unverified.
    """
    if not all(image.properties.get(name) for name in SIGNATURE_PROPERTIES):
        return ()
    try:
        from cursive import exception, signature_utils
    except ImportError:
        LOG.error(
            "Image %s is signed, but cursive and castellan are not installed; they come "
            "with glance-py[signatures].",
            image.id,
        )
        raise errors.GlanceError("Signatures of images cannot be verified here.") from None
    try:
        verifier = signature_utils.get_verifier(
            ctx, **{name: image.properties[name] for name in SIGNATURE_PROPERTIES}
        )
    except exception.SignatureVerificationError as error:
        raise errors.Invalid(f"The signature of the image cannot be verified: {error}") from error
    return (SignatureFilter(verifier),)


class FormatFilter(StreamFilter):
    """Refuses data that is not what ``disk_format`` says, or is unsafe to use.

    After ``finish``, for container format ``bare``: ``format`` is the name of the format that was
    found and ``virtual_size`` the size of the disk in bytes, None when it is not known.
    Inspection ends as soon as the format is known.
    """

    #: Formats that cannot be told from their data.
    UNDETECTABLE = frozenset({"ami", "ari", "aki", "ploop"})

    def __init__(self, image: Image, settings: FormatSettings) -> None:
        """Inspect the data of ``image``.

        The data of every container format but ``compressed`` must be safe, because a consumer
        may use it as a disk whatever the container format is.  Only the data of ``bare`` images
        must be of the declared format, and has a virtual size.
        """
        from oslo_utils.imageutils import format_inspector

        declared = image.disk_format
        self._library = format_inspector
        self._declared = declared
        self._require_match = settings.require_image_format_match
        self._vmdk_types = frozenset(name.lower() for name in settings.vmdk_allowed_types)
        self._nonfatal_gpt = frozenset(settings.gpt_safety_checks_nonfatal)
        if declared in ("ari", "aki"):
            # A kernel may look like a boot sector without being one.
            self._nonfatal_gpt |= {"mbr"}
        self._bare = image.container_format == "bare"
        known = (
            self._bare
            and self._require_match
            and declared != "raw"
            and declared in format_inspector.ALL_FORMATS
        )
        self._source = _OneChunk()
        self._inspector: Any = format_inspector.InspectWrapper(
            self._source,  # type: ignore[arg-type]
            declared if known else None,
        )
        self._buffered = bytearray()
        self._done = image.container_format == "compressed"
        self._raw = False
        self._header_size = 0
        self._size = 0
        self.format: str | None = None

    @property
    def virtual_size(self) -> int | None:
        size = self._size if self._raw else self._header_size
        # 0 is a header without a size.
        return size or None

    def update(self, chunk: Chunk) -> None:
        self._size += len(chunk)
        if self._done:
            return
        if self._buffered or len(chunk) < _MIN_INSPECTED_BYTES:
            self._buffered += chunk
            if len(self._buffered) < _MIN_INSPECTED_BYTES:
                return
            chunk, self._buffered = bytes(self._buffered), bytearray()
        self._inspect(bytes(chunk))
        if self._inspector.formats is not None:
            self._conclude()

    def finish(self) -> None:
        if self._done:
            return
        if self._buffered:
            self._inspect(bytes(self._buffered))
        self._inspector.close()
        self._conclude()

    def _inspect(self, piece: bytes) -> None:
        self._source.chunk = piece
        try:
            self._inspector.read(len(piece))
        except Exception as error:
            # Only the inspector of the declared format raises its errors.
            raise errors.InvalidImageFormat(
                f"The data is not a sound image of disk_format {self._declared}."
            ) from error

    def _conclude(self) -> None:
        self._done = True
        if not self._bare:
            for each in self._inspector.formats:
                self._check_safe(each)
            return
        found = self._single_format()
        self._check_safe(found)
        self.format = str(found)
        if self._declared == "raw":
            # The bytes of a raw image are the disk, whatever format they look like.
            self._raw = True
        elif self.format == self._declared:
            self._header_size = found.virtual_size
        elif self.format != "raw" or self._declared not in self.UNDETECTABLE:
            text = (
                f"The disk_format of the image is {self._declared}, but the data is {self.format}."
            )
            if self._require_match:
                raise errors.InvalidImageFormat(text)
            LOG.warning("%s", text)

    def _single_format(self) -> Any:
        found = self._inspector.formats
        if len(found) == 1:
            return found[0]
        names = sorted(str(one) for one in found)
        if self._declared == "iso" and names == ["gpt", "iso"]:
            # A bootable ISO image begins with a boot sector.
            return next(one for one in found if str(one) == "iso")
        raise errors.InvalidImageFormat(f"Multiple formats detected: {', '.join(names)}.")

    def _check_safe(self, found: Any) -> None:
        name = str(found)
        try:
            found.safety_check()
        except self._library.SafetyCheckFailed as error:
            failures = set(error.failures)
            if name == "gpt":
                failures -= self._nonfatal_gpt
            if failures:
                raise errors.InvalidImageFormat(
                    f"The data ({name}) is unsafe: {', '.join(sorted(failures))}."
                ) from error
        except self._library.ImageFormatError:
            raise errors.InvalidImageFormat(
                f"The data ({name}) is incomplete or damaged."
            ) from None
        if name == "vmdk" and found.vmdktype not in self._vmdk_types:
            raise errors.InvalidImageFormat("VMDK data of this type is not allowed here.")


class _OneChunk:
    """A file object with one chunk, which is what the inspectors read from."""

    chunk = b""

    def read(self, size: int) -> bytes:
        return self.chunk
