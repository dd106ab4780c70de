"""Reservations: what a project gets never exceeds a limit, whoever comes at the same time."""

import threading
import uuid

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.quota import QuotaReservation
from tests.contract.dal.backends import caller, requires_server

CTX = caller("p1")


def together(acts):
    """Run ``acts`` in threads at the same moment; how many were not refused."""
    start, done = threading.Barrier(len(acts)), []

    def run(act):
        start.wait()
        try:
            act()
        except errors.QuotaExceeded:
            return
        done.append(act)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done)


class QuotaCases:
    def image(self, **fields):
        locations = [Location(f"file:///{n}") for n in range(fields.pop("copies", 0))]
        return self.repositories.images.create(
            CTX, Image(str(uuid.uuid4()), locations=locations, **{"owner": "p1", **fields})
        )

    def save(self, image, hold, most):
        reservation = QuotaReservation("p1", {"storage": most}, reserve=hold)
        change = ImageChange.status("saving", expected="queued")
        change = change.evolve(reservation=reservation)
        return self.repositories.images.update(CTX, image, change)

    def test_of_twenty_new_images_seven_fit(self):
        self.image()

        def create():
            self.repositories.images.create(
                CTX, Image(str(uuid.uuid4()), owner="p1"), QuotaReservation("p1", {"images": 8})
            )

        self.assertEqual(7, together([create] * 20))
        self.assertEqual(8, self.repositories.usage.images("p1"))

    def test_of_twenty_uploads_as_many_fit_as_there_is_room(self):
        waiting = [self.image() for _ in range(20)]
        self.image(status="active", size=99, copies=1)
        fit = together([lambda image=image: self.save(image, 100, 599) for image in waiting])
        self.assertEqual(5, fit)
        self.assertEqual(599, self.repositories.usage.storage("p1"))

    def test_who_is_refused_has_changed_nothing(self):
        image = self.image()
        self.assertRaises(errors.QuotaExceeded, self.save, image, 11, 10)
        self.assertEqual("queued", self.repositories.images.get(CTX, image.id).status)
        self.assertEqual(0, self.repositories.usage.storage("p1"))
        self.save(image, 10, 10)

    def test_what_is_held_is_shown_to_nobody(self):
        image = self.save(self.image(), 100, 1000)
        self.assertIsNone(image.size)
        self.assertIsNone(self.repositories.images.get(CTX, image.id).size)
        self.assertEqual(100, self.repositories.usage.storage("p1"))

    def test_what_is_held_is_given_back_or_becomes_a_size(self):
        failed, stored = self.save(self.image(), 30, 100), self.save(self.image(), 50, 100)
        self.repositories.images.update(
            CTX, failed, ImageChange.status("queued", expected="saving", size=None)
        )
        self.assertEqual(50, self.repositories.usage.storage("p1"))
        active = ImageChange.status("active", expected="saving", size=40).evolve(
            add_locations=(Location("file:///a"),)
        )
        self.repositories.images.update(CTX, stored, active)
        self.assertEqual(40, self.repositories.usage.storage("p1"))
        self.repositories.images.delete(CTX, self.save(self.image(), 60, 100))
        self.assertEqual(40, self.repositories.usage.storage("p1"))

    @requires_server
    def test_claims_of_other_projects_do_not_wait(self):
        """While one project's reservation is being judged, another's goes through."""
        other = self.repositories.images.create(CTX, Image(str(uuid.uuid4()), owner="p2"))
        inside, done = threading.Event(), threading.Event()

        class Slow(dict):
            def items(self):
                inside.set()
                done.wait(60)
                return ()

        slow = threading.Thread(
            target=lambda: self.repositories.images.create(
                CTX, Image(str(uuid.uuid4()), owner="p1"), QuotaReservation("p1", Slow())
            )
        )
        slow.start()
        inside.wait(60)
        change = ImageChange.status("saving", expected="queued")
        change = change.evolve(reservation=QuotaReservation("p2", {"storage": 1}, reserve=1))
        self.repositories.images.update(CTX, other, change)
        done.set()
        slow.join()

    def test_each_store_that_an_import_waits_for_counts(self):
        waited_for = {"os_glance_importing_to_stores": "fast,slow"}
        self.image(status="importing", size=10, properties=waited_for)
        self.image(status="importing", size=1)
        self.image(status="active", size=100, copies=1, properties=waited_for)
        self.image(status="uploading", size=1000)
        self.assertEqual(20 + 1 + 300, self.repositories.usage.storage("p1"))
