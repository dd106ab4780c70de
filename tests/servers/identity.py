"""What tests have instead of Keystone: a Paste filter in front of Swift's proxy.

Answers the part of the Identity API v3 that stores ask for (tokens, trusts) below
``/identity``, and does for Swift's keystoneauth what keystonemiddleware does:
tells it who a token belongs to.  Passwords are the names of the users.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from typing import Any

#: Users, each with a project of the same name as its key here.
PROJECTS = {"service": "glance", "demo": "demo"}
ROOT = "/identity/v3"

Answer = tuple[str, dict[str, Any], dict[str, str]]


class IdentityFilter:
    """The filter; one for one Swift, in one process."""

    def __init__(self, app: Callable, address: str) -> None:
        self._app = app
        self._address = address
        #: Projects by token, and by trust.
        self._tokens: dict[str, str] = {}
        self._trusts: dict[str, str] = {}

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(ROOT):
            self._add_identity_headers(environ)
            return self._app(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        document = json.loads(environ["wsgi.input"].read(length) or "{}")
        status, body, headers = self._answer(
            environ["REQUEST_METHOD"],
            path.removeprefix(ROOT).strip("/"),
            document,
            environ.get("HTTP_X_AUTH_TOKEN", ""),
        )
        start_response(status, [("Content-Type", "application/json"), *headers.items()])
        return [json.dumps(body).encode()]

    def _add_identity_headers(self, environ: dict) -> None:
        """Say in the headers whose token it is, as keystoneauth reads them."""
        project = self._tokens.get(environ.get("HTTP_X_AUTH_TOKEN", ""))
        if project is None:
            environ["HTTP_X_IDENTITY_STATUS"] = "Invalid"
            return
        environ.update(
            {
                f"HTTP_X_{name}": value
                for name, value in {
                    "IDENTITY_STATUS": "Confirmed",
                    "ROLES": "member",
                    "USER_ID": f"u-{PROJECTS[project]}",
                    "USER_NAME": PROJECTS[project],
                    "PROJECT_ID": f"p-{project}",
                    "PROJECT_NAME": project,
                    "USER_DOMAIN_ID": "default",
                    "PROJECT_DOMAIN_ID": "default",
                    "USER_DOMAIN_NAME": "Default",
                    "PROJECT_DOMAIN_NAME": "Default",
                }.items()
            }
        )

    def _answer(self, method: str, path: str, document: dict, token: str) -> Answer:
        if (method, path) == ("GET", ""):
            return (
                "200 OK",
                {
                    "version": {
                        "id": "v3.14",
                        "status": "stable",
                        "links": [{"rel": "self", "href": f"{self._address}{ROOT}/"}],
                    }
                },
                {},
            )
        if (method, path) == ("POST", "auth/tokens"):
            return self._issue_token(document["auth"])
        if path.startswith("OS-TRUST/trusts"):
            return self._trust(method, path, token)
        return "404 Not Found", {}, {}

    def _issue_token(self, auth: dict) -> Answer:
        user = auth["identity"].get("password", {}).get("user", {})
        scope = auth.get("scope", {})
        if "OS-TRUST:trust" in scope:
            project = self._trusts.get(scope["OS-TRUST:trust"]["id"])
        else:
            project = scope.get("project", {}).get("name")
            if PROJECTS.get(project) != user.get("name"):
                project = None
        if project is None or user.get("name") != user.get("password"):
            return "401 Unauthorized", {"error": {"message": "No.", "code": 401}}, {}
        token = secrets.token_hex(16)
        self._tokens[token] = project
        return "201 Created", {"token": self._token_document(project)}, {"X-Subject-Token": token}

    def _token_document(self, project: str) -> dict:
        user, domain = PROJECTS[project], {"id": "default", "name": "Default"}
        url = f"{self._address}/v1/KEY_p-{project}"
        return {
            "methods": ["password"],
            "issued_at": "2024-01-01T00:00:00.000000Z",
            "expires_at": "2199-01-01T00:00:00.000000Z",
            "roles": [{"id": "r-member", "name": "member"}],
            "user": {"id": f"u-{user}", "name": user, "domain": domain},
            "project": {"id": f"p-{project}", "name": project, "domain": domain},
            "catalog": [
                {
                    "type": "object-store",
                    "name": "swift",
                    "id": "s",
                    "endpoints": [
                        {
                            "interface": "public",
                            "region": "one",
                            "region_id": "one",
                            "id": "e",
                            "url": url,
                        }
                    ],
                }
            ],
        }

    def _trust(self, method: str, path: str, token: str) -> Answer:
        if token not in self._tokens:
            return "401 Unauthorized", {}, {}
        if method == "POST":
            trust = secrets.token_hex(16)
            self._trusts[trust] = self._tokens[token]
            return "201 Created", {"trust": {"id": trust}}, {}
        self._trusts.pop(path.rpartition("/")[2], None)
        return "204 No Content", {}, {}


def filter_factory(_global_conf: dict, **settings: str) -> Callable:
    """For Paste; ``address`` is Swift's own."""
    return lambda app: IdentityFilter(app, settings["address"])
