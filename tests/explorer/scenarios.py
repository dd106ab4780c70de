"""The scenarios: clients that work at the same time, each a function in a thread of its process."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import uuid
from collections.abc import Callable, Mapping

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import COPY_IMAGE, GLANCE_DIRECT, WEB_DOWNLOAD, ImportRequest
from glance_py.domain.ports import Upload
from glance_py.domain.registration import Registration
from glance_py.domain.task import IMPORT, Task
from tests.explorer.invariants import Expectations
from tests.explorer.service import CLEANER, CLOCK, PROJECT, Cluster, Host, body_chunks

IMAGE = str(uuid.UUID(int=0xA))
OTHER_IMAGE = str(uuid.UUID(int=0xB))
#: The one address of an object that is there before it is registered.
EXISTING_URL = "memory://one/brought"
EXISTING_DATA = b"data that was there"
BODIES = {"A": b"data of A", "B": b"bytes of the client B", "C": b"C's"}
#: How often a client comes again, and after how many seconds.
MAX_TRIES, RETRY_SECONDS = 12, 10.0


class AppClient:
    """One client and the answers that it got.

    :param name: of its process; with a second letter, it works on another image.
    """

    def __init__(self, cluster: Cluster, name: str, expectations: Expectations) -> None:
        self.cluster = cluster
        self.name = name
        self.host: Host = cluster.hosts[name[0]]
        self.image = IMAGE if len(name) == 1 else OTHER_IMAGE
        self.expectations = expectations
        self.ctx = cluster.owner
        self.body = BODIES[name[0]]

    def get_image(self) -> Image | None:
        """The image, None when it is gone."""
        try:
            return self.host.images.resolve(self.ctx, self.image)
        except errors.ImageNotFound:
            return None

    def retry_until_done(self, once: Callable[[], bool | None]) -> None:
        """Try until it is done: a client that comes again after an error.

        :param once: True when nothing is left to do, None when the next step can be taken at once.
        """
        for _ in range(MAX_TRIES):
            try:
                done = once()
                if done:
                    return
                if done is None:
                    continue
            except errors.GlanceError as error:
                self.note(f"{type(error).__name__}: {error}")
            CLOCK.sleep(RETRY_SECONDS)

    def note(self, line: str) -> None:
        """A line for the trace."""
        if CLOCK.schedule is not None:
            CLOCK.schedule.note(f"{self.name} {line}")

    # ------------------------------------------------------------ what clients do

    def upload(self) -> None:
        """Upload until the image has data."""
        self.retry_until_done(lambda: self._advance({"queued": self._upload}))

    def stage(self) -> None:
        """Stage data until some is staged."""
        self.retry_until_done(
            lambda: self._advance({"queued": self._stage}, final_statuses=("uploading",))
        )

    def stage_and_import(self) -> None:
        """Stage data and import it until the image has data."""
        self.retry_until_done(
            lambda: self._advance(
                {
                    "queued": self._stage,
                    "uploading": lambda image: self._import(image, GLANCE_DIRECT, ["one", "two"]),
                }
            )
        )

    def import_staged(self) -> None:
        """Import the staged data."""
        self.retry_until_done(
            lambda: self._advance(
                {"uploading": lambda image: self._import(image, GLANCE_DIRECT, ["one"])},
                final_statuses=("queued",),
            )
        )

    def web_import(self) -> None:
        """Import from a web server into one store until the image has data."""
        self.retry_until_done(
            lambda: self._advance(
                {
                    "queued": lambda image: self._import(
                        image, WEB_DOWNLOAD, ["one"], uri=f"http://web.example/{self.body.decode()}"
                    )
                }
            )
        )

    def web_import_to_two_stores(self) -> None:
        """The same into two stores, of which one is enough."""
        self.retry_until_done(
            lambda: self._advance(
                {
                    "queued": lambda image: self._import(
                        image,
                        WEB_DOWNLOAD,
                        ["one", "two"],
                        all_must_succeed=False,
                        uri=f"http://web.example/{self.body.decode()}",
                    )
                }
            )
        )

    def import_location(self) -> None:
        """Register the object, whose hash is known, until the image has data."""
        self.retry_until_done(
            lambda: self._advance(
                {
                    "queued": lambda image: self._import_location(
                        image,
                        Registration(
                            EXISTING_URL, "sha512", hashlib.sha512(EXISTING_DATA).hexdigest()
                        ),
                    )
                }
            )
        )

    def import_location_without_hash(self) -> None:
        """The same without a hash."""
        self.retry_until_done(
            lambda: self._advance(
                {"queued": lambda image: self._import_location(image, Registration(EXISTING_URL))}
            )
        )

    def start_task(self) -> None:
        """Have the deprecated tasks API make an image and import its data."""
        task_id = str(uuid.UUID(int=0x7A5 << 64 | ord(self.name[0])))
        try:
            self.host.tasks.create(
                self.ctx,
                Task(
                    task_id,
                    IMPORT,
                    owner=PROJECT,
                    input={
                        "import_from": f"http://web.example/{self.body.decode()}",
                        "import_from_format": "raw",
                    },
                ),
            )
        except errors.GlanceError as error:
            self.note(f"{type(error).__name__}: {error}")
        else:
            self._accepted(None)

    def copy(self) -> None:
        """Copy the data to the second store until it is there."""
        self.retry_until_done(self._copy)

    def remove_first_copy(self) -> None:
        """Remove the copy in the first store, unless it is the last."""
        self.retry_until_done(lambda: self._remove_copy("one"))

    def delete_from_second_store(self) -> None:
        """Remove the copy in the second store, unless it is the last."""
        self.retry_until_done(lambda: self._remove_copy("two"))

    def delete(self) -> None:
        """Delete until the image is gone."""
        self.retry_until_done(self._delete)

    def scrub(self) -> None:
        """Remove now and then what waits for its removal."""
        for _ in range(4):
            with contextlib.suppress(errors.GlanceError):
                list(self.host.scrubber().scrub(0.0))
            CLOCK.sleep(RETRY_SECONDS)

    def restore(self) -> None:
        """Bring an image back that was deleted with delay."""
        for _ in range(4):
            self.expectations.restoring = True
            try:
                self.host.scrubber().restore(self.image)
            except errors.GlanceError as error:
                self.note(f"{type(error).__name__}: {error}")
            else:
                self.note("restored")
                return
            CLOCK.sleep(RETRY_SECONDS)

    # ------------------------------------------------------------ once

    def _advance(
        self,
        actions: Mapping[str, Callable[[Image], bool | None]],
        final_statuses: tuple[str, ...] = (),
    ) -> bool | None:
        """Do what the present state allows; is there nothing left to do?"""
        image = self.get_image()
        if image is None or image.status in (*final_statuses, "active"):
            return True
        act = actions.get(image.status)
        if act is None or image.status == "uploading" and image.size is None:
            return False
        return act(image)

    def _upload(self, image: Image) -> bool:
        upload = Upload(body_chunks(self.body), self._size())
        try:
            self.host.images.upload(self.ctx, image, upload)
        except errors.GlanceError as error:
            if upload.attempt.claim is not None:
                self.expectations.record_failure(self.host.process, error)
            raise
        self.note("uploaded")
        self.expectations.record_upload(self.image, self.body)
        return True

    def _stage(self, image: Image) -> None:
        upload = Upload(body_chunks(self.body), self._size())
        try:
            self.host.images.stage(self.ctx, image, upload)
        except errors.GlanceError as error:
            if upload.attempt.claim is not None:
                self.expectations.record_failure(self.host.process, error)
            raise
        self.note("staged")
        self.expectations.staged[self.name] = self.body

    def _import(
        self,
        image: Image,
        method: str,
        stores: list[str],
        all_must_succeed: bool = True,
        **how: object,
    ) -> bool:
        self.host.importer.start(
            self.ctx,
            image,
            ImportRequest(
                method, {"name": method, **how}, {}, stores, all_must_succeed=all_must_succeed
            ),
        )
        self._accepted(self.body if method == WEB_DOWNLOAD else None)
        return False

    def _import_location(self, image: Image, registration: Registration) -> bool:
        self.host.location_import.add_location(self.ctx, image, registration)
        self._accepted(EXISTING_DATA)
        return False

    def _accepted(self, body: bytes | None) -> None:
        """A task was accepted and has been worked on; None: the body is what was staged."""
        task_id = self.host.task_executor.last
        if task_id is not None:
            self.expectations.tasks[task_id] = (self.host.process, body)
            found = self.cluster.query("SELECT status FROM tasks WHERE id = ?", task_id)
            self.note(f"sees the task end: {found}")

    def _copy(self) -> bool:
        image = self.get_image()
        if (
            image is None
            or image.status != "active"
            or any(location.store == "two" for location in image.locations)
        ):
            return True
        self._import(image, COPY_IMAGE, ["two"])
        return False

    def _remove_copy(self, store: str) -> bool:
        image = self.get_image()
        if (
            image is None
            or len(image.locations) < 2
            or store not in {location.store for location in image.locations}
        ):
            return True
        self.host.location_import.delete_from_store(self.ctx, image, store)
        self.note(f"removed the copy in {store}")
        return True

    def _size(self) -> int | None:
        """B does not announce its size."""
        return None if self.host.name == "B" else len(self.body)

    def _delete(self) -> bool:
        image = self.get_image()
        if image is None:
            return True
        self.expectations.deleting.add(self.image)
        self.host.images.delete(self.ctx, image)
        self.note("deleted")
        self.expectations.removed.add(self.image)
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What clients do at the same time.

    clients
        By the name of the process (A, B, C): the name of a method of Client.  Two clients of
        one process (A, AA) work on two images.
    copies
        The stores that have data of the image in the beginning.
    staged
        Is there staged data in the beginning?
    recoveries
        How many processes look for abandoned work.
    delayed
        Is the data of deleted images left to the scrubber?
    split_reads
        Do others work also between the statements of a read?
    quota
        Bytes that the project may store.
    """

    name: str
    clients: dict[str, str]
    copies: tuple[str, ...] = ()
    staged: bool = False
    recoveries: int = 1
    delayed: bool = False
    split_reads: bool = False
    quota: int = 1024**3


SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        Scenario("upload", {"A": "upload"}),
        Scenario("two-uploads", {"A": "upload", "B": "upload"}),
        Scenario("upload-delete", {"A": "upload", "B": "delete"}),
        Scenario("two-uploads-delete", {"A": "upload", "B": "upload", "C": "delete"}),
        Scenario("two-recoveries", {"A": "upload", "B": "upload"}, recoveries=2),
        Scenario("one-process", {"A": "upload", "AA": "upload", "B": "upload"}),
        Scenario("quota", {"A": "upload", "AA": "upload", "B": "upload"}, quota=25),
        Scenario("tasks", {"A": "start_task", "B": "start_task"}),
        Scenario("two-stagings", {"A": "stage", "B": "stage"}),
        Scenario("stage-upload", {"A": "stage_and_import", "B": "upload"}),
        Scenario("stage-delete", {"A": "stage_and_import", "B": "delete"}),
        Scenario("two-imports", {"A": "import_staged", "B": "import_staged"}, staged=True),
        Scenario("import-delete", {"A": "import_staged", "B": "delete"}, staged=True),
        Scenario("web-upload", {"A": "web_import", "B": "upload"}),
        Scenario("two-web", {"A": "web_import_to_two_stores", "B": "web_import"}),
        Scenario("web-delete", {"A": "web_import_to_two_stores", "B": "delete"}),
        Scenario("two-copies", {"A": "copy", "B": "copy"}, ("one",)),
        Scenario("copy-delete", {"A": "copy", "B": "delete"}, ("one",)),
        Scenario(
            "copy-withdraw",
            {"A": "copy", "B": "remove_first_copy", "C": "delete_from_second_store"},
            ("one",),
        ),
        Scenario(
            "two-withdrawals",
            {"A": "remove_first_copy", "B": "delete_from_second_store", "C": "delete"},
            ("one", "two"),
        ),
        Scenario("delayed", {"A": "delete", "B": "scrub"}, ("one", "two"), delayed=True),
        Scenario("restore", {"A": "delete", "B": "scrub", "C": "restore"}, ("one",), delayed=True),
        Scenario("delayed-upload", {"A": "upload", "B": "delete", "C": "scrub"}, delayed=True),
        Scenario("torn-uploads", {"A": "upload", "B": "upload", "C": "delete"}, split_reads=True),
        Scenario(
            "torn-copies",
            {"A": "copy", "B": "remove_first_copy", "C": "delete"},
            ("one",),
            split_reads=True,
        ),
        Scenario(
            "torn-imports", {"A": "web_import_to_two_stores", "B": "upload"}, split_reads=True
        ),
        Scenario("register-upload", {"A": "import_location", "B": "upload"}),
        Scenario(
            "two-registrations", {"A": "import_location_without_hash", "B": "import_location"}
        ),
        Scenario("register-delete", {"A": "import_location", "B": "delete"}),
    )
}


