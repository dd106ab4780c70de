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
    behind_registry: bool | None = None,
) -> Iterator[tuple[cfg.ConfigOpts, str]]:
    """The configuration of a service with an empty database, and its directory.

    :param options: lines for the section DEFAULT; the last of a name wins.
    :param behind_registry: has it its records behind a registry?  None: see ``registry.py``.
    """
    behind_registry = registry.is_requested() if behind_registry is None else behind_registry
    with tempfile.TemporaryDirectory(prefix="glance-") as directory:
        for name in ("fast", "slow", "staging", "tasks"):
            os.mkdir(os.path.join(directory, name))
        path = os.path.join(directory, "glance-api.conf")
        with open(path, "w") as file:
            file.write(
                CONFIGURATION.format(
                    options=registry.OPTIONS + options if behind_registry else options,
                    directory=directory,
                )
            )
            file.write(registry.SECTIONS if behind_registry else "")
        conf = config.load(["--config-file", path], conf=cfg.ConfigOpts())
        migrations.upgrade(engine.open_database(conf))
        with (
            registry.in_process_registries() if behind_registry else contextlib.nullcontext(),
            released_claims(),
        ):
            yield conf, directory


@contextlib.contextmanager
def released_claims() -> Iterator[None]:
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
def running(
    options: str = "", behind_registry: bool | None = None
) -> Iterator[tuple[Callable, str]]:
    """A service of one's own: its WSGI application and its directory."""
    with configured(options, behind_registry) as (conf, directory):
        yield app.build(conf), directory


class Service(fixture.GabbiFixture):
    """For gabbi: the service that ``application`` leads to while a sequence runs."""

    current: Callable | None = None
    behind_registry: bool | None = None

    def start_fixture(self) -> None:
        self._running = running(behind_registry=self.behind_registry)
        Service.current, _directory = self._running.__enter__()

    def stop_fixture(self) -> None:
        self._running.__exit__(None, None, None)
        Service.current = None


def application(environ, start_response):
    """The service of the sequence that is running."""
    return Service.current(environ, start_response)
