"""Generated JSON: values, and bodies of requests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

#: Numbers that orjson reads and writes exactly.
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)


def values(scalars: st.SearchStrategy[Any] = SCALARS) -> st.SearchStrategy[Any]:
    """Any JSON value, not very large."""
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
        ),
        max_leaves=12,
    )


def objects(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects whose keys are ``names`` or any text."""
    return st.dictionaries(names | st.text(max_size=10), values(), max_size=6)


def body(value: Any) -> bytes:
    """``value`` as a client may write it: not by the serialiser that is under test."""
    return json.dumps(value, ensure_ascii=False).encode()
