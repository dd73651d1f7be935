"""Small worlds with a script, and a stroke of fate exactly where a request waits: at its k-th suspension."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from actor_http import CutError, digest
from callers import Caller, Manners
from containers import Container
from ledger import Request
from lives import Life
from virtual_connection import End
from world import World

from gateway.core.spec import RetrySpec, ServiceSpec
from gateway.proxy.client import Client
from gateway.proxy.message import Message

TARGET = "t.1"
FIRST = 1
LARGE = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A service, its containers' behaviours, the request that is struck, and the rivals that keep containers busy."""

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    containers: tuple[tuple[str, ...], ...] = (("answer",),)
    method: str = "POST"
    size: int = 100
    framing: str = "length"
    version: str = "1.1"
    expects: bool = False
    rivals: int = 0


SCRIPTS = (
    Script(name="plain"),
    Script(name="queued", rivals=3, containers=(("slow",),)),
    Script(name="streamed up", size=LARGE, framing="chunked", expects=True, rivals=1),
    Script(name="streamed down", containers=(("chunks",),), method="GET", size=0, framing="none"),
    Script(name="until the end", containers=(("eof",),), version="1.0", rivals=1),
    Script(name="tried again", containers=(("reset",), ("reset",), ("answer",)), method="PUT", size=20_000),
    Script(name="answered early", containers=(("early",),), size=LARGE, spec={"on_client_gone": "drain"}),
    Script(name="stalled", containers=(("stall_in_body",), ("stall",)), spec={"on_client_gone": "abort"}, rivals=2),
    Script(name="lied to", containers=(("two_answers",), ("unasked",)), rivals=2),
)


class Paced:
    """Steps a request's coroutine and tells where it was suspended: `paused` is called each time."""

    def __init__(self, coroutine: Awaitable[None], paused: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._paused = paused

    def __await__(self) -> Generator[None, None, None]:
        inner = self._coroutine.__await__()
        step: Callable[[], object] = partial(next, inner)
        while True:
            try:
                step()
            except StopIteration:
                return
            self._paused()
            try:
                yield
            except GeneratorExit:
                inner.close()
                raise
            except Exception as error:  # noqa: BLE001 - passed on
                step = partial(inner.throw, error)
            else:
                step = partial(next, inner)


class ScriptedCaller(Caller):
    """Sends the requests it is given over one connection."""

    def __init__(self, world: World, name: str, requests: list[Request]) -> None:
        super().__init__(world, name, Manners())
        self._requests = requests

    async def run(self) -> None:
        try:
            socket, worker = await self._dial(self)
        except OSError:
            return
        for request in self._requests:
            self._ledger.open(request).worker = worker
        try:
            await self._one_by_one(socket, self._requests)
        except CutError:
            self._give_up(self._requests)
        if not socket.has_left:
            socket.leave("close")


class ScriptedWorld(World):
    """One script, played with a stroke of `strokes` after each suspension of the request that has a number in them."""

    def __init__(self, script: Script, strokes: dict[int, str], *, is_read: bool = False) -> None:
        self.script = script
        self.strokes = strokes
        self.pauses = 0
        self._due: list[Callable[[], None]] = []
        super().__init__(FIRST, is_read=is_read)

    def furnish(self) -> None:
        self.is_calm = self.is_secure = False
        self.workers = 1
        self.service_count = 1
        self.manners = Manners(idles=9.0)
        self.containers = [self.make_container(index, kinds) for index, kinds in enumerate(self.script.containers)]

    def make_spec(self, containers: list[Container]) -> ServiceSpec:
        said = {"scoring_timeout_ms": 9_000, "max_queue_wait_ms": 8_000, "stream_idle_timeout_ms": 1_000}
        urls = tuple(container.url for container in containers)
        return ServiceSpec(backends=urls, auth_enabled=False, retry=RetrySpec(attempts=3), **(said | self.script.spec))

    def make_callers(self) -> list[Caller]:
        for life in self.fleet.lives:
            life.pace = self._pace
        rivals = [self._rival(f"r{number}") for number in range(self.script.rivals)]
        script = self.script
        body = random.Random(script.name).randbytes(script.size)
        request = Request(
            TARGET, "svc0", script.method, body, script.framing, script.version, script.expects, False, digest(body)
        )
        return [*rivals, ScriptedCaller(self, "t0", [request, self._plain("t.2")])]

    def _rival(self, name: str) -> Caller:
        return ScriptedCaller(self, name, [self._plain(f"{name}.1"), self._plain(f"{name}.2")])

    def _plain(self, request_id: str) -> Request:
        return Request(request_id, "svc0", "POST", b"12345", "length", "1.1", False, False, digest(b"12345"))

    def disturb(self) -> None:
        """Nothing: strokes come by themselves."""

    # --- strokes

    def _pace(self, life: Life, client: Client, message: Message, coroutine: Awaitable[None]) -> Awaitable[None]:
        assert message.exchange is not None
        if message.exchange.request_id != TARGET:
            return coroutine
        return Paced(coroutine, partial(self._paused, life, client))

    def _paused(self, life: Life, client: Client) -> None:
        self.pauses += 1
        kind = self.strokes.get(self.pauses)
        if kind is not None:
            self.trace("STROKE", f"{kind} at suspension {self.pauses}")
            self._due.append(partial(STROKES[kind], self, life, client))

    def after_each(self) -> None:
        while self._due:
            self._due.pop()()
        super().after_each()


def _client_goes(world: ScriptedWorld, life: Life, client: Client) -> None:
    _break(client._transport)  # type: ignore[arg-type]


def _deadline_passes(world: ScriptedWorld, life: Life, client: Client) -> None:
    client.expire(world.events.now)


def _backends_break(world: ScriptedWorld, life: Life, client: Client) -> None:
    for end in life.loop.ends:
        if end.protocol is not None and not end.is_lost:
            _break(end)


def _service_goes(world: ScriptedWorld, life: Life, client: Client) -> None:
    spec = world.fleet.specs.pop("svc0", None)
    if spec is not None:
        world.fleet.publish(removed=("svc0",), only=life)
        world.fleet.specs["svc0"] = spec
        world.process.call_later(0.01, world.fleet.publish)


def _worker_drains(world: ScriptedWorld, life: Life, client: Client) -> None:
    if life.is_accepting:
        world.fleet.drain(life)


def _worker_dies(world: ScriptedWorld, life: Life, client: Client) -> None:
    world.fleet.kill(life)


def _break(end: End) -> None:
    """A reset arrives, and is seen at once."""
    if not end.is_lost:
        end.socket.resets = True
        end.is_lost = end._is_closing = True
        end._unsent.clear()
        end._lost(ConnectionResetError(104, "Connection reset by peer"))


STROKES: dict[str, Callable[[ScriptedWorld, Life, Client], None]] = {
    "client": _client_goes,
    "deadline": _deadline_passes,
    "backend": _backends_break,
    "service": _service_goes,
    "drain": _worker_drains,
    "death": _worker_dies,
}
