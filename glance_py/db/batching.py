"""Long lists of ids, in portions that each server plans well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: How many ids are named in one statement: MariaDB rewrites longer lists, and badly.
MAX_IN_PARAMS = 500


def batched(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """All of ``values`` in their order, at most MAX_IN_PARAMS at a time."""
    for start in range(0, len(values), MAX_IN_PARAMS):
        yield values[start : start + MAX_IN_PARAMS]
