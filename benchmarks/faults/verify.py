"""Compares the state after the faults with the answers that clients got."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping

from benchmarks.faults.shadow import Outcome, Record

LOST = "lost"
NO_DATA = "no data"
WRONG_DATA = "wrong data"
IN_MOTION = "in motion"
ORPHAN = "orphan"
NOT_DELETED = "not deleted"
USAGE = "usage"
WRONG_ANSWER = "wrong answer"

FINAL_TASK_STATUSES = frozenset({"success", "failure"})
#: States in which an image may stay until its client does something.
STABLE_STATUSES = frozenset({"queued", "uploading", "active", "deactivated"})

_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be; ``image_id`` is "" when it concerns no image."""

    kind: str
    image_id: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.image_id} {self.detail}".replace("  ", " ")


@dataclasses.dataclass
class ObservedImage:
    """An image as the API shows it after the faults.

    :param digest: SHA-512 that the API gives.
    :param downloaded: SHA-512 of what a download gave; None when there was none to make.
    :param failure: why a download failed.
    :param tasks: status and message of its tasks.
    """

    image_id: str
    status: str
    size: int | None = None
    digest: str | None = None
    stores: frozenset[str] = frozenset()
    locked: bool = False
    serial: str | None = None
    downloaded: str | None = None
    failure: str = ""
    tasks: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def in_motion(self) -> str:
        """What is still being done with it; empty when it is at rest."""
        if self.status not in STABLE_STATUSES:
            return f"status {self.status}"
        if self.locked:
            return "locked by an import"
        for status, message in self.tasks:
            if status not in FINAL_TASK_STATUSES:
                return f"task {status}: {message}"
        return ""


@dataclasses.dataclass
class Findings:
    """Everything that was looked at after the faults.

    :param images: what the API shows, by image id; not there: 404.
    :param listed: ids that a list of all images shows.
    :param check: findings of ``glance-manage store check``, as its JSON.
    :param objects: (store, name) of the objects in the stores.
    :param unfinished: uploads in stores that were not finished.
    :param staged: (host, file) of the files in staging areas.
    :param usage: sentences about usage that does not add up.
    """

    images: Mapping[str, ObservedImage] = dataclasses.field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    check: list[Mapping[str, object]] = dataclasses.field(default_factory=list)
    objects: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    unfinished: list[str] = dataclasses.field(default_factory=list)
    staged: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    usage: list[str] = dataclasses.field(default_factory=list)


def find_violations(records: Iterable[Record], findings: Findings) -> list[Violation]:
    """All violations, each named once."""
    found: list[Violation] = []
    for record in records:
        found += _image(record, findings.images.get(record.image_id), findings)
    found += _check(findings, {each.image_id for each in found})
    found += find_orphans(findings)
    found += [Violation(USAGE, "", sentence) for sentence in findings.usage]
    return list(dict.fromkeys(found))


def distinct(violations: Iterable[Violation]) -> list[Violation]:
    """The first of each kind for each image, and all that concern no image."""
    found: dict[tuple[str, str], Violation] = {}
    for each in violations:
        found.setdefault((each.kind, each.image_id or each.detail), each)
    return list(found.values())


def _image(record: Record, seen: ObservedImage | None, findings: Findings) -> Iterator[Violation]:
    def violation(kind: str, detail: str) -> Violation:
        return Violation(kind, record.image_id, detail)

    if record.created in (Outcome.NOT_SENT, Outcome.REFUSED):
        return
    if record.deleted is Outcome.ACKNOWLEDGED:
        if seen is not None or record.image_id in findings.listed:
            yield violation(NOT_DELETED, "its deletion was acknowledged, and it is still shown")
        return
    may_be_gone = (
        record.deleted is Outcome.UNKNOWN
        or record.created is Outcome.UNKNOWN
        and not record.acknowledged()
    )
    if seen is None:
        if not may_be_gone:
            yield violation(LOST, "it was acknowledged, not deleted, and is gone")
        return
    if record.image_id not in findings.listed:
        yield violation(LOST, "it can be shown, and lists do not have it")
    if motion := seen.in_motion():
        yield violation(IN_MOTION, motion)
    yield from (violation(*each) for each in _data(record, seen))
    if seen.serial != record.serial and seen.serial not in record.unknown_serials:
        yield violation(LOST, f"property serial is {seen.serial}, {record.serial} was acknowledged")
    if record.copied - seen.stores and seen.status == "active":
        yield violation(
            LOST, f"acknowledged copies in {sorted(record.copied)}, it has {sorted(seen.stores)}"
        )


