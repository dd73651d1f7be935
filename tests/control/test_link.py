"""The worker link: nobody serves what was before once `publish` has returned."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest

from gateway.control import published
from gateway.control.link import Link
from gateway.control.pidfd import WorkerProcess
from gateway.core.message import LENGTH_BYTES, TO_CONTROL, Hello, frame
from gateway.core.snapshot import ServiceEntry


def entry(name: str, spec, born: float = 1.0) -> ServiceEntry:
    return ServiceEntry(name=name, spec=spec, keys=(), deployments=(), born=born)


async def settle() -> None:
    """Give every task that can run its turns."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_worker_gets_full_snapshot(make_rig, make_spec) -> None:
    """A worker that says Hello is given every service and the trust, as one full update."""
    rig = await make_rig({"diabetes": make_spec(), "adult": make_spec()})
    worker = await rig.ready_worker("a")
    assert set(worker.services) == {"diabetes", "adult"}
    assert worker.trust == rig.trust
    assert rig.link.ready == 1


async def test_publish_waits_for_every_worker(rig, make_spec) -> None:
    """A change is not answered while one of two workers has yet to acknowledge it."""
    await rig.ready_worker("a")
    slow = await rig.ready_worker("b")
    slow.acks.clear()
    publishing = asyncio.create_task(rig.link.publish(services=(entry("new", make_spec()),)))
    await slow.until_received(2)
    await settle()
    assert not publishing.done()
    assert rig.link.ready == 1
    slow.acks.set()
    assert (await publishing).workers == 2
    assert "new" in slow.services


class CarelessLink(Link):
    """Does not wait."""

    async def _settled(self, _worker, _serial: int) -> bool:
        return True


@pytest.mark.parametrize(("link_class", "is_served_late"), [(Link, False), (CarelessLink, True)])
async def test_old_entry_after_the_answer(make_rig, make_spec, link_class: type[Link], is_served_late: bool) -> None:
    """Once answered, no worker has the old entry; the control, a link that does not wait, is caught."""
    rig = await make_rig({"diabetes": make_spec()}, link_class=link_class)
    worker = await rig.ready_worker("a")
    worker.acks.clear()
    asyncio.get_running_loop().call_later(0.05, worker.acks.set)
    await rig.link.publish(services=(entry("diabetes", make_spec(), born=2.0),))
    assert (worker.services["diabetes"].born != 2.0) is is_served_late


async def test_silent_worker_is_ended(make_rig, make_spec) -> None:
    """A worker that never acknowledges is ended, and the answer comes when it is gone."""
    rig = await make_rig(ack_seconds=0.1)
    await rig.ready_worker("good")
    silent = await rig.ready_worker("silent")
    silent.acks.clear()
    acknowledged = await rig.link.publish(services=(entry("new", make_spec()),))
    assert rig.processes["silent"].ended
    assert not rig.processes["good"].ended
    assert acknowledged.workers == 1


async def test_answer_waits_for_the_end_of_a_silent_worker(make_rig, make_spec) -> None:
    """Having been killed is not enough: until the process is really gone nothing is answered."""
    rig = await make_rig(ack_seconds=0.05)
    silent = await rig.ready_worker("silent")
    silent.acks.clear()
    process = rig.processes["silent"]
    killed = asyncio.Event()
    process.end = killed.set
    publishing = asyncio.create_task(rig.link.publish(services=(entry("new", make_spec()),)))
    await killed.wait()
    await settle()
    assert not publishing.done()
    process.gone()
    assert (await publishing).workers == 0


async def test_worker_that_dies_unasked_is_not_waited_for(rig, make_spec) -> None:
    """A worker that crashes during a change does not hold it up."""
    worker = await rig.ready_worker("a")
    worker.acks.clear()
    publishing = asyncio.create_task(rig.link.publish(services=(entry("new", make_spec()),)))
    await worker.until_received(2)
    worker.die()
    rig.processes["a"].gone()
    assert (await publishing).workers == 0
    assert not rig.processes["a"].ended


async def test_worker_connecting_during_publish_gets_the_newest(rig, make_spec) -> None:
    """Whoever connects while a change is on its way starts with the change."""
    slow = await rig.ready_worker("slow")
    slow.acks.clear()
    publishing = asyncio.create_task(rig.link.publish(services=(entry("new", make_spec()),)))
    await slow.until_received(2)
    late = await rig.worker("late").connect()
    await late.until_received(1)
    await settle()
    assert "new" in late.services
    slow.acks.set()
    await publishing


