"""One Image API v2 as a place to copy from and to."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import urllib3

from glance_py.replication import ImageDocument, ReplicationError, TransferInterrupted

#: Seconds without a byte after which a connection is given up.
TIMEOUT = 120
#: Images that are asked for at once.
PAGE_SIZE = 200

JSON = "application/json"
PATCH = "application/openstack-images-v2.1-json-patch"
OCTET_STREAM = "application/octet-stream"


class ImageServer:
    """A service at ``url``.

    :param token: sent with each request, if any.
    :param chunk_size: bytes that are read at a time.
    :param verify: check the certificate; ``cacert`` names a file with the issuers.
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
        """All images that the token's owner can list, hidden ones too.

        :raises ReplicationError: they cannot be listed.
        """
        for hidden in ("false", "true"):
            path = f"/v2/images?limit={PAGE_SIZE}&visibility=all&os_hidden={hidden}&sort=id:asc"
            while path:
                page = self._request_json("GET", path)
                yield from page["images"]
                path = page.get("next", "")

    def find(self, image_id: str) -> ImageDocument | None:
        """The image, or None.

        :raises ReplicationError: the server refuses to tell.
        """
        response = self._request("GET", f"/v2/images/{image_id}", allow_missing=True)
        return response.json() if response.status == 200 else None

    def read_data(self, image: ImageDocument, start: int = 0) -> Iterator[bytes]:
        """See :class:`glance_py.replication.ImageSource`."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = self._request(
            "GET", f"/v2/images/{image['id']}/file", headers=headers, stream=True
        )
        try:
            if response.status == 204:
                raise ReplicationError("the server has no data of it")
            if start and response.status != 206:
                _skip(response, start, self._chunk_size)
            yield from response.stream(self._chunk_size)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransferInterrupted(f"{self.url} stopped in the middle: {error}") from None
        finally:
            response.close()

    def create(self, image: dict[str, Any]) -> ImageDocument:
        """A new image without data.

        :raises ReplicationError: the server refuses.
        """
        return self._request_json("POST", "/v2/images", image)

    def update(self, image_id: str, values: dict[str, tuple]) -> None:
        """Give attributes their values: name to (new, old), None for none.

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
        """Send the data of an image that has none.

        :raises ReplicationError: the server refuses.
        :raises TransferInterrupted: ``data`` or the connection ended too soon.
        """
        headers = {"Content-Type": OCTET_STREAM}
        if size is not None:
            headers["Content-Length"] = str(size)
        self._request("PUT", f"/v2/images/{image_id}/file", data, headers)

    def deactivate(self, image_id: str) -> None:
        """Switch an image off.

        :raises ReplicationError: the server refuses.
        """
        self._request("POST", f"/v2/images/{image_id}/actions/deactivate")

    def delete(self, image_id: str) -> None:
        """Remove an image.

        :raises ReplicationError: the server refuses.
        """
        self._request("DELETE", f"/v2/images/{image_id}")

    def _request_json(self, method: str, path: str, body: Any = None) -> Any:
        if body is None:
            return self._request(method, path).json()
        return self._request(method, path, json.dumps(body).encode(), {"Content-Type": JSON}).json()

    def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        allow_missing: bool = False,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """One request; a status of 400 or more raises, but 404 when ``allow_missing``."""
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
    """``host:port`` or a URL, without the version of the API."""
    url = text if "://" in text else f"http://{text}"
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname:
        raise ReplicationError(f"{text!r} is neither host:port nor a URL")
    return url.rstrip("/").removesuffix("/v2")


def _skip(response: urllib3.BaseHTTPResponse, number: int, chunk_size: int) -> None:
    """Read what is there already, from a server that does not know ranges."""
    while number > 0:
        chunk = response.read(min(chunk_size, number))
        if not chunk:
            raise TransferInterrupted("the data is shorter than it was")
        number -= len(chunk)


def _error_reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


def _error_message(body: bytes) -> str:
    """The sentence in an error's body, which is JSON, HTML or text."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        return str(found.get("message") or found)
    except (ValueError, AttributeError):
        return " ".join(text.replace("<br />", " ").split())[:300]
