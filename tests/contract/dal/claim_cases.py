"""Claims: one attempt works on an image, and nothing of one that lost its claim is written."""

import concurrent.futures
import datetime
import uuid

import sqlalchemy as sa

from glance_py.db import purge
from glance_py.db.tables import image_claims, image_properties, images
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import (
    IMPORT,
    STAGE,
    TASK,
    UPLOAD,
    ClaimRelease,
    ClaimRequest,
)
from glance_py.domain.image import Image, Location
from glance_py.domain.task import API_IMAGE_IMPORT, Task
from tests.contract.dal.backends import caller

CTX = caller("p1")
LOCK = "os_glance_import_task"
DATA = Location("file:///one")


class ClaimCases:
    def image(self, status="queued", **fields):
        return self.repositories.images.create(
            CTX, Image(str(uuid.uuid4()), status=status, owner="p1", **fields)
        )

    def begin(self, image, holder="a", to="saving", expected="queued", kind=UPLOAD, **more):
        """Take the claim together with a change of status."""
        change = ImageChange.status(to, expected=expected)
        change = change.evolve(acquire=ClaimRequest(holder, kind, "here", **more))
        return self.repositories.images.update(CTX, image, change)

    def activate(self, image, holder, release=None, url="file:///one", expected="saving"):
        change = ImageChange.status("active", expected=expected, size=3)
        change = change.evolve(add_locations=(Location(url),), holder=holder, release=release)
        return self.repositories.images.update(CTX, image, change)

    def look(self, image):
        return self.repositories.images.get(CTX, image.id)

    def held(self, image):
        return [each for each in self.repositories.claims.held() if each.image_id == image.id]

    # ------------------------------------------------------------ taking and guarding

    def test_the_first_attempt_has_generation_one_and_records_its_data(self):
        image = self.image()
        saving = self.begin(image)
        self.assertEqual((1, 1), (saving.grant.generation, saving.grant.staged))
        [claim] = self.held(image)
        self.assertEqual(
            ("a", UPLOAD, "here", 0, 1),
            (claim.holder, claim.kind, claim.host, claim.beats, claim.generation),
        )
        self.activate(saving, "a", ClaimRelease())
        self.assertEqual([], self.held(image))
        self.assertEqual(
            ("active", ["file:///one"]),
            (self.look(image).status, [each.url for each in self.look(image).locations]),
        )

    def test_a_refused_change_takes_no_claim(self):
        image = self.image("active")
        self.assertRaises(errors.StatusConflict, self.begin, image)
        self.assertEqual([], self.held(image))
        self.assertIsNone(self.repositories.claims.get(image.id))

    def test_of_many_one_gets_it(self):
        image = self.image("active")

        def attempt(number):
            try:
                return self.repositories.images.update(
                    CTX,
                    image,
                    ImageChange(
                        acquire=ClaimRequest(f"h{number}", IMPORT), expected=frozenset({"active"})
                    ),
                )
            except errors.ImageBusy:
                return None

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = [each for each in pool.map(attempt, range(4)) if each is not None]
        self.assertEqual(1, len(got))
        self.assertEqual(1, len(self.held(image)))

    def test_a_released_claim_goes_to_the_next_with_another_generation(self):
        image = self.image("active")
        for generation in (1, 2, 3):
            after = self.begin(image, "a", "active", "active", IMPORT)
            self.assertEqual(generation, after.grant.generation)
            self.assertFalse(self.repositories.claims.release(image.id, "other", ClaimRelease()))
            self.assertTrue(self.repositories.claims.release(image.id, "a", ClaimRelease()))
            self.assertFalse(self.repositories.claims.release(image.id, "a", ClaimRelease()))
        self.assertEqual("", self.repositories.claims.get(image.id).holder)

    def test_a_first_attempt_that_is_forgotten_leaves_the_first_name(self):
        image = self.image("active")
        for _ in range(2):
            self.assertEqual(1, self.begin(image, "a", "active", "active", IMPORT).grant.generation)
            self.repositories.claims.release(image.id, "a", ClaimRelease(forget=True))
        self.assertIsNone(self.repositories.claims.get(image.id))

    def test_a_later_attempt_is_not_forgotten(self):
        image = self.image("active")
        for generation, forget in ((1, False), (2, True), (3, True)):
            self.assertEqual(
                generation, self.begin(image, "a", "active", "active", IMPORT).grant.generation
            )
            self.repositories.claims.release(image.id, "a", ClaimRelease(forget=forget))

    def test_where_data_was_removed_the_first_name_is_not_used_again(self):
        image = self.image("active", locations=[Location("file:///a"), Location("file:///b")])
        self.repositories.images.update(
            CTX, image, ImageChange(remove_locations=(image.locations[0],))
        )
        self.assertEqual(2, self.begin(image, "a", "active", "active", IMPORT).grant.generation)
        other = self.image("active", locations=[Location("file:///c"), Location("file:///d")])
        self.begin(other, "a", "active", "active", IMPORT)
        self.repositories.images.update(
            CTX, other, ImageChange(remove_locations=(other.locations[0],))
        )
        self.repositories.claims.release(other.id, "a", ClaimRelease(forget=True))
        self.assertEqual(2, self.begin(other, "b", "active", "active", IMPORT).grant.generation)

    def test_where_data_waits_for_its_removal_the_first_name_is_not_used_again(self):
        image = self.image("active")
        self.begin(image, "a", "active", "active", IMPORT)
        self.repositories.pending.add(image.id, DATA)
        self.repositories.claims.release(image.id, "a", ClaimRelease(forget=True))
        self.assertEqual(2, self.begin(image, "b", "active", "active", IMPORT).grant.generation)

    def test_an_upload_that_succeeded_stands_in_nobodys_way(self):
        """Its claim is given back later, in one statement for many."""
        image = self.image()
        self.activate(self.begin(image), "a")
        self.assertEqual(1, len(self.held(image)))
        after = self.begin(image, "b", "active", "active", IMPORT)
        self.assertEqual(2, after.grant.generation)
        self.repositories.claims.finish(["a"])
        self.assertEqual(["b"], [each.holder for each in self.held(image)])

    def test_uploads_that_succeeded_are_finished_together(self):
        images = [self.image() for _ in range(3)]
        for image, holder in zip(images, "abc", strict=True):
            self.activate(self.begin(image, holder), holder)
        self.repositories.claims.finish(["a", "b"])
        self.assertEqual([0, 0, 1], [len(self.held(image)) for image in images])
        self.assertIsNone(self.repositories.claims.get(images[0].id))

    def test_an_upload_that_runs_stands_in_everybodys_way(self):
        image = self.image()
        self.begin(image)
        self.assertRaises(errors.ImageBusy, self.begin, image, "b", "saving", "saving", IMPORT)

    def test_a_late_worker_writes_nothing(self):
        image = self.image()
        saving = self.begin(image)
        [claim] = self.held(image)
        grant = self.repositories.claims.take_over(claim, "recovery")
        self.assertEqual(2, grant.generation)
        late = ImageChange.status("active", expected="saving").evolve(holder="a")
        for change in (
            late,
            ImageChange(fields={"size": 7}, holder="a"),
            ImageChange(holder="a", release=ClaimRelease(), fields={"name": "late"}),
        ):
            self.assertRaises(
                errors.ClaimLost, self.repositories.images.update, CTX, saving, change
            )
        back = ImageChange.status("queued", expected="saving").evolve(
            holder="recovery", release=ClaimRelease()
        )
        self.repositories.images.update(CTX, saving, back)
        # The same status comes back under another owner.
        second = self.begin(image, "b")
        self.assertEqual(3, second.grant.generation)
        self.assertRaises(errors.ClaimLost, self.activate, saving, "a")
        self.activate(second, "b", url="file:///two")
        self.assertRaises(errors.ClaimLost, self.activate, saving, "a", expected="active")
        self.assertEqual(["file:///two"], [each.url for each in self.look(image).locations])

    def test_a_write_about_a_deleted_image_says_so(self):
        image = self.image()
        saving = self.begin(image)
        self.repositories.images.delete(CTX, saving)
        self.assertRaises(errors.ImageNotFound, self.activate, saving, "a")
        self.assertRaises(errors.ImageNotFound, self.activate, saving, "a", ClaimRelease())
        self.assertTrue(self.repositories.claims.release(image.id, "a", ClaimRelease()))

    # ------------------------------------------------------------ staged data

    def test_who_staged_is_known_to_the_import(self):
        image = self.image()
        self.begin(image, "a", "uploading", kind=STAGE)
        self.repositories.claims.release(image.id, "a", ClaimRelease())
        self.repositories.images.update(
            CTX, image, ImageChange.status("queued", expected="uploading")
        )
        self.begin(image, "b", "uploading", kind=STAGE)
        self.repositories.claims.release(image.id, "b", ClaimRelease(forget=True))
        after = self.begin(image, "c", "importing", "uploading", IMPORT)
        self.assertEqual((3, 2), (after.grant.generation, after.grant.staged))

    # ------------------------------------------------------------ signs of life

    def test_beats_are_seen_and_losses_told(self):
        one, two = self.image(), self.image()
        self.begin(one, "a")
        self.begin(two, "b")
        self.assertEqual(set(), set(self.repositories.claims.beat(["a", "b"])))
        self.assertEqual({"gone"}, set(self.repositories.claims.beat(["a", "gone"])))
        self.assertEqual([2, 1], [self.held(image)[0].beats for image in (one, two)])

    def test_who_showed_a_sign_of_life_is_not_taken_over(self):
        image = self.image()
        self.begin(image)
        [claim] = self.held(image)
        self.repositories.claims.beat(["a"])
        self.assertIsNone(self.repositories.claims.take_over(claim, "recovery"))
        self.assertEqual("a", self.held(image)[0].holder)

    def test_of_two_observers_one_takes_over(self):
        image = self.image()
        self.begin(image)
        [claim] = self.held(image)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            got = list(pool.map(lambda name: self.repositories.claims.take_over(claim, name), "xy"))
        self.assertEqual(1, sum(each is not None for each in got))

    def test_a_renewed_token_shuts_out_the_old_one(self):
        image = self.image()
        saving = self.begin(image)
        self.assertTrue(
            self.repositories.claims.replace_holder(image.id, ["a", "lost answer"], "b")
        )
        self.assertFalse(self.repositories.claims.replace_holder(image.id, ["a"], "c"))
        self.assertRaises(errors.ClaimLost, self.activate, saving, "a")
        self.activate(saving, "b")
        self.assertEqual(saving.grant.generation, self.repositories.claims.get(image.id).generation)

    # ------------------------------------------------------------ the property that clients see

    def test_an_import_shows_its_task(self):
        image = self.image()
        self.begin(image, "a", "importing", kind=IMPORT, task_id="t1")
        self.assertEqual("t1", self.look(image).properties[LOCK])
        self.assertEqual("t1", self.held(image)[0].task_id)
        self.repositories.images.update(CTX, image, ImageChange(set_properties={"a": "b"}))
        self.assertEqual("t1", self.look(image).properties[LOCK])
        self.repositories.claims.release(image.id, "a", ClaimRelease("t1"))
        self.assertNotIn(LOCK, self.look(image).properties)

    def test_the_lock_of_another_implementation_is_respected(self):
        image = self.image("active", properties={LOCK: "theirs"})
        take = self.begin
        self.assertRaises(
            errors.ImportActive, take, image, "a", "active", "active", IMPORT, task_id="t"
        )
        self.assertEqual([], self.held(image))
        take(image, "a", "active", "active", IMPORT, task_id="t", replaces="theirs")
        self.assertEqual("t", self.look(image).properties[LOCK])

    def test_a_lock_that_was_marked_deleted_can_be_had_again(self):
        image = self.image("active", properties={LOCK: "theirs"})
        self.execute(sa.update(image_properties).values(deleted=True))
        self.begin(image, "a", "active", "active", IMPORT, task_id="t")
        self.assertEqual("t", self.look(image).properties[LOCK])

    # ------------------------------------------------------------ work without a claim

    def test_work_of_others_is_found_and_adopted_once(self):
        found = {each.image_id: each for each in self.repositories.claims.unclaimed()}
        self.assertEqual({}, found)
        images_ = {status: self.image(status) for status in ("saving", "uploading", "importing")}
        self.image("uploading", size=4)
        self.image("active")
        self.begin(self.image())
        task = self.repositories.tasks.create(
            Task(
                "t",
                API_IMAGE_IMPORT,
                owner="p1",
                status="processing",
                image_id=images_["importing"].id,
            )
        )
        old = self.repositories.tasks.create(Task("old", "import", owner="p1"))
        found = {each.image_id: each for each in self.repositories.claims.unclaimed()}
        self.assertEqual(
            {
                images_["saving"].id: (UPLOAD, None),
                images_["uploading"].id: (STAGE, None),
                images_["importing"].id: (IMPORT, task.id),
                old.id: (TASK, old.id),
            },
            {key: (each.kind, each.task_id) for key, each in found.items()},
        )
        work = found[images_["saving"].id]
        self.assertEqual(
            1,
            self.repositories.claims.take_unclaimed(work, ClaimRequest("r", work.kind)).generation,
        )
        self.assertIsNone(
            self.repositories.claims.take_unclaimed(work, ClaimRequest("s", work.kind))
        )
        self.assertNotIn(
            work.image_id, {each.image_id for each in self.repositories.claims.unclaimed()}
        )

    def test_work_whose_record_changed_is_not_adopted(self):
        image = self.image("saving", updated_at=datetime.datetime(2020, 1, 1))
        [work] = self.repositories.claims.unclaimed()
        self.assertEqual([], list(self.repositories.claims.unclaimed(60)))
        self.execute(sa.update(images).values(updated_at=datetime.datetime(2021, 1, 1)))
        self.assertIsNone(
            self.repositories.claims.take_unclaimed(work, ClaimRequest("r", work.kind))
        )
        self.assertEqual([], self.held(image))

    # ------------------------------------------------------------ purge

    def test_claims_of_purged_images_go_with_them(self):
        image = self.image("active")
        self.begin(image, "a", "active", "active", IMPORT)
        self.repositories.images.delete(CTX, self.look(image))
        past = datetime.datetime(2020, 1, 1)
        self.execute(sa.update(images).values(deleted_at=past))
        purge.purge_images(self.database, 30, -1)
        self.assertEqual([], self.execute(sa.select(image_claims.c.image_id)))
