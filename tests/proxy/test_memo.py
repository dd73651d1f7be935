"""The head memo by its rules: what is known again, what never is, and what ends it."""

from __future__ import annotations

import pytest

from gateway.core.snapshot import Update
from gateway.core.spec import RequestHeadersSpec
from gateway.proxy.framing import Framing
from gateway.proxy.memo import MAX_HEAD_BYTES, MAX_ID_BYTES, HeadMemo

PATH = b"/api/v1/service/svc/score"
ENTRIES = 8


def request(*fields: bytes, body: bytes = b"[1]", path: bytes = PATH, method: bytes = b"POST") -> bytes:
    """A whole request with these header lines."""
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"%b %b HTTP/1.1" % (method, path), b"Host: gateway", *fields, length, b"", body))


@pytest.fixture
def memo(rig) -> HeadMemo:
    """Of the rig's one service, with room for a few heads."""
    return HeadMemo(ENTRIES, 32_768, rig.table, rig.world)


@pytest.fixture
def see(rig, memo):
    """Read a request by llhttp, decide it, offer its head to the memo: what is known of it afterwards."""

    def once(data: bytes):
        arrived = []
        framing = Framing(arrived.append, max_head=32_768, secure=False)
        framing.feed(data)
        (message,) = arrived
        assert message.refusal is None
        assert message.complete
        target = rig.table.find(message.exchange.path, b"gateway")
        assert target.route.decide(message.exchange) is None
        return memo.note(data[: len(data) - message.size], message, target)

    return once


def test_second_sight(see, memo) -> None:
    """A head is known from the second time on, and then brings its body, its service and its lines along."""
    data = request(b"X-Keep: 1", b"Authorization: Bearer x")
    assert see(data) is None
    assert memo.recall(data, None) is None
    known = see(data)
    message = memo.recall(data, known)
    assert message.known is known.target
    assert (message.take(), message.complete, message.size) == (b"[1]", True, 3)
    assert message.exchange.passing == b"X-Keep: 1\r\n"
    assert memo.recall(data, None).exchange.request_id != message.exchange.request_id


def test_ids_may_differ(see, memo) -> None:
    """Another id in the same head is taken over where it belongs, and the trace goes on in its place."""
    head = (b"A: 1", b"X-Request-Id: r-1", b"traceparent: 00-1", b"X-MS-Client-Request-Id:c-1", b"B: 2")
    see(request(*head))
    known = see(request(*head))
    other = (b"A: 1", b"X-Request-Id: other/2", b"traceparent: 00-22", b"X-MS-Client-Request-Id:c", b"B: 2")
    exchange = memo.recall(request(*other), known).exchange
    assert (exchange.request_id, exchange.client_request_id) == ("other/2", "c")
    assert exchange.passing == b"A: 1\r\ntraceparent: 00-22\r\nB: 2\r\n"


def test_trace_that_the_service_removes(make_rig) -> None:
    """A `traceparent` that the service keeps from its model does not come back by way of the memo."""
    rig = make_rig(request_headers=RequestHeadersSpec(set={"Traceparent": "ours"}))
    memo = HeadMemo(ENTRIES, 32_768, rig.table, rig.world)
    data = request(b"traceparent: theirs")
    for _ in range(2):
        arrived: list = []
        Framing(arrived.append, max_head=32_768, secure=False).feed(data)
        known = memo.note(data[:-3], arrived[0], rig.table.find(PATH, b"gateway"))
    assert memo.recall(data, known).exchange.passing == b"Traceparent: ours\r\n"


