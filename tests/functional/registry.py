"""A registry in this process, which a service reaches without a network.

``GLANCE_TEST_REGISTRY=1`` puts one behind every service of ``service.py``.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from unittest import mock

from oslo_config import cfg

from glance_py import app, config
from glance_py.registry import repositories

#: Lines for an API host: its own credentials are a token of the flavor fakeauth.
OPTIONS = "data_api = registry\n"
SECTIONS = """
[service_user]
auth_type = admin_token
endpoint = http://registry.invalid
token = glance:service:service
"""


def is_requested() -> bool:
    """Shall every service have its records behind a registry?"""
    return os.environ.get("GLANCE_TEST_REGISTRY") == "1"


class InProcessConnection:
    """What is between a client and a registry: here, a call of its application."""

    def __init__(self, application: Callable) -> None:
        self.application = application
        self.calls = 0

    def for_heartbeats(self) -> InProcessConnection:
        """There is no waiting here."""
        return self

    def post(self, body: bytes, headers: dict[str, str], is_repeatable: bool) -> tuple[int, bytes]:
        """As a connection does it."""
        self.calls += 1
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/rpc",
            "SERVER_NAME": "registry",
            "SERVER_PORT": "9191",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": headers["Content-Type"],
            **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
        }
        started: list[str] = []
        answer = b"".join(self.application(environ, lambda status, *_: started.append(status)))
        return int(started[0][:3]), answer


def connect_to_new_registry(conf: cfg.ConfigOpts) -> InProcessConnection:
    """The way to a registry over the database that ``conf`` of an API host names, too."""
    own = config.load([f"--config-file={path}" for path in conf.config_file], conf=cfg.ConfigOpts())
    own.set_override("data_api", "sqlalchemy")
    own.set_override("flavor", "fakeauth", "paste_deploy")
    own.set_override("connection", conf.database.connection, "database")
    return InProcessConnection(app.build_registry(own).app)


@contextlib.contextmanager
def in_process_registries() -> Iterator[None]:
    """While this is entered, each database has a registry in this process when one is needed."""
    made: dict[str, InProcessConnection] = {}

    def connection(conf: cfg.ConfigOpts) -> InProcessConnection:
        database = conf.database.connection
        if database not in made:
            made[database] = connect_to_new_registry(conf)
        return made[database]

    with mock.patch.object(repositories, "open_connection", connection):
        yield