async def test_starting_worker_is_waited_for_and_not_counted_late(make_rig, make_spec) -> None:
    """A change waits for a worker that has an older snapshot under way, beyond the time an idle worker is given."""
    rig = await make_rig({"diabetes": make_spec()}, ack_seconds=0.05)
    starting = rig.worker("starting")
    starting.acks.clear()
    await starting.connect()
    await starting.until_received(1)
    publishing = asyncio.create_task(rig.link.publish(services=(entry("diabetes", make_spec(), born=2.0),)))
    await asyncio.sleep(0.15)
    assert not publishing.done()
    assert not rig.processes["starting"].ended
    starting.acks.set()
    assert (await publishing).workers == 1
    assert starting.services["diabetes"].born == 2.0
    assert starting.serials == sorted(starting.serials)


async def test_disconnected_worker_that_lives_is_not_forgotten(make_rig, make_spec) -> None:
    """A worker whose connection broke may still serve: it is back with the change, or it is ended."""
    rig = await make_rig(ack_seconds=0.1)
    worker = await rig.ready_worker("a")
    await worker.disconnect()
    await settle()
    assert rig.link.ready == 0
    await rig.link.publish(services=(entry("new", make_spec()),))
    assert rig.processes["a"].ended


async def test_reconnecting_worker_gets_a_snapshot_again(make_rig, make_spec) -> None:
    """The same process that connects anew is given everything anew, and satisfies a change that waits for it."""
    rig = await make_rig()
    worker = await rig.ready_worker("a")
    await worker.disconnect()
    await settle()
    publishing = asyncio.create_task(rig.link.publish(services=(entry("new", make_spec()),)))
    await settle()
    await worker.connect()
    assert (await publishing).workers == 1
    assert "new" in worker.services
    assert not rig.processes["a"].ended


async def test_removed_service_and_reasons_are_passed_on(rig, make_spec) -> None:
    """Removals reach the workers, and what a worker could not compile comes back with its reason."""
    worker = await rig.ready_worker("a")
    await rig.link.publish(services=(entry("one", make_spec()),))
    await rig.link.publish(removed=("one",))
    assert "one" not in worker.services
    worker.refuses = {"two": "its CA file cannot be read"}
    acknowledged = await rig.link.publish(services=(entry("two", make_spec()),))
    assert acknowledged.kept_old == worker.refuses


async def test_wrong_pid_is_refused(rig) -> None:
    """A Hello that names another process than the one at the other end is not believed."""
    liar = rig.worker("liar")
    liar.pid = 1
    await liar.connect()
    async with asyncio.timeout(5):
        await asyncio.gather(liar.task, return_exceptions=True)
    assert rig.link.ready == 0
    assert not rig.processes


@pytest.mark.parametrize("noise", [b"\xff\xff\xff\xff", (5).to_bytes(LENGTH_BYTES, "big") + b"hello"])
async def test_noise_ends_the_connection(rig, noise: bytes) -> None:
    """What is no message ends its connection and harms nobody else."""
    good = await rig.ready_worker("good")
    reader, writer = await asyncio.open_unix_connection(str(rig.path))
    writer.write(noise)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert (await rig.link.publish()).workers == 1
    assert not good.task.done()


@pytest.mark.parametrize(("slice_seconds", "is_smooth"), [(published.SLICE_SECONDS, True), (60.0, False)])
async def test_ten_thousand_services_in_slices(rig, make_spec, monkeypatch, slice_seconds, is_smooth) -> None:
    """A snapshot of 10,000 services never holds the loop for long; the control, made in one piece, is caught.

    Measured in CPU time of this thread, so that a busy machine changes nothing.
    """
    spec = make_spec()
    await rig.link.publish(services=tuple(entry(f"s{number}", spec) for number in range(10_000)))
    monkeypatch.setattr(published, "SLICE_SECONDS", slice_seconds)
    gaps: list[float] = []

    async def tick() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - before)
            before = now

    reader, writer = await asyncio.open_unix_connection(str(rig.path))
    rig.worker("big")
    ticking = asyncio.create_task(tick())
    writer.write(frame(TO_CONTROL.dump_json(Hello(1, os.getpid(), "big"))))
    left = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    assert left > 10_000 * 500
    while left:
        left -= len(await reader.read(min(left, 1 << 16)))
    ticking.cancel()
    writer.close()
    assert (max(gaps) < 0.01) is is_smooth


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd is Linux's")
async def test_real_process_is_ended_and_seen_to_end() -> None:
    """The hold on a real process kills it and tells of its end, once."""
    process = await asyncio.create_subprocess_exec("sleep", "60")
    gone = asyncio.Event()
    held = WorkerProcess(process.pid, gone.set)
    assert not gone.is_set()
    held.end()
    async with asyncio.timeout(5):
        await gone.wait()
    assert await process.wait() == -signal.SIGKILL
    held.end()
    held.release()


async def test_process_that_is_gone_already_cannot_be_held() -> None:
    """A pid without a process is an error, not a hold on nothing."""
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    with pytest.raises(ProcessLookupError):
        WorkerProcess(process.pid, lambda: None)
