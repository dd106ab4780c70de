"""The filters of the image cache.

This version has none yet.  A pipeline that asks for them does not start:
serving without a cache that the operator believes in would be a lie.
"""

from __future__ import annotations


def unavailable(global_conf: dict, **local_conf: str) -> None:
    """Paste filter factory.

    :raises LookupError: always.
    """
    raise LookupError(
        "the image cache is not part of this version; choose a [paste_deploy] flavor without "
        "caching or cachemanagement")
