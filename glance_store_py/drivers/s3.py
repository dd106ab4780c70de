"""Objects in a bucket of an S3 service, named as they were added.

An image is one object: sent in one request when it is small or its size is known, as a
multipart upload otherwise, and visible only when it is complete.  A name is never
overwritten where the service has conditional writes (``If-None-Match``); elsewhere the
driver looks for the object before it writes.  Credentials come from the configuration
only; those in URLs of old databases are ignored.
"""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, BaseDriver, Chunk, ObjectData, ObjectInfo
from glance_store_py.driver_settings import OptionValues
from glance_store_py.drivers import remote
from glance_store_py.drivers.deferred_delete import UNAVAILABLE_ERRORS
from glance_store_py.drivers.http_messages import byte_range, part_length, timestamp
from glance_store_py.drivers.multipart import CountedChunks, PartUploader, split_parts
from glance_store_py.drivers.remote import resumable_chunks
from glance_store_py.drivers.s3_client import (
    MultipartUpload,
    S3Bucket,
    S3BucketMissing,
    S3Client,
    S3UploadLost,
    UploadedPart,
    crc32,
    region_from_host,
    uses_virtual_host,
)
from glance_store_py.drivers.s3_options import SPEC, S3Settings
from glance_store_py.drivers.s3_signature import S3Credentials
from glance_store_py.location import StoreLocation

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOG = logging.getLogger(__name__)

MIB = 1024 * 1024
MIN_PART_SIZE = 5 * MIB
MAX_PARTS = 10_000
#: The number of equal parts of an image of unknown size (49 GiB by default).  Then the size
#: of parts doubles every PARTS_PER_DOUBLING parts, so that MAX_PARTS hold the largest object
#: of S3.
EQUAL_SIZED_PARTS = 5_000
PARTS_PER_DOUBLING = 500
#: Parts that one process sends at the same time, unless the operator sets the option.
DEFAULT_UPLOAD_THREADS = 4
#: Seconds to wait before each further attempt to complete an upload, or to find an object
#: that the service has confirmed.
RETRY_DELAYS = (1.0, 4.0)
#: How often a download is resumed after its connection broke.
MAX_RESUMES = 3

#: Metadata of an object with a random value for each upload: identifies its writer.
_WRITER_HEADER = "x-amz-meta-glance-upload"
_REQUIRED = ("s3_store_host", "s3_store_access_key", "s3_store_secret_key", "s3_store_bucket")
#: In place of the name of an object: an unfinished upload of it.
_UPLOAD_NAME = re.compile(r"(.+)\?uploadId=([^?]+)\Z")


