"""One Image API v2 as a place to copy from and to."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import urllib3

from glance_py.replication import Broken, Failure, Image

#: Seconds without a byte after which a connection is given up.
TIMEOUT = 120
#: Images that are asked for at once.
PAGE = 200

JSON = "application/json"
PATCH = "application/openstack-images-v2.1-json-patch"
OCTETS = "application/octet-stream"


class Server:
    """A service at ``url``.

    :param token: sent with each request, if any.
    :param chunk: bytes that are read at a time.
    :param verify: check the certificate; ``cacert`` names a file with the issuers.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        chunk: int = 65536,
        verify: bool = True,
        cacert: str | None = None,
    ) -> None:
        self.url = _url(url)
        self._headers = {"X-Auth-Token": token} if token else {}
        self._chunk = chunk
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(TIMEOUT),
            retries=False,
            ca_certs=cacert,
            cert_reqs="CERT_REQUIRED" if verify else "CERT_NONE",
            assert_hostname=None if verify else False,
        )
        if not verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def images(self) -> Iterator[Image]:
        """All images that the token's owner can list, hidden ones too.

        :raises Failure: they cannot be listed.
        """
        for hidden in ("false", "true"):
            path = f"/v2/images?limit={PAGE}&visibility=all&os_hidden={hidden}&sort=id:asc"
            while path:
                page = self._json("GET", path)
                yield from page["images"]
                path = page.get("next", "")

    def find(self, image_id: str) -> Image | None:
        """The image, or None.

        :raises Failure: the server refuses to tell.
        """
        answer = self._ask("GET", f"/v2/images/{image_id}", missing=True)
        return answer.json() if answer.status == 200 else None

    def data(self, image: Image, start: int = 0) -> Iterator[bytes]:
        """See :class:`glance_py.replication.Source`."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        answer = self._ask("GET", f"/v2/images/{image['id']}/file", headers=headers, stream=True)
        try:
            if answer.status == 204:
                raise Failure("the server has no data of it")
            if start and answer.status != 206:
                _skip(answer, start, self._chunk)
            yield from answer.stream(self._chunk)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Broken(f"{self.url} stopped in the middle: {error}") from None
        finally:
            answer.close()

    def create(self, image: dict[str, Any]) -> Image:
        """A new image without data.

        :raises Failure: the server refuses.
        """
        return self._json("POST", "/v2/images", image)

    def update(self, image_id: str, values: dict[str, tuple]) -> None:
        """Give attributes their values: name to (new, old), None for none.

        :raises Failure: the server refuses.
        """
        changes = []
        for name, (new, old) in values.items():
            path = "/" + name.replace("~", "~0").replace("/", "~1")
            if new is None:
                changes.append({"op": "remove", "path": path})
            else:
                operation = "add" if old is None else "replace"
                changes.append({"op": operation, "path": path, "value": new})
        self._ask(
            "PATCH", f"/v2/images/{image_id}", json.dumps(changes).encode(), {"Content-Type": PATCH}
        )

    def upload(self, image_id: str, data: Iterator[bytes], size: int | None) -> None:
        """Send the data of an image that has none.

        :raises Failure: the server refuses.
        :raises Broken: ``data`` or the connection ended too soon.
        """
        headers = {"Content-Type": OCTETS}
        if size is not None:
            headers["Content-Length"] = str(size)
        self._ask("PUT", f"/v2/images/{image_id}/file", data, headers)

    def deactivate(self, image_id: str) -> None:
        """Switch an image off.

        :raises Failure: the server refuses.
        """
        self._ask("POST", f"/v2/images/{image_id}/actions/deactivate")

    def delete(self, image_id: str) -> None:
        """Remove an image.

        :raises Failure: the server refuses.
        """
        self._ask("DELETE", f"/v2/images/{image_id}")

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        if body is None:
            return self._ask(method, path).json()
        return self._ask(method, path, json.dumps(body).encode(), {"Content-Type": JSON}).json()

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        missing: bool = False,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """One request; an error of the server becomes a Failure, but 404 when ``missing``."""
        try:
            answer = self._pool.request(
                method,
                self.url + path,
                body=body,
                headers={**self._headers, **(headers or {})},
                preload_content=not stream,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Broken(f"{self.url} does not answer: {_reason(error)}") from None
        if answer.status >= 400 and not (missing and answer.status == 404):
            text = _message(answer.data)
            answer.close()
            raise Failure(f"{self.url} says {answer.status}: {text}")
        return answer


def _url(text: str) -> str:
    """``host:port`` or a URL, without the version of the API."""
    url = text if "://" in text else f"http://{text}"
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname:
        raise Failure(f"{text!r} is neither host:port nor a URL")
    return url.rstrip("/").removesuffix("/v2")


def _skip(answer: urllib3.BaseHTTPResponse, number: int, chunk: int) -> None:
    """Read what is there already, from a server that does not know ranges."""
    while number > 0:
        piece = answer.read(min(chunk, number))
        if not piece:
            raise Broken("the data is shorter than it was")
        number -= len(piece)


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


def _message(body: bytes) -> str:
    """The sentence in an error's body, which is JSON, HTML or text."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        return str(found.get("message") or found)
    except (ValueError, AttributeError):
        return " ".join(text.replace("<br />", " ").split())[:300]
