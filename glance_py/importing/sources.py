"""Where imported data comes from: a web server, or the image service of another region.

A connection that is cut is taken up where it ended, as long as the server
proves that it still has the same object (RFC 9110, 13.1.5); what cannot be
taken up begins again.  Addresses are judged by ``safe_http``.
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
from glance_py.domain.property_names import is_reserved
from glance_py.importing.job import ImportJob, ProgressFilter
from glance_py.safe_http import Fetcher, Response, Target, UriFilter
from glance_py.streams import Chunk, SizeLimit, StreamFilter, filtered

LOG = logging.getLogger(__name__)

#: How often a source is asked again after it failed, and how long between, in seconds.
RETRIES = 5
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)

#: A connection that brought so many bytes was no failure: the count begins anew.
PROGRESS_BYTES = 64 * 1024

#: Digests that a client may have its data compared with; all are known to hashlib.
CHECKSUM_ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")

#: Bytes of metadata that another region may answer.
MAX_METADATA_BYTES = 1024 * 1024


class ImportSource(Protocol):
    """Brings the data of a job to its staging store."""

    def fetch(self, job: ImportJob) -> None: ...


class _RestartRequired(Exception):
    """The data has to be fetched from its start once more."""


class WebDownload:
    """The body of a URL.

    :param checksum: (algorithm, hexadecimal digest) that the body must have.
    """

    def __init__(self, uri: str, checksum: tuple[str, str] | None = None) -> None:
        self._uri = uri
        self._checksum = checksum

    def fetch(self, job: ImportJob) -> None:
        filters = (ChecksumFilter(*self._checksum),) if self._checksum else ()
        conf = job.deps.conf
        stage_data(
            job,
            ResumableBody(
                job.deps.fetcher,
                self._uri,
                conf.image_size_cap,
                timeout=conf.image_import_opts.source_timeout,
            ),
            filters,
        )


def stage_data(
    job: ImportJob,
    body: ResumableBody,
    filters: Sequence[StreamFilter] = (),
    expected: int | None = None,
) -> None:
    """Write ``body`` to the staging store.

    :param expected: how many bytes it must have, when that is known.
    :raises errors.GlanceError: it could not be fetched, or is not what was said.
    """
    for attempt in range(RETRIES + 1):
        job.raise_if_cancelled()
        cap = job.deps.conf.image_size_cap
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
            time.sleep(RETRY_DELAYS[min(attempt, len(RETRY_DELAYS) - 1)])
        else:
            break
    if expected is not None and size != expected:
        raise errors.SourceFailed(f"The source sent {size} bytes instead of {expected}.")
    job.set_staged_size(size)


def too_large_error(cap: int) -> errors.ImageTooLarge:
    """What is said of data over ``image_size_cap``."""
    shown = f"{cap // 1024**3} GiB" if cap >= 1024**3 else f"{cap} bytes"
    return errors.ImageTooLarge(f"The data is larger than image_size_cap ({shown}).")


class ResumableBody:
    """The bytes of a URL, over as many connections as it takes.

    :param cap: how many bytes there may be.
    :param timeout: how long it may take until all have arrived, from now on; 0 for ever.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        uri: str,
        cap: int,
        headers: Mapping[str, str] | None = None,
        timeout: float = 0,
    ) -> None:
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout if timeout else float("inf")
        self._fetcher = fetcher
        self._uri = uri
        self._cap = cap
        self._headers = headers

    def chunks(self) -> Iterator[bytes]:
        """All bytes, once.

        :raises errors.SourceFailed: the source has no such bytes, or takes too long.
        :raises errors.ImageTooLarge: it announces too many.
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
        if time.monotonic() > self._deadline:
            raise errors.SourceFailed(
                f"The source did not send the data within {self._timeout:.0f} seconds."
            )

    def _wait_before_retry(self, retries: int, reason: str) -> int:
        """Wait a little before the next attempt; give up when there were enough."""
        if retries == RETRIES:
            raise errors.SourceFailed(reason)
        LOG.info("A source failed and is asked again: %s", reason)
        time.sleep(RETRY_DELAYS[min(retries, len(RETRY_DELAYS) - 1)])
        return retries + 1

    def _check_response(self, response: Response, received: int) -> None:
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
    """What proves that a later answer is about the same object (RFC 9110, 8.8)."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


class ChecksumFilter(StreamFilter):
    """Refuses data that does not have the digest that its user knows."""

    def __init__(self, algorithm: str, expected: str) -> None:
        self._algorithm = algorithm
        self._expected = expected.lower()
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def restarted(self) -> ChecksumFilter:
        """The same filter for data that begins again."""
        return ChecksumFilter(self._algorithm, self._expected)

    def update(self, chunk: Chunk) -> None:
        self._hash.update(chunk)

    def finish(self) -> None:
        found = self._hash.hexdigest()
        if found != self._expected:
            raise errors.SourceFailed(
                f"The checksum differs: the {self._algorithm} of the data is {found}, "
                f"not {self._expected}."
            )


class GlanceDownload:
    """An image of the image service in another region, read as the caller."""

    def __init__(self, region: str, interface: str, image_id: str) -> None:
        self._region = region
        self._interface = interface
        self._image_id = image_id

    def fetch(self, job: ImportJob) -> None:
        conf = job.deps.conf
        endpoint = find_endpoint(job.ctx, self._region, self._interface)
        url = f"{endpoint}/v2/images/{self._image_id}"
        fetcher = Fetcher(conf, CatalogEndpointFilter(UriFilter(conf), endpoint))
        headers = {"X-Auth-Token": job.ctx.auth_token or ""}
        remote = self._metadata(fetcher, url, headers)
        if remote.get("status") != "active":
            raise errors.SourceFailed("The image in the other region is not active.")
        wanted = tuple(conf.glance_download_properties.extra_properties)
        job.update_image(
            ImageChange(
                fields={
                    name: remote[name]
                    for name in ("disk_format", "container_format")
                    if isinstance(remote.get(name), str)
                },
                set_properties={
                    name: value
                    for name, value in remote.items()
                    if isinstance(value, str) and name.startswith(wanted) and not is_reserved(name)
                },
            )
        )
        size = remote.get("size")
        checksum = _expected_checksum(remote)
        stage_data(
            job,
            ResumableBody(
                fetcher,
                f"{url}/file",
                conf.image_size_cap,
                headers,
                conf.image_import_opts.source_timeout,
            ),
            (ChecksumFilter(*checksum),) if checksum else (),
            expected=size if isinstance(size, int) else None,
        )

    @staticmethod
    def _metadata(fetcher: Fetcher, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
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


def _expected_checksum(remote: Mapping[str, Any]) -> tuple[str, str] | None:
    algorithm, value = remote.get("os_hash_algo"), remote.get("os_hash_value")
    if algorithm in CHECKSUM_ALGORITHMS and isinstance(value, str):
        return algorithm, value
    return None


class CatalogEndpointFilter:
    """Lets requests go to an endpoint of the identity service's catalogue.

    The operator named it, so the lists for addresses that users name do not
    apply; where it redirects to is judged by them.
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
    """The URL of the image service of a region, from the caller's catalogue.

    :raises errors.Invalid: the catalogue names none.
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
