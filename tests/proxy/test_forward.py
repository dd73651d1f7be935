"""An admitted request from its body to a backend's answer: what is taken is given back, and nothing is sent twice."""

from __future__ import annotations

import ssl

import pytest

from gateway.core.spec import RetrySpec
from gateway.proxy.forward import IDEMPOTENT, REST_SECONDS
from gateway.proxy.upstream import Upstream

HEAD_END = b"\r\n\r\n"


def body_of(side) -> bytes:
    return side.take().partition(HEAD_END)[2]


# --- retries, and what is never sent twice


def test_refused_connection_moves_on(make_rig, post, ok, answer) -> None:
    """A backend that refuses the connection costs the request nothing: another one gets it, with the permit."""
    rig = make_rig(backends=2)
    for refusing in rig.backends:
        refusing.mode = "refuse"
        client = rig.connect()
        client.send(post(b"1"), b"")
        other = next(backend for backend in rig.backends if backend is not refusing)
        assert sum(rig.board.counts.values()) == 1
        other.last.send(ok())
        assert answer(client.take()).status == 200
        assert rig.trip.backend.url == rig.urls[rig.backends.index(other)]
        refusing.mode = "accept"
        rig.pass_time(REST_SECONDS + 0.1)


def test_resting_backend_is_left_alone(make_rig, post, ok, answer) -> None:
    """A backend that refused is asked again after a rest, and not before."""
    rig = make_rig(backends=2)
    refusing, other = rig.backends
    client = rig.connect()

    def score() -> None:
        client.send(post(b"1"))
        used = next(side for backend in rig.backends for side in backend.sides if side.protocol.journey is not None)
        used.send(ok())
        assert answer(client.take()).status == 200

    refusing.mode = "refuse"
    for _ in range(4):
        score()
    assert rig.meter.errors == {"refused": 1}
    refusing.mode = "accept"
    rig.pass_time(REST_SECONDS + 0.1)
    for _ in range(2):
        score()
    assert refusing.sides
    assert other.sides


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("refuse", "refused"),
        (OSError(113, "No route to host"), "refused"),
        (UnicodeError("label too long"), "refused"),
        (ssl.SSLError(1, "[SSL] wrong version number"), "tls"),
        ("hang", "connect_timeout"),
    ],
)
def test_no_backend(make_rig, post, answer, failure, kind: str) -> None:
    """When no connection can be made anywhere, the answer is 503 with Retry-After, and says that nothing was sent."""
    rig = make_rig(backends=2, connect_timeout_ms=500)
    for backend in rig.backends:
        backend.mode = failure
    client = rig.connect()
    client.send(post(b"1"))
    rig.pass_time(1.1 if failure == "hang" else 0)
    refusal = answer(client.take())
    assert (refusal.status, refusal.headers["retry-after"]) == (503, "1")
    assert (rig.trip.outcome, rig.trip.reason, rig.trip.stage) == ("refused", "no_backend", "connect")
    assert rig.meter.errors == {kind: 2}
    client.send(post(b"1"))
    assert answer(client.take()).status == 503
    assert rig.meter.errors == {kind: 2}


def test_nothing_left_to_connect_with(make_rig, post, answer, ok) -> None:
    """Where this process has no descriptor left, the answer says so, and the backend is not blamed for it."""
    rig = make_rig(backends=2)
    for backend in rig.backends:
        backend.mode = OSError(24, "Too many open files")
    client = rig.connect()
    client.send(post(b"1"))
    rig.pass_time(0)
    refusal = answer(client.take())
    assert (refusal.status, refusal.headers["retry-after"]) == (503, "1")
    assert b'"reason":"exhausted"' in refusal.body
    assert (rig.trip.outcome, rig.trip.reason, rig.trip.stage) == ("refused", "exhausted", "connect")
    assert rig.meter.errors == {"exhausted": 1}
    for backend in rig.backends:
        backend.mode = "accept"
    client.send(post(b"1"))
    rig.pass_time(0)
    next(backend for backend in rig.backends if backend.sides).last.send(ok())
    assert answer(client.take()).status == 200


