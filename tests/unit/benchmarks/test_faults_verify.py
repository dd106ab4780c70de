"""The judge of fault campaigns, with findings that were made up."""

from __future__ import annotations

import unittest

from benchmarks.faults.shadow import Attempt, Outcome, Record
from benchmarks.faults.verify import Findings, ObservedImage, Violation, distinct, find_violations

ID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
A, B = "a" * 128, "b" * 128


def record(*attempts: Attempt, **fields) -> Record:
    return Record(ID, **{"created": Outcome.ACKNOWLEDGED, **fields}, attempts=list(attempts))


def upload(digest: str = A, outcome: Outcome = Outcome.ACKNOWLEDGED, size: int = 5) -> Attempt:
    return Attempt("upload", digest, size, outcome)


def active(digest: str = A, **fields) -> ObservedImage:
    return ObservedImage(
        ID,
        **{
            "status": "active",
            "size": 5,
            "digest": digest,
            "downloaded": digest,
            "stores": frozenset({"fast"}),
            **fields,
        },
    )


class VerifyTest(unittest.TestCase):
    def check(
        self, expected: list[str], record: Record, seen: ObservedImage | None, **more
    ) -> None:
        """The kinds of violations."""
        findings = Findings(
            **{
                "images": {ID: seen} if seen else {},
                "listed": frozenset({ID} if seen else ()),
                **more,
            }
        )
        self.assertEqual(expected, [each.kind for each in find_violations([record], findings)])

    def test_all_is_well(self) -> None:
        self.check([], record(upload()), active(), objects=[("fast", ID)])
        self.check([], record(), ObservedImage(ID, "queued"))
        self.check([], record(upload(), deleted=Outcome.ACKNOWLEDGED), None)

    # ------------------------------------------------------------ lost

    def test_an_acknowledged_image_is_gone(self) -> None:
        self.check(["lost"], record(), None)
        self.check(["lost"], record(upload()), None)

    def test_what_was_never_acknowledged_may_be_gone(self) -> None:
        self.check([], record(created=Outcome.UNKNOWN), None)
        self.check([], record(created=Outcome.REFUSED), None)

    def test_an_unknown_deletion_may_have_happened_or_not(self) -> None:
        self.check([], record(upload(), deleted=Outcome.UNKNOWN), None)
        self.check([], record(upload(), deleted=Outcome.UNKNOWN), active())

    def test_a_refused_deletion_has_not_happened(self) -> None:
        self.check(["lost"], record(upload(), deleted=Outcome.NOT_SENT), None)

    def test_it_is_missing_in_lists(self) -> None:
        self.check(["lost"], record(upload()), active(), listed=frozenset())

    def test_acknowledged_data_of_an_image_that_is_queued_again(self) -> None:
        self.check(["lost"], record(upload()), ObservedImage(ID, "queued"))

    def test_two_uploads_of_different_data_were_acknowledged(self) -> None:
        self.check(["lost"], record(upload(), upload(B)), active())

    def test_a_copy(self) -> None:
        self.check(["lost"], record(upload(), copied={"slow"}), active())
        self.check(
            [], record(upload(), copied={"slow"}), active(stores=frozenset({"fast", "slow"}))
        )

    def test_a_property(self) -> None:
        self.check(["lost"], record(upload(), serial="2"), active(serial="1"))
        self.check([], record(upload(), serial="2", unknown_serials={"3"}), active(serial="3"))
        self.check([], record(upload(), unknown_serials={"3"}), active())

    # ------------------------------------------------------------ data

    def test_data_of_an_upload_whose_outcome_is_unknown(self) -> None:
        unknown = record(upload(outcome=Outcome.UNKNOWN), upload(B, Outcome.REFUSED))
        self.check([], unknown, active())
        self.check([], unknown, ObservedImage(ID, "queued"))

    def test_data_of_another_attempt_than_the_acknowledged_one(self) -> None:
        self.check(["wrong data"], record(upload(), upload(B, Outcome.UNKNOWN)), active(B))

    def test_active_without_data(self) -> None:
        self.check(["no data"], record(upload()), active(downloaded=None, failure="404"))

    def test_a_download_gives_other_data(self) -> None:
        self.check(["wrong data"], record(upload()), active(downloaded=B))

    def test_a_wrong_size(self) -> None:
        self.check(["wrong data"], record(upload()), active(size=6))

    def test_what_the_store_check_says_is_named_once(self) -> None:
        missing = {"kind": "missing", "image_id": ID, "store": "fast", "url": "u", "detail": ""}
        self.check(["no data"], record(upload()), active(), check=[missing])
        self.check(
            ["no data"], record(upload()), active(downloaded=None, failure="404"), check=[missing]
        )

    # ------------------------------------------------------------ motion

    def test_in_motion(self) -> None:
        for seen in (
            ObservedImage(ID, "saving"),
            ObservedImage(ID, "importing"),
            ObservedImage(ID, "queued", locked=True),
            ObservedImage(ID, "queued", tasks=[("failure", ""), ("processing", "reading")]),
        ):
            self.check(["in motion"], record(upload(outcome=Outcome.UNKNOWN)), seen)

    def test_staged_data_may_wait(self) -> None:
        self.check(
            [],
            record(staged=Outcome.ACKNOWLEDGED),
            ObservedImage(ID, "uploading"),
            staged=[("host1", ID)],
        )

    # ------------------------------------------------------------ what is left

    def test_a_deleted_image_is_shown(self) -> None:
        self.check(["not deleted"], record(upload(), deleted=Outcome.ACKNOWLEDGED), active())

    def test_bytes_of_a_deleted_image(self) -> None:
        self.check(
            ["orphan"], record(upload(), deleted=Outcome.ACKNOWLEDGED), None, objects=[("fast", ID)]
        )

    def test_bytes_in_a_store_that_the_image_does_not_have(self) -> None:
        self.check(["orphan"], record(upload()), active(), objects=[("fast", ID), ("slow", ID)])

    def test_a_partial_file_beside_the_whole(self) -> None:
        self.check(
            ["orphan"],
            record(upload()),
            active(),
            objects=[("fast", ID), ("fast", f".{ID}.1234.part")],
        )

    def test_an_unfinished_upload(self) -> None:
        self.check(["orphan"], record(upload()), active(), unfinished=[f"fast: {ID}"])

    def test_staged_data_that_nobody_waits_for(self) -> None:
        self.check(["orphan"], record(upload()), active(), staged=[("host1", ID)])
        self.check(["orphan"], record(), ObservedImage(ID, "queued"), staged=[("host1", OTHER)])

    def test_usage(self) -> None:
        self.check(["usage"], record(), ObservedImage(ID, "queued", size=7))
        self.check(["usage"], record(), ObservedImage(ID, "queued"), usage=["too much"])

    def test_an_image_is_named_once_for_each_kind(self) -> None:
        first, again = Violation("lost", ID, "seen by a client"), Violation("lost", ID, "gone")
        other = Violation("orphan", ID, "a file")
        usage = [Violation("usage", "", "a"), Violation("usage", "", "b")]
        self.assertEqual([first, other, *usage], distinct([first, again, other, *usage]))


if __name__ == "__main__":
    unittest.main()
