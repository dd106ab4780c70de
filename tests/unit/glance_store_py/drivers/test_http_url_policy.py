"""The http driver under a judge: connections go to the addresses that it gives."""

import unittest

from glance_store_py import errors
from tests.unit.glance_store_py.drivers import test_http


class TestUrlPolicy(test_http.HTTPCase):
    def setUp(self):
        super().setUp()
        self.asked = []
        self.addresses = ["127.0.0.1"]
        self.store.driver.url_policy = self.url_policy
        self.name = f"http://images.example.org:{self.server.server_port}"

    def url_policy(self, url, redirected):
        self.asked.append((url, redirected))
        if not self.addresses:
            raise errors.BadStoreUri("no")
        return self.addresses

    def test_the_name_is_not_resolved_again(self):
        self.answer("/x?y=1", Connection="close")
        self.assertEqual(b"data", self.get(self.name + "/x?y=1"))
        self.assertEqual([(self.name + "/x?y=1", False)], self.asked)

    def test_redirects_are_judged(self):
        self.answer("/x", 302, Location=self.name + "/y")
        self.answer("/y")
        self.assertEqual(b"data", self.get("/x"))
        self.assertEqual([False, True], [redirected for _, redirected in self.asked])

    def test_what_is_refused_is_not_asked(self):
        self.addresses = []
        self.assertRaises(errors.BadStoreUri, self.get, "/x")
        self.assertEqual([], self.server.seen)

    def test_the_next_address_is_tried(self):
        self.answer("/x")
        self.addresses = ["127.0.0.9", "127.0.0.1"]
        self.assertEqual(b"data", self.get(self.name + "/x"))
        self.addresses = ["127.0.0.9"]
        self.assertRaises(errors.RemoteServiceUnavailable, self.get, self.name + "/x")


class TestUrlPolicyTLS(test_http.TestTLS):
    """Everything that holds of certificates holds of pinned connections, too."""

    def make(self, **options):
        store = super().make(**options)
        store.driver.url_policy = lambda url, redirected: ["127.0.0.1"]
        return store

    def test_the_certificate_is_that_of_the_name(self):
        store = self.make(https_ca_certificates_file=self.certificate)
        port = self.server.server_port
        self.assertRaises(
            errors.RemoteServiceUnavailable,
            self.get,
            f"https://images.example.org:{port}/x",
            store=store,
        )


if __name__ == "__main__":
    unittest.main()
