"""Rules about the image cache."""

from __future__ import annotations

from glance_py.policies.base import ADMIN, rule

_DEPRECATED_CHECK = "rule:manage_image_cache"

RULES = (
    rule(
        "cache_image",
        ADMIN,
        "Queue an image for caching",
        "PUT /v2/cache/{image_id}",
        deprecated_check=_DEPRECATED_CHECK,
        deprecated_since="X",
    ),
    rule(
        "cache_list",
        ADMIN,
        "See what is cached and queued",
        "GET /v2/cache",
        deprecated_check=_DEPRECATED_CHECK,
        deprecated_since="X",
    ),
    rule(
        "cache_delete",
        ADMIN,
        "Remove images from the cache and its queue",
        "DELETE /v2/cache",
        "DELETE /v2/cache/{image_id}",
        deprecated_check=_DEPRECATED_CHECK,
        deprecated_since="X",
    ),
    rule(
        "cache_clean",
        ADMIN,
        "Remove stale and invalid files from the cache",
        "POST /v2/cache/clean",
    ),
    rule("cache_prune", ADMIN, "Bring the cache back to its size", "POST /v2/cache/prune"),
)
