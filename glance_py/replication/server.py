"""An Image service, by its API v2, as source and target of copies."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping

import urllib3

from glance_py.replication import (
    Difference,
    ImageDocument,
    ReplicationError,
    TransferInterrupted,
)

#: Seconds without a byte after which a request fails.
TIMEOUT = 120
#: Images in a page of a list.
PAGE_SIZE = 200

JSON = "application/json"
PATCH = "application/openstack-images-v2.1-json-patch"
OCTET_STREAM = "application/octet-stream"


class ImageServer:
    """The service at ``url``.

    :param url: ``host:port`` or a URL, with or without ``/v2``.
    :param token: sent with each request; None sends none.
    :param chunk_size: bytes that are read at once.
    :param verify: check the server's certificate.
    :param cacert: file with CA certificates; None for those of the system.
    :raises ReplicationError: ``url`` is neither.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        chunk_size: int = 65536,
        verify: bool = True,
        cacert: str | None = None,
    ) -> None:
        self.url = _url(url)
        self._headers = {"X-Auth-Token": token} if token else {}
        self._chunk_size = chunk_size
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(TIMEOUT),
            retries=False,
            ca_certs=cacert,
            cert_reqs="CERT_REQUIRED" if verify else "CERT_NONE",
            assert_hostname=None if verify else False,
        )
        if not verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def images(self) -> Iterator[ImageDocument]:
        """Yields all images that are visible to the token, including hidden ones.

        :raises ReplicationError: they cannot be listed.
        """
        for hidden in ("false", "true"):
            path = f"/v2/images?limit={PAGE_SIZE}&visibility=all&os_hidden={hidden}&sort=id:asc"
            while path:
                page = self._request("GET", path).json()
                yield from page["images"]
                path = page.get("next", "")

    def find(self, image_id: str) -> ImageDocument | None:
        """The image with this id; None when the server has none.

        :raises ReplicationError: the server refuses or does not answer.
        """
        response = self._request("GET", f"/v2/images/{image_id}", allow_missing=True)
        found: ImageDocument | None = response.json() if response.status == 200 else None
        return found

    def read_data(self, image: ImageDocument, start: int = 0) -> Iterator[bytes]:
        """See :class:`glance_py.replication.ImageSource`."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = self._request(
            "GET", f"/v2/images/{image['id']}/file", headers=headers, stream=True
        )
        try:
            if response.status == 204:
                raise ReplicationError("the server has no data of this image")
            if start and response.status != 206:
                _skip(response, start, self._chunk_size)
            yield from response.stream(self._chunk_size)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransferInterrupted(f"{self.url} stopped in the middle: {error}") from None
        finally:
            response.close()

    def create(self, image: ImageDocument) -> None:
        """Create an image without data.

        :param image: the attributes that the API accepts.
        :raises ReplicationError: the server refuses.
        """
        self._request("POST", "/v2/images", json.dumps(image).encode(), {"Content-Type": JSON})

    def update(self, image_id: str, values: Mapping[str, Difference]) -> None:
        """Change attributes.

        :param values: name -> new and old value, None without one.
        :raises ReplicationError: the server refuses.
        """
        changes = []
        for name, (new, old) in values.items():
            path = "/" + name.replace("~", "~0").replace("/", "~1")
            if new is None:
                changes.append({"op": "remove", "path": path})
            else:
                operation = "add" if old is None else "replace"
                changes.append({"op": operation, "path": path, "value": new})
        self._request(
            "PATCH", f"/v2/images/{image_id}", json.dumps(changes).encode(), {"Content-Type": PATCH}
        )

    def upload(self, image_id: str, data: Iterator[bytes], size: int | None) -> None:
        """Upload the data of an image that has none.

        :param size: bytes of the data, None when that is not known.
        :raises ReplicationError: the server refuses.
        :raises TransferInterrupted: ``data`` or the connection ended too early.
        """
        headers = {"Content-Type": OCTET_STREAM}
        if size is not None:
            headers["Content-Length"] = str(size)
        self._request("PUT", f"/v2/images/{image_id}/file", data, headers)

    def deactivate(self, image_id: str) -> None:
        """Deactivate an image.

        :raises ReplicationError: the server refuses.
        """
        self._request("POST", f"/v2/images/{image_id}/actions/deactivate")

    def delete(self, image_id: str) -> None:
        """Delete an image.

        :raises ReplicationError: the server refuses.
        """
        self._request("DELETE", f"/v2/images/{image_id}")

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        allow_missing: bool = False,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Send one request.

        :param allow_missing: return an answer with the status 404.
        :param stream: do not read the body of the answer; the caller must close it.
        :raises ReplicationError: the status is 400 or more.
        :raises TransferInterrupted: the server cannot be reached or the connection failed.
        """
        try:
            response = self._pool.request(
                method,
                self.url + path,
                body=body,
                headers={**self._headers, **(headers or {})},
                preload_content=not stream,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransferInterrupted(
                f"{self.url} does not answer: {_error_reason(error)}"
            ) from None
        if response.status >= 400 and not (allow_missing and response.status == 404):
            text = _error_message(response.data)
            response.close()
            raise ReplicationError(f"{self.url} says {response.status}: {text}")
        return response


def _url(text: str) -> str:
    """The URL without the version of the API, from ``host:port`` or a URL."""
    url = text if "://" in text else f"http://{text}"
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname:
        raise ReplicationError(f"{text!r} is neither host:port nor a URL")
    return url.rstrip("/").removesuffix("/v2")


def _skip(response: urllib3.BaseHTTPResponse, number: int, chunk_size: int) -> None:
    """Discard the first bytes of an answer, of a server that ignores ``Range``."""
    while number > 0:
        chunk = response.read(min(chunk_size, number))
        if not chunk:
            raise TransferInterrupted("the data ended before the part that is missing")
        number -= len(chunk)


def _error_reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


def _error_message(body: bytes) -> str:
    """The message in the body of an error, which is JSON, HTML or text."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        return str(found.get("message") or found)
    except (ValueError, AttributeError):
        return " ".join(text.replace("<br />", " ").split())[:300]
