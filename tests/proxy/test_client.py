"""The client's side of a connection, spoken to as clients do: in any pieces, too much, too slowly, gone in between."""

from __future__ import annotations

import itertools
import sys

import pytest

from gateway.core.settings import ScoringSettings
from gateway.proxy.client import LINGER_SECONDS, MAX_HELD, MAX_WAITING, Client
from gateway.proxy.journey import PAUSE
from gateway.proxy.listener import Listener
from gateway.proxy.sweep import Sweep

GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
MISSING = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = {"header_timeout_seconds": 10.0, "body_timeout_seconds": 20.0, "keep_alive_seconds": 75.0}


def depth() -> int:
    """Frames on the stack."""
    return next(number for number in itertools.count() if not _has_frame(number))


def _has_frame(number: int) -> bool:
    try:
        sys._getframe(number)
    except ValueError:
        return False
    return True


# --- one request, many requests


def test_byte_by_byte(rig, post, ok, answer) -> None:
    """A request that comes one byte at a time is carried like any other."""
    client = rig.connect()
    client.send(*(bytes([byte]) for byte in post(b"[[1, 2]]")))
    assert rig.backend.last.take().endswith(b"\r\n\r\n[[1, 2]]")
    rig.backend.last.send(ok(b"[3]"))
    assert answer(client.take()).body == b"[3]"


def test_pipelined_requests_are_answered_in_order(rig, post, ok, answers) -> None:
    """Requests that are sent ahead wait their turn: the backend sees one at a time, the client its answers in order."""
    client = rig.connect()
    client.send(post(b"1") + post(b"2") + GET + post(b"3"))
    side = rig.backend.last
    for body in (b"1", b"2", b"3"):
        assert side.take().endswith(b"\r\n\r\n" + body)
        side.send(ok(body))
    read = answers(bytes(client.received))
    assert [answer.body for answer in read] == [b"1", b"2", b"ok", b"3"]
    assert len(rig.backend.sides) == 1


def test_body_ends_where_the_next_head_begins(rig, post, ok, answers) -> None:
    """A body whose end comes in one read with the beginning of the next request is complete at once."""
    client = rig.connect()
    first, second = post(b"12345"), post(b"67")
    client.send(first[:-3], first[-3:] + second[:20])
    rig.backend.last.send(ok(b"a"))
    client.send(second[20:])
    rig.backend.last.send(ok(b"b"))
    assert [answer.body for answer in answers(bytes(client.received))] == [b"a", b"b"]


def test_thousand_pipelined_refusals(rig, answers) -> None:
    """A thousand requests in one read are answered in order, without nesting one in another."""
    depths = []
    serve = rig.listener.serve

    def counted(client, message):
        depths.append(depth())
        return serve(client, message)

    rig.listener.serve = counted
    client = rig.connect()
    client.send(
        b"".join(b"GET /none/%d HTTP/1.1\r\nHost: a\r\nX-Request-Id: r%d\r\n\r\n" % (n, n) for n in range(1000))
    )
    read = answers(bytes(client.received))
    assert [answer.headers["x-request-id"] for answer in read] == [f"r{n}" for n in range(1000)]
    assert {answer.status for answer in read} == {404}
    assert max(depths) - min(depths) == 0


def test_control_serving_from_the_end_of_each_request_nests(make_rig) -> None:
    """Control: a connection that starts the next request within the last one goes a level deeper each time."""
    rig = make_rig()
    depths = []
    serve = rig.listener.serve

    class Nesting(Client):
        def _next(self) -> None:
            self._looping = False
            super()._next()

    def counted(client, message):
        depths.append(depth())
        return serve(client, message)

    rig.listener.serve = counted
    client = rig.connect()
    side = Nesting(rig.listener)
    side.connection_made(client)
    side.data_received(MISSING * 20)
    client.protocol.connection_lost(None)
    client.protocol = side
    assert max(depths) > min(depths)


# --- heads and bodies that nobody reads


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 501),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
@pytest.mark.parametrize("secure", [False, True])
def test_bad_head(rig, answer, bad: bytes, status: int, secure: bool) -> None:
    """A head that cannot be served gets a well-formed refusal with an id; then the connection ends, and soon."""
    client = rig.connect(listener=rig.listen(secure=secure))
    client.send(bad, GET)
    refusal = answer(client.take())
    assert refusal.status == status
    assert refusal.headers["connection"] == "close"
    assert refusal.headers["x-request-id"] == rig.trip.exchange.request_id
    rig.pass_time(LINGER_SECONDS + 0.1)
    assert client.lost


