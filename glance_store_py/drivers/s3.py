"""Objects in a bucket of an S3 service, named as they were added.

An image is one object: sent as a whole when it is small or its size is known, in
parts otherwise, and visible only when all of it is there.  No name is taken
twice, as far as the service knows conditional writes (``If-None-Match``); an
older one is asked beforehand.  Credentials come from the configuration only,
also for addresses that still carry some.
"""

from __future__ import annotations

import datetime
import itertools
import logging
import re
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from glance_store_py import driver, errors
from glance_store_py.config import Settings
from glance_store_py.driver import Object, Stored, StoredData
from glance_store_py.drivers import remote
from glance_store_py.drivers.later import UNABLE
from glance_store_py.drivers.parts import Counted, Sender, cut
from glance_store_py.drivers.remote import resuming
from glance_store_py.drivers.s3_client import (
    Bucket,
    Client,
    NoBucket,
    NotStored,
    Part,
    Upload,
    crc32,
    is_virtual,
    region_of,
)
from glance_store_py.drivers.s3_signature import Key
from glance_store_py.location import Location

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOG = logging.getLogger(__name__)

MIB = 1024 * 1024
SMALLEST_PART = 5 * MIB
MAX_PARTS = 10_000
#: So many parts of an image of unknown size are equal, 49 GiB by default; then they
#: double after every DOUBLING ones, so that 10,000 hold the largest object of S3.
EQUAL_PARTS = 5_000
DOUBLING = 500
#: Parts that one process sends at the same time when the operator does not say.
PARTS_UNDER_WAY = 4
#: Seconds after which a service is asked once more to put an object together, or for one
#: that it says to have stored.
PAUSES = (1.0, 4.0)
#: How often a download that breaks off is taken up again.
RESUMES = 3

#: Metadata of an object that tells who wrote it.
_MARK = "x-amz-meta-glance-upload"
_REQUIRED = ("s3_store_host", "s3_store_access_key", "s3_store_secret_key", "s3_store_bucket")
#: Stands where the name of an object stands, for an upload of it that is not finished.
_UPLOAD = re.compile(r"(.+)\?uploadId=([^?]+)\Z")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/")


