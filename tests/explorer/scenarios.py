"""Who does what at the same time: a client is a function that runs in the thread of its process."""

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
from tests.explorer.invariants import Facts
from tests.explorer.service import CLOCK, LAST, PROJECT, Cluster, Host, source

IMAGE = str(uuid.UUID(int=0xA))
OTHER_IMAGE = str(uuid.UUID(int=0xB))
#: The one address of an object that is there before it is registered.
OBJECT = "memory://one/brought"
BROUGHT = b"data that was there"
BODIES = {"A": b"data of A", "B": b"bytes of the client B", "C": b"C's"}
#: How often a client comes again, and after how many seconds.
TRIES, AGAIN = 12, 10.0


class Client:
    """One client and what it was told.

    :param name: of its process; with a second letter, it works on another image.
    """

    def __init__(self, cluster: Cluster, name: str, facts: Facts) -> None:
        self.cluster = cluster
        self.name = name
        self.host: Host = cluster.hosts[name[0]]
        self.image = IMAGE if len(name) == 1 else OTHER_IMAGE
        self.facts = facts
        self.ctx = cluster.owner
        self.body = BODIES[name[0]]

    def look(self) -> Image | None:
        """The image, None when it is gone."""
        try:
            return self.host.images.resolve(self.ctx, self.image)
        except errors.ImageNotFound:
            return None

    def persist(self, once: Callable[[], bool | None]) -> None:
        """Try until it is done: a client that comes again after an error.

        :param once: True when nothing is left to do, None when the next step can be taken at once.
        """
        for _ in range(TRIES):
            try:
                done = once()
                if done:
                    return
                if done is None:
                    continue
            except errors.GlanceError as error:
                self.note(f"{type(error).__name__}: {error}")
            CLOCK.sleep(AGAIN)

    def note(self, line: str) -> None:
        """A line for the trace."""
        if CLOCK.schedule is not None:
            CLOCK.schedule.note(f"{self.name} {line}")

    # ------------------------------------------------------------ what clients do

    def upload(self) -> None:
        """Upload until the image has data."""
        self.persist(lambda: self._bring({"queued": self._upload}))

    def stage(self) -> None:
        """Stage data until some is staged."""
        self.persist(lambda: self._bring({"queued": self._stage}, ends=("uploading",)))

    def stage_and_import(self) -> None:
        """Stage data and import it until the image has data."""
        self.persist(
            lambda: self._bring(
                {
                    "queued": self._stage,
                    "uploading": lambda image: self._import(image, GLANCE_DIRECT, ["one", "two"]),
                }
            )
        )

    def import_staged(self) -> None:
        """Import what somebody staged."""
        self.persist(
            lambda: self._bring(
                {"uploading": lambda image: self._import(image, GLANCE_DIRECT, ["one"])},
                ends=("queued",),
            )
        )

    def web_import(self) -> None:
        """Import from a web server into one store until the image has data."""
        self.persist(
            lambda: self._bring(
                {
                    "queued": lambda image: self._import(
                        image, WEB_DOWNLOAD, ["one"], uri=f"http://web.example/{self.body.decode()}"
                    )
                }
            )
        )

    def web_import_everywhere(self) -> None:
        """The same into two stores, of which one is enough."""
        self.persist(
            lambda: self._bring(
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

    def register(self) -> None:
        """Register the object, whose hash is known, until the image has data."""
        self.persist(
            lambda: self._bring(
                {
                    "queued": lambda image: self._register(
                        image, Registration(OBJECT, "sha512", hashlib.sha512(BROUGHT).hexdigest())
                    )
                }
            )
        )

    def register_unknown(self) -> None:
        """The same without a hash."""
        self.persist(
            lambda: self._bring(
                {"queued": lambda image: self._register(image, Registration(OBJECT))}
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
        self.persist(self._copy)

    def delete_from_store(self) -> None:
        """Remove the copy in the first store, unless it is the last."""
        self.persist(lambda: self._withdraw("one"))

    def delete_from_second_store(self) -> None:
        """Remove the copy in the second store, unless it is the last."""
        self.persist(lambda: self._withdraw("two"))

    def delete(self) -> None:
        """Delete until the image is gone."""
        self.persist(self._delete)

    def scrub(self) -> None:
        """Remove now and then what waits for its removal."""
        for _ in range(4):
            with contextlib.suppress(errors.GlanceError):
                list(self.host.scrubber().scrub(0.0))
            CLOCK.sleep(AGAIN)

    def restore(self) -> None:
        """Bring an image back that was deleted with delay."""
        for _ in range(4):
            self.facts.restoring = True
            try:
                self.host.scrubber().restore(self.image)
            except errors.GlanceError as error:
                self.note(f"{type(error).__name__}: {error}")
            else:
                self.note("restored")
                return
            CLOCK.sleep(AGAIN)

    # ------------------------------------------------------------ once

    def _bring(
        self, acts: Mapping[str, Callable[[Image], bool | None]], ends: tuple[str, ...] = ()
    ) -> bool | None:
        """Do what the present state allows; is there nothing left to do?"""
        image = self.look()
        if image is None or image.status in (*ends, "active"):
            return True
        act = acts.get(image.status)
        if act is None or image.status == "uploading" and image.size is None:
            return False
        return act(image)

    def _upload(self, image: Image) -> bool:
        upload = Upload(source(self.body), self._size())
        try:
            self.host.images.upload(self.ctx, image, upload)
        except errors.GlanceError as error:
            if upload.attempt.claim is not None:
                self.facts.fail(self.host.process, error)
            raise
        self.note("uploaded")
        self.facts.upload_acknowledged(self.image, self.body)
        return True

    def _stage(self, image: Image) -> None:
        upload = Upload(source(self.body), self._size())
        try:
            self.host.images.stage(self.ctx, image, upload)
        except errors.GlanceError as error:
            if upload.attempt.claim is not None:
                self.facts.fail(self.host.process, error)
            raise
        self.note("staged")
        self.facts.staged[self.name] = self.body

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

    def _register(self, image: Image, registration: Registration) -> bool:
        self.host.registration.add_location(self.ctx, image, registration)
        self._accepted(BROUGHT)
        return False

    def _accepted(self, body: bytes | None) -> None:
        """A task was accepted and has been worked on; None: the body is what was staged."""
        task_id = self.host.background.last
        if task_id is not None:
            self.facts.tasks[task_id] = (self.host.process, body)
            found = self.cluster.query("SELECT status FROM tasks WHERE id = ?", task_id)
            self.note(f"sees the task end: {found}")

    def _copy(self) -> bool:
        image = self.look()
        if (
            image is None
            or image.status != "active"
            or any(location.store == "two" for location in image.locations)
        ):
            return True
        self._import(image, COPY_IMAGE, ["two"])
        return False

    def _withdraw(self, store: str) -> bool:
        image = self.look()
        if (
            image is None
            or len(image.locations) < 2
            or store not in {location.store for location in image.locations}
        ):
            return True
        self.host.registration.delete_from_store(self.ctx, image, store)
        self.note(f"removed the copy in {store}")
        return True

    def _size(self) -> int | None:
        """B does not announce its size."""
        return None if self.host.name == "B" else len(self.body)

    def _delete(self) -> bool:
        image = self.look()
        if image is None:
            return True
        self.facts.deleting.add(self.image)
        self.host.images.delete(self.ctx, image)
        self.note("deleted")
        self.facts.removed.add(self.image)
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
    torn
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
    torn: bool = False
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
        Scenario("two-web", {"A": "web_import_everywhere", "B": "web_import"}),
        Scenario("web-delete", {"A": "web_import_everywhere", "B": "delete"}),
        Scenario("two-copies", {"A": "copy", "B": "copy"}, ("one",)),
        Scenario("copy-delete", {"A": "copy", "B": "delete"}, ("one",)),
        Scenario(
            "copy-withdraw",
            {"A": "copy", "B": "delete_from_store", "C": "delete_from_second_store"},
            ("one",),
        ),
        Scenario(
            "two-withdrawals",
            {"A": "delete_from_store", "B": "delete_from_second_store", "C": "delete"},
            ("one", "two"),
        ),
        Scenario("delayed", {"A": "delete", "B": "scrub"}, ("one", "two"), delayed=True),
        Scenario("restore", {"A": "delete", "B": "scrub", "C": "restore"}, ("one",), delayed=True),
        Scenario("delayed-upload", {"A": "upload", "B": "delete", "C": "scrub"}, delayed=True),
        Scenario("torn-uploads", {"A": "upload", "B": "upload", "C": "delete"}, torn=True),
        Scenario(
            "torn-copies",
            {"A": "copy", "B": "delete_from_store", "C": "delete"},
            ("one",),
            torn=True,
        ),
        Scenario("torn-imports", {"A": "web_import_everywhere", "B": "upload"}, torn=True),
        Scenario("register-upload", {"A": "register", "B": "upload"}),
        Scenario("two-registrations", {"A": "register_unknown", "B": "register"}),
        Scenario("register-delete", {"A": "register", "B": "delete"}),
    )
}


def begin(cluster: Cluster, scenario: Scenario) -> Facts:
    """The image and its data as they are in the beginning."""
    facts = Facts()
    for host in cluster.hosts.values():
        host.configure(scenario.delayed, scenario.quota)
    cluster.quota = scenario.quota
    last = cluster.hosts[LAST]
    for image_id in (IMAGE, OTHER_IMAGE):
        cluster.repositories.images.create(
            cluster.owner,
            Image(image_id, owner=PROJECT, disk_format="raw", container_format="bare"),
        )
    if "register" in " ".join(scenario.clients.values()):
        facts.foreign[OBJECT] = BROUGHT
        cluster.stores.add("one", "brought", [BROUGHT])
    if scenario.staged:
        last.images.stage(
            cluster.owner,
            last.images.resolve(cluster.owner, IMAGE),
            Upload([BROUGHT], len(BROUGHT)),
        )
        facts.staged[LAST] = BROUGHT
    if scenario.copies:
        last.images.upload(
            cluster.owner,
            last.images.resolve(cluster.owner, IMAGE),
            Upload([BROUGHT], len(BROUGHT)),
        )
        facts.upload_acknowledged(IMAGE, BROUGHT)
    for store in scenario.copies[1:]:
        stored = cluster.stores.add(store, IMAGE, [BROUGHT])
        cluster.repositories.images.update(
            cluster.admin,
            last.images.resolve(cluster.owner, IMAGE),
            ImageChange(add_locations=(Location(stored.url, stored.metadata),)),
        )
    last.claims.beat()
    return facts
