"""Parts: cut where they should be, sent in order, and never more of them than there is room."""

import threading
import unittest

from glance_store_py.drivers.multipart import PartUploader, split_parts


class TestSplitParts(unittest.TestCase):
    def test_bytes_come_out_as_they_went_in(self):
        data = bytes(range(256)) * 10
        for step in (1, 7, 100, 1000, 5000):
            chunks = [data[at : at + step] for at in range(0, len(data), step)]
            parts = list(split_parts(chunks, lambda number: 300 * number))
            self.assertEqual(data, b"".join(parts))
            self.assertEqual([300, 600, 900, 760], [len(part) for part in parts])

    def test_an_end_on_a_border_makes_no_empty_part(self):
        self.assertEqual(
            [4, 4], [len(part) for part in split_parts([b"12345678"], lambda number: 4)]
        )
        self.assertEqual([], list(split_parts([], lambda number: 4)))


class TestPartUploader(unittest.TestCase):
    def test_results_stand_in_the_order_of_the_parts(self):
        sent = [threading.Event() for _ in range(7)]
        sent[6].set()

        def send(number, part):
            self.assertTrue(sent[number + 1].wait(60))  # The last part is sent first.
            sent[number].set()
            return number, bytes(part)

        parts = [bytearray(b"%d" % number) for number in range(1, 6)]
        self.assertEqual(
            [(number, b"%d" % number) for number in range(1, 6)],
            PartUploader(5, 1).upload(parts, send),
        )

    def test_two_uploads_share_the_byte_limit(self):
        uploader, lock = PartUploader(2, 10), threading.Lock()
        now, most = 0, 0
        # The first two parts meet; all the others go as they come.
        meeting, meet = threading.Barrier(2, timeout=60), [True, True]

        def send(number, part):
            nonlocal now, most
            with lock:
                now += len(part)
                most = max(most, now)
                first = bool(meet) and meet.pop()
            if first:
                meeting.wait()
            with lock:
                now -= len(part)

        uploads = [
            threading.Thread(target=uploader.upload, args=([bytearray(10)] * 20, send))
            for _ in range(3)
        ]
        for upload in uploads:
            upload.start()
        for upload in uploads:
            upload.join()
        self.assertEqual(20, most)

    def test_a_part_that_is_larger_than_the_byte_limit_is_sent_alone(self):
        self.assertEqual(
            [25, 25],
            PartUploader(2, 10).upload(
                [bytearray(25), bytearray(25)], lambda number, part: len(part)
            ),
        )

    def test_the_first_failure_stops_all_and_releases_all_bytes(self):
        uploader, sent = PartUploader(2, 10), []

        def send(number, part):
            sent.append(number)
            if number == 3:
                raise ConnectionError(number)

        self.assertRaises(ConnectionError, uploader.upload, [bytearray(10)] * 1000, send)
        self.assertLess(len(sent), 20)
        self.assertEqual(50, len(uploader.upload([bytearray(10)] * 50, lambda number, part: None)))

    def test_a_source_that_fails_is_what_is_raised(self):
        def source():
            yield bytearray(10)
            raise ZeroDivisionError

        uploader = PartUploader(2, 10)
        self.assertRaises(ZeroDivisionError, uploader.upload, source(), lambda number, part: None)
        self.assertEqual([1], uploader.upload([bytearray(20)], lambda number, part: number))
