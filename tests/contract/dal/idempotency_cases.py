"""A write that a registry is asked for twice is done once, whichever process is asked."""

import uuid

import sqlalchemy as sa

from glance_py.db import idempotency
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from glance_py.db.repositories import sql_repositories
from glance_py.db.tables import image_tags, registry_answers
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from tests.contract.dal.backends import caller
from tests.contract.dal.failure_cases import at_once
from tests.contract.dal.test_registry import through_registry

CTX = caller("p1")


class LossyConnection:
    """A way to two registries by turns; answers to writes are lost ``lose`` times."""

    def __init__(self):
        self._wires = ()
        self.lose = self.calls = 0
        #: Called before a request that is a repeated one.
        self.between = lambda: None

    def over(self, *wires):
        self._wires = wires
        return self

    def post(self, body, headers, is_repeatable):
        self.calls += 1
        if not is_repeatable and self.calls > 1:
            self.between()
        answer = self._wires[self.calls % len(self._wires)].post(body, headers, is_repeatable)
        if not is_repeatable and self.lose:
            self.lose -= 1
            raise errors.OutcomeUnknown()
        return answer


class IdempotencyCases:
    def setUp(self):
        super().setUp()
        other = Database(create_engine(self.url))
        self.addCleanup(other.dispose)
        self.wire = LossyConnection()
        self.remote = through_registry((self.direct, sql_repositories(other)), self.wire.over)
        self.execute(registry_answers.delete())

    def lost(self, function):
        """What ``function`` returns although the first answer is lost."""
        self.wire.calls, self.wire.lose = 0, 1
        result = function()
        self.assertEqual((2, 0), (self.wire.calls, self.wire.lose))
        return result

    def create(self):
        return self.remote.images.create(
            CTX, Image(str(uuid.uuid4()), owner="p1", visibility="private", tags=["a"])
        )

    def test_the_answer_is_the_first_one(self):
        image = self.lost(self.create)
        self.assertEqual(image, self.remote.images.get(CTX, image.id))
        changed = self.lost(
            lambda: self.remote.images.update(
                CTX,
                image,
                ImageChange(
                    fields={"status": "saving"},
                    expected=("queued",),
                    add_tags=("b",),
                    remove_tags=("a",),
                ),
            )
        )
        self.assertEqual(("saving", ["b"]), (changed.status, changed.tags))
        self.assertEqual(
            2,
            len(self.execute(sa.select(image_tags.c.id).where(image_tags.c.image_id == image.id))),
        )
        back = self.remote.images.update(
            CTX, changed, ImageChange.status("queued", expected="saving")
        )
        self.remote.members.create(CTX, image.id, "p3")
        member = self.lost(lambda: self.remote.members.create(CTX, image.id, "p2"))
        self.assertEqual("p2", member.member_id)
        self.lost(lambda: self.remote.members.delete(CTX, member))
        self.lost(lambda: self.remote.images.delete(CTX, back))
        self.assertRaises(errors.ImageNotFound, self.remote.images.get, CTX, image.id)

    def test_it_stays_the_first_one_when_others_came_between(self):
        image = self.create()
        taken = []

        def between():
            taken.append(
                self.direct.images.update(
                    CTX, image, ImageChange.status("active", expected="saving")
                )
            )

        self.wire.between = between
        changed = self.lost(
            lambda: self.remote.images.update(
                CTX, image, ImageChange.status("saving", expected="queued")
            )
        )
        self.assertEqual("saving", changed.status)
        self.assertEqual("active", self.direct.images.get(CTX, image.id).status)

    def test_what_fails_may_succeed_when_it_is_repeated(self):
        """Nothing was done, so there is no answer to keep."""
        image = self.create()
        update = {"fields": {"status": "active"}, "expected": ("saving",)}
        self.assertRaises(
            errors.StatusConflict,
            self.lost,
            lambda: self.remote.images.update(CTX, image, ImageChange(**update)),
        )
        self.assertEqual(1, len(self.execute(sa.select(registry_answers.c.id))))

    def test_one_that_is_still_under_way_is_waited_for(self):
        keys = [uuid.uuid4().hex for _ in range(5)]
        done = []

        def run(key, number):
            def work():
                image = Image(str(uuid.uuid4()), owner="p1", name=key)
                self.direct.images.create(CTX, image)
                done.append(image.id)
                return image.id.encode()

            return self.direct.once(key, work)

        for key in keys:
            results = at_once(*[lambda n=n, key=key: run(key, n) for n in range(3)])
            self.assertEqual(1, len(set(results)), results)
            [image_id] = set(results)
            self.assertEqual(key, self.direct.images.get(CTX, image_id.decode()).name)
            present = [each for each in done if self.is_there(each)]
            self.assertEqual([image_id.decode()], present)
            done.clear()

    def is_there(self, image_id):
        try:
            return bool(self.direct.images.get(CTX, image_id))
        except errors.ImageNotFound:
            return False

    def test_a_key_of_another_caller_is_another_key(self):
        image = self.create()
        self.wire.calls = 0
        sent = []
        self.wire.between = lambda: None
        post = self.wire._wires[0].post
        update = ImageChange(fields={"name": "secret"})
        self.wire._wires = (RecordingConnection(self.wire._wires[0], sent),)
        self.remote.images.update(CTX, image, update)
        body, headers = sent[-1]
        status, answer = post(body, {**headers, "X-Auth-Token": "v:p2:member"}, False)
        self.assertEqual(200, status)
        self.assertIn(b"ImageNotFound", answer)
        self.assertNotIn(b"secret", answer)

    def test_old_answers_are_removed(self):
        clock = [0.0]
        kept = idempotency.SqlIdempotentWrites(self.database, clock=lambda: clock[0])
        make = self.direct.images.create

        def write():
            kept.run_once(
                uuid.uuid4().hex,
                lambda: make(CTX, Image(str(uuid.uuid4()), owner="p1")).id.encode(),
            )

        for _ in range(3):
            write()
        self.execute(registry_answers.update().values(created_at=sa.text("'2020-01-01 00:00:00'")))
        write()
        self.assertEqual(4, self.count())
        clock[0] += idempotency.CLEANUP_INTERVAL
        write()
        self.assertEqual(2, self.count())

    def count(self):
        return self.execute(sa.select(sa.func.count()).select_from(registry_answers))[0][0]

    def test_two_writes_of_one_command_are_one_transaction(self):
        ids = [str(uuid.uuid4()) for _ in range(2)]

        def run(fail):
            for each in ids:
                self.direct.images.create(CTX, Image(each, owner="p1"))
                # A read sees what was written before.
                self.direct.images.get(CTX, each)
            if fail:
                raise errors.Invalid()
            return b"both"

        self.assertRaises(errors.Invalid, self.direct.once, "k" * 20, lambda: run(True))
        self.assertEqual([False, False], [self.is_there(each) for each in ids])
        self.assertEqual(b"both", self.direct.once("k" * 20, lambda: run(False)))
        self.assertEqual(b"both", self.direct.once("k" * 20, lambda: run(False)))
        self.assertEqual([True, True], [self.is_there(each) for each in ids])

    def test_half_of_a_command_is_never_kept(self):
        """Not even where the failure of its second write is nothing to its caller."""
        first, second = (str(uuid.uuid4()) for _ in range(2))
        self.direct.images.create(CTX, Image(second, owner="p1"))

        def run():
            self.direct.images.create(CTX, Image(first, owner="p1"))
            try:
                self.direct.images.create(CTX, Image(second, owner="p1"))
            except errors.Duplicate:
                pass
            return b"done"

        self.assertRaises(errors.Duplicate, self.direct.once, "h" * 20, run)
        self.assertFalse(self.is_there(first))


class RecordingConnection:
    """Notes what is sent over a wire."""

    def __init__(self, wire, sent):
        self._wire = wire
        self._sent = sent

    def post(self, body, headers, is_repeatable):
        self._sent.append((body, dict(headers)))
        return self._wire.post(body, headers, is_repeatable)
