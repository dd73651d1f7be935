"""A whole worker on real sockets: it serves when it knows what, says how it is, and ends without dropping anyone."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from contextlib import asynccontextmanager

import pytest

from gateway.certificate import make_development_certificate
from gateway.core import jwk
from gateway.core.message import Collect, Counts, Hello
from gateway.core.settings import LoggingSettings, ScoringSettings, Settings, TlsSettings
from gateway.core.snapshot import Trust
from gateway.proxy import worker as module
from gateway.proxy.certificates import Certificates
from gateway.proxy.scoreboard import DRAINING, READY, STARTING, Scoreboard
from gateway.proxy.worker import Place, Worker

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
SCORE = b"POST /api/v1/service/svc/score HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]"


class Running:
    """A worker under way, and the way to stop it."""

    def __init__(self, board, port: int, stop, task) -> None:
        self.board, self.port, self.stop, self.task = board, port, stop, task

    async def call(self, request: bytes, tls=None):
        """A connection that has sent this."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=tls, server_hostname=tls and "localhost"
        )
        writer.write(request)
        return reader, writer

    async def get(self, path: str, tls=None):
        """(status, body) of one request on a connection of its own."""
        reader, writer = await self.call(
            b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode(), tls
        )
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body

    async def until(self, state: int) -> None:
        async with asyncio.timeout(10):
            while self.board.state(1) != state:
                await asyncio.sleep(0.005)

    async def end(self, *, hurry: bool = True) -> None:
        if not self.stop.done():
            self.stop.set_result(hurry)
        async with asyncio.timeout(20):
            await self.task
        # Connections that were aborted are closed by the loop, a moment later.
        await asyncio.sleep(0.01)


@pytest.fixture
async def start(control):
    """A worker in this process, as a context: workers=1, access_log=None, tls=None, and keys of `scoring`."""

    @asynccontextmanager
    async def running(*, workers=1, access_log=None, tls=None, **scoring):
        board = Scoreboard(workers)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        settings = Settings(scoring=ScoringSettings(**scoring), logging=LoggingSettings(access_log=access_log))
        loop = asyncio.get_running_loop()
        place = Place(
            number=1,
            settings=settings,
            board=board,
            listening=listening,
            link_path=control.path,
            certificates=tls,
        )
        stop = loop.create_future()
        task = asyncio.create_task(Worker(place, loop).run(stop))
        under_way = Running(board, listening.getsockname()[1], stop, task)
        try:
            yield under_way
        finally:
            await under_way.end()
            listening.close()
            for wakeup in board.wakeups:
                loop.remove_reader(wakeup)
                os.close(wakeup)
            board.locks._file.close()

    return running


