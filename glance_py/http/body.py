"""The body of a request as pieces of bytes.

WSGI servers differ in how they pass on a chunked body; only this module knows how.  It keeps no
piece: whatever a client sends, at most one piece is in memory here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol
from wsgiref.types import WSGIEnvironment

from glance_py.domain import errors


class UwsgiModule(Protocol):
    """What this package uses of the module ``uwsgi``."""

    def chunked_read(self) -> bytes:
        """The next chunk of the body of the current request, empty at its end."""

    def connection_fd(self) -> int:
        """The file descriptor of the connection of the current request."""


def _import_uwsgi() -> UwsgiModule | None:
    """The module ``uwsgi``, which exists inside a uWSGI process only."""
    try:
        import uwsgi
    except ImportError:
        return None
    module: UwsgiModule = uwsgi
    return module


uwsgi = _import_uwsgi()

#: Bytes of a piece: one that is still in the processor's cache when it is hashed and written.
CHUNK_SIZE = 512 * 1024


def is_chunked(environ: WSGIEnvironment) -> bool:
    """Return True when the body comes in chunks, without a known length (RFC 9112, 7.1)."""
    return "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()


def body_chunks(environ: WSGIEnvironment, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """Yield the body in pieces of at most ``chunk_size`` bytes.

    uWSGI hands over chunks as the client made them, up to a limit of its own
    (``chunked-input-limit``).  They are cut here, because several pieces wait to be hashed at a
    time.

    :raises errors.Invalid: the Content-Length is no number, the body ended before it, or the
        client stopped sending or sent malformed chunks.
    """
    if is_chunked(environ):
        if uwsgi is not None:
            return _split(_read_until_empty(uwsgi.chunked_read), chunk_size)
        read = environ["wsgi.input"].read
        return _read_until_empty(lambda: read(chunk_size))
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise errors.Invalid(f"Content-Length must be a number of bytes, not {length[:40]!r}.")
    return _read_exactly(int(length), environ["wsgi.input"].read, chunk_size)


def _read_until_empty(read: Callable[[], bytes]) -> Iterator[bytes]:
    while piece := _read_piece(read):
        yield piece


def _split(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= size:
            yield chunk
            continue
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def _read_exactly(length: int, read: Callable[[int], bytes], chunk_size: int) -> Iterator[bytes]:
    remaining = length
    while remaining:
        piece = _read_piece(lambda: read(min(remaining, chunk_size)))  # noqa: B023 - called at once
        if not piece:
            raise errors.Invalid(
                f"The body ended after {length - remaining} of the announced {length} bytes."
            )
        remaining -= len(piece)
        yield piece


def _read_piece(read: Callable[[], bytes]) -> bytes:
    """The result of ``read``.

    :raises errors.Invalid: ``read`` failed.  The exceptions of the servers for a broken body have
        no class in common: OSError, ValueError and some of their own.
    """
    try:
        return read()
    except Exception as error:
        raise errors.Invalid("The body of the request broke off before its end.") from error
