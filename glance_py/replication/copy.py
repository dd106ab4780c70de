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
    Failure,
    Image,
    Source,
    checked_id,
    content,
    differences,
    has_data,
    same_data,
)
from glance_py.replication.directory import Directory, reading_on
from glance_py.replication.server import Server

#: Seconds between attempts to remove what was begun.
PAUSES = (0.0, 0.5, 1.0, 2.0)

#: Called with the size of each piece of data that has gone.
Tell = Callable[[int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """``metadata_only``: no data goes; ``without``: attributes that are not copied."""

    metadata_only: bool = False
    without: frozenset[str] = frozenset()

    def moves_data(self, image: Image) -> bool:
        return has_data(image) and not self.metadata_only


def to_server(image: Image, source: Source, target: Server, rules: Rules, tell: Tell) -> str:
    """Bring an image to a server.

    :returns: what was done: ``created``, ``updated``, ``uploaded`` or ``equal``.
    :raises Failure: it could not be done; what was begun is removed again.
    """
    found = target.find(checked_id(image["id"]))
    if found is None:
        _create(image, source, target, rules, tell)
        return "created"
    done = "equal"
    if changed := differences(image, found, rules.without):
        target.update(image["id"], changed)
        done = "updated"
    if rules.moves_data(image):
        if found["status"] == "queued":
            _upload(image, source, target, tell)
            return "uploaded"
        if has_data(found) and not same_data(image, found):
            raise Failure("the target has other data under this id, which cannot be replaced")
    return done


def to_directory(image: Image, source: Source, target: Directory, rules: Rules, tell: Tell) -> str:
    """Bring an image to a directory.

    :returns: what was done: ``created``, ``updated``, ``downloaded`` or ``equal``.
    :raises Failure: it could not be done.
    """
    found = target.find(checked_id(image["id"]))
    kept = {name: value for name, value in image.items() if name not in rules.without}
    done = "equal"
    if found != kept:
        target.keep(kept)
        done = "created" if found is None else "updated"
    if rules.moves_data(image) and not (
        target.has_data(image) and found and same_data(image, found)
    ):
        target.keep_data(image, source, tell)
        return "created" if found is None else "downloaded"
    return done


def compare(image: Image, target: Server, rules: Rules) -> list[str]:
    """Sentences about what differs, none when nothing does.

    :raises Failure: the target does not tell.
    """
    found = target.find(checked_id(image["id"]))
    if found is None:
        return ["is not there"]
    lines = [
        f"{name}: {mine!r} here, {theirs!r} there"
        for name, (mine, theirs) in differences(image, found, rules.without).items()
    ]
    if rules.moves_data(image):
        if not has_data(found):
            lines.append("has no data there")
        elif not same_data(image, found):
            lines.append("has other data there")
    return lines


def _create(image: Image, source: Source, target: Server, rules: Rules, tell: Tell) -> None:
    values = content(image, rules.without)
    # Last of all, or what failed could not be removed.
    protected = values.pop("protected", False)
    target.create({"id": image["id"], **values})
    try:
        if rules.moves_data(image):
            _upload(image, source, target, tell)
        if protected:
            target.update(image["id"], {"protected": (True, False)})
        if image["status"] == "deactivated" and rules.moves_data(image):
            target.deactivate(image["id"])
    except BaseException:
        _remove(image, target)
        raise


def _remove(image: Image, target: Server) -> None:
    """Take back what was begun; the server may need a moment to see that the upload is over.

    What cannot be removed has no data, and the next run goes on with it.
    """
    for pause in PAUSES:
        time.sleep(pause)
        with contextlib.suppress(Failure):
            target.delete(image["id"])
            return


def _upload(image: Image, source: Source, target: Server, tell: Tell) -> None:
    """Send the data, and compare what arrived.

    :raises Failure: it broke off, or is something else there.
    """
    target.upload(image["id"], _told(reading_on(image, source), tell), image.get("size"))
    arrived = target.find(image["id"])
    if arrived is None or not same_data(image, arrived):
        raise Failure("what arrived is not what was sent")


def _told(data: Iterator[bytes], tell: Tell) -> Iterator[bytes]:
    for piece in data:
        yield piece
        tell(len(piece))
