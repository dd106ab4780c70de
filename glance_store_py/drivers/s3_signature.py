"""AWS Signature Version 4, as S3 wants it in the Authorization header.

Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature
Version 4)".  Signs and does nothing else; a secret key never leaves this module.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

#: In place of a body's SHA-256, for a body that is not known beforehand.
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256().hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class S3Credentials:
    """The credentials of one user."""

    access: str
    secret: str = dataclasses.field(repr=False)


def uri_encode(text: str, safe: str = "") -> str:
    """``text`` as it stands in a signed path or query (RFC 3986, no exceptions)."""
    return quote(text, safe=safe + "~")


def query_string(query: Mapping[str, str]) -> str:
    """The canonical query, which is also the one to send."""
    return "&".join(
        sorted(f"{uri_encode(name)}={uri_encode(value)}" for name, value in query.items())
    )


def sign_headers(
    key: S3Credentials,
    region: str,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    payload: str = EMPTY_SHA256,
    now: float | None = None,
) -> dict[str, str]:
    """``headers`` and the ones that prove who asks.

    :param path: percent-encoded.
    :param query: from :func:`query_string`.
    :param headers: names in lower case, ``host`` among them; all get signed.
    :param payload: SHA-256 of the body in hexadecimal, or UNSIGNED_PAYLOAD.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {**headers, "x-amz-content-sha256": payload, "x-amz-date": stamp}
    names = sorted(headers)
    signed_names = ";".join(names)
    request = "\n".join(
        (
            method,
            path,
            query,
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            signed_names,
            payload,
        )
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join(
        ("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest())
    )
    secret = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key.access}/{scope},"
        f"SignedHeaders={signed_names},Signature={signature}"
    )
    return headers
