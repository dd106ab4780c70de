"""AWS Signature Version 4 in the Authorization header, for S3.

Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature
Version 4)".  The secret key is used here only and appears in no result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

#: In place of the SHA-256 of a body that is not hashed; wire: the service expects this text.
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256().hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class S3Credentials:
    """The credentials of one user."""

    access: str
    secret: str = dataclasses.field(repr=False)


def uri_encode(text: str, safe: str = "") -> str:
    """``text`` percent-encoded for a signed path or query (RFC 3986, section 2.3)."""
    return quote(text, safe=safe + "~")


def query_string(query: Mapping[str, str]) -> str:
    """The canonical query, which is signed and sent."""
    return "&".join(
        sorted(f"{uri_encode(name)}={uri_encode(value)}" for name, value in query.items())
    )


def sign_headers(
    credentials: S3Credentials,
    region: str,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    payload: str = EMPTY_SHA256,
    now: float | None = None,
) -> dict[str, str]:
    """``headers`` and the headers of the signature.

    :param path: percent-encoded.
    :param query: from :func:`query_string`.
    :param headers: names in lower case, ``host`` among them; all are signed.
    :param payload: SHA-256 of the body in hexadecimal, or UNSIGNED_PAYLOAD.
    :param now: seconds since 1970, None for the present.
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
    secret = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access}/{scope},"
        f"SignedHeaders={signed_names},Signature={signature}"
    )
    return headers
