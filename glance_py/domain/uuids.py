"""The text form of a UUID (RFC 9562, section 4), which the ids of images and tasks have."""

from __future__ import annotations

import re

#: The regular expression of a UUID in either case.
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

_fullmatch = re.compile(UUID).fullmatch


def is_uuid(text: str) -> bool:
    """Return True when ``text`` is a UUID and nothing else."""
    return _fullmatch(text) is not None
