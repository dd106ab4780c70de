"""The options of the group ``[database]`` as typed values, read once when a process starts.

The options are those of oslo.db, which documents them.  They are registered and read here;
``glance_py/settings.py`` reads those of the service.
"""

from __future__ import annotations

import dataclasses
from typing import Self

from oslo_config import cfg
from oslo_db import options


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """How to connect to the database.  The defaults are those of oslo.db; times are in seconds.

    ``url`` and ``replica_url`` are the options ``connection`` and ``slave_connection``.
    ``max_reconnects`` and ``reconnect_interval`` bound the attempts after a lost connection: they
    are ``db_max_retries`` and ``db_retry_interval`` with ``use_db_reconnect``, else one attempt
    at once.  ``metadata_encryption_key`` is an option of the group ``[DEFAULT]``.
    """

    url: str | None = dataclasses.field(default=None, repr=False)
    replica_url: str | None = dataclasses.field(default=None, repr=False)
    connection_parameters: str = ""
    max_pool_size: int = 5
    max_overflow: int = 50
    pool_timeout: int = 30
    connection_recycle_time: int = 3600
    max_reconnects: int = 1
    reconnect_interval: float = 0.0
    sqlite_synchronous: bool = True
    mysql_sql_mode: str | None = "TRADITIONAL"
    mysql_wsrep_sync_wait: int | None = None
    connection_debug: int = 0
    metadata_encryption_key: str | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Read the options; those of oslo.db are registered if they are not yet."""
        conf.register_opts(options.database_opts, group="database")
        group = conf.database
        given = {
            "url": group.connection or None,
            "replica_url": group.slave_connection or None,
            "connection_parameters": group.connection_parameters or "",
            "max_pool_size": group.max_pool_size,
            "max_overflow": group.max_overflow,
            "pool_timeout": group.pool_timeout,
            "connection_recycle_time": group.connection_recycle_time,
        }
        # None means that the option is not set; 0 is a value.
        return cls(
            **{name: value for name, value in given.items() if value is not None},
            max_reconnects=max(1, group.db_max_retries) if group.use_db_reconnect else 1,
            reconnect_interval=group.db_retry_interval if group.use_db_reconnect else 0.0,
            sqlite_synchronous=group.sqlite_synchronous,
            mysql_sql_mode=group.mysql_sql_mode,
            mysql_wsrep_sync_wait=group.mysql_wsrep_sync_wait,
            connection_debug=group.connection_debug,
            metadata_encryption_key=(
                conf.metadata_encryption_key if "metadata_encryption_key" in conf else None
            ),
        )
