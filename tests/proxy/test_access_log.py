"""The access log: one line of JSON a request, with what an operator asks for and nothing that opens a door."""

from __future__ import annotations

import json
import os
import threading

import pytest

from gateway.core.exchange import Caller
from gateway.proxy import access_log as module
from gateway.proxy.access_log import AccessLog, line
from gateway.proxy.trip import Trip


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


class Timers:
    """`call_later` of a loop, by hand."""

    def __init__(self) -> None:
        self.waiting = []

    def __call__(self, _, callback):
        timer = Timer(self, callback)
        self.waiting.append(timer)
        return timer

    def fire(self) -> None:
        for timer in list(self.waiting):
            self.waiting.remove(timer)
            timer.callback()


class Timer:
    def __init__(self, timers, callback) -> None:
        self.timers, self.callback = timers, callback

    def cancel(self) -> None:
        if self in self.timers.waiting:
            self.timers.waiting.remove(self)


@pytest.fixture
def trip(make_rig, post, ok, primary_key) -> Trip:
    """A scored request that waited in the queue, and whose credential, query and body must not be told."""
    rig = make_rig(keys=True, max_queue_wait_ms=10_000)
    credential = b"Authorization: Bearer " + primary_key
    first, client = rig.connect(), rig.connect()
    first.send(post(b"1", credential))
    fields = (b"User-Agent: curl/8", b"X-Request-Id: r1", b"x-ms-client-request-id: m1")
    client.send(post(b"[[secret]]", credential, *fields, path=b"/api/v1/service/svc/score?token=hidden"))
    rig.pass_time(1)
    rig.backend.last.send(ok(b"[1]", b"Connection: close"))
    rig.pass_time(0.5)
    rig.backend.last.send(ok(b"[1, 2]"))
    trip, ended = rig.records[-1]
    trip.started -= ended - rig.clock.now
    return trip


def test_line(trip, primary_key) -> None:
    """Who asked for what, by which key, who answered, how long each part took."""
    written = line(trip, trip.answered, 1.7e9 + 0.25)
    assert written == {
        "time": "2023-11-14T22:13:20.250Z",
        "method": "POST",
        "path": "/api/v1/service/svc/score",
        "protocol": "HTTP/1.1",
        "status": 200,
        "outcome": "ok",
        "request_id": "r1",
        "client": "192.0.2.7",
        "user_agent": "curl/8",
        "request_bytes": 10,
        "response_bytes": 6,
        "total_ms": 1500.0,
        "model_status": 200,
        "client_request_id": "m1",
        "auth_type": "key",
        "key_id": "k1",
        "slot": "primary",
        "service": "svc",
        "deployment": "default",
        "backend": "http://backend0:5001",
        "queue_ms": 1000.0,
        "first_byte_ms": 500.0,
    }
    text = json.dumps(written)
    assert not any(secret in text for secret in (primary_key.decode(), "hidden", "[[secret]]"))


def test_control_the_whole_request_holds_the_secrets(trip, primary_key) -> None:
    """Control: the secrets that the line leaves out were there to be told."""
    exchange = trip.exchange
    whole = repr((exchange.headers, exchange.query))
    assert primary_key.decode() in whole
    assert "hidden" in whole


