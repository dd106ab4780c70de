"""What an import works with, in memory: records, stores and tasks that a test looks into.

``World`` has all of it.  Only the staged data is in files, since plugins work on files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import tempfile
import types
from collections.abc import Iterable

from glance_py import claims
from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import ClaimGrant, ClaimRelease, ClaimRequest, HeldClaim
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import ImportRequest
from glance_py.domain.task import Task
from glance_py.heartbeat import Heartbeat
from glance_py.importing.importer import Importer
from glance_py.importing.staging import StagingArea
from glance_py.importing.task_executor import RunningTask, TaskExecutor
from glance_py.safe_http import Response
from glance_py.settings import Settings
from glance_py.streams import filtered
from glance_store_py import errors as store_errors
from glance_store_py.config import STAGING_STORE
from glance_store_py.driver import AddResult, ObjectData
from glance_store_py.stores import StoreInfo
from tests.manual_clock import ManualClock

ID = "11111111-1111-4111-8111-111111111111"
CALLER = RequestContext(user_id="u", project_id="p", roles=["member"], request_id="req-1")


def unused(*_: object) -> None:
    """An operation that no import calls."""
    raise AssertionError("not called by imports")


class Images:
    """Images by id, with claims; ``fail`` is raised by the next update, before or after it."""

    def __init__(self, held: dict[str, HeldClaim]) -> None:
        self.images: dict[str, Image] = {}
        self.changes: list[ImageChange] = []
        self.held = held
        self.fail: dict[int, BaseException] = {}
        self.ids = itertools.count(1)

    def get(self, ctx, image_id: str) -> Image:
        if image_id not in self.images:
            raise errors.ImageNotFound(image_id)
        return dataclasses.replace(self.images[image_id])

    resolve = get

    def create(self, ctx, image: Image, reservation=None) -> Image:
        self.images[image.id] = dataclasses.replace(image)
        return self.get(ctx, image.id)

    def delete(self, ctx, image: Image, status: str = "deleted") -> None:
        self.get(ctx, image.id)
        del self.images[image.id]

    def update(self, ctx, image: Image, change: ImageChange) -> Image:
        self.changes.append(dataclasses.replace(change))
        failure = self.fail.pop(len(self.changes), None)
        if failure is not None and not isinstance(failure, errors.OutcomeUnknown):
            raise failure
        found = self.get(ctx, image.id)
        claim = self.held.get(image.id, HeldClaim(image.id, 0, "", "", 0))
        if change.holder is not None and claim.holder != change.holder:
            raise errors.ClaimLost(image.id)
        if change.expected is not None and found.status not in change.expected:
            raise errors.StatusConflict(image.id)
        properties = change.properties_after(found.properties)
        if change.acquire is not None:
            if claim.holder:
                raise errors.ImageBusy(image.id)
            claim = self.take(image.id, change.acquire)
            if change.acquire.task_id is not None:
                properties["os_glance_import_task"] = change.acquire.task_id
        if change.release is not None:
            if change.release.task_id == properties.get("os_glance_import_task"):
                properties.pop("os_glance_import_task", None)
            self.release(image.id, change.release)
        gone = {location.id for location in change.remove_locations}
        added = [
            dataclasses.replace(location, id=next(self.ids)) for location in change.add_locations
        ]
        self.images[image.id] = dataclasses.replace(
            found,
            **change.fields,
            properties=properties,
            locations=[x for x in found.locations if x.id not in gone] + added,
        )
        after = self.get(ctx, image.id)
        if change.acquire is not None:
            after.grant = ClaimGrant(claim.generation, claim.staged)
        if failure is not None:
            raise failure
        return after

    def take(self, image_id: str, request: ClaimRequest) -> HeldClaim:
        before = self.held.get(image_id, HeldClaim(image_id, 0, "", "", 0))
        self.held[image_id] = HeldClaim(
            image_id, before.generation + 1, request.holder, request.kind, 0, "", request.task_id
        )
        return self.held[image_id]

    def release(self, image_id: str, how: ClaimRelease) -> None:
        if how.forget:
            del self.held[image_id]
        else:
            self.held[image_id] = dataclasses.replace(self.held[image_id], holder="")


class ClaimTable:
    """The claims of the images of :class:`Images`."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._held = images.held

    def take(self, image_id: str, request: ClaimRequest) -> ClaimGrant:
        return ClaimGrant(self._images.take(image_id, request).generation)

    def get(self, image_id: str) -> HeldClaim | None:
        return self._held.get(image_id)

    def release(self, image_id: str, holder: str, how: ClaimRelease) -> bool:
        claim = self._held.get(image_id)
        if claim is None or claim.holder != holder:
            return False
        image = self._images.images.get(image_id)
        if image is not None and how.task_id == image.properties.get("os_glance_import_task"):
            image.properties.pop("os_glance_import_task", None)
        self._images.release(image_id, how)
        return True

    def beat(self, holders: Iterable[str]) -> list[str]:
        known = {claim.holder for claim in self._held.values()}
        return [holder for holder in holders if holder not in known]

    def finish(self, holders: Iterable[str]) -> None:
        """Nothing here succeeds by an upload."""

    def held(self) -> list[HeldClaim]:
        return [claim for claim in self._held.values() if claim.holder]


