"""The sources of imported data: a web server, or the image service of another region.

After a lost connection the rest is requested with If-Range, so that the server sends it only when
the object is still the same one (RFC 9110, 13.1.5); otherwise the data is requested again from
its start.  ``safe_http`` checks all URLs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from glance_py.claims import ClaimFilter
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import ImageStatus
from glance_py.domain.importing import GLANCE_DOWNLOAD, WEB_DOWNLOAD, ImportRequest
from glance_py.domain.property_names import is_reserved
from glance_py.heartbeat import Clock
from glance_py.importing.job import ImportJob, ProgressFilter
from glance_py.safe_http import Fetcher, Response, Target, UriFilter
from glance_py.streams import Chunk, SizeLimit, StreamFilter, filtered

LOG = logging.getLogger(__name__)

#: How often a failed request is sent again, and the seconds before each retry.
RETRIES = 5
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)

#: A connection that transferred so many bytes is no failed attempt: the retries start at zero.
PROGRESS_BYTES = 64 * 1024

#: The algorithms of a checksum that a client may give; hashlib has all of them.
CHECKSUM_ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")

#: The most bytes of metadata that another region may send.
MAX_METADATA_BYTES = 1024 * 1024


class ImportSource(Protocol):
    """Writes the data of a job to the staging store."""

    def fetch(self, job: ImportJob) -> None:
        """Fetch and stage the data.

        :raises errors.GlanceError: the data cannot be fetched, or is not as announced.
        """


def build_source(request: ImportRequest, uri_filter: UriFilter) -> ImportSource | None:
    """The source that a request names; None when the data is staged or stored already.

    :raises errors.Invalid: the filter refuses the URL.
    """
    method = request.method
    if request.method_name == WEB_DOWNLOAD:
        uri = str(method["uri"]).strip()
        uri_filter.check(uri)
        checksum = method.get("checksum")
        return WebDownload(
            uri, (str(method["checksum_algorithm"]), str(checksum)) if checksum else None
        )
    if request.method_name == GLANCE_DOWNLOAD:
        return GlanceDownload(
            str(method["glance_region"]),
            str(method["glance_service_interface"]),
            str(method["glance_image_id"]),
        )
    return None


class _RestartRequired(Exception):
    """The data must be fetched again from its start."""


class WebDownload:
    """The body of a URL.

    :param checksum: (algorithm, hexadecimal digest) that the body must have.
    """

    def __init__(self, uri: str, checksum: tuple[str, str] | None = None) -> None:
        self._uri = uri
        self._checksum = checksum

    def fetch(self, job: ImportJob) -> None:
        """See :meth:`ImportSource.fetch`."""
        filters = (ChecksumFilter(*self._checksum),) if self._checksum else ()
        deps = job.deps
        body = ResumableBody(
            deps.fetcher,
            self._uri,
            deps.image_size_cap,
            timeout=deps.imports.source_timeout,
            clock=deps.clock,
        )
        stage_data(job, body, filters)


def stage_data(
    job: ImportJob,
    body: ResumableBody,
    filters: Sequence[StreamFilter] = (),
    expected: int | None = None,
) -> None:
    """Write ``body`` to the staging store and record its size.

    :param filters: see all bytes.
    :param expected: the number of bytes that the body must have, None when unknown.
    :raises errors.GlanceError: the body cannot be fetched, or is not as announced.
    """
    for attempt in range(RETRIES + 1):
        job.raise_if_cancelled()
        cap = job.deps.image_size_cap
        passed = (
            SizeLimit(cap, too_large_error(cap)),
            *filters,
            ClaimFilter(job.claim),
            ProgressFilter(job.running_task, "Fetched {}", None),
        )
        try:
            size = job.deps.staging.write(job.staged_name, filtered(body.chunks(), passed), None)
        except _RestartRequired as restart:
            if attempt == RETRIES:
                raise errors.SourceFailed(str(restart)) from None
            filters = tuple(
                each.restarted() if isinstance(each, ChecksumFilter) else each for each in filters
            )
            job.deps.clock.sleep(RETRY_DELAYS[min(attempt, len(RETRY_DELAYS) - 1)])
        else:
            break
    if expected is not None and size != expected:
        raise errors.SourceFailed(f"The source sent {size} bytes instead of {expected}.")
    job.set_staged_size(size)


def too_large_error(cap: int) -> errors.ImageTooLarge:
    """The error about data of more than ``cap`` bytes, the value of ``image_size_cap``."""
    shown = f"{cap // 1024**3} GiB" if cap >= 1024**3 else f"{cap} bytes"
    return errors.ImageTooLarge(f"The data is larger than image_size_cap ({shown}).")


class ResumableBody:
    """The bytes of a URL, fetched with several connections when one is lost.

    :param cap: the most bytes that there may be.
    :param headers: sent with each request.
    :param timeout: seconds from now on in which all bytes must arrive; 0 is no limit.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        uri: str,
        cap: int,
        headers: Mapping[str, str] | None = None,
        timeout: float = 0,
        clock: Clock = time,
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._deadline = clock.monotonic() + timeout if timeout else float("inf")
        self._fetcher = fetcher
        self._uri = uri
        self._cap = cap
        self._headers = headers

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes, once.

        :raises errors.SourceFailed: the source does not have or send the bytes, or is too slow.
        :raises errors.ImageTooLarge: the source announces more bytes than allowed.
        :raises _RestartRequired: the rest cannot be requested: fetch all bytes again.
        """
        received, validator, retries = 0, None, 0
        while True:
            before = received
            self._check_deadline()
            try:
                response = self._fetcher.open(self._uri, received, validator, self._headers)
            except errors.StoreUnavailable as error:
                retries = self._wait_before_retry(retries, str(error))
                continue
            try:
                if response.status >= 500 or response.status == 429:
                    retries = self._wait_before_retry(retries, _status_message(response))
                    continue
                self._check_response(response, received)
                validator = validator or _validator(response)
                for chunk in response.chunks:
                    received += len(chunk)
                    yield chunk
                    self._check_deadline()
                return
            except errors.StoreUnavailable as error:
                if received and validator is None:
                    raise _RestartRequired(str(error)) from None
                retries = self._wait_before_retry(
                    0 if received - before >= PROGRESS_BYTES else retries, str(error)
                )
            finally:
                response.close()

    def _check_deadline(self) -> None:
        if self._clock.monotonic() > self._deadline:
            raise errors.SourceFailed(
                f"The source did not send the data within {self._timeout:.0f} seconds."
            )

    def _wait_before_retry(self, retries: int, reason: str) -> int:
        """Sleep before the next attempt; returns the number of retries with it.

        :raises errors.SourceFailed: there were RETRIES retries.
        """
        if retries == RETRIES:
            raise errors.SourceFailed(reason)
        LOG.info("A request to a source failed and is sent again: %s", reason)
        self._clock.sleep(RETRY_DELAYS[min(retries, len(RETRY_DELAYS) - 1)])
        return retries + 1

    def _check_response(self, response: Response, received: int) -> None:
        """Check an answer to a request for the bytes from number ``received`` on."""
        if received and response.status == 200:
            raise _RestartRequired("The source has other data now than when the import began.")
        if received and response.status == 416:  # RFC 9110, 15.5.17
            raise errors.SourceFailed("The source has fewer bytes than it announced.")
        if response.status != (206 if received else 200):
            raise errors.SourceFailed(_status_message(response))
        if received and not (response.headers.get("Content-Range") or "").startswith(
            f"bytes {received}-"
        ):
            raise _RestartRequired("The source sent another part than it was asked for.")
        if response.length is not None and received + response.length > self._cap:
            raise too_large_error(self._cap)


def _status_message(response: Response) -> str:
    return f"The source answered {response.status}."


def _validator(response: Response) -> str | None:
    """The validator of an object for If-Range: its ETag, or else its date (RFC 9110, 8.8)."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


