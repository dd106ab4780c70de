"""Opens the repositories that the option ``data_api`` names: a database, or a registry.

Only the implementation that is used is imported.
"""

from __future__ import annotations

from oslo_config import cfg

from glance_py.domain.ports import Repositories
from glance_py.registry.options import REGISTRY_DATA_APIS


def is_remote(conf: cfg.ConfigOpts) -> bool:
    """True when the option ``data_api`` names a registry."""
    return conf.data_api in REGISTRY_DATA_APIS


def open_repositories(conf: cfg.ConfigOpts) -> Repositories:
    """The repositories of a database or of a registry.  Does not connect.

    :raises ValueError: an option is missing or wrong.
    """
    if is_remote(conf):
        from glance_py.registry.repositories import remote_repositories

        return remote_repositories(conf)
    from glance_py.db.repositories import sql_repositories

    return sql_repositories(conf)
