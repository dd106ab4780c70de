"""Batches for IN lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: How many values one IN list has at most: MariaDB rewrites longer lists and plans them badly.
MAX_IN_PARAMS = 500


def batched(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """``values`` in their order, in slices of at most MAX_IN_PARAMS."""
    for start in range(0, len(values), MAX_IN_PARAMS):
        yield values[start : start + MAX_IN_PARAMS]
