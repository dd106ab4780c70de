"""Removal of data: only what the image owns, and nothing forgotten that is still there."""

from __future__ import annotations

import unittest

from glance_py.domain import errors
from glance_py.domain.image import Location
from glance_py.layers.data_deletion import DataDeleter, image_ids_in
from glance_store_py import errors as store_errors

MINE = "11111111-1111-1111-1111-111111111111"
OTHER = "22222222-2222-2222-2222-222222222222"
CLUSTER = "33333333-3333-3333-3333-333333333333"


class Stores:
    """Objects by address; an exception in place of an object is raised."""

    def __init__(self, **objects) -> None:
        self.objects = {url.replace("_", "/"): value for url, value in objects.items()}
        self.deleted: list[str] = []

    def delete(self, url, store_id=None, caller=None):
        if isinstance(self.objects.get(url), Exception):
            raise self.objects[url]
        self.deleted.append(url)


class Pending:
    def __init__(self, shared=(), images=(OTHER,), own=()) -> None:
        self.shared, self.images, self.own = shared, images, own
        self.forgotten: list[str] = []

    def mark_deleted(self, locations):
        self.forgotten += [location.url for location in locations]

    def is_shared(self, image_id, url):
        return url in self.shared

    def statuses_at(self, image_id, url):
        return self.own

    def any_exist(self, ids):
        return any(each in self.images for each in ids)


class TestRemoval(unittest.TestCase):
    def remove(self, *urls: str, stores=None, pending=None):
        stores, pending = stores or Stores(), pending or Pending()
        removed = DataDeleter(stores, pending).delete(MINE, [Location(url) for url in urls])
        return removed, stores.deleted, pending.forgotten

    def test_what_the_image_owns_goes(self):
        for url in (
            f"file:///images/{MINE}",
            f"rbd://{CLUSTER}/images/{MINE}/snap",
            "s3://host/bucket/any-name",
            f"cinder://store/{CLUSTER}",
        ):
            with self.subTest(url):
                self.assertEqual((1, [url], [url]), self.remove(url))

    def test_ossn_0065_data_of_another_image_stays(self):
        for url in (
            f"rbd://{CLUSTER}/images/{OTHER}/snap",
            f"file:///images/{OTHER}",
            f"s3://{MINE}:key@host/bucket/{OTHER}",
            "rbd://a/images/" + OTHER.replace("-", "%2D") + "/snap",
        ):
            with self.subTest(url):
                self.assertEqual((1, [], [url]), self.remove(url))
        url = "s3://host/bucket/any-name"
        self.assertEqual((1, [], [url]), self.remove(url, pending=Pending(shared=(url,))))

    def test_what_the_image_has_at_another_location_stays(self):
        url = "s3://host/bucket/any-name"
        both = ("active", "pending_delete")
        self.assertEqual((1, [], [url]), self.remove(url, pending=Pending(own=both)))
        stores, pending = Stores(), Pending()
        DataDeleter(stores, pending).delete(MINE, [Location(url)], recorded={url})
        self.assertEqual(([], [url]), (stores.deleted, pending.forgotten))

    def test_an_object_on_record_is_known_by_its_name(self):
        """Also in another directory of its store, or with the credentials of last year."""

        class Attempts:
            multi = True
            asked: list = []

            def predict_url(self, store, name):
                return f"s3://new:key@host/bucket/{name}"

            def delete_attempt(self, name, store, strict):
                self.asked.append((store, name))
                return []

        for url in (
            f"s3://old:key@host/bucket/{MINE}",
            f"file:///second/{MINE}",
            f"rbd://{CLUSTER}/images/{MINE}/snap",
        ):
            Attempts.asked.clear()
            DataDeleter(Attempts(), Pending()).delete_attempts(
                MINE, ["one", "two"], [MINE, f"{MINE}.2"], [Location(url, {"store": "one"})]
            )
            self.assertEqual(
                [("one", f"{MINE}.2"), ("two", MINE), ("two", f"{MINE}.2")], Attempts.asked, url
            )

    def test_what_is_being_removed_cannot_be_added(self):
        deleter = DataDeleter(Stores(), Pending(own=("pending_delete",)))
        self.assertRaises(errors.Invalid, deleter.require_unused, MINE, "s3://host/bucket/name")
        DataDeleter(Stores(), Pending(own=("active",))).require_unused(
            MINE, "s3://host/bucket/name"
        )

    def test_what_is_gone_or_never_goes_is_done_with(self):
        for error in (
            store_errors.StoreObjectNotFound("x"),
            store_errors.StoreDeleteNotSupported("web"),
        ):
            stores = Stores()
            stores.objects["s3://a/b"] = error
            with self.subTest(error):
                self.assertEqual((1, [], ["s3://a/b"]), self.remove("s3://a/b", stores=stores))

    def test_what_fails_is_not_forgotten_and_the_others_go(self):
        stores = Stores()
        stores.objects["s3://a/1"] = store_errors.RemoteServiceUnavailable()
        self.assertEqual(
            (1, ["s3://a/2"], ["s3://a/2"]), self.remove("s3://a/1", "s3://a/2", stores=stores)
        )

    def test_what_is_in_use_is_an_objection(self):
        stores, pending = Stores(), Pending()
        stores.objects["s3://a/1"] = store_errors.HasSnapshot()
        with self.assertRaises(errors.ImageInUse):
            self.remove("s3://a/1", "s3://a/2", stores=stores, pending=pending)
        self.assertEqual(["s3://a/2"], pending.forgotten)

    def test_an_address_of_another_image_cannot_be_named(self):
        deleter = DataDeleter(Stores(), Pending(shared=("s3://a/shared",)))
        for url in (f"rbd://{CLUSTER}/images/{OTHER}/snap", "s3://a/shared"):
            with self.subTest(url), self.assertRaises(errors.Invalid):
                deleter.require_unused(MINE, url)
        deleter.require_unused(MINE, f"rbd://{CLUSTER}/images/{MINE}/snap")

    def test_ids_are_found_quoted_or_not_and_nowhere_else(self):
        self.assertEqual({MINE}, image_ids_in(f"x://{MINE}"))
        self.assertEqual({MINE}, image_ids_in("x://" + MINE.replace("1-", "1%2d")))
        self.assertEqual(set(), image_ids_in(f"x://{MINE}f"))
        self.assertEqual(set(), image_ids_in("x://nothing"))


if __name__ == "__main__":
    unittest.main()
