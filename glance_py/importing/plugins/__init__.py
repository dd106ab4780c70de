"""What may be done to data between its arrival and the stores, chosen by the operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glance_py.importing.plugins.base import ImportPlugin

NAMESPACE = "glance.image_import.plugins"


def load(conf) -> Sequence[tuple[str, ImportPlugin]]:
    """The plugins of ``[image_import_opts] image_import_plugins``, built, in order.

    :raises ValueError: one is not installed, cannot be built or stands in the
        wrong place.
    """
    names = [name for name in conf.image_import_opts.image_import_plugins if name]
    if not names:
        return ()
    order = {name: place for place, name in enumerate(names)}
    if order.get("image_conversion", len(names)) < order.get("image_decompression", -1):
        raise ValueError(
            "[image_import_opts] image_import_plugins: image_decompression must "
            "come before image_conversion."
        )
    return [(name, _load(name, conf)) for name in names]


def _load(name: str, conf) -> Any:
    from stevedore import driver, exception

    try:
        return driver.DriverManager(
            NAMESPACE, name, invoke_on_load=True, invoke_args=(conf,)
        ).driver
    except exception.NoMatches:
        raise ValueError(
            f"[image_import_opts] image_import_plugins: there is no plugin "
            f"{name!r} among the entry points {NAMESPACE}."
        ) from None
