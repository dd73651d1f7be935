"""Backends that fail real requests: who is blamed, who is left out, who is tried again, and how often."""

from __future__ import annotations

import pytest

from gateway.core.ejection import EJECTED, IN, SUSPECT, TRIAL
from gateway.core.retry import FREE
from gateway.core.spec import EjectionSpec, RetrySpec

ONCE = EjectionSpec(consecutive_failures=1, seconds=30.0)
NEVER_AGAIN = RetrySpec(attempts=1)


@pytest.fixture
def ask(post, answer):
    """`ask(rig, say)`: the status that a client gets when the backend it is sent to does `say(side)`, and where."""

    def one(rig, say, method=b"POST"):
        client = rig.connect()
        client.send(post(b"1", method=method))
        side, number = busy(rig)
        say(side)
        return answer(client.take()).status, number

    return one


def busy(rig):
    """The connection that carries a request, and the number of its backend."""
    pairs = [(side, number) for number, backend in enumerate(rig.backends) for side in backend.sides]
    (found,) = [(side, number) for side, number in pairs if side.protocol.journey is not None]
    return found


def standings(rig):
    return [rig.board.standing(row) for row in range(1, len(rig.backends) + 1)]


def breaks(side) -> None:
    side.reset()


def says(status):
    def say(side) -> None:
        side.send(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

    return say


@pytest.mark.parametrize(
    ("say", "status"),
    [(breaks, 502), (lambda side: side.send(b"gibberish\r\n\r\n"), 502), (says(502), 502), (says(503), 503)],
)
def test_failures_eject(make_rig, ask, caplog, say, status) -> None:
    """A broken connection, what is no HTTP, and a gateway's own status: as often as the service says, and it is out."""
    rig = make_rig(backends=2, ejection=EjectionSpec(2, 30.0, 50), retry=NEVER_AGAIN)
    seen = [ask(rig, say) for _ in range(4)]
    assert sorted(seen) == [(status, 0), (status, 0), (status, 1), (status, 1)]
    assert sorted(standings(rig)) == [IN, EJECTED]
    assert rig.meter.ejections == 1
    out = standings(rig).index(EJECTED)
    assert f"backend {rig.urls[out]} of svc fails, and is ejected for 30 s" in caplog.text
    assert {ask(rig, says(200))[1] for _ in range(6)} == {1 - out}


@pytest.mark.parametrize("status", [200, 404, 429, 500, 501])
def test_the_models_own_word_is_no_failure(make_rig, ask, status) -> None:
    """What a model says of a request it has got, a 500 of its script included, ejects nobody."""
    rig = make_rig(backends=2, ejection=ONCE)
    for _ in range(4):
        ask(rig, says(status))
    assert standings(rig) == [IN, IN]
    assert rig.board.served == 4


def test_refused_connections_eject(make_rig, ask) -> None:
    """They cost no request anything, and in the end not even the try."""
    rig = make_rig(backends=2, ejection=EjectionSpec(2, 30.0, 50))
    rig.backends[0].mode = "refuse"
    for _ in range(8):
        assert ask(rig, says(200)) == (200, 1)
        rig.pass_time(1.1)
    assert standings(rig) == [EJECTED, IN]
    assert rig.meter.retries == rig.meter.errors == {"refused": 2}


def test_a_connection_that_is_not_made_in_time(make_rig, post, ok, answer) -> None:
    """Silence at connect is a failure like a refusal."""
    rig = make_rig(backends=2, ejection=ONCE, connect_timeout_ms=500)
    for backend in rig.backends:
        backend.mode = "hang"
    client = rig.connect()
    client.send(post(b"1"))
    rig.pass_time(1.1)
    assert answer(client.take()).status == 503
    assert sorted(standings(rig)) == [IN, EJECTED]


def test_nothing_left_to_connect_with_is_nobodys_fault(make_rig, post, answer) -> None:
    """This process has no descriptor: no backend is to blame."""
    rig = make_rig(backends=2, ejection=ONCE)
    for backend in rig.backends:
        backend.mode = OSError(24, "Too many open files")
    client = rig.connect()
    client.send(post(b"1"))
    assert answer(client.take()).status == 503
    assert standings(rig) == [IN, IN]


def test_no_first_byte_in_time(make_rig, post, answer) -> None:
    """A backend that had the most of the time and said nothing is to blame."""
    rig = make_rig(backends=2, ejection=ONCE, scoring_timeout_ms=2_000)
    client = rig.connect()
    client.send(post(b"1"))
    rig.pass_time(2.1)
    assert answer(client.take()).status == 504
    assert sorted(standings(rig)) == [IN, EJECTED]


def test_time_lost_in_the_queue_is_not_the_backends(make_rig, post, ok, answer) -> None:
    """A request that came late to its backend says nothing about it when its time runs out."""
    rig = make_rig(backends=2, ejection=ONCE, scoring_timeout_ms=2_000, max_queue_wait_ms=1_900)
    holders = [rig.connect(), rig.connect()]
    for holder in holders:
        holder.send(post(b"1"))
    late = rig.connect()
    late.send(post(b"1"))
    rig.pass_time(1.5)
    for backend in rig.backends:
        backend.last.send(ok())
    rig.pass_time(0.6)
    assert answer(late.take()).status == 504
    assert (rig.trip.stage, standings(rig)) == ("first_byte", [IN, IN])


def test_a_client_that_does_not_send_is_not_the_backends_fault(make_rig, post, answer) -> None:
    """The upload stands still because of the client."""
    rig = make_rig(backends=2, ejection=ONCE, limits={"body_timeout_seconds": 2.0})
    client = rig.connect()
    client.send(post(None, b"Content-Length: 1000000"), b"x" * 70_000)
    rig.pass_time(2.1)
    assert answer(client.take()).status == 408
    assert standings(rig) == [IN, IN]


def test_a_client_that_does_not_read_is_not_the_backends_fault(make_rig, post) -> None:
    """The answer has begun: whose fault it is that it does not end cannot be told."""
    rig = make_rig(backends=2, ejection=ONCE, scoring_timeout_ms=2_000)
    client = rig.connect()
    client.send(post(b"1"))
    side, _ = busy(rig)
    side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    rig.pass_time(2.1)
    assert rig.trip.stage == "answer"
    assert standings(rig) == [IN, IN]


def test_a_broken_answer_is_a_failure(make_rig, post) -> None:
    """An answer that does not come to its end is none."""
    rig = make_rig(backends=2, ejection=ONCE)
    client = rig.connect()
    client.send(post(b"1"))
    side, _ = busy(rig)
    side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    side.reset()
    assert client.aborted
    assert sorted(standings(rig)) == [IN, EJECTED]


def test_trial_and_return(make_rig, ask, post, ok, caplog) -> None:
    """When its time is over one request tries it. A bad answer: out for twice as long. A good one: back."""
    rig = make_rig(backends=2, ejection=ONCE, max_concurrent_requests_per_container=None)
    _, out = ask(rig, breaks)
    rig.pass_time(29.9)
    assert {ask(rig, says(200))[1] for _ in range(4)} == {1 - out}
    rig.pass_time(0.2)
    assert [ask(rig, says(503)) for _ in range(2)].count((503, out)) == 1
    assert (standings(rig)[out], rig.meter.ejections) == (EJECTED, 2)
    rig.pass_time(59.9)
    assert {ask(rig, says(200))[1] for _ in range(4)} == {1 - out}
    rig.pass_time(0.2)
    client = rig.connect()
    while standings(rig)[out] == EJECTED:
        client.send(post(b"1"))
        side, number = busy(rig)
        if number != out:
            side.send(ok())
    assert standings(rig)[out] == TRIAL
    calls = rig.board.calls
    caplog.set_level("INFO", "gateway.worker")
    side.send(ok())
    assert standings(rig) == [IN, IN]
    assert rig.board.calls == calls + 1
    assert f"backend {rig.urls[out]} of svc answers well, and is back" in caplog.text
    assert {ask(rig, says(200))[1] for _ in range(4)} == {0, 1}


def test_who_waits_gets_the_trial(make_rig, post, ok, answer) -> None:
    """With the other one busy, who waits is sent to the ejected one as soon as it is due, without a newcomer's help."""
    rig = make_rig(backends=2, ejection=EjectionSpec(1, 5.0, 50), max_queue_wait_ms=20_000)
    first = rig.connect()
    first.send(post(b"1"))
    side, out = busy(rig)
    side.reset()
    holder, waiter = rig.connect(), rig.connect()
    holder.send(post(b"1"))
    waiter.send(post(b"1"))
    rig.pass_time(4.9)
    assert rig.meter.queued == 1
    rig.pass_time(0.2)
    assert rig.meter.queued == 0
    rig.backends[out].last.send(ok())
    assert answer(waiter.take()).status == 200
    rig.backends[1 - out].last.send(ok())


def test_all_fail_and_all_are_tried(make_rig, ask) -> None:
    """When most are out, or all would be, nobody is left out: an answer of a failing backend is better than none."""
    rig = make_rig(backends=2, ejection=EjectionSpec(1, 30.0, 100), retry=NEVER_AGAIN)
    seen = [ask(rig, says(503)) for _ in range(10)]
    assert standings(rig) == [EJECTED, EJECTED]
    assert {status for status, _ in seen} == {503}
    assert {number for _, number in seen[2:]} == {0, 1}


def test_a_single_backend_is_never_ejected(make_rig, ask) -> None:
    """There is nobody else to send requests to."""
    rig = make_rig(backends=1, ejection=EjectionSpec(1, 30.0, 100))
    assert [ask(rig, says(503)) for _ in range(5)] == [(503, 0)] * 5
    assert [ask(rig, says(200)) for _ in range(2)] == [(200, 0)] * 2
    assert standings(rig) == [IN]


def test_never(make_rig, ask) -> None:
    """`ejection: null`."""
    rig = make_rig(backends=2, ejection=None)
    assert {ask(rig, says(503)) for _ in range(30)} == {(503, 0), (503, 1)}
    assert standings(rig) == [IN, IN]


# --- backends that are still at work


def test_an_abandoned_backend_is_suspect(make_rig, post, ask) -> None:
    """Its connection was closed while it computed: others are preferred, it is probed, and comes back by itself."""
    rig = make_rig(backends=2, abandon_after_ms=1_000)
    client = rig.connect()
    client.send(post(b"1"))
    _, number = busy(rig)
    client.reset()
    rig.pass_time(1.1)
    assert standings(rig)[number] == SUSPECT
    assert rig.board.hurried == 1
    assert {ask(rig, says(200))[1] for _ in range(4)} == {1 - number}
    rig.board.down = {2 - number}
    assert ask(rig, says(200)) == (200, number)
    assert standings(rig) == [IN, IN]


def test_a_suspect_is_offered_to_who_waits_when_the_time_is_over(make_rig, post, ok, answer) -> None:
    """Nobody waits for the other one for longer than the suspicion lasts."""
    rig = make_rig(backends=2, abandon_after_ms=1_000, max_queue_wait_ms=20_000)
    client = rig.connect()
    client.send(post(b"1"))
    client.reset()
    rig.pass_time(1.1)
    holder, waiter = rig.connect(), rig.connect()
    holder.send(post(b"1"))
    waiter.send(post(b"1"))
    rig.pass_time(9.5)
    assert rig.meter.queued == 1
    rig.pass_time(1.0)
    assert rig.meter.queued == 0
    for backend in rig.backends:
        backend.last.send(ok())
    assert answer(waiter.take()).status == 200


def test_abandoned_too_often(make_rig, post) -> None:
    """Each time counts as a failure: in the end it is ejected."""
    rig = make_rig(backends=2, abandon_after_ms=1_000, ejection=EjectionSpec(2, 30.0, 50))
    for _ in range(3):
        client = rig.connect()
        client.send(post(b"1"))
        client.reset()
        rig.pass_time(10.1)
    assert sorted(standings(rig)) in ([IN, EJECTED], [SUSPECT, EJECTED])


def test_a_backend_that_answers_the_air_is_well(make_rig, post, ok) -> None:
    """It answered in time, if nobody any more: nothing is held against it."""
    rig = make_rig(backends=2, abandon_after_ms=1_000)
    client = rig.connect()
    client.send(post(b"1"))
    side, _ = busy(rig)
    client.reset()
    side.send(ok())
    assert rig.trip.outcome == "gone"
    assert standings(rig) == [IN, IN]
    assert rig.board.served == 1


# --- the budget of further tries


def test_further_tries_have_a_budget(make_rig, post, answer) -> None:
    """When every backend breaks, the first requests are tried twice, all others once; each is answered."""
    rig = make_rig(backends=2, ejection=None, max_concurrent_requests_per_container=None)
    for _ in range(40):
        client = rig.connect()
        client.send(post(b"1", method=b"PUT"))
        busy(rig)[0].reset()
        while any(side.protocol.journey for backend in rig.backends for side in backend.sides):
            busy(rig)[0].reset()
        assert answer(client.take()).status == 502
    assert rig.meter.retries == {"closed": FREE}
    assert rig.meter.retries_over_budget == 40 - FREE
    assert rig.meter.errors == {"closed": 40 + FREE}


def test_no_budget_no_further_try(make_rig, post, answer) -> None:
    """`budget_percent: 0`: a refused connection, too, is answered as it is; the permit looked at is given back."""
    rig = make_rig(backends=2, retry=RetrySpec(attempts=3, budget_percent=0))
    for backend in rig.backends:
        backend.mode = "refuse"
    client = rig.connect()
    client.send(post(b"1"))
    assert answer(client.take()).status == 503
    assert rig.meter.retries_over_budget == 1
    assert not any(rig.board.counts.values())


def test_without_another_backend_the_budget_is_not_asked(make_rig, ask) -> None:
    """What could not be tried again anyway is not counted as refused."""
    rig = make_rig(backends=1, retry=RetrySpec(attempts=3, budget_percent=0))
    assert ask(rig, breaks, method=b"PUT")[0] == 502
    assert rig.meter.retries_over_budget == 0


# --- how one is chosen


@pytest.mark.parametrize("balance", ["least_outstanding", "round_robin", "power_of_two"])
def test_every_way_to_choose_reaches_all(make_rig, post, ok, balance) -> None:
    """Twelve requests at once: each of three containers gets four; drawn by chance, each gets some."""
    rig = make_rig(backends=3, load_balancer=balance, max_concurrent_requests_per_container=None)
    for _ in range(12):
        rig.connect().send(post(b"1"))
    counts = [rig.board.outstanding(row) for row in (1, 2, 3)]
    assert counts == [4, 4, 4] if balance != "power_of_two" else min(counts) > 0
    for backend in rig.backends:
        for side in backend.sides:
            side.send(ok())


def test_control_a_blame_that_is_not_laid_is_seen(make_rig, ask, monkeypatch) -> None:
    """Control: a forward that blames nobody ejects nobody."""
    monkeypatch.setattr("gateway.proxy.forward.Forward._blame", lambda *_, **__: None)
    rig = make_rig(backends=2, ejection=ONCE)
    for _ in range(4):
        ask(rig, breaks)
    assert standings(rig) == [IN, IN]
