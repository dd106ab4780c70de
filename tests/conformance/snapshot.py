"""Everything that the API shows to several callers, as a value that can be compared.

Kept are the status of every answer, and its JSON or the hash of its data when it
is a success.  Left out is only what two programs may say in their own words:
descriptions in schemas, and the texts of errors.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import urllib3

#: Who looks: an administrator, the owner, a member of images, a stranger, one who may only read.
TOKENS = {
    "admin": "root:admin:admin",
    "owner": "ann:p1:member",
    "member": "bob:p2:member",
    "stranger": "eve:p3:member",
    "reader": "rob:p1:reader",
}
LIST_QUERIES = (
    "",
    "&visibility=all",
    "&visibility=public",
    "&visibility=private",
    "&visibility=shared",
    "&visibility=community",
    "&member_status=all",
    "&member_status=pending",
    "&os_hidden=true",
    "&status=active",
    "&tag=one",
    "&sort=status:asc,id:desc",
    "&sort=created_at:asc",
    "&os_distro=debian",
    "&protected=true",
    "&size_min=1",
    "&visibility=shared&member_status=rejected",
)


class ApiClient:
    """HTTP to one service."""

    def __init__(self, port: int) -> None:
        self._pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=60)
        self._url = f"http://127.0.0.1:{port}"

    def call(
        self,
        caller: str,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        **headers: str,
    ) -> urllib3.BaseHTTPResponse:
        """One request; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if caller:
            headers["X-Auth-Token"] = TOKENS[caller]
        if data is not None:
            headers["Content-Type"] = content_type
        return self._pool.request(method, self._url + path, body=data, headers=headers)

    def get(self, caller: str, path: str) -> Any:
        """The JSON of an answer that must be a success."""
        response = self.call(caller, "GET", path)
        if response.status != 200:
            raise RuntimeError(f"{caller} {path}: {response.status} {response.data!r}")
        return response.json()


@dataclasses.dataclass(slots=True)
class Snapshot:
    """Question ("who path") to (status, what was answered)."""

    responses: dict[str, tuple[int, Any]]

    def failures(self) -> set[str]:
        """The questions that the service could not answer."""
        return {
            request for request, (status, _) in self.responses.items() if not 200 <= status < 500
        }

    def differences(self, other: Snapshot) -> list[str]:
        """The questions that are answered differently, with both answers.

        What one of the two could not answer is no question.
        """
        found = []
        failed = self.failures() | other.failures()
        for request in sorted(self.responses.keys() | other.responses.keys()):
            mine, theirs = self.responses.get(request), other.responses.get(request)
            if mine != theirs and request not in failed:
                found.append(
                    f"{request}\n    {_excerpt(mine, theirs)}\n    {_excerpt(theirs, mine)}"
                )
        return found


def take_snapshot(port: int) -> Snapshot:
    """Ask the service on ``port`` everything there is to ask."""
    client = ApiClient(port)
    responses: dict[str, tuple[int, Any]] = {}
    paths = list(_paths(client))
    for caller in TOKENS:
        for path in paths:
            try:
                responses[f"{caller} {path}"] = _comparable(client.call(caller, "GET", path), path)
            except urllib3.exceptions.HTTPError:
                # Data that is promised and not there.
                responses[f"{caller} {path}"] = (0, "broken off")
    responses["nobody /v2/images"] = _comparable(client.call("", "GET", "/v2/images"), "/v2/images")
    return Snapshot(responses)


def _paths(client: ApiClient) -> Iterator[str]:
    for more in LIST_QUERIES:
        yield f"/v2/images?limit=1000{more}"
    yield "/v2/images?limit=7&visibility=all"
    images = [
        image["id"]
        for query in ("&visibility=all", "&visibility=all&os_hidden=true")
        for image in client.get("admin", f"/v2/images?limit=1000{query}")["images"]
    ]
    for image_id in images:
        path = f"/v2/images/{image_id}"
        yield from (path, f"{path}/file", f"{path}/locations", f"{path}/tasks", f"{path}/members")
        members = client.call("admin", "GET", f"{path}/members")
        if members.status == 200:
            yield from (
                f"{path}/members/{member['member_id']}"
                for member in members.json()["members"]
                if member["member_id"].isascii()
            )
    yield from (
        "/",
        "/versions",
        "/v2/info/import",
        "/v2/info/stores",
        "/v2/info/stores/detail",
        "/v2/info/usage",
        "/v2/metadefs/resource_types",
        "/v2/tasks?limit=1000",
        "/v2/images/00000000-0000-0000-0000-000000000000",
    )
    yield from (
        f"/v2/tasks/{task['id']}" for task in client.get("admin", "/v2/tasks?limit=1000")["tasks"]
    )
    yield from (
        f"/v2/schemas/{name}"
        for name in ("image", "images", "member", "members", "task", "tasks", "metadefs/namespace")
    )
    yield from _definitions(client)


def _definitions(client: ApiClient) -> Iterator[str]:
    yield "/v2/metadefs/namespaces?limit=1000"
    for namespace in client.get("admin", "/v2/metadefs/namespaces?limit=1000")["namespaces"]:
        path = f"/v2/metadefs/namespaces/{namespace['namespace']}"
        yield path
        for noun in ("objects", "properties", "tags", "resource_types"):
            yield f"{path}/{noun}"


def _comparable(response: urllib3.BaseHTTPResponse, path: str) -> tuple[int, Any]:
    if response.status >= 400:
        return response.status, None
    if path.endswith("/file"):
        return response.status, hashlib.sha256(response.data).hexdigest()
    found = _normalized(response.json() if response.data else None)
    descriptions = "/schemas/" in path or path == "/v2/info/import"
    return response.status, _without_descriptions(found) if descriptions else found


def _without_descriptions(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_descriptions(each) for key, each in value.items() if key != "description"
        }
    return [_without_descriptions(each) for each in value] if isinstance(value, list) else value


def _normalized(value: Any) -> Any:
    """Some lists are sets: their order says nothing."""
    locations = value.get("locations") if isinstance(value, dict) else None
    if isinstance(locations, list) and len(locations) > 1:
        # Those of equal weight come as the database happens to have them.
        locations = sorted(locations, key=lambda location: location["url"])
        value = {
            **value,
            "locations": locations,
            "direct_url": locations[0]["url"],
            "stores": sorted(value.get("stores", "").split(",")),
        }
    if isinstance(value, dict):
        return {
            key: sorted(each)
            if key in ("tags", "required", "enum") and all(isinstance(item, str) for item in each)
            else _normalized(each)
            for key, each in value.items()
        }
    return [_normalized(each) for each in value] if isinstance(value, list) else value


def _excerpt(response: Any, other: Any) -> str:
    """An answer, or of two long ones only what differs."""
    text, compared = json.dumps(response, sort_keys=True), json.dumps(other, sort_keys=True)
    if len(text) < 400:
        return text
    start = next(
        (n for n, pair in enumerate(zip(text, compared, strict=False)) if pair[0] != pair[1]),
        min(len(text), len(compared)),
    )
    return f"... {text[max(0, start - 120) : start + 200]} ..."