def test_all_down_is_told_at_once(make_rig, post, answer) -> None:
    """Where the probes found every backend down, nobody waits in a queue."""
    rig = make_rig(backends=2, max_queue_wait_ms=10_000)
    rig.board.down |= {1, 2}
    client = rig.connect()
    client.send(post(b"1"))
    assert answer(client.take()).status == 503
    assert rig.board.taken == 0


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_attempts(make_rig, post, answer, attempts: int) -> None:
    """No request is tried more often than `retry.attempts`, nor twice at one backend."""
    rig = make_rig(backends=4, retry=RetrySpec(attempts=attempts))
    for backend in rig.backends:
        backend.mode = "refuse"
    client = rig.connect()
    client.send(post(b"1"))
    assert answer(client.take()).status == 503
    assert rig.meter.errors["refused"] == attempts


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"GET", b"PUT", b"DELETE", b"OPTIONS"])
def test_only_what_may_be_repeated_is_sent_twice(make_rig, post, ok, answer, method: bytes) -> None:
    """A request whose backend broke before it answered goes to another one only if doing it twice is harmless."""
    rig = make_rig(backends=2)
    client = rig.connect()
    client.send(post(b"1", method=method))
    first = next(backend for backend in rig.backends if backend.sides)
    second = next(backend for backend in rig.backends if backend is not first)
    first.last.reset()
    if method in IDEMPOTENT:
        assert second.last.take().startswith(method)
        second.last.send(ok())
        assert answer(client.take()).status == 200
    else:
        assert second.sides == []
        refusal = answer(client.take())
        assert refusal.status == 502
        assert b"request_id" in refusal.body
        assert (rig.trip.outcome, rig.trip.reason) == ("failed", "backend_closed")
    assert rig.meter.errors == {"closed": 1}


def test_streamed_body_is_never_sent_again(make_rig, post, answer) -> None:
    """A large PUT whose backend broke is not repeated: its beginning is gone, and half of it is no request."""
    rig = make_rig(backends=2)
    client = rig.connect()
    client.send(post(None, b"Content-Length: 100000", method=b"PUT"), b"x" * 70_000, b"x" * 30_000)
    first = next(backend for backend in rig.backends if backend.sides)
    assert len(body_of(first.last)) == 100_000
    first.last.reset()
    assert answer(client.take()).status == 502
    assert sum(len(backend.sides) for backend in rig.backends) == 1


def test_backend_that_breaks_during_the_upload(rig, post, answer) -> None:
    """A backend that hangs up in the middle of a large body is a failed backend."""
    client = rig.connect()
    client.send(post(None, b"Content-Length: 1000000"), b"x" * 70_000)
    rig.backend.last.reset()
    assert answer(client.take()).status == 502


def test_unsent_large_body_finds_another_backend(make_rig, post, ok, answer) -> None:
    """A large body of which nothing was sent yet is not bound to a backend that refuses."""
    rig = make_rig(backends=2)
    rig.backends[0].mode = rig.backends[1].mode = "hang"
    client = rig.connect()
    client.send(post(None, b"Content-Length: 100000"), b"x" * 70_000, b"x" * 30_000)
    first = next(backend for backend in rig.backends if backend.hanging)
    second = next(backend for backend in rig.backends if backend is not first)
    second.mode = "accept"
    first.hanging.set_exception(ConnectionRefusedError(111, "Connection refused"))
    rig.pass_time(0)
    assert len(body_of(second.last)) == 100_000
    second.last.send(ok())
    assert answer(client.take()).status == 200


def test_no_other_backend_is_free(make_rig, post, answer) -> None:
    """When the only other backend is full, a failed request does not queue a second time."""
    rig = make_rig(backends=2)
    rig.connect().send(post(b"1"))
    busy = next(backend for backend in rig.backends if backend.sides)
    idle = next(backend for backend in rig.backends if backend is not busy)
    idle.mode = "refuse"
    client = rig.connect()
    client.send(post(b"2"))
    assert answer(client.take()).status == 503
    busy.last.reset()