def test_good_requests_before_a_bad_one_are_served(rig, post, ok, answers) -> None:
    """A request is answered although garbage follows it, in the same read or a later one; then comes the refusal."""
    for pieces in ([post(b"1") + GET + b"\x00\x00 garbage"], [post(b"1"), GET, b"\x00\x00 garbage"]):
        client = rig.connect()
        client.send(*pieces)
        rig.backend.last.send(ok(b"1"))
        assert [answer.status for answer in answers(bytes(client.received))] == [200, 200, 400]
        client.send(GET)
        assert len(answers(bytes(client.received))) == 3


def test_bad_chunk_while_the_body_is_awaited(rig, post, answer) -> None:
    """A body that turns out to be no body is refused in words, and the backend never hears of the request."""
    client = rig.connect()
    client.send(post(b"", b"Transfer-Encoding: chunked"), b"3\r\nabc\r\n", b"zz\r\n")
    assert answer(client.take()).status == 400
    assert rig.backend.sides == []


def test_bad_chunk_behind_a_request_under_way(rig, post, ok, answers) -> None:
    """A broken body of the next request is refused when its turn comes."""
    client = rig.connect()
    client.send(post(b"1"), post(b"", b"Transfer-Encoding: chunked") + b"zz\r\n")
    rig.backend.last.send(ok())
    assert [answer.status for answer in answers(bytes(client.received))] == [200, 400]
    assert len(rig.backend.sides) == 1


def test_data_behind_connection_close(rig, post, ok, answers) -> None:
    """A request that ends its connection is answered, and what was sent behind it is not served."""
    client = rig.connect()
    client.send(post(b"1", b"Connection: close") + GET)
    rig.backend.last.send(ok())
    assert [answer.status for answer in answers(bytes(client.received))] == [200]
    rig.pass_time(LINGER_SECONDS + 0.1)
    assert client.lost


# --- bodies that nobody wants


def test_small_unwanted_body_is_read_over(rig, post, answers) -> None:
    """After an early refusal the connection stays, and the next request is found behind the body of the refused one."""
    client = rig.connect()
    refused = post(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 10, path=b"/nothing")
    client.send(refused[:100], refused[100:200], refused[200:])
    client.send(GET)
    assert [answer.status for answer in answers(bytes(client.received))] == [404, 200]
    assert rig.begun == 2


def test_control_answering_without_reading_desynchronises(make_rig, post, answers) -> None:
    """Control: a connection that takes the body of a refused request for requests answers things nobody asked."""
    rig = make_rig()

    class Hasty(Client):
        def _discard_rest(self, _) -> None:
            self._framing.__init__(self._arrived, max_head=10_000, secure=False)
            self._next()

    protocol = Hasty(rig.listener)
    client = rig.connect()
    client.protocol.connection_lost(None)
    client.protocol = protocol
    protocol.connection_made(client)
    refused = post(GET, path=b"/nothing")
    client.send(refused[: -len(GET)], refused[-len(GET) :])
    assert len(answers(bytes(client.received))) > 1


@pytest.mark.parametrize(
    "field", [b"Content-Length: 70000", b"Transfer-Encoding: chunked", b"Expect: 100-continue\r\nContent-Length: 5"]
)
def test_large_or_endless_unwanted_body_closes(rig, post, answer, field: bytes) -> None:
    """Where reading on would be dear, or nobody knows whether a body comes, the refusal says that it closes."""
    client = rig.connect()
    client.send(post(None, field, path=b"/nothing"))
    refusal = answer(client.take())
    assert (refusal.status, refusal.headers["connection"]) == (404, "close")
    assert client.eof
    client.send(b"x" * 100_000)
    assert not client.lost
    rig.pass_time(LINGER_SECONDS + 0.1)
    assert client.aborted


