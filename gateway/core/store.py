"""The Store protocol: what the control process asks of whatever keeps its records.

Methods block and are called off the event loop by one thread at a time. Each is one transaction: it holds as a whole or
not at all, also when the process is killed. `gateway.store` has the SQL form; one contract suite runs on every form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.core.record import DataKeyRecord, InstallationRecord, KeyRecord, ServiceRecord, SigningKeyRecord, Slot


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
        """Delete a service and its keys. False if there was none."""

    def keys(self) -> Sequence[KeyRecord]:
        """Every slot of every service."""

    def key_pair(self, service: str) -> dict[Slot, KeyRecord]:
        """The slots of one service; empty when it has no keys."""

    def replace_key(self, record: KeyRecord) -> None:
        """Replace a slot whose stored version is `record.version - 1`, else Conflict."""

    def signing_keys(self) -> Sequence[SigningKeyRecord]:
        """Every signing key, oldest first."""

    def put_signing_keys(self, records: Sequence[SigningKeyRecord]) -> None:
        """Insert or replace signing keys by kid, all or none."""

    def delete_signing_key(self, kid: str) -> None:
        """Forget a signing key. No error if it is gone."""

    def ping(self) -> None:
        """Raise StoreError unless the store answers."""

    def close(self) -> None:
        """Release connections and files."""
