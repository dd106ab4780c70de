"""A configuration and callers for tests that need no server."""

from __future__ import annotations

import os

from oslo_config import cfg

from glance_py import config
from glance_py.context import RequestContext


def make_conf(
    directory: str | None = None, files: dict[str, str] | None = None, **values: object
) -> cfg.ConfigOpts:
    """A ConfigOpts that has read ``files`` (text by name) written to ``directory``.

    Names that end in .conf are read as configuration; ``values`` override options.
    """
    made = cfg.ConfigOpts()
    config.register(made)
    read = []
    for name, text in (files or {}).items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
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


def make_caller(*roles: str, project: str | None = "p1", user: str = "u", **more) -> RequestContext:
    """A caller with these roles in this project."""
    return RequestContext(user_id=user, project_id=project, roles=list(roles), **more)


def make_member(project: str = "p1") -> RequestContext:
    return make_caller("member", "reader", project=project)
