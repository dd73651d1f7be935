"""The Store protocol: what the control process asks of whatever keeps its records.

Methods block and are called off the event loop by one thread at a time. Each is one transaction: it holds as a whole or
not at all, also when the process is killed. `gateway.store` has the SQL form; one contract suite runs on every form.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gateway.core.audit import AuditEntry, AuditQuery
from gateway.core.record import (
    CallerRecord,
    DataKeyRecord,
    InstallationRecord,
    KeyRecord,
    KeyUseRecord,
    RevocationRecord,
    ServiceRecord,
    SigningKeyRecord,
    Slot,
)


class StoreError(Exception):
    """The store could not be asked or could not answer. The text says which store and what to do, without a secret."""


class Conflict(Exception):  # noqa: N818 - a state of affairs the caller may meet, no mistake
    """The record is not in the state the caller read: somebody else changed it first."""


class Store(Protocol):
    """Where records survive."""

    def installation(self) -> InstallationRecord | None:
        """The one record of this installation; None on a store that was never used."""

    def found(self, installation: InstallationRecord, data_key: DataKeyRecord) -> None:
        """Write the first records of a new store. Raises Conflict if another process founded it first."""

    def data_keys(self) -> Sequence[DataKeyRecord]:
        """Every data key, oldest first; the last is the one that seals."""

    def put_data_keys(self, records: Sequence[DataKeyRecord]) -> None:
        """Insert or replace data keys by id."""

    def services(self) -> Sequence[ServiceRecord]:
        """Every service, by name."""

    def create_service(self, record: ServiceRecord, keys: Sequence[KeyRecord]) -> None:
        """Insert a service with its key pair (empty when keys are off). Raises Conflict if the name exists."""

    def update_service(self, record: ServiceRecord, keys: Sequence[KeyRecord] = ()) -> None:
        """Replace a service whose stored version is `record.version - 1`, else Conflict; insert `keys` with it."""

    def delete_service(self, name: str) -> bool:
        """Delete a service, its keys, callers and revocations. False if there was none."""

    def keys(self) -> Sequence[KeyRecord]:
        """Every slot of every service."""

    def key_pair(self, service: str) -> dict[Slot, KeyRecord]:
        """The slots of one service; empty when it has no keys."""

    def replace_key(self, record: KeyRecord) -> None:
        """Replace a slot whose stored version is `record.version - 1`, else Conflict."""

    def key_uses(self, since_hour: int) -> Sequence[KeyUseRecord]:
        """The uses of every key in that hour and later."""

    def add_key_uses(self, records: Sequence[KeyUseRecord]) -> None:
        """Add to what is kept of the same keys and hours. Those of services that are gone are left out."""

    def forget_key_uses(self, before_hour: int) -> None:
        """Delete what is older: of a key that is still there, all but its newest hour."""

    def callers(self) -> Sequence[CallerRecord]:
        """Every named caller of every service."""

    def create_caller(self, record: CallerRecord) -> None:
        """Insert a caller. Raises Conflict if the service has one of that name, or is gone."""

    def replace_caller(self, record: CallerRecord) -> None:
        """Replace a caller whose stored version is `record.version - 1`, else Conflict."""

    def delete_caller(self, service: str, name: str) -> bool:
        """Delete a caller with its key. False if there was none."""

    def signing_keys(self) -> Sequence[SigningKeyRecord]:
        """Every signing key, oldest first."""

    def change_signing_keys(self, before: Sequence[SigningKeyRecord], after: Sequence[SigningKeyRecord]) -> None:
        """Keep these signing keys in place of `before`; Conflict if kids and states are not those any more."""

    def revocations(self) -> Sequence[RevocationRecord]:
        """Every revocation of every service."""

    def revoke(self, record: RevocationRecord) -> None:
        """Insert a revocation, or move one forward; one of all tokens takes the place of the others of its service.

        Raises Conflict if the service is gone.
        """

    def forget_revocations(self, until: datetime) -> None:
        """Delete the revocations that were to be kept until then, or for less."""

    def audited(self, entry: AuditEntry) -> Store:
        """This store, where what changes something adds `entry` to the audit log in the same transaction."""

    def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries that go with no change of the store, all or none, in their order. The store gives their ids."""

    def audit(self, wanted: AuditQuery) -> Sequence[AuditEntry]:
        """The entries that the query asks for, oldest first. Who goes on after the last id it saw misses none."""

    def ping(self) -> None:
        """Raise StoreError unless the store answers."""

    def close(self) -> None:
        """Release connections and files."""
