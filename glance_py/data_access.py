"""Where the records of images are: in a database of this host's, or behind a registry.

The one place that knows both.  Whichever is not used is not even imported.
"""

from __future__ import annotations

from oslo_config import cfg

from glance_py.domain.ports import Repositories
from glance_py.registry.options import REGISTRY_DATA_APIS


def is_remote(conf: cfg.ConfigOpts) -> bool:
    """Does the option ``data_api`` name a registry?"""
    return conf.data_api in REGISTRY_DATA_APIS


def open_repositories(conf: cfg.ConfigOpts) -> Repositories:
    """The records that the option ``data_api`` leads to; nothing is contacted yet.

    :raises ValueError: an option is missing or wrong.
    """
    if is_remote(conf):
        from glance_py.registry.repositories import remote_repositories

        return remote_repositories(conf)
    from glance_py.db.repositories import sql_repositories

    return sql_repositories(conf)
