"""What the tests of the middleware share: options, a recording application, one call."""

from __future__ import annotations

from oslo_config import cfg

from glance_py.middleware.factory_deps import FactoryDependencies
from glance_py.settings import Settings
from tests.config import loaded as options

__all__ = ["RecordingApp", "RoleEnforcer", "call", "factory_dependencies", "options"]


def factory_dependencies(conf: cfg.ConfigOpts | None = None, **given) -> FactoryDependencies:
    """What factories get of a process with ``conf`` and otherwise ``given``."""
    conf = conf or options()
    return FactoryDependencies(
        conf,
        **{
            "settings": Settings.from_conf(conf),
            "enforcer": RoleEnforcer(),
            "application": RecordingApp(),
            "ping": lambda: None,
            **given,
        },
    )


class RoleEnforcer:
    """Administrators have the role admin."""

    def is_admin(self, ctx) -> bool:
        return "admin" in ctx.roles


class RecordingApp:
    """The application at the end; remembers what reached it."""

    environ: dict | None = None

    def __call__(self, environ, start_response):
        self.environ = environ
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"end"]


def call(app, path: str = "/", method: str = "GET", **environ) -> tuple[int, dict, bytes]:
    """One request; status, headers (lower case) and body of the answer."""
    answer = {}

    def start_response(status, headers, exc_info=None):
        answer.update(status=int(status[:3]), headers={k.lower(): v for k, v in headers})

    chunks = app(
        {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "img",
            "SERVER_PORT": "80",
            "HTTP_HOST": "img.example",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            **environ,
        },
        start_response,
    )
    try:
        body = b"".join(chunks)
    finally:
        # As a server does (PEP 3333).
        getattr(chunks, "close", lambda: None)()
    return answer["status"], answer["headers"], body