class Model:
    """A model server that answers when told to."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.url, self.answer = "", ANSWER
        self.writers = []

    async def __call__(self, reader, writer) -> None:
        self.writers.append(writer)
        while await reader.read(65_536):
            self.asked.set()
            await self.go.wait()
            writer.write(self.answer)
            if self.answer is not ANSWER:
                break
        writer.close()


@pytest.fixture
async def model():
    made = Model()
    server = await asyncio.start_server(made, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    made.go.set()
    server.close()
    for writer in made.writers:
        writer.close()
    await asyncio.sleep(0.01)


async def test_serves_once_it_knows_what(start, control, make_entry, model) -> None:
    """Without a snapshot a worker is not ready; with the first one it serves, and later ones change it."""
    model.go.set()
    async with start() as worker:
        said = await control.hear(Hello)
        assert (said.worker, said.pid) == (1, os.getpid())
        assert worker.board.state(1) == STARTING
        await control.publish(make_entry(url=model.url), full=True, trust=Trust(b"k", "urn:x", ()))
        await worker.until(READY)
        reader, writer = await worker.call(SCORE)
        assert (await reader.readuntil(b"[1]")).startswith(b"HTTP/1.1 200 OK")
        writer.close()
        assert await worker.get("/.well-known/jwks.json") == (200, jwk.jwks(()))
        await control.publish(removed=("svc",))
        assert (await worker.get("/api/v1/service/svc/score"))[0] == 404
        control.say(Collect(1))
        rows = (await control.hear(Counts)).rows
        assert ("scoregate_requests", ("svc", "200"), (1.0,)) in rows
        assert worker.board.silence(1) < 5


async def test_without_its_control_process(start, control) -> None:
    """A worker that lost its control process serves what it knows, and says so."""
    async with start() as worker:
        await control.hear(Hello)
        await control.publish(full=True)
        await worker.until(READY)
        assert json.loads((await worker.get("/readyz"))[1])["status"] == "ready"
        await control.close()
        async with asyncio.timeout(10):
            while json.loads((await worker.get("/readyz"))[1])["status"] != "degraded":
                await asyncio.sleep(0.01)
        assert (await worker.get("/livez"))[0] == 200


async def test_stops_before_it_was_ready(start, control) -> None:
    """A worker that is told to stop while it waits for its first snapshot ends at once."""
    async with start() as worker:
        await control.hear(Hello)
        await worker.end(hurry=False)
        assert worker.board.state(1) == STARTING


async def test_drains(start, control, make_entry, model) -> None:
    """Told to drain, a worker says that it goes, still takes connections for a while, and finishes what it began."""
    async with start(drain_seconds=6.0) as worker:
        await control.hear(Hello)
        await control.publish(make_entry(url=model.url), full=True)
        await worker.until(READY)
        reader, writer = await worker.call(SCORE)
        await model.asked.wait()
        idle, idle_writer = await worker.call(LIVEZ)
        await idle.readuntil(b"ok")
        worker.stop.set_result(False)
        await worker.until(DRAINING)
        assert (await worker.get("/readyz"))[0] == 503
        async with asyncio.timeout(10):
            assert await idle.read() == b""
        model.go.set()
        answer = await reader.read()
        assert answer.endswith(b"[1]")
        assert b"connection: close" in answer
        await worker.end()
        for each in (writer, idle_writer):
            each.close()


async def test_drain_has_an_end(start, control, make_entry, model) -> None:
    """What is not finished when the time is up is broken off, not waited for."""
    async with start(drain_seconds=0.3) as worker:
        await control.hear(Hello)
        await control.publish(make_entry(url=model.url), full=True)
        await worker.until(READY)
        reader, writer = await worker.call(SCORE)
        await model.asked.wait()
        await worker.end(hurry=False)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_cut_answer_without_length_is_seen_to_be_cut(start, control, make_entry, model) -> None:
    """An HTTP/1.0 client, for whom the end of the connection ends the answer, sees a reset where the backend failed."""
    model.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"
    model.go.set()
    async with start() as worker:
        await control.hear(Hello)
        await control.publish(make_entry(url=model.url), full=True)
        await worker.until(READY)
        reader, writer = await worker.call(SCORE.replace(b"1.1", b"1.0"))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_wakes_for_freed_permits(start, control, make_entry, model) -> None:
    """A request that waits for a permit of another worker is let in when that worker wakes this one."""
    model.go.set()
    async with start(workers=2) as worker:
        await control.hear(Hello)
        await control.publish(make_entry(url=model.url, max_queue_wait_ms=20_000), full=True)
        await worker.until(READY)
        other = worker.board.seat(2)
        assert other.take(1, 1)
        reader, writer = await worker.call(SCORE)
        async with asyncio.timeout(10):
            while not other.poke(1):
                await asyncio.sleep(0.01)
        assert not model.asked.is_set()
        other.give_back(1)
        other.poke(1)
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"[1]")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_new_container_lets_the_queue_in(start, control, make_entry, model) -> None:
    """A service that gets more room while requests wait lets them in at once."""
    async with start() as worker:
        await control.hear(Hello)
        await control.publish(make_entry(url=model.url, max_queue_wait_ms=20_000), full=True)
        await worker.until(READY)
        first, second = await worker.call(SCORE), await worker.call(SCORE)
        await model.asked.wait()
        await control.publish(make_entry(url=model.url, max_concurrent_requests_per_container=2))
        model.go.set()
        async with asyncio.timeout(10):
            for reader, _ in (first, second):
                await reader.readuntil(b"[1]")
        for _, writer in (first, second):
            writer.close()


async def test_access_log_in_a_file(start, control, tmp_path) -> None:
    """Lines go to the end of a file that strangers may not read."""
    path = tmp_path / "access.log"
    for _ in range(2):
        async with start(access_log=str(path)) as worker:
            await control.hear(Hello)
            await control.publish(full=True)
            await worker.until(READY)
            await worker.get("/livez")
    assert [json.loads(text)["path"] for text in path.read_text().splitlines()] == ["/livez", "/livez"]
    assert path.stat().st_mode & 0o007 == 0


async def test_access_log_on_stdout(start, control, capfd) -> None:
    """Lines go to stdout, and nothing else does."""
    async with start(access_log="stdout") as worker:
        await control.hear(Hello)
        await control.publish(full=True)
        await worker.until(READY)
        await worker.get("/livez")
    assert json.loads(capfd.readouterr().out)["path"] == "/livez"


async def test_lines_that_no_disk_takes_are_counted(start, control) -> None:
    """A full disk costs lines of the log and no request, and the metrics say how many."""
    async with start(access_log="/dev/full") as worker:
        await control.hear(Hello)
        await control.publish(full=True)
        await worker.until(READY)
        assert (await worker.get("/livez"))[0] == 200
        dropped = 0.0
        async with asyncio.timeout(10):
            while not dropped:
                control.say(Collect(1))
                rows = (await control.hear(Counts)).rows
                dropped = next(values[0] for name, _, values in rows if name == "scoregate_access_log_dropped")
    assert dropped == 1


async def test_tls(start, control, tmp_path) -> None:
    """With certificates the port speaks TLS, and nothing else."""
    made = make_development_certificate(tmp_path)
    tls = Certificates(TlsSettings(certificate=made.certificate, private_key=made.private_key))
    async with start(tls=tls) as worker:
        await control.hear(Hello)
        await control.publish(full=True)
        await worker.until(READY)
        assert await worker.get("/livez", ssl.create_default_context(cafile=made.ca)) == (200, b"ok")
        reader, writer = await worker.call(LIVEZ)
        async with asyncio.timeout(10):
            assert b"HTTP" not in await reader.read()
        writer.close()


async def test_control_a_worker_that_closes_at_once_is_seen(start, control, make_entry, model, monkeypatch) -> None:
    """Control: a worker that does not wait for what is under way breaks the request that the drain sees finished."""

    async def at_once(awaitable, _):
        awaitable.close()
        raise TimeoutError

    async with start(drain_seconds=0.01) as worker:
        await control.hear(Hello)
        await control.publish(make_entry(url=model.url), full=True)
        await worker.until(READY)
        reader, writer = await worker.call(SCORE)
        await model.asked.wait()
        monkeypatch.setattr(module.asyncio, "wait_for", at_once)
        await worker.end()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
