"""Swift and Keystone in memory, on loopback, as far as the driver uses them.

Source: OpenStack Object Storage API v1; Identity API v3 with OS-TRUST.
"""

from __future__ import annotations

import datetime
import http.server
import itertools
import json
import re
import threading
from urllib.parse import parse_qs, unquote, urlsplit

#: User -> (password, project).
USERS = {"glance": ("secret", "service"), "other": ("word", "theirs")}
#: Entries in one page of a listing.
PAGE = 20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


class FakeSwift(http.server.ThreadingHTTPServer):
    """The state of both services."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        #: (project, container) -> [access lists, {name: (data, headers)}].
        self.containers: dict[tuple[str, str], list] = {}
        #: Token -> (user, project).
        self.tokens: dict[str, tuple[str, str]] = {}
        self.trusts: dict[str, tuple[str, str]] = {}
        self.numbers = itertools.count(1)
        #: Name of a service that answers with status 503, or None.
        self.is_away: str | None = None
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def variable(self) -> str:
        """The value of GLANCE_TEST_SWIFT for this server."""
        return f"http://service:glance:secret@{self.host}/v3,theirs:other:word"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close their connection, as killed writers do."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without it each answer waits for the acknowledgement of its headers.
    disable_nagle_algorithm = True
    server: FakeSwift

    def log_message(self, *args: object) -> None:
        """Log nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, status: int, content: object, **headers: str) -> None:
        self.answer(status, json.dumps(content).encode(), **headers)

    def body(self) -> bytes | None:
        """The body of the request, None when the client has closed the connection early."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline() or b"-1", 16):
                if size < 0:
                    return None
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length", 0))
        data = self.rfile.read(length)
        return data if len(data) == length else None

    def serve(self) -> None:
        body = self.body()
        if body is None:
            self.close_connection = True
            return
        path = urlsplit(self.path)
        parts = [unquote(part) for part in path.path.strip("/").split("/", 3)]
        service = "keystone" if parts[0] == "v3" else "swift"
        if self.server.is_away == service:
            self.answer(503)
        elif service == "keystone":
            self.keystone(parts, body)
        else:
            self.swift(parts, parse_qs(path.query, keep_blank_values=True), body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

    # ------------------------------------------------------------ Keystone

    def keystone(self, parts: list[str], body: bytes) -> None:
        if self.command == "GET" and parts == ["v3"]:
            link = {"rel": "self", "href": f"http://{self.server.host}/v3/"}
            version = {"id": "v3.14", "status": "stable", "links": [link]}
            return self.json(200, {"version": version})
        if parts[1:] == ["auth", "tokens"]:
            return self.log_in(json.loads(body)["auth"])
        caller = self.server.tokens.get(self.headers.get("X-Auth-Token", ""))
        if caller is None:
            return self.json(401, {"error": {"code": 401, "message": "no", "title": "no"}})
        if self.command == "POST":
            wanted = json.loads(body)["trust"]
            trust = f"trust{next(self.server.numbers)}"
            self.server.trusts[trust] = (wanted["trustor_user_id"], wanted["project_id"])
            return self.json(201, {"trust": {"id": trust}})
        self.server.trusts.pop(parts[3], None)
        return self.answer(204)

    def log_in(self, auth: dict) -> None:
        user = auth["identity"]["password"]["user"]
        password, project = USERS.get(user["name"], (None, ""))
        if user["password"] != password:
            return self.json(401, {"error": {"code": 401, "message": "no", "title": "no"}})
        owner = user["name"]
        trust = auth.get("scope", {}).get("OS-TRUST:trust")
        if trust is not None:
            owner, project = self.server.trusts[trust["id"]]
        token = f"token{next(self.server.numbers)}"
        self.server.tokens[token] = (owner, project)
        url = f"http://{self.server.host}/v1/AUTH_{project}"
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        domain = {"id": "default", "name": "Default"}
        endpoint = {"interface": "public", "url": url, "region": "one", "region_id": "one"}
        return self.json(
            201,
            {
                "token": {
                    "methods": ["password"],
                    "user": {"id": owner, "name": owner, "domain": domain},
                    "project": {"id": project, "name": project, "domain": domain},
                    "roles": [{"id": "m", "name": "member"}],
                    "catalog": [{"type": "object-store", "name": "swift", "endpoints": [endpoint]}],
                    "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
                    "issued_at": "2026-01-01T00:00:00.000000Z",
                }
            },
            X_Subject_Token=token,
        )

    # ------------------------------------------------------------ Swift

    def swift(self, parts: list[str], query: dict[str, list[str]], body: bytes) -> None:
        caller = self.server.tokens.get(self.headers.get("X-Auth-Token", ""))
        if caller is None:
            return self.answer(401)
        project = parts[1].removeprefix("AUTH_")
        if not self.is_allowed(caller[1], project, parts[2] if len(parts) > 2 else None):
            return self.answer(403)
        if len(parts) == 2:
            return self.account(project, query)
        if len(parts) == 3:
            return self.container((project, parts[2]), query)
        return self.object((project, parts[2]), parts[3], query, body)

    def is_allowed(self, caller: str, project: str, container: str | None) -> bool:
        if caller == project:
            return True
        if self.command not in ("GET", "HEAD"):
            return False
        found = self.server.containers.get((project, container or ""))
        read = found[0].get("read", "") if found else ""
        return not {"*:*", f"{caller}:*"}.isdisjoint(read.split(","))

    def account(self, project: str, query: dict[str, list[str]]) -> None:
        if self.command == "HEAD":
            return self.answer(204)
        names = [name for owner, name in self.server.containers if owner == project]
        return self.listing([{"name": name} for name in sorted(names)], query)

    def listing(self, entries: list[dict], query: dict[str, list[str]]) -> None:
        """A page of a listing."""
        prefix, marker = query["prefix"][0], query["marker"][0]
        found = [
            entry
            for entry in entries
            if entry["name"].startswith(prefix) and entry["name"] > marker
        ]
        return self.json(200, found[:PAGE])

    def container(self, key: tuple[str, str], query: dict[str, list[str]]) -> None:
        lists = {
            name: self.headers[f"X-Container-{name}"]
            for name in ("read", "write")
            if f"X-Container-{name}" in self.headers
        }
        found = self.server.containers.get(key)
        if self.command == "PUT":
            self.server.containers.setdefault(key, [{}, {}])[0].update(lists)
            return self.answer(201)
        if found is None:
            return self.answer(404)
        if self.command == "POST":
            found[0].update(lists)
        elif self.command == "DELETE":
            if found[1]:
                return self.answer(409)
            del self.server.containers[key]
        elif self.command == "GET":
            now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat()
            return self.listing(
                [
                    {"name": name, "bytes": len(data), "last_modified": now}
                    for name, (data, _) in sorted(found[1].items())
                ],
                query,
            )
        return self.answer(204)

    def object(
        self, key: tuple[str, str], name: str, query: dict[str, list[str]], body: bytes
    ) -> None:
        objects = self.server.containers.get(key, [{}, None])[1]
        if objects is None:
            return self.answer(404)
        if self.command == "PUT":
            if self.headers.get("If-None-Match") == "*" and name in objects:
                return self.answer(412)
            headers = {
                each.title(): value
                for each, value in self.headers.items()
                if each.lower().startswith(("x-object-", "x-static-"))
            }
            if query.get("multipart-manifest") == ["put"]:
                headers["X-Static-Large-Object"] = "True"
            objects[name] = (body, headers)
            return self.answer(201)
        if name not in objects:
            return self.answer(404)
        if self.command == "DELETE":
            return self.delete_object(key, objects, name, query)
        data, headers = objects[name]
        return self.send_part(self.whole(key[0], data, headers), headers)

    def whole(self, project: str, data: bytes, headers: dict[str, str]) -> bytes:
        """The data of an object, of a large one that of its segments."""
        if "X-Static-Large-Object" in headers:
            segments = [unquote(each["path"]).strip("/").split("/", 1) for each in json.loads(data)]
            return b"".join(
                self.server.containers[project, container][1][segment][0]
                for container, segment in segments
            )
        manifest = headers.get("X-Object-Manifest")
        if manifest is None:
            return data
        container, _, prefix = unquote(manifest).partition("/")
        objects = self.server.containers[project, container][1]
        return b"".join(
            objects[segment][0] for segment in sorted(objects) if segment.startswith(prefix)
        )

    def send_part(self, data: bytes, headers: dict[str, str]) -> None:
        found = _RANGE.match(self.headers.get("Range", ""))
        if found is None:
            return self.answer(200, data, **headers)
        start, end = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
        if start >= len(data):
            return self.answer(416)
        place = f"bytes {start}-{end - 1}/{len(data)}"
        return self.answer(206, data[start:end], **headers, Content_Range=place)

    def delete_object(
        self, key: tuple[str, str], objects: dict, name: str, query: dict[str, list[str]]
    ) -> None:
        data, _ = objects.pop(name)
        if query.get("multipart-manifest") != ["delete"]:
            return self.answer(204)
        for each in json.loads(data):
            container, segment = each["path"].strip("/").split("/", 1)
            del self.server.containers[key[0], container][1][segment]
        return self.json(200, {"Response Status": "200 OK", "Errors": []})
