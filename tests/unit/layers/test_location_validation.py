"""Which addresses a caller may register: users those of the web, services those of any store."""

from __future__ import annotations

import types
import unittest

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.registration import Registration
from glance_py.layers.location_validation import (
    LocationValidationProxy,
    LocationValidator,
    is_service,
)
from tests.unit.factories import make_caller, make_conf, make_member
from tests.unit.layers.fake import Images, deps

USER, SERVICE = make_member(), make_caller("service")
DELEGATE = make_caller("member", service_roles=["service"])
ADMIN = make_caller("admin", is_admin=True)
SHA256 = "0" * 64


class Stores:
    """Stores of some types."""

    def __init__(self, *kinds: str) -> None:
        self._kinds = kinds

    def describe(self):
        return [types.SimpleNamespace(id=kind, type=kind) for kind in self._kinds]


class Filter:
    """Lets no address of the network of the service pass."""

    def check(self, url: str) -> None:
        if "internal" in url:
            raise errors.Invalid("not this one")


class AddressCase(unittest.TestCase):
    def build(self, *kinds: str) -> None:
        self.inner = Images()
        self.deps = deps(
            conf=make_conf(),
            stores=Stores(*kinds),
            uri_filter=Filter(),
            repositories=types.SimpleNamespace(pending=None),
        )
        self.layer = LocationValidationProxy.build(self.inner, self.deps)

    def outcome(self, ctx, url: str, value: str | None = None, status: str = "queued") -> str:
        image = Image("i", owner="p1", status=status)
        registration = Registration(url, value and "sha256", value)
        try:
            self.layer.add_location(ctx, image, registration)
        except errors.GlanceError as error:
            self.assertEqual([], self.inner.calls)
            return type(error).__name__
        self.assertEqual(["add_location"], self.inner.operations)
        self.inner.calls.clear()
        return "ok"

    def test_who_is_a_service(self) -> None:
        self.assertEqual(
            (False, True, True, False, False),
            tuple(
                is_service(ctx)
                for ctx in (
                    USER,
                    SERVICE,
                    DELEGATE,
                    ADMIN,
                    types.SimpleNamespace(roles=["member"], service_roles=None),
                )
            ),
        )

    def test_who_may_register_what(self) -> None:
        refused = "Forbidden"
        for url, (user, administrator, service) in {
            "http://x/a": ("ok", "ok", "ok"),
            "https://x/a": ("ok", "ok", "ok"),
            "HTTPS://x/a": ("ok", "ok", "ok"),
            "http://internal/a": ("Invalid", "Invalid", "Invalid"),
            "https://internal/a": ("Invalid", "Invalid", "Invalid"),
            "rbd://a/b/c/d": (refused, refused, "ok"),
            "cinder://a": (refused, refused, "ok"),
            "file:///etc/passwd": (refused, refused, "Invalid"),
            "filesystem:///etc/passwd": (refused, refused, "Invalid"),
            "swift+config://ref/c/o": (refused, refused, "Invalid"),
        }.items():
            self.build("file", "http")
            for ctx, expected in (
                (USER, user),
                (ADMIN, administrator),
                (SERVICE, service),
                (DELEGATE, service),
            ):
                self.assertEqual(expected, self.outcome(ctx, url), (url, ctx.roles))

    def test_without_a_store_of_the_web_only_services_register(self) -> None:
        self.build("file")
        self.assertEqual("Forbidden", self.outcome(USER, "http://x/a"))
        self.assertEqual("ok", self.outcome(SERVICE, "rbd://a/b/c/d"))

    def test_only_queued_images_wait_for_data(self) -> None:
        self.build("http")
        for status in ("active", "saving", "deactivated"):
            self.assertEqual("Conflict", self.outcome(USER, "http://x/a", status=status))

    def test_a_hash_is_hexadecimal_and_of_its_length(self) -> None:
        self.build("http")
        for value, expected in (
            (SHA256, "ok"),
            (SHA256[:-1], "Invalid"),
            (SHA256 + "0", "Invalid"),
            ("g" * 64, "Invalid"),
        ):
            self.assertEqual(expected, self.outcome(USER, "http://x/a", value), value)

    def test_schemes_in_a_location_that_is_set(self) -> None:
        self.build("file")
        validator = LocationValidator(
            self.deps.stores, self.deps.uri_filter, self.deps.repositories.pending
        )
        for url, may in (
            ("file:///x", ()),
            ("FILE:///x", ()),
            ("swift+config://x", ()),
            ("cinder://x", (ADMIN, SERVICE, DELEGATE)),
            ("cinder/store://x", (USER, ADMIN, SERVICE, DELEGATE)),
            ("http://x", (USER, ADMIN, SERVICE, DELEGATE)),
        ):
            for ctx in (USER, ADMIN, SERVICE, DELEGATE):
                if ctx in may:
                    self.assertEqual(
                        url.partition("://")[0].lower(), validator.check_scheme(ctx, url)
                    )
                else:
                    with self.assertRaises(errors.Invalid, msg=url):
                        validator.check_scheme(ctx, url)


if __name__ == "__main__":
    unittest.main()
