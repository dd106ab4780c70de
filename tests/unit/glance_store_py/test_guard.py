"""The guard: what holds for every driver, whatever the driver does."""

import builtins
import errno
import unittest

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, ObjectData
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import StoreLocation, parse

LOCATION = StoreLocation("memory", "s", "/id")


class Fake:
    """A driver that does what a case tells it to."""

    schemes = ("memory",)
    capabilities = frozenset({driver.ADD, driver.DELETE, driver.READ, driver.READ_RANDOM})
    deleted = False

    def add(self, image_id, data, size):
        return AddResult(LOCATION.url, sum(map(len, data)))

    def get(self, location, start=0, stop=None):
        return ObjectData(iter(self.delivers), self.promises, close=self.close)

    def close(self):
        self.closed = True

    def delete(self, location):
        self.deleted = True


class TestAdd(unittest.TestCase):
    def add(self, fake, data, size=None):
        return GuardedDriver(fake, "s").add("id", data, size)

    def test_an_error_of_the_source_leaves_as_it_came(self):
        class Wrapping(Fake):
            def add(self, image_id, data, size):
                try:
                    return super().add(image_id, data, size)
                except Exception as error:
                    raise RuntimeError("something about HTTP") from error

        broken = ConnectionResetError(errno.ECONNRESET, "client went away")

        def source():
            yield b"data"
            raise broken

        for fake in (Fake(), Wrapping()):
            with self.assertRaises(ConnectionResetError) as caught:
                self.add(fake, source())
            self.assertIs(broken, caught.exception)
            self.assertIsNone(broken.__context__)

    def test_an_error_that_the_driver_swallowed_is_raised_and_the_object_removed(self):
        class Swallowing(Fake):
            def add(self, image_id, data, size):
                try:
                    for _ in data:
                        pass
                except ZeroDivisionError:
                    pass
                return AddResult(LOCATION.url, 4)

        fake = Swallowing()
        self.assertRaises(ZeroDivisionError, self.add, fake, (1 // 0 for _ in "x"))
        self.assertTrue(fake.deleted)

    def test_a_driver_that_stops_at_the_announced_size_is_found_out(self):
        class Lazy(Fake):
            def add(self, image_id, data, size):
                return AddResult(LOCATION.url, len(next(iter(data))))

        fake = Lazy()
        self.assertRaises(errors.StoreInvalidInput, self.add, fake, [b"abc", b"d"], 3)
        self.assertTrue(fake.deleted)

    def test_a_driver_that_loses_bytes_is_found_out(self):
        class Losing(Fake):
            def add(self, image_id, data, size):
                return AddResult(LOCATION.url, super().add(image_id, data, size).size - 1)

        fake = Losing()
        self.assertRaises(errors.IncompleteData, self.add, fake, [b"abc"])
        self.assertTrue(fake.deleted)

    def test_errors_of_the_operating_system_get_names(self):
        for number, name in (
            (errno.ENOSPC, errors.StorageFull),
            (errno.EFBIG, errors.StorageFull),
            (errno.EDQUOT, errors.StorageFull),
            (errno.EACCES, errors.StorageWriteDenied),
            (errno.EROFS, errors.StorageWriteDenied),
            (errno.ENOENT, errors.StorageWriteDenied),
            (errno.ETIMEDOUT, errors.RemoteServiceUnavailable),
            (errno.ECONNREFUSED, errors.RemoteServiceUnavailable),
            (errno.EIO, errors.GlanceStoreError),
        ):

            class Failing(Fake):
                def add(self, image_id, data, size, number=number):
                    raise OSError(number, "canary")

            with self.subTest(number=number), self.assertRaises(name):
                self.add(Failing(), [])

    def test_a_store_that_must_not_write_does_not(self):
        guard = GuardedDriver(Fake(), "s", writable=False)
        self.assertRaises(errors.StoreAddDisabled, guard.add, "id", [b"x"])
        self.assertRaises(errors.StoreDeleteNotSupported, guard.delete, LOCATION)


class TestGet(unittest.TestCase):
    def get(self, delivers, promises, **part):
        self.fake = Fake()
        self.fake.delivers, self.fake.promises = delivers, promises
        return GuardedDriver(self.fake, "s").get(LOCATION, **part)

    def test_too_few_bytes_are_an_error_and_not_an_end(self):
        data = self.get([b"abc"], 4)
        self.assertEqual(b"abc", next(data.chunks))
        self.assertRaises(errors.IncompleteData, next, data.chunks)
        self.assertTrue(self.fake.closed)

    def test_too_many_bytes_are_cut(self):
        self.assertEqual([b"ab", b"c"], list(self.get([b"ab", b"cd", b"e"], 3).chunks))

    def test_a_failing_disk_is_named_in_the_middle(self):
        def delivers():
            yield b"a"
            raise OSError(errno.EIO, "Input/output error")

        data = self.get(delivers(), 2)
        next(data.chunks)
        with self.assertRaisesRegex(errors.GlanceStoreError, "Input/output"):
            next(data.chunks)

    def test_nonsense_bounds_are_refused(self):
        self.assertRaises(errors.StoreInvalidInput, self.get, [], 0, start=-1)
        self.assertRaises(errors.StoreInvalidInput, self.get, [], 0, start=5, stop=4)

    def test_a_server_that_does_not_answer_is_unavailable(self):
        class Hanging(Fake):
            def get(self, location, start=0, stop=None):
                raise builtins.TimeoutError

        self.assertRaises(
            errors.RemoteServiceUnavailable, GuardedDriver(Hanging(), "s").get, LOCATION
        )

    def test_the_log_holds_no_credentials(self):
        self.fake = Fake()
        self.fake.delivers, self.fake.promises = [], 0
        with self.assertLogs("glance_store_py", "DEBUG") as logged:
            GuardedDriver(self.fake, "s").get(parse("http://user:canary@host/x?sign=canary"))
        self.assertNotIn("canary", "".join(logged.output))


class TestCallers(unittest.TestCase):
    def test_a_driver_acts_for_the_caller_where_it_claims_to(self):
        class Acting(Fake):
            capabilities = Fake.capabilities | {driver.USER_CONTEXT, driver.ACLS}
            callers: list = []

            def as_caller(self, caller):
                self.callers.append(caller)
                return self

            def set_acls(self, location, public, readers, writers):
                self.acls = (location, public, readers, writers)

        guard = GuardedDriver(Acting(), "s")
        guard.add("id", [b"data"], caller="me")
        guard.delete(LOCATION, "you")
        guard.set_acls(LOCATION, True, ["p"], caller="they")
        self.assertEqual(["me", "you", "they"], Acting.callers)
        self.assertEqual((LOCATION, True, ["p"], ()), guard.driver.acls)

    def test_other_drivers_never_hear_of_callers(self):
        guard = GuardedDriver(Fake(), "s")
        guard.add("id", [b"data"], caller="me")
        guard.set_acls(LOCATION, True, [], caller="me")
        self.assertRaises(errors.StoreListNotSupported, list, guard.list_objects())


class TestBreaker(unittest.TestCase):
    def test_a_remote_service_that_is_away_is_left_alone(self):
        class Away(Fake):
            capabilities = Fake.capabilities | {driver.REMOTE}
            asked = 0

            def delete(self, location):
                self.asked += 1
                raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

        away = Away()
        guard = GuardedDriver(away, "s")
        for _ in range(20):
            self.assertRaises(errors.RemoteServiceUnavailable, guard.delete, LOCATION)
        self.assertEqual(5, away.asked)

    def test_a_source_that_fails_says_nothing_of_the_service(self):
        class Remote(Fake):
            capabilities = Fake.capabilities | {driver.REMOTE}

        def broken():
            yield b"x"
            raise ConnectionResetError

        guard = GuardedDriver(Remote(), "s")
        for _ in range(20):
            self.assertRaises(ConnectionResetError, guard.add, "id", broken())
        self.assertFalse(guard.breaker.is_open)
