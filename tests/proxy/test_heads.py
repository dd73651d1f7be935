"""Heads that are passed on: what the backend is told, what the client is told, and what neither is."""

from __future__ import annotations

import pytest

from gateway.core.spec import RequestHeadersSpec


def lines(data: bytes) -> dict[bytes, bytes]:
    """The fields of a head, each of which must stand once."""
    first, *rest = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    fields = [line.partition(b": ")[::2] for line in rest]
    names = [name.lower() for name, _ in fields]
    assert len(set(names)) == len(names), names
    return {b"": first} | {name.lower(): value for name, value in fields}


def test_request_head(rig, post) -> None:
    """The backend gets the model's own path, its own host, the client's fields, and who is calling."""
    client = rig.connect()
    client.send(
        post(b"1", b"Content-Type: application/json", b"X-Trace: t", b"Connection: X-Hop", b"X-Hop: h", b"TE: trailers")
    )
    head = lines(rig.backend.last.take())
    assert head[b""] == b"POST /score HTTP/1.1"
    assert head[b"host"] == b"backend0:5001"
    assert head[b"content-type"] == b"application/json"
    assert head[b"x-trace"] == b"t"
    assert head[b"x-forwarded-for"] == b"192.0.2.7"
    assert head[b"x-forwarded-proto"] == b"http"
    assert head[b"x-forwarded-host"] == b"gateway"
    assert head[b"x-scoregate-auth-type"] == b"none"
    assert not {b"connection", b"x-hop", b"te"} & set(head)


def test_what_clients_may_not_say(rig, post) -> None:
    """Fields that would speak for the gateway do not pass, in any spelling."""
    client = rig.connect()
    lies = (
        b"X-Scoregate-Caller: root",
        b"x_scoregate_caller: root",
        b"X-Forwarded-For: 1.2.3.4",
        b"Forwarded: for=1.2.3.4",
    )
    client.send(post(b"1", b"Authorization: Bearer secret", b"X-Real-IP: 1.2.3.4", *lies))
    request = rig.backend.last.take()
    assert b"secret" not in request
    assert b"1.2.3.4" not in request
    assert lines(request)[b"x-scoregate-caller"] == b"anonymous"


def test_query_and_set_fields(make_rig, post) -> None:
    """The query passes; fields that the service sets or removes are set and removed."""
    rig = make_rig(request_headers=RequestHeadersSpec(set={"X-Model": "a"}, remove=("Cookie",)))
    client = rig.connect()
    client.send(post(b"1", b"Cookie: c", b"X-Model: b", path=b"/api/v1/service/svc/score?verbose=1"))
    head = lines(rig.backend.last.take())
    assert head[b""] == b"POST /score?verbose=1 HTTP/1.1"
    assert head[b"x-model"] == b"a"
    assert b"cookie" not in head


def test_answer_head(rig, post, ok) -> None:
    """The client gets the model's fields, its ids, where the time went; not the hop and cross-origin fields."""
    client = rig.connect()
    client.send(post(b"1", b"X-Request-Id: r1", b"x-ms-client-request-id: m1"))
    rig.pass_time(0.25)
    theirs = (
        b"X-Model: m",
        b"Connection: X-Hop",
        b"X-Hop: h",
        b"Access-Control-Allow-Origin: *",
        b"X-Request-Id: evil",
    )
    rig.backend.last.send(ok(b"[1]", *theirs))
    head = lines(client.take())
    assert head[b""] == b"HTTP/1.1 200 OK"
    assert head[b"x-model"] == b"m"
    assert head[b"x-request-id"] == b"r1"
    assert head[b"x-ms-client-request-id"] == b"m1"
    assert head[b"server-timing"] == b"queue;dur=0.0, backend;dur=250.0, gateway;dur=0.0"
    assert not {b"x-hop", b"connection", b"access-control-allow-origin"} & set(head)


def test_server_timing_tells_the_queue(make_rig, post, ok) -> None:
    """Time in the queue is told apart from the backend's."""
    rig = make_rig(max_queue_wait_ms=10_000)
    first, second = rig.connect(), rig.connect()
    first.send(post(b"1"))
    second.send(post(b"2"))
    rig.pass_time(1)
    rig.backend.last.send(ok())
    rig.pass_time(2)
    rig.backend.last.send(ok())
    assert lines(second.take())[b"server-timing"] == b"queue;dur=1000.0, backend;dur=2000.0, gateway;dur=0.0"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_control_a_repeated_field_is_seen(version: bytes) -> None:
    """Control: the reader of these tests refuses a head in which a field stands twice."""
    with pytest.raises(AssertionError):
        lines(b"HTTP/" + version + b" 200 OK\r\nA: b\r\na: c\r\n\r\n")
