"""Sealed addresses: the form in which other implementations read and write them."""

from __future__ import annotations

import base64
import unittest

from glance_py.db.cipher import UrlCipher
from glance_py.domain import errors

KEY = "0123456789abcdef"

#: Written by the Image service itself with this key.
ENCRYPTED = {
    "HtZLmfsoXA9CucHN_8axunyebQv-IZbCSMWA-FDW0dvW3FoEHg6gJZzux9Ed9DV_": "http://127.0.0.1:25398/a",
    "butv16hj4AdGwmhfRC7egVfjpbLBsXib8gcbRb4cD_OGtscnNbKc70Xn6f5vneAG": "http://127.0.0.1:25398/a",
}


class TestUrlCipher(unittest.TestCase):
    def test_what_another_wrote_is_read(self):
        for encrypted, url in ENCRYPTED.items():
            self.assertEqual(url, UrlCipher(KEY).decrypt(encrypted))

    def test_round_trip_of_every_length_and_key(self):
        for key in (KEY, KEY + "01234567", KEY * 2):
            cipher = UrlCipher(key)
            for length in range(40):
                url = "s3://" + "ü" * (length % 2) + "x" * length
                encrypted = cipher.encrypt(url)
                self.assertEqual(0, len(base64.urlsafe_b64decode(encrypted)) % 16)
                self.assertEqual(url, cipher.decrypt(encrypted))

    def test_the_same_address_is_sealed_differently_each_time(self):
        cipher = UrlCipher(KEY)
        self.assertNotEqual(cipher.encrypt("s3://a"), cipher.encrypt("s3://a"))

    def test_what_is_not_sealed_is_read_as_it_is(self):
        self.assertEqual("file:///a", UrlCipher(KEY).decrypt("file:///a"))

    def test_another_key_is_an_error_that_names_the_option(self):
        for text in (next(iter(ENCRYPTED)), "nonsense", "AAAA"):
            with (
                self.subTest(text),
                self.assertRaisesRegex(errors.GlanceError, "metadata_encryption_key"),
            ):
                UrlCipher("another key 1234").decrypt(text)

    def test_a_key_of_a_wrong_length_stops_the_start(self):
        with self.assertRaisesRegex(ValueError, "16, 24 or 32"):
            UrlCipher("short")
