"""The rotation of the master key: which files are still needed, and the data keys wrapped anew by the newest.

Only data keys are wrapped by a master key, so this is one short transaction, whatever is going on: all of them or none.
Another data key is made with it. What is sealed from then on, no master key of before has ever opened.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from gateway.control.refusal import Refused
from gateway.core.audit import AuditEntry
from gateway.core.record import DataKeyRecord
from gateway.core.store import Store, StoreError
from gateway.core.vault import KEY_BYTES, MasterKey, VaultError

T = TypeVar("T")


class Sealing(Protocol):
    """What seals from now on: `core.vault.Vault`."""

    def add(self, data_key_id: str, secret: bytes) -> None:
        """Seal with this data key."""


@dataclass(frozen=True, slots=True)
class MasterKeyFile:
    """A master key and where it was read."""

    path: Path
    key: MasterKey


@dataclass(frozen=True, slots=True)
class MasterKeyUse:
    """A master key file and how many data keys only it opens."""

    file: MasterKeyFile
    data_keys: int


class MasterKeys:
    """`files`: the one that wraps first, then those of before."""

    def __init__(self, files: Sequence[MasterKeyFile], vault: Sealing, store: Store, thread: Executor) -> None:
        """`thread`: the one thread in which the store is called."""
        self._files = files
        self._vault = vault
        self._store = store
        self._thread = thread

    async def uses(self) -> list[MasterKeyUse]:
        """Each file and what it is needed for. Raises Refused (503)."""
        needed = [record.master_key_id for record in await self._in_thread(self._store.data_keys)]
        return [MasterKeyUse(file, needed.count(file.key.id)) for file in self._files]

    async def rewrap(self, audit: Callable[[str], AuditEntry]) -> int:
        """Wrap by the newest what is not yet. Returns how many data keys that were. Raises Refused (409, 503).

        `audit` makes the entry from a target.
        """
        return await self._in_thread(lambda: self._rewrap(audit))

    def _rewrap(self, audit: Callable[[str], AuditEntry]) -> int:
        newest = self._files[0].key
        stale = [record for record in self._store.data_keys() if record.master_key_id != newest.id]
        anew = [replace(one, master_key_id=newest.id, wrapped=self._wrapped(one)) for one in stale]
        store = self._store.audited(audit(newest.id))
        if not stale:
            store.put_data_keys(())
            return 0
        secret = os.urandom(KEY_BYTES)
        made = data_key(newest, secret, datetime.now(UTC))
        store.put_data_keys([*anew, made])
        self._vault.add(made.id, secret)
        return len(stale)

    def _wrapped(self, record: DataKeyRecord) -> bytes:
        owner = next((file.key for file in self._files if file.key.id == record.master_key_id), None)
        if owner is None:
            detail = f"Data key {record.id} needs the master key {record.master_key_id}, which no configured file holds"
            raise Refused(409, f"{detail}: add its file to store.previous_master_key_files and restart.")
        try:
            return self._files[0].key.wrap(record.id, owner.unwrap(record.id, record.wrapped))
        except VaultError as error:
            raise Refused(409, f"A data key in the store: {error}. Nothing was changed.") from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except StoreError as error:
            raise Refused(503, f"The store does not answer, nothing was changed: {error}", Retry_After="5") from error


def data_key(master: MasterKey, secret: bytes, now: datetime) -> DataKeyRecord:
    """The record of a new data key."""
    data_key_id = f"d_{secrets.token_hex(8)}"
    return DataKeyRecord(data_key_id, master.id, master.wrap(data_key_id, secret), now)
