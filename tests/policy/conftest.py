"""What tests of every check need: a service, a request, cells in memory, and trust with a key that signs."""

from __future__ import annotations

import pytest

from gateway.core import gcra, key, token
from gateway.core.exchange import Exchange
from gateway.core.jwk import SigningKey
from gateway.core.snapshot import KeyEntry, ServiceEntry, Trust
from gateway.core.spec import ServiceSpec
from gateway.policy import World

DIGEST_KEY = b"d" * 32
ISSUER = "urn:scoregate:test"
NOW = 1_800_000_000.0
"""Unix seconds at which every request of these tests arrives."""
BORN = NOW - 1000
SIGNING_KEY = SigningKey.generate("EdDSA")


class Cells:
    """`core.gcra.Cells` in a dictionary."""

    def __init__(self):
        self.tats = {}

    def admit(self, key, now, limit):
        self.tats[key], wait = gcra.admit(self.tats.get(key, 0.0), now, limit)
        return wait

    def refund(self, key, limit):
        self.tats[key] -= limit.cost


def make_entry(name="diabetes", *, keys=(), **spec):
    """A service as served; `keys` are the values of its primary and secondary key."""
    entries = tuple(
        KeyEntry(key.digest(DIGEST_KEY, value.encode()), f"k_{name}_{slot}", slot)
        for value, slot in zip(keys, ("primary", "secondary"), strict=False)
    )
    return ServiceEntry(
        name=name, spec=ServiceSpec(backends=("http://b",), **spec), keys=entries, deployments=(), born=BORN
    )


def make_exchange(*fields, method=b"POST", length=10, peer="203.0.113.7", now=0.0, operation="score"):
    """A request with these (name, value) fields."""
    triples = [(name.lower(), name, value) for name, value in fields]
    made = Exchange(method, b"/score", b"", triples, length=length, peer=peer, now=now, wall=NOW)
    made.operation = operation
    return made


def issue_token(service="diabetes", *, now=NOW, lifetime=60, verbs=("score", "swagger"), by=SIGNING_KEY):
    """A token as the control process would issue it."""
    return token.issue(
        by, issuer=ISSUER, service=service, subject="alice", verbs=frozenset(verbs), now=now, lifetime_seconds=lifetime
    )


@pytest.fixture
def cells():
    """Rate-limit cells of one gateway."""
    return Cells()


@pytest.fixture
def trust():
    """What credentials are judged by: one digest key, one signing key."""
    return Trust(DIGEST_KEY, ISSUER, (SIGNING_KEY.verifying_key(),))


@pytest.fixture
def world(trust, cells):
    """What compiled checks may look at."""
    return World(trust, cells)


@pytest.fixture(name="entry")
def entry_factory():
    """`entry(name, keys=(primary, secondary), **spec)`."""
    return make_entry


@pytest.fixture(name="exchange")
def exchange_factory():
    """`exchange(*fields, method, length, peer, now, operation)`."""
    return make_exchange


@pytest.fixture(name="issue")
def issue_factory():
    """`issue(service, now, lifetime, verbs, by)`."""
    return issue_token


@pytest.fixture(scope="session")
def wall():
    """Unix seconds at which every request arrives."""
    return NOW


@pytest.fixture(scope="session")
def born():
    """Unix seconds at which every service was made."""
    return BORN
