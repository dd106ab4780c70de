"""The requests whose effort is kept within a budget, through the whole pipeline.

A service in this process, over SQLite and files, with a thousand images of 20
properties, 5 tags and 2 locations each.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import itertools
import json
import uuid
from collections.abc import Callable, Iterator

import sqlalchemy as sa
import webob

from glance_py import app
from glance_py.db import tables
from glance_py.db.database import open_database
from tests.functional import service
from tests.functional.client import OCTETS, PATCH

IMAGE_COUNT = 1000
FIRST_CREATED_AT = datetime.datetime(2020, 1, 1)
NAMESPACE = uuid.UUID("0d9f3f0e-7f3c-4b9c-9c62-6d5f6a1b7f10")
DATA = b"x" * 65536

Action = Callable[[], None]


def image_id(number: int) -> str:
    return str(uuid.uuid5(NAMESPACE, str(number)))


def fill(connection: sa.Connection) -> None:
    """IMAGE_COUNT images of project p1, a second apart."""

    def rows(one: Callable[[int], list[dict]]) -> list[dict]:
        return [
            {"created_at": when, "updated_at": when, "deleted": False, **row}
            for n in range(IMAGE_COUNT)
            for when in [FIRST_CREATED_AT + datetime.timedelta(seconds=n)]
            for row in one(n)
        ]

    connection.execute(
        tables.images.insert(),
        rows(
            lambda n: [
                {
                    "id": image_id(n),
                    "name": f"n{n}",
                    "status": "active",
                    "owner": "p1",
                    "size": n,
                    "min_disk": 0,
                    "min_ram": 0,
                    "protected": False,
                    "os_hidden": False,
                    "visibility": "shared" if n % 5 else "public",
                }
            ]
        ),
    )
    connection.execute(
        tables.image_properties.insert(),
        rows(
            lambda n: [
                {"image_id": image_id(n), "name": f"p{k}", "value": f"v{k}"} for k in range(20)
            ]
        ),
    )
    connection.execute(
        tables.image_tags.insert(),
        rows(lambda n: [{"image_id": image_id(n), "value": f"t{k}"} for k in range(5)]),
    )
    connection.execute(
        tables.image_locations.insert(),
        rows(
            lambda n: [
                {
                    "image_id": image_id(n),
                    "value": f"file:///{store}/{n}",
                    "status": "active",
                    "meta_data": f'{{"store": "{store}"}}',
                }
                for store in ("fast", "slow")
            ]
        ),
    )


class RequestCases:
    """Makes requests ready; ``token`` is who sends them."""

    def __init__(self, application: Callable, token: str) -> None:
        self._application = application
        self._token = token
        self._sequence = itertools.count()
        self._downloadable: str | None = None

    def _request(
        self, status: int, method: str, path: str, body: bytes = b"", media_type: str = ""
    ) -> Action:
        """An action that sends this and takes the answer, which must have ``status``."""
        request = webob.Request.blank(path, method=method, body=body)
        request.headers["X-Auth-Token"] = self._token
        if media_type:
            request.headers["Content-Type"] = media_type
        environ = request.environ
        environ["wsgi.input"] = io.BytesIO(body)
        status_lines: list[str] = []

        def send() -> None:
            answer = self._application(environ, lambda line, *_rest: status_lines.append(line))
            try:
                for _chunk in answer:
                    pass
            finally:
                if hasattr(answer, "close"):
                    answer.close()
            if not status_lines[0].startswith(str(status)):
                raise RuntimeError(f"{method} {path}: {status_lines[0]}")

        return send

    def _create_image(self) -> str:
        """A new image without data; its id."""
        number = str(uuid.uuid4())
        self._create_action(id=number)()
        return number

    def _create_action(self, **fields: str) -> Action:
        document = {
            "name": "n",
            "disk_format": "raw",
            "container_format": "bare",
            "tags": [f"t{k}" for k in range(5)],
            **{f"p{k}": "v" for k in range(20)},
            **fields,
        }
        return self._request(
            201, "POST", "/v2/images", json.dumps(document).encode(), "application/json"
        )

    def show(self) -> Action:
        return self._request(200, "GET", f"/v2/images/{image_id(7)}")

    def missing(self) -> Action:
        return self._request(404, "GET", f"/v2/images/{image_id(-1)}")

    def list_1(self) -> Action:
        return self._request(200, "GET", "/v2/images?limit=1")

    def list_100(self) -> Action:
        return self._request(200, "GET", "/v2/images?limit=100")

    def list_1000(self) -> Action:
        return self._request(200, "GET", "/v2/images?limit=1000")

    def create(self) -> Action:
        return self._create_action()

    def patch(self) -> Action:
        operations = [
            {"op": "replace", "path": "/name", "value": f"n{next(self._sequence)}"},
            {"op": "replace", "path": "/p1", "value": f"w{next(self._sequence)}"},
            {"op": "add", "path": f"/new{next(self._sequence)}", "value": "v"},
        ]
        return self._request(
            200,
            "PATCH",
            f"/v2/images/{self._create_image()}",
            json.dumps(operations).encode(),
            PATCH,
        )

    def delete(self) -> Action:
        return self._request(204, "DELETE", f"/v2/images/{self._create_image()}")

    def upload(self) -> Action:
        return self._request(204, "PUT", f"/v2/images/{self._create_image()}/file", DATA, OCTETS)

    def download(self) -> Action:
        if self._downloadable is None:
            self._downloadable = self._create_image()
            self._request(204, "PUT", f"/v2/images/{self._downloadable}/file", DATA, OCTETS)()
        return self._request(200, "GET", f"/v2/images/{self._downloadable}/file")


#: Every case, in the order in which it stands above.
NAMES = tuple(name for name in vars(RequestCases) if not name.startswith("_"))


@contextlib.contextmanager
def cases(token: str = "u:p1:member") -> Iterator[RequestCases]:
    """The cases, while their service exists."""
    with service.configured() as (conf, _directory):
        database = open_database(conf)
        database.write(fill)
        database.dispose()
        yield RequestCases(app.build(conf), token)
