"""A Keystone that behaves as a test wants: it answers, hangs, or refuses this service.

Speaks the part of the Identity API v3 that keystonemiddleware and oslo.limit use.
Tokens read ``user:project:role``, as those of the flavor ``fakeauth``.
"""

from __future__ import annotations

import datetime
import http.server
import json
import socket
import threading
import unittest

from keystoneauth1 import fixture

PASSWORD = "right"

#: The section of a service that asks it.
SECTION = """\
[{group}]
auth_type = password
auth_url = {url}/v3
username = glance
password = {password}
project_name = service
user_domain_id = default
project_domain_id = default
"""


def token(text: str) -> fixture.V3Token:
    """What Keystone says of a token."""
    user, project, role = text.split(":")
    made = fixture.V3Token(
        user_id=user,
        project_id=project,
        expires=datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1),
    )
    for each in {"member": ("member", "reader")}.get(role, (role,)):
        made.add_role(name=each)
    return made


class FakeKeystone:
    """``hangs``: connections are accepted and never answered.  ``requests``: (method, path) so far.

    ``limits`` are registered limits by resource.
    """

    def __init__(self, case: unittest.TestCase, port: int = 0) -> None:
        self.requests: list[tuple[str, str]] = []
        self.hangs = False
        self.limits: dict[str, int] = {}
        self._released = threading.Event()
        keystone = self

        class Handler(http.server.BaseHTTPRequestHandler):
            # Each request has its own connection: a stopped server must not serve old ones.
            protocol_version = "HTTP/1.0"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                keystone.requests.append((self.command, self.path))
                if keystone.hangs:
                    keystone._released.wait(60)
                    self.close_connection = True
                    return
                status, document, headers = keystone._answer(
                    self.command, self.path.partition("?")[0], body, self.headers
                )
                sent = json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = answer

            def log_message(self, *args: object) -> None:
                """Tests need no log of it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self._is_up = True
        case.addCleanup(self.stop)

    def section(self, group: str = "keystone_authtoken", password: str = PASSWORD) -> str:
        """Configuration of a service that asks this Keystone."""
        return SECTION.format(group=group, url=self.url, password=password)

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._released.set()
        if self._is_up:
            self._is_up = False
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, method: str, path: str, body: bytes, headers) -> tuple[int, dict, dict]:
        if (method, path.rstrip("/")) in (("GET", "/v3"), ("GET", "")):
            return 200, {"version": fixture.V3Discovery(f"{self.url}/v3")}, {}
        if (method, path) == ("POST", "/v3/auth/tokens"):
            given = json.loads(body)["auth"]["identity"]["password"]["user"]["password"]
            if given != PASSWORD:
                return 401, {"error": {"message": "No.", "code": 401}}, {}
            made = token("glance:service:service")
            service = made.add_service("identity")
            service.add_standard_endpoints(*[f"{self.url}/v3"] * 3, region="one")
            return 201, made, {"X-Subject-Token": "own"}
        if (method, path) == ("GET", "/v3/auth/tokens"):
            try:
                return 200, token(headers["X-Subject-Token"]), {}
            except ValueError:
                return 404, {"error": {"message": "Not found", "code": 404}}, {}
        if path.startswith("/v3/endpoints/"):
            return 200, {"endpoint": {"id": "e", "service_id": "s", "region_id": None}}, {}
        if path == "/v3/limits/model":
            return 200, {"model": {"name": "flat"}}, {}
        if path == "/v3/registered_limits":
            return (
                200,
                {
                    "registered_limits": [
                        {
                            "id": name,
                            "resource_name": name,
                            "default_limit": limit,
                            "service_id": "s",
                        }
                        for name, limit in self.limits.items()
                    ]
                },
                {},
            )
        if path == "/v3/limits":
            return 200, {"limits": []}, {}
        return 404, {"error": {"message": f"not here: {path}", "code": 404}}, {}


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
