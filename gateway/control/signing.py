"""The keys that sign tokens, in step with the store and the workers.

Saved → published → acknowledged by every worker → used. Several replicas may keep the same store: whoever loses against
another reads again, and finds done what it wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from gateway.control import rotation
from gateway.control.keyring import Keyring
from gateway.control.refusal import Refused
from gateway.control.rotation import Make, Records, Schedule, TooSoon
from gateway.core.audit import GATEWAY, AuditEntry
from gateway.core.jwk import SigningKey
from gateway.core.record import SigningKeyRecord
from gateway.core.settings import Settings
from gateway.core.snapshot import Trust, VerifyingKey
from gateway.core.store import Conflict, Store, StoreError

ATTEMPTS = 5
SHARED_SECONDS = 2.0
"""How often a replica looks what the others did to the keys."""
LONE_SECONDS = 30.0
AHEAD = timedelta(seconds=15)
"""How long a key is known before it signs where replicas share a store: several of their looks."""

Step = Callable[[Records, Schedule, datetime, Make], Records]

log = logging.getLogger("gateway.control")


class Publisher(Protocol):
    """Takes changes to all workers: `link.Link`."""

    async def publish(self, *, trust: Trust) -> object:
        """Return once no worker judges by what was before."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The records, oldest first, and the private key of the active one."""

    records: tuple[SigningKeyRecord, ...]
    signing: SigningKey


class KeyStore:
    """The signing keys in the store. Blocks: called in the store's thread."""

    def __init__(self, settings: Settings, store: Store, keyring: Keyring) -> None:
        tokens = settings.tokens
        ahead = AHEAD if is_shared(settings) else timedelta()
        period = timedelta(days=tokens.signing_key_days)
        self._plan = Schedule(tokens.algorithm, period, tokens.lifetime_seconds, ahead)
        self._store = store
        self._keyring = keyring

    def begin(self) -> Keys:
        """The keys of a gateway that starts; the first ones are made. Raises Conflict, VaultError."""
        return self.step(rotation.begun)

    def step(self, step: Step, audit: AuditEntry | None = None) -> Keys:
        """Save what the step makes of the keys; with `audit` if another key signs then. Raises Conflict."""
        for _ in range(1, ATTEMPTS):
            with contextlib.suppress(Conflict):
                return self._step(step, audit)
        return self._step(step, audit)

    def _step(self, step: Step, audit: AuditEntry | None) -> Keys:
        now = datetime.now(UTC)
        before = self._store.signing_keys()
        after = step(before, self._plan, now, lambda algorithm: self._keyring.new_signing_key(algorithm, now))
        signing = rotation.active(after)
        if {record.kid: record for record in after} != {record.kid: record for record in before}:
            tells = audit is not None and signing not in before and any(record.state == "active" for record in before)
            store = self._store.audited(replace(audit, target=signing.kid)) if audit and tells else self._store
            store.change_signing_keys(before, after)
        records = tuple(sorted(after, key=lambda record: (record.created_at, record.kid)))
        return Keys(records, self._keyring.signing_key(signing))


def is_shared(settings: Settings) -> bool:
    """Whether other replicas may keep the same store."""
    return settings.store.url is not None and not settings.store.url.startswith("sqlite")


def trusting(trust: Trust, records: Records) -> Trust:
    """The same with these keys: those of every state verify."""
    return replace(trust, verifying_keys=tuple(map(_verifying_key, records)))


def _verifying_key(record: SigningKeyRecord) -> VerifyingKey:
    not_after = None if record.not_after is None else record.not_after.timestamp()
    return VerifyingKey(record.kid, record.algorithm, dict(record.public_jwk), not_after)


class SigningKeys:
    """The keys of a gateway that runs. What `trust` says of the keys is what workers have, or soon will."""

    def __init__(
        self, *, keys: Keys, trust: Trust, key_store: KeyStore, thread: Executor, publisher: Publisher
    ) -> None:
        """`thread`: one thread, all store calls run there."""
        self._keys = keys
        self.trust = trusting(trust, keys.records)
        self._key_store = key_store
        self._thread = thread
        self._publisher = publisher
        self._lock = asyncio.Lock()
        self._is_away = False

    @property
    def records(self) -> tuple[SigningKeyRecord, ...]:
        """Every key, oldest first."""
        return self._keys.records

    @property
    def signing(self) -> SigningKey:
        """The active key."""
        return self._keys.signing

    def last_expiry(self) -> datetime:
        """When the last token has expired that was signed until now."""
        return rotation.last_expiry(self.records, datetime.now(UTC))

    async def rotate(self, *, revoke: bool, audit: AuditEntry) -> None:
        """Let the next key sign. `revoke`: on return no token of the others opens anything. Raises Refused."""
        try:
            await self._change(partial(rotation.rotated, revoke=revoke), audit)
        except TooSoon as soon:
            seconds = math.ceil(soon.seconds)
            detail = f"The next key is so new that another replica may not know it: try again in {seconds} s."
            raise Refused(409, detail, Retry_After=str(seconds)) from None
        except Conflict:
            raise Refused(409, "Another replica changes the keys at the same moment: look at them again.") from None
        except StoreError as error:
            raise Refused(503, f"The store does not answer, nothing was changed: {error}", Retry_After="5") from error

    async def keep_up(self) -> None:
        """Do what time brings, and learn what other replicas did. A store that is away is tried again later."""
        at = datetime.now(UTC)
        entry = AuditEntry(at=at, actor=GATEWAY, address="", action="rotate_signing_keys", service="", target="")
        try:
            await self._change(rotation.kept_up, entry)
        except (Conflict, StoreError) as error:
            if not self._is_away:
                log.warning("the signing keys cannot be looked after, tokens are signed on: %s", error)
            self._is_away = True
        else:
            self._is_away = False

    async def _change(self, step: Step, audit: AuditEntry) -> None:
        async with self._lock:
            loop = asyncio.get_running_loop()
            keys = await loop.run_in_executor(self._thread, self._key_store.step, step, audit)
            trust = trusting(self.trust, keys.records)
            if trust != self.trust:
                self.trust = trust
                await self._publisher.publish(trust=trust)
            if keys.signing.kid != self.signing.kid:
                log.info("tokens are signed by the key %s from now on", keys.signing.kid)
            self._keys = keys
