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

from glance_py import app, config
from tests.config import make_database, make_directories, text
from tests.functional import registry

#: Name of each file store -> its directory.
STORES = {"fast": "fast", "slow": "slow"}


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
        make_directories(directory, STORES)
        make_database(directory)
        path = os.path.join(directory, "glance-api.conf")
        with open(path, "w") as file:
            file.write(
                text(directory, STORES, registry.OPTIONS + options if behind_registry else options)
            )
            file.write(registry.SECTIONS if behind_registry else "")
        conf = config.load(["--config-file", path], conf=cfg.ConfigOpts())
        with (
            registry.in_process_registries() if behind_registry else contextlib.nullcontext(),
            threads_stopped(),
        ):
            yield conf, directory


@contextlib.contextmanager
def threads_stopped() -> Iterator[None]:
    """Services that are made meanwhile have no tasks and no claims any more at the end.

    Their threads would go on with files and a database that are gone, which the output and
    the directory of another test would show.
    """
    made: list[Any] = []

    def recording(kind: type) -> Callable:
        def make(*args: Any, **kwargs: Any) -> Any:
            made.append(kind(*args, **kwargs))
            return made[-1]

        return make

    with (
        mock.patch.object(app, "Claims", recording(app.Claims)),
        mock.patch.object(app, "TaskExecutor", recording(app.TaskExecutor)),
    ):
        try:
            yield
        finally:
            for each in reversed(made):
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
