"""Defects of the past, put back: the explorer must find each of them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple
from unittest import mock

from glance_py import claims, recovery
from glance_py.domain import errors
from glance_py.importing import importer, rollback
from glance_py.layers import staging
from tests.explorer import scheduler
from tests.explorer.service import SteppedDatabase


@contextlib.contextmanager
def unknown_is_failure() -> Iterator[None]:
    """A lost answer to COMMIT counts as a transaction that was not committed."""
    with mock.patch.object(SteppedDatabase, "unknown", errors.DatabaseUnavailable):
        yield


@contextlib.contextmanager
def one_name() -> Iterator[None]:
    """All attempts write objects of the same name, the id of the image."""

    def name_of(image_id: str, generation: int) -> str:
        return image_id

    with contextlib.ExitStack() as stack:
        for module in (claims, staging, importer):
            stack.enter_context(mock.patch.object(module, "object_name", name_of))
        yield


@contextlib.contextmanager
def remove_first() -> Iterator[None]:
    """Recovery removes the data of a silent holder before it takes the claim over."""
    take_over = recovery.Recovery._take_over

    def remove_and_take_over(self, claim):
        for store in self._stores.ids:
            self._stores.delete_attempt(claims.object_name(claim.image_id, claim.generation), store)
        return take_over(self, claim)

    with mock.patch.object(recovery.Recovery, "_take_over", remove_and_take_over):
        yield


@contextlib.contextmanager
def unguarded_writes() -> Iterator[None]:
    """No write of an attempt names its holder but the last one, which gives the claim back."""
    guard = claims.Claim.guard

    def unguarded(self, change, release=False):
        return guard(self, change, release) if release else change

    with mock.patch.object(claims.Claim, "guard", unguarded):
        yield


@contextlib.contextmanager
def unclaimed_rollback() -> Iterator[None]:
    """A rollback does not check that the claim of the import is still held."""
    roll_back = rollback.ImportRollback.roll_back

    def unclaimed(self, ctx, claim, stores, failed, names):
        free = copy.copy(claim)
        free.guard = lambda change, release=False: change
        status = roll_back(self, ctx, free, stores, failed, names)
        self._claims.release(claim)
        return status

    with mock.patch.object(rollback.ImportRollback, "roll_back", unclaimed):
        yield


@contextlib.contextmanager
def resolve_by_reading() -> Iterator[None]:
    """What the record shows is taken for final, though the write may still be on its way."""

    def resolve(self, ctx, claim, is_committed):
        image = self._images.get(ctx, claim.image_id)
        return image if is_committed(image) else None

    with mock.patch.object(claims.Claims, "resolve_outcome", resolve):
        yield


class Defect(NamedTuple):
    """What puts a defect back, the scenario in which it shows, and within how many schedules.

    ``faults`` are those among which it is looked for; None: all.
    """

    apply: Callable[[], AbstractContextManager[None]]
    scenario: str
    max_schedules: int
    faults: tuple[str, ...] | None = None


DEFECTS: Mapping[str, Defect] = {
    "unknown-is-failure": Defect(unknown_is_failure, "upload", 200),
    "one-name": Defect(one_name, "two-uploads", 200),
    "remove-first": Defect(remove_first, "upload", 200),
    "unguarded-writes": Defect(unguarded_writes, "web-upload", 600),
    "resolve-by-reading": Defect(
        resolve_by_reading, "upload", 600, (scheduler.UNKNOWN_LATER, scheduler.PAUSE)
    ),
    "unclaimed-rollback": Defect(unclaimed_rollback, "two-web", 2000, (scheduler.PAUSE,)),
}
