"""Errors of the store library in the words of the service, in one table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from glance_py.domain import errors
from glance_store_py import errors as store

#: Looked up through the MRO of what the store raised.
SERVICE_ERRORS: Mapping[type[Exception], type[errors.GlanceError]] = {
    store.StoreObjectNotFound: errors.NotFound,
    store.StoreObjectExists: errors.Duplicate,
    store.StorageFull: errors.StoreFull,
    store.StorageWriteDenied: errors.StoreUnavailable,
    store.StoreObjectBusy: errors.StoreUnavailable,
    store.StoreTimeout: errors.StoreUnavailable,
    store.RemoteServiceUnavailable: errors.StoreUnavailable,
    store.RemoteServiceFailed: errors.StoreUnavailable,
    store.StoreAddDisabled: errors.StoreReadOnly,
    store.StoreGetNotSupported: errors.Invalid,
    store.StoreRandomGetNotSupported: errors.Invalid,
    store.UnknownScheme: errors.Invalid,
    store.BadStoreUri: errors.Invalid,
    store.StoreInvalidInput: errors.Invalid,
    store.InUseByStore: errors.ImageInUse,
    store.HasSnapshot: errors.ImageInUse,
    store.StoreForbidden: errors.Forbidden,
    store.IncompleteData: errors.CorruptImageData,
}


@contextlib.contextmanager
def translate_store_errors() -> Iterator[None]:
    """Turn an error of the store library into one of the service."""
    try:
        yield
    except store.GlanceStoreError as exc:
        for cls in type(exc).__mro__:
            if cls in SERVICE_ERRORS:
                raise SERVICE_ERRORS[cls](str(exc)) from exc
        raise errors.GlanceError("The store failed.") from exc
