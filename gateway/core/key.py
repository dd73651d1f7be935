"""Service keys: how one is made, told from a typing mistake, and turned into the digest that workers hold."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib

PREFIX = "sg1_"
RANDOM_CHARACTERS = 36
CHECKSUM_CHARACTERS = 6
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MAX_CHARACTERS = 1024

_BLOCK = 64
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARACTERS + CHECKSUM_CHARACTERS}}}")
_SETTABLE = re.compile(r"[\x21-\x7e]+")


def generate() -> str:
    """A new key: prefix, 36 random base62 characters (214 bits), checksum of 6."""
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return PREFIX + random + _checksum(random)


def is_mistyped(value: str) -> bool:
    """Whether the value claims to be one of ours and its checksum says it cannot be.

    Saves the look-up, nothing else: a value set by an admin may have any other shape.
    """
    if _SHAPE.fullmatch(value) is None:
        return False
    return _checksum(value[len(PREFIX) : -CHECKSUM_CHARACTERS]) != value[-CHECKSUM_CHARACTERS:]


def why_not_settable(value: str) -> str | None:
    """Why an admin may not set this value as a key, or None. A key must travel in an Authorization header."""
    if not value:
        return "is empty"
    if len(value) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    if _SETTABLE.fullmatch(value) is None:
        return "has characters that cannot stand in an Authorization header: use visible ASCII without spaces"
    if is_mistyped(value):
        return f"looks like a generated key ({PREFIX}…) whose checksum does not fit: was it copied whole?"
    return None


def new_id() -> str:
    """A public name for a key, safe to log: tells nothing about its value."""
    return "k_" + secrets.token_hex(6)


def digest(digest_key: bytes, value: bytes) -> bytes:
    """HMAC-SHA-256 of a key (32 bytes): all that workers know of it."""
    return hmac.digest(digest_key, value, "sha256")


class Digester:
    """`digest` with one digest key, whose share of the work (RFC 2104 section 4) is done once: a third of the time."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, digest_key: bytes) -> None:
        block = (digest_key if len(digest_key) <= _BLOCK else hashlib.sha256(digest_key).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, value: bytes) -> bytes:
        """HMAC-SHA-256 of a key (32 bytes)."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value)
        outer.update(inner.digest())
        return outer.digest()


def _checksum(random: str) -> str:
    number = zlib.crc32(PREFIX.encode() + random.encode())
    characters = []
    for _ in range(CHECKSUM_CHARACTERS):
        number, index = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[index])
    return "".join(reversed(characters))
