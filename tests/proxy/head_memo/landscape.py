"""The services of a world, who may call them, and what becomes of both: every change that workers can be told of."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from head_memo.virtual import BOOT, EPOCH, Clock

from gateway.core import key, token
from gateway.core.caller import CallerLimitSpec
from gateway.core.jwk import SigningKey
from gateway.core.snapshot import (
    BackendEntry,
    CallerEntry,
    DeploymentEntry,
    FormerKeyEntry,
    KeyEntry,
    Revoked,
    RosterChange,
    ServiceEntry,
    Trust,
    Update,
)
from gateway.core.spec import CorsSpec, RateLimitSpec, RequestHeadersSpec, ServiceSpec

DIGEST_KEY = b"d" * 32
ISSUER = "urn:test"
ORIGIN = "https://pages.example"
START = BOOT + EPOCH
HEADER_RULES = (
    RequestHeadersSpec(set={"x-set": "by us"}, remove=("cookie",)),
    RequestHeadersSpec(set={"Traceparent": "by us"}),
    RequestHeadersSpec(remove=("traceparent", "accept")),
)
SERVICES = ("plain", "tight", "tokens", "open")


@cache
def signing_keys() -> tuple[SigningKey, ...]:
    """Two, the same in every process."""
    return tuple(
        SigningKey(f"signer-{number}", "EdDSA", Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
        for number in (0, 1)
    )


@cache
def make_token(signer: int, service: str, subject: str, verbs: tuple[str, ...], times: tuple[int, int]) -> bytes:
    """A token. `times`: when it was issued, in seconds after the start of the world, and how long it opens."""
    begins, seconds = times
    known = f"{signer}{service}{subject}{len(verbs)}{begins}{seconds}"
    with patch.object(token.secrets, "token_hex", lambda _: known):
        made = token.issue(
            signing_keys()[signer],
            issuer=ISSUER,
            service=service,
            subject=subject,
            verbs=frozenset(verbs),
            now=START + begins,
            lifetime_seconds=seconds,
        )
    return made.encode()


class Landscape:
    """What the control process knows. Each change gives the update that both data planes are told."""

    def __init__(self, rng: random.Random, clock: Clock) -> None:
        self._rng = rng
        self._clock = clock
        self._serial = 0
        self._signers = [True, True]
        self._specs = {name: self._spec(name) for name in SERVICES}
        self._keys = {name: {"primary": self._new_key(), "secondary": self._new_key()} for name in SERVICES}
        self._former: dict[str, list[bytes]] = {name: [] for name in SERVICES}
        self._callers: dict[tuple[str, str], bytes] = {}
        self._revoked = dict.fromkeys(SERVICES, Revoked())
        self._born = dict.fromkeys(SERVICES, 0.0)
        self._removed: list[str] = []

    # --- what clients know of it

    def credential(self, service: str) -> bytes:
        """One that opens the service, or did, or does for another one, or never."""
        rng, kind = self._rng, self._rng.random()
        if kind < 0.85 and (service == "tokens" or (service == "tight" and kind < 0.4)):
            verbs = rng.choice((("score", "swagger"),) * 4 + (("score",), ("swagger",)))
            subject = rng.choice(("ann", "bob"))
            begins = int(self._clock.now - BOOT) + rng.choice((-1, -1, -1, -1, 20, 31))
            times = begins, rng.choice((2, 4, 3600, 3600))
            return make_token(rng.randrange(2), service, subject, verbs, times)
        own = [value for where, value in self._callers.items() if where[0] == service]
        if kind < 0.9:
            return rng.choice([*self._keys[service].values(), *own] or [b"none"])
        if kind < 0.95:
            return rng.choice(self._former[service] or [b"never"])
        return rng.choice((b"wrong", self._new_key(), *self._keys[rng.choice(SERVICES)].values()))

    # --- what it says

    def trust(self) -> Trust:
        known = itertools.compress(signing_keys(), self._signers)
        return Trust(DIGEST_KEY, ISSUER, tuple(signer.verifying_key() for signer in known))

    def hosts(self) -> tuple[str, ...]:
        """Of all containers."""
        return tuple(f"{name}{number}.test" for name in SERVICES for number in range(2))

    def everything(self) -> Update:
        return self._update(full=True, services=tuple(self._entry(name) for name in SERVICES))

    def change(self, service: str) -> Update:
        """Something happens, most likely to this service."""
        changes: tuple[Callable[[str], Update], ...] = (
            self._regenerate,
            self._regenerate,
            self._swap,
            self._restore,
            self._enroll,
            self._enroll,
            self._dismiss,
            self._revoke,
            self._reshape,
            self._rotate,
            self._rotate,
            self._rotate,
            self._recreate,
            self._remove,
        )
        if self._removed:
            return self._changed(self._removed.pop())
        return self._rng.choice(changes)(service)

    def _update(self, **said: Any) -> Update:
        self._serial += 1
        return Update(serial=self._serial, **said)

    def _changed(self, service: str) -> Update:
        return self._update(services=(self._entry(service),))

    def _regenerate(self, service: str) -> Update:
        slot = self._rng.choice(("primary", "secondary"))
        if slot in self._keys[service]:
            self._former[service].append(self._keys[service][slot])
        self._keys[service][slot] = self._new_key()
        return self._changed(service)

    def _swap(self, service: str) -> Update:
        keys = self._keys[service]
        self._keys[service] = dict(zip(keys, reversed(list(keys.values())), strict=True))
        return self._changed(service)

    def _restore(self, service: str) -> Update:
        """An admin sets a value again that a key had before; or takes one of the two away."""
        slot = self._rng.choice(("primary", "secondary"))
        known = self._keys[service]
        value = self._rng.choice(self._former[service]) if self._former[service] else None
        if value is None or value in known.values():
            self._former[service] += [known.pop(slot)] if slot in known else []
        else:
            known[slot] = value
        return self._changed(service)

    def _enroll(self, service: str) -> Update:
        """A named caller is new, or has a new key; the former one opens for a while."""
        rng, name = self._rng, self._rng.choice(("carla", "dan", "eve"))
        value, former = self._new_key(), self._callers.get((service, name))
        self._callers[service, name] = value
        until = self._clock.time()
        entry = CallerEntry(
            name=name,
            digest=key.digest(DIGEST_KEY, value),
            id=f"k_{name}_{self._serial}",
            verbs=rng.choice((("score", "swagger"), ("score", "swagger"), ("score",), ("swagger",))),
            expires_at=rng.choice((None, until + 3, until + 20)),
            rate_limits=rng.choice(((), (CallerLimitSpec("own", 5, 1.0),))),
            former=former and FormerKeyEntry(key.digest(DIGEST_KEY, former), f"k_former_{self._serial}", until + 5),
        )
        if former:
            self._former[service].append(former)
        return self._update(rosters=(RosterChange(service=service, callers=(entry,)),))

    def _dismiss(self, service: str) -> Update:
        names = [name for where, name in self._callers if where == service][:1]
        for name in names:
            self._former[service].append(self._callers.pop((service, name)))
        return self._update(rosters=(RosterChange(service=service, gone=tuple(names)),))

    def _revoke(self, service: str) -> Update:
        """Tokens issued so far open nothing any more: all of them, or those of one subject."""
        known, now = self._revoked[service], int(self._clock.time())
        if self._rng.random() < 0.5:
            self._revoked[service] = replace(known, subjects={**known.subjects, "ann": now})
        else:
            self._revoked[service] = replace(known, before=now)
        return self._changed(service)

    def _reshape(self, service: str) -> Update:
        self._specs[service] = self._spec(service)
        return self._changed(service)

    def _rotate(self, _: str) -> Update:
        """A signing key is retired, or comes back."""
        signer = self._rng.randrange(2)
        self._signers[signer] = not self._signers[signer]
        return self._update(trust=self.trust())

    def _recreate(self, service: str) -> Update:
        """Deleted and made again under the same name, with the same keys; tokens of before are not its own."""
        self._born[service] = self._clock.time()
        self._revoked[service] = Revoked()
        gone = tuple(name for where, name in self._callers if where == service)
        self._callers = {who: value for who, value in self._callers.items() if who[0] != service}
        return self._update(services=(self._entry(service),), rosters=(RosterChange(service=service, gone=gone),))

    def _remove(self, service: str) -> Update:
        """Gone, until the next change brings it back."""
        self._callers = {who: value for who, value in self._callers.items() if who[0] != service}
        self._removed.append(service)
        return self._update(removed=(service,))

    def _new_key(self) -> bytes:
        return b"key-%016x" % self._rng.getrandbits(64)

    def _entry(self, service: str) -> ServiceEntry:
        spec = self._specs[service]
        row = 1 + 2 * SERVICES.index(service)
        backends = tuple(BackendEntry(url, row + number) for number, url in enumerate(spec.backends))
        return ServiceEntry(
            name=service,
            spec=spec,
            keys=tuple(
                KeyEntry(key.digest(DIGEST_KEY, value), f"k_{slot}_{value.decode()[-4:]}", slot)  # type: ignore[arg-type]
                for slot, value in self._keys.get(service, {}).items()
            ),
            deployments=(DeploymentEntry("default", 100, backends),),
            born=self._born[service],
            revoked=self._revoked[service],
        )

    def _spec(self, service: str) -> ServiceSpec:
        rng = self._rng
        said: dict[str, Any] = {
            "backends": tuple(f"http://{service}{number}.test:5001" for number in range(rng.choice((1, 1, 2)))),
            "auth_enabled": service in ("plain", "tight"),
            "token_auth_enabled": service in ("tight", "tokens"),
            "error_dialect": rng.choice(("aks", "plain")),
            "max_concurrent_requests_per_container": rng.choice((None, 2, 5)),
            "max_queue_wait_ms": rng.choice((0, 500)),
            "scoring_timeout_ms": 3_000,
            "scoring_path": rng.choice(("/score", "/v2/score")),
            "swagger_path": rng.choice(("/swagger.json", "/swagger.json", "/v2/swagger.json", None)),
            "max_request_bytes": rng.choice((100, 2_000, 1_000_000)),
        }
        if rng.random() < 0.5:
            said["cors"] = CorsSpec((ORIGIN,), allow_credentials=rng.random() < 0.5)
        if rng.random() < 0.3 or service == "tight":
            partition = rng.choice(("service", "credential", "ip"))
            said["rate_limits"] = (RateLimitSpec("few", rng.choice((5, 50, 500)), 1.0, partition=partition),)
        if rng.random() < 0.3:
            said["allowed_ips"] = ("192.0.2.0/25", "10.9.0.0/16")
        if rng.random() < 0.3:
            said["request_headers"] = rng.choice(HEADER_RULES)
        if service == "open":
            said |= {"extra_paths": rng.random() < 0.5, "hosts": ("open.example",)}
        return ServiceSpec(**said)
