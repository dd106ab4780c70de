"""The options of one store as a frozen dataclass that is read once.

Each driver has a subclass of :class:`DriverSettings` with one field for each of its options.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, Self

from glance_store_py import errors


class OptionValues(Protocol):
    """The options of one store, by name: ``config.StoreOptions``, or what a test gives."""

    @property
    def section(self) -> str:
        """The section of the store in the configuration."""

    @property
    def config_files(self) -> list[str]:
        """The configuration files that were read, for libraries that read them themselves."""

    def __getitem__(self, option: str) -> Any:
        """The value of an option, whose type its declaration tells (oslo.config)."""

    def is_set(self, option: str) -> bool:
        """True when the operator set this option."""

    def error(self, option: str, reason: str) -> errors.BadStoreConfiguration:
        """An error to raise about the value of an option."""


@dataclasses.dataclass(frozen=True, repr=False)
class DriverSettings:
    """The values of a driver's options.  A field of a subclass is named like its option.

    Has no ``repr``: some values are secret.

    options
        Where the values come from: names the section in errors, and says what was set.
    """

    options: OptionValues

    @classmethod
    def read(cls, options: OptionValues) -> Self:
        """The settings that ``options`` has now."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "options"]
        return cls(options, **{name: options[name] for name in names})

    def error(self, option: str, reason: str) -> errors.BadStoreConfiguration:
        """An error to raise about the value of an option."""
        return self.options.error(option, reason)
