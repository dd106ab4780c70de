"""Bytes into and out of an RBD image: sizes of requests, growth, zeros, failures."""

import errno
import unittest

from glance_store_py.drivers import rbd_transfer
from glance_store_py.drivers.rbd_transfer import REQUEST_SIZE


class Completion:
    """A request that ends only when somebody waits for it, as slow ones do."""

    def __init__(self, image, end):
        self.image, self.end, self.done = image, end, False
        image.flying += 1
        image.most = max(image.most, image.flying)

    def wait_for_complete_and_cb(self):
        if not self.done:
            self.done = True
            self.image.flying -= 1
            self.end()

    def get_return_value(self):
        return -errno.ENOSPC if self.image.full else 0


class Image:
    """An image in memory, with the calls of librbd."""

    def __init__(self, size=0):
        self.bytes = bytearray(size)
        self.resized, self.written = [], []
        self.flying = self.most = 0
        self.full = self.flushed = False

    def resize(self, size):
        self.resized.append(size)
        self.bytes = (self.bytes + bytes(size))[:size]

    def aio_write(self, data, offset, oncomplete):
        def end():
            self.bytes[offset : offset + len(data)] = data

        self.written.append((offset, len(data)))
        return Completion(self, end)

    def aio_read(self, offset, length, oncomplete):
        return Completion(
            self, lambda: oncomplete(None, bytes(self.bytes[offset : offset + length]))
        )

    def flush(self):
        self.flushed = True


class TestWrite(unittest.TestCase):
    def test_small_chunks_become_requests_worth_their_while(self):
        image = Image(3 * REQUEST_SIZE)
        chunks = [bytes([n % 251]) * (REQUEST_SIZE // 64) for n in range(192)]
        self.assertEqual(
            3 * REQUEST_SIZE,
            rbd_transfer.write(image, chunks, 3 * REQUEST_SIZE, REQUEST_SIZE, False),
        )
        self.assertEqual(
            [(0, REQUEST_SIZE), (REQUEST_SIZE, REQUEST_SIZE), (2 * REQUEST_SIZE, REQUEST_SIZE)],
            image.written,
        )
        self.assertTrue(b"".join(chunks) == image.bytes)
        self.assertTrue(image.flushed)
        self.assertEqual([], image.resized)

    def test_what_is_in_flight_is_bounded(self):
        image = Image()
        rbd_transfer.write(image, [b"x" * REQUEST_SIZE] * 40, None, REQUEST_SIZE, False)
        self.assertEqual((16, 0), (image.most, image.flying))

    def test_an_image_of_unknown_size_grows_by_doubling_and_is_trimmed(self):
        image = Image()
        rbd_transfer.write(image, [b"x" * REQUEST_SIZE] * 8 + [b"end"], None, REQUEST_SIZE, False)
        self.assertEqual(
            [
                REQUEST_SIZE,
                3 * REQUEST_SIZE,
                7 * REQUEST_SIZE,
                15 * REQUEST_SIZE,
                8 * REQUEST_SIZE + 3,
            ],
            image.resized,
        )

    def test_zeros_are_left_out_when_thin(self):
        for thin, written in (
            (True, [0, 2 * REQUEST_SIZE]),
            (False, [0, REQUEST_SIZE, 2 * REQUEST_SIZE]),
        ):
            with self.subTest(thin=thin):
                image = Image()
                rbd_transfer.write(
                    image,
                    [b"a" * REQUEST_SIZE, bytes(REQUEST_SIZE), b"b"],
                    None,
                    REQUEST_SIZE,
                    thin,
                )
                self.assertEqual(written, [offset for offset, _ in image.written])
                self.assertEqual(2 * REQUEST_SIZE + 1, len(image.bytes))

    def test_a_failed_write_is_an_error_and_nothing_stays_in_flight(self):
        image = Image()
        image.full = True
        with self.assertRaises(OSError) as caught:
            rbd_transfer.write(image, [b"x" * REQUEST_SIZE] * 40, None, REQUEST_SIZE, False)
        self.assertEqual(errno.ENOSPC, caught.exception.errno)
        self.assertEqual(0, image.flying)

    def test_a_failed_source_leaves_nothing_in_flight(self):
        def source():
            yield b"x" * REQUEST_SIZE
            raise ValueError

        image = Image()
        self.assertRaises(
            ValueError, rbd_transfer.write, image, source(), None, REQUEST_SIZE, False
        )
        self.assertEqual(0, image.flying)


class TestRead(unittest.TestCase):
    def test_a_part_is_read_in_order_several_requests_at_a_time(self):
        image = Image()
        image.bytes = bytearray(bytes(range(256)) * (10 * REQUEST_SIZE // 256))
        part = b"".join(rbd_transfer.read(image, 5, 9 * REQUEST_SIZE + 7))
        self.assertTrue(image.bytes[5 : 9 * REQUEST_SIZE + 7] == part)
        self.assertEqual((4, 0), (image.most, image.flying))

    def test_a_reader_that_stops_leaves_nothing_in_flight(self):
        image = Image(10 * REQUEST_SIZE)
        chunks = rbd_transfer.read(image, 0, 10 * REQUEST_SIZE)
        next(chunks)
        chunks.close()
        self.assertEqual(0, image.flying)

    def test_nothing_is_asked_for_nothing(self):
        self.assertEqual([], list(rbd_transfer.read(Image(), 3, 3)))
