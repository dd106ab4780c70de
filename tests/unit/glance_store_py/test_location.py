"""Addresses: what is accepted, what is compared, what is shown."""

import unittest

from glance_store_py import errors
from glance_store_py.location import StoreLocation, parse, redacted


class TestParse(unittest.TestCase):
    def test_both_file_schemes_name_the_same_file(self):
        self.assertEqual(parse("file:///data/id"), parse("filesystem:///data//id"))
        self.assertEqual(parse("file:///data/id"), parse("FILE:////data/./id"))

    def test_a_file_is_named_directly_or_not_at_all(self):
        for url in ("file://", "file://data/id", "file:///data/../etc/passwd", "file:///a\0b"):
            with self.subTest(url=url):
                self.assertRaises(errors.BadStoreUri, parse, url)

    def test_a_path_is_taken_literally(self):
        self.assertEqual("/data/a%2e%2e?b#c d", parse("file:///data/a%2e%2e?b#c d").path)

    def test_an_http_address_comes_apart_and_together(self):
        location = parse("https://u:p@[::1]:8443/a/b?c=d")
        self.assertEqual(
            ("u:p", "[::1]:8443", "/a/b", "c=d"),
            (location.credentials, location.authority, location.path, location.query),
        )
        self.assertEqual("https://[::1]:8443/a/b?c=d", location.url)

    def test_an_http_address_needs_host_port_and_pairs_of_credentials(self):
        for url in (
            "http://",
            "http:///path",
            "http://host:port/",
            "http://user@host/",
            "http://a:b:c@host/",
            "http://host/a b",
            "http://host/a\r\nX: y",
            "http://ho st/",
        ):
            with self.subTest(url=url):
                self.assertRaises(errors.BadStoreUri, parse, url)

    def test_an_unknown_scheme_is_said_to_be_unknown(self):
        for url in ("ftp://host/x", "no url", "", "file:/data/id"):
            with self.subTest(url=url):
                self.assertRaises(errors.UnknownScheme, parse, url)


class TestDepth(unittest.TestCase):
    def test_whole_components_count(self):
        store = parse("file:///data/store")
        self.assertEqual(2, parse("file:///data/store/id").match_depth(store))
        self.assertEqual(-1, parse("file:///data/store2/id").match_depth(store))
        self.assertEqual(-1, parse("file:///data").match_depth(store))

    def test_scheme_and_authority_count(self):
        self.assertEqual(0, parse("http://host/x").match_depth(StoreLocation("http")))
        self.assertEqual(-1, parse("https://host/x").match_depth(StoreLocation("http")))
        self.assertEqual(1, parse("memory://a/x").match_depth(StoreLocation("memory", "a")))
        self.assertEqual(-1, parse("memory://b/x").match_depth(StoreLocation("memory", "a")))


class TestSecrets(unittest.TestCase):
    def test_no_credential_is_ever_shown(self):
        for url in (
            "http://user:canary@host/p",
            "s3://key:canary@host/b/k",
            "x://a:b@canary@host",
            "swift+https://t:u:canary@h/c/o",
            "http://host/p?Signature=canary",
            "user:canary@host",
        ):
            with self.subTest(url=url):
                self.assertNotIn("canary", redacted(url))

    def test_a_location_does_not_show_its_own(self):
        location = parse("http://user:canary@host/p?sig=dove")
        self.assertNotIn("canary", location.url + location.redacted + repr(location))
        self.assertNotIn("dove", location.redacted)

    def test_what_needs_no_hiding_is_left_alone(self):
        self.assertEqual("file:///data/id", redacted("file:///data/id"))
