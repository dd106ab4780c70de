"""The options of stores, and how a store reads its own.

With several stores (``enabled_backends``) each has a section named like its id; an option
that is not set there is read from ``[backend_defaults]``.  With the older
``[glance_store] stores`` all options are in ``[glance_store]``.  Options of drivers are
declared in the drivers' specs (``driver_spec.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.driver_spec import DRIVERS
from glance_store_py.drivers import file_options

SINGLE_SECTION = "glance_store"
DEFAULTS_SECTION = "backend_defaults"

#: The first characters of the ids and sections of stores that the service uses itself.
RESERVED_PREFIX = "os_glance_"
STAGING_STORE = "os_glance_staging_store"
TASKS_STORE = "os_glance_tasks_store"
RESERVED_STORES = (STAGING_STORE, TASKS_STORE)

MULTI_OPTIONS = (
    cfg.StrOpt(
        "default_backend",
        help="Id of the store that takes an image when the client names none. Must be one of "
        "enabled_backends.",
    ),
)

STORE_OPTIONS = (
    cfg.StrOpt(
        "store_description",
        help="What users should know about this store; shown by store discovery.",
    ),
    cfg.IntOpt(
        "weight",
        default=0,
        help="When an image lies in several stores, the one with the highest weight is read first.",
    ),
)

#: The options that a section of a reserved store may set.
RESERVED_OPTIONS = frozenset(
    {
        "filesystem_store_datadir",
        "filesystem_store_chunk_size",
        "filesystem_store_timeout",
        "filesystem_store_thread_pool_size",
        "filesystem_store_threadpool_threshold",
    }
)


def single_options() -> list[cfg.Opt]:
    """The options that choose the stores when ``enabled_backends`` is not set."""
    return [
        cfg.ListOpt(
            "stores",
            default=["file", "http"],
            deprecated_for_removal=True,
            deprecated_since="Rocky",
            deprecated_reason="enabled_backends allows several stores of one kind.",
            help="Drivers to use when enabled_backends is not set.",
        ),
        cfg.StrOpt(
            "default_store",
            default="file",
            choices=[name for spec in DRIVERS.all() for name in spec.default_store_names],
            deprecated_for_removal=True,
            deprecated_since="Rocky",
            deprecated_reason="default_backend takes its place.",
            help="Driver that stores new images when enabled_backends is not set.",
        ),
    ]


def driver_options() -> list[cfg.Opt]:
    """The options of all installed drivers."""
    return [option for spec in DRIVERS.all() for option in spec.options]


def reserved_options(store_id: str, datadir: str | None = None) -> list[cfg.Opt]:
    """The options of a reserved store: those of a file store, with a directory of its own."""
    options: list[cfg.Opt] = [copy.copy(option) for option in file_options.OPTIONS]
    for option in options:
        if option.dest == "filesystem_store_datadir":
            option.default = datadir or f"/var/lib/glance/{store_id}"
    return options


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options that do not depend on which stores there are.  May be called twice."""
    conf.register_opts((*single_options(), *MULTI_OPTIONS), group=SINGLE_SECTION)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Options without ``enabled_backends``, for oslo-config-generator."""
    return [(SINGLE_SECTION, [*single_options(), *driver_options()])]


def list_multi_store_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Options with ``enabled_backends``, for oslo-config-generator."""
    return [
        (SINGLE_SECTION, list(MULTI_OPTIONS)),
        (DEFAULTS_SECTION, [*STORE_OPTIONS, *driver_options()]),
        *(
            (
                store_id,
                [
                    option
                    for option in reserved_options(store_id)
                    if option.dest in RESERVED_OPTIONS
                ],
            )
            for store_id in RESERVED_STORES
        ),
    ]


class StoreOptions:
    """The options of one store, by name; see driver_settings.OptionValues.

    An option that the store's own section does not set is read from the
    section ``fallback``, then from its default.  When only some options are
    ``settable``, the others always have their defaults.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        section: str,
        options: Sequence[cfg.Opt],
        fallback: str | None = None,
        settable: Container[str] | None = None,
    ) -> None:
        self.section = section
        self._conf = conf
        self._fallback = fallback
        self._fixed_values = {
            option.dest: option.default
            for option in options
            if settable is not None and option.dest not in settable
        }
        for place in self._sections():
            conf.register_opts(
                [option for option in options if option.dest not in self._fixed_values], group=place
            )

    def __getitem__(self, option: str) -> Any:
        if option in self._fixed_values:
            return self._fixed_values[option]
        return self._conf[self.section_of(option)][option]

    def is_set(self, option: str) -> bool:
        """True when the operator set this option, in the own section or in the fallback."""
        return any(self._is_set_in(section, option) for section in self._sections())

    @property
    def config_files(self) -> list[str]:
        """The configuration files that were read, for libraries that read them themselves."""
        return list(self._conf.config_file or ())

    def section_of(self, option: str) -> str:
        """The section that the value of an option comes from."""
        for section in self._sections():
            if self._is_set_in(section, option):
                return section
        return self.section

    def error(self, option: str, reason: str) -> errors.BadStoreConfiguration:
        """An error to raise about the value of an option."""
        return errors.BadStoreConfiguration(self.section_of(option), option, reason)

    def _sections(self) -> tuple[str, ...]:
        return (self.section,) if self._fallback is None else (self.section, self._fallback)

    def _is_set_in(self, section: str, option: str) -> bool:
        if option in self._fixed_values:
            return False
        where = self._conf.get_location(option, section)
        return where is not None and where.location is not cfg.Locations.opt_default
