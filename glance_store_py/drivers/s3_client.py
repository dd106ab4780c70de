"""The part of the S3 protocol that images need, as operations on one bucket.

Requests are signed and sent, and repeated where that is safe; error answers are
translated to those of ``errors.py``.  Source: Amazon S3 API reference.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import logging
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from glance_store_py import errors
from glance_store_py.driver import Chunk
from glance_store_py.drivers.remote import RETRYABLE_STATUSES, ChunkedBody, HttpPool, RequestBody
from glance_store_py.drivers.s3_signature import (
    EMPTY_SHA256,
    UNSIGNED_PAYLOAD,
    S3Credentials,
    query_string,
    sign_headers,
    uri_encode,
)

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOG = logging.getLogger(__name__)

#: Seconds that a service may take to complete a multipart upload.
COMPLETE_TIMEOUT = 600

_FULL_CODES = frozenset(
    {
        "EntityTooLarge",
        "InsufficientStorage",
        "QuotaExceeded",
        "ServiceQuotaExceededException",
        "XMinioStorageFull",
    }
)
#: Codes of errors after which the same request may succeed.
_TRANSIENT_CODES = frozenset({"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"})
_EXISTS_CODES = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_REGION = re.compile(r"s3[.-](?:dualstack\.)?([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\Z")
_VIRTUAL_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")


class S3ServiceError(errors.GlanceStoreError):
    """(status, code): the service refused a request for a reason without a class of its own."""

    text = "The object store answered with status %s (%s)."


class S3UploadLost(errors.RemoteServiceFailed):
    """The service confirmed an upload and does not have the object."""

    text = "The object store confirmed an upload, but does not hold it."


class S3BucketMissing(errors.GlanceStoreError):
    """(bucket): it does not exist."""

    text = "There is no bucket %s."


@dataclasses.dataclass(frozen=True, slots=True)
class S3Bucket:
    """A bucket, and how requests name it.

    ``virtual`` puts its name into the host name; ``checksums`` sends CRC32s.
    """

    endpoint: str
    name: str
    region: str
    virtual: bool = False
    checksums: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class S3ListEntry:
    """An object in a listing: size in bytes, time of its last change (ISO 8601)."""

    key: str
    size: int
    modified: str


@dataclasses.dataclass(frozen=True, slots=True)
class MultipartUpload:
    """An unfinished multipart upload: key of the object, id, and when it began (ISO 8601)."""

    key: str
    id: str
    initiated: str


@dataclasses.dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part that was uploaded: ETag and CRC32 (base64), which completing the upload needs."""

    etag: str
    crc: str | None = None


