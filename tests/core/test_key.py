"""Service keys: their shape, their checksum, what an admin may set, and their digest."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import key


def test_a_generated_key_has_the_documented_shape() -> None:
    """Prefix, 36 random characters and 6 of checksum; it may be set, and is not taken for a mistake."""
    for _ in range(200):
        value = key.generate()
        assert re.fullmatch(r"sg1_[0-9A-Za-z]{42}", value)
        assert not key.is_mistyped(value)
        assert key.why_not_settable(value) is None


def test_keys_and_ids_do_not_repeat() -> None:
    """They are drawn, not counted: a thousand of each differ, and use the whole alphabet."""
    keys = {key.generate() for _ in range(1000)}
    assert len(keys) == 1000
    assert set("".join(value[4:40] for value in keys)) == set(key.ALPHABET)
    ids = {key.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"k_[0-9a-f]{12}", name) for name in ids)


def test_the_checksum_is_pinned() -> None:
    """Keys handed out by an earlier release must stay good: the arithmetic may never change."""
    known = "sg1_" + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    checksum = "40UJnc"
    assert not key.is_mistyped(known + checksum)
    assert key.is_mistyped(known + checksum[::-1])


@given(position=st.integers(4, 45), other=st.sampled_from(key.ALPHABET))
def test_one_wrong_character_is_seen(position: int, other: str) -> None:
    """Any one character replaced, in the random part or the checksum, is told from the right key."""
    value = key.generate()
    typed = value[:position] + other + value[position + 1 :]
    assert key.is_mistyped(typed) is (typed != value)


@pytest.mark.parametrize(
    "value", ["", "sg1_", "my-own-key", "sg1_tooshort", "SG1_" + "0" * 42, "sg1_" + "0" * 43, "sg1_" + "-" * 42]
)
def test_other_shapes_are_not_judged(value: str) -> None:
    """A value set by an admin may look like anything: only our own shape carries a checksum."""
    assert not key.is_mistyped(value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is empty"),
        ("x" * 1025, "is longer than 1024 characters"),
        ("two words", "Authorization header"),
        ("tab\t", "Authorization header"),
        ("line\n", "Authorization header"),
        ("schlüssel", "Authorization header"),
        ("sg1_" + "0" * 42, "checksum does not fit"),
    ],
)
def test_what_cannot_be_a_key_is_explained(value: str, why: str) -> None:
    """Each reason is its own, so that the admin knows what to mend."""
    assert why in str(key.why_not_settable(value))


@pytest.mark.parametrize("value", ["x", "x" * 1024, "!~/+=;\"'", "my-own-key"])
def test_other_values_may_be_set(value: str) -> None:
    """Visible ASCII of up to 1024 characters is a key."""
    assert key.why_not_settable(value) is None


def test_the_digest_is_hmac_sha_256() -> None:
    """Equal to another implementation's, and different under another digest key."""
    made = key.digest(b"k" * 32, b"value")
    assert made == hmac.new(b"k" * 32, b"value", hashlib.sha256).digest()
    assert made != key.digest(b"j" * 32, b"value")


@pytest.mark.parametrize("size", [0, 1, 32, 64, 65, 200])
def test_a_digester_is_the_digest_in_less_time(size: int) -> None:
    """HMAC-SHA-256 as another implementation has it, for digest keys shorter and longer than a block."""
    digester = key.Digester(b"k" * size)
    for value in (b"", b"value", b"v" * 1000, b"value"):
        assert digester.digest(value) == hmac.new(b"k" * size, value, hashlib.sha256).digest()
