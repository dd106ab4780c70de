"""What can go wrong, by name.

An error says what was wrong and, where the caller can do something about it,
what.  The text goes to the client: it never holds a secret, a path of the
server or a traceback.  Which HTTP status an error becomes stands in
``http/faults.py``, in one table; the registry sends an error as its class name
and ``args``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class GlanceError(Exception):
    """Base of all errors of the service.

    ``text`` is the sentence for the client.  Where it has places (``%s``), the
    arguments fill them; otherwise a single argument replaces it.
    """

    text = "The image service could not do this."

    def __str__(self) -> str:
        if "%s" in self.text:
            return self.text % self.args
        return str(self.args[0]) if self.args else self.text


class Invalid(GlanceError):
    """The request is malformed, independent of the caller."""

    text = "The request is not valid."


class MarkerNotFound(Invalid):
    """(marker): the marker of a list names nothing the caller can see."""

    text = "Marker %s names no image that you can see."


class NotAuthenticated(GlanceError):
    text = "Authentication is required."


class Forbidden(GlanceError):
    text = "You are not authorized to complete this action."


class MarkerForbidden(Forbidden):
    """(marker): the marker of a list is something that the caller may not see.

    wire: unlike everywhere else, that does not count as something that does not exist.
    """

    text = "You may not see %s, so it cannot be a marker."


class PolicyForbids(Forbidden):
    """(rule): a policy rule of the operator says no."""

    text = "You are not authorized to complete %s action."


class ReadOnlyAttribute(Forbidden):
    """(name): an attribute that only the service itself writes."""

    text = "Attribute '%s' is read-only."


class ReservedAttribute(Forbidden):
    """(name): a name that this caller may not use."""

    text = "Attribute '%s' is reserved."


class ImageProtected(Forbidden):
    """(image id): a protected image is not deleted, not even by an administrator."""

    text = "Image %s is protected and cannot be deleted."


class OnlyStoreOfImage(Forbidden):
    """(image id): the data is nowhere else."""

    text = "The data of image %s is in no other store; delete the image instead."


class NotFound(GlanceError):
    text = "No such resource."


class ImageNotFound(NotFound):
    """(image id)"""

    text = "No image found with ID %s"


class MemberNotFound(NotFound):
    """(member id, image id)"""

    text = "%s not found in the member list of the image %s."


class TagNotFound(NotFound):
    """(tag, image id)"""

    text = "Tag %s not found on image %s."


class NamespaceNotFound(NotFound):
    """(namespace)"""

    text = "There is no metadata namespace %s that you can see."


class DefinitionNotFound(NotFound):
    """(noun, name, namespace)"""

    text = "There is no %s %s in the metadata namespace %s."


class TaskNotFound(NotFound):
    """(task id)"""

    text = "No task found with ID %s"


class Conflict(GlanceError):
    """The present state does not allow it; another time it might."""

    text = "The present state of the image does not allow this."


class Duplicate(Conflict):
    text = "It exists already."


class InvalidTransition(Conflict):
    """(status, to): a state may not follow another."""

    text = "Image status transition from %s to %s is not allowed"


class StatusConflict(Conflict):
    """(image id): a guarded transition found the image in another state."""

    text = "The status of image %s changed in the meantime; look at it again."


class ImageBusy(Conflict):
    """(image id): another worker is writing or removing data of the image."""

    text = "Another request is working on the data of image %s; try again when it has ended."


class ClaimLost(Conflict):
    """(image id): this worker was silent for so long that another one took its work over."""

    text = (
        "The work on image %s was taken over because its worker gave no sign of life for "
        "too long; nothing of it was kept. Look at the image and try again."
    )


class ImportActive(Conflict):
    """(image id): data of the image is being imported already."""

    text = "Image has active task: data is already being imported into image %s."


class TaskAlreadyFinished(Conflict):
    """(task id): another worker ended the task; raised to the worker that executes it."""

    text = "Task %s was ended by another worker."


class LastLocation(Conflict):
    """(image id): an active image needs its data."""

    text = "The last location of image %s cannot be removed."


class ImageInUse(Conflict):
    """``kept`` are the locations whose data is in use and still there, where that is known."""

    kept: Sequence[object] = ()
    text = "The data of the image is in use and cannot be removed."


class LimitExceeded(GlanceError):
    """A limit of the service was reached."""

    text = "A limit of the service was reached."


class QuotaExceeded(LimitExceeded):
    """A quota of the project was reached."""

    text = "A quota was reached."


class ImageTooLarge(LimitExceeded):
    """More data than ``image_size_cap`` allows, or than was announced."""

    text = "The image is larger than allowed."


class StoreFull(LimitExceeded):
    text = "There is not enough room in the store for this image."


class UnsupportedMediaType(GlanceError):
    text = "The content type is not supported here."


class InvalidImageFormat(UnsupportedMediaType):
    """The data is not what disk_format says, or is unsafe.

    ``digests`` are the fields of an image that describe the data, where all of it was read.
    """

    text = "The data does not have the declared format."
    digests: Mapping[str, str] | None = None


class ImageDeletedDuringUpload(GlanceError):
    """(image id): the image was deleted while its data arrived."""

    text = "Image %s was deleted while its data was being uploaded; the data has been removed."


class StoreReadOnly(GlanceError):
    text = "The store does not accept data."


class StoreUnavailable(GlanceError):
    text = "The store cannot be reached at the moment; try again later."


class DatabaseUnavailable(GlanceError):
    text = "The database cannot be reached at the moment; try again later."


class OutcomeUnknown(DatabaseUnavailable):
    """The answer to a write was lost: the write may have been done, and may still be done.

    The caller must read the record before it acts on either assumption.  All other errors of a
    write mean that no part of it was applied.
    """

    text = (
        "The database did not confirm the change, which may have been made; look at it again "
        "before you repeat it."
    )


class DatabaseNotReady(DatabaseUnavailable):
    """The database answers, but its schema is not the one that this release needs."""

    text = (
        "The database of the image service is not prepared for this release; its operator has "
        "to do that."
    )


class IdentityUnavailable(GlanceError):
    """Keystone does not say who asks, or what the limits of a project are."""

    text = "The identity service cannot be reached at the moment; try again later."


class RangeNotSatisfiable(GlanceError):
    """(text, size of the image): no byte of the image lies in the asked range."""

    text = "The range lies outside the image."


class CorruptImageData(GlanceError):
    """The store holds fewer bytes of the image than it should."""

    text = "The stored data of the image is incomplete."


class TaskCancelled(Conflict):
    """(reason): the task was cancelled; raised to the worker that executes it."""

    text = "The task was given up."


class SourceFailed(GlanceError):
    """Data could not be fetched from where the client said."""

    text = "The source of the data failed."


class PeerUnreachable(GlanceError):
    """Another worker of this service, which holds what is needed, does not answer."""

    text = "The worker that holds the staged data of the image cannot be reached."


class PeerFailed(GlanceError):
    """Another worker of this service could not be spoken with."""

    text = "The worker that holds the staged data of the image could not be spoken with."


class PeerRefused(GlanceError):
    """(status, reason): what another worker of this service answered."""

    text = "The worker that holds the staged data of the image answered %s %s"
