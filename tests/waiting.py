"""The one way in which tests wait for another process or thread.

A test waits until a condition holds, never for a fixed time: on a busy machine the
condition holds later, and the test takes longer instead of failing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

#: Seconds after which a condition that does not hold fails the test.
DEADLINE = 60.0
#: Seconds between two looks.
INTERVAL = 0.02


def eventually(
    look: Callable[[], Found],
    holds: Callable[[Found], object] = bool,
    *,
    seconds: float = DEADLINE,
    interval: float = INTERVAL,
    ignore: tuple[type[Exception], ...] = (),
    explain: Callable[[], object] | None = None,
) -> Found:
    """Return the first result of ``look()`` of which ``holds`` is true.

    :param seconds: the deadline; a correct program never comes near it.
    :param ignore: errors of ``look`` that mean "not yet".
    :param explain: called for more words in the message, such as the log of a server.
    :raises AssertionError: no result was accepted until the deadline; names the last one.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except ignore as error:
            last: object = error
        else:
            if holds(found):
                return found
            last = found
        if time.monotonic() >= deadline:
            more = "" if explain is None else f"\n{explain()}"
            raise AssertionError(f"after {seconds:g} s still: {last!r}{more}")
        time.sleep(interval)
