"""Kinds of checks that other packages bring, imported when a rule first uses one.

oslo.policy itself would import all of them to parse the first rule: the one
that asks a server over HTTP brings a whole HTTP client into every worker.
"""

from __future__ import annotations

from importlib import metadata

from oslo_policy import _checks


class LazyExtensionChecks(dict):
    """Kind of check -> class, loaded by asking for it."""

    def __init__(self) -> None:
        points = metadata.entry_points(group="oslo.policy.rule_checks")
        super().__init__({point.name: point for point in points})

    def __getitem__(self, kind: str):
        return super().__getitem__(kind).load()


def install_lazy_extension_checks() -> None:
    """Let oslo.policy find the extensions here; harmless when it has them already."""
    if _checks.extension_checks is None:
        _checks.extension_checks = LazyExtensionChecks()