def test_no_retry_for_a_client_that_is_gone(make_rig, post) -> None:
    """Nobody waits for the answer of a repeated request: it is not repeated."""
    rig = make_rig(backends=2)
    client = rig.connect()
    client.send(post(b"1", method=b"GET"))
    client.reset()
    first = next(backend for backend in rig.backends if backend.sides)
    first.last.reset()
    assert sum(len(backend.sides) for backend in rig.backends) == 1


def test_control_without_the_list_of_methods_a_post_is_sent_twice(make_rig, post, monkeypatch) -> None:
    """Control: were POST taken for idempotent, the second backend would get it too, and the test above would see it."""
    rig = make_rig(backends=2)
    monkeypatch.setattr("gateway.proxy.forward.IDEMPOTENT", frozenset({b"POST"}))
    rig.connect().send(post(b"1"))
    first = next(backend for backend in rig.backends if backend.sides)
    first.last.reset()
    assert all(backend.sides for backend in rig.backends)


# --- the queue


def test_queue_is_first_come_first_served(make_rig, post, ok, answer) -> None:
    """Requests wait for the one slot of the container and get it in the order in which they came."""
    rig = make_rig(max_queue_wait_ms=60_000)
    clients = [rig.connect() for _ in range(5)]
    for number, client in enumerate(clients):
        client.send(post(b"%d" % number))
    assert rig.meter.queued == 4
    for number, client in enumerate(clients):
        assert body_of(rig.backend.last) == b"%d" % number
        rig.pass_time(1)
        rig.backend.last.send(ok(b"%d" % number))
        assert answer(client.take()).body == b"%d" % number
    assert len(rig.backend.sides) == 1
    assert rig.board.most == {1: 1}
    assert rig.meter.queue_waits.total == pytest.approx(1 + 2 + 3 + 4)


def test_queue_full(make_rig, post, ok, answer) -> None:
    """A queue that is full refuses at once."""
    rig = make_rig(max_queue_length=1)
    clients = [rig.connect() for _ in range(3)]
    for client in clients:
        client.send(post(b"1"))
    refusal = answer(clients[2].take())
    assert (refusal.status, refusal.headers["retry-after"]) == (503, "1")
    assert (rig.trip.reason, rig.trip.stage) == ("queue_full", "queue")
    for client in clients[:2]:
        rig.backend.last.send(ok())
        assert answer(client.take()).status == 200


def test_no_queue_at_all(make_rig, post, answer) -> None:
    """With `max_queue_wait_ms: 0` nobody waits."""
    rig = make_rig(max_queue_wait_ms=0)
    rig.connect().send(post(b"1"))
    client = rig.connect()
    client.send(post(b"2"))
    assert answer(client.take()).status == 503
    rig.backend.last.reset()


def test_queue_wait_is_over(make_rig, post, ok, answer) -> None:
    """Who waited too long is told so; the place behind moves up."""
    rig = make_rig(max_queue_wait_ms=500)
    first, second, third = (rig.connect() for _ in range(3))
    first.send(post(b"1"))
    second.send(post(b"2"))
    rig.pass_time(0.3)
    third.send(post(b"3"))
    rig.pass_time(0.25)
    assert answer(second.take()).status == 503
    assert (rig.trip.outcome, rig.trip.reason, rig.trip.stage) == ("refused", "queue_wait", "queue")
    rig.backend.last.take()
    rig.backend.last.send(ok())
    assert body_of(rig.backend.last) == b"3"
    rig.backend.last.send(ok())
    assert answer(third.take()).status == 200


def test_client_leaves_the_queue(make_rig, post, ok, answer) -> None:
    """A client that leaves the queue is not waited for."""
    rig = make_rig(max_queue_wait_ms=60_000)
    first, second, third = (rig.connect() for _ in range(3))
    for number, client in enumerate((first, second, third), 1):
        client.send(post(b"%d" % number))
    second.reset()
    rig.backend.last.take()
    rig.backend.last.send(ok())
    assert body_of(rig.backend.last) == b"3"
    rig.backend.last.send(ok())
    assert answer(third.take()).status == 200


