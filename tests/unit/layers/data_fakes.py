"""Fakes for the layers that store data: records, claims and stores in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import types

from glance_py.claims import Claim, LeaseTimes
from glance_py.domain import errors
from glance_py.domain.claim import ClaimGrant, ClaimRequest
from glance_py.domain.image import Image, Location
from glance_store_py import errors as store_errors
from tests.unit.factories import make_member

CTX = make_member()


class Clock:
    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float, /) -> None:
        raise AssertionError("nothing here waits")


class FakeImages:
    """One image; ``answers`` are raised by the next updates, None lets one through.

    An OutcomeUnknown in ``answers`` is raised after the change was applied when ``applies``.
    """

    def __init__(self, image: Image, *answers: Exception | None) -> None:
        self.image = image
        self.answers = list(answers)
        self.applies = False
        self.changes = []

    def get(self, ctx, image_id):
        return self.image

    def list(self, ctx, query):
        return [self.image]

    def create(self, ctx, image, reservation=None):
        return image

    def update(self, ctx, image, change):
        self.changes.append(change)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            if self.applies:
                self._apply(change)
            raise answer
        return self._apply(change)

    def _apply(self, change):
        gone = {location.url for location in change.remove_locations}
        self.image = dataclasses.replace(
            self.image,
            **change.fields,
            properties=change.properties_after(self.image.properties),
            locations=[
                *(each for each in self.image.locations if each.url not in gone),
                *change.add_locations,
            ],
            grant=None if change.acquire is None else ClaimGrant(1),
        )
        return self.image

    def delete(self, ctx, image, status="deleted"):
        self.changes.append(f"delete {status}")


class HeldClaims:
    """Grants each claim.

    ``resolved`` is the answer to a write of unknown outcome: an image, None, or an error.
    """

    def __init__(self) -> None:
        self.resolved = None
        self.times = LeaseTimes()
        self.loses = False
        self.log: list[str] = []

    def request(self, kind):
        return ClaimRequest("token", kind)

    @contextlib.contextmanager
    def hold(self, image_id, grant, request):
        claim = Claim(image_id, grant, request, Clock(), lambda claim: True)
        self.claim = claim
        try:
            yield claim
        finally:
            self.log.append("let go")

    def release_later(self, claim):
        self.log.append("release later")

    def release(self, claim):
        self.log.append("release")

    def resolve_outcome(self, ctx, claim, is_committed):
        self.log.append(f"resolve {claim.holder}")
        claim.holder += "'"
        claim.is_lost = self.loses
        if isinstance(self.resolved, Exception):
            raise self.resolved
        if self.resolved is not None and not is_committed(self.resolved):
            raise AssertionError("the image does not show the change")
        return self.resolved


class DataStores:
    """Stores ``fast`` and ``slow``; ``errors`` are raised by URL or store id."""

    def __init__(self, multi: bool = True) -> None:
        self.multi = multi
        self.ids = ("fast", "slow") if multi else ("",)
        self.default = self.ids[0]
        self.errors: dict[str, Exception] = {}
        self.weights = {"slow": 1}
        self.data: dict[str, bytes] = {}
        self.calls: list[tuple] = []

    def add(self, store, name, data, size, caller=None, reserved=False):
        store = store or self.default
        self.calls.append(("add", store, name, size))
        content = b"".join(data)
        if store in self.errors:
            raise self.errors[store]
        url = f"mem://{store}/{name}"
        self.data[url] = content
        metadata = {"store": store} if self.multi else {}
        return types.SimpleNamespace(url=url, size=len(content), metadata=metadata)

    def get(self, url, store, start=0, stop=None, caller=None):
        self.calls.append(("get", url))
        if url in self.errors:
            raise self.errors[url]
        if url not in self.data:
            raise store_errors.StoreObjectNotFound(url)
        content = self.data[url][start:stop]
        return types.SimpleNamespace(
            chunks=iter([content]),
            length=len(content),
            file=None,
            close=lambda: self.calls.append(("close", url)),
        )

    def predict_url(self, store, name):
        if f"predict {store}" in self.errors:
            raise self.errors[f"predict {store}"]
        return f"mem://{store}/{name}"

    def delete_attempt(self, name, store, strict=False):
        self.calls.append(("delete_attempt", name, store))
        return [f"mem://{store}/{name}"]

    def weight(self, store):
        return self.weights.get(store, 0)


class Deleter:
    """Notes what is deleted; ``in_use`` makes ``delete`` fail."""

    def __init__(self) -> None:
        self.in_use = False
        self.deleted: list[tuple] = []

    def delete(self, image_id, locations, ctx=None, recorded=None):
        self.deleted.append(("delete", [location.url for location in locations], recorded))
        if self.in_use:
            raise errors.ImageInUse()
        return len(locations)

    def delete_unrecorded(self, image_id, location, ctx=None):
        self.deleted.append(("unrecorded", location.url))


class Pending:
    def __init__(self) -> None:
        self.added: list[tuple[str, Location]] = []
        self.log: list[tuple] = []
        self.error: Exception | None = None

    def add(self, image_id, location):
        if self.error is not None:
            raise self.error
        self.added.append((image_id, location))

    def unmark(self, locations):
        self.log.append(("unmark", [location.url for location in locations]))

    def restore(self, image_id, status, was="pending_delete"):
        self.log.append(("restore", status, was))
