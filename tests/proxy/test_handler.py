"""The life of a request: decided in order, ended once, written down once, whatever went wrong."""

from __future__ import annotations

import json

import pytest

from gateway.core import key
from gateway.core.snapshot import CallerEntry, RosterChange, Update
from gateway.core.spec import CorsSpec


def test_unknown_path(rig, answer) -> None:
    """What means no service is answered by the worker itself and counted under no service's name."""
    client = rig.connect()
    client.send(b"GET /api/v1/service/nobody/score HTTP/1.1\r\nHost: a\r\n\r\n")
    got = answer(client.take())
    assert got.status == 404
    assert b"'nobody'" in got.body
    assert (rig.trip.outcome, rig.trip.reason, rig.trip.route) == ("refused", "not_found", None)
    assert rig.meters.of("other").refusals == {"not_found": 1}
    assert not rig.meter.durations


def test_refusal_of_a_check(make_rig, post, answer, primary_key) -> None:
    """A refusal reaches the client with its reason, the log and the metrics, and no backend."""
    rig = make_rig(keys=True)
    client = rig.connect()
    client.send(post(b"1"))
    got = answer(client.take())
    problem = json.loads(got.body)
    assert (got.status, problem["reason"], problem["stage"]) == (401, "no_credential", "authenticate")
    assert problem["request_id"] == got.headers["x-request-id"]
    assert rig.meter.refusals == {"no_credential": 1}
    assert rig.board.taken == 0


def test_key_use_is_counted(make_rig, post, ok, primary_key) -> None:
    """A request that a key opened is counted for its slot, and its caller is told to the backend, not the key."""
    rig = make_rig(keys=True)
    client = rig.connect()
    client.send(post(b"1", b"Authorization: Bearer " + primary_key))
    request = rig.backend.last.take()
    assert primary_key not in request
    assert b"x-scoregate-caller: svc/primary\r\n" in request
    rig.backend.last.send(ok())
    assert rig.meter.key_uses == {"primary": 1}
    assert rig.meter.uses == {"k1": 1}


def test_a_named_caller_is_told_to_the_backend(make_rig, post, ok) -> None:
    """By its name and the id of its key, never the key; in the metric all named callers are one."""
    rig = make_rig(keys=True)
    digests = [key.digest(rig.world.trust.digest_key, name) for name in (b"acme-key", b"other-key")]
    callers = tuple(
        CallerEntry(name=name, digest=digest, id=f"k_{name}", verbs=("score",))
        for name, digest in zip(("acme", "other"), digests, strict=True)
    )
    rig.compiler.apply(Update(serial=2, rosters=(RosterChange(service="svc", callers=callers),)))
    client = rig.connect()
    for name in (b"acme", b"other", b"acme"):
        client.send(post(b"1", b"X-Scoregate-Caller: mallory", b"Authorization: Bearer " + name + b"-key"))
        request = rig.backend.last.take()
        assert [line for line in request.split(b"\r\n") if line.startswith(b"x-scoregate-")] == [
            b"x-scoregate-auth-type: key",
            b"x-scoregate-caller: " + name,
            b"x-scoregate-key-id: k_" + name,
        ]
        assert name + b"-key" not in request
        rig.backend.last.send(ok())
    assert rig.meter.key_uses == {"caller": 3}
    assert rig.meter.uses == {"k_acme": 2, "k_other": 1}


def test_what_is_known_of_a_head_ends_with_its_caller(make_rig, post, ok, answer) -> None:
    """Head by head the same: it opens until its caller is revoked, or expires; the others go on."""
    rig = make_rig(keys=True)

    def tell(*names: str, gone=(), **fields) -> None:
        digests = {name: key.digest(rig.world.trust.digest_key, name.encode()) for name in names}
        callers = tuple(
            CallerEntry(name=name, digest=digest, id=f"k_{name}", verbs=("score",), **fields)
            for name, digest in digests.items()
        )
        rig.compiler.apply(Update(serial=2, rosters=(RosterChange(service="svc", callers=callers, gone=gone),)))

    def send(name: bytes) -> str:
        client.send(post(b"1", b"Authorization: Bearer " + name))
        if request := rig.backend.sides and rig.backend.last.take():
            assert b"x-scoregate-caller: " + name in request
            rig.backend.last.send(ok())
        got = answer(client.take())
        return "ok" if got.status == 200 else json.loads(got.body)["reason"]

    client = rig.connect()
    tell("acme", "other")
    assert [send(b"acme") for _ in range(4)] == ["ok"] * 4
    tell(gone=("acme",))
    assert (send(b"acme"), send(b"other")) == ("wrong_key", "ok")
    client = rig.connect()
    tell("acme", expires_at=rig.clock.module.time() + 10)
    assert [send(b"acme") for _ in range(4)] == ["ok"] * 4
    rig.pass_time(11)
    assert send(b"acme") == "expired_key"


