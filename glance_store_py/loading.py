"""Reads the configuration and returns the list of stores to build.

Only the drivers that the configuration names are imported.  A configuration that cannot
work is refused here, at start, with the section and the option to look at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from oslo_config import cfg

from glance_store_py import config, errors
from glance_store_py.config import StoreOptions
from glance_store_py.driver import Driver
from glance_store_py.driver_spec import DRIVERS, UnusableDriver


@dataclasses.dataclass(frozen=True, slots=True)
class StoreSpec:
    """A store to build: ``driver`` is called with the options and the id."""

    id: str
    type: str
    driver: Callable[[StoreOptions, str], Driver]
    options: StoreOptions
    description: str | None = None
    weight: int = 0
    reserved: bool = False


def load_multi(conf: cfg.ConfigOpts, reserved: Sequence[str]) -> tuple[str, list[StoreSpec]]:
    """The default and the stores of ``enabled_backends``, then the reserved ones.

    :raises errors.BadStoreConfiguration: an id or type cannot be, or the default
        is none of them.
    """
    specs = []
    for store_id, kind in conf.enabled_backends.items():
        if store_id.startswith(config.RESERVED_PREFIX):
            raise _bad_backends(
                f"'{store_id}': names that start with {config.RESERVED_PREFIX} "
                "belong to the service."
            )
        driver, declared = _load_driver(kind, "DEFAULT", "enabled_backends")
        options = StoreOptions(
            conf, store_id, [*config.STORE_OPTIONS, *declared], config.DEFAULTS_SECTION
        )
        specs.append(
            StoreSpec(
                store_id, kind, driver, options, options["store_description"], options["weight"]
            )
        )
    default = conf[config.SINGLE_SECTION].default_backend
    store_ids = [spec.id for spec in specs]
    if default not in store_ids:
        problem = "not set" if default is None else f"'{default}' is not one of them"
        raise errors.BadStoreConfiguration(
            config.SINGLE_SECTION,
            "default_backend",
            f"{problem}; enabled_backends has {', '.join(store_ids)}.",
        )
    specs += [_reserved_spec(conf, store_id, None) for store_id in reserved]
    return default, specs


def load_single(conf: cfg.ConfigOpts, reserved: Sequence[str]) -> tuple[str, list[StoreSpec]]:
    """The default and the stores of ``[glance_store] stores``, named like their drivers.

    Staging goes to ``node_staging_uri`` then, if the service has that option.

    :raises errors.BadStoreConfiguration: a driver is unknown, or the default is
        none of them.
    """
    section = conf[config.SINGLE_SECTION]
    specs: dict[str, StoreSpec] = {}
    for name in section.stores:
        kind = DRIVERS.aliases.get(name, name)
        driver, declared = _load_driver(kind, config.SINGLE_SECTION, "stores")
        specs[kind] = StoreSpec(
            kind, kind, driver, StoreOptions(conf, config.SINGLE_SECTION, declared)
        )
    default = DRIVERS.aliases.get(section.default_store, section.default_store)
    if default not in specs:
        raise errors.BadStoreConfiguration(
            config.SINGLE_SECTION,
            "default_store",
            f"'{section.default_store}' is not one of stores ({', '.join(section.stores)}).",
        )
    staged = []
    if config.STAGING_STORE in reserved and "node_staging_uri" in conf:
        uri = urlsplit(conf.node_staging_uri)
        if uri.scheme not in ("file", "filesystem") or not uri.path:
            raise errors.BadStoreConfiguration(
                "DEFAULT", "node_staging_uri", "staging needs a file:// URI."
            )
        staged = [_reserved_spec(conf, config.STAGING_STORE, uri.netloc + uri.path)]
    return default, [*specs.values(), *staged]


def _reserved_spec(conf: cfg.ConfigOpts, store_id: str, datadir: str | None) -> StoreSpec:
    driver, _ = _load_driver("file", "DEFAULT", "enabled_backends")
    options = StoreOptions(
        conf, store_id, config.reserved_options(store_id, datadir), settable=config.RESERVED_OPTIONS
    )
    return StoreSpec(store_id, "file", driver, options, reserved=True)


def _load_driver(
    kind: str, section: str, option: str
) -> tuple[Callable[[StoreOptions, str], Driver], Sequence[cfg.Opt]]:
    """The class of the driver for stores of type ``kind``, and its options.

    :raises errors.BadStoreConfiguration: it does not exist or cannot be used; ``section`` and
        ``option`` name the setting to look at.
    """
    try:
        spec = DRIVERS.find(kind)
        return spec.load(), spec.options
    except KeyError:
        reason = f"there is no driver for stores of type '{kind}'."
    except ImportError as error:
        reason = f"the driver for '{kind}' cannot be loaded: {error}."
    except UnusableDriver as error:
        reason = f"the driver for '{kind}' ({error}) is not made for this library."
    raise errors.BadStoreConfiguration(section, option, reason)


def _bad_backends(reason: str) -> errors.BadStoreConfiguration:
    return errors.BadStoreConfiguration("DEFAULT", "enabled_backends", reason)
