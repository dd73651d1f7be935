"""A backend's answer on its way to the client: whole or broken, never short and good, whatever backends lie."""

from __future__ import annotations

import pytest

from gateway.proxy.connection import MAX_BUFFERED, MAX_HEAD_BYTES, MAX_HEADERS, MAX_INTERIM, Connection
from gateway.proxy.delivery import LONG_ANSWER

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def asked(make_rig, post):
    """`asked(**spec)`: a rig whose client has sent a request: (rig, client, the backend's side)."""

    def ask(*fields, method=b"POST", version=b"1.1", **spec):
        rig = make_rig(**spec)
        client = rig.connect()
        client.send(post(b"1" if method == b"POST" else None, *fields, method=method, version=version))
        return rig, client, rig.backend.last

    return ask


# --- framings


def test_answer_in_any_pieces(asked, ok, answers) -> None:
    """An answer is the same in whatever pieces it comes."""
    rig, client, side = asked()
    side.send(*(bytes([byte]) for byte in ok(b"[1, 2, 3]")))
    (only,) = answers(client.take())
    assert (only.status, only.body, only.complete) == (200, b"[1, 2, 3]", True)
    assert rig.trip.sent_bytes == 9


def test_chunked_answer_streams(asked, answers) -> None:
    """A chunked answer is passed on piece by piece, the first byte not held back, trailers dropped."""
    rig, client, side = asked()
    side.send(CHUNKED)
    assert client.take().endswith(b"transfer-encoding: chunked\r\n\r\n")
    side.send(b"5\r\nfirst\r\n")
    assert client.take() == b"5\r\nfirst\r\n"
    rig.pass_time(50)
    side.send(b"6\r\nsecond\r\n")
    assert client.take() == b"6\r\nsecond\r\n"
    side.send(b"0\r\nX-Trailer: t\r\n\r\n")
    assert client.take() == b"0\r\n\r\n"
    assert (rig.trip.streams, rig.trip.sent_bytes, rig.trip.outcome) == (True, 11, "ok")
    assert len(rig.backend.sides) == 1
    assert not side.lost


def test_first_chunk_with_the_head(asked, answers) -> None:
    """Content that came with the head goes with the head."""
    _, client, side = asked()
    side.send(CHUNKED + b"3\r\nabc\r\n")
    assert client.writes == 1
    side.send(b"0\r\n\r\n")
    (only,) = answers(client.take())
    assert (only.body, only.complete) == (b"abc", True)