def test_line_of_a_refusal(rig) -> None:
    """A refused request says why and where; what it never had is left out."""
    client = rig.connect()
    client.send(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
    written = line(*rig.records[-1], 0.0)
    assert (written["outcome"], written["reason"], written["stage"]) == ("refused", "not_found", "route")
    assert not {"service", "backend", "auth_type", "key_id", "queue_ms", "body_ms"} & set(written)


def test_line_of_an_open_service(rig, post, ok) -> None:
    """Where anyone may call, the log says that nobody proved who they are; phases that took no time are zero or out."""
    client = rig.connect()
    client.send(post(b"1"))
    rig.backend.last.send(ok())
    written = line(*rig.records[-1], 0.0)
    assert written["auth_type"] == "none"
    assert "caller" not in written


@pytest.mark.parametrize("auth_type", ["token", "key"])
def test_callers_are_named(trip, auth_type) -> None:
    """A token's subject is in the log, and a named caller; of the service's own keys it is id and slot."""
    trip.exchange.caller = Caller(auth_type, "alice", "id-1")
    written = line(trip, trip.answered, 0.0)
    assert (written["caller"], written["key_id"], written["auth_type"]) == ("alice", "id-1", auth_type)
    trip.exchange.caller = Caller("key", "diabetes/primary", "k_1", "primary")
    written = line(trip, trip.answered, 0.0)
    assert (written["key_id"], written["slot"], "caller" in written) == ("k_1", "primary", False)


def test_hostile_text_stays_on_its_line(rig) -> None:
    """What a client chooses cannot begin a second line, nor write to a terminal."""
    client = rig.connect()
    client.send(b'GET /%0a\x22{} HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\x9b31m"\\\r\n\r\n')
    text = json.dumps(line(*rig.records[-1], 0.0))
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["user_agent"] == '\xff\x9b31m"\\'


def test_written_in_batches(trip, pipe) -> None:
    """Records are gathered and written a moment later, each on its line, in order."""
    timers = Timers()
    log = AccessLog(pipe[1], timers)
    for _ in range(3):
        log.record(trip, trip.answered)
    assert len(timers.waiting) == 1
    timers.fire()
    log.record(trip, trip.answered)
    log.close()
    lines = os.read(pipe[0], 100_000).decode().splitlines()
    assert [json.loads(text)["request_id"] for text in lines] == ["r1"] * 4
    assert timers.waiting == []


def test_full_batch_goes_at_once(trip, pipe, monkeypatch) -> None:
    """Under load a batch is written when it is full; lines are never cut across two writes."""
    monkeypatch.setattr(module, "BATCH", 10)
    writes = []
    monkeypatch.setattr(module.os, "write", lambda _, data: writes.append(bytes(data)) or len(data))
    timers = Timers()
    log = AccessLog(pipe[1], timers)
    for _ in range(25):
        log.record(trip, trip.answered)
    log.close()
    assert all(data.endswith(b"\n") and len(data) <= module.ATOMIC_BYTES for data in writes)
    assert sum(data.count(b"\n") for data in writes) == 25
    assert len(writes) < 25


def test_partial_write_goes_on(trip, pipe, monkeypatch) -> None:
    """A pipe that takes a part gets the rest."""
    written = bytearray()

    def take_some(_, data) -> int:
        written.extend(data[:100])
        return min(100, len(data))

    monkeypatch.setattr(module.os, "write", take_some)
    log = AccessLog(pipe[1], Timers())
    log.record(trip, trip.answered)
    log.close()
    assert json.loads(written)["request_id"] == "r1"


def test_full_disk_is_counted(trip, pipe, monkeypatch) -> None:
    """What cannot be written is dropped and counted; requests go on."""

    def fail(*_) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", fail)
    log = AccessLog(pipe[1], Timers())
    for _ in range(3):
        log.record(trip, trip.answered)
    log.close()
    assert log.dropped == 3


def test_slow_disk_holds_no_memory(trip, pipe, monkeypatch) -> None:
    """While nothing can be written only so many batches wait; the rest is dropped and counted; nobody is delayed."""
    monkeypatch.setattr(module, "BATCH", 1)
    monkeypatch.setattr(module, "MAX_WAITING_BATCHES", 2)
    stuck, go = threading.Event(), threading.Event()

    def wait(_, data) -> int:
        stuck.set()
        go.wait(10)
        return len(data)

    monkeypatch.setattr(module.os, "write", wait)
    log = AccessLog(pipe[1], Timers())
    log.record(trip, trip.answered)
    assert stuck.wait(10)
    for _ in range(5):
        log.record(trip, trip.answered)
    assert log.dropped == 3
    log.close(patience_seconds=0.01)
    go.set()
    log._batches.put(None)
    log._thread.join(10)
    assert not log._thread.is_alive()


def test_nothing_to_flush(pipe) -> None:
    """An idle log writes nothing and ends."""
    log = AccessLog(pipe[1], Timers())
    log.flush()
    log.close()
    assert not log._thread.is_alive()
