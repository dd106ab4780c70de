"""The choice of the stores to which an import writes."""

from __future__ import annotations

from collections.abc import Sequence

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.importing import ImportRequest
from glance_store_py.stores import Stores


def target_stores(stores: Stores, image: Image, request: ImportRequest) -> list[str | None]:
    """The ids of the stores to write to; [None] for the only store of a service without names.

    A copy of what all stores have already has no target.

    :raises errors.Invalid: the request chooses stores in two ways, a named store has the data
        already, or a store that must succeed is read-only.
    :raises errors.Conflict: the request names an unknown store.
    """
    if not stores.multi:
        if not request.all_must_succeed:
            raise errors.Invalid("all_stores_must_succeed needs a service with many stores.")
        return [None]
    chosen = _chosen(stores, request)
    unknown = [store for store in chosen if store not in stores.ids]
    if unknown:
        raise errors.Conflict(f"There is no store {unknown[0]!r} to import to.")
    _check_writable(stores, chosen, request)
    if not request.is_copy:
        return list(chosen)
    present = {location.store for location in image.locations}
    double = present & set(chosen)
    if double and not request.all_stores:
        raise errors.Invalid(f"The image is in store {sorted(double, key=str)[0]} already.")
    return [store for store in chosen if store not in present]


def _chosen(stores: Stores, request: ImportRequest) -> Sequence[str]:
    """The stores that the request asks for, each once."""
    if request.all_stores:
        if request.stores is not None:
            raise errors.Invalid("Either name stores or ask for all_stores.")
        return [store.id for store in stores.describe() if not store.read_only]
    return [stores.default] if request.stores is None else list(dict.fromkeys(request.stores))


def _check_writable(stores: Stores, chosen: Sequence[str], request: ImportRequest) -> None:
    read_only = {store.id for store in stores.describe() if store.read_only}
    barred = [store for store in chosen if store in read_only]
    if barred and (request.all_must_succeed or barred == chosen):
        raise errors.Invalid(
            f"Nothing can be imported into {', '.join(barred)}: such stores are read-only."
        )
    if request.all_stores and not chosen:
        raise errors.Invalid("Nothing can be imported: all stores are read-only.")