@pytest.mark.parametrize("way", ["gone", "late"])
def test_permit_is_handed_over_to_one_who_leaves(make_rig, post, ok, answer, way: str) -> None:
    """A permit that is handed to a request in the moment in which it gives up goes on to the next."""
    rig = make_rig(max_queue_wait_ms=500)
    first, second, third = (rig.connect() for _ in range(3))
    first.send(post(b"1"))
    second.send(post(b"2"))
    rig.pass_time(0.3)
    third.send(post(b"3"))
    side = rig.backend.last
    side.take()
    # The permit is second's with this, but its journey is woken from the loop, a moment later.
    side.arriving.append(ok())
    side._deliver()
    assert side.received == b""
    if way == "gone":
        second.protocol.connection_lost(None)
        second.lost = True
    else:
        second.protocol.expire(rig.clock.now)
    rig.pass_time(0)
    assert body_of(side) == b"3"
    side.send(ok())
    assert answer(third.take()).status == 200
    assert rig.board.most == {1: 1}


def test_deadline_in_the_queue(make_rig, post, answer) -> None:
    """When the one deadline ends before the wait in the queue does, the answer names the deadline and the stage."""
    rig = make_rig(max_queue_wait_ms=60_000, scoring_timeout_ms=1000)
    first, second = rig.connect(), rig.connect()
    first.send(post(None, b"Content-Length: 100000"), b"x" * 70_000)
    second.send(post(b"2"))
    rig.pass_time(1.1)
    refusal = answer(second.take())
    assert refusal.status == 504
    assert b'"stage":"queue"' in refusal.body
    assert (rig.trip.outcome, rig.trip.stage) == ("timeout", "queue")
    first.reset()


def test_rested_backend_is_offered_to_who_waits(make_rig, post, ok, answer) -> None:
    """A request in the queue of a backend that rested is let in when the rest is over, without any other event."""
    rig = make_rig(max_queue_wait_ms=60_000)
    first, second = rig.connect(), rig.connect()
    rig.backend.mode = "hang"
    first.send(post(b"1"))
    second.send(post(b"2"))
    rig.backend.hanging.set_exception(ConnectionRefusedError(111, "Connection refused"))
    rig.backend.mode = "accept"
    rig.pass_time(0)
    assert answer(first.take()).status == 503
    assert rig.backend.sides == []
    rig.pass_time(REST_SECONDS + 0.01)
    assert body_of(rig.backend.last) == b"2"
    rig.backend.last.send(ok())
    assert answer(second.take()).status == 200


def test_control_a_permit_that_is_not_given_back_is_found(make_rig, post, ok, monkeypatch) -> None:
    """Control: a forward that keeps its permit leaves the count at one, which every test here would report."""
    rig = make_rig()
    monkeypatch.setattr(rig.desk.__class__, "give_back", lambda *_: None)
    client = rig.connect()
    client.send(post(b"1"))
    rig.backend.last.send(ok())
    with pytest.raises(AssertionError, match="permits not given back"):
        rig.audit()
    rig.board.counts.clear()


# --- one deadline, and its stage


def test_deadline_at_connect(make_rig, post, answer) -> None:
    """The one deadline ends an attempt to connect, too."""
    rig = make_rig(scoring_timeout_ms=400, connect_timeout_ms=2000)
    rig.backend.mode = "hang"
    client = rig.connect()
    client.send(post(b"1"))
    rig.pass_time(0.5)
    refusal = answer(client.take())
    assert refusal.status == 504
    assert b'"stage":"connect"' in refusal.body
    assert (rig.trip.outcome, rig.trip.stage) == ("timeout", "connect")


def test_deadline_at_first_byte(make_rig, post, answer) -> None:
    """A model that does not answer in time: 504, the stage, the configured time; its connection is not used again."""
    rig = make_rig(scoring_timeout_ms=1500)
    client = rig.connect()
    client.send(post(b"1"))
    rig.pass_time(1.4)
    assert client.take() == b""
    rig.pass_time(0.2)
    refusal = answer(client.take())
    assert refusal.status == 504
    assert b'"stage":"first_byte"' in refusal.body
    assert b"1500 ms" in refusal.body
    assert rig.backend.last.aborted
    assert not client.lost
    assert rig.meter.backend_durations.total == pytest.approx(1.5, abs=0.1)


