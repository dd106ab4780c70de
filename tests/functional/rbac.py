"""Who may do what: every operation by every role of every project on every kind of image.

``rbac.json`` holds the statuses with which Glance 33.0.0 answered, with its default
rules and a filter that believes tokens as the flavor ``fakeauth`` does.  To ask
another service the same: ``python -m tests.functional.rbac http://host:port``.
"""

from __future__ import annotations

import http.client
import json
import sys
import uuid
from collections.abc import Callable, Iterator

#: (method, path, body, headers) -> status and body.
Call = Callable[[str, str, bytes | None, dict[str, str]], tuple[int, bytes]]

ROLES = ("other", "reader", "member", "admin", "service")
#: The owner's project, one that accepted to be a member, one that did not yet, and any other.
PROJECTS = ("owner", "friend", "invited", "stranger")

IMAGE_KINDS: dict[str, dict[str, object]] = {
    "private": {"visibility": "private"},
    "shared": {"visibility": "shared"},
    "community": {"visibility": "community"},
    "public": {"visibility": "public"},
    "hidden": {"visibility": "public", "os_hidden": True},
}

PATCH = "application/openstack-images-v2.1-json-patch"
OCTETS = "application/octet-stream"
JSON = "application/json"


def _replace(name: str, value: object) -> tuple:
    return "PATCH", "", [{"op": "replace", "path": f"/{name}", "value": value}], PATCH


#: Operation -> the state that the image is in, and method, path below the image, body, type.
OPERATIONS: dict[str, tuple] = {
    "show": ("active", "GET", "", None, None),
    "rename": ("active", *_replace("name", "new")),
    "add a property": ("active", "PATCH", "", [{"op": "add", "path": "/x", "value": "y"}], PATCH),
    "make public": ("active", *_replace("visibility", "public")),
    "make community": ("active", *_replace("visibility", "community")),
    "make private": ("active", *_replace("visibility", "private")),
    "hide": ("active", *_replace("os_hidden", True)),
    "give away": ("active", *_replace("owner", "elsewhere")),
    "delete": ("active", "DELETE", "", None, None),
    "upload": ("queued", "PUT", "/file", b"data", OCTETS),
    "stage": ("queued", "PUT", "/stage", b"data", OCTETS),
    # Nothing is staged: whoever may import learns that, others do not.
    "import": ("queued", "POST", "/import", {"method": {"name": "glance-direct"}}, JSON),
    "download": ("active", "GET", "/file", None, None),
    "download deactivated": ("deactivated", "GET", "/file", None, None),
    "deactivate": ("active", "POST", "/actions/deactivate", None, None),
    "reactivate": ("deactivated", "POST", "/actions/reactivate", None, None),
    "tag": ("active", "PUT", "/tags/new", None, None),
    "untag": ("active", "DELETE", "/tags/old", None, None),
    "list members": ("active", "GET", "/members", None, None),
    "see a member": ("active", "GET", "/members/{friend}", None, None),
    "add a member": ("active", "POST", "/members", {"member": "new"}, JSON),
    "accept": ("active", "PUT", "/members/{invited}", {"status": "accepted"}, JSON),
    "remove a member": ("active", "DELETE", "/members/{friend}", None, None),
    "read locations": ("active", "GET", "/locations", None, None),
    "list its tasks": ("active", "GET", "/tasks", None, None),
}

#: Queries in whose lists an image may stand: 1 when it does, 0 when not, or the status.
LISTS = (
    "",
    "visibility=all",
    "visibility=community",
    "visibility=shared",
    "visibility=shared&member_status=all",
    "visibility=shared&member_status=pending",
    "os_hidden=true",
)

#: What concerns no image that is there already.
WITHOUT_IMAGE: dict[str, tuple] = {
    "create": ("POST", "/v2/images", {}, JSON),
    "create public": ("POST", "/v2/images", {"visibility": "public"}, JSON),
    "create community": ("POST", "/v2/images", {"visibility": "community"}, JSON),
    "create for another": ("POST", "/v2/images", {"owner": "elsewhere"}, JSON),
    "list tasks": ("GET", "/v2/tasks", None, None),
    "list stores": ("GET", "/v2/info/stores", None, None),
    "look into stores": ("GET", "/v2/info/stores/detail", None, None),
    "list namespaces": ("GET", "/v2/metadefs/namespaces", None, None),
    "create a namespace": ("POST", "/v2/metadefs/namespaces", {"namespace": "{unique}"}, JSON),
}


