"""What can go wrong in a store, by name.

Every error is made of a sentence and its arguments.  The sentence may reach a
client or a log: URLs are redacted before they get here, so that no message ever
holds a credential.
"""

from __future__ import annotations


class GlanceStoreError(Exception):
    """Base of all errors of the storage library.

    Where ``text`` has places (``%s``) the arguments fill them; otherwise a
    single argument replaces it.
    """

    text = "The store could not do this."

    def __str__(self) -> str:
        if "%s" in self.text:
            return self.text % self.args
        return str(self.args[0]) if self.args else self.text


class StoreObjectNotFound(GlanceStoreError):
    """(object): the store holds no such object."""

    text = "The store holds no object %s."


class StoreObjectExists(GlanceStoreError):
    """(image id): the store already holds data for this image."""

    text = "The store already holds data for image %s."


class StoreInvalidInput(GlanceStoreError):
    """The data is not what was announced."""

    text = "The data is not what was announced."


class IncompleteData(GlanceStoreError):
    """(delivered, expected): an object ended before all its bytes had come."""

    text = "The store delivered %s of %s bytes."


class StorageFull(GlanceStoreError):
    text = "There is not enough room in the store."


class StorageWriteDenied(GlanceStoreError):
    text = "The store's medium does not let this service write."


class StoreForbidden(GlanceStoreError):
    text = "The store does not permit this."


class InUseByStore(GlanceStoreError):
    """The backend still needs the object, for example because clones depend on it."""

    text = "The object is in use and cannot be removed."


class HasSnapshot(InUseByStore):
    """The object has snapshots, which have to go first."""

    text = "The object has snapshots and cannot be removed."


class StoreObjectBusy(GlanceStoreError):
    """The backend cannot give access to the object while others have it."""

    text = "The object is in use elsewhere; try again later."


class StoreAddDisabled(GlanceStoreError):
    """(store): the store takes no data."""

    text = "Store %s does not accept data."


class StoreGetNotSupported(GlanceStoreError):
    """(store): the store gives no data out."""

    text = "Store %s does not give data out."


class StoreRandomGetNotSupported(StoreGetNotSupported):
    """(store): the store gives objects out as a whole only."""

    text = "Store %s cannot read parts of an object."


class StoreDeleteNotSupported(GlanceStoreError):
    """(store): the store does not delete."""

    text = "Store %s does not delete data."


class StoreListNotSupported(GlanceStoreError):
    """(store): the store does not tell what it holds."""

    text = "Store %s cannot list its objects."


class UnknownScheme(GlanceStoreError):
    """(name): no store has this id, or none reads this URL scheme."""

    text = "No store is known by '%s'."


class BadStoreUri(GlanceStoreError):
    """The address of an object is malformed, or does not belong to the store."""

    text = "The address of the object is not valid."


class BadStoreConfiguration(GlanceStoreError):
    """(section, option, reason): an operator's setting cannot work."""

    text = "[%s] %s: %s"


class RemoteServiceUnavailable(GlanceStoreError):
    text = "The store cannot be reached."


class RemoteServiceFailed(GlanceStoreError):
    """(status): the store is there and answers, but it failed.

    Services that run out of space in the middle of a request say no more than that.
    """

    text = "The store failed (status %s): it may be full or overloaded."


class StoreTimeout(GlanceStoreError):
    """(seconds): the store did not answer in the time the operator allows."""

    text = "The store did not answer within %s seconds."


class MaxRedirectsExceeded(GlanceStoreError):
    """(redirects): a server sent us from address to address."""

    text = "Gave up after %s redirects."