def test_unwanted_body_that_never_comes(make_rig, post) -> None:
    """A refused request whose body does not come holds its connection no longer than a body may be silent."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    client.send(post(None, b"Content-Length: 5", path=b"/nothing"))
    rig.pass_time(19)
    assert not client.lost
    rig.pass_time(2)
    assert client.aborted


# --- Expect: 100-continue


def test_continue_comes_after_the_checks(make_rig, post, ok, primary_key, answer) -> None:
    """A client that asks before it sends is told to go on only when its request was let in, and only once."""
    rig = make_rig(keys=True)
    client = rig.connect()
    expecting = (b"Expect: 100-continue", b"Content-Length: 4")
    client.send(post(None, *expecting))
    assert answer(client.take()).status == 401
    client = rig.connect()
    client.send(post(None, *expecting, b"Authorization: Bearer " + primary_key))
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert rig.backend.sides == []
    client.send(b"[1", b"2]")
    request = rig.backend.last.take()
    assert request.endswith(b"[12]")
    assert b"expect" not in request.lower()
    rig.backend.last.send(ok())
    assert answer(client.take()).status == 200


def test_no_continue_where_the_body_came_unasked(rig, post, ok, answer) -> None:
    """A client that does not wait for it gets no 100."""
    client = rig.connect()
    body = post(b"[12]", b"Expect: 100-continue")
    client.send(body[:-1], body[-1:])
    rig.backend.last.send(ok())
    assert client.take().startswith(b"HTTP/1.1 200 OK")


# --- keep or close


@pytest.mark.parametrize(
    ("version", "fields", "keeps"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: close",), False),
        (b"1.1", (b"Connection: keep-alive, Close",), False),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: keep-alive",), True),
    ],
)
@pytest.mark.parametrize("path", [b"/livez", b"/api/v1/service/svc/score"])
def test_keep_alive(rig, post, ok, answer, *, version: bytes, fields, keeps: bool, path: bytes) -> None:
    """A connection is kept as its client asked; the answer says what an HTTP/1.0 client needs to hear."""
    client = rig.connect()
    client.send(post(None, *fields, path=path, method=b"GET", version=version))
    if rig.backend.sides:
        rig.backend.last.send(ok(b"ok"))
    said = answer(client.take()).headers.get("connection")
    assert said == {(True, b"1.0"): "keep-alive", (True, b"1.1"): None}.get((keeps, version), "close")
    assert client.lost is not keeps


# --- back-pressure


def test_large_body_is_read_only_as_it_is_taken(rig, post, ok) -> None:
    """While the backend takes nothing, only so much of a body is read; then it flows again, and nothing is lost."""
    client = rig.connect()
    client.send(post(None, b"Content-Length: 4000000"))
    client.send(*[b"x" * 50_000] * 2)
    side = rig.backend.last
    side.stall()
    client.send(*[b"x" * 50_000] * 78)
    assert client.reading_paused
    waiting = sum(map(len, client.arriving))
    assert waiting > 3_000_000
    while client.arriving:
        side.unstall()
        side.stall()
    side.unstall()
    assert side.take().partition(b"\r\n\r\n")[2] == b"x" * 4_000_000
    side.send(ok())
    assert client.take().startswith(b"HTTP/1.1 200 OK")


def test_body_sent_ahead_is_held_back(rig, post, ok) -> None:
    """The body of the next request is not read without bound while one is being served."""
    client = rig.connect()
    client.send(post(b"1"), post(None, b"Content-Length: 3000000"), *[b"y" * 100_000] * 30)
    assert client.reading_paused
    assert sum(map(len, client.arriving)) >= 3_000_000 - MAX_HELD - 100_000
    rig.backend.last.send(ok())
    assert not client.reading_paused
    assert not client.arriving


def test_pipelined_requests_are_held_back(rig, post, ok, answers) -> None:
    """Only a few requests are read ahead of the one under way; all of them are served in the end."""
    client = rig.connect()
    client.send(*[post(b"%d" % number) for number in range(40)])
    assert client.reading_paused
    assert len(client.arriving) == 40 - 1 - MAX_WAITING
    for number in range(40):
        assert rig.backend.last.take().endswith(b"\r\n\r\n%d" % number)
        rig.backend.last.send(ok(b"%d" % number))
    assert [int(answer.body) for answer in answers(bytes(client.received))] == list(range(40))


def test_client_that_reads_no_answers(rig) -> None:
    """A client that pipelines requests and reads nothing fills no memory, and is closed in the end."""
    client = rig.connect()
    client.stall()
    client.send(*[MISSING] * 5000)
    assert client.reading_paused
    assert len(client.unsent) < 100_000
    assert len(client.arriving) > 4000
    rig.pass_time(200)
    assert client.aborted


def test_client_that_reads_slowly_is_served(rig, answers) -> None:
    """The same client, when it reads in the end, gets every answer."""
    client = rig.connect()
    client.stall()
    client.send(*[MISSING] * 2000)
    while client.arriving or client.unsent:
        client.unstall()
        client.stall()
    client.unstall()
    assert len(answers(bytes(client.received))) == 2000


def test_reader_that_catches_up_while_idle(rig, answers) -> None:
    """Reading an answer late while nothing is asked starts nothing."""
    client = rig.connect()
    client.stall()
    client.protocol.pause_writing()
    client.writing_paused = True
    client.unstall()
    client.send(GET)
    assert len(answers(bytes(client.received))) == 1


# --- clients that leave


def stages(rig, post):
    """Name → what brings a new connection there; each leaves exactly one request under way but the first two."""

    def connect(*pieces: bytes):
        client = rig.connect()
        client.send(*pieces)
        return client

    return {
        "idle": connect,
        "head": lambda: connect(b"POST / HT"),
        "body": lambda: connect(post(None, b"Content-Length: 5"), b"12"),
        "queue": lambda: (connect(post()), connect(post()))[1],
        "first byte": lambda: connect(post()),
    }


OUTCOMES = {"idle": [], "head": [], "body": ["gone"], "queue": ["gone"], "first byte": ["failed"]}


@pytest.mark.parametrize("stage", OUTCOMES)
@pytest.mark.parametrize("way", ["reset", "shut"])
def test_client_leaves(make_rig, post, stage: str, way: str) -> None:
    """A client may leave in every phase, politely or not: its request is recorded once and nothing stays behind."""
    rig = make_rig(max_queue_wait_ms=10_000)
    client = stages(rig, post)[stage]()
    getattr(client, way)()
    rig.pass_time(0)
    if stage == "first byte":
        # The model still computes: its permit is held, whatever the client does.
        assert rig.records == []
        assert rig.board.outstanding(1) == 1
        rig.backend.last.reset()
    assert client.lost
    assert [trip.outcome for trip, _ in rig.records] == OUTCOMES[stage]


def test_half_closed_client_gets_its_answer(rig, post, ok, answer) -> None:
    """A client that has said all and only listens gets its answer, and then the connection ends at once."""
    client = rig.connect()
    client.send(post(b"1"))
    client.shut()
    rig.backend.last.send(ok(b"[1]"))
    assert answer(client.take()).body == b"[1]"
    assert client.lost


def test_half_closed_client_gets_all_its_answers(rig, post, ok, answers) -> None:
    """Requests that were sent ahead before a client stopped sending are served as well."""
    client = rig.connect()
    client.send(post(b"1") + GET + post(b"2"))
    client.shut()
    rig.backend.last.send(ok(b"1"))
    rig.backend.last.send(ok(b"2"))
    assert [answer.body for answer in answers(bytes(client.received))] == [b"1", b"ok", b"2"]
    assert client.lost


def test_tls_client_that_shuts_is_gone(rig, post) -> None:
    """TLS knows no half-closed connection."""
    client = rig.connect(listener=rig.listen(secure=True))
    client.send(post(b"1"))
    client.shut()
    assert client.lost
    rig.backend.last.reset()


# --- deadlines


def test_head_that_does_not_end(make_rig, answer) -> None:
    """A head has its time from its first byte, however often another byte comes; then it is answered 408."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    rig.pass_time(5)
    client.send(b"GET / HTTP/1.1\r\n")
    for _ in range(9):
        rig.pass_time(1)
        client.send(b"X: y\r\n")
    assert client.take() == b""
    rig.pass_time(1.1)
    refusal = answer(client.take())
    assert (refusal.status, refusal.headers["connection"]) == (408, "close")
    rig.pass_time(LINGER_SECONDS + 0.1)
    assert client.lost
    assert (rig.trip.status, rig.trip.reason) == (408, "head_timeout")


