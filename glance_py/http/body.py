"""The body of a request as pieces, the same under every WSGI server.

Servers differ in how they pass on a chunked body; this is the only place that
knows.  Nothing is kept: a piece is gone when the next one is asked for, and
whatever a client does, no more than one piece is in memory here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from glance_py.domain import errors

try:
    # Exists only inside a uWSGI process.
    import uwsgi
except ImportError:
    uwsgi = None

#: A piece that is still in the processor's cache when it is hashed and written
CHUNK_SIZE = 512 * 1024


def is_chunked(environ: dict) -> bool:
    """Does the body come in chunks of HTTP/1.1 (RFC 9112, 7.1), so without a known length?"""
    return "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()


def body_chunks(environ: dict, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """Yield the body in pieces of at most ``chunk_size`` bytes.

    uWSGI hands over chunks as the client made them, up to a limit of its own
    (``chunked-input-limit``).  They are cut, because several pieces wait to be
    hashed at a time.

    :raises errors.Invalid: the length is no number, the body ended before its
        announced length, or the client fell silent or sent malformed chunks.
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
    """What ``read`` gives; the servers' own words for a broken body become one of ours.

    They have no class in common: OSError, ValueError and some of their own.
    """
    try:
        return read()
    except Exception as error:
        raise errors.Invalid("The body of the request broke off before its end.") from error