class ChecksumFilter(StreamFilter):
    """Refuses data without the expected digest, ``expected`` in hexadecimal."""

    def __init__(self, algorithm: str, expected: str) -> None:
        self._algorithm = algorithm
        self._expected = expected.lower()
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def restarted(self) -> ChecksumFilter:
        """A filter with the same digest that has seen no data."""
        return ChecksumFilter(self._algorithm, self._expected)

    def update(self, chunk: Chunk) -> None:
        """Add a chunk to the digest."""
        self._hash.update(chunk)

    def finish(self) -> None:
        """:raises errors.SourceFailed: the digest is another one."""
        found = self._hash.hexdigest()
        if found != self._expected:
            raise errors.SourceFailed(
                f"The checksum differs: the {self._algorithm} of the data is {found}, "
                f"not {self._expected}."
            )


class GlanceDownload:
    """An image of the image service in another region, read with the caller's token."""

    def __init__(self, region: str, interface: str, image_id: str) -> None:
        self._region = region
        self._interface = interface
        self._image_id = image_id

    def fetch(self, job: ImportJob) -> None:
        """See :meth:`ImportSource.fetch`.  Copies formats and some properties of the image, too.

        :raises errors.Invalid: the catalogue has no endpoint for the region.
        """
        deps = job.deps
        endpoint = find_endpoint(job.ctx, self._region, self._interface)
        url = f"{endpoint}/v2/images/{self._image_id}"
        fetcher = Fetcher(CatalogEndpointFilter(deps.uri_filter, endpoint))
        headers = {"X-Auth-Token": job.ctx.auth_token or ""}
        remote = _fetch_metadata(fetcher, url, headers)
        if remote.get("status") != ImageStatus.ACTIVE:
            raise errors.SourceFailed("The image in the other region is not active.")
        job.update_image(_copied_metadata(remote, tuple(deps.imports.extra_properties)))
        size = remote.get("size")
        checksum = _expected_checksum(remote)
        body = ResumableBody(
            fetcher,
            f"{url}/file",
            deps.image_size_cap,
            headers,
            deps.imports.source_timeout,
            deps.clock,
        )
        stage_data(
            job,
            body,
            (ChecksumFilter(*checksum),) if checksum else (),
            expected=size if isinstance(size, int) else None,
        )