class InternalImages:
    """The internal operations over :class:`Images`; writes copies to :class:`Stores`."""

    list = upload = stage = download = set_status = staticmethod(unused)

    def __init__(self, images: Images, stores: Stores) -> None:
        self._images, self._stores = images, stores
        self.get = self.resolve = images.get
        self.create, self.delete, self.update = images.create, images.delete, images.update

    def add_copy(self, ctx, image: Image, upload, finalize) -> Image:
        name = upload.attempt.claim.object_name
        store = self._stores.default if upload.store is None else upload.store
        stored = self._stores.add(store, name, filtered(upload.source, upload.filters))
        with finalize() as (now, change):
            change = change.evolve(
                fields={"size": stored.size, **change.fields},
                add_locations=(Location(stored.url, dict(stored.metadata)),),
            )
            try:
                return self._images.update(ctx, now, upload.attempt.guard(change))
            except errors.OutcomeUnknown:
                upload.attempt.claim.outcome_unknown = True
                raise

    def remove_copy(self, ctx, image: Image, location: Location, change: ImageChange) -> Image:
        after = self._images.update(ctx, image, change.evolve(remove_locations=(location,)))
        self._stores.objects.pop(location.url, None)
        return after


class Tasks:
    """Tasks as the executor and the importer see them; ``events`` names what was recorded."""

    list = list_for_image = staticmethod(unused)

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.events: list[str] = []
        self.fail_start: BaseException | None = None

    def get(self, task_id: str) -> Task:
        if task_id not in self.tasks:
            raise errors.TaskNotFound(task_id)
        return self.tasks[task_id]

    def _set(self, event: str, task: Task, **fields: object) -> Task:
        if self.tasks[task.id].status in ("success", "failure"):
            raise errors.TaskAlreadyFinished(task.id)
        self.events.append(event)
        self.tasks[task.id] = dataclasses.replace(self.tasks[task.id], **fields)
        return self.tasks[task.id]

    def create(self, ctx, task: Task) -> Task:
        self.tasks[task.id] = task
        self.events.append("create")
        return task

    def start(self, task: Task) -> Task:
        if self.fail_start is not None:
            raise self.fail_start
        return self._set("start", task, status="processing")

    def set_message(self, task: Task, message: str) -> Task:
        return self._set("message", task, message=message)

    def succeed(self, task: Task, result, message: str) -> Task:
        return self._set("success", task, status="success", result=result, message=message)

    def failure(self, task: Task, message: str) -> Task:
        return self._set("failure", task, status="failure", message=message)

    fail = failure

    def notify_run(self, task: Task) -> None:
        self.events.append("run")


