"""The body of a request on its way to a backend: whole while it is small, as it comes when it is large."""

from __future__ import annotations

import pytest

HEAD_END = b"\r\n\r\n"


def body_of(side) -> bytes:
    return side.take().partition(HEAD_END)[2]


def unchunk(data: bytes) -> bytes:
    """The content of a chunked body that is complete."""
    content = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            assert data == b"\r\n"
            return content
        content, data = content + data[: int(size, 16)], data[int(size, 16) + 2 :]


def test_small_request_is_one_write(rig, post, ok, answer) -> None:
    """A request whose body is small reaches the backend in one write, and the answer the client in one."""
    client = rig.connect()
    client.send(post(b"[[1, 2]]"))
    side = rig.backend.last
    assert side.writes == 1
    assert side.take().endswith(b"content-length: 8\r\n\r\n[[1, 2]]")
    side.send(ok(b"[3]"))
    assert client.writes == 1
    assert answer(client.take()).body == b"[3]"
    assert (rig.trip.outcome, rig.trip.status, rig.trip.model_status) == ("ok", 200, 200)


def test_slow_small_body_holds_no_container(rig, post) -> None:
    """A permit is taken when the body is here, not while a client sends it."""
    client = rig.connect()
    client.send(post(None, b"Content-Length: 10"), b"12345")
    assert rig.board.taken == 0
    client.send(b"67890")
    assert rig.board.outstanding(1) == 1
    assert body_of(rig.backend.last) == b"1234567890"


