"""The contract of a storage driver, as a mixin of test cases.

The test of a driver defines how to build it, the capabilities that it claims and, if it
cannot write, how an object gets into the store; the cases are the same for all drivers.  A
case names the capabilities that it needs, and is not generated for a driver that does not
claim them.

    class TestMine(DriverContract, unittest.TestCase):
        capabilities = mine.MyDriver.capabilities

        def make_driver(self):
            return mine.MyDriver(settings(mine.SPEC.options, mine_option=1), "contract")
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, Driver
from glance_store_py.driver_spec import DRIVERS, DriverSpec
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import StoreLocation, parse

MIB = 1024 * 1024
#: Seconds in which the first part of an upload arrives at the latest.
ARRIVAL = 60

if TYPE_CHECKING:
    from unittest import TestCase

    from oslo_config import cfg
else:
    TestCase = object  # A mixin that is a test case itself would be collected and run.


class settings(dict[str, Any]):  # noqa: N801 (reads like a function, implements OptionValues)
    """Options of a driver under test: ``settings(option=value)``.

    Options that are not given have the defaults of ``options``.
    """

    def __init__(self, options: Iterable[cfg.Opt] = (), **values: object) -> None:
        super().__init__({option.dest: option.default for option in options}, **values)
        self.section = "contract"
        self.config_files: list[str] = []
        self._set = frozenset(values)

    def is_set(self, option: str) -> bool:
        """See OptionValues."""
        return option in self._set

    def error(self, option: str, reason: str) -> errors.BadStoreConfiguration:
        """See OptionValues."""
        return errors.BadStoreConfiguration(self.section, option, reason)


class BrokenSource(Exception):
    """The error of the sources of data in these cases."""


#: A case: a method of DriverContract.
_Case = Callable[["DriverContract"], None]


def requires(*capabilities: str, without: str | None = None) -> Callable[[_Case], _Case]:
    """A case for drivers that have all of ``capabilities`` and not the one in ``without``.

    Test classes without ``capabilities`` have the case; it is skipped when it does not apply.
    """

    def decorate(case: _Case) -> _Case:
        def applies_to(claimed: frozenset[str]) -> bool:
            return claimed.issuperset(capabilities) and without not in claimed

        @functools.wraps(case)
        def run(self: DriverContract) -> None:
            if not applies_to(self.store.capabilities):
                self.skipTest("the driver does not have the capabilities of the case")
            case(self)

        run.applies_to = applies_to  # type: ignore[attr-defined]
        return run

    return decorate


def failing(*chunks: bytes) -> Iterator[bytes]:
    """A source that raises BrokenSource after ``chunks``."""
    yield from chunks
    raise BrokenSource


class DriverContract(TestCase):
    """Mix this into a TestCase, define :meth:`make_driver` and set ``capabilities``.

    These select the cases, and are compared with those of the driver that was made.
    """

    capabilities: frozenset[str] | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            if not name.startswith("test_") or vars(cls).get(name, True) is None:
                continue
            # A base class may have been without a case that this class needs.
            case = next(found for base in cls.__mro__ if (found := vars(base).get(name)))
            if not cls.applies(name, case):
                setattr(cls, name, None)
            elif getattr(cls, name) is None:
                setattr(cls, name, case)

    @classmethod
    def applies(cls, name: str, case: Callable[..., None]) -> bool:
        """True when the class gets this case."""
        applies_to = getattr(case, "applies_to", None)
        return applies_to is None or cls.capabilities is None or applies_to(cls.capabilities)

    def make_driver(self) -> Driver:
        """A driver with an empty store of its own; clean up with addCleanup."""
        raise NotImplementedError

    def put_object(self, image_id: str, data: bytes) -> str:
        """Put an object into the store and return its URL."""
        return self.store.add(image_id, [data], len(data)).url

    def leftovers(self) -> list[str]:
        """Names of everything in the store, hidden or not; empty when the test cannot know."""
        return []

    def setUp(self) -> None:
        super().setUp()
        made = self.make_driver()
        if self.capabilities is not None:
            self.assertEqual(self.capabilities, made.capabilities)
        spec = getattr(made, "spec", None)
        if isinstance(spec, DriverSpec):
            DRIVERS.register(spec)
            self.addCleanup(DRIVERS.unregister, spec)
        made.configure_add()
        self.store = GuardedDriver(made, "contract")
        self.image_id = str(uuid.uuid4())

    def read(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> bytes:
        """The data of an object or a part; checks the length that get promises."""
        data = self.store.get(location, start, stop)
        try:
            whole = b"".join(data.chunks)
        finally:
            data.close()
        self.assertEqual(data.length, len(whole))
        return whole

    @property
    def reads(self) -> bool:
        """True for a store that gives back the data of its objects."""
        return driver.READ in self.store.capabilities

    def assert_content(self, expected: bytes, url: str) -> None:
        """The object has this data, as far as the store gives data out."""
        if self.reads:
            self.assertTrue(expected == self.read(parse(url)), "the bytes differ")

    def assert_nothing_left(self) -> None:
        """There is nothing of ``self.image_id``, and the name can be used again."""
        self.assertEqual([], self.leftovers())
        if self.reads:
            for location in self.store.predict_locations(self.image_id):
                self.assertRaises(errors.StoreObjectNotFound, self.store.size, location)
        stored = self.store.add(self.image_id, [b"again"])
        self.assert_content(b"again", stored.url)

    # ------------------------------------------------------------ reading

    @requires(driver.READ)
    def test_an_object_is_read_as_it_was_stored(self) -> None:
        location = parse(self.put_object(self.image_id, b"hello, store"))
        self.assertEqual(12, self.store.size(location))
        self.assertEqual(b"hello, store", self.read(location))
        self.assertEqual(b"hello, store", self.read(location))

    @requires(driver.READ)
    def test_an_object_may_be_empty(self) -> None:
        location = parse(self.put_object(self.image_id, b""))
        self.assertEqual(0, self.store.size(location))
        self.assertEqual(b"", self.read(location))

    @requires(driver.READ)
    def test_an_object_larger_than_any_buffer_survives(self) -> None:
        data = os.urandom(MIB) * 8 + b"!"
        location = parse(self.put_object(self.image_id, data))
        self.assertEqual(len(data), self.store.size(location))
        self.assertTrue(data == self.read(location), "the bytes differ")

    @requires(driver.READ)
    def test_what_is_not_there_is_not_found(self) -> None:
        url = self.put_object(self.image_id, b"data")
        # The name of an object is its image's id, or else one that the store chose.
        name = self.image_id if self.image_id in url else url.rpartition("/")[2]
        location = parse(url.replace(name, str(uuid.uuid4())))
        self.assertRaises(errors.StoreObjectNotFound, self.store.get, location)
        self.assertRaises(errors.StoreObjectNotFound, self.store.size, location)

    @requires(driver.READ)
    def test_a_reader_may_stop_early_and_close_twice(self) -> None:
        location = parse(self.put_object(self.image_id, b"x" * 3 * MIB))
        data = self.store.get(location)
        next(data.chunks)
        data.close()
        data.close()

    @requires(driver.READ, driver.READ_RANDOM)
    def test_a_part_is_read_by_its_bounds(self) -> None:
        location = parse(self.put_object(self.image_id, bytes(range(256)) * 8192))
        whole = self.read(location)
        size = len(whole)
        for start, stop in (
            (0, 1),
            (0, size),
            (1, 2),
            (255, 65537),
            (size - 1, size),
            (MIB - 1, MIB + 1),
            (7, None),
            (size - 1, None),
            (3, 3),
        ):
            with self.subTest(start=start, stop=stop):
                self.assertTrue(whole[start:stop] == self.read(location, start, stop))

    @requires(driver.READ, driver.READ_RANDOM)
    def test_what_lies_beyond_the_end_is_left_out(self) -> None:
        location = parse(self.put_object(self.image_id, b"0123456789"))
        self.assertEqual(b"89", self.read(location, 8, 1000))
        self.assertEqual(b"", self.read(location, 10))
        self.assertEqual(b"", self.read(location, 1000, 1001))

    @requires(driver.READ, without=driver.READ_RANDOM)
    def test_a_store_that_reads_no_parts_says_so(self) -> None:
        location = parse(self.put_object(self.image_id, b"0123456789"))
        self.assertRaises(errors.StoreRandomGetNotSupported, self.store.get, location, 1)

    @requires(without=driver.READ)
    def test_a_store_that_reads_nothing_says_so(self) -> None:
        location = parse(self.put_object(self.image_id, b"data"))
        self.assertRaises(errors.StoreGetNotSupported, self.store.get, location)
        self.assertRaises(errors.StoreGetNotSupported, self.store.size, location)

    @requires(driver.READ, driver.SENDFILE)
    def test_the_file_stands_at_the_first_byte(self) -> None:
        location = parse(self.put_object(self.image_id, b"0123456789"))
        data = self.store.get(location, 4, 6)
        self.addCleanup(data.close)
        self.assertEqual(2, data.length)
        if data.file is None:
            self.fail("there is no file")
        self.assertEqual(4, data.file.tell())
        self.assertEqual(b"45", os.read(data.file.fileno(), data.length))

    # ------------------------------------------------------------ writing

    @requires(driver.ADD)
    def test_the_address_of_an_object_survives_parsing(self) -> None:
        stored = self.store.add(self.image_id, [b"data"], 4)
        location = parse(stored.url)
        self.assertEqual(location, parse(location.url))
        self.assertIn(location.scheme, self.store.driver.schemes)
        depths = [location.match_depth(prefix) for prefix in self.store.driver.prefixes]
        self.assertGreaterEqual(max(depths), 0)

    @requires(driver.ADD)
    def test_the_size_need_not_be_known(self) -> None:
        stored = self.store.add(self.image_id, iter([b"ab", b"", b"cde"]))
        self.assertEqual(5, stored.size)
        self.assert_content(b"abcde", stored.url)

    @requires(driver.ADD)
    def test_no_data_at_all_is_an_object_too(self) -> None:
        stored = self.store.add(self.image_id, [])
        self.assertEqual(0, stored.size)
        self.assert_content(b"", stored.url)

    @requires(driver.ADD)
    def test_more_than_announced_is_refused(self) -> None:
        self.assertRaises(
            errors.StoreInvalidInput, self.store.add, self.image_id, [b"abc", b"d"], 3
        )
        self.assert_nothing_left()

    @requires(driver.ADD)
    def test_less_than_announced_is_refused(self) -> None:
        self.assertRaises(errors.StoreInvalidInput, self.store.add, self.image_id, [b"abc"], 4)
        self.assert_nothing_left()

    @requires(driver.ADD)
    def test_a_source_that_fails_leaves_nothing(self) -> None:
        self.assertRaises(BrokenSource, self.store.add, self.image_id, failing(b"x" * MIB, b"y"))
        self.assert_nothing_left()

    @requires(driver.ADD)
    def test_a_source_that_fails_at_once_leaves_nothing(self) -> None:
        self.assertRaises(BrokenSource, self.store.add, self.image_id, failing(), 10)
        self.assert_nothing_left()

    @requires(driver.ADD, driver.EXCLUSIVE)
    def test_a_second_object_for_an_image_is_refused(self) -> None:
        stored = self.store.add(self.image_id, [b"first"])
        self.assertRaises(errors.StoreObjectExists, self.store.add, self.image_id, [b"second"])
        self.assert_content(b"first", stored.url)

    @requires(driver.ADD, driver.EXCLUSIVE)
    def test_of_two_writers_at_once_one_wins_whole(self) -> None:
        both_writing = threading.Barrier(2, timeout=60)
        outcome: dict[bytes, AddResult | Exception] = {}

        def write(letter: bytes) -> None:
            def source() -> Iterator[bytes]:
                yield letter * 1000
                with contextlib.suppress(threading.BrokenBarrierError):
                    both_writing.wait()
                yield letter * 1000

            try:
                outcome[letter] = self.store.add(self.image_id, source(), 2000)
            except errors.StoreObjectExists as error:
                both_writing.abort()  # A store may refuse before it reads any data.
                outcome[letter] = error

        writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        won = [(letter, got) for letter, got in outcome.items() if isinstance(got, AddResult)]
        self.assertEqual((2, 1), (len(outcome), len(won)))
        letter, stored = won[0]
        self.assert_content(letter * 2000, stored.url)

    @requires(driver.ADD, driver.READ, driver.ATOMIC, driver.PREDICTABLE_LOCATION)
    def test_incomplete_object_is_not_readable(self) -> None:
        seen = []

        def source() -> Iterator[bytes]:
            yield b"half"
            for location in self.store.predict_locations(self.image_id):
                self.assertRaises(errors.StoreObjectNotFound, self.store.get, location)
                seen.append(location)
            yield b"half"

        self.store.add(self.image_id, source(), 8)
        self.assertTrue(seen)

    @requires(driver.ADD, driver.PREDICTABLE_LOCATION)
    def test_object_is_stored_at_a_predicted_location(self) -> None:
        predicted = [location.url for location in self.store.predict_locations(self.image_id)]
        self.assertIn(self.store.add(self.image_id, [b"data"]).url, predicted)

    @requires(driver.DELETE, driver.READ)
    def test_a_deleted_object_is_gone(self) -> None:
        location = parse(self.put_object(self.image_id, b"data"))
        self.store.delete(location)
        self.assertRaises(errors.StoreObjectNotFound, self.store.get, location)
        self.assertRaises(errors.StoreObjectNotFound, self.store.delete, location)
        self.assert_nothing_left()

    def test_missing_capabilities_are_refused_by_name(self) -> None:
        location = parse(self.put_object(self.image_id, b"data"))
        if driver.ADD not in self.store.capabilities:
            self.assertRaises(errors.StoreAddDisabled, self.store.add, "other", [b"data"])
        if driver.DELETE not in self.store.capabilities:
            self.assertRaises(errors.StoreDeleteNotSupported, self.store.delete, location)

    # ------------------------------------------------------------ upload attempts

    #: More than fits into one part of any store, so that an object has parts or segments; at
    #: least one MiB.  Where parts are small, less is quicker.
    ATTEMPT_SIZE = 11 * MIB

    def most_of_an_attempt(self) -> list[bytes]:
        """The chunks of an upload that is never completed."""
        return [b"x" * MIB] * (self.ATTEMPT_SIZE // MIB + 1)

    def attempt(self, number: int) -> str:
        """The name under which an upload attempt of the image is stored."""
        return self.image_id if number == 1 else f"{self.image_id}.{number}"

    def add_attempts(self, *numbers: int) -> dict[int, tuple[StoreLocation, bytes]]:
        """Store one object for each attempt: its location and its data."""
        made = {}
        for number in numbers:
            data = (b"%03d " % number) * (self.ATTEMPT_SIZE // 4) + b"!" * number
            chunks = [data[at : at + MIB] for at in range(0, len(data), MIB)]
            stored = self.store.add(self.attempt(number), chunks)
            made[number] = parse(stored.url), data
        return made

    def assert_intact(self, made: dict[int, tuple[StoreLocation, bytes]], *numbers: int) -> None:
        for number in numbers:
            location, data = made[number]
            if not self.reads:
                continue
            self.assertEqual(len(data), self.store.size(location), f"attempt {number}")
            self.assertTrue(data == self.read(location), f"attempt {number}: the bytes differ")

    def delete_attempt(self, name: str) -> None:
        """Remove what a writer stored under a name, finished or not, like Stores.delete_attempt."""
        for location in self.store.find_partial(name):
            with contextlib.suppress(errors.StoreObjectNotFound):
                self.store.delete(location)

    @requires(driver.ADD)
    def test_attempts_of_an_image_are_objects_of_their_own(self) -> None:
        made = self.add_attempts(1, 2, 21, 3)
        self.assertEqual(4, len({location.url for location, _ in made.values()}))
        self.assert_intact(made, 1, 2, 21, 3)

    @requires(driver.ADD, driver.EXCLUSIVE)
    def test_a_second_object_for_an_attempt_is_refused(self) -> None:
        made = self.add_attempts(1, 2)
        for number in (1, 2):
            self.assertRaises(
                errors.StoreObjectExists, self.store.add, self.attempt(number), [b"new"]
            )
        self.assert_intact(made, 1, 2)

    @requires(driver.ADD, driver.PREDICTABLE_LOCATION)
    def test_attempt_is_stored_at_a_predicted_location(self) -> None:
        made = self.add_attempts(2)
        predicted = self.store.predict_locations(self.attempt(2))
        self.assertIn(made[2][0], predicted)
        self.assertNotIn(made[2][0], self.store.predict_locations(self.image_id))

    @requires(driver.ADD, driver.READ, driver.DELETE)
    def test_an_attempt_is_removed_alone(self) -> None:
        made = self.add_attempts(1, 2, 21)
        self.store.delete(made[1][0])
        self.assertRaises(errors.StoreObjectNotFound, self.store.get, made[1][0])
        self.assert_intact(made, 2, 21)
        self.store.delete(made[2][0])
        self.assertRaises(errors.StoreObjectNotFound, self.store.get, made[2][0])
        self.assert_intact(made, 21)
        self.assertRaises(errors.StoreObjectNotFound, self.store.delete, made[1][0])
        self.assertRaises(errors.StoreObjectNotFound, self.store.delete, made[2][0])
        self.assert_intact(made, 21)
        self.store.delete(made[21][0])
        self.assertEqual([], self.leftovers())

    @requires(driver.ADD, driver.READ, driver.DELETE, driver.PREDICTABLE_LOCATION)
    def test_delete_attempt_keeps_other_attempts(self) -> None:
        made = self.add_attempts(2, 21)
        self.delete_attempt(self.image_id)
        self.assert_intact(made, 2, 21)
        made |= self.add_attempts(1)
        self.delete_attempt(self.attempt(2))
        self.assertRaises(errors.StoreObjectNotFound, self.store.get, made[2][0])
        self.assert_intact(made, 1, 21)

    @requires(driver.ADD)
    def test_an_attempt_that_fails_takes_no_other_with_it(self) -> None:
        made = self.add_attempts(2)
        for name in (self.image_id, self.attempt(21)):
            self.assertRaises(
                BrokenSource, self.store.add, name, failing(*self.most_of_an_attempt())
            )
        self.assert_intact(made, 2)
        made = self.add_attempts(1)
        self.assertRaises(
            BrokenSource, self.store.add, self.attempt(3), failing(*self.most_of_an_attempt())
        )
        self.assert_intact(made, 1)

    def kill_writer(self, name: str) -> None:
        """Kill a process in the middle of an upload, when the store has a part of it."""
        before = sorted(self.leftovers())
        reader, writer = os.pipe()

        def source() -> Iterator[bytes]:
            yield from self.most_of_an_attempt()
            os.write(writer, b"!")
            signal.pause()

        child = os.fork()
        if not child:
            try:
                self.store.add(name, source())
            finally:
                os._exit(1)
        os.close(writer)
        with open(reader, "rb") as pipe:
            self.assertEqual(b"!", pipe.read(1), "the writer ended before its source did")
        # Other threads of the writer may still be sending parts.
        deadline = time.monotonic() + ARRIVAL
        while sorted(self.leftovers()) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        self.assertEqual(signal.SIGKILL, os.waitpid(child, 0)[1])

    @requires(driver.ADD, driver.DELETE, driver.FIND_PARTIAL)
    def test_what_a_killed_attempt_left_goes_alone(self) -> None:
        made = self.add_attempts(2)
        before = sorted(self.leftovers())
        self.kill_writer(self.image_id)
        self.assertNotEqual(before, sorted(self.leftovers()))
        self.delete_attempt(self.image_id)
        self.assertEqual(before, sorted(self.leftovers()))
        self.kill_writer(self.attempt(3))
        dead = sorted(self.leftovers())
        for number in (1, 21):
            self.delete_attempt(self.attempt(number))
        self.assertEqual(dead, sorted(self.leftovers()))
        self.assert_intact(made, 2)
        self.delete_attempt(self.attempt(3))
        self.assertEqual(before, sorted(self.leftovers()))
        self.assert_intact(made, 2)

    @requires(driver.ADD, driver.DELETE, driver.FIND_PARTIAL, driver.LIST)
    def test_what_a_killed_attempt_left_beside_an_object_is_listed_and_goes_alone(self) -> None:
        self.kill_writer(self.image_id)
        made = self.add_attempts(1)
        found = {each.url: each for each in self.store.list_objects()}
        url = made[1][0].url
        self.assertEqual({self.image_id}, {each.image_id for each in found.values()})
        self.assertEqual((self.image_id, len(made[1][1])), (found[url].name, found[url].size))
        self.assertEqual(2, len(found))
        for each in found.values():
            if each.url != url:
                self.assertNotEqual(self.image_id, each.name)
                self.store.delete(parse(each.url))
        self.assert_intact(made, 1)
        self.assertEqual([url], [each.url for each in self.store.list_objects()])
        self.store.delete(made[1][0])
        self.assertEqual([], self.leftovers())

    @requires(driver.ADD, driver.LIST)
    def test_attempts_are_listed_for_their_image(self) -> None:
        made = self.add_attempts(1, 2, 21)
        wanted = [
            (location.url, self.image_id, self.attempt(number), len(data))
            for number, (location, data) in made.items()
        ]
        self.assertCountEqual(
            wanted,
            [
                (found.url, found.image_id, found.name, found.size)
                for found in self.store.list_objects()
            ],
        )

    # ------------------------------------------------------------ health

    def test_health_check_passes_for_a_working_store(self) -> None:
        self.store.health_check()

    @requires(driver.ADD, driver.LIST)
    def test_objects_are_listed_as_they_were_stored(self) -> None:
        self.assertEqual([], list(self.store.list_objects()))
        stored = self.store.add(self.image_id, [b"data"])
        [found] = self.store.list_objects()
        self.assertEqual((stored.url, self.image_id, 4), (found.url, found.image_id, found.size))
        self.assertLess(abs(found.modified - time.time()), 600)

    @requires(driver.ADD, driver.CLEANUP)
    def test_cleanup_removes_data_of_a_killed_writer(self) -> None:
        def source() -> Iterator[bytes]:
            yield b"x" * MIB
            os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if not child:
            try:
                self.store.add(self.image_id, source())
            finally:
                os._exit(1)
        self.assertEqual(signal.SIGKILL, os.waitpid(child, 0)[1])
        self.assertEqual(1, len(self.store.cleanup()))
        self.assertEqual([], self.store.cleanup())
        self.assert_nothing_left()

    @requires(driver.ADD, driver.CLEANUP)
    def test_cleanup_leaves_active_writers_alone(self) -> None:
        removed = []

        def source() -> Iterator[bytes]:
            yield b"one"
            removed.append(self.store.cleanup())
            yield b"two"

        stored = self.store.add(self.image_id, source())
        self.assertEqual([[]], removed)
        self.assert_content(b"onetwo", stored.url)
        self.assertEqual([], self.store.cleanup())
