"""Addresses of data, encrypted in the database (``metadata_encryption_key``).

An address may hold credentials of a store.  The form in the column is URL-safe
Base64 of an initialisation vector and AES-CBC of the address, a NUL and random
filling; rows that are not encrypted are read as they are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable

from glance_py.domain import errors
from glance_py.domain.image import Image

#: Bytes of an AES block and of the initialisation vector.
BLOCK = 16
KEY_SIZES = (16, 24, 32)


class UrlCipher:
    """Seals and opens addresses with one key.

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
        self._cipher = lambda vector: Cipher(algorithms.AES(secret), modes.CBC(vector))

    def encrypt(self, url: str) -> str:
        """The form of ``url`` that the column holds; each time another one."""
        plain = url.encode() + b"\0"
        # Any filling but NUL will do; readers cut at the first or at the last NUL.
        plain += bytes(byte or 1 for byte in os.urandom(-len(plain) % BLOCK))
        vector = os.urandom(BLOCK)
        encryptor = self._cipher(vector).encryptor()
        encrypted = vector + encryptor.update(plain) + encryptor.finalize()
        return base64.urlsafe_b64encode(encrypted).decode("ascii")

    def digest(self, url: str) -> str:
        """A digest of ``url`` that tells nothing without the key; 64 hexadecimal digits."""
        return hmac.digest(self._digest_key, url.encode(), "sha256").hex()

    def decrypt(self, text: str) -> str:
        """The address in a column.

        :raises errors.GlanceError: it was sealed with another key.
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
            "The address of the data of an image cannot be read with metadata_encryption_key."
        )

    def decrypt_locations(self, images: Iterable[Image]) -> None:
        """Open the addresses of images that were just read."""
        for image in images:
            for location in image.locations:
                location.url = self.decrypt(location.url)
