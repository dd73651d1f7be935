"""The worker's end of its link: it says who it is, serves what it is told, and calls again for as long as it lives."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.core.message import LENGTH_BYTES, Ack, Collect, Counts, Hello, Publish, Stored, Uses, frame
from gateway.core.record import KeyUseRecord
from gateway.core.snapshot import Update
from gateway.proxy import link as module
from gateway.proxy.link import Link
from gateway.proxy.meters import Meters
from gateway.proxy.uses import KeyUses

HELLO = Hello(3, 4711, "life")
ROWS = [("scoregate_connections", (), (2.0,))]


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)


@asynccontextmanager
async def linked(path, applied=None, kept=None, uses=None):
    """A link that runs; what it applies is put into `applied`."""

    def apply(update):
        if applied is not None:
            applied.append(update)
        return kept or {}

    link = Link(path, HELLO, apply, lambda: ROWS, KeyUses(Meters()) if uses is None else uses)
    running = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not link.connected


async def test_says_hello_and_acknowledges(control, make_entry) -> None:
    """A worker says who it is, serves the update, then acknowledges it, with what it could not serve."""
    applied = []
    async with linked(control.path, applied, {"bad": "why"}) as link:
        assert await control.hear(Hello) == HELLO
        assert not link.connected
        assert await control.publish(make_entry(), full=True) == Ack(1, {"bad": "why"})
        assert link.connected
        assert [update.services[0].name for update in applied] == ["svc"]
        assert (await control.publish(removed=("svc",))).serial == 2


async def test_tells_its_counts(control) -> None:
    """Asked for what it counted, a worker answers with the number of the question."""
    async with linked(control.path):
        await control.hear(Hello)
        control.say(Collect(9))
        assert await control.hear(Counts) == Counts(9, ROWS)


class Used(KeyUses):
    """Uses of a key, put down as often as a test says."""

    def __init__(self) -> None:
        self.meters = Meters()
        super().__init__(self.meters)
        self.count(1)

    def count(self, times: int) -> None:
        self.meters.of("svc").uses["k_1"] += times
        self.note(3600.0)


@pytest.fixture
def used() -> Used:
    return Used()


async def test_tells_the_uses_of_keys(control, used) -> None:
    """With the first snapshot, and when asked to; the next message waits until the one before is stored."""
    async with linked(control.path, uses=used) as link:
        await control.hear(Hello)
        link.tell_uses()
        await control.publish()
        assert (await control.hear(Uses)).records == [KeyUseRecord("svc", "k_1", 1, 1, 3600)]
        used.count(5)
        link.tell_uses()
        control.say(Stored(1))
        assert await control.hear(Uses) == Uses(2, [KeyUseRecord("svc", "k_1", 1, 5, 3600)])


async def test_tells_again_what_was_not_stored(control, used) -> None:
    """A control process that went before it stored them hears the same uses when it is back."""
    async with linked(control.path, uses=used):
        await control.hear(Hello)
        await control.publish()
        told = await control.hear(Uses)
        control.hang_up()
        await control.hear(Hello)
        await control.publish()
        assert await control.hear(Uses) == told


async def test_parts_when_all_is_stored(control, used) -> None:
    """The last uses are told before the end, which waits for the answer."""
    async with linked(control.path, uses=used) as link:
        await control.hear(Hello)
        await control.publish()
        await control.hear(Uses)
        used.count(5)
        parting = asyncio.create_task(link.part())
        control.say(Stored(1))
        assert (await control.hear(Uses)).records[0].uses == 5
        assert not parting.done()
        control.say(Stored(2))
        await parting
        assert used.is_told


@pytest.mark.parametrize("is_there", [True, False])
async def test_parts_without_an_answer(control, used, monkeypatch, is_there: bool) -> None:
    """A control process that does not answer, or is gone, does not keep a worker alive."""
    monkeypatch.setattr(module, "PART_SECONDS", 0.05)
    async with linked(control.path, uses=used) as link:
        await control.hear(Hello)
        await control.publish()
        await control.hear(Uses)
        if not is_there:
            await control.close()
        await link.part()
    assert not used.is_told


async def test_large_update_in_small_pieces(control, make_entry) -> None:
    """An update of any size, in any pieces, is one update."""
    applied = []
    async with linked(control.path, applied):
        await control.hear(Hello)
        services = tuple(make_entry(f"svc-{number}") for number in range(500))
        data = frame(module.TO_WORKER.dump_json(Publish(Update(serial=1, full=True, services=services))))
        for at in range(0, len(data), 9999):
            control.writer.write(data[at : at + 9999])
            await control.writer.drain()
        assert (await control.hear(Ack)).serial == 1
    assert len(applied[0].services) == 500


async def test_calls_again(control) -> None:
    """When the control process goes and comes back, the worker says hello again."""
    async with linked(control.path) as link:
        await control.hear(Hello)
        await control.publish()
        control.hang_up()
        assert await control.hear(Hello) == HELLO
        assert not link.connected
        await control.publish()
        assert link.connected


async def test_waits_for_a_control_process(control) -> None:
    """A worker that starts first calls until somebody answers."""
    await control.close()
    control.path.unlink(missing_ok=True)
    async with linked(control.path):
        await asyncio.sleep(0.05)
        await control.open()
        assert await control.hear(Hello) == HELLO


@pytest.mark.parametrize(
    "noise",
    [b"\xff" * 8, (3).to_bytes(LENGTH_BYTES, "big") + b"{}x", frame(b'{"type":"publish"}'), frame(b'{"type":"dance"}')],
)
async def test_nonsense_breaks_the_link_and_no_more(control, noise: bytes, caplog) -> None:
    """What is no message ends the connection with a word in the log; the worker calls again."""
    applied = []
    async with linked(control.path, applied):
        await control.hear(Hello)
        control.writer.write(noise)
        assert await control.hear(Hello) == HELLO
    assert "the link to the control process broke" in caplog.text
    assert applied == []


async def test_control_an_update_that_is_not_applied_is_seen(control, make_entry) -> None:
    """Control: a link that acknowledges without serving leaves nothing applied, which the tests above look at."""
    applied = []

    class Liar(Link):
        def _answer(self, payload, writer) -> None:
            self._apply = lambda _: {}
            super()._answer(payload, writer)

    link = Liar(control.path, HELLO, applied.append, lambda: ROWS, KeyUses(Meters()))
    running = asyncio.create_task(link.run())
    await control.hear(Hello)
    await control.publish(make_entry())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert applied == []