def _data(record: Record, seen: ObservedImage) -> Iterator[tuple[str, str]]:
    promised = record.acknowledged()
    if len({each.digest for each in promised}) > 1:
        yield (
            LOST,
            "different data was acknowledged more than once: "
            + ", ".join(f"{each.import_method} {each.size} bytes" for each in promised),
        )
    if seen.status not in ("active", "deactivated"):
        if promised and not seen.in_motion():
            yield (
                LOST,
                f"{promised[0].import_method} of its data was acknowledged, it is {seen.status}",
            )
        if seen.size is not None and seen.status == "queued":
            yield USAGE, f"it is queued and has a size of {seen.size}"
        return
    possible = {each.digest: each for each in promised or record.attempts}
    if seen.digest not in possible:
        others = [each.import_method for each in record.attempts if each.digest == seen.digest]
        yield (
            WRONG_DATA,
            (
                f"its os_hash_value {str(seen.digest)[:12]} is that of "
                + (f"another attempt ({others[0]})" if others else "data of no attempt")
                + " instead of "
                + ", ".join(
                    f"{each.digest[:12]} ({each.import_method})" for each in possible.values()
                )
            ),
        )
    elif seen.size != possible[seen.digest].size:
        yield WRONG_DATA, f"its size is {seen.size} instead of {possible[seen.digest].size}"
    if seen.failure:
        yield NO_DATA, f"active, and a download fails: {seen.failure}"
    elif seen.downloaded != seen.digest:
        yield WRONG_DATA, "a download gives data without its os_hash_value"


def _check(findings: Findings, known: set[str]) -> Iterator[Violation]:
    """The findings of the store check, without those about images with a violation."""
    kinds = {
        "missing": NO_DATA,
        "unreadable": NO_DATA,
        "size": WRONG_DATA,
        "hash": WRONG_DATA,
        "orphan": ORPHAN,
    }
    for each in findings.check:
        kind, image_id = kinds.get(str(each["kind"]), str(each["kind"])), str(each["image_id"])
        if kind == ORPHAN or image_id not in known:
            yield Violation(
                kind,
                image_id,
                f"store check: {each['kind']} in {each['store']}, "
                f"{each['url']} {each['detail']}".rstrip(),
            )


def find_orphans(findings: Findings) -> list[Violation]:
    """Objects and staged files that belong to no image."""
    found = []
    for store, name in findings.objects:
        image_id = _image_id_in(name)
        seen = findings.images.get(image_id)
        if seen is None or store not in seen.stores:
            state = "no image" if seen is None else f"image {seen.status} without that store"
            found.append(Violation(ORPHAN, image_id, f"store {store} has {name}: {state}"))
        elif name.startswith("."):
            found.append(Violation(ORPHAN, image_id, f"store {store} has a partial file {name}"))
    found += [Violation(ORPHAN, _image_id_in(each), each) for each in findings.unfinished]
    for host, name in findings.staged:
        seen = findings.images.get(_image_id_in(name))
        if seen is None or seen.status != "uploading":
            state = "no image" if seen is None else f"image {seen.status}"
            found.append(
                Violation(ORPHAN, _image_id_in(name), f"{host} has {name} staged: {state}")
            )
    return found


def _image_id_in(name: str) -> str:
    """The image id in a name; "" for none."""
    match = _ID.search(name)
    return match.group() if match else ""
