"""What the database layer says when the network loses a request or an answer."""

import threading
import uuid

import sqlalchemy as sa

from glance_py.db import engine, timeouts
from glance_py.db.database import Database
from glance_py.db.repositories import sql_repositories
from glance_py.db.tables import images
from glance_py.db.timeouts import Timeouts
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import ClaimRequest
from glance_py.domain.image import Image
from tests.contract.dal.backends import caller
from tests.servers.proxy import Fault, FaultInjectingProxy

CTX = caller("p1")
#: Short, and long enough for a server that is busy.
SHORT = Timeouts(connect=2, response=2, lock=1)
#: Seconds that a call with these may take at the very most; without a limit it takes for ever.
BOUND = 60


class ConnectionLossCases:
    def setUp(self):
        super().setUp()
        url = sa.make_url(self.url)
        self.proxy = FaultInjectingProxy((url.host, url.port))
        self.addCleanup(self.proxy.close)
        self.remote = Database(
            engine.create_engine(self.proxy.url(url), limits=SHORT), retry_timeout=SHORT.lock
        )
        self.addCleanup(self.remote.dispose)
        self.remote.ping()

    def bounded(self, function, seconds=BOUND):
        """The exception that ``function`` raises, which must happen within so many seconds."""
        raised = []

        def call():
            try:
                function()
            except Exception as error:
                raised.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(seconds)
        self.assertFalse(thread.is_alive(), "no answer, and no end of waiting")
        self.assertEqual(1, len(raised))
        return raised[0]

    def create(self):
        image = Image(str(uuid.uuid4()), owner="p1")
        return image.id, lambda: sql_repositories(self.remote).images.create(CTX, image)

    def exists(self, image_id):
        return bool(self.execute(sa.select(images.c.id).where(images.c.id == image_id)))

    def test_a_lost_answer_to_commit_is_an_unknown_outcome(self):
        for fault, happened in (
            (Fault.CUT_AFTER, True),
            (Fault.CUT_BEFORE, False),
            (Fault.SILENT_AFTER, True),
        ):
            image_id, create = self.create()
            trap = self.proxy.fail_request(b"COMMIT", fault)
            error = self.bounded(create)
            self.assertTrue(trap.fired.wait(BOUND))
            self.assertIs(errors.OutcomeUnknown, type(error), fault)
            self.assertIsInstance(error, errors.DatabaseUnavailable)
            self.assertEqual(happened, self.exists(image_id), fault)
            self.assertTrue(self.create_again(), "unusable afterwards")

    def create_again(self):
        image_id, create = self.create()
        create()
        return self.exists(image_id)

    def test_what_is_lost_before_commit_is_done_again(self):
        for fault in (Fault.CUT_AFTER, Fault.SILENT_AFTER):
            image_id, create = self.create()
            self.proxy.fail_request(b"INSERT INTO images", fault)
            create()
            self.assertTrue(self.exists(image_id))

    def test_what_is_lost_twice_before_commit_was_surely_not_done(self):
        image_id, create = self.create()
        self.proxy.fail_request(b"INSERT INTO images", times=2)
        error = self.bounded(create)
        self.assertIs(errors.DatabaseUnavailable, type(error))
        self.assertFalse(self.exists(image_id))

    def test_a_key_tells_whether_a_lost_commit_was_done(self):
        key, image_ids = uuid.uuid4().hex, []

        def run():
            image_id, create = self.create()
            create()
            image_ids.append(image_id)
            return image_id.encode()

        once = sql_repositories(self.remote).once
        self.proxy.fail_request(b"COMMIT", Fault.CUT_BEFORE)
        self.assertIs(errors.OutcomeUnknown, type(self.bounded(lambda: once(key, run))))
        self.proxy.fail_request(b"COMMIT", Fault.CUT_AFTER)
        answer = once(key, run).decode()
        self.assertEqual(answer, once(key, run).decode())
        self.assertEqual([False, True, False], [self.exists(each) for each in image_ids])
        self.assertEqual(answer, image_ids[1])

    def test_silence_ends(self):
        """Also where the other host's kernel acknowledges what nobody answers."""
        for fault in (self.proxy.stall, self.proxy.drop_responses):
            fault()
            for operation in (self.remote.ping, self.create()[1]):
                self.assertIs(errors.DatabaseUnavailable, type(self.bounded(operation)))
            self.proxy.heal()
            self.remote.ping()

    def test_heartbeats_have_a_connection_of_their_own(self):
        image_id, create = self.create()
        create()
        change = ImageChange.status("saving", expected="queued")
        change = change.evolve(acquire=ClaimRequest("me", "upload"))
        sql_repositories(self.remote).images.update(CTX, Image(image_id, owner="p1"), change)
        self.patch(timeouts, "HEARTBEAT", SHORT)
        heartbeats = self.remote.for_heartbeats()
        self.addCleanup(heartbeats.dispose)
        busy, before = threading.Semaphore(0), self.proxy.accepted
        release = threading.Event()

        def occupy(connection):
            busy.release()
            release.wait(BOUND)

        threads = [threading.Thread(target=self.remote.read, args=(occupy,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            self.assertTrue(busy.acquire(timeout=BOUND))
        opened = self.proxy.accepted
        try:
            beats = sql_repositories(heartbeats).claims
            for _ in range(3):
                self.assertEqual([], beats.beat(["me"]))
            self.assertEqual(opened + 1, self.proxy.accepted)
        finally:
            release.set()
            for thread in threads:
                thread.join()
        self.assertGreater(opened, before)
        self.proxy.stall()
        # With the limits of requests two attempts would take 50 seconds.
        late = self.bounded(lambda: beats.beat(["me"]), 40)
        self.assertIsInstance(late, errors.DatabaseUnavailable)