def set_up(cluster: Cluster, scenario: Scenario) -> Expectations:
    """The image and its data as they are in the beginning."""
    expectations = Expectations()
    for host in cluster.hosts.values():
        host.configure(scenario.delayed, scenario.quota)
    cluster.quota = scenario.quota
    last = cluster.hosts[CLEANER]
    for image_id in (IMAGE, OTHER_IMAGE):
        cluster.repositories.images.create(
            cluster.owner,
            Image(image_id, owner=PROJECT, disk_format="raw", container_format="bare"),
        )
    if "import_location" in " ".join(scenario.clients.values()):
        expectations.foreign[EXISTING_URL] = EXISTING_DATA
        cluster.stores.add("one", "brought", [EXISTING_DATA])
    if scenario.staged:
        last.images.stage(
            cluster.owner,
            last.images.resolve(cluster.owner, IMAGE),
            Upload([EXISTING_DATA], len(EXISTING_DATA)),
        )
        expectations.staged[CLEANER] = EXISTING_DATA
    if scenario.copies:
        last.images.upload(
            cluster.owner,
            last.images.resolve(cluster.owner, IMAGE),
            Upload([EXISTING_DATA], len(EXISTING_DATA)),
        )
        expectations.record_upload(IMAGE, EXISTING_DATA)
    for store in scenario.copies[1:]:
        stored = cluster.stores.add(store, IMAGE, [EXISTING_DATA])
        cluster.repositories.images.update(
            cluster.admin,
            last.images.resolve(cluster.owner, IMAGE),
            ImageChange(add_locations=(Location(stored.url, stored.metadata),)),
        )
    last.claims.send_heartbeats()
    return expectations
