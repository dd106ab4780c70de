"""Plugins that check or change data before it is written to stores, chosen by the operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oslo_config import cfg

from glance_py.importing.plugins.base import ImportPlugin

NAMESPACE = "glance.image_import.plugins"
_OPTION = "[image_import_opts] image_import_plugins"


def load(names: Sequence[str], conf: cfg.ConfigOpts) -> Sequence[tuple[str, ImportPlugin]]:
    """Build the named plugins, in order.

    :param names: entry points; empty names are left out.
    :returns: (name, plugin) pairs.
    :raises ValueError: a plugin is not installed, cannot be built, or stands before one that it
        must run after.
    """
    classes = [(name, _load_class(name)) for name in names if name]
    _check_order(classes)
    return [(name, plugin(conf)) for name, plugin in classes]


def _check_order(classes: Sequence[tuple[str, Callable[[cfg.ConfigOpts], ImportPlugin]]]) -> None:
    """:raises ValueError: a plugin stands before one that it must run after."""
    names = [name for name, _ in classes]
    for name, plugin in classes:
        for first in getattr(plugin, "runs_after", ()):
            if first in names and names.index(name) < names.index(first):
                raise ValueError(f"{_OPTION}: {first} must come before {name}.")


def _load_class(name: str) -> Callable[[cfg.ConfigOpts], ImportPlugin]:
    """The class of an entry point.

    :raises ValueError: there is no such entry point.
    """
    from stevedore import driver, exception

    try:
        found: Callable[[cfg.ConfigOpts], ImportPlugin] = driver.DriverManager(
            NAMESPACE, name
        ).driver
    except exception.NoMatches:
        raise ValueError(
            f"{_OPTION}: there is no plugin {name!r} among the entry points {NAMESPACE}."
        ) from None
    return found