def test_chunked_answer_that_is_here_whole(asked, answers) -> None:
    """A chunked answer that arrived in one piece leaves with its length."""
    _, client, side = asked()
    side.send(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")
    (only,) = answers(client.take())
    assert only.headers["content-length"] == "3"


def test_chunked_answer_for_an_old_client(asked) -> None:
    """HTTP/1.0 knows no chunks: the end of the connection is the end of the answer."""
    _, client, side = asked(b"Connection: keep-alive", version=b"1.0")
    side.send(CHUNKED + b"3\r\nabc\r\n", b"3\r\ndef\r\n")
    assert not client.lost
    side.send(b"0\r\n\r\n")
    head, _, body = client.take().partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert body == b"abcdef"
    assert client.lost


def test_answer_for_an_old_client_ends_with_a_reset_until_it_is_whole(asked) -> None:
    """Where the connection's end is the answer's, it is orderly once the kernel has all: a worker may die before."""
    rig, client, side = asked(version=b"1.0")
    client.stall()
    side.send(CHUNKED + b"3\r\nabc\r\n", b"0\r\n\r\n")
    assert client.resets
    assert rig.records == []
    client.unstall()
    assert client.take().endswith(b"abc")
    assert client.lost
    assert not client.resets


def test_answer_for_an_old_client_that_is_cut(asked) -> None:
    """A backend that breaks off in the middle: the client sees a reset, and not the end of a short answer."""
    _, client, side = asked(version=b"1.0")
    side.send(CHUNKED + b"3\r\nabc\r\n")
    side.reset()
    assert client.aborted
    assert client.resets


def test_answer_until_eof(asked, answers) -> None:
    """An answer without length ends with its connection; the client gets it in chunks and keeps its own."""
    rig, client, side = asked()
    side.send(OK + b"\r\nabc", b"def")
    side.shut()
    rig.pass_time(0)
    (only,) = answers(client.take())
    assert (only.body, only.complete) == (b"abcdef", True)
    assert not client.lost


def test_answer_until_eof_that_is_reset(asked) -> None:
    """A connection that is reset is no end of an answer."""
    rig, client, side = asked()
    side.send(OK + b"\r\nabc")
    side.reset()
    assert client.aborted
    assert rig.trip.outcome == "failed"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("field", [b"", b"Content-Length: 7\r\n"])
def test_answers_without_body(asked, answers, status: bytes, field: bytes) -> None:
    """204 and 304 have no body; a 304 may tell the length of what it stands for, a 204 tells none."""
    rig, client, side = asked()
    side.send(b"HTTP/1.1 " + status + b"\r\n" + field + b"\r\n")
    data = client.take()
    assert data.endswith(b"\r\n\r\n")
    assert (b"content-length" in data) is (status.startswith(b"304") and bool(field))
    assert not client.lost
    assert rig.records


@pytest.mark.parametrize("framing", [b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_head(asked, answer, framing: bytes) -> None:
    """The answer to HEAD is its head, with the length that GET would have; the connection to the backend ends."""
    _, client, side = asked(method=b"HEAD")
    side.send(OK + framing + b"\r\n")
    data = client.take()
    assert data.endswith(b"\r\n\r\n")
    assert (b"content-length: 7" in data) is framing.startswith(b"Content")
    assert answer(data, "HEAD").status == 200
    assert side.aborted
    assert not client.lost


def test_body_behind_the_answer_to_head(asked) -> None:
    """A backend that answers HEAD with a body does not get it through."""
    _, client, side = asked(method=b"HEAD")
    side.send(OK + b"Content-Length: 7\r\n\r\nsmuggle")
    assert b"smuggle" not in client.take()


# --- what the dialect makes of a status


def test_model_failure_in_the_aks_dialect(asked, ok, answer) -> None:
    """A 500 of the model is 502 for the client, with the model's body; log and header tell both."""
    rig, client, side = asked(error_dialect="aks")
    side.send(ok(b"traceback", status=b"500 Oops"))
    got = answer(client.take())
    assert (got.status, got.body) == (502, b"traceback")
    assert (rig.trip.status, rig.trip.model_status) == (502, 500)


def test_empty_model_answer_in_the_managed_dialect(asked, answer) -> None:
    """A 204 that becomes a 424 has a length like every answer that may have a body."""
    _, client, side = asked(error_dialect="managed")
    side.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    got = answer(client.take())
    assert (got.status, got.headers["content-length"]) == (424, "0")
    assert got.headers["ms-azureml-model-error-statuscode"] == "204"


def test_unknown_status_passes(asked, ok, answer) -> None:
    """A status without a name passes, with one."""
    _, client, side = asked()
    side.send(ok(status=b"299 "))
    data = client.take()
    assert data.startswith(b"HTTP/1.1 299 Unknown\r\n")
    assert answer(data).status == 299


# --- back-pressure


def test_backend_is_slowed_to_the_clients_pace(asked, answers) -> None:
    """While the client reads nothing, only so much of an answer is held; then all of it arrives."""
    _, client, side = asked()
    content = bytes(range(256)) * 16_000
    side.send(OK + b"Content-Length: %d\r\n\r\n" % len(content))
    client.stall()
    for at in range(0, len(content), 50_000):
        side.send(content[at : at + 50_000])
    assert side.reading_paused
    assert len(client.unsent) < 200_000
    held = len(content) - sum(map(len, side.arriving)) - len(client.unsent)
    assert held < MAX_BUFFERED + 100_000
    while side.arriving or client.unsent:
        client.unstall()
        client.stall()
    client.unstall()
    (only,) = answers(client.take())
    assert only.body == content


def test_end_waits_for_a_slow_client(asked, answers) -> None:
    """An answer that is complete at the backend's side is not over while the client has to read it."""
    rig, client, side = asked()
    side.send(CHUNKED)
    client.stall()
    side.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    side.send(b"3\r\nend\r\n0\r\n\r\n")
    assert rig.records == []
    client.unstall()
    (only,) = answers(client.take())
    assert only.body == b"x" * 100_000 + b"end"
    assert rig.trip.outcome == "ok"


def test_error_waits_for_a_slow_client(asked) -> None:
    """What a failed backend sent before is passed on before the connection is broken off."""
    rig, client, side = asked()
    side.send(CHUNKED)
    client.stall()
    side.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n", b"3\r\nmor")
    side.reset()
    assert rig.records == []
    client.unstall()
    assert client.aborted
    assert rig.trip.sent_bytes == 100_003


def test_client_that_reads_nothing(asked) -> None:
    """A client that stops reading a stream is broken off after the idle time, and its container set free."""
    rig, client, side = asked(stream_idle_timeout_ms=5000)
    side.send(CHUNKED)
    client.stall()
    side.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    rig.pass_time(5.1)
    assert client.aborted
    assert (rig.trip.outcome, rig.trip.stage, rig.trip.reason) == ("timeout", "answer", "timeout")


def test_client_that_reads_nothing_of_a_drip(asked) -> None:
    """A backend that goes on sending gives a client that does not read no more time."""
    rig, client, side = asked(stream_idle_timeout_ms=5000)
    side.send(CHUNKED)
    client.stall()
    side.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    for _ in range(4):
        assert not client.aborted
        rig.pass_time(1.5)
        side.send(b"1\r\nx\r\n")
    assert client.aborted


def test_client_that_reads_slowly(asked) -> None:
    """A client that reads on now and then keeps its stream."""
    rig, client, side = asked(stream_idle_timeout_ms=5000)
    side.send(CHUNKED)
    for _ in range(4):
        client.stall()
        side.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        rig.pass_time(4)
        client.unstall()
    assert not client.aborted


def test_client_that_sips(asked) -> None:
    """Who takes a fair part of what waits for it is slow, not silent, though not even a buffer gets empty meanwhile."""
    rig, client, side = asked(stream_idle_timeout_ms=5000)
    side.send(CHUNKED)
    client.stall()
    side.send(b"30d40\r\n" + b"x" * 200_000 + b"\r\n")
    for _ in range(4):
        client.sip(30_000)
        rig.pass_time(5.1)
        assert not client.aborted
    client.sip(1000)
    rig.pass_time(5.1)
    assert client.aborted
    assert client.resets


# --- deadlines of an answer


def test_short_answer_has_the_one_deadline(asked, ok) -> None:
    """A body with a length up to 1 MiB is within the deadline, however often a byte comes; then it is cut."""
    rig, client, side = asked(scoring_timeout_ms=2000)
    side.send(ok(b"x" * 100)[:-50])
    for _ in range(4):
        rig.pass_time(0.45)
        side.send(b"x")
    assert not client.lost
    rig.pass_time(0.3)
    assert client.aborted
    assert (rig.trip.outcome, rig.trip.stage) == ("timeout", "answer")


@pytest.mark.parametrize("head", [CHUNKED, OK + b"\r\n", OK + b"Content-Length: %d\r\n\r\n" % (LONG_ANSWER + 1)])
def test_stream_has_an_idle_time(asked, head: bytes) -> None:
    """A stream may last longer than the deadline, but not be silent for longer than its idle time."""
    rig, client, side = asked(scoring_timeout_ms=1000, stream_idle_timeout_ms=3000)
    side.send(head)
    for _ in range(5):
        rig.pass_time(2.5)
        side.send(b"1\r\nx\r\n")
    assert not client.lost
    rig.pass_time(3.1)
    assert client.aborted
    assert side.aborted


# --- clients that leave


@pytest.mark.parametrize(("mode", "outcome"), [("auto", "gone"), ("abort", "gone"), ("drain", "gone")])
def test_client_leaves_a_stream(asked, mode: str, outcome: str) -> None:
    """A stream whose client left is closed at once, or read to its end where the service says so."""
    rig, client, side = asked(on_client_gone=mode)
    side.send(CHUNKED + b"3\r\nabc\r\n")
    client.reset()
    if mode == "drain":
        assert rig.records == []
        side.send(b"3\r\ndef\r\n")
        side.send(b"0\r\n\r\n")
        assert not side.lost
    else:
        assert side.aborted
    assert (rig.trip.outcome, rig.trip.status) == (outcome, 200)


def test_client_leaves_a_stream_it_did_not_read(asked) -> None:
    """A stream that waited for a client which then leaves is read to its end without one."""
    rig, client, side = asked(on_client_gone="drain")
    side.send(CHUNKED)
    client.stall()
    side.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    client.reset()
    side.send(b"0\r\n\r\n")
    assert rig.trip.outcome == "gone"


# --- hostile backends

BROKEN_BEFORE = {
    "no HTTP": b"220 mail.example.com ESMTP\r\n",
    "both lengths": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, other order": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "length list": OK + b"Content-Length: 3, 4\r\n\r\nabcd",
    "negative length": OK + b"Content-Length: -3\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "two codings": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "NUL": OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 3\r\n\r\nabc",
    "bad status": b"HTTP/1.1 20 OK\r\n\r\n",
    "upgrade nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "1xx storm": b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MAX_INTERIM + 1) + OK + b"Content-Length: 0\r\n\r\n",
    "header flood": OK + b"X: y\r\n" * (MAX_HEADERS + 1) + b"Content-Length: 0\r\n\r\n",
    "huge field": OK + b"X: " + b"y" * (MAX_HEAD_BYTES + 1),
    "never-ending name": OK + b"y" * (MAX_HEAD_BYTES + 1),
    "bad first chunk": CHUNKED + b"zz\r\n",
}


@pytest.mark.parametrize("name", BROKEN_BEFORE)
def test_answer_that_is_none(asked, answer, name: str) -> None:
    """What is no answer is a 502 with a request id for the client, and the end of the connection to the backend."""
    rig, client, side = asked()
    side.send(BROKEN_BEFORE[name])
    got = answer(client.take())
    assert got.status == 502
    assert rig.trip.exchange.request_id.encode() in got.body
    assert side.aborted
    assert not client.lost
    assert (rig.trip.outcome, rig.trip.reason) == ("failed", "backend_garbage")
    assert rig.meter.errors == {"garbage": 1}


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 000 x\r\n\r\n"]
)
@pytest.mark.parametrize("way", ["close", "reset"])
def test_backend_hangs_up_before_its_answer(asked, answer, sent: bytes, way: str) -> None:
    """A backend that ends before the head of its answer is complete gives a 502, by close as by reset."""
    rig, client, side = asked()
    if sent:
        side.send(sent)
    getattr(side, way)()
    rig.pass_time(0)
    assert answer(client.take()).status == 502
    assert rig.meter.errors == {"closed": 1}


@pytest.mark.parametrize(
    "begun",
    [
        OK + b"Content-Length: 10\r\n\r\n12345",
        CHUNKED + b"5\r\n12345\r\n",
        CHUNKED + b"a\r\n12345",
        CHUNKED + b"5\r\n12345\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_backend_hangs_up_in_its_answer(asked, answers, begun: bytes, way: str, version: bytes) -> None:
    """A cut answer is never taken for a whole one: the client's connection is broken, not ended."""
    rig, client, side = asked(version=version)
    side.send(begun)
    getattr(side, way)()
    rig.pass_time(0)
    assert client.aborted
    # Where nothing but the end of the connection tells the end of an answer, the end must be a reset.
    assert client.resets is (version == b"1.0" and b"Content-Length" not in begun)
    data = client.take()
    assert not data.endswith(b"0\r\n\r\n")
    if version == b"1.1":
        assert not answers(data)[0].complete
    assert (rig.trip.outcome, rig.trip.status) == ("failed", 200)


@pytest.mark.parametrize(
    "then",
    [b"zz\r\n", b"5\r\nabcdefg\r\n", b"0\r\nContent-Length: 3\r\n\r\n", b"5;x=" + b"y" * (MAX_HEAD_BYTES + 1000)],
)
def test_garbage_in_an_answer(asked, then: bytes) -> None:
    """Garbage in the middle of an answer breaks the client's connection."""
    rig, client, side = asked()
    side.send(CHUNKED + b"3\r\nabc\r\n")
    side.send(then)
    assert client.aborted
    assert rig.trip.reason == "garbage"
    assert not client.take().endswith(b"0\r\n\r\n")


def test_endless_trailer(asked) -> None:
    """A trailer that never ends is no stream."""
    rig, client, side = asked()
    side.send(CHUNKED + b"3\r\nabc\r\n", b"0\r\nX: ")
    for _ in range(8):
        side.send(b"y" * 10_000)
    assert client.aborted
    assert rig.trip.outcome == "failed"


def test_small_chunks_are_a_stream(asked, answers) -> None:
    """An answer in a great many chunks of one byte is legal."""
    _, client, side = asked()
    side.send(CHUNKED)
    for _ in range(50):
        side.send(b"1\r\nx\r\n" * 1000)
    side.send(b"0\r\n\r\n")
    (only,) = answers(client.take())
    assert only.body == b"x" * 50_000


@pytest.mark.parametrize("more", [OK + b"Content-Length: 6\r\n\r\nsecond", b"garbage"])
@pytest.mark.parametrize("at_once", [True, False])
def test_second_answer(asked, post, ok, answers, *, more: bytes, at_once: bool) -> None:
    """A second answer to one request reaches nobody, least of all the next client of that backend."""
    rig, client, side = asked()
    if at_once:
        side.send(ok(b"first") + more)
    else:
        side.send(ok(b"first"), more)
    assert side.aborted
    other = rig.connect()
    other.send(post(b"2"))
    assert rig.backend.last is not side
    rig.backend.last.send(ok(b"right"))
    assert [answer.body for answer in answers(client.take())] == [b"first"]
    assert [answer.body for answer in answers(other.take())] == [b"right"]


def test_control_bytes_that_nobody_asked_for_would_be_the_next_answer(asked, post, ok, answers, monkeypatch) -> None:
    """Control: a connection that kept such bytes for later would hand them to the next client."""
    rig, client, side = asked()
    receive, begin = Connection.data_received, Connection.begin
    leftovers = []

    def keep_for_later(connection, data) -> None:
        if connection.journey is None:
            leftovers.append(data)
        else:
            receive(connection, data)

    def begin_with_leftovers(connection, journey, *, body_expected) -> None:
        begin(connection, journey, body_expected=body_expected)
        for data in leftovers:
            rig.loop.call_soon(receive, connection, data)

    monkeypatch.setattr(Connection, "data_received", keep_for_later)
    monkeypatch.setattr(Connection, "begin", begin_with_leftovers)
    side.send(ok(b"first"), ok(b"stale"))
    client.take()
    other = rig.connect()
    other.send(post(b"2"))
    assert [answer.body for answer in answers(other.take())] == [b"stale"]


def test_interim_answers_are_swallowed(asked, ok, answers) -> None:
    """1xx answers of the backend stay at the gateway, and leave nothing behind in the final one."""
    _, client, side = asked()
    side.send(b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n")
    side.send(b"HTTP/1.1 103 Early Hints\r\nConnection: content-type\r\nContent-Length: 9\r\n\r\n")
    side.send(ok(b"[1]"))
    (only,) = answers(client.take())
    assert only.status == 200
    assert "x" not in only.headers
    assert only.headers["content-type"] == "application/json"


# --- keeping connections


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (OK + b"Content-Length: 2\r\n\r\n{}", True),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", True),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", True),
    ],
)
def test_connection_is_kept_as_the_backend_says(asked, post, ok, data: bytes, kept: bool) -> None:
    """A clean connection carries the next request; one that the backend ends does not, and costs no error."""
    rig, client, side = asked()
    side.send(data)
    assert side.aborted is not kept
    client.send(post(b"2"))
    assert (rig.backend.last is side) is kept
    rig.backend.last.send(ok())
    assert [trip.outcome for trip, _ in rig.records] == ["ok", "ok"]
    assert rig.meter.errors == {}