class S3Client:
    """Operations on one bucket; used by many threads."""

    def __init__(
        self,
        bucket: S3Bucket,
        credentials: S3Credentials,
        ca_file: str | None = None,
        connections: int = 32,
    ) -> None:
        self._bucket = bucket
        self._credentials = credentials
        self._region = bucket.region
        #: False as soon as the service answers that it has no conditional writes.
        self._conditional = True
        url = urlsplit(bucket.endpoint)
        self._host = f"{bucket.name}.{url.netloc}" if bucket.virtual else url.netloc
        self._base = f"{url.scheme}://{self._host}"
        self._root = url.path.rstrip("/") + (
            "" if bucket.virtual else f"/{uri_encode(bucket.name)}"
        )
        self._secure = url.scheme == "https"
        self.pool = HttpPool(self._base, ca_file, size=connections)

    # ------------------------------------------------------------ objects

    def head(self, key: str) -> BaseHTTPResponse:
        """The headers of an object, as an answer without content.

        :raises errors.StoreObjectNotFound: there is no such object.
        """
        return self._request_empty("HEAD", key)

    def get(
        self, key: str, part: str | None = None, if_match: str | None = None, checksum: bool = False
    ) -> BaseHTTPResponse:
        """Read an object.

        :param part: a Range header, None for the whole object.
        :param if_match: the ETag that the object must have.
        :param checksum: ask for the checksum that the service has of it.

        :returns: an answer of status 200 or 206 with its content unread, or 416.
        """
        headers = {"accept-encoding": "identity"}
        if part is not None:
            headers["range"] = part
        if checksum:
            headers["x-amz-checksum-mode"] = "ENABLED"
        if if_match is not None:
            headers["if-match"] = if_match
        response = self._request("GET", key, headers=headers)
        if response.status not in (200, 206, 416):
            raise self._error(response, key)
        return response

    def put(self, key: str, data: bytearray, writer_header: dict[str, str]) -> None:
        """Store an object in one request.

        :raises errors.StoreObjectExists: there is one of this name.
        """
        headers = {**writer_header, **self._if_none_match(), **self._crc_header(data)}
        self._request_empty("PUT", key, headers=headers, body=data)

    def put_stream(
        self, key: str, data: Iterable[Chunk], size: int, writer_header: dict[str, str]
    ) -> None:
        """Store an object of ``size`` bytes that can be sent only once."""
        headers = {**writer_header, **self._if_none_match(), "content-length": str(size)}
        response = self._request("PUT", key, headers=headers, body=data, attempts=1)
        self._checked_content(response, key)

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""
        self._request_empty("DELETE", key)

    def list_objects(self) -> Iterator[S3ListEntry]:
        """All objects of the bucket, by name."""
        query = {"list-type": "2"}
        while True:
            page = self._request_xml("GET", "", query)
            for found in _find_all(page, "Contents"):
                yield S3ListEntry(
                    _text(found, "Key"), int(_text(found, "Size")), _text(found, "LastModified")
                )
            if _text(page, "IsTruncated") != "true":
                return
            query["continuation-token"] = _text(page, "NextContinuationToken")

    # ------------------------------------------------------------ large objects

    def create_upload(self, key: str, writer_header: dict[str, str]) -> tuple[str, bool]:
        """Begin a multipart upload.

        :returns: the id of the upload, and False when an earlier attempt without an answer may
            have begun another one.
        """
        headers = dict(writer_header)
        if self._bucket.checksums:
            headers["x-amz-checksum-algorithm"] = "CRC32"
        response = self._request("POST", key, {"uploads": ""}, headers=headers)
        is_only_upload = not (response.retries and response.retries.history)
        upload = _text(self._checked_content(response, key), "UploadId")
        if not upload:
            raise errors.RemoteServiceFailed(response.status)
        return upload, is_only_upload

    def put_part(self, key: str, upload: str, number: int, data: bytearray) -> UploadedPart:
        """Send part ``number``, counted from 1."""
        crc = self._crc_header(data)
        response = self._request_empty(
            "PUT", key, {"partNumber": str(number), "uploadId": upload}, headers=crc, body=data
        )
        return UploadedPart(response.headers.get("ETag", ""), crc.get("x-amz-checksum-crc32"))

    def complete_upload(self, key: str, upload: str, parts: Sequence[UploadedPart]) -> None:
        """Make an object of its parts.

        :raises errors.StoreObjectExists: there is one of this name.
        :raises errors.RemoteServiceUnavailable: the connection broke during the answer.
        :raises errors.RemoteServiceFailed: the answer does not tell whether the object exists.
        """
        body = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
            + (f"<ChecksumCRC32>{part.crc}</ChecksumCRC32>" if part.crc else "")
            + "</Part>"
            for number, part in enumerate(parts, 1)
        )
        response = self._request(
            "POST",
            key,
            {"uploadId": upload},
            headers=self._if_none_match(),
            body=bytearray(f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()),
            wait=COMPLETE_TIMEOUT,
        )
        # The service sends status 200 before it begins; only the content tells the outcome.
        content = self._checked_content(response, key)
        if _local_name(content) == "CompleteMultipartUploadResult":
            return
        code = _text(content, "Code")
        LOG.warning(
            "%s answered CompleteMultipartUpload of %s/%s with status %d and %s",
            self._host,
            self._bucket.name,
            key,
            response.status,
            code or "no result",
        )
        if code in _EXISTS_CODES:
            raise errors.StoreObjectExists(key)
        if code and code not in _TRANSIENT_CODES:
            raise S3ServiceError(response.status, code)
        raise errors.RemoteServiceFailed(response.status)

    def abort_upload(self, key: str, upload: str) -> None:
        """Remove the parts of an upload; no error when there is no such upload."""
        response = self._request("DELETE", key, {"uploadId": upload})
        if response.status != 404:
            self._checked_content(response, key)

    def list_uploads(self, prefix: str = "") -> Iterator[MultipartUpload]:
        """Unfinished uploads of objects whose keys begin with ``prefix``."""
        query = {"uploads": "", "prefix": prefix}
        while True:
            page = self._request_xml("GET", "", query)
            for found in _find_all(page, "Upload"):
                yield MultipartUpload(
                    _text(found, "Key"), _text(found, "UploadId"), _text(found, "Initiated")
                )
            if _text(page, "IsTruncated") != "true":
                return
            query["key-marker"] = _text(page, "NextKeyMarker")
            query["upload-id-marker"] = _text(page, "NextUploadIdMarker")

    # ------------------------------------------------------------ the bucket

    def bucket_exists(self, attempts: int = 3) -> bool:
        """True when the bucket exists.

        :raises errors.StoreForbidden: the credentials do not give access to it.
        """
        response = self._request("HEAD", "", attempts=attempts)
        response.close()
        if response.status >= 400 and response.status != 404:
            raise self._error(response, "")
        return response.status != 404

    def create_bucket(self) -> None:
        """Create the bucket; no error when it exists."""
        body = b""
        if self._region != "us-east-1":
            body = (
                f"<CreateBucketConfiguration><LocationConstraint>{escape(self._region)}"
                "</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        response = self._request("PUT", "", body=bytearray(body))
        if response.status != 409:
            self._checked_content(response, "")
        response.close()

    # ------------------------------------------------------------ requests

    def _request_empty(
        self,
        method: str,
        key: str,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytearray | None = None,
    ) -> BaseHTTPResponse:
        """Send a request whose answer has no content.

        :raises errors.GlanceStoreError: the answer is an error.
        """
        response = self._request(method, key, query, headers, body)
        self._checked_content(response, key)
        return response

    def _request_xml(
        self, method: str, key: str, query: dict[str, str], headers: dict[str, str] | None = None
    ) -> ElementTree.Element:
        return self._checked_content(self._request(method, key, query, headers), key)

    def _checked_content(self, response: BaseHTTPResponse, key: str) -> ElementTree.Element:
        """The content of an answer.

        :raises errors.GlanceStoreError: the answer is an error.
        """
        if response.status >= 300:
            raise self._error(response, key)
        return self._content(response)

    def _request(
        self,
        method: str,
        key: str,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: RequestBody | bytearray | None = None,
        attempts: int = 3,
        wait: float = 60,
    ) -> BaseHTTPResponse:
        region = self._region
        response = self._send(region, method, key, query or {}, headers or {}, body, attempts, wait)
        actual_region = response.headers.get("x-amz-bucket-region")
        if (
            response.status in (301, 307, 400)
            and actual_region
            and actual_region != region
            and attempts > 1
        ):
            LOG.warning(
                "Bucket %s is in region %s, not in %s", self._bucket.name, actual_region, region
            )
            response.close()
            self._region = actual_region
            response = self._send(
                actual_region, method, key, query or {}, headers or {}, body, attempts, wait
            )
        if response.status == 501 and headers and "if-none-match" in headers:
            LOG.warning("%s does not know conditional writes", self._host)
            response.close()
            self._conditional = False
            if attempts == 1:  # The body cannot be sent again; the next upload succeeds.
                raise errors.RemoteServiceUnavailable()
            del headers["if-none-match"]
            return self._request(method, key, query, headers, body, attempts, wait)
        return response

    def _send(
        self,
        region: str,
        method: str,
        key: str,
        query: dict[str, str],
        headers: dict[str, str],
        body: RequestBody | bytearray | None,
        attempts: int,
        wait: float,
    ) -> BaseHTTPResponse:
        content: RequestBody | None
        if body is None or isinstance(body, bytearray):
            # TLS protects the bytes already: no need to hash them.
            payload = (
                EMPTY_SHA256
                if not body
                else UNSIGNED_PAYLOAD
                if self._secure
                else hashlib.sha256(body).hexdigest()
            )
            content = None if body is None else ChunkedBody(body)
            if body is not None:
                headers = {**headers, "content-length": str(len(body))}
        else:
            payload, content = UNSIGNED_PAYLOAD, body
        path = f"{self._root}/{uri_encode(key, '/')}" if key else self._root or "/"
        text = query_string(query)
        headers = sign_headers(
            self._credentials, region, method, path, text, {"host": self._host, **headers}, payload
        )
        url = f"{self._base}{path}?{text}" if text else f"{self._base}{path}"
        return self.pool.request(method, url, headers, content, attempts, wait)

    def _if_none_match(self) -> dict[str, str]:
        return {"if-none-match": "*"} if self._conditional else {}

    def _crc_header(self, data: bytearray) -> dict[str, str]:
        if not self._bucket.checksums:
            return {}
        return {"x-amz-checksum-crc32": crc32(zlib.crc32(data))}

    def _content(self, response: BaseHTTPResponse) -> ElementTree.Element:
        with self.pool.translate_errors():
            content = response.read(decode_content=True)
            response.release_conn()
        try:
            # The service may send white space first, to keep the connection open.
            return ElementTree.fromstring(content.strip())
        except ElementTree.ParseError:
            return ElementTree.Element("Nothing")

    def _error(self, response: BaseHTTPResponse, key: str) -> errors.GlanceStoreError:
        """The error that an answer stands for."""
        found = self._content(response).find(".//{*}Code")
        code = (found.text if found is not None else None) or "no code"
        if code == "NoSuchBucket":
            return S3BucketMissing(self._bucket.name)
        if response.status == 404:
            return errors.StoreObjectNotFound(f"{self._bucket.name}/{key}")
        LOG.warning(
            "%s answered with status %d (%s) for %s/%s",
            self._host,
            response.status,
            code,
            self._bucket.name,
            key,
        )
        if code in _EXISTS_CODES or response.status == 412:
            return errors.StoreObjectExists(key)
        if code in _FULL_CODES or response.status in (413, 507):
            return errors.StorageFull()
        if response.status in (401, 403):
            return errors.StoreForbidden()
        if response.status in RETRYABLE_STATUSES or code in ("SlowDown", "RequestTimeout"):
            return errors.RemoteServiceFailed(response.status)
        return S3ServiceError(response.status, code)


def crc32(value: int) -> str:
    """A CRC32 in the base64 form of the headers of S3."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def region_from_host(host: str) -> str:
    """The region in the name of an Amazon host, us-east-1 if there is none."""
    found = _REGION.match(host)
    return found[1] if found else "us-east-1"


def uses_virtual_host(style: str, host: str, bucket: str) -> bool:
    """True when the name of the bucket goes into the host name.

    :param style: auto, virtual or path.
    """
    if style != "auto":
        return style == "virtual"
    amazon = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return amazon and _VIRTUAL_BUCKET.match(bucket) is not None


def _local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _find_all(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return element.findall(f"{{*}}{name}")


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.find(f"{{*}}{name}")
    return (found.text or "") if found is not None else ""
