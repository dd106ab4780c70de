"""The facts of a storage driver that are needed before its code is imported.

Each driver declares one :class:`DriverSpec`, and one entry point of the group
``glance_store.drivers`` names it.  The options of ``config.py``, the URL schemes of
``location.py`` and the names that ``loading.py`` accepts all derive from the specs that
are installed.  Importing a spec must not need the client library of the backend.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from oslo_config import cfg

if TYPE_CHECKING:
    from glance_store_py.driver import Driver
    from glance_store_py.location import StoreLocation

    #: (scheme in lower case, what follows ``://``) -> the location.  Raises BadStoreUri.
    Parser = Callable[[str, str], StoreLocation]

LOG = logging.getLogger(__name__)

#: The group of entry points that name drivers.
NAMESPACE = "glance_store.drivers"


@dataclasses.dataclass(frozen=True, slots=True)
class DriverSpec:
    """One driver.

    name
        The type of its stores in ``enabled_backends``; also the name of its entry point.
    schemes
        URL schemes of its objects, in lower case.
    parse
        ``parse(scheme, rest)`` makes a StoreLocation of the rest of a URL behind ``://``, or
        raises BadStoreUri.
    import_path
        Where its class is, ``package.module:Class``.  The class is built with
        (:class:`~glance_store_py.config.StoreOptions`, store id).
    options
        The options of a section of its stores.
    aliases
        Other names of the driver in ``[glance_store] stores`` and ``default_store``.
    """

    name: str
    schemes: tuple[str, ...]
    parse: Parser
    import_path: str
    options: tuple[cfg.Opt, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def default_store_names(self) -> tuple[str, ...]:
        """The names that ``default_store`` accepts: those that are URL schemes of the driver."""
        return tuple(name for name in (self.name, *self.aliases) if name in self.schemes)

    def load(self) -> Callable[..., Driver]:
        """The class of the driver.

        :raises ImportError: its module, or the class in it, does not exist.
        """
        module, _, name = self.import_path.partition(":")
        try:
            found: Callable[..., Driver] = getattr(importlib.import_module(module), name)
        except AttributeError as error:
            raise ImportError(str(error)) from error
        return found


class UnusableDriver(Exception):
    """(entry point): what an entry point names is neither a DriverSpec nor a class that has one."""


class DriverRegistry:
    """The specs of all installed drivers, found through entry points at the first question.

    Where several distributions have an entry point of the same name, the one of this
    package is used.
    """

    def __init__(self, group: str = NAMESPACE) -> None:
        self._group = group
        self._registered: dict[str, DriverSpec] = {}

    def find(self, name: str) -> DriverSpec:
        """The spec of the driver with this name (not an alias).

        :raises KeyError: no entry point has this name.
        :raises ImportError: the module that the entry point names cannot be imported.
        :raises UnusableDriver: the entry point names something without a spec.
        """
        if name in self._registered:
            return self._registered[name]
        return _load_spec(self._entry_points[name])

    def all(self) -> Iterator[DriverSpec]:
        """The specs of all drivers that can be used, by name."""
        return iter(self._specs.values())

    @functools.cached_property
    def parsers(self) -> Mapping[str, Parser]:
        """The parser of each URL scheme."""
        return {scheme: spec.parse for spec in self.all() for scheme in spec.schemes}

    @functools.cached_property
    def aliases(self) -> Mapping[str, str]:
        """The name of the driver for each alias."""
        return {alias: spec.name for spec in self.all() for alias in spec.aliases}

    def register(self, spec: DriverSpec) -> None:
        """Add a driver that has no entry point, as tests of drivers do.

        It takes the place of an installed driver of the same name.
        """
        if self._specs.get(spec.name) is not spec:
            self._registered[spec.name] = spec
            self.reload()

    def unregister(self, spec: DriverSpec) -> None:
        """Undo :meth:`register`; nothing happens when the spec was not added by it."""
        if self._registered.get(spec.name) is spec:
            del self._registered[spec.name]
            self.reload()

    def reload(self) -> None:
        """Read the entry points again at the next question."""
        for name in ("_entry_points", "_specs", "parsers", "aliases"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        found = sorted(
            importlib.metadata.entry_points(group=self._group),
            key=lambda point: (point.name, not point.value.startswith(f"{__package__}.")),
        )
        # The first of each name; dict keeps the last.
        return {point.name: point for point in reversed(found)}

    @functools.cached_property
    def _specs(self) -> dict[str, DriverSpec]:
        found = dict(self._registered)
        for name, point in self._entry_points.items():
            if name not in found:
                try:
                    found[name] = _load_spec(point)
                except Exception as error:
                    # The others are still of use; a store of this type names the error.
                    LOG.debug("The driver %s is left out: %r", point.value, error)
        return dict(sorted(found.items()))


def _load_spec(point: importlib.metadata.EntryPoint) -> DriverSpec:
    try:
        found = point.load()
    except AttributeError as error:
        raise ImportError(str(error)) from error
    spec = found if isinstance(found, DriverSpec) else getattr(found, "spec", None)
    if not isinstance(spec, DriverSpec):
        raise UnusableDriver(point.value)
    return spec


#: The drivers that this Python has.
DRIVERS = DriverRegistry()