def test_trace_is_not_passed_on(rig, post, answer) -> None:
    """TRACE is refused with what is allowed, after the checks."""
    client = rig.connect()
    client.send(post(None, method=b"TRACE"))
    got = answer(client.take())
    assert (got.status, "POST" in got.headers["allow"]) == (405, True)
    assert rig.backend.sides == []


def test_cross_origin_fields_on_every_answer(make_rig, post, ok, answer) -> None:
    """A page can read good answers and refusals alike."""
    rig = make_rig(cors=CorsSpec(allowed_origins=("https://app.example.com",)), keys=False, max_request_bytes=3)
    for body, status in ((b"1", 200), (b"1234", 413)):
        client = rig.connect()
        client.send(post(body, b"Origin: https://app.example.com"))
        if status == 200:
            rig.backend.last.send(ok(b"[1]", b"Access-Control-Allow-Origin: *"))
        got = answer(client.take())
        assert got.status == status
        assert got.headers["access-control-allow-origin"] == "https://app.example.com"


def test_failure_of_ours_before_the_answer(rig, post, answer, monkeypatch, caplog) -> None:
    """What goes wrong in the gateway is a 500 with an id, told in the log, and gives back what it took."""

    def fail(*_):
        raise RuntimeError("ours")

    monkeypatch.setattr("gateway.proxy.forward.deliver", fail)
    client = rig.connect()
    client.send(post(b"1"))
    rig.backend.last.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    got = answer(client.take())
    assert (got.status, got.headers["connection"]) == (500, "close")
    assert rig.trip.exchange.request_id in caplog.text
    assert "RuntimeError: ours" in caplog.text
    assert (rig.trip.outcome, rig.trip.reason) == ("failed", "internal_error")


def test_failure_of_ours_within_the_answer(rig, post, ok, monkeypatch) -> None:
    """Once an answer has begun, a failure is no second answer in its middle: the connection is broken off."""
    client = rig.connect()
    client.send(post(b"1"))
    rig.backend.last.send(ok(b"12345")[:-2])
    before = bytes(client.received)

    def fail(*_):
        raise RuntimeError("ours")

    monkeypatch.setattr(type(client.protocol), "send", fail)
    rig.backend.last.send(b"45")
    assert client.aborted
    assert bytes(client.received) == before
    assert (rig.trip.outcome, rig.trip.status) == ("failed", 200)


def test_record_is_optional(make_rig, post, ok, answer) -> None:
    """Without an access log requests are served and counted all the same."""
    rig = make_rig()
    rig.handler._record = None
    client = rig.connect()
    client.send(post(b"1"))
    rig.backend.last.send(ok())
    assert answer(client.take()).status == 200
    rig.records.append((None, 0.0))


def test_times_in_the_record(make_rig, post, ok) -> None:
    """The record knows when a request began, waited, was sent and answered, on one clock."""
    rig = make_rig(max_queue_wait_ms=10_000)
    first, client = rig.connect(), rig.connect()
    first.send(post(b"0"))
    client.send(post(None, b"Content-Length: 2"), b"1")
    rig.pass_time(1)
    client.send(b"2")
    rig.pass_time(2)
    rig.backend.last.send(ok())
    rig.pass_time(3)
    rig.backend.last.send(ok())
    trip, ended = rig.records[-1]
    times = (trip.queued, trip.admitted, trip.sent, trip.answered, ended)
    assert [round(when - trip.started) for when in times] == [1, 3, 3, 6, 6]
    assert trip.received == 2
    assert rig.meter.backend_durations.total == pytest.approx(3 + 3, abs=0.01)


def test_unreadable_request_is_recorded(rig) -> None:
    """Garbage on the scoring port is one record and one observation, like everything that was answered."""
    client = rig.connect()
    client.send(b"garbage\r\n\r\n")
    assert (rig.trip.status, rig.trip.exchange.address) == (400, "192.0.2.7")
    assert rig.meters.of("other").refusals == {"bad_request": 1}


def test_control_an_unrecorded_request_is_found(make_rig, post, ok) -> None:
    """Control: a request that is answered and not recorded does not pass the books."""
    rig = make_rig()
    client = rig.connect()
    client.send(post(b"1"))
    rig.handler._record = lambda *_: None
    rig.backend.last.send(ok())
    with pytest.raises(AssertionError, match="not one log record a request"):
        rig.audit()
    rig.records.append((None, 0.0))


def test_timeout_is_counted_with_its_reason(make_rig, post) -> None:
    """A deadline that passed is a refusal of the gateway by its name, and an observation under its status."""
    rig = make_rig(scoring_timeout_ms=1000)
    client = rig.connect()
    client.send(post(b"1"))
    rig.pass_time(1.1)
    assert rig.meter.refusals == {"timeout": 1}
    assert rig.meter.timeouts == {"first_byte": 1}
    assert list(rig.meter.durations) == [504]
