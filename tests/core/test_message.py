"""What control process and workers say to each other: every message survives the wire, a stream is cut exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.message import (
    LENGTH_BYTES,
    MAX_FRAME_BYTES,
    TO_CONTROL,
    TO_WORKER,
    Ack,
    Collect,
    Counts,
    Frames,
    Hello,
    Publish,
    Stored,
    Uses,
    frame,
)
from gateway.core.record import KeyUseRecord
from gateway.core.snapshot import Update


@pytest.mark.parametrize(
    "message", [Publish(Update(serial=1)), Publish(Update(serial=2, full=True)), Collect(7), Stored(8)]
)
def test_what_a_worker_hears_survives_the_wire(message):
    """JSON and back is the same value, of the same class."""
    assert TO_WORKER.validate_json(TO_WORKER.dump_json(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Hello(1, 4711, "life"),
        Ack(3, {}),
        Ack(3, {"diabetes": "ValueError: no"}),
        Counts(9, [("scoregate_requests", ("diabetes", "200"), (3.0,)), ("scoregate_connections", (), (1.0, 2.5))]),
        Counts(0, []),
        Uses(1, [KeyUseRecord("diabetes", "k_1", 495_000, 7, 1_782_000_001)]),
    ],
)
def test_what_the_control_process_hears_survives_the_wire(message):
    """JSON and back is the same value, of the same class."""
    assert TO_CONTROL.validate_json(TO_CONTROL.dump_json(message)) == message


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        (TO_WORKER, '{"type":"hello","worker":1,"pid":1,"life":"x"}'),
        (TO_CONTROL, '{"type":"collect","serial":1}'),
        (TO_CONTROL, '{"serial":1,"kept_old":{}}'),
        (TO_CONTROL, '{"type":"ack","serial":1,"kept_old":{},"more":1}'),
        (TO_CONTROL, '{"type":"ack","serial":"x","kept_old":{}}'),
        (TO_CONTROL, "[]"),
        (TO_CONTROL, "{"),
    ],
)
def test_what_is_no_message_is_refused(adapter, text):
    """The other side's messages, unknown types and fields, wrong kinds, no JSON."""
    with pytest.raises(ValidationError):
        adapter.validate_json(text)


@given(payloads=st.lists(st.binary(max_size=50), max_size=8), cuts=st.lists(st.integers(1, 40), max_size=40))
def test_a_stream_is_cut_into_the_frames_that_were_sent(payloads, cuts):
    """However the kernel splits the bytes, the same payloads come out, in order, none twice."""
    stream = b"".join(map(frame, payloads))
    frames, out = Frames(), []
    for cut in [*cuts, len(stream)]:
        out += frames.feed(stream[:cut])
        stream = stream[cut:]
    assert out == payloads


def test_a_frame_comes_out_with_its_last_byte():
    """Not before, and what follows it is kept."""
    frames, data = Frames(), frame(b"hello") + frame(b"you")
    assert data[:LENGTH_BYTES] == b"\0\0\0\x05"
    assert frames.feed(data[:8]) == []
    assert frames.feed(data[8:12]) == [b"hello"]
    assert frames.feed(data[12:]) == [b"you"]


def test_a_length_beyond_reason_is_refused_at_once():
    """It is no frame of ours, and nobody waits or buffers for it."""
    with pytest.raises(ValueError, match=f"a frame of {MAX_FRAME_BYTES + 1} bytes"):
        Frames().feed((MAX_FRAME_BYTES + 1).to_bytes(LENGTH_BYTES, "big"))
    assert Frames().feed(MAX_FRAME_BYTES.to_bytes(LENGTH_BYTES, "big")) == []