def test_small_chunked_body_gets_a_length(rig, post, ok) -> None:
    """A small body that came in chunks travels whole, with its length."""
    client = rig.connect()
    client.send(post(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"))
    request = rig.backend.last.take()
    assert request.endswith(b"content-length: 5\r\n\r\nabcde")
    assert b"transfer-encoding" not in request


def test_empty_chunked_body(rig, post) -> None:
    """An empty chunked body is a body of length 0."""
    client = rig.connect()
    client.send(post(b"0\r\n\r\n", b"Transfer-Encoding: chunked"))
    assert rig.backend.last.take().endswith(b"content-length: 0\r\n\r\n")


def test_get_has_no_body(rig, post) -> None:
    """A request without a body is passed on without one."""
    client = rig.connect()
    client.send(post(None, method=b"GET", path=b"/api/v1/service/svc/swagger.json"))
    request = rig.backend.last.take()
    assert request.startswith(b"GET /swagger.json HTTP/1.1\r\n")
    assert b"content-length" not in request


@pytest.mark.parametrize("is_chunked", [False, True])
def test_large_body_streams(rig, post, ok, answer, is_chunked: bool) -> None:
    """A large body flows on as it comes, with the framing it came with, and nothing of it is lost or held."""
    content = bytes(range(256)) * 4000
    pieces = [content[at : at + 30_000] for at in range(0, len(content), 30_000)]
    client, field = rig.connect(), b"Content-Length: %d" % len(content)
    if is_chunked:
        field = b"Transfer-Encoding: chunked"
    client.send(post(None, field))
    sent_on = b""
    for number, piece in enumerate(pieces):
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if number > 3:
            sent_on += rig.backend.last.take()
            assert len(sent_on) > (number - 1) * 30_000
    if is_chunked:
        client.send(b"0\r\n\r\n")
    head, _, rest = (sent_on + rig.backend.last.take()).partition(HEAD_END)
    assert (unchunk(rest) if is_chunked else rest) == content
    assert (b"transfer-encoding: chunked" in head) is is_chunked
    rig.backend.last.send(ok())
    assert answer(client.take()).status == 200
    assert rig.trip.received == len(content)


def test_client_is_slowed_to_the_backends_pace(rig, post, ok, answer) -> None:
    """A backend that reads slowly slows its client down, in time for neither to be blamed for the other."""
    client = rig.connect()
    client.send(post(None, b"Content-Length: 2000000"), b"x" * 100_000)
    side = rig.backend.last
    side.stall()
    client.send(*[b"x" * 100_000] * 19)
    assert client.reading_paused
    rig.pass_time(30)
    while client.arriving or side.unsent:
        side.unstall()
        side.stall()
    side.unstall()
    assert len(body_of(side)) == 2_000_000
    rig.pass_time(50)
    side.send(ok())
    assert answer(client.take()).status == 200


def test_overrun_is_413_and_closes_the_backend(make_rig, post, answer) -> None:
    """A chunked body that grows too large after a part was sent on: the backend is cut off, the client told."""
    rig = make_rig(max_request_bytes=200_000)
    client = rig.connect()
    client.send(post(None, b"Transfer-Encoding: chunked"))
    for _ in range(21):
        client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
    side = rig.backend.last
    refusal = answer(client.take())
    assert (refusal.status, refusal.headers["connection"]) == (413, "close")
    assert b"max_request_bytes" in refusal.body
    assert side.aborted
    assert (rig.trip.outcome, rig.trip.reason, rig.trip.stage) == ("refused", "body_too_large", "body")


def test_small_overrun_reaches_no_backend(make_rig, post, answer) -> None:
    """A chunked body that is too large while it is still gathered is refused before any backend hears of it."""
    rig = make_rig(max_request_bytes=10)
    client = rig.connect()
    client.send(post(None, b"Transfer-Encoding: chunked"), b"6\r\nabcdef\r\n", b"6\r\nghijkl\r\n")
    assert answer(client.take()).status == 413
    assert rig.board.taken == 0


def test_announced_overrun_reaches_no_backend(make_rig, post, answer) -> None:
    """A body announced as too large is refused by its announcement."""
    rig = make_rig(max_request_bytes=10)
    client = rig.connect()
    client.send(post(None, b"Content-Length: 11"))
    assert answer(client.take()).status == 413


def test_broken_chunk_in_a_stream(rig, post, answer) -> None:
    """A body whose framing breaks after a part was sent on never looks complete to the backend."""
    client = rig.connect()
    client.send(post(None, b"Transfer-Encoding: chunked"), b"11170\r\n" + b"x" * 70_000 + b"\r\n", b"zz\r\n")
    side = rig.backend.last
    assert answer(client.take()).status == 400
    assert side.aborted
    assert not side.received.endswith(b"0\r\n\r\n")


def test_client_that_stops_in_a_stream(rig, post, answer) -> None:
    """A client that falls silent in the middle of a large body is told so, and its container set free."""
    client = rig.connect()
    client.send(post(None, b"Content-Length: 100000"), b"x" * 70_000)
    assert rig.board.outstanding(1) == 1
    rig.pass_time(61)
    assert answer(client.take()).status == 408
    assert (rig.trip.outcome, rig.trip.stage) == ("timeout", "body")
    assert rig.backend.last.aborted


def test_client_that_leaves_in_a_stream(rig, post) -> None:
    """A client that leaves in the middle of a large body takes its request with it."""
    client = rig.connect()
    client.send(post(None, b"Content-Length: 100000"), b"x" * 70_000)
    client.reset()
    assert rig.backend.last.aborted
    assert rig.trip.outcome == "gone"


def test_backend_that_does_not_read(make_rig, post, answer) -> None:
    """A backend that takes no more of a body has the deadline of the service, and the blame."""
    rig = make_rig(scoring_timeout_ms=5000)
    client = rig.connect()
    client.send(post(None, b"Content-Length: 1000000"), b"x" * 70_000)
    rig.backend.last.stall()
    client.send(*[b"x" * 50_000] * 3)
    rig.pass_time(5.1)
    assert answer(client.take()).status == 504
    assert (rig.trip.outcome, rig.trip.stage) == ("timeout", "first_byte")


def test_time_of_a_slow_client_is_its_own(make_rig, post, ok, answer) -> None:
    """The deadline of the service begins when the backend has the whole request."""
    rig = make_rig(scoring_timeout_ms=5000)
    client = rig.connect()
    client.send(post(None, b"Content-Length: 90000"))
    for _ in range(9):
        client.send(b"x" * 10_000)
        rig.pass_time(4)
    rig.pass_time(0.5)
    rig.backend.last.send(ok())
    assert answer(client.take()).status == 200


def test_early_answer_ends_the_upload(rig, post, ok, answer) -> None:
    """An answer that comes before the request was sent whole is passed on, and both connections end."""
    client = rig.connect()
    client.send(post(None, b"Content-Length: 1000000"), b"x" * 70_000)
    side = rig.backend.last
    side.send(ok(b'"no"', status=b"413 Too Large"))
    early = answer(client.take())
    assert (early.status, early.headers["connection"]) == (413, "close")
    assert side.aborted
    client.send(b"x" * 50_000)
    rig.pass_time(3)
    assert client.aborted