class AccessProbe:
    """Asks one service everything.

    :param call: how to ask it.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        unique = uuid.uuid4().hex[:8]
        self._projects = {name: f"{name}-{unique}" for name in PROJECTS}
        self._created_ids: list[str] = []

    def ask(
        self, role: str, project: str, method: str, path: str, body=None, kind: str | None = None
    ) -> tuple[int, bytes]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"X-Auth-Token": f"u:{self._projects[project]}:{role}"}
        if kind:
            headers["Content-Type"] = kind
        return self._call(method, path, data, headers)

    def _image(self, kind: str, state: str) -> str:
        """A new image of the owner in a state, with a tag and two members."""

        def admin(method: str, path: str, body=None, content: str | None = JSON) -> bytes:
            status, answer = self.ask("admin", "owner", method, path, body, content)
            if status >= 400:
                raise RuntimeError(f"{method} {path}: {status} {answer!r}")
            return answer

        shared = {
            **IMAGE_KINDS[kind],
            "visibility": "shared",
            "disk_format": "raw",
            "container_format": "bare",
            "tags": ["old"],
        }
        image_id = json.loads(admin("POST", "/v2/images", shared))["id"]
        self._created_ids.append(image_id)
        path = f"/v2/images/{image_id}"
        for project in ("friend", "invited"):
            admin("POST", f"{path}/members", {"member": self._projects[project]})
        admin("PUT", f"{path}/members/{self._projects['friend']}", {"status": "accepted"})
        if kind != "shared":
            admin("PATCH", path, _replace("visibility", IMAGE_KINDS[kind]["visibility"])[2], PATCH)
        if state != "queued":
            admin("PUT", f"{path}/file", b"data", OCTETS)
        if state == "deactivated":
            admin("POST", f"{path}/actions/deactivate", None, None)
        return path

    def image_statuses(self) -> Iterator[tuple[str, str, str, list[int]]]:
        """(kind of image, operation, project, statuses in the order of ROLES)."""
        for kind in IMAGE_KINDS:
            for name, (state, method, path, body, content) in OPERATIONS.items():
                image = None
                for project in PROJECTS:
                    statuses = []
                    for role in ROLES:
                        image = image or self._image(kind, state)
                        where = image + path.format(**self._projects)
                        status, _ = self.ask(role, project, method, where, body, content)
                        statuses.append(status)
                        if method != "GET" and status < 400:
                            image = None
                    yield kind, name, project, statuses

    def list_statuses(self) -> Iterator[tuple[str, str, str, list[int]]]:
        """(kind of image, query, project, in the list or not in the order of ROLES)."""
        for kind in IMAGE_KINDS:
            image_id = self._image(kind, "active").rpartition("/")[2]
            for query in LISTS:
                for project in PROJECTS:
                    yield (
                        kind,
                        f"?{query}",
                        project,
                        [self._listed(role, project, image_id, query) for role in ROLES],
                    )

    def _listed(self, role: str, project: str, image_id: str, query: str) -> int:
        path = f"/v2/images?id=in:{image_id}&{query}"
        status, body = self.ask(role, project, "GET", path)
        if status != 200:
            return status
        return len(json.loads(body)["images"])

    def without_image(self) -> Iterator[tuple[str, str, str, list[int]]]:
        """The same without an image."""
        for name, (method, path, body, content) in WITHOUT_IMAGE.items():
            statuses = []
            for role in ROLES:
                sent = body
                if isinstance(body, dict) and "namespace" in body:
                    sent = {"namespace": uuid.uuid4().hex}
                status, answer = self.ask(role, "owner", method, path, sent, content)
                statuses.append(status)
                if status == 201:
                    self._remember_created(answer)
            yield "", name, "owner", statuses

    def _remember_created(self, answer: bytes) -> None:
        made = json.loads(answer)
        if "namespace" in made:
            self.ask("admin", "owner", "DELETE", f"/v2/metadefs/namespaces/{made['namespace']}")
        else:
            self._created_ids.append(made["id"])

    def clean(self) -> None:
        """Delete all images that were made."""
        for image_id in self._created_ids:
            self.ask("admin", "owner", "DELETE", f"/v2/images/{image_id}")

    def collect(self) -> dict[str, dict[str, dict[str, str]]]:
        """Kind of image -> operation -> project -> statuses."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for asked in (self.without_image, self.list_statuses, self.image_statuses):
            for kind, name, project, statuses in asked():
                found.setdefault(kind, {}).setdefault(name, {})[project] = " ".join(
                    str(status) for status in statuses
                )
        return found


def write(found: dict[str, dict[str, dict[str, str]]]) -> str:
    """As JSON with one operation a line."""
    kinds = []
    for kind, operations in found.items():
        lines = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(projects)}" for name, projects in operations.items()
        )
        kinds.append(f" {json.dumps(kind)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def main(url: str) -> None:
    host = url.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(host, timeout=60)

    def call(method, path, body, headers):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    probe = AccessProbe(call)
    try:
        sys.stdout.write(write(probe.collect()))
    finally:
        probe.clean()


if __name__ == "__main__":
    main(sys.argv[1])
