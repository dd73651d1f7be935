"""What the store keeps for tokens, on every database: signing keys by compare and swap, revocations that only grow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.audit import AuditEntry, AuditQuery
from gateway.core.record import (
    DataKeyRecord,
    InstallationRecord,
    RevocationRecord,
    Sealed,
    ServiceRecord,
    SigningKeyRecord,
)
from gateway.core.store import Conflict, Store

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
ROTATION = AuditEntry(at=NOON, actor="admin", action="rotate_signing_keys")


def signing_key(kid: str, state: str = "active", age: int = 0) -> SigningKeyRecord:
    return SigningKeyRecord(
        kid=kid,
        algorithm="EdDSA",
        public_jwk={"kty": "OKP", "kid": kid},
        private_key=Sealed("d1", kid.encode()),
        state=state,
        created_at=NOON - timedelta(days=age),
    )


@pytest.fixture
def founded(store: Store) -> Store:
    """A store in use: it has its first records and two services."""
    store.found(InstallationRecord("i1", Sealed("d1", b"\0"), NOON), DataKeyRecord("d1", "m1", b"w", NOON))
    for name in ("adult", "diabetes"):
        record = ServiceRecord(name=name, origin="file", spec=None, created_at=NOON, updated_at=NOON)
        store.create_service(record, [])
    return store


def test_signing_keys_come_oldest_first_and_change_together(founded: Store) -> None:
    """A rotation is one write: states change, the next key appears, an old one is forgotten; every field comes back."""
    first = [signing_key("old", age=30), signing_key("new", "next")]
    founded.change_signing_keys([], first)
    assert founded.signing_keys() == first
    second = [
        replace(first[0], state="retiring", not_after=NOON + timedelta(days=1), lifetime_seconds=86_400),
        replace(first[1], state="active", signs_from=NOON, lifetime_seconds=604_800),
        signing_key("newest", "next", age=-1),
    ]
    founded.change_signing_keys(first, second)
    assert founded.signing_keys() == second
    founded.change_signing_keys(second, second[1:])
    assert founded.signing_keys() == second[1:]
    founded.change_signing_keys(second[1:], [])
    assert founded.signing_keys() == []


@pytest.mark.parametrize(
    "read",
    [
        [],
        [signing_key("one")],
        [signing_key("one", "next"), signing_key("two")],
        [signing_key("one"), signing_key("two", "next"), signing_key("three", "retiring")],
    ],
)
def test_signing_keys_that_changed_since_are_left_alone(founded: Store, read: list[SigningKeyRecord]) -> None:
    """Who read another state is told, and nothing of its change holds; nor of its audit entry."""
    stored = [signing_key("one"), signing_key("two", "next")]
    founded.change_signing_keys([], stored)
    with pytest.raises(Conflict):
        founded.audited(ROTATION).change_signing_keys(read, [signing_key("mine")])
    assert founded.signing_keys() == stored
    assert founded.audit(AuditQuery()) == []


def test_a_rotation_and_its_audit_entry_are_one_write(founded: Store) -> None:
    """Both hold."""
    founded.audited(ROTATION).change_signing_keys([], [signing_key("one")])
    assert [entry.action for entry in founded.audit(AuditQuery())] == ["rotate_signing_keys"]


def test_signing_keys_change_all_or_none(founded: Store) -> None:
    """One record that cannot be written keeps the others out, and the old ones in."""
    stored = [signing_key("one")]
    founded.change_signing_keys([], stored)
    naive = replace(signing_key("b"), created_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake under test
    with pytest.raises(ValueError, match="time zone"):
        founded.change_signing_keys(stored, [signing_key("a"), naive])
    assert founded.signing_keys() == stored


def test_of_many_replicas_one_changes_the_keys(founded: Store, opened: Callable[[], Store]) -> None:
    """They start from the same state on connections of their own, from no key at all the first time: one wins."""
    stores = [opened() for _ in range(4)]
    for turn in range(8):
        before = founded.signing_keys()
        outcomes: list[str] = []
        start = threading.Barrier(len(stores))

        threads = [
            threading.Thread(target=_change, args=(store, before, f"{turn}-{index}", start, outcomes))
            for index, store in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count("conflict") == 3
        assert founded.signing_keys()[0].kid in outcomes


def _change(
    store: Store, before: Sequence[SigningKeyRecord], name: str, start: threading.Barrier, outcomes: list[str]
) -> None:
    start.wait()
    try:
        store.change_signing_keys(before, [signing_key(name)])
    except Conflict:
        outcomes.append("conflict")
    else:
        outcomes.append(name)


def revocation(service: str = "diabetes", hours: int = 1, **fields: object) -> RevocationRecord:
    return RevocationRecord(service=service, until=NOON + timedelta(hours=hours), **fields)


def test_revocations_come_back(founded: Store) -> None:
    """Of a token, a subject and all, of several services; every field."""
    assert founded.revocations() == []
    records = [
        revocation("adult", issued_before=100),
        revocation(token_id="t-1"),
        revocation(subject="Grüße", issued_before=2**40),
    ]
    for record in records:
        founded.revoke(record)
    assert sorted(founded.revocations(), key=str) == sorted(records, key=str)


def test_a_revocation_of_all_takes_the_place_of_the_others(founded: Store) -> None:
    """Of its own service only."""
    for record in (
        revocation(token_id="t"),
        revocation(subject="alice", issued_before=5),
        revocation("adult", token_id="t"),
    ):
        founded.revoke(record)
    founded.revoke(revocation(issued_before=7))
    assert founded.revocations() == [revocation("adult", token_id="t"), revocation(issued_before=7)]


def test_a_revocation_moves_forward_only(founded: Store) -> None:
    """Whichever of two replicas writes last: the later time holds, and the longer one."""
    for before, hours in ((10, 2), (20, 1), (15, 3), (5, 1)):
        founded.revoke(revocation(subject="alice", issued_before=before, hours=hours))
    assert founded.revocations() == [revocation(subject="alice", issued_before=20, hours=3)]


def test_revocations_are_forgotten_in_time(founded: Store) -> None:
    """Not before the last token has expired, and then all at once."""
    founded.revoke(revocation(token_id="short", hours=1))
    founded.revoke(revocation(token_id="long", hours=2))
    founded.forget_revocations(NOON + timedelta(hours=1, microseconds=-1))
    assert len(founded.revocations()) == 2
    founded.forget_revocations(NOON + timedelta(hours=1))
    assert founded.revocations() == [revocation(token_id="long", hours=2)]


def test_revocations_go_with_their_service(founded: Store) -> None:
    """And none can be made for one that is gone."""
    founded.revoke(revocation(token_id="t"))
    founded.revoke(revocation("adult", token_id="t"))
    founded.delete_service("diabetes")
    assert founded.revocations() == [revocation("adult", token_id="t")]
    with pytest.raises(Conflict, match="no service diabetes"):
        founded.revoke(revocation(token_id="t"))
