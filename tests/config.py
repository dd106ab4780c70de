"""The configuration of the service under test: files that it reads, and options in this process.

Everything lies in one directory: the database, the stores, the staging area.
"""

from __future__ import annotations

import functools
import os
import pathlib
import tempfile
from collections.abc import Mapping

from oslo_config import cfg

from glance_py import config
from glance_py.db import migrations
from glance_py.db.database import Database
from glance_py.db.engine import create_engine

_FILE = """\
[DEFAULT]
enabled_backends = {backends}
{options}
[glance_store]
default_backend = {default}
{stores}
[os_glance_staging_store]
filesystem_store_datadir = {directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[database]
connection = {connection}
[paste_deploy]
{paste}
"""


def text(
    directory: str | os.PathLike[str],
    stores: Mapping[str, str],
    options: str = "",
    paste: str = "flavor = fakeauth",
    connection: str | None = None,
) -> str:
    """The text of a glance-api.conf.

    :param stores: name of each file store, the default store first -> its directory, by its
        name in ``directory``.
    :param options: lines for DEFAULT, or sections; of an option that stands twice the last counts.
    :param paste: lines for the section paste_deploy.
    :param connection: URL of the database; by default ``glance.sqlite`` in ``directory``.
    """
    return _FILE.format(
        backends=", ".join(f"{name}:file" for name in stores),
        options=options,
        default=next(iter(stores)),
        stores="\n".join(
            f"[{name}]\nfilesystem_store_datadir = {directory}/{place}"
            for name, place in stores.items()
        ),
        directory=directory,
        connection=connection or f"sqlite:///{directory}/glance.sqlite",
        paste=paste,
    )


def make_directories(directory: str | os.PathLike[str], stores: Mapping[str, str]) -> None:
    """Make the directories that :func:`text` names, where they are missing."""
    for place in (*stores.values(), "staging", "tasks"):
        os.makedirs(os.path.join(directory, place), exist_ok=True)


def make_database(directory: str | os.PathLike[str]) -> None:
    """Make the database that :func:`text` names by default: empty, of the newest schema.

    A copy of a file takes less than the migrations, which each test would wait for.
    """
    (pathlib.Path(directory) / "glance.sqlite").write_bytes(_empty_database())


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory(prefix="glance-") as directory:
        path = pathlib.Path(directory) / "glance.sqlite"
        database = Database(create_engine(f"sqlite:///{path}"))
        migrations.upgrade(database)
        database.dispose()
        return path.read_bytes()


def loaded(
    directory: str | None = None, files: Mapping[str, str] | None = None, **values: object
) -> cfg.ConfigOpts:
    """The options of a service that has read ``files`` (text by name) written to ``directory``.

    Names that end in api.conf are read as configuration; ``values`` override options.
    """
    made = cfg.ConfigOpts()
    config.register(made)
    read = []
    for name, content in (files or {}).items():
        path = os.path.join(str(directory), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(content)
        if name.endswith("api.conf"):
            read.append(path)
    if directory and not read:
        path = os.path.join(directory, "glance-api.conf")
        with open(path, "w"):
            pass
        read.append(path)
    made([], project="glance", prog="glance-api", default_config_files=read, default_config_dirs=[])
    for name, value in values.items():
        made.set_override(name, value)
    return made
