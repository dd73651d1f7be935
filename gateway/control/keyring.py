"""Secrets on their way between what people see, what the store keeps and what workers hold. Pure, given its vault."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from gateway.control.refusal import Fault, Refused
from gateway.core import key
from gateway.core.record import KeyRecord, Sealed, SigningKeyRecord, Slot
from gateway.core.snapshot import KeyEntry
from gateway.core.token import Algorithm, SigningKey


class _Vault(Protocol):
    def seal(self, secret: bytes, belongs_to: str) -> Sealed: ...

    def open(self, sealed: Sealed, belongs_to: str) -> bytes: ...


class Keyring:
    """Makes, seals, opens and digests keys. Opening raises VaultError when a record was moved or changed."""

    def __init__(self, vault: _Vault, digest_key: bytes) -> None:
        self._vault = vault
        self._digest_key = digest_key

    def seal(self, service: str, slot: Slot, version: int, value: str, now: datetime) -> KeyRecord:
        """A record of this value for one version of a slot."""
        return KeyRecord(
            service=service,
            slot=slot,
            id=key.new_id(),
            version=version,
            value=self._vault.seal(value.encode(), _place(service, slot, version)),
            created_at=now,
        )

    def value(self, record: KeyRecord) -> str:
        """The key itself."""
        return self._vault.open(record.value, _place(record.service, record.slot, record.version)).decode()

    def entry(self, record: KeyRecord) -> KeyEntry:
        """The key as workers know it."""
        return KeyEntry(key.digest(self._digest_key, self.value(record).encode()), record.id, record.slot)

    def new_signing_key(self, algorithm: Algorithm, now: datetime) -> SigningKeyRecord:
        """A new active signing key."""
        made = SigningKey.generate(algorithm)
        return SigningKeyRecord(
            kid=made.kid,
            algorithm=algorithm,
            public_jwk=made.verifying_key().jwk,
            private_key=self._vault.seal(made.to_der(), f"signing-key/{made.kid}"),
            state="active",
            created_at=now,
        )

    def signing_key(self, record: SigningKeyRecord) -> SigningKey:
        """The private key of a record."""
        der = self._vault.open(record.private_key, f"signing-key/{record.kid}")
        return SigningKey.from_der(record.kid, record.algorithm, der)


def settable(value: str, path: str) -> str:
    """The value, if it may be set as a key; else Refused, which names `path` and not the value."""
    reason = key.why_not_settable(value)
    if reason is not None:
        raise Refused(400, f"The key {reason}.", (Fault(path, reason),))
    return value


def _place(service: str, slot: Slot, version: int) -> str:
    return f"key/{service}/{slot}/{version}"
