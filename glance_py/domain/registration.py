"""Data that lies in a store already and is to become an image's (Image API v2.17)."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Registration:
    """Where the data lies, and what its hash should be: a hashlib name and hexadecimal digits.

    ``algorithm`` and ``value`` are both None when the client does not say.
    """

    url: str
    algorithm: str | None = None
    value: str | None = None
