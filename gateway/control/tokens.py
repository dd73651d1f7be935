"""Scoring tokens of a gateway that runs: issued, revoked, and their keys and revocations kept up with time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.control import revocation
from gateway.control.catalog import Catalog
from gateway.control.refusal import Fault, Refused
from gateway.control.service import Service
from gateway.control.signing import SigningKeys
from gateway.core.audit import AuditEntry
from gateway.core.record import RevocationRecord
from gateway.core.settings import TokenSettings
from gateway.core.store import Store
from gateway.core.token import issue, new_id
from gateway.core.verb import VERBS

log = logging.getLogger("gateway.control")


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, its public id, and its times as Unix seconds."""

    token: str
    token_id: str
    refresh_by: int
    expires_at: int


class Tokens:
    """Signs with the active key. `issuer` comes from the settings or the installation, never from a request."""

    def __init__(
        self, settings: TokenSettings, keys: SigningKeys, catalog: Catalog, clock: Callable[[], float] = time.time
    ) -> None:
        self.keys = keys
        self._settings = settings
        self._catalog = catalog
        self._clock = clock

    def issue(
        self, service: Service, subject: str, verbs: tuple[str, ...] | None = None, lifetime_seconds: int | None = None
    ) -> Issued:
        """A token for `subject`. Raises Refused: 409 when no token opens the service, 400 for a lifetime too long."""
        if not service.spec.token_auth:
            detail = f"No token opens {service.name}: its token_auth_enabled is false."
            raise Refused(409, detail)
        longest = self._settings.lifetime_seconds
        lifetime = longest if lifetime_seconds is None else lifetime_seconds
        if lifetime > longest:
            reason = f"is beyond tokens.lifetime_seconds of this gateway, {longest}"
            raise Refused(400, f"lifetime_seconds {reason}.", (Fault("lifetime_seconds", reason),))
        # Some seconds ahead for a service just made, or just revoked: verifiers allow for clocks that are ahead.
        now, token_id = revocation.issue_time(service, subject, self._clock()), new_id()
        token = issue(
            self.keys.signing,
            issuer=self.keys.trust.issuer,
            service=service.name,
            subject=subject,
            verbs=frozenset(VERBS if verbs is None else verbs),
            now=now,
            lifetime_seconds=lifetime,
            token_id=token_id,
        )
        refresh_by = now + lifetime * self._settings.refresh_after_seconds // longest
        return Issued(token, token_id, refresh_by, now + lifetime)

    async def revoke(
        self, name: str, *, token_id: str = "", subject: str = "", audit: AuditEntry | None = None
    ) -> RevocationRecord:
        """End one token of a service, those of a subject, or all there are; on return no worker opens to them.

        Raises Refused.
        """
        made: list[RevocationRecord] = []

        def change(service: Service) -> tuple[Service, Callable[[Store], None]]:
            until = self.keys.last_expiry()
            after, record = revocation.revoked_now(
                service, until, token_id=token_id, subject=subject, now=self._clock()
            )
            made.append(record)
            return after, lambda store: store.revoke(record)

        acknowledged = await self._catalog.change(name, change, audit)
        if name in acknowledged.kept_old:
            reason = acknowledged.kept_old[name].rstrip(".")
            raise Refused(500, f"The revocation is saved, but the workers cannot serve {name} with it: {reason}.")
        return made[0]

    async def run(self, seconds: float) -> None:
        """Keep keys and revocations up with time, and with what other replicas do. Until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if self._catalog.is_settled:
                await self.keep_up()

    async def keep_up(self) -> None:
        """Once."""
        await self.keys.keep_up()
        try:
            await self._catalog.learn(self._still_revoked, self._changed)
        except Refused as refused:
            log.warning("revoked tokens cannot be looked after, those known stay revoked: %s", refused.detail)

    def _still_revoked(self, store: Store) -> dict[str, list[RevocationRecord]]:
        store.forget_revocations(datetime.now(UTC))
        found: dict[str, list[RevocationRecord]] = {}
        for record in store.revocations():
            found.setdefault(record.service, []).append(record)
        return found

    def _changed(self, found: dict[str, list[RevocationRecord]]) -> Iterable[Service]:
        for name, service in self._catalog.services.items():
            records = found.get(name, [])
            if set(records) != set(service.revoked):
                yield replace(service, revoked=tuple(records))