def test_head_of_a_later_request(make_rig, answers) -> None:
    """The head of a second request has its own time, also if it began while the first was under way."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    client.send(GET)
    rig.pass_time(60)
    client.send(b"GET /")
    rig.pass_time(10.1)
    assert [answer.status for answer in answers(bytes(client.received))] == [200, 408]
    client = rig.connect()
    client.send(GET + b"GET /")
    rig.pass_time(10.1)
    assert [answer.status for answer in answers(bytes(client.received))] == [200, 408]


def test_body_that_stops(make_rig, post, answer) -> None:
    """A body may be slow but not silent: 408 after `body_timeout_seconds` without a byte, and close."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    client.send(post(None, b"Content-Length: 60000"))
    for _ in range(5):
        rig.pass_time(15)
        client.send(b"x" * 10_000)
    assert client.take() == b""
    rig.pass_time(20.1)
    refusal = answer(client.take())
    assert (refusal.status, refusal.headers["connection"]) == (408, "close")
    assert (rig.trip.outcome, rig.trip.stage) == ("timeout", "body")


def test_body_that_trickles(make_rig, post, answer) -> None:
    """Who sends a byte now and then is never silent; what comes at less than 500 bytes a second is not waited for."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    client.send(post(None, b"Content-Length: 10000"))
    client.send(b"x" * 9000)
    for _ in range(19):
        rig.pass_time(1.05)
        client.send(b"x")
    assert client.take() == b""
    rig.pass_time(0.1)
    refusal = answer(client.take())
    assert (refusal.status, refusal.headers["connection"]) == (408, "close")
    assert (rig.trip.outcome, rig.trip.stage) == ("timeout", "body")


def test_idle_connection(make_rig, answer) -> None:
    """A connection is closed when it says nothing at first, or nothing more for `keep_alive_seconds`."""
    rig = make_rig(limits=LIMITS)
    silent, client = rig.connect(), rig.connect()
    client.send(GET)
    rig.pass_time(10.1)
    assert silent.lost
    rig.pass_time(64)
    assert not client.lost
    client.send(GET)
    rig.pass_time(74)
    assert not client.lost
    rig.pass_time(2)
    assert client.eof
    client.send(GET)  # it crossed the end: not answered, and not reset either
    assert not client.lost
    rig.pass_time(LINGER_SECONDS)
    assert client.lost
    assert rig.begun == 2


def test_answer_that_is_never_read(make_rig, post, ok) -> None:
    """A connection that is to close but cannot get rid of its answer is aborted in the end."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    client.stall()
    client.send(post(b"1", b"Connection: close"))
    rig.backend.last.send(ok(b"x" * 30_000))
    rig.pass_time(19)
    assert not client.lost
    rig.pass_time(2)
    assert client.aborted


