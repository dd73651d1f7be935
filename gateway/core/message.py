"""What the control process and a worker say to each other over their Unix socket.

A frame is 4 bytes of length (big endian) and a JSON object whose `type` names the class below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Discriminator, TypeAdapter

from gateway.core.record import KeyUseRecord
from gateway.core.snapshot import WIRE, Update

MAX_FRAME_BYTES = 1 << 30
LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Publish:
    """Control → worker: serve this from now on, and acknowledge."""

    update: Update
    type: Literal["publish"] = "publish"

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Collect:
    """Control → worker: send what you counted. `serial` returns in the answer."""

    serial: int
    type: Literal["collect"] = "collect"

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Hello:
    """Worker → control, first: who is calling. `life` differs for every process, a replacement included."""

    worker: int
    pid: int
    life: str
    type: Literal["hello"] = "hello"

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Ack:
    """Worker → control: update `serial` is served; `kept_old`: services whose new entry did not compile, and why."""

    serial: int
    kept_old: dict[str, str]
    type: Literal["ack"] = "ack"

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Counts:
    """Worker → control: all it counted in its life. Rows are (metric name, label values, values); see `core.meter`."""

    serial: int
    rows: list[tuple[str, tuple[str, ...], tuple[float, ...]]]
    type: Literal["counts"] = "counts"

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Uses:
    """Worker → control, now and then: how often keys were used. It is told again until `Stored` has its serial.

    Serials grow within a life, and each stands for the same records whenever it comes.
    """

    serial: int
    records: list[KeyUseRecord]
    type: Literal["uses"] = "uses"

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Stored:
    """Control → worker: the uses of this serial are in the store."""

    serial: int
    type: Literal["stored"] = "stored"

    __pydantic_config__ = WIRE


ToWorker = Publish | Collect | Stored
ToControl = Hello | Ack | Counts | Uses
TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Discriminator("type")])
TO_CONTROL: TypeAdapter[ToControl] = TypeAdapter(Annotated[ToControl, Discriminator("type")])


def frame(payload: bytes) -> bytes:
    """One frame around a JSON payload."""
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


class Frames:
    """Cuts a byte stream into frames. Raises ValueError on a length beyond MAX_FRAME_BYTES."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that are complete with `data`, in order."""
        self._buffer += data
        payloads, start = [], 0
        while len(self._buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[start : start + LENGTH_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            end = start + LENGTH_BYTES + length
            if len(self._buffer) < end:
                break
            payloads.append(bytes(self._buffer[start + LENGTH_BYTES : end]))
            start = end
        del self._buffer[:start]
        return payloads
