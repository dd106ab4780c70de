"""Long lists of ids, in portions that each server plans well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: How many ids are named in one statement: MariaDB rewrites longer lists, and badly.
MOST = 500


def portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """All of ``values`` in their order, at most MOST at a time."""
    for start in range(0, len(values), MOST):
        yield values[start : start + MOST]