def _fetch_metadata(fetcher: Fetcher, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON description of an image.

    :raises errors.SourceFailed: the answer is an error, too long or no JSON object.
    """
    response = fetcher.open(url, headers=headers)
    try:
        if response.status != 200:
            raise errors.SourceFailed(
                f"The image service of the other region answered {response.status}."
            )
        document = bytearray()
        for chunk in response.chunks:
            document += chunk
            if len(document) > MAX_METADATA_BYTES:
                raise errors.SourceFailed("The description of the image is too long.")
    finally:
        response.close()
    try:
        remote = json.loads(document)
    except ValueError:
        remote = None
    if not isinstance(remote, dict):
        raise errors.SourceFailed("The other region does not describe the image in JSON.")
    return remote


def _copied_metadata(remote: Mapping[str, Any], prefixes: tuple[str, ...]) -> ImageChange:
    """The change that copies formats, and properties whose names start with a prefix."""
    return ImageChange(
        fields={
            name: remote[name]
            for name in ("disk_format", "container_format")
            if isinstance(remote.get(name), str)
        },
        set_properties={
            name: value
            for name, value in remote.items()
            if isinstance(value, str) and name.startswith(prefixes) and not is_reserved(name)
        },
    )


def _expected_checksum(remote: Mapping[str, Any]) -> tuple[str, str] | None:
    algorithm, value = remote.get("os_hash_algo"), remote.get("os_hash_value")
    if algorithm in CHECKSUM_ALGORITHMS and isinstance(value, str):
        return algorithm, value
    return None


class CatalogEndpointFilter:
    """Lets requests pass to an endpoint of Keystone's catalogue, and filters all others.

    The operator configured the endpoint, so the lists for URLs that users name do not apply to
    it; they apply to the targets of its redirects.
    """

    def __init__(self, uri_filter: UriFilter, endpoint: str) -> None:
        self._uri_filter = uri_filter
        self._endpoint = urllib.parse.urlsplit(endpoint)

    def check(self, url: str) -> Target:
        """See :meth:`glance_py.safe_http.UriFilter.check`."""
        parts = urllib.parse.urlsplit(url)
        if (parts.scheme, parts.netloc) == (self._endpoint.scheme, self._endpoint.netloc):
            return self._uri_filter.resolve_trusted(url)
        return self._uri_filter.check(url)


def find_endpoint(ctx: Caller, region: str, interface: str) -> str:
    """The URL of the image service of a region, from the caller's catalogue, without /v2.

    :param interface: public, internal or admin.
    :raises errors.Invalid: the catalogue has none.
    """
    for service in ctx.service_catalog or ():
        if service.get("type") != "image":
            continue
        for endpoint in service.get("endpoints", ()):
            if endpoint.get("region") != region:
                continue
            url = endpoint.get(f"{interface}URL") or (
                endpoint.get("url") if endpoint.get("interface") == interface else None
            )
            if url:
                return str(url).rstrip("/").removesuffix("/v2")
    raise errors.Invalid(
        f"The catalogue names no {interface} endpoint of an image service in region {region}."
    )
