"""The errors of stores.

Every error has a sentence and arguments for it.  The sentence may be sent to a client or
logged: URLs in arguments are redacted, so that no message contains a credential.
"""

from __future__ import annotations


class GlanceStoreError(Exception):
    """Base of all errors of the storage library.

    Arguments fill the places (``%s``) of ``text``; where it has none, a single argument
    replaces it.
    """

    text = "The store could not do this."

    def __str__(self) -> str:
        if "%s" in self.text:
            return self.text % self.args
        return str(self.args[0]) if self.args else self.text


class StoreObjectNotFound(GlanceStoreError):
    """(object): the store has no such object."""

    text = "The store holds no object %s."


class StoreObjectExists(GlanceStoreError):
    """(name): the store has an object of this name already."""

    text = "The store already holds data for image %s."


class StoreInvalidInput(GlanceStoreError):
    """The data does not have the announced size, or an argument is malformed."""

    text = "The data is not what was announced."


class IncompleteData(GlanceStoreError):
    """(delivered, expected): an object ended before all its bytes were read."""

    text = "The store delivered %s of %s bytes."


class StorageFull(GlanceStoreError):
    """The store has no space for the data, or a quota of the store does not allow it."""

    text = "There is not enough room in the store."


class StorageWriteDenied(GlanceStoreError):
    """The service has no permission to write to the store."""

    text = "The store's medium does not let this service write."


class StoreForbidden(GlanceStoreError):
    """The store refuses an operation for lack of permission."""

    text = "The store does not permit this."


class InUseByStore(GlanceStoreError):
    """The backend still needs the object, for example because clones depend on it."""

    text = "The object is in use and cannot be removed."


class HasSnapshot(InUseByStore):
    """The object has snapshots, which must be removed first."""

    text = "The object has snapshots and cannot be removed."


class StoreObjectBusy(GlanceStoreError):
    """The object is used elsewhere in a way that excludes other access."""

    text = "The object is in use elsewhere; try again later."


class StoreAddDisabled(GlanceStoreError):
    """(store): the store accepts no data."""

    text = "Store %s does not accept data."


class StoreGetNotSupported(GlanceStoreError):
    """(store): the store gives no data out."""

    text = "Store %s does not give data out."


class StoreRandomGetNotSupported(StoreGetNotSupported):
    """(store): the store reads whole objects only."""

    text = "Store %s cannot read parts of an object."


class StoreDeleteNotSupported(GlanceStoreError):
    """(store): the store does not delete."""

    text = "Store %s does not delete data."


class StoreListNotSupported(GlanceStoreError):
    """(store): the store cannot list its objects."""

    text = "Store %s cannot list its objects."


class UnknownScheme(GlanceStoreError):
    """(name): no store has this id, or no driver has this URL scheme."""

    text = "No store is known by '%s'."


class BadStoreUri(GlanceStoreError):
    """A URL is malformed, or does not belong to the store."""

    text = "The address of the object is not valid."


class BadStoreConfiguration(GlanceStoreError):
    """(section, option, reason): a value of the configuration cannot be used."""

    text = "[%s] %s: %s"


class RemoteServiceUnavailable(GlanceStoreError):
    """The service of the store cannot be connected to, or the connection broke."""

    text = "The store cannot be reached."


class RemoteServiceFailed(GlanceStoreError):
    """(status): the service of the store answers, with an error of its own.

    Services that run out of space in the middle of a request answer so, too.
    """

    text = "The store failed (status %s): it may be full or overloaded."


class StoreTimeout(GlanceStoreError):
    """(seconds): the store did not answer within the configured time."""

    text = "The store did not answer within %s seconds."


class MaxRedirectsExceeded(GlanceStoreError):
    """(redirects): servers redirected the request more often than allowed."""

    text = "Gave up after %s redirects."