def test_deadline_covers_queue_and_answer_together(make_rig, post, answer) -> None:
    """Time spent in the queue is taken from the time that the backend has."""
    rig = make_rig(scoring_timeout_ms=1000, max_queue_wait_ms=5000)
    first, second = rig.connect(), rig.connect()
    first.send(post(b"1"))
    rig.pass_time(0.2)
    second.send(post(b"2"))
    rig.pass_time(0.85)
    assert answer(first.take()).status == 504
    assert body_of(rig.backend.last) == b"2"
    rig.pass_time(0.3)
    assert answer(second.take()).status == 504
    assert rig.trip.stage == "first_byte"


# --- clients that leave a backend at work


def test_slot_is_held_until_the_backend_ended(make_rig, post, ok) -> None:
    """A client that leaves frees no slot: the model computes on, and the next request waits for it."""
    rig = make_rig(max_queue_wait_ms=60_000)
    first, second = rig.connect(), rig.connect()
    first.send(post(b"1"))
    second.send(post(b"2"))
    first.reset()
    rig.pass_time(5)
    side = rig.backend.last
    assert body_of(side) == b"1"
    assert rig.board.outstanding(1) == 1
    side.send(ok())
    assert (rig.trip.outcome, rig.trip.model_status) == ("gone", 200)
    assert body_of(side) == b"2"
    side.send(ok())
    assert len(rig.backend.sides) == 1


def test_patience_with_an_abandoned_backend(make_rig, post) -> None:
    """After `abandon_after_ms` the slot of a client that left is given up."""
    rig = make_rig(abandon_after_ms=3000)
    client = rig.connect()
    client.send(post(b"1"))
    client.reset()
    rig.pass_time(2.9)
    assert rig.board.outstanding(1) == 1
    rig.pass_time(0.2)
    assert rig.board.outstanding(1) == 0
    assert rig.backend.last.aborted


def test_abort_when_the_client_leaves(make_rig, post) -> None:
    """With `on_client_gone: abort` the connection to the backend ends with the client's."""
    rig = make_rig(on_client_gone="abort")
    client = rig.connect()
    client.send(post(b"1"))
    client.reset()
    assert rig.board.outstanding(1) == 0
    assert rig.backend.last.aborted
    assert rig.trip.outcome == "gone"


def test_client_leaves_while_connecting(rig, post) -> None:
    """A client that leaves while its backend is being connected leaves no connection behind, early or late."""
    rig.backend.mode = "hang"
    client = rig.connect()
    client.send(post(b"1"))
    client.reset()
    rig.pass_time(0)
    assert rig.backend.hanging.cancelled()
    assert rig.backend.sides == []
    assert rig.trip.outcome == "gone"


# --- several deployments


def test_traffic_is_shared_by_percent(make_rig, post, ok, monkeypatch) -> None:
    """Deployments get their share of the requests."""
    import random

    from gateway.core.admission import Backend, Pool

    rig = make_rig(max_concurrent_requests_per_container=None)
    route = rig.table.get("svc")
    pools = []
    for number, (name, share) in enumerate((("blue", 90), ("green", 10)), 10):
        pool = Pool(name, rig.board)
        backend = Backend(rig.urls[0], number)
        backend.upstream = Upstream(rig.urls[0], rig.loop)
        pool.shape([backend], pick=None, limit=None, max_waiting=0, ejection=None, retry_percent=0)
        pools.append((share, pool))
    route.pools = tuple(pools)
    monkeypatch.setattr("gateway.proxy.forward.random", random.Random(7))
    client = rig.connect()
    for _ in range(300):
        client.send(post(b"1"))
        next(side for side in rig.backend.sides if side.protocol.journey is not None).send(ok())
    served = [trip.deployment for trip, _ in rig.records]
    assert 15 <= served.count("green") <= 50
    assert served.count("blue") + served.count("green") == 300