@pytest.mark.parametrize("ending", [b"close", b"keep-alive"])
def test_answer_that_is_read_slowly(make_rig, post, ok, ending: bytes) -> None:
    """Who takes a fair part of an answer in every `body_timeout_seconds` is not hurried; who trickles is left."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    client.stall()
    client.send(post(b"1", b"Connection: " + ending))
    rig.backend.last.send(ok(b"x" * 100_000))
    rig.pass_time(1)
    for _ in range(6):
        client.sip(12_000)
        rig.pass_time(20)
        assert not client.lost
    for _ in range(5):
        client.sip(100)
        rig.pass_time(20)
    assert client.aborted


def test_no_408_to_a_client_that_reads_nothing(make_rig) -> None:
    """Where an answer cannot even be begun, a stalled head ends its connection in the same time."""
    rig = make_rig(limits=LIMITS)
    client = rig.connect()
    client.send(GET + b"GET /")
    client.protocol.pause_writing()
    rig.pass_time(100)
    assert client.lost


# --- who is calling


def test_address_is_the_peers(rig) -> None:
    """The address of a request is that of the connection; IPv4 through an IPv6 socket is IPv4."""
    for peer, address in ((("::ffff:192.0.2.9", 1, 0, 0), "192.0.2.9"), (("::1", 1, 0, 0), "::1"), ("", "127.0.0.1")):
        client = rig.connect(peer=peer)
        client.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n")
        assert rig.trip.exchange.address == rig.trip.exchange.peer == address


def test_break_off_serves_nothing_more(rig, post, ok) -> None:
    """A connection that was broken off does not serve what was sent ahead on it."""
    client = rig.connect()
    client.send(post(b"1") + post(b"2"))
    side = rig.backend.last
    side.send(ok(b"12345")[:-2])
    side.reset()
    assert client.aborted
    assert rig.begun == 1
    assert len(rig.backend.sides) == 1


async def test_failing_service_does_not_wedge_the_connection(loop, clock, make_transport) -> None:
    """When serving fails beyond all handling, the error reaches the loop and the connection can be closed."""

    async def serve(client, message):
        await PAUSE
        raise RuntimeError("beyond handling")

    listener = Listener(serve, ScoringSettings(), Sweep(loop), secure=False)
    protocol = listener()
    side = make_transport(protocol)
    protocol.connection_made(side)
    side.send(GET)
    with pytest.raises(RuntimeError):
        protocol.journey.wake()
    side.reset()
    assert not listener.clients


@pytest.mark.parametrize("secure", [False, True])
def test_idle_client_is_left_politely(rig, secure: bool) -> None:
    """An idle connection sees an end and no reset: over TLS the closing alert, else a half-close."""
    client = rig.connect(listener=rig.listen(secure=secure))
    client.send(GET)
    client.take()
    client.protocol.close_if_idle()
    assert (client.eof, client.closing) == (not secure, secure)
    client.send(GET)
    assert client.take() == b""
    rig.pass_time(LINGER_SECONDS + 0.1)
    assert client.lost
