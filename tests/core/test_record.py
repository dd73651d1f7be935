"""What survives a restart: frozen values whose repr shows no secret in the clear."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime

import pytest

from gateway.core import record
from gateway.core.record import SLOTS, KeyRecord, Sealed, ServiceRecord, SigningKeyRecord

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_key_pair_has_two_slots():
    """Their names and order are those of the admin API."""
    assert SLOTS == ("primary", "secondary")


def test_records_cannot_be_changed_in_place():
    """A change is a new value: whoever holds the old one keeps what it read."""
    made = KeyRecord(service="a", slot="primary", id="k_1", version=1, value=Sealed("d", b"c"), created_at=THEN)
    with pytest.raises(FrozenInstanceError):
        made.version = 2


def test_counting_starts_at_one_and_keys_do_not_end_by_themselves():
    """The defaults with which an older row still reads."""
    service = ServiceRecord(name="a", origin="file", spec=None, created_at=THEN, updated_at=THEN)
    assert service.version == 1
    signing = SigningKeyRecord(
        kid="k", algorithm="EdDSA", public_jwk={}, private_key=Sealed("d", b"c"), state="next", created_at=THEN
    )
    assert signing.not_after is None


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("KeyRecord", "value"),
        ("CallerRecord", "value"),
        ("FormerKey", "value"),
        ("SigningKeyRecord", "private_key"),
        ("InstallationRecord", "digest_key"),
    ],
)
def test_secrets_are_kept_sealed(owner, name):
    """The only form in which a record can hold a secret is ciphertext."""
    assert {field.name: field.type for field in fields(getattr(record, owner))}[name] == "Sealed"
