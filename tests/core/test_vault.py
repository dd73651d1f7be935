"""Secrets at rest: what opens, what does not, and what is told then."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.record import Sealed
from gateway.core.vault import KEY_BYTES, NONCE_BYTES, MasterKey, Vault, VaultError

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES
PLACES = st.text(st.characters(codec="utf-8"), max_size=40)


def opens(vault: Vault, sealed: Sealed, belongs_to: str) -> bool:
    try:
        vault.open(sealed, belongs_to)
    except VaultError:
        return False
    return True


@given(secret=st.binary(max_size=200), belongs_to=PLACES, elsewhere=PLACES)
@example(secret=b"", belongs_to="", elsewhere="key/diabetes/primary/1")
@example(secret=b"s", belongs_to="key/a/primary/1", elsewhere="key/a/secondary/1")
def test_a_secret_opens_where_it_belongs_and_nowhere_else(secret: bytes, belongs_to: str, elsewhere: str) -> None:
    """Whatever the secret and the place: it comes back there, and a record moved elsewhere does not open."""
    vault = Vault({"d1": OLD})
    sealed = vault.seal(secret, belongs_to)
    assert vault.open(sealed, belongs_to) == secret
    assert opens(vault, sealed, elsewhere) is (elsewhere == belongs_to)


@given(secret=st.binary(max_size=64), position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_bit_can_be_changed(secret: bytes, position: int, bit: int) -> None:
    """A ciphertext with any one bit turned, nonce and tag included, does not open."""
    vault = Vault({"d1": OLD})
    sealed = vault.seal(secret, "place")
    changed = bytearray(sealed.ciphertext)
    changed[position % len(changed)] ^= 1 << bit
    assert not opens(vault, replace(sealed, ciphertext=bytes(changed)), "place")


@pytest.mark.parametrize("length", [0, NONCE_BYTES - 1, NONCE_BYTES, NONCE_BYTES + 15])
def test_a_cut_ciphertext_does_not_open(length: int) -> None:
    """However little is left, the answer is the same error."""
    vault = Vault({"d1": OLD})
    sealed = vault.seal(b"secret", "place")
    with pytest.raises(VaultError, match="place does not open with this master key, or was changed"):
        vault.open(replace(sealed, ciphertext=sealed.ciphertext[:length]), "place")


def test_no_two_ciphertexts_are_alike() -> None:
    """Every seal draws a nonce of its own, so equal keys do not show as equal."""
    vault = Vault({"d1": OLD})
    assert len({vault.seal(b"secret", "place").ciphertext for _ in range(100)}) == 100


def test_the_newest_data_key_seals_and_every_one_opens() -> None:
    """After a new data key, old values open still and new ones need the new key."""
    before = Vault({"d1": OLD})
    after = Vault({"d1": OLD, "d2": NEW})
    assert after.open(before.seal(b"old", "place"), "place") == b"old"
    sealed = after.seal(b"new", "place")
    assert sealed.data_key_id == "d2"
    with pytest.raises(VaultError, match="data key d2 of place is not in the store"):
        before.open(sealed, "place")


def test_a_data_key_of_the_same_name_but_another_value_opens_nothing() -> None:
    """The id is a name, not a proof."""
    sealed = Vault({"d1": OLD}).seal(b"secret", "place")
    assert not opens(Vault({"d1": NEW}), sealed, "place")


def test_a_master_key_wraps_data_keys() -> None:
    """What one master key wrapped, it unwraps; another one, or under another id, not."""
    master = MasterKey.parse(MasterKey.generate())
    wrapped = master.wrap("d1", OLD)
    assert OLD not in wrapped
    assert master.unwrap("d1", wrapped) == OLD
    for other, name in ((master, "d2"), (MasterKey(NEW), "d1")):
        with pytest.raises(VaultError, match=f"{name} does not open"):
            other.unwrap(name, wrapped)


def test_a_master_key_is_named_by_its_content() -> None:
    """Equal files have equal ids, others do not, and the id gives nothing of the secret away."""
    assert MasterKey(OLD).id == MasterKey.parse(base64.b64encode(OLD).decode() + "\n").id
    assert MasterKey(OLD).id != MasterKey(NEW).id
    assert MasterKey(OLD).id not in OLD.hex()
    assert MasterKey.generate() != MasterKey.generate()


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_master_key_of_another_length_is_refused(length: int) -> None:
    """Its length is told, its bytes are not."""
    with pytest.raises(VaultError, match=f"32 bytes, this one has {length}"):
        MasterKey(b"x" * length)


@pytest.mark.parametrize("text", ["not base64!", "aGk", "hunter2 " * 6, "é"])
def test_a_file_that_is_no_master_key_is_explained(text: str) -> None:
    """The message says what such a file holds, and repeats nothing of this one."""
    with pytest.raises(VaultError) as caught:
        MasterKey.parse(text)
    assert str(caught.value) == "a master key file holds 32 bytes in base64, and nothing else"


def test_a_data_key_that_is_added_seals() -> None:
    """What is sealed from then on has its id; what was sealed before opens as before."""
    vault = Vault({"d1": OLD})
    before = vault.seal(b"secret", "place")
    vault.add("d2", NEW)
    after = vault.seal(b"secret", "place")
    assert (before.data_key_id, after.data_key_id) == ("d1", "d2")
    assert vault.open(before, "place") == vault.open(after, "place") == b"secret"
    assert opens(Vault({"d2": NEW}), after, "place")
