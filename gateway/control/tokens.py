"""Issues scoring tokens: which service, for what, how long, when to come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.control.refusal import Fault, Refused
from gateway.control.service import Service
from gateway.core.settings import TokenSettings
from gateway.core.token import VERBS, SigningKey, issue


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and its times as Unix seconds."""

    token: str
    refresh_by: int
    expires_at: int


class Issuer:
    """Signs with the one active key. `issuer` comes from the settings or the installation, never from a request."""

    def __init__(
        self, settings: TokenSettings, key: SigningKey, issuer: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._key = key
        self._issuer = issuer
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
        # Up to a second in the future for a service just made: verifiers allow for clocks that are ahead.
        now = max(int(self._clock()), service.born)
        token = issue(
            self._key,
            issuer=self._issuer,
            service=service.name,
            subject=subject,
            verbs=frozenset(VERBS if verbs is None else verbs),
            now=now,
            lifetime_seconds=lifetime,
        )
        return Issued(token, now + lifetime * self._settings.refresh_after_seconds // longest, now + lifetime)