class Stores:
    """Stores with objects by URL, and a staging area in a directory."""

    def __init__(self, directory: str, ids: tuple[str, ...] = ("one", "two", "ro")) -> None:
        self.ids, self.default, self.multi = ids, ids[0], True
        self.objects: dict[str, bytes] = {}
        self.directory = directory
        self.broken: dict[str, Exception] = {}
        self.read_only = {"ro"}

    def describe(self) -> list[StoreInfo]:
        return [
            StoreInfo(store, "memory", None, store == self.default, store in self.read_only, 0, {})
            for store in self.ids
        ]

    def predict_url(self, store: str, name: str) -> str:
        if store == STAGING_STORE:
            return f"file://{self.directory}/{name}"
        return f"memory://{store}/{name}"

    def store_for_url(self, url: str) -> str | None:
        store = url.removeprefix("memory://").partition("/")[0]
        return store if store in self.ids else None

    def add(self, store: str, name: str, data, size=None, reserved=False, caller=None) -> AddResult:
        if store in self.broken:
            raise self.broken[store]
        url = self.predict_url(store, name)
        whole = b"".join(data)
        if store == STAGING_STORE:
            with open(os.path.join(self.directory, name), "wb") as file:
                file.write(whole)
            return AddResult(url, len(whole), {})
        self.objects[url] = whole
        return AddResult(url, len(whole), {"store": store} if self.multi else {})

    def get(
        self, url: str, store: str | None = None, start=0, stop=None, caller=None
    ) -> ObjectData:
        if store in self.broken:
            raise self.broken[store]
        whole = self._read(url)
        self.closed = False
        return ObjectData(iter([whole]), len(whole), close=lambda: setattr(self, "closed", True))

    def _read(self, url: str) -> bytes:
        if url in self.objects:
            return self.objects[url]
        with contextlib.suppress(FileNotFoundError), open(url.removeprefix("file://"), "rb") as f:
            return f.read()
        raise store_errors.StoreObjectNotFound(url)

    def size(self, url: str, store: str | None = None, caller=None) -> int:
        return len(self._read(url))

    def delete(self, url: str, store: str | None = None, caller=None) -> None:
        del self.objects[url]

    def delete_attempt(self, name: str, store: str | None = None, strict=False) -> list[str]:
        url = self.predict_url(str(store), name)
        if store == STAGING_STORE:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.directory, name))
            return []
        return [url] if self.objects.pop(url, None) is not None else []


class Pending:
    """Records of data to remove."""

    def __init__(self) -> None:
        self.added: list[Location] = []

    def add(self, image_id: str, location: Location) -> None:
        self.added.append(location)

    def any_exist(self, ids) -> bool:
        return False

    def is_shared(self, image_id: str, url: str) -> bool:
        return False

    def statuses_at(self, image_id: str, url: str) -> tuple[str, ...]:
        return ()


class UriFilter:
    """Refuses hosts whose name begins with "bad"."""

    def check(self, url: str, skip_lists: bool = False):
        if "//bad" in url:
            raise errors.Invalid("The URI does not pass filtering.")
        return types.SimpleNamespace(addresses=("192.0.2.1",), url=url)

    resolve_trusted = check


class Fetcher:
    """A web server with one body in pieces; remembers what it was asked for."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces or (b"da", b"ta")
        self.asked: list[tuple] = []

    def open(self, url: str, start=0, if_range=None, headers=None) -> Response:
        self.asked.append((url, start, if_range))
        size = sum(map(len, self.pieces))
        return Response(200, {}, size, iter(self.pieces), lambda: None)  # type: ignore[arg-type]


class Limits:
    """Unified limits; ``exceeded`` are resources without room."""

    def __init__(self, *exceeded: str, most: dict[str, int] | None = None) -> None:
        self.exceeded = exceeded
        self.most = most or {}
        self.asked: list[tuple] = []

    def check(self, project: str | None, deltas: dict[str, int]) -> dict[str, int]:
        self.asked.append((project, dict(deltas)))
        for name in deltas:
            if name in self.exceeded:
                raise errors.QuotaExceeded(f"The limit {name} is exceeded.")
        return self.most


class InlineExecutor(TaskExecutor):
    """Runs a task when a test calls ``run_all``, in its thread."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.queued: list[tuple] = []

    def submit(self, task, function, after=lambda ended: None) -> None:
        self.queued.append((task, function, after))

    def run_all(self) -> None:
        while self.queued:
            self.run(*self.queued.pop(0))


