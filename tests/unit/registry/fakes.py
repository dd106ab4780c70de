"""Records that remember what they were asked, and a way to call a registry over them."""

from __future__ import annotations

import io
import json

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.metadef import Namespace
from glance_py.domain.ports import Repositories
from glance_py.domain.query import Page

IMAGES = {
    "mine": Image("mine", owner="p1", visibility="private"),
    "theirs": Image("theirs", owner="p2", visibility="private"),
    "public": Image("public", owner="p2", visibility="public"),
    "shared": Image("shared", owner="p2", visibility="shared", caller_membership="p1"),
}
NAMESPACES = {
    "mine": Namespace("mine", "p1", id=1),
    "theirs": Namespace("theirs", "p2", id=2),
    "public": Namespace("public", "p2", visibility="public", id=3),
}


class FakeRepository:
    """Any port: notes what reaches it."""

    def __init__(self, calls: list, name: str) -> None:
        self._calls = calls
        self._name = name

    def __getattr__(self, operation):
        def method(*args, **kwargs):
            self._calls.append(f"{self._name}.{operation}")

        return method


class FakeImages(FakeRepository):
    def get(self, ctx, image_id):
        if image_id not in IMAGES:
            raise errors.ImageNotFound(image_id)
        return IMAGES[image_id]

    def list(self, ctx, query):
        if query.marker == "bug":
            raise ZeroDivisionError("a secret")
        return Page([])

    def update(self, ctx, image, change):
        self._calls.append("images.update")
        return image


class FakeMembers(FakeRepository):
    def find(self, ctx, image_id, member_id=None):
        return [Member(image_id, "p1"), Member(image_id, "p3")]


class FakeNamespaces(FakeRepository):
    def resolve(self, ctx, name):
        if name not in NAMESPACES:
            raise errors.NamespaceNotFound(name)
        return NAMESPACES[name]

    get = resolve


def fake_repositories(calls: list) -> Repositories:
    """A DAL with the images and namespaces above; ``calls`` notes each write."""
    ports = {
        name: FakeRepository(calls, name)
        for name in ("tasks", "claims", "usage", "definitions", "cached_images", "pending")
    }
    return Repositories(
        images=FakeImages(calls, "images"),
        members=FakeMembers(calls, "members"),
        namespaces=FakeNamespaces(calls, "namespaces"),
        **ports,
        ping=lambda: calls.append("ping"),
    )


def caller(project: str = "p1", *roles: str, **more) -> RequestContext:
    """A caller that an API host vouches for."""
    return RequestContext(
        **{
            "user_id": "u",
            "project_id": project,
            "roles": list(roles),
            "service_roles": ["service"],
            **more,
        }
    )


#: An API host on its own account, and an administrator.
HOST = RequestContext(user_id="glance", project_id="services", roles=["service"])
ADMIN = caller("admin", "admin", is_admin=True)


def ask(app, ctx, document, **environ) -> tuple[int, object]:
    """Send a request to a registry as ``ctx``; status and what the body says."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    started: list[str] = []
    answer = app(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/rpc",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "glance.context": ctx,
            **environ,
        },
        lambda status, headers: started.append(status),
    )
    return int(started[0][:3]), json.loads(b"".join(answer))
