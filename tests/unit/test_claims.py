"""The claims of one process: refreshes, releases and writes with an unknown outcome."""

from __future__ import annotations

import unittest

from glance_py import claims, heartbeat
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import ClaimGrant, ClaimRelease, ClaimRequest
from glance_py.domain.image import Image
from tests.manual_clock import ManualClock


class ClaimsTest(unittest.TestCase):
    """The refreshes of one process."""

    def setUp(self) -> None:
        self.clock, self.repositories = ManualClock(), Repositories()
        self.images: dict[str, Image] = {}
        self.heartbeat = heartbeat.Heartbeat(
            "claims", 5.0, self.clock, start_thread=lambda name, run: None
        )
        self.claims = claims.Claims(self.repositories, self, self.clock, heartbeat=self.heartbeat)

    def get(self, ctx, image_id: str) -> Image:
        if self.repositories.away:
            raise errors.DatabaseUnavailable
        if image_id not in self.images:
            raise errors.ImageNotFound(image_id)
        return self.images[image_id]

    def keep(self, name: str) -> claims.Claim:
        wanted = self.claims.request("upload")
        return self.claims.keep_alive(name, ClaimGrant(1), wanted)

    def test_an_error_of_one_claim_does_not_keep_the_others_from_their_refresh(self) -> None:
        one, two = self.keep("one"), self.keep("two")
        self.repositories.broken = {one.holder}
        with self.assertLogs("glance_py.claims", "WARNING") as logged:
            self.heartbeat.beat()
        self.assertEqual([two.holder], self.repositories.beaten)
        self.assertIn("one", logged.output[0])

    def test_a_loss_stops_the_attempt(self) -> None:
        claim = self.keep("one")
        claim.raise_if_lost()
        self.repositories.lost = {claim.holder}
        with self.assertLogs("glance_py.claims", "WARNING"):
            self.heartbeat.beat()
        self.assertRaises(errors.ClaimLost, claim.raise_if_lost)

    def test_a_worker_that_slept_asks_before_it_goes_on(self) -> None:
        claim = self.keep("one")
        self.clock.now += claims.LEASE_TIMES.timeout
        claim.raise_if_lost()
        self.assertEqual([claim.holder], self.repositories.beaten)
        self.clock.now += claims.LEASE_TIMES.timeout
        self.repositories.broken = {claim.holder}
        self.assertRaises(errors.DatabaseUnavailable, claim.raise_if_lost)
        self.repositories.broken, self.repositories.lost = set(), {claim.holder}
        self.assertRaises(errors.ClaimLost, claim.raise_if_lost)

    def test_a_claim_that_was_granted_late_is_confirmed_first(self) -> None:
        """Observers count from the record of the claim, not from the answer to its holder."""
        wanted = self.claims.request("upload")
        self.clock.now += claims.LEASE_TIMES.timeout
        claim = self.claims.keep_alive("one", ClaimGrant(1), wanted)
        self.repositories.lost = {claim.holder}
        self.assertRaises(errors.ClaimLost, claim.raise_if_lost)

    def test_what_is_done_with_is_given_back_at_the_next_beat(self) -> None:
        claim = self.keep("one")
        self.claims.release_later(claim)
        self.claims.stop_keeping_alive(claim)
        self.heartbeat.beat()
        self.heartbeat.beat()
        self.assertEqual([[claim.holder]], self.repositories.finished)
        self.assertEqual([], self.repositories.beaten)
        self.assertTrue(self.claims.is_idle)

    def test_what_could_not_be_released_is_released_at_the_next_beat(self) -> None:
        claim = self.keep("one")
        self.claims.release_later(claim)
        self.claims.stop_keeping_alive(claim)
        self.assertFalse(self.claims.is_idle)
        self.repositories.away = True
        with self.assertLogs("glance_py.claims", "WARNING"):
            self.heartbeat.beat()
        self.repositories.away = False
        self.heartbeat.beat()
        self.assertEqual([[claim.holder]], self.repositories.finished)

    def test_the_end_of_the_process_releases_what_is_done_with(self) -> None:
        self.claims.stop()  # Nothing was ever held.
        for away in (False, True):
            self.repositories.away = away
            claim = self.keep("one")
            self.claims.release_later(claim)
            with self.assertLogs("glance_py.claims", "INFO") if away else self.subTest():
                self.claims.stop()
        self.assertEqual(1, len(self.repositories.finished))
        self.claims.stop()
        self.assertEqual(1, len(self.repositories.finished))

    def test_the_end_of_an_attempt_releases_its_claim(self) -> None:
        claim = self.keep("one")
        claim.may_leave_objects = True
        self.claims.end(claim)
        self.assertEqual(
            [("one", claim.holder, ClaimRelease(None, forget=False))], self.repositories.released
        )
        self.assertTrue(self.claims.is_idle)

    def test_an_attempt_without_a_recorded_end_keeps_its_claim_until_it_expires(self) -> None:
        claim = self.keep("one")
        self.claims.end(claim, ended=False)
        self.assertEqual([], self.repositories.released)
        self.assertTrue(claim.outcome_unknown)
        self.assertTrue(self.claims.is_idle)
        unknown = self.keep("two")
        unknown.outcome_unknown = True
        self.claims.end(unknown)
        self.assertEqual([], self.repositories.released)

    def test_a_claim_that_cannot_be_released_is_left_to_recovery(self) -> None:
        claim = self.keep("one")
        self.repositories.away = True
        with self.assertLogs("glance_py.claims", "WARNING") as logged:
            self.claims.end(claim)
        self.assertIn("expires in 30 s", logged.output[0])

    def test_a_claim_is_refreshed_while_a_block_runs(self) -> None:
        request = self.claims.request("upload", "t", "r")
        self.assertEqual(
            ("upload", "t", "r", 1000.0),
            (request.kind, request.task_id, request.replaces, request.asked),
        )
        with self.assertRaises(KeyError), self.claims.hold("i", ClaimGrant(2, 1), request) as claim:
            self.heartbeat.beat()
            self.assertEqual([request.holder], self.repositories.beaten)
            raise KeyError
        self.assertTrue(self.claims.is_idle)
        self.assertEqual(("i", "i.2"), (claim.staged_name, claim.object_name))
        self.assertRaises(ValueError, self.claims.keep_alive, "i", None, request)

    def test_taking_a_claim_before_its_image_exists(self) -> None:
        claim = self.claims.take("new", self.claims.request("task", "t"))
        self.assertEqual(("new", 1, "t"), (claim.image_id, claim.generation, claim.task_id))
        self.assertFalse(self.claims.is_idle)

    def test_names_of_objects_of_abandoned_attempts(self) -> None:
        for generation, expected in ((1, ["i"]), (3, ["i", "i.2", "i.3"])):
            claim = self.claims.keep_alive(
                "i", ClaimGrant(generation), self.claims.request("upload")
            )
            self.assertEqual(expected, list(claim.abandoned_object_names()))
        claim = self.claims.keep_alive("i", ClaimGrant(20), self.claims.request("upload"))
        self.assertEqual(
            [f"i.{number}" for number in range(12, 21)], list(claim.abandoned_object_names())
        )

    def test_a_guarded_change_names_the_holder(self) -> None:
        claim = self.keep("one")
        self.assertEqual(claim.holder, claim.guard(ImageChange()).holder)
        self.assertIsNone(claim.guard(ImageChange()).release)
        self.assertEqual(
            ClaimRelease(None, forget=True), claim.guard(ImageChange(), release=True).release
        )

    def test_a_filter_stops_data_when_the_claim_is_lost(self) -> None:
        claim = self.keep("one")
        claim_filter = claims.ClaimFilter(claim)
        claim_filter.update(b"data")
        claim_filter.finish()
        claim.is_lost = True
        self.assertRaises(errors.ClaimLost, claim_filter.update, b"data")
        self.assertRaises(errors.ClaimLost, claim_filter.finish)

    # ------------------------------------------------------------ unknown outcomes

    def resolve(self, claim: claims.Claim) -> Image | None:
        return self.claims.resolve_outcome(None, claim, lambda image: image.status == "active")

    def test_a_write_that_was_committed(self) -> None:
        claim = self.keep("one")
        before = claim.holder
        self.images["one"] = Image("one", status="active")
        self.assertIs(self.images["one"], self.resolve(claim))
        self.assertEqual([([before], claim.holder)], self.repositories.replaced)
        self.assertNotEqual(before, claim.holder)
        self.heartbeat.beat()
        self.assertEqual([claim.holder], self.repositories.beaten)

    def test_a_write_that_was_not_committed(self) -> None:
        claim = self.keep("one")
        self.images["one"] = Image("one", status="saving")
        self.assertIsNone(self.resolve(claim))
        del self.images["one"]
        self.assertIsNone(self.resolve(claim))
        self.assertFalse(claim.is_lost)

    def test_a_claim_that_was_taken_over_in_the_meantime(self) -> None:
        claim = self.keep("one")
        self.repositories.is_replaced = False
        self.images["one"] = Image("one", status="saving")
        self.assertIsNone(self.resolve(claim))
        self.assertTrue(claim.is_lost)

    def test_a_database_that_comes_back(self) -> None:
        """All tokens that may have been written are named at the next attempt."""
        claim = self.keep("one")
        before = claim.holder
        self.images["one"] = Image("one", status="active")
        self.repositories.away = True
        self.clock.wake = lambda: setattr(self.repositories, "away", self.clock.now < 1003)
        self.assertIsNotNone(self.resolve(claim))
        [(tokens, _)] = self.repositories.replaced
        self.assertEqual((before, 7), (tokens[0], len(tokens)))

    def test_a_database_that_stays_away(self) -> None:
        claim = self.keep("one")
        self.repositories.away = True
        self.assertRaises(errors.OutcomeUnknown, self.resolve, claim)
        self.assertEqual(1000 + claims.LEASE_TIMES.resolve_timeout, self.clock.now)

    def test_an_answer_about_a_token_that_was_replaced_loses_nothing(self) -> None:
        claim = self.keep("one")
        old = claim.holder

        def beat(holders: list[str]) -> set[str]:
            self.resolve(claim)
            return {old} if old in holders else set()

        self.images["one"] = Image("one")
        self.repositories.beat = beat
        self.claims.send_heartbeats()
        self.assertFalse(claim.is_lost)


class Repositories:
    """Claims in a database that may be away (``broken``) or have others' (``lost``)."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.lost: set[str] = set()
        self.beaten: list[str] = []
        self.finished: list[list[str]] = []
        self.released: list[tuple] = []
        self.replaced: list[tuple] = []
        self.away = False
        self.is_replaced = True

    def _check(self) -> None:
        if self.away:
            raise errors.DatabaseUnavailable()

    def beat(self, holders: list[str]) -> set[str]:
        self._check()
        if self.broken.intersection(holders):
            raise errors.DatabaseUnavailable()
        self.beaten += holders
        return self.lost.intersection(holders)

    def finish(self, holders: list[str]) -> None:
        self._check()
        self.finished.append(holders)

    def take(self, image_id: str, request: ClaimRequest) -> ClaimGrant:
        return ClaimGrant(1)

    def release(self, image_id: str, holder: str, how: ClaimRelease) -> bool:
        self._check()
        self.released.append((image_id, holder, how))
        return True

    def replace_holder(self, image_id: str, holders: list[str], holder: str) -> bool:
        self._check()
        self.replaced.append((list(holders), holder))
        return self.is_replaced


if __name__ == "__main__":
    unittest.main()
