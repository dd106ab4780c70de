"""Copies or compares one image.

Only differences are copied, so that an interrupted copy can be repeated and continues.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

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

#: Seconds to wait before each attempt to delete an incomplete image.
DELETE_RETRY_DELAYS = (0.0, 0.5, 1.0, 2.0)

#: Called with the number of bytes of each chunk that was copied.
ProgressCallback: TypeAlias = Callable[[int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class CopyOptions:
    """What to copy; ``excluded`` are the names of attributes that are not copied."""

    metadata_only: bool = False
    excluded: frozenset[str] = frozenset()

    def copies_data(self, image: ImageDocument) -> bool:
        """True when the data of ``image`` is to be copied."""
        return has_data(image) and not self.metadata_only


def to_server(
    image: ImageDocument,
    source: ImageSource,
    target: ImageServer,
    options: CopyOptions,
    on_bytes: ProgressCallback,
) -> str:
    """Copy an image to a server.

    :returns: what was done: ``created``, ``updated``, ``uploaded`` or ``equal``.
    :raises ReplicationError: the copy failed; an image that it created was deleted.
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
    """Copy an image to a directory.

    :returns: what was done: ``created``, ``updated``, ``downloaded`` or ``equal``.
    :raises ReplicationError: the copy failed.
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
    """A line of text about each difference; an empty list when the images are equal.

    :raises ReplicationError: the target refuses or does not answer.
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
    # Set at the end, because a protected image could not be deleted after a failure.
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
    """Delete an image that could not be completed.

    The server refuses this until it has noticed that the upload ended.  An image that cannot be
    deleted has no data, and the next run continues with it.
    """
    for pause in DELETE_RETRY_DELAYS:
        time.sleep(pause)
        with contextlib.suppress(ReplicationError):
            target.delete(image["id"])
            return


def _upload(
    image: ImageDocument, source: ImageSource, target: ImageServer, on_bytes: ProgressCallback
) -> None:
    """Upload the data, and compare its hash on the server.

    :raises ReplicationError: the upload failed or the hash differs.
    """
    target.upload(
        image["id"], _with_progress(read_resuming(image, source), on_bytes), image.get("size")
    )
    arrived = target.find(image["id"])
    if arrived is None or not has_same_data(image, arrived):
        raise ReplicationError("the data on the target differs from the data that was sent")


def _with_progress(data: Iterator[bytes], on_bytes: ProgressCallback) -> Iterator[bytes]:
    for chunk in data:
        yield chunk
        on_bytes(len(chunk))
