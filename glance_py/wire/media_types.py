"""Media types of Image API v2, and what kind of body a request carries."""

from __future__ import annotations

import enum

JSON = "application/json"
OCTET_STREAM = "application/octet-stream"

#: A PATCH of Image API 2.0 (a draft of RFC 6902) and of 2.1 (RFC 6902 itself).
PATCH_V20 = "application/openstack-images-v2.0-json-patch"
PATCH_V21 = "application/openstack-images-v2.1-json-patch"

#: Media types of a PATCH, as the Accept-Patch header (RFC 5789) names them.
PATCH = (PATCH_V20, PATCH_V21)


class BodyKind(enum.StrEnum):
    """What body a request of a route has."""

    #: None; a request with a body is refused.
    NONE = "none"
    JSON = "json"
    #: The data of an image.
    BYTES = "bytes"
    #: A body is accepted and not read.
    IGNORED = "ignored"