class S3Driver(BaseDriver):
    """A bucket; URLs are ``s3://host/bucket/<name>`` or ``s3+https://...``."""

    spec = SPEC
    capabilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.READ,
            driver.READ_RANDOM,
            driver.EXCLUSIVE,
            driver.ATOMIC,
            driver.PREDICTABLE_LOCATION,
            driver.LIST,
            driver.FIND_PARTIAL,
            driver.REMOTE,
        }
    )

    def __init__(self, options: OptionValues, store_id: str) -> None:
        settings = self._settings = S3Settings.read(options)
        scheme, separator, host = (settings.s3_store_host or "").rpartition("://")
        self._scheme = scheme.lower() if separator else "http"
        self._host = host.rstrip("/")
        self._bucket = settings.s3_store_bucket or ""
        self._large_object_size = settings.s3_store_large_object_size * MIB
        self._part_size = settings.s3_store_large_object_chunk_size * MIB
        threads = settings.s3_store_thread_pools
        if not options.is_set("s3_store_thread_pools"):
            threads = DEFAULT_UPLOAD_THREADS
        self._uploader = PartUploader(threads, self._part_size)
        self._verify_checksum = self._is_checksum_enabled(
            settings.s3_store_response_checksum_validation
        )
        self._client = self._new_client(threads)
        self.prefixes = tuple(
            StoreLocation(scheme, self._host, f"/{self._bucket}") for scheme in SPEC.schemes
        )
        self.properties = {
            "s3_store_large_object_size": self._large_object_size,
            "s3_store_large_object_chunk_size": self._part_size,
            "s3_store_thread_pools": settings.s3_store_thread_pools,
        }

    def _is_checksum_enabled(self, value: str) -> bool:
        """True when checksums are enabled, and ``value`` of one of their options says when."""
        return (
            self._settings.s3_store_enable_data_integrity_protection and value == "when_supported"
        )

    def _new_client(self, threads: int) -> S3Client:
        settings, host = self._settings, urlsplit(f"//{self._host}").hostname or ""
        bucket = S3Bucket(
            endpoint=f"{self._scheme}://{self._host}",
            name=self._bucket,
            region=settings.s3_store_region_name or region_from_host(host),
            virtual=uses_virtual_host(settings.s3_store_bucket_url_format, host, self._bucket),
            checksums=self._is_checksum_enabled(settings.s3_store_request_checksum_calculation),
        )
        credentials = S3Credentials(
            settings.s3_store_access_key or "", settings.s3_store_secret_key or ""
        )
        return S3Client(bucket, credentials, settings.s3_store_cacert or None, threads + 16)

    def configure_add(self) -> None:
        settings = self._settings
        for option in _REQUIRED:
            if not getattr(settings, option):
                raise settings.error(option, "an S3 store needs it.")
        if self._scheme not in ("http", "https"):
            raise settings.error("s3_store_host", "a URL of http or https is needed.")
        if settings.s3_store_bucket_url_format not in ("auto", "virtual", "path"):
            raise settings.error(
                "s3_store_bucket_url_format", "it is one of auto, virtual and path."
            )
        if self._part_size < MIN_PART_SIZE:
            raise settings.error(
                "s3_store_large_object_chunk_size", "a part of an S3 object has 5 MiB at least."
            )

    # ------------------------------------------------------------ writing

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        writer_header = {_WRITER_HEADER: secrets.token_hex(16)}
        counted = CountedChunks(data)
        try:
            if self._settings.s3_store_create_bucket_on_put and not self._client.bucket_exists():
                self._client.create_bucket()
            if self._exists(name):
                raise errors.StoreObjectExists(name)
            self._write(name, counted, size, writer_header)
        except errors.StoreForbidden:
            raise errors.StorageWriteDenied() from None
        except S3BucketMissing as error:
            raise self._settings.error("s3_store_bucket", str(error)) from error
        return AddResult(self._location(name).url, counted.count)

    def _write(
        self, key: str, data: CountedChunks, size: int | None, writer_header: dict[str, str]
    ) -> None:
        """Write in one request when the data fits into one part or is known to be small.

        Otherwise as a multipart upload.
        """
        if size is not None and self._part_size < size < self._large_object_size:
            self._publish(
                key,
                writer_header,
                data,
                lambda: self._client.put_stream(key, data, size, writer_header),
            )
            return
        parts = split_parts(data, self._part_sizes(size))
        first_parts = list(itertools.islice(parts, 2))
        if len(first_parts) < 2:
            whole = first_parts[0] if first_parts else bytearray()
            self._publish(
                key, writer_header, data, lambda: self._client.put(key, whole, writer_header)
            )
        else:
            self._write_parts(key, itertools.chain(_drain(first_parts), parts), writer_header, data)

    def _write_parts(
        self,
        key: str,
        parts: Iterator[bytearray],
        writer_header: dict[str, str],
        data: CountedChunks,
    ) -> None:
        try:
            upload, is_only_upload = self._client.create_upload(key, writer_header)
        except UNAVAILABLE_ERRORS:
            # The service may have begun the upload although the request failed.
            self._abort_all(key, immediately=False)
            raise
        try:
            sent = self._uploader.upload(
                parts, lambda number, part: self._client.put_part(key, upload, number, part)
            )
            self._publish(
                key,
                writer_header,
                data,
                lambda: self._complete(key, upload, sent, writer_header, data.count),
            )
        except BaseException:
            self._abort(key, upload)
            raise
        finally:
            if not is_only_upload:
                # This upload has ended; the other ones under its name are never completed.
                self._abort_all(key)

    def _complete(
        self,
        key: str,
        upload: str,
        parts: list[UploadedPart],
        writer_header: dict[str, str],
        size: int,
    ) -> None:
        """Complete an upload; when the answer is no result, look whether the object exists.

        The request may be repeated: the service completes an upload once.
        """
        for seconds in (*RETRY_DELAYS, None):
            try:
                self._client.complete_upload(key, upload, parts)
                return
            except UNAVAILABLE_ERRORS:
                if self._is_stored(key, writer_header, size):
                    return
                if seconds is None:
                    raise
                remote.sleep_before_retry(seconds)

    def _publish(
        self,
        key: str,
        writer_header: dict[str, str],
        data: CountedChunks,
        publish: Callable[[], None],
    ) -> None:
        """Call ``publish``, which makes the object visible, and check that it has all of ``data``.

        When that fails, the object of this writer is removed if it exists.

        :raises errors.StoreObjectExists: there is an object of another writer.
        """
        try:
            try:
                publish()
            except (errors.StoreObjectExists, errors.StoreObjectNotFound):
                # The first of two equal requests may have succeeded without an answer: then the
                # second one finds the object, or finds the upload completed.
                if not self._is_stored(key, writer_header, data.count):
                    raise
            else:
                self._wait_until_stored(key, writer_header, data.count)
        except errors.StoreObjectExists:
            raise
        except BaseException:
            self._remove_own_object(key, writer_header)
            raise

    def _wait_until_stored(self, key: str, writer_header: dict[str, str], size: int) -> None:
        """Wait for an object that the service has confirmed: a listing may lag behind.

        :raises S3UploadLost: it does not exist.
        """
        for seconds in RETRY_DELAYS:
            if self._is_stored(key, writer_header, size):
                return
            remote.sleep_before_retry(seconds)
        if not self._is_stored(key, writer_header, size):
            raise S3UploadLost

    def _is_stored(self, key: str, writer_header: dict[str, str], size: int) -> bool:
        """True when the service has the object of this writer with ``size`` bytes."""
        try:
            headers = self._client.head(key).headers
        except errors.StoreObjectNotFound:
            return False
        return headers.get(_WRITER_HEADER) == writer_header[_WRITER_HEADER] and headers.get(
            "Content-Length"
        ) == str(size)

    def _is_own_object(self, key: str, writer_header: dict[str, str]) -> bool:
        try:
            return (
                self._client.head(key).headers.get(_WRITER_HEADER) == writer_header[_WRITER_HEADER]
            )
        except errors.StoreObjectNotFound:
            return False

    def _remove_own_object(self, key: str, writer_header: dict[str, str]) -> None:
        def remove() -> None:
            if self._is_own_object(key, writer_header):
                self._client.delete(key)

        self._client.pool.deferred.remove(f"An incomplete upload of {self._bucket}/{key}", remove)

    def _abort(self, key: str, upload: str) -> None:
        self._client.pool.deferred.remove(
            f"Upload {upload} of {self._bucket}/{key}",
            lambda: self._client.abort_upload(key, upload),
        )

    def _abort_all(self, key: str, immediately: bool = True) -> None:
        """Abort all unfinished uploads of an object."""

        def abort() -> None:
            for upload in self._client.list_uploads(key):
                if upload.key == key:
                    LOG.info(
                        "Removing an upload of %s/%s that was not completed", self._bucket, key
                    )
                    self._client.abort_upload(key, upload.id)

        self._client.pool.deferred.remove(
            f"Unfinished uploads of {self._bucket}/{key}", abort, immediately
        )

    def _part_sizes(self, size: int | None) -> Callable[[int], int]:
        """The size of each part by its number, so that 10,000 parts are enough."""
        if size is not None:
            fixed = max(self._part_size, -(-size // MAX_PARTS))
            return lambda number: fixed
        return lambda number: (
            self._part_size << -(-max(number - EQUAL_SIZED_PARTS, 0) // PARTS_PER_DOUBLING)
        )

    # ------------------------------------------------------------ reading

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        if stop is not None and stop <= start:
            return ObjectData(iter(()), 0)
        key = self._key(location)
        part = byte_range(start, stop)
        verify_checksum = self._verify_checksum and part is None
        response = self._client.get(key, part, checksum=verify_checksum)
        if response.status == 416:
            response.close()
            return ObjectData(iter(()), 0)
        length = part_length(response, start)
        etag = response.headers.get("ETag")

        def reopen(done: int) -> BaseHTTPResponse:
            return self._client.get(key, f"bytes={start + done}-{start + length - 1}", etag)

        chunks = resumable_chunks(response, length, reopen, MAX_RESUMES)
        if verify_checksum:
            chunks = _verify_crc32(chunks, length, response.headers.get("x-amz-checksum-crc32"))
        return ObjectData(chunks, length, close=response.close)

    def size(self, location: StoreLocation) -> int:
        return int(self._client.head(self._key(location)).headers["Content-Length"])

    # ------------------------------------------------------------ the rest

    def delete(self, location: StoreLocation) -> None:
        key = self._key(location)
        upload = _UPLOAD_NAME.match(key)
        if upload is not None:
            LOG.info("Removing an unfinished upload of %s/%s", self._bucket, upload[1])
            self._client.abort_upload(upload[1], unquote(upload[2]))
            return
        if not self._exists(key):
            raise errors.StoreObjectNotFound(location.redacted)
        self._client.delete(key)

    def predict_locations(self, name: str) -> tuple[StoreLocation, ...]:
        return (self._location(name),)

    def find_partial(self, name: str) -> list[StoreLocation]:
        return [
            self._location(name),
            *(
                self._location(_upload_name(upload))
                for upload in self._client.list_uploads(name)
                if upload.key == name
            ),
        ]

    def list_objects(self) -> Iterator[ObjectInfo]:
        for upload in self._client.list_uploads():
            name = _upload_name(upload)
            yield ObjectInfo(
                self._location(name).url,
                driver.image_id_of(upload.key),
                0,
                timestamp(upload.initiated),
                name,
            )
        for entry in self._client.list_objects():
            yield ObjectInfo(
                self._location(entry.key).url,
                driver.image_id_of(entry.key),
                entry.size,
                timestamp(entry.modified),
                entry.key,
            )

    def health_check(self) -> None:
        create = self._settings.s3_store_create_bucket_on_put
        if not self._client.bucket_exists(attempts=1) and not create:
            raise S3BucketMissing(self._bucket)

    def _location(self, name: str) -> StoreLocation:
        scheme = "s3+https" if self._scheme == "https" else "s3"
        return StoreLocation(scheme, self._host, f"/{self._bucket}/{name}")

    def _key(self, location: StoreLocation) -> str:
        return location.path.removeprefix(f"/{self._bucket}/")

    def _exists(self, key: str) -> bool:
        try:
            self._client.head(key)
        except errors.StoreObjectNotFound:
            return False
        return True


def _upload_name(upload: MultipartUpload) -> str:
    return f"{upload.key}?uploadId={quote(upload.id, safe='')}"


def _drain(parts: list[bytearray]) -> Iterator[bytearray]:
    """All ``parts``, without keeping a reference to those that were given out."""
    while parts:
        yield parts.pop(0)


def _verify_crc32(chunks: Iterator[bytes], length: int, expected: str | None) -> Iterator[bytes]:
    """``chunks``; the last one only when the CRC32 of all is the ``expected`` one.

    The checksum of a multipart upload ("-" in it) is one of its parts' checksums and is not
    compared.

    :raises errors.GlanceStoreError: the checksums differ.
    """
    crc = done = 0
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        done += len(chunk)
        if done == length and expected and "-" not in expected and expected != crc32(crc):
            raise errors.GlanceStoreError("The object differs from what was stored.")
        yield chunk
