"""Clients that create, fill, import, copy, read and delete images while faults happen."""

from __future__ import annotations

import collections
import dataclasses
import json
import random
import threading
import time
import uuid
from collections.abc import Callable

from benchmarks.faults.api import (
    ADMIN,
    Answer,
    Api,
    OriginServer,
    content,
    digest_of,
    member_token,
    throttled,
)
from benchmarks.faults.shadow import Attempt, Outcome, Record, Shadow, Timeline
from benchmarks.faults.verify import (
    FINAL_TASK_STATUSES,
    NO_DATA,
    WRONG_ANSWER,
    WRONG_DATA,
    Violation,
)

MIB = 1 << 20
SIZES = (0, *[64 << 10] * 4, *[4 * MIB] * 4, *[40 * MIB] * 3)
PATCH = "application/openstack-images-v2.1-json-patch"
#: Times that a client tries to give data to an image.
MAX_TRIES = 4
#: Seconds that it waits to learn what became of an attempt: more than a lease.
ATTEMPT_TIMEOUT = 75.0
#: Images that a client keeps.
MAX_KEPT = 6
#: Writes that change what a project uses wait for each other: there are several.
PROJECTS = 4


@dataclasses.dataclass
class SharedState:
    """What all clients share."""

    api: Api
    origin: OriginServer
    shadow: Shadow
    timeline: Timeline
    #: No new images any more.
    stop: threading.Event
    #: No client is slow any more.
    no_delays: threading.Event
    seed: object
    largest: int = 40 * MIB

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: collections.Counter[tuple[str, Outcome]] = collections.Counter()
        #: Answers of status 500 by operation: nothing is lost by them, and they are mistakes.
        self.errors: collections.Counter[str] = collections.Counter()
        self.violations: list[Violation] = []

    def count(self, operation: str, outcome: Outcome) -> None:
        with self._lock:
            self.counts[operation, outcome] += 1

    def answered(self, operation: str, record: Record, answer: Answer, note: str) -> None:
        """Count and note an answer."""
        self.count(operation, answer.outcome)
        self.timeline.note(record.image_id, f"{operation} {note}: {answer}")
        if answer.status == 500:
            with self._lock:
                self.errors[operation] += 1

    def violation(self, found: Violation) -> None:
        """A client saw something that must never be seen."""
        self.timeline.note(found.image_id, f"VIOLATION {found.kind}: {found.detail}")
        with self._lock:
            self.violations.append(found)


