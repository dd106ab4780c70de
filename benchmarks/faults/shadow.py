"""The answers that clients got: the record with which the service is compared."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
import threading
import time


class Outcome(enum.Enum):
    """What a client knows about a request.

    UNKNOWN: no answer, or 5xx: it may or may not have been done, now or later.
    """

    NOT_SENT = "not sent"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclasses.dataclass
class Attempt:
    """Data that a client tried to give to an image.  ``digest`` is SHA-512 in hexadecimal."""

    import_method: str
    digest: str
    size: int
    outcome: Outcome = Outcome.UNKNOWN


@dataclasses.dataclass
class Record:
    """One image, as its client knows it."""

    image_id: str
    project: str = ""
    created: Outcome = Outcome.NOT_SENT
    deleted: Outcome = Outcome.NOT_SENT
    staged: Outcome = Outcome.NOT_SENT
    attempts: list[Attempt] = dataclasses.field(default_factory=list)
    #: Stores in which a copy was acknowledged.
    copied: set[str] = dataclasses.field(default_factory=set)
    #: The property ``serial``: the value acknowledged last, and those whose outcome is unknown.
    serial: str | None = None
    unknown_serials: set[str] = dataclasses.field(default_factory=set)

    def acknowledged(self) -> list[Attempt]:
        """Attempts whose data the image has according to the answers."""
        return [each for each in self.attempts if each.outcome is Outcome.ACKNOWLEDGED]

    def record_patch(self, value: str, outcome: Outcome) -> None:
        """Note a new value of ``serial``.  One whose outcome is unknown may come later, too."""
        if outcome is Outcome.ACKNOWLEDGED:
            self.serial = value
        elif outcome is Outcome.UNKNOWN:
            self.unknown_serials.add(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ``subject`` is an image's id or "fault"."""

    at: float
    subject: str
    text: str


class Timeline:
    """Everything that happened, in order; may be used by all threads.

    :param path: a file in which it can be followed meanwhile.
    """

    def __init__(self, path: pathlib.Path | None = None) -> None:
        self.began = time.time()
        self._path = path
        self._lock = threading.Lock()
        self._events: list[Event] = []

    def note(self, subject: str, text: str) -> None:
        """Something happens now."""
        with self._lock:
            self._events.append(Event(time.time(), subject, text))
            if self._path is not None:
                with open(self._path, "a") as file:
                    file.write(self.line(self._events[-1]) + "\n")

    def of(self, *subjects: str) -> list[Event]:
        """The events of some subjects; of all when none is given."""
        with self._lock:
            return [each for each in self._events if not subjects or each.subject in subjects]

    def line(self, event: Event) -> str:
        """An event as text: seconds after the begin, subject, what happened."""
        clock = time.strftime("%H:%M:%S", time.gmtime(event.at))
        return (
            f"{clock}.{int(event.at % 1 * 1000):03} {event.at - self.began:8.2f} "
            f"{event.subject:<36} {event.text}"
        )


class Shadow:
    """All records, by image id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}

    def add(self, record: Record) -> None:
        with self._lock:
            self._records[record.image_id] = record

    def records(self) -> list[Record]:
        with self._lock:
            return list(self._records.values())
