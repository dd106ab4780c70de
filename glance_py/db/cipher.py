"""Encryption of the URLs of locations (option ``metadata_encryption_key``).

A URL may have credentials of a store.  The column holds URL-safe Base64 of an initialisation
vector and of AES-CBC of the URL, a NUL byte and random padding, as the original writes it.  Rows
that are not encrypted are read as they are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.image import Image

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    _Cipher = Cipher[CBC]

#: Bytes of an AES block and of the initialisation vector.
BLOCK = 16
KEY_SIZES = (16, 24, 32)


class UrlCipher:
    """Encrypts and decrypts URLs with one key.

    :param key: 16, 24 or 32 bytes of UTF-8.
    :raises ValueError: the key has another length, or cryptography is not installed.
    """

    def __init__(self, key: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        except ImportError:
            raise ValueError(
                "[DEFAULT] metadata_encryption_key: needs the Python package cryptography."
            ) from None
        secret = key.encode()
        if len(secret) not in KEY_SIZES:
            raise ValueError(
                "[DEFAULT] metadata_encryption_key: the key must have 16, 24 or 32 bytes."
            )
        self._digest_key = hashlib.sha256(b"glance_py: digests of addresses\0" + secret).digest()
        self._cipher: Callable[[bytes], _Cipher] = lambda vector: Cipher(
            algorithms.AES(secret), modes.CBC(vector)
        )

    def encrypt(self, url: str) -> str:
        """The value of the column for ``url``; a different one at each call."""
        plain = url.encode() + b"\0"
        # No NUL bytes in the padding: the original cuts at the last NUL, this class at the first.
        plain += bytes(byte or 1 for byte in os.urandom(-len(plain) % BLOCK))
        vector = os.urandom(BLOCK)
        encryptor = self._cipher(vector).encryptor()
        encrypted = vector + encryptor.update(plain) + encryptor.finalize()
        return base64.urlsafe_b64encode(encrypted).decode("ascii")

    def digest(self, url: str) -> str:
        """A keyed digest (HMAC-SHA256) of ``url``: 64 hexadecimal digits."""
        return hmac.digest(self._digest_key, url.encode(), "sha256").hex()

    def decrypt(self, text: str) -> str:
        """The URL in a value of the column.

        :raises errors.GlanceError: it was encrypted with another key.
        """
        if "://" in text:
            return text
        try:
            encrypted = base64.urlsafe_b64decode(text)
            decryptor = self._cipher(encrypted[:BLOCK]).decryptor()
            plain = decryptor.update(encrypted[BLOCK:]) + decryptor.finalize()
            url, nul, _ = plain.partition(b"\0")
            if nul:
                return url.decode()
        except ValueError:
            pass
        raise errors.GlanceError(
            "The URL of a location cannot be decrypted with metadata_encryption_key."
        )

    def decrypt_locations(self, images: Iterable[Image]) -> None:
        """Decrypt the URLs of all locations of ``images``, in place."""
        for image in images:
            for location in image.locations:
                location.url = self.decrypt(location.url)