class Driver:
    """A bucket; addresses are ``s3://host/bucket/<name>`` or ``s3+https://...``."""

    schemes = ("s3", "s3+http", "s3+https")
    abilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.RANDOM_READ,
            driver.EXCLUSIVE,
            driver.ATOMIC,
            driver.PREDICTABLE_LOCATION,
            driver.LIST,
            driver.FINDS_REMAINS,
            driver.REMOTE,
        }
    )

    def __init__(self, settings: Settings, store_id: str) -> None:
        self._settings = settings
        scheme, separator, host = (settings["s3_store_host"] or "").rpartition("://")
        self._scheme = scheme.lower() if separator else "http"
        self._host = host.rstrip("/")
        self._bucket = settings["s3_store_bucket"] or ""
        self._large = settings["s3_store_large_object_size"] * MIB
        self._part = settings["s3_store_large_object_chunk_size"] * MIB
        self._create_bucket = settings["s3_store_create_bucket_on_put"]
        threads = settings["s3_store_thread_pools"]
        if not settings.is_set("s3_store_thread_pools"):
            threads = PARTS_UNDER_WAY
        self._sender = Sender(threads, self._part)
        self._compare = self._wants("s3_store_response_checksum_validation")
        self._client = self._new_client(threads)
        self.prefixes = tuple(
            Location(scheme, self._host, f"/{self._bucket}") for scheme in self.schemes
        )
        self.properties = {
            "s3_store_large_object_size": self._large,
            "s3_store_large_object_chunk_size": self._part,
            "s3_store_thread_pools": settings["s3_store_thread_pools"],
        }

    def _wants(self, option: str) -> bool:
        return (
            self._settings["s3_store_enable_data_integrity_protection"]
            and self._settings[option] == "when_supported"
        )

    def _new_client(self, threads: int) -> Client:
        settings, host = self._settings, urlsplit(f"//{self._host}").hostname or ""
        bucket = Bucket(
            endpoint=f"{self._scheme}://{self._host}",
            name=self._bucket,
            region=settings["s3_store_region_name"] or region_of(host),
            virtual=is_virtual(settings["s3_store_bucket_url_format"], host, self._bucket),
            checksums=self._wants("s3_store_request_checksum_calculation"),
        )
        key = Key(settings["s3_store_access_key"] or "", settings["s3_store_secret_key"] or "")
        return Client(bucket, key, settings["s3_store_cacert"] or None, threads + 16)

    def prepare(self) -> None:
        settings = self._settings
        for option in _REQUIRED:
            if not settings[option]:
                raise settings.error(option, "an S3 store needs it.")
        if self._scheme not in ("http", "https"):
            raise settings.error("s3_store_host", "an address of http or https is needed.")
        if settings["s3_store_bucket_url_format"] not in ("auto", "virtual", "path"):
            raise settings.error(
                "s3_store_bucket_url_format", "it is one of auto, virtual and path."
            )
        if self._part < SMALLEST_PART:
            raise settings.error(
                "s3_store_large_object_chunk_size", "a part of an S3 object has 5 MiB at least."
            )

    # ------------------------------------------------------------ writing

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> Stored:
        mark = {_MARK: secrets.token_hex(16)}
        counted = Counted(data)
        try:
            if self._create_bucket and not self._client.bucket_exists():
                self._client.create_bucket()
            if self._exists(name):
                raise errors.Duplicate(name)
            self._write(name, counted, size, mark)
        except errors.Forbidden:
            raise errors.StorageWriteDenied() from None
        except NoBucket as error:
            raise self._settings.error("s3_store_bucket", str(error)) from error
        return Stored(self._location(name).url, counted.count)

    def _write(self, key: str, data: Counted, size: int | None, mark: dict[str, str]) -> None:
        """As a whole when it fits into one part or is known to be small, else in parts."""
        if size is not None and self._part < size < self._large:
            self._publish(key, mark, data, lambda: self._client.put_stream(key, data, size, mark))
            return
        parts = cut(data, self._part_sizes(size))
        begun = list(itertools.islice(parts, 2))
        if len(begun) < 2:
            whole = begun[0] if begun else bytearray()
            self._publish(key, mark, data, lambda: self._client.put(key, whole, mark))
        else:
            self._write_parts(key, itertools.chain(_emptied(begun), parts), mark, data)

    def _write_parts(
        self, key: str, parts: Iterator[bytearray], mark: dict[str, str], data: Counted
    ) -> None:
        try:
            upload, only = self._client.create_upload(key, mark)
        except UNABLE:
            # It may have begun all the same.
            self._abort_all(key, at_once=False)
            raise
        try:
            sent = self._sender.send(
                parts, lambda number, part: self._client.put_part(key, upload, number, part)
            )
            self._publish(
                key, mark, data, lambda: self._complete(key, upload, sent, mark, data.count)
            )
        except BaseException:
            self._abort(key, upload)
            raise
        finally:
            if not only:
                # This one has ended, and no other can be published under its name.
                self._abort_all(key)

    def _complete(
        self, key: str, upload: str, parts: list[Part], mark: dict[str, str], size: int
    ) -> None:
        """Complete an upload; where the answer does not tell what became of it, look.

        Asking again is safe: an upload is completed once.
        """
        for seconds in (*PAUSES, None):
            try:
                self._client.complete_upload(key, upload, parts)
                return
            except UNABLE:
                if self._holds(key, mark, size):
                    return
                if seconds is None:
                    raise
                remote.pause(seconds)

    def _publish(
        self, key: str, mark: dict[str, str], data: Counted, publish: Callable[[], None]
    ) -> None:
        """Publish an object of all of ``data``, and make sure that it is there.

        When it is not, what was published all the same goes.

        :raises errors.Duplicate: there is an object of another writer.
        """
        try:
            try:
                publish()
            except (errors.Duplicate, errors.NotFound):
                # A request that was sent twice may have met its own work, or an upload that
                # an earlier attempt has completed already.
                if not self._holds(key, mark, data.count):
                    raise
            else:
                self._require(key, mark, data.count)
        except errors.Duplicate:
            raise
        except BaseException:
            self._remove_mine(key, mark)
            raise

    def _require(self, key: str, mark: dict[str, str], size: int) -> None:
        """Look for an object that the service says to have stored; it may be slow to show it.

        :raises NotStored: it is not there.
        """
        for seconds in PAUSES:
            if self._holds(key, mark, size):
                return
            remote.pause(seconds)
        if not self._holds(key, mark, size):
            raise NotStored

    def _holds(self, key: str, mark: dict[str, str], size: int) -> bool:
        """Does the service have the object of this writer, all of it?"""
        try:
            headers = self._client.head(key).headers
        except errors.NotFound:
            return False
        return headers.get(_MARK) == mark[_MARK] and headers.get("Content-Length") == str(size)

    def _is_mine(self, key: str, mark: dict[str, str]) -> bool:
        try:
            return self._client.head(key).headers.get(_MARK) == mark[_MARK]
        except errors.NotFound:
            return False

    def _remove_mine(self, key: str, mark: dict[str, str]) -> None:
        def remove() -> None:
            if self._is_mine(key, mark):
                self._client.delete(key)

        self._client.pool.later.remove(f"What may be left of {self._bucket}/{key}", remove)

    def _abort(self, key: str, upload: str) -> None:
        self._client.pool.later.remove(
            f"Upload {upload} of {self._bucket}/{key}",
            lambda: self._client.abort_upload(key, upload),
        )

    def _abort_all(self, key: str, at_once: bool = True) -> None:
        """Abort what was begun under a name, when nothing more is to come of it."""

        def abort() -> None:
            for upload in self._client.uploads(key):
                if upload.key == key:
                    LOG.info("Removing an upload of %s/%s that got no answer", self._bucket, key)
                    self._client.abort_upload(key, upload.id)

        self._client.pool.later.remove(
            f"What may have begun of {self._bucket}/{key}", abort, at_once
        )

    def _part_sizes(self, size: int | None) -> Callable[[int], int]:
        """The size of each part by its number, so that 10,000 parts are enough."""
        if size is not None:
            fixed = max(self._part, -(-size // MAX_PARTS))
            return lambda number: fixed
        return lambda number: self._part << -(-max(number - EQUAL_PARTS, 0) // DOUBLING)

    # ------------------------------------------------------------ reading

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> StoredData:
        if stop is not None and stop <= start:
            return StoredData(iter(()), 0)
        key = self._key(location)
        part = None
        if start or stop is not None:
            part = f"bytes={start}-{'' if stop is None else stop - 1}"
        compare = self._compare and part is None
        answer = self._client.get(key, part, checksum=compare)
        if answer.status == 416:
            answer.close()
            return StoredData(iter(()), 0)
        length = _length(answer, start)
        etag = answer.headers.get("ETag")

        def again(done: int) -> BaseHTTPResponse:
            return self._client.get(key, f"bytes={start + done}-{start + length - 1}", etag)

        chunks = resuming(self._client.pool, answer, length, again, RESUMES)
        if compare:
            chunks = _compared(chunks, length, answer.headers.get("x-amz-checksum-crc32"))
        return StoredData(chunks, length, close=answer.close)

    def size(self, location: Location) -> int:
        return int(self._client.head(self._key(location)).headers["Content-Length"])

    # ------------------------------------------------------------ the rest

    def delete(self, location: Location) -> None:
        key = self._key(location)
        upload = _UPLOAD.match(key)
        if upload is not None:
            LOG.info("Removing an unfinished upload of %s/%s", self._bucket, upload[1])
            self._client.abort_upload(upload[1], unquote(upload[2]))
            return
        if not self._exists(key):
            raise errors.NotFound(location.shown)
        self._client.delete(key)

    def locations_of(self, name: str) -> tuple[Location, ...]:
        return (self._location(name),)

    def remains_of(self, name: str) -> list[Location]:
        return [
            self._location(name),
            *(
                self._location(_upload_name(upload))
                for upload in self._client.uploads(name)
                if upload.key == name
            ),
        ]

    def objects(self) -> Iterator[Object]:
        for upload in self._client.uploads():
            name = _upload_name(upload)
            yield Object(
                self._location(name).url,
                driver.image_id_of(upload.key),
                0,
                _seconds(upload.begun),
                name,
            )
        for entry in self._client.entries():
            yield Object(
                self._location(entry.key).url,
                driver.image_id_of(entry.key),
                entry.size,
                _seconds(entry.modified),
                entry.key,
            )

    def sweep(self) -> list[str]:
        """Nothing is left that is not removed with its image."""
        return []

    def check(self) -> None:
        if not self._client.bucket_exists(attempts=1) and not self._create_bucket:
            raise NoBucket(self._bucket)

    def _location(self, name: str) -> Location:
        scheme = "s3+https" if self._scheme == "https" else "s3"
        return Location(scheme, self._host, f"/{self._bucket}/{name}")

    def _key(self, location: Location) -> str:
        return location.path.removeprefix(f"/{self._bucket}/")

    def _exists(self, key: str) -> bool:
        try:
            self._client.head(key)
        except errors.NotFound:
            return False
        return True


def _upload_name(upload: Upload) -> str:
    return f"{upload.key}?uploadId={quote(upload.id, safe='')}"


def _emptied(parts: list[bytearray]) -> Iterator[bytearray]:
    """All ``parts``; who got one is the only one that holds it."""
    while parts:
        yield parts.pop(0)


def _length(answer: BaseHTTPResponse, start: int) -> int:
    """How many bytes an answer to GET holds."""
    if answer.status == 200:
        if start:
            answer.close()
            raise errors.GlanceStoreError("The object store gave another part than asked for.")
        return int(answer.headers["Content-Length"])
    found = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != start:
        answer.close()
        raise errors.GlanceStoreError("The object store gave another part than asked for.")
    return int(found[2]) + 1 - start


def _compared(chunks: Iterator[bytes], length: int, expected: str | None) -> Iterator[bytes]:
    """``chunks``, held up before the last one when their CRC32 is not the ``expected`` one.

    Of an object that came in parts the service has only one for each part.
    """
    crc = done = 0
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        done += len(chunk)
        if done == length and expected and "-" not in expected and expected != crc32(crc):
            raise errors.GlanceStoreError("The object differs from what was stored.")
        yield chunk


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
