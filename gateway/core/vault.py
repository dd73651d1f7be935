"""Secrets at rest: AES-256-GCM under data keys, which are themselves wrapped by a master key.

What a ciphertext belongs to is its associated data: a row copied to another service or slot does not open.
The master key can change without touching the sealed records: only the few data keys are wrapped anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.core.record import Sealed

NONCE_BYTES = 12
KEY_BYTES = 32


class VaultError(Exception):
    """A sealed value does not open: another master key, or a record that was changed or moved."""


class MasterKey:
    """The 32-byte key outside the store. Its id is derived from it, so that a wrong file is told apart by name."""

    __slots__ = ("_aead", "id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise VaultError(f"a master key has {KEY_BYTES} bytes, this one has {len(secret)}")
        self._aead = AESGCM(secret)
        self.id = hashlib.sha256(b"scoregate master key id\0" + secret).hexdigest()[:16]

    @classmethod
    def parse(cls, text: str) -> MasterKey:
        """From the content of a master key file: base64 of 32 bytes. Raises VaultError."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise VaultError("a master key file holds 32 bytes in base64, and nothing else") from None

    @staticmethod
    def generate() -> str:
        """The text of a new master key file."""
        return base64.b64encode(os.urandom(KEY_BYTES)).decode() + "\n"

    def wrap(self, data_key_id: str, data_key: bytes) -> bytes:
        """Ciphertext of a data key, bound to its id."""
        return _seal(self._aead, data_key, data_key_id)

    def unwrap(self, data_key_id: str, wrapped: bytes) -> bytes:
        """The data key. Raises VaultError when it was wrapped by another master key."""
        return _open(self._aead, wrapped, data_key_id)


class Vault:
    """Seals with the newest data key, opens with whichever data key a value names."""

    __slots__ = ("_aeads", "_sealing_id")

    def __init__(self, data_keys: Mapping[str, bytes]) -> None:
        """`data_keys`: id → 32 bytes, oldest first; the last one seals."""
        self._aeads = {data_key_id: AESGCM(secret) for data_key_id, secret in data_keys.items()}
        self._sealing_id = next(reversed(self._aeads))

    def add(self, data_key_id: str, secret: bytes) -> None:
        """Seal with this data key from now on."""
        self._aeads[data_key_id] = AESGCM(secret)
        self._sealing_id = data_key_id

    def seal(self, secret: bytes, belongs_to: str) -> Sealed:
        """Ciphertext of `secret`, which opens only for the same `belongs_to` (such as `key/diabetes/primary/3`)."""
        return Sealed(self._sealing_id, _seal(self._aeads[self._sealing_id], secret, belongs_to))

    def open(self, sealed: Sealed, belongs_to: str) -> bytes:
        """The secret. Raises VaultError."""
        aead = self._aeads.get(sealed.data_key_id)
        if aead is None:
            raise VaultError(f"the data key {sealed.data_key_id} of {belongs_to} is not in the store")
        return _open(aead, sealed.ciphertext, belongs_to)


def _seal(aead: AESGCM, secret: bytes, belongs_to: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + aead.encrypt(nonce, secret, belongs_to.encode())


def _open(aead: AESGCM, ciphertext: bytes, belongs_to: str) -> bytes:
    try:
        return aead.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], belongs_to.encode())
    except (InvalidTag, ValueError):
        raise VaultError(f"{belongs_to} does not open with this master key, or was changed in the store") from None