class Client:
    """One client; what it does follows from the seed and its number, as far as answers agree."""

    def __init__(self, shared: SharedState, number: int) -> None:
        self._shared = shared
        self._api = shared.api
        self._rng = random.Random(f"client {shared.seed} {number}")  # noqa: S311
        self._number = number
        self._project = f"project-{number % PROJECTS}"
        self._token = member_token(self._project)
        self._serial = 0
        self._kept: list[Record] = []
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"client-{number}")

    def start(self) -> None:
        """Begin to work, in a thread."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Has it not finished?"""
        return self._thread.is_alive()

    def _run(self) -> None:
        """One image after the other, until the world stops."""
        while not self._shared.stop.is_set():
            try:
                self._run_image()
            except Exception as error:  # a mistake of this program, not of the service
                self._shared.timeline.note("harness", f"client {self._number}: {error!r}")
                time.sleep(1)

    # ------------------------------------------------------------ what happens to an image

    def _run_image(self) -> None:
        record = self._create()
        if record is None:
            self._shared.stop.wait(0.5)
            return
        if self._rng.random() < 0.12:
            self._delete_during_upload(record)
            return
        if self._add_data(record):
            self._use_image(record)
        else:
            self._kept.append(record)
        if self._kept and self._rng.random() < 0.3:
            self._verify(self._rng.choice(self._kept))
        if len(self._kept) > MAX_KEPT:
            self._delete(self._kept.pop(self._rng.randrange(len(self._kept))))

    def _use_image(self, record: Record) -> None:
        rng = self._rng
        self._verify(record)
        if rng.random() < 0.4:
            self._patch(record)
        if rng.random() < 0.35:
            self._copy(record)
        if rng.random() < 0.3:
            self._verify(record)
        if rng.random() < 0.4:
            self._delete(record)
        else:
            self._kept.append(record)

    def _create(self) -> Record | None:
        """A new image whose id is ours, so that it is known even when no answer comes."""
        record = Record(
            str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            self._project,
            created=Outcome.UNKNOWN,
        )
        document = {
            "id": record.image_id,
            "name": f"faults-{self._number}",
            "disk_format": "raw",
            "container_format": "bare",
        }
        self._shared.shadow.add(record)
        for _ in range(MAX_TRIES):
            answer = self._call(record, "create", "POST", "/v2/images", document)
            if answer.status == 409:  # an earlier one was done after all
                record.created = Outcome.ACKNOWLEDGED
            elif record.created is Outcome.UNKNOWN and answer.outcome is not Outcome.NOT_SENT:
                record.created = answer.outcome
            if record.created is Outcome.ACKNOWLEDGED:
                return record
            if self._shared.stop.wait(1):
                break
        return None

    def _add_data(self, record: Record) -> bool:
        """Try to give data to an image, more than once; is it known to have some?"""
        for turn in range(MAX_TRIES):
            import_method = self._rng.choice(
                (self._upload, self._upload, self._stage_and_import, self._web_download)
            )
            attempt = import_method(record)
            if attempt is not None and attempt.outcome is Outcome.ACKNOWLEDGED:
                return True
            if turn == MAX_TRIES - 1 or self._shared.stop.is_set():
                return False
            status = self._wait_until_stable(record)
            if status == "active":
                return True
            if status == "uploading":
                # Staged by an attempt whose end is unknown.
                self._import(record, record.attempts[-1], {"name": "glance-direct"})
                if record.acknowledged():
                    return True
            elif status != "queued":
                return False
        return False

    def _attempt(self, record: Record, import_method: str) -> tuple[Attempt, str, float]:
        """New data: the attempt, the name of its content, seconds that sending it takes."""
        self._serial += 1
        name = f"{self._shared.seed}-{self._number}-{self._serial}"
        size = min(self._rng.choice(SIZES), self._shared.largest)
        attempt = Attempt(import_method, digest_of(name, size), size)
        record.attempts.append(attempt)
        seconds = 0.0 if self._rng.random() < 0.4 else self._rng.uniform(1, 25)
        return attempt, name, seconds

    def _send(
        self, record: Record, operation: str, attempt: Attempt, name: str, seconds: float, host: int
    ) -> Answer:
        size = attempt.size if self._rng.random() < 0.6 else None
        path = f"/v2/images/{record.image_id}/{operation}"
        timeout = self._rng.choice((10, 10, 20, 35, 70))
        body = throttled(content(name, attempt.size), attempt.size, seconds, self._shared.no_delays)
        self._note(
            record,
            f"{operation} of {attempt.size} bytes {attempt.digest[:12]} through "
            f"host {host + 1} begins ({'chunked' if size is None else 'sized'}, "
            f"{seconds:.0f} s, time-out {timeout} s)",
        )
        answer = self._api.send(host, path, body, size, self._token, timeout)
        self._shared.answered(
            operation, record, answer, f"{attempt.digest[:12]} through host {host + 1}"
        )
        if answer.status == 410 and record.deleted is Outcome.NOT_SENT:
            self._shared.violation(
                Violation(
                    WRONG_ANSWER,
                    record.image_id,
                    f"{operation} through host {host + 1} got the answer that the image is deleted",
                )
            )
        return answer

    def _upload(self, record: Record) -> Attempt:
        attempt, name, seconds = self._attempt(record, "upload")
        answer = self._send(record, "file", attempt, name, seconds, self._host())
        attempt.outcome = answer.outcome
        return attempt

    def _stage_and_import(self, record: Record) -> Attempt | None:
        attempt, name, seconds = self._attempt(record, "glance-direct")
        answer = self._send(record, "stage", attempt, name, seconds, self._host())
        record.staged = answer.outcome
        if answer.outcome is not Outcome.ACKNOWLEDGED:
            return attempt
        self._import(record, attempt, {"name": "glance-direct"})
        return attempt

    def _web_download(self, record: Record) -> Attempt:
        attempt, name, seconds = self._attempt(record, "web-download")
        uri = self._shared.origin.url(name, attempt.size, seconds)
        self._import(record, attempt, {"name": "web-download", "uri": uri})
        return attempt

    def _import(self, record: Record, attempt: Attempt, method: dict) -> None:
        """Ask for an import and wait for its end."""
        stores = self._rng.choice((["fast"], ["slow"], ["fast", "slow"]))
        answer = self._call(
            record,
            f"import {method['name']}",
            "POST",
            f"/v2/images/{record.image_id}/import",
            {"method": method, "stores": stores},
        )
        if answer.outcome in (Outcome.REFUSED, Outcome.NOT_SENT):
            attempt.outcome = answer.outcome
        if answer.outcome is Outcome.ACKNOWLEDGED:
            status = self._wait_until_stable(record, with_tasks=True)
            if (
                status == "active"
                and attempt.outcome is Outcome.ACKNOWLEDGED
                and self._tasks(record)[-1:] == ["success"]
            ):
                self._shared.count(f"{method['name']} done", Outcome.ACKNOWLEDGED)
                record.copied |= set(stores)

    def _copy(self, record: Record) -> None:
        """Copy an image to the second store."""
        answer = self._call(
            record,
            "import copy-image",
            "POST",
            f"/v2/images/{record.image_id}/import",
            {"method": {"name": "copy-image"}, "stores": ["slow"]},
            token=ADMIN,
        )
        if answer.outcome is not Outcome.ACKNOWLEDGED:
            return
        if self._wait_until_stable(record, with_tasks=True) == "active" and self._tasks(record)[
            -1:
        ] == ["success"]:
            # An earlier task may have been the last one: only what is shown counts.
            image = self._show(record)
            if image and "slow" in image.get("stores", "").split(","):
                record.copied.add("slow")
                self._shared.count("copy-image done", Outcome.ACKNOWLEDGED)

    def _patch(self, record: Record) -> None:
        self._serial += 1
        value = str(self._serial)
        answer = self._call(
            record,
            "patch",
            "PATCH",
            f"/v2/images/{record.image_id}",
            [{"op": "add", "path": "/serial", "value": value}],
            media_type=PATCH,
        )
        record.record_patch(value, answer.outcome)

    def _delete(self, record: Record) -> None:
        for _ in range(3):
            before, record.deleted = record.deleted, Outcome.UNKNOWN
            answer = self._call(record, "delete", "DELETE", f"/v2/images/{record.image_id}")
            if answer.status == 404 and before is Outcome.UNKNOWN:
                record.deleted = Outcome.ACKNOWLEDGED
                return
            if answer.outcome is Outcome.ACKNOWLEDGED:
                record.deleted = answer.outcome
                return
            if answer.outcome in (Outcome.NOT_SENT, Outcome.REFUSED):
                record.deleted = before
            if self._shared.stop.wait(1):
                return

    def _delete_during_upload(self, record: Record) -> None:
        """Its data comes through one host, and its deletion through another."""
        attempt, name, seconds = self._attempt(record, "upload")
        host = self._host()

        def upload() -> None:
            attempt.outcome = self._send(
                record, "file", attempt, name, max(seconds, 3), host
            ).outcome

        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        time.sleep(self._rng.uniform(0.2, 4))
        self._delete(record)
        thread.join()

    def _verify(self, record: Record) -> None:
        """Download an image; what comes completely must be its data."""
        promised = {each.digest for each in record.acknowledged()}
        if not promised or record.deleted is not Outcome.NOT_SENT:
            return
        for turn in range(3):
            host = self._host()
            answer, digest = self._api.download(host, record.image_id)
            self._shared.answered(
                "download",
                record,
                answer,
                f"of {(digest or 'nothing')[:12]} through host {host + 1}",
            )
            if digest is None or digest in promised:
                return
            # A host may read from a database node that is a moment behind.
            if answer.status == 200 or turn == 2:
                break
            time.sleep(1)
        self._shared.violation(
            Violation(
                NO_DATA if answer.status == 204 else WRONG_DATA,
                record.image_id,
                f"a download through host {host + 1} gave {answer.status} and other data",
            )
        )

    # ------------------------------------------------------------ steps

    def _wait_until_stable(self, record: Record, with_tasks: bool = False) -> str | None:
        """Wait until an image is at rest; its status, None when that takes too long.

        An active one counts as acknowledged: a client has seen it.
        """
        deadline = time.monotonic() + ATTEMPT_TIMEOUT
        while time.monotonic() < deadline:
            image = self._show(record)
            if (
                image
                and image["status"] in ("active", "queued", "uploading")
                and "os_glance_import_task" not in image
                and (not with_tasks or set(self._tasks(record)) <= FINAL_TASK_STATUSES)
            ):
                if image["status"] == "active":
                    self._seen_active(record, image)
                return image["status"]
            if self._shared.stop.wait(1):
                return None
        return None

    def _seen_active(self, record: Record, image: dict) -> None:
        for attempt in record.attempts:
            if attempt.digest == image["os_hash_value"]:
                attempt.outcome = Outcome.ACKNOWLEDGED
                self._note(
                    record, f"is active with {attempt.digest[:12]} of {attempt.import_method}"
                )

    def _show(self, record: Record) -> dict | None:
        answer = self._api.ask(
            self._host(), "GET", f"/v2/images/{record.image_id}", token=self._token, timeout=5
        )
        return answer.json() if answer.status == 200 else None

    def _tasks(self, record: Record) -> list[str]:
        """The states of its tasks, oldest first; "unknown" when they cannot be read."""
        answer = self._api.ask(
            self._host(), "GET", f"/v2/images/{record.image_id}/tasks", token=ADMIN, timeout=5
        )
        if answer.status != 200:
            return ["unknown"]
        return [task["status"] for task in json.loads(answer.body)["tasks"]]

    def _call(
        self,
        record: Record,
        operation: str,
        method: str,
        path: str,
        document: object = None,
        token: str | None = None,
        **settings,
    ) -> Answer:
        """A request through some host; a host that takes no connections is left out."""
        for host in self._rng.sample(range(len(self._api.ports)), len(self._api.ports)):
            answer = self._api.call(
                host,
                method,
                path,
                document,
                token or self._token,
                timeout=self._rng.choice((5, 10, 20, 40)),
                **settings,
            )
            if answer.outcome is not Outcome.NOT_SENT:
                break
        self._shared.answered(operation, record, answer, f"through host {host + 1}")
        return answer

    def _host(self) -> int:
        return self._rng.randrange(len(self._api.ports))

    def _note(self, record: Record, text: str) -> None:
        self._shared.timeline.note(record.image_id, text)


def start(shared: SharedState, number: int) -> list[Client]:
    """Clients that work."""
    clients = [Client(shared, each) for each in range(number)]
    for client in clients:
        client.start()
    return clients


def wait(clients: list[Client], seconds: float, tick: Callable[[], None]) -> bool:
    """Wait until all have finished; did they, in that time?"""
    deadline = time.monotonic() + seconds
    while any(client.is_alive() for client in clients):
        if time.monotonic() > deadline:
            return False
        tick()
        time.sleep(0.2)
    return True
