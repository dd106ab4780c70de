"""Operations and other dependencies of the API, kept in memory."""

from __future__ import annotations

import datetime
import io
import types
from unittest import mock

import orjson

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import RejectedChange
from glance_py.domain.member import Member
from glance_py.domain.ports import Data, DefinitionOperations, NamespaceOperations, TaskOperations
from glance_py.domain.query import Page
from glance_py.http.router import API
from glance_py.settings import ApiSettings, FormatSettings, ImportSettings, Settings
from glance_py.wire.image import image_resource

NOW = datetime.datetime(2030, 1, 2, 3, 4, 5, 678)


class Stores:
    multi = True
    default = "fast"
    ids = ("fast", "slow")

    def weight(self, store):
        return {"slow": 5}.get(store, 0)

    def describe(self):
        info = types.SimpleNamespace
        return [
            info(
                id="fast",
                type="file",
                description="quick",
                default=True,
                read_only=False,
                weight=0,
                properties={"data_dir": "/x"},
            ),
            info(
                id="slow",
                type="http",
                description=None,
                default=False,
                read_only=True,
                weight=5,
                properties={},
            ),
        ]


class Images:
    """Keeps images in a dict and applies changes to them."""

    def __init__(self):
        self.images = {}
        self.data = {}
        self.queries = []

    def get(self, ctx, image_id):
        if image_id not in self.images:
            raise errors.ImageNotFound(image_id)
        return self.images[image_id]

    resolve = get

    def list(self, ctx, query):
        self.queries.append(query)
        images = list(self.images.values())[: query.limit]
        return Page(images, full=len(images) == query.limit)

    def create(self, ctx, image):
        image.created_at = image.updated_at = NOW
        image.tags = sorted(set(image.tags))
        self.images[image.id] = image
        return image

    def update(self, ctx, image, change):
        self.change = change
        if isinstance(change, RejectedChange):
            raise change.error
        for tag in set(change.remove_tags).difference(image.tags):
            raise errors.TagNotFound(tag, image.id)
        for name, value in change.fields.items():
            setattr(image, name, value)
        image.properties = change.properties_after(image.properties)
        image.tags = sorted(change.tags_after(image.tags))
        return image

    def delete(self, ctx, image):
        del self.images[image.id]

    def upload(self, ctx, image, upload):
        self.uploaded = upload
        self.data[image.id] = b"".join(upload.source)

    stage = upload

    def download(self, ctx, image, wanted):
        self.wanted = wanted
        data = self.data.get(image.id)
        if data is None:
            return None
        part = data[wanted.start : wanted.stop]
        length = (wanted.stop or image.size) - wanted.start
        return Data(iter([part]), length, close=lambda: setattr(self, "closed", True))

    def import_(self, ctx, image, request):
        self.imported = request

    def list_locations(self, ctx, image):
        return image.locations

    def add_location(self, ctx, image, registration):
        self.registration = registration

    def delete_from_store(self, ctx, image, store):
        self.deleted_from = store
        return image

    def set_status(self, ctx, image, to):
        image.status = to
        return image


class Members:
    def __init__(self):
        self.members = {}

    def list(self, ctx, image):
        return list(self.members.values())

    def get(self, ctx, image, member_id):
        if member_id not in self.members:
            raise errors.MemberNotFound(member_id, image.id)
        return self.members[member_id]

    resolve = get

    def create(self, ctx, image, member_id):
        self.members[member_id] = Member(image.id, member_id, "pending", NOW, NOW)
        return self.members[member_id]

    def update(self, ctx, image, member, status):
        member.status = status
        return member

    def delete(self, ctx, image, member):
        del self.members[member.member_id]


class Enforcer:
    def enforce(self, ctx, rule, target):
        if not ctx.is_admin:
            raise errors.PolicyForbids(rule)


FORMATS = FormatSettings(container_formats=("bare", "ovf"), disk_formats=("raw", "qcow2"))

#: The image as these formats declare it.
IMAGE = image_resource(FORMATS)


def api_settings(**changes):
    """The settings of the API, with two methods of import by default."""
    return ApiSettings(**{"enabled_import_methods": ("glance-direct", "web-download"), **changes})


class Answer:
    def __init__(self, status, headers, body):
        self.status = int(status.split()[0])
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def json(self):
        return orjson.loads(self.body)


class Service:
    """An API over fakes, and a client that speaks WSGI with it."""

    def __init__(self, limits=None, cache=None, **options):
        self.images, self.members = Images(), Members()
        #: Operations that a test gives results to; a call that the port does not have fails.
        self.tasks, self.namespaces, self.definitions = (
            mock.Mock(spec=port)
            for port in (TaskOperations, NamespaceOperations, DefinitionOperations)
        )
        self.stores = Stores()
        settings = Settings(
            api=api_settings(**options),
            formats=FORMATS,
            imports=ImportSettings(image_import_plugins=("inject_image_metadata",)),
        )
        self.api = API(self, settings, self.stores, Enforcer(), limits=limits, cache=cache)

    def call(
        self,
        method,
        path,
        body=b"",
        *,
        admin=False,
        read_only=False,
        content_type=None,
        extra=None,
        **headers,
    ):
        """Send one request; ``headers`` are names with underscores."""
        path, _, query = path.partition("?")
        if isinstance(body, dict | list):
            body, content_type = orjson.dumps(body), content_type or "application/json"
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "SCRIPT_NAME": "/v2",
            "QUERY_STRING": query,
            "SERVER_NAME": "host",
            "SERVER_PORT": "80",
            "HTTP_HOST": "host",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": content_type or "",
            "glance.context": RequestContext(
                project_id="p1", is_admin=admin, read_only=read_only, request_id="req-1"
            ),
            "openstack.request_id": "req-1",
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
            **(extra or {}),
        }
        seen = []
        result = self.api(
            environ, lambda status, headers, exc_info=None: seen.append((status, headers))
        )
        try:
            body = b"".join(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        return Answer(*seen[-1], body)

    def patch(self, image_id, *operations, **how):
        return self.call(
            "PATCH",
            f"/images/{image_id}",
            list(operations),
            content_type="application/openstack-images-v2.1-json-patch",
            **how,
        )

    def image(self, **body):
        """Create an image over HTTP and return its id."""
        return self.call("POST", "/images", body).json["id"]
