"""A caller of an application in this process, for tests that gabbi cannot write down."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import webob

OCTETS = "application/octet-stream"
PATCH = "application/openstack-images-v2.1-json-patch"


class ChunkedBody:
    """A request body that comes in pieces; what stands between two pieces may act."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


class AppClient:
    """Speaks to ``app`` as one user of one project."""

    def __init__(self, app: Callable, token: str) -> None:
        self._app = app
        self._token = token

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> webob.Response:
        """One request; header names are written with underscores."""
        request = webob.Request.blank(path, method=method, body=body)
        return self._send(request, headers)

    def _send(self, request: webob.Request, headers: dict[str, str]) -> webob.Response:
        if self._token:
            request.headers["X-Auth-Token"] = self._token
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        return request.get_response(self._app)

    def create(self, **fields) -> str:
        """A new image, raw and bare unless said otherwise; its id."""
        image = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.call(
            "POST", "/v2/images", json.dumps(image).encode(), content_type="application/json"
        )
        if answer.status_int != 201:
            raise RuntimeError(f"not created: {answer.status} {answer.text}")
        return answer.json["id"]

    def show(self, image_id: str) -> dict:
        """The image as the API shows it."""
        return self.call("GET", f"/v2/images/{image_id}").json

    def patch(self, image_id: str, *operations: dict, **headers: str) -> webob.Response:
        """Several JSON patch operations at once."""
        return self.call(
            "PATCH",
            f"/v2/images/{image_id}",
            json.dumps(operations).encode(),
            content_type=PATCH,
            **headers,
        )

    def upload(self, image_id: str, data: bytes, **headers: str) -> webob.Response:
        """Data with its length announced."""
        return self.call("PUT", f"/v2/images/{image_id}/file", data, content_type=OCTETS, **headers)

    def upload_chunked(
        self, image_id: str, chunks: Iterator[bytes], announced: int | None = None
    ) -> webob.Response:
        """Data in pieces: chunked, or with a length that need not be true."""
        request = webob.Request.blank(f"/v2/images/{image_id}/file", method="PUT")
        request.environ["wsgi.input"] = ChunkedBody(chunks)
        if announced is None:
            request.environ.pop("CONTENT_LENGTH", None)
            request.environ["HTTP_TRANSFER_ENCODING"] = "chunked"
            request.environ["wsgi.input_terminated"] = True
        else:
            request.environ["CONTENT_LENGTH"] = str(announced)
        return self._send(request, {"Content-Type": OCTETS})

    def download(self, image_id: str, query: str = "", **headers: str) -> webob.Response:
        """The data, or a part of it."""
        return self.call("GET", f"/v2/images/{image_id}/file{query}", **headers)


def files(*directories: str) -> list[str]:
    """Every file below ``directories``, the hidden ones too."""
    return [
        os.path.join(place, name)
        for directory in directories
        for place, _, names in os.walk(directory)
        for name in names
    ]
