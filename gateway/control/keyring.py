"""Secrets on their way between what people see, what the store keeps and what workers hold. Pure, given its vault."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Protocol

from gateway.control.refusal import Fault, Refused
from gateway.core import key
from gateway.core.jwk import Algorithm, SigningKey
from gateway.core.record import FormerKey, KeyRecord, Sealed, SigningKeyRecord, Slot
from gateway.core.snapshot import FormerKeyEntry, KeyEntry


class _Vault(Protocol):
    def seal(self, secret: bytes, belongs_to: str) -> Sealed: ...

    def open(self, sealed: Sealed, belongs_to: str) -> bytes: ...


class Keyring:
    """Makes, seals, opens and digests keys. Opening raises VaultError when a record was moved or changed."""

    def __init__(self, vault: _Vault, digest_key: bytes) -> None:
        self._vault = vault
        self._digest_key = digest_key

    def seal(
        self,
        service: str,
        slot: Slot,
        version: int,
        value: str,
        now: datetime,
        *,
        expires_at: datetime | None = None,
        former: FormerKey | None = None,
    ) -> KeyRecord:
        """A record of this value for one version of a slot."""
        return KeyRecord(
            service=service,
            slot=slot,
            id=key.new_id(),
            version=version,
            value=self.sealed(value, _place(service, slot, version)),
            created_at=now,
            expires_at=expires_at,
            former=former,
        )

    def former(self, record: KeyRecord, until: datetime) -> FormerKey:
        """The key of a record for which another takes its place, and which opens until then."""
        return FormerKey(record.id, self.sealed(self.value(record), _former_place(record, record.id)), until)

    def expiring(self, record: KeyRecord, expires_at: datetime | None) -> KeyRecord:
        """The same key with another expiry: the next version of its slot."""
        version = record.version + 1
        value = self.sealed(self.value(record), _place(record.service, record.slot, version))
        return replace(record, version=version, value=value, expires_at=expires_at)

    def value(self, record: KeyRecord) -> str:
        """The key itself."""
        return self.opened(record.value, _place(record.service, record.slot, record.version))

    def entry(self, record: KeyRecord) -> KeyEntry:
        """The key as workers know it."""
        expires_at = None if record.expires_at is None else record.expires_at.timestamp()
        return KeyEntry(self.digest(self.value(record)), record.id, record.slot, expires_at, self._former_entry(record))

    def _former_entry(self, record: KeyRecord) -> FormerKeyEntry | None:
        former = record.former
        if former is None:
            return None
        value = self.opened(former.value, _former_place(record, former.id))
        return FormerKeyEntry(self.digest(value), former.id, former.until.timestamp())

    def sealed(self, value: str, place: str) -> Sealed:
        """A key that belongs to this place and to no other."""
        return self._vault.seal(value.encode(), place)

    def opened(self, sealed: Sealed, place: str) -> str:
        """The key that belongs to this place."""
        return self._vault.open(sealed, place).decode()

    def digest(self, value: str) -> bytes:
        """All that workers know of a key."""
        return key.digest(self._digest_key, value.encode())

    def new_signing_key(self, algorithm: Algorithm, now: datetime) -> SigningKeyRecord:
        """A new signing key, the next one."""
        made = SigningKey.generate(algorithm)
        return SigningKeyRecord(
            kid=made.kid,
            algorithm=algorithm,
            public_jwk=made.verifying_key().jwk,
            private_key=self._vault.seal(made.to_der(), f"signing-key/{made.kid}"),
            state="next",
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


def _former_place(record: KeyRecord, key_id: str) -> str:
    return f"key/{record.service}/{record.slot}/former/{key_id}"