class World:
    """One process with everything an import works with, and its importer."""

    def __init__(
        self, case, settings: Settings | None = None, limits: Limits | None = None
    ) -> None:
        self.directory = case.enterContext(tempfile.TemporaryDirectory(prefix="glance-"))
        self.clock = ManualClock()
        self.settings = settings or Settings()
        self.images = Images({})
        self.tasks = Tasks()
        self.stores = Stores(self.directory)
        self.pending = Pending()
        self.claim_records = ClaimTable(self.images)
        self.repositories = types.SimpleNamespace(
            images=self.images, claims=self.claim_records, tasks=self.tasks, pending=self.pending
        )
        self.heartbeat = Heartbeat("t", 5.0, self.clock, start_thread=lambda name, run: None)
        self.claims = claims.Claims(
            self.claim_records, self.images, self.clock, heartbeat=self.heartbeat
        )
        self.executor = InlineExecutor(self.tasks, 1, self.heartbeat)
        self.fetcher = Fetcher()
        self.internal = InternalImages(self.images, self.stores)
        self.deps = types.SimpleNamespace(
            conf=None,
            settings=self.settings,
            repositories=self.repositories,
            stores=self.stores,
            claims=self.claims,
            uri_filter=UriFilter(),
            task_executor=self.executor,
            limits=limits,
        )
        self.staging = StagingArea(self.stores)
        self.importer = self.build_importer()

    def build_importer(self, **given) -> Importer:
        return Importer(
            self.internal,
            self.deps,
            self.clock,
            staging=self.staging,
            fetcher=self.fetcher,
            **given,
        )

    # ------------------------------------------------------------ images and requests

    def image(self, status: str = "queued", stores: tuple[str, ...] = (), **fields) -> Image:
        """An image with copies of ``data`` in stores."""
        image = Image(
            ID, status=status, owner="p", disk_format="raw", container_format="bare", **fields
        )
        for store in stores:
            stored = self.stores.add(store, ID, [b"data"])
            image.locations.append(
                Location(stored.url, dict(stored.metadata), id=next(self.images.ids))
            )
        return self.images.create(CALLER, image)

    def stage(self, name: str = ID, data: bytes = b"data") -> None:
        self.stores.add(STAGING_STORE, name, [data])

    def staged(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def now(self) -> Image:
        """The image as it is recorded."""
        return self.images.get(CALLER, ID)

    @property
    def task(self) -> Task:
        """The only task."""
        [task] = self.tasks.tasks.values()
        return task

    def hold(self, kind: str = "import", task_id: str | None = None) -> claims.Claim:
        """The claim of the image, taken now."""
        request = self.claims.request(kind, task_id)
        after = self.images.update(CALLER, self.now(), ImageChange(acquire=request))
        return self.claims.keep_alive(ID, after.grant, request)

    def running_task(self, task_id: str = "t") -> RunningTask:
        """A task that runs."""
        return RunningTask(self.tasks.start(self.tasks.create(CALLER, Task(task_id, "x", "p"))))

    def start(self, request: ImportRequest) -> None:
        """Start an import and do its work."""
        self.importer.start(CALLER, self.now(), request)
        self.executor.run_all()


def direct(**more) -> ImportRequest:
    """A request to import staged data."""
    return ImportRequest("glance-direct", more.pop("method", {}), {"d": 1}, **more)


def web(uri: str = "http://source/x", **more) -> ImportRequest:
    """A request to import from a web server."""
    return ImportRequest("web-download", {"uri": uri, **more.pop("method", {})}, {"d": 1}, **more)


def copy(*stores: str, **more) -> ImportRequest:
    """A request to copy an active image."""
    return ImportRequest("copy-image", {}, {"d": 1}, stores=list(stores) or None, **more)
