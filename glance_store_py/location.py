"""Locations of objects: parse URLs, build them, compare them, show them without secrets.

A URL is parsed once, here, by the rules of its scheme, which the spec of its driver has
(``driver_spec.py``); drivers get a :class:`StoreLocation`.  Locations are compared by
whole components of the path: ``/data/store2`` is not under ``/data/store``.  Nothing
here opens anything.
"""

from __future__ import annotations

import dataclasses

from glance_store_py import errors
from glance_store_py.driver_spec import DRIVERS


@dataclasses.dataclass(frozen=True, slots=True)
class StoreLocation:
    """The components of one URL.

    ``authority`` is host and port without credentials; ``credentials`` is
    ``user:password`` or None and is left out of ``repr``; ``path`` begins with a
    slash unless it is empty; ``query`` has no question mark.
    """

    scheme: str
    authority: str = ""
    path: str = ""
    query: str = ""
    credentials: str | None = dataclasses.field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL, without credentials."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.authority}{self.path}{query}"

    @property
    def redacted(self) -> str:
        """The URL for logs and messages: no credentials, no query, which may be a signature."""
        return f"{self.scheme}://{self.authority}{self.path}{'?***' if self.query else ''}"

    def match_depth(self, prefix: StoreLocation) -> int:
        """The number of components of ``prefix`` that this location begins with.

        -1 when it is not under ``prefix``; an empty authority in the prefix matches any.
        """
        if self.scheme != prefix.scheme:
            return -1
        if prefix.authority and prefix.authority != self.authority:
            return -1
        expected = _components(prefix.path)
        if _components(self.path)[: len(expected)] != expected:
            return -1
        return len(expected) + bool(prefix.authority)


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def parse(url: str) -> StoreLocation:
    """Parse a URL by the rules of its scheme.

    :raises errors.UnknownScheme: no installed driver has this scheme.
    :raises errors.BadStoreUri: the scheme does not allow such a URL.
    """
    scheme, separator, rest = url.partition("://")
    parser = DRIVERS.parsers.get(scheme.lower()) if separator else None
    if parser is None:
        raise errors.UnknownScheme(scheme if separator else "")
    return parser(scheme.lower(), rest)


def redacted(url: str) -> str:
    """``url`` for logs and messages, without credentials and query, also when it is malformed."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "(not a URL)"
    # Up to the last @: a password may hold one, and a part of it must not be shown.
    _, at, tail = rest.rpartition("@")
    tail, question, _ = tail.partition("?")
    return f"{scheme}://{'***@' if at else ''}{tail}{'?***' if question else ''}"


def is_ambiguous(text: str) -> bool:
    """True when another program may read this part of a URL as another location.

    For parsers of drivers: a URL inside a URL, unprintable characters, ``.`` and ``..``.
    """
    return "://" in text or has_unprintable(text) or not {".", ".."}.isdisjoint(text.split("/"))


def has_unprintable(text: str) -> bool:
    """True when ``text`` has blanks or control characters of ASCII."""
    return any(ord(character) < 33 or ord(character) == 127 for character in text)
