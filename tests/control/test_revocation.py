"""Which tokens a revocation ends, and which it must not: in whole seconds, however fast things follow one another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.control import revocation
from gateway.control.refusal import Refused
from gateway.control.service import Service
from gateway.core.record import ServiceRecord
from gateway.core.spec import ServiceSpec

BORN = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW = BORN.timestamp() + 1000.7
UNTIL = datetime(2026, 11, 22, 13, tzinfo=UTC)


def make() -> Service:
    record = ServiceRecord(name="diabetes", origin="api", spec=None, created_at=BORN, updated_at=BORN)
    return Service(record=record, spec=ServiceSpec(backends=("http://b",)))


def revoke(service: Service, now: float = NOW, **what: str) -> Service:
    return revocation.revoked_now(service, UNTIL, now=now, **what)[0]


def is_dead(service: Service, subject: str, issued_at: int) -> bool:
    known = revocation.entry(service.revoked)
    return issued_at < max(known.before, known.subjects.get(subject, 0))


def test_nothing_is_revoked_at_first() -> None:
    """A token is issued in the second it is; nothing of it is dead."""
    service = make()
    assert revocation.issue_time(service, "alice", NOW) == int(NOW)
    assert not is_dead(service, "alice", int(NOW))


@pytest.mark.parametrize(
    ("what", "of_alice", "of_bob"),
    [({}, True, True), ({"subject": "alice"}, True, False), ({"token_id": "t"}, False, False)],
)
def test_what_a_revocation_ends(what, of_alice: bool, of_bob: bool) -> None:
    """All tokens, those of a subject, or one: of those issued before it."""
    service = make()
    issued = {name: revocation.issue_time(service, name, NOW) for name in ("alice", "bob")}
    after = revoke(service, **what)
    assert is_dead(after, "alice", issued["alice"]) is of_alice
    assert is_dead(after, "bob", issued["bob"]) is of_bob
    assert revocation.entry(after.revoked).token_ids == ({"t"} if "token_id" in what else set())


@pytest.mark.parametrize("what", [{}, {"subject": "alice"}])
def test_what_is_issued_after_it_opens(what) -> None:
    """Also in the same second: its `iat` is the first that is not revoked, at most a second ahead."""
    after = revoke(make(), **what)
    issued = revocation.issue_time(after, "alice", NOW)
    assert not is_dead(after, "alice", issued)
    assert issued <= NOW + 1


def test_each_of_many_in_a_second_ends_what_came_before() -> None:
    """Issue, revoke, issue, revoke: by service and by subject in turn."""
    service = make()
    for what in ({}, {"subject": "alice"}, {"subject": "alice"}, {}, {"subject": "alice"}, {}):
        issued = revocation.issue_time(service, "alice", NOW)
        assert not is_dead(service, "alice", issued)
        service = revoke(service, **what)
        assert is_dead(service, "alice", issued)


def test_too_many_in_a_second_are_refused() -> None:
    """Before tokens are issued so far ahead that no verifier takes them; a moment later it goes on."""
    service = make()
    for _ in range(30):
        service = revoke(service)
    with pytest.raises(Refused) as caught:
        revoke(service)
    assert caught.value.status == 429
    assert revocation.issue_time(service, "alice", NOW) <= NOW + 30
    revoke(service, now=NOW + 30)


def test_tokens_of_a_service_just_made() -> None:
    """They have the second of its birth, which is the next whole one: a revocation in that moment ends them, too."""
    service = replace(make(), record=replace(make().record, created_at=BORN.replace(microsecond=1)))
    issued = revocation.issue_time(service, "alice", BORN.timestamp())
    assert issued == service.born > BORN.timestamp()
    assert is_dead(revoke(service, now=BORN.timestamp()), "alice", issued)


def test_all_take_the_place_of_single_ones() -> None:
    """What is dead by a later revocation of all needs no record of its own; what it ended stays dead."""
    service = revoke(revoke(revoke(make(), token_id="t"), subject="alice"), subject="bob")
    before = revocation.entry(service.revoked)
    service = revoke(service)
    assert len(service.revoked) == 1
    assert revocation.entry(service.revoked).before > max(before.subjects.values())


def test_a_second_revocation_of_the_same_replaces_the_first() -> None:
    """The records do not grow by repetition."""
    service = make()
    for _ in range(3):
        service = revoke(revoke(service, token_id="t"), subject="alice")
    assert len(service.revoked) == 2


def test_the_number_of_single_ones_is_bounded(monkeypatch) -> None:
    """Beyond it only all can be revoked, or one of those that are."""
    monkeypatch.setattr(revocation, "MAX_REVOCATIONS", 3)
    service = make()
    for number in range(3):
        service = revoke(service, token_id=f"t{number}")
    for what in ({"token_id": "t9"}, {"subject": "alice"}):
        with pytest.raises(Refused, match="has 3 revocations: revoke all tokens"):
            revoke(service, **what)
    assert len(revoke(service, token_id="t1").revoked) == 3
    assert len(revoke(service).revoked) == 1
