"""URLs of objects: any text is understood or refused, and no text that is shown has a password."""

from __future__ import annotations

import unittest

from hypothesis import example, given
from hypothesis import strategies as st

from glance_store_py import errors, location
from glance_store_py.location import StoreLocation

SCHEMES = st.sampled_from(
    ["file", "filesystem", "http", "https", "memory", "rbd", "cinder", "s3", "s3+https"]
    + ["swift", "swift+config", "swift+http", "vsphere", "FILE", "gopher"]
)
#: What stands in URLs, in any order.
PIECES = st.lists(
    st.sampled_from(
        ["host", "[::1]", ":80", "/", "//", "..", ".", "@", "user:key", "?", "#", "%2F", "%", "://"]
        + ["0df53c26-0441-4d21-a5c4-3a1b0d9b1c3e", "pool", "snap", "\0", "\n", " ", "é", "\u0663"]
    )
    | st.text(max_size=4),
    max_size=9,
).map("".join)
URLS = st.builds("{}://{}".format, SCHEMES, PIECES) | st.text(max_size=20)

#: A password that cannot be confused with another part of a URL; it may hold what separates parts.
SECRETS = st.text(alphabet="SECRT/?#@:%é", min_size=4, max_size=10)
PLACES = st.sampled_from(["host/b/k", "[::1]:80/b/k?sign=#", "h", "", "?q"])
COMPONENTS = st.lists(st.sampled_from(["a", "b", "a2", "ab"]), max_size=4)


class ParseTest(unittest.TestCase):
    @given(URLS)
    @example("file:///.")
    @example("file:///..")
    @example("http://h?")
    @example("rbd://%")
    @example("rbd://%ff/a/b/c")
    @example("cinder://{0df53c26-0441-4d21-a5c4-3a1b0d9b1c3e}")
    @example("cinder://s/urn:uuid:0df53c26-0441-4d21-a5c4-3a1b0d9b1c3e")
    def test_any_text_is_understood_or_refused(self, url: str) -> None:
        """And what is understood is understood the same when it was written out."""
        try:
            found = location.parse(url)
        except (errors.UnknownScheme, errors.BadStoreUri):
            return
        again = location.parse(found.url)
        self.assertEqual(
            (found.scheme, found.authority, found.path, found.query),
            (again.scheme, again.authority, again.path, again.query),
        )
        self.assertIsNone(again.credentials)

    @given(URLS)
    def test_paths_lead_nowhere_else(self, url: str) -> None:
        """A driver that opens files or objects by path finds no step up in it."""
        try:
            found = location.parse(url)
        except (errors.UnknownScheme, errors.BadStoreUri):
            return
        if not found.scheme.startswith(("http", "memory")):
            self.assertNotIn("..", found.path.split("/"))
            self.assertNotIn("\0", found.path)


class SecrecyTest(unittest.TestCase):
    """Passwords are written in capital letters, which nothing else in these URLs has."""

    def check(self, shown: str) -> None:
        self.assertNotRegex(shown, "[A-Z]")

    @given(SCHEMES.map(str.lower), SECRETS, PLACES)
    @example("http", "SECRET?@", "h")
    def test_a_password_is_redacted_however_it_is_written(
        self, scheme: str, secret: str, place: str
    ) -> None:
        self.check(location.redacted(f"{scheme}://user:{secret}@{place}"))

    @given(SCHEMES.map(str.lower), st.text(alphabet="SECRT/?#:%é", min_size=4), PLACES)
    def test_a_query_is_redacted(self, scheme: str, secret: str, place: str) -> None:
        """It may be a signature."""
        self.check(location.redacted(f"{scheme}://{place}?sig={secret}"))

    @given(SCHEMES.map(str.lower), st.text(alphabet="SECRT:%é", min_size=4), PLACES)
    def test_a_location_shows_no_password(self, scheme: str, secret: str, place: str) -> None:
        try:
            found = location.parse(f"{scheme}://user:{secret}@{place}")
        except (errors.UnknownScheme, errors.BadStoreUri) as error:
            self.assertNotIn(secret, str(error))
            return
        if found.credentials is not None:
            self.assertEqual(f"user:{secret}", found.credentials)
            self.check(found.redacted)
            self.check(found.url)
            self.check(repr(found).removeprefix("StoreLocation"))


class DepthTest(unittest.TestCase):
    @given(COMPONENTS, COMPONENTS, st.sampled_from(["h", "i"]), st.sampled_from(["", "h"]))
    def test_whole_components_are_compared(
        self, path: list[str], prefix: list[str], host: str, of: str
    ) -> None:
        place = StoreLocation("s", host, "".join(f"/{part}" for part in path))
        under = StoreLocation("s", of, "/".join(["", *prefix, ""]))
        inside = of in ("", host) and path[: len(prefix)] == prefix
        expected = len(prefix) + bool(of) if inside else -1
        self.assertEqual(expected, place.match_depth(under))
        self.assertEqual(-1, place.match_depth(StoreLocation("other", of, under.path)))


if __name__ == "__main__":
    unittest.main()