@pytest.mark.parametrize(
    "other",
    [
        request(b"X-Request-Id: r-1", b"A: 2"),
        request(b"X-Request-Id: r-1", b"A: 1", body=b"[12]"),
        request(b"X-Request-Id: r-1", b"A: 1") + b"G",
        request(b"X-Request-Id: r-1", b"A: 1")[:-1],
        request(b"X-Request-Id: r 1", b"A: 1"),
        request(b"X-Request-Id: ", b"A: 1"),
        request(b"X-Request-Id: r-1\rB: 2", b"A: 1"),
        request(b"X-Request-Id: " + b"r" * (MAX_ID_BYTES + 1), b"A: 1"),
        request(b"X-Request-Id: r-1", b"A: 1", b"A: 1"),
        request(b"x-request-id: r-1", b"A: 1"),
    ],
)
def test_other_heads(see, memo, other: bytes) -> None:
    """One byte more, less or other is another head; so is a body that is not here whole, or is followed by more."""
    data = request(b"X-Request-Id: r-1", b"A: 1")
    see(data)
    known = see(data)
    assert memo.recall(data, known) is not None
    assert memo.recall(other, known) is None


@pytest.mark.parametrize(
    "data",
    [
        request(b"Connection: keep-alive"),
        request(b"Expect: 100-continue"),
        request(b"A: 1", b"X-Request-Id: one", b"X-Request-Id: two"),
        request(b"A: " + b"x" * MAX_HEAD_BYTES),
        b"\r\n" + request(b"A: r-1", b"X-Request-Id: r-1"),
        b"POST " + PATH + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_never_kept(see, memo, data: bytes) -> None:
    """Unusual framing, connections, ids that cannot be cut out and long heads are read each time."""
    assert [see(data) for _ in range(3)] == [None] * 3
    assert len(memo) == 0


def test_change_of_the_service(rig, see, memo) -> None:
    """A new entry of the service ends what is known of its heads, also for who still refers to it; others stay."""
    rig.serve("other")
    there = request(path=PATH.replace(b"svc", b"other"))
    for _ in range(2):
        known, elsewhere = see(request()), see(there)
    rig.serve(max_queue_length=7)
    assert memo.recall(request(), known) is None
    memo.forget_changed()
    assert len(memo) == 1
    assert memo.recall(request(), known) is None
    assert memo.recall(there, elsewhere) is not None
    assert rig.compiler.apply(Update(serial=2, removed=("other",))) == {}
    assert memo.recall(there, elsewhere) is None


def test_time_of_the_credential(rig, see, memo) -> None:
    """A head is known within the time in which its credential opens, and not a moment longer."""
    see(request())
    known = see(request())
    wall = rig.clock.module.time()
    known.exchange.opens_from, known.exchange.opens_until = wall, wall + 10
    assert memo.recall(request(), known) is not None
    rig.pass_time(9.9)
    assert memo.recall(request(), known) is not None
    rig.pass_time(0.1)
    assert memo.recall(request(), known) is None
    known.exchange.opens_from = wall + 100
    known.exchange.opens_until = wall + 200
    assert memo.recall(request(), known) is None


def test_bounds(see, memo) -> None:
    """The memo holds so many heads; what makes room is emptied, and comes again by being seen again."""
    for number in range(3 * ENTRIES):
        data = request(b"A: %d" % number)
        see(data)
        known = see(data)
        if number == 0:
            first = known
    assert len(memo) == ENTRIES
    assert first.shape == ()
    assert not hasattr(first, "exchange")
    assert memo.recall(request(b"A: 0"), first) is None


def test_limit_of_the_head(rig, see) -> None:
    """A head is kept only if it is within `max_header_bytes` however long the ids in it are."""
    small = HeadMemo(ENTRIES, 1024, rig.table, rig.world)
    data = request(b"A: " + b"x" * (1024 - 3 * MAX_ID_BYTES))
    arrived: list = []
    Framing(arrived.append, max_head=32_768, secure=False).feed(data)
    assert [small.note(data[:-3], arrived[0], rig.table.find(PATH, b"")) for _ in range(3)] == [None] * 3
    see(data)
    assert see(data) is not None


def test_control_a_memo_without_bounds_in_time(rig, see, memo, monkeypatch) -> None:
    """Control: were the time of the credential not looked at, these tests would see it."""
    see(request())
    known = see(request())
    known.exchange.opens_until = 0.0
    monkeypatch.setattr(HeadMemo, "_is_true", lambda *_: True)
    assert memo.recall(request(), known) is not None
