"""The copy of one image, and what there is to say about it.

What is equal already is left alone, so that a copy that broke off is repeated
and goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

from glance_py.replication import (
    ImageDocument,
    ImageSource,
    ReplicationError,
    copied_attributes,
    differences,
    has_data,
    has_same_data,
    validated_id,
)
from glance_py.replication.directory import ImageDirectory, read_resuming
from glance_py.replication.server import ImageServer

#: Seconds between attempts to remove what was begun.
DELETE_RETRY_DELAYS = (0.0, 0.5, 1.0, 2.0)

#: Called with the size of each piece of data that has gone.
ProgressCallback = Callable[[int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class CopyOptions:
    """``metadata_only``: no data goes; ``excluded``: attributes that are not copied."""

    metadata_only: bool = False
    excluded: frozenset[str] = frozenset()

    def copies_data(self, image: ImageDocument) -> bool:
        return has_data(image) and not self.metadata_only


def to_server(
    image: ImageDocument,
    source: ImageSource,
    target: ImageServer,
    options: CopyOptions,
    on_bytes: ProgressCallback,
) -> str:
    """Bring an image to a server.

    :returns: what was done: ``created``, ``updated``, ``uploaded`` or ``equal``.
    :raises ReplicationError: it could not be done; what was begun is removed again.
    """
    found = target.find(validated_id(image["id"]))
    if found is None:
        _create(image, source, target, options, on_bytes)
        return "created"
    done = "equal"
    if changed := differences(image, found, options.excluded):
        target.update(image["id"], changed)
        done = "updated"
    if options.copies_data(image):
        if found["status"] == "queued":
            _upload(image, source, target, on_bytes)
            return "uploaded"
        if has_data(found) and not has_same_data(image, found):
            raise ReplicationError(
                "the target has other data under this id, which cannot be replaced"
            )
    return done


def to_directory(
    image: ImageDocument,
    source: ImageSource,
    target: ImageDirectory,
    options: CopyOptions,
    on_bytes: ProgressCallback,
) -> str:
    """Bring an image to a directory.

    :returns: what was done: ``created``, ``updated``, ``downloaded`` or ``equal``.
    :raises ReplicationError: it could not be done.
    """
    found = target.find(validated_id(image["id"]))
    copied = {name: value for name, value in image.items() if name not in options.excluded}
    done = "equal"
    if found != copied:
        target.save_metadata(copied)
        done = "created" if found is None else "updated"
    if options.copies_data(image) and not (
        target.has_data(image) and found and has_same_data(image, found)
    ):
        target.save_data(image, source, on_bytes)
        return "created" if found is None else "downloaded"
    return done


def compare(image: ImageDocument, target: ImageServer, options: CopyOptions) -> list[str]:
    """Sentences about what differs, none when nothing does.

    :raises ReplicationError: the target does not tell.
    """
    found = target.find(validated_id(image["id"]))
    if found is None:
        return ["is not there"]
    lines = [
        f"{name}: {mine!r} here, {theirs!r} there"
        for name, (mine, theirs) in differences(image, found, options.excluded).items()
    ]
    if options.copies_data(image):
        if not has_data(found):
            lines.append("has no data there")
        elif not has_same_data(image, found):
            lines.append("has other data there")
    return lines


def _create(
    image: ImageDocument,
    source: ImageSource,
    target: ImageServer,
    options: CopyOptions,
    on_bytes: ProgressCallback,
) -> None:
    values = copied_attributes(image, options.excluded)
    # Last of all, or what failed could not be removed.
    protected = values.pop("protected", False)
    target.create({"id": image["id"], **values})
    try:
        if options.copies_data(image):
            _upload(image, source, target, on_bytes)
        if protected:
            target.update(image["id"], {"protected": (True, False)})
        if image["status"] == "deactivated" and options.copies_data(image):
            target.deactivate(image["id"])
    except BaseException:
        _delete_incomplete(image, target)
        raise


def _delete_incomplete(image: ImageDocument, target: ImageServer) -> None:
    """Take back what was begun; the server may need a moment to see that the upload is over.

    What cannot be removed has no data, and the next run goes on with it.
    """
    for pause in DELETE_RETRY_DELAYS:
        time.sleep(pause)
        with contextlib.suppress(ReplicationError):
            target.delete(image["id"])
            return


def _upload(
    image: ImageDocument, source: ImageSource, target: ImageServer, on_bytes: ProgressCallback
) -> None:
    """Send the data, and compare what arrived.

    :raises ReplicationError: it broke off, or is something else there.
    """
    target.upload(
        image["id"], _with_progress(read_resuming(image, source), on_bytes), image.get("size")
    )
    arrived = target.find(image["id"])
    if arrived is None or not has_same_data(image, arrived):
        raise ReplicationError("what arrived is not what was sent")


def _with_progress(data: Iterator[bytes], on_bytes: ProgressCallback) -> Iterator[bytes]:
    for chunk in data:
        yield chunk
        on_bytes(len(chunk))
