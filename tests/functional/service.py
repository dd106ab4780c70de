"""A whole service in this process: the Paste pipeline over SQLite and files.

Tests call ``application`` as a server would; tokens read ``user:project:role``.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from gabbi import fixture
from oslo_config import cfg

from glance_py import app, claims, config
from glance_py.db import engine, migrations
from tests.functional import registry

CONFIGURATION = """\
[DEFAULT]
enabled_backends = fast:file, slow:file
{options}
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {directory}/fast
[slow]
filesystem_store_datadir = {directory}/slow
[os_glance_staging_store]
filesystem_store_datadir = {directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[database]
connection = sqlite:///{directory}/glance.sqlite
[paste_deploy]
flavor = fakeauth
"""


@contextlib.contextmanager
def configured(
    options: str = "",
    remote: bool | None = None,
) -> Iterator[tuple[cfg.ConfigOpts, str]]:
    """The configuration of a service with an empty database, and its directory.

    :param options: lines for the section DEFAULT; the last of a name wins.
    :param remote: has it its records behind a registry?  None: see ``registry.py``.
    """
    remote = registry.is_wanted() if remote is None else remote
    with tempfile.TemporaryDirectory(prefix="glance-") as directory:
        for name in ("fast", "slow", "staging", "tasks"):
            os.mkdir(os.path.join(directory, name))
        path = os.path.join(directory, "glance-api.conf")
        with open(path, "w") as file:
            file.write(
                CONFIGURATION.format(
                    options=registry.OPTIONS + options if remote else options, directory=directory
                )
            )
            file.write(registry.SECTIONS if remote else "")
        conf = config.load(["--config-file", path], conf=cfg.ConfigOpts())
        migrations.upgrade(engine.open_database(conf))
        with registry.registries() if remote else contextlib.nullcontext(), claims_given_back():
            yield conf, directory


@contextlib.contextmanager
def claims_given_back() -> Iterator[None]:
    """Services that are made meanwhile say at the end what they would say some seconds later.

    By then the database is gone, and the output of another test would show that.
    """
    made: list[claims.Claims] = []

    def make(*args: Any, **kwargs: Any) -> claims.Claims:
        made.append(claims.Claims(*args, **kwargs))
        return made[-1]

    with mock.patch.object(app, "Claims", make):
        try:
            yield
        finally:
            for each in made:
                each.stop()


@contextlib.contextmanager
def running(options: str = "", remote: bool | None = None) -> Iterator[tuple[Callable, str]]:
    """A service of one's own: its WSGI application and its directory."""
    with configured(options, remote) as (conf, directory):
        yield app.build(conf), directory


class Service(fixture.GabbiFixture):
    """For gabbi: the service that ``application`` leads to while a sequence runs."""

    current: Callable | None = None
    remote: bool | None = None

    def start_fixture(self) -> None:
        self._running = running(remote=self.remote)
        Service.current, _directory = self._running.__enter__()

    def stop_fixture(self) -> None:
        self._running.__exit__(None, None, None)
        Service.current = None


def application(environ, start_response):
    """The service of the sequence that is running."""
    return Service.current(environ, start_response)
