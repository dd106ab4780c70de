"""Kinds of checks from other packages, imported when a rule first uses one.

oslo.policy imports all of them to parse the first rule.  The kind ``http`` would load an HTTP
client into every worker.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

from oslo_policy import _checks


class LazyExtensionChecks(dict[str, Any]):
    """Kind of check -> its class, imported when the item is read."""

    def __init__(self) -> None:
        points = metadata.entry_points(group="oslo.policy.rule_checks")
        super().__init__({point.name: point for point in points})

    def __getitem__(self, kind: str) -> Any:
        return super().__getitem__(kind).load()


def install_lazy_extension_checks() -> None:
    """Make oslo.policy look for extensions here, unless it has loaded them already."""
    if _checks.extension_checks is None:
        _checks.extension_checks = LazyExtensionChecks()
