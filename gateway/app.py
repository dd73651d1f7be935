"""The only file that wires: it gives each process its parts, and the supervisor its processes.

Everything that can be wrong at a start is found here, before anything runs, and said in one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from socket import socket

import uvloop

from gateway import journal, sockets
from gateway.certificate import CertificateError, make_development_certificate
from gateway.config import Loaded, Source, problems
from gateway.control import process as control
from gateway.core.settings import ScoringSettings, Settings, TlsSettings
from gateway.core.store import StoreError
from gateway.proxy.acceptor import most_connections
from gateway.proxy.certificates import Certificates
from gateway.proxy.scoreboard import Scoreboard, Seat
from gateway.proxy.worker import Place, Worker
from gateway.store import open_store
from gateway.supervisor import CANNOT_START, Child, Supervisor, end_with_parent

log = logging.getLogger("gateway.supervisor")

CONTROL_SEAT = 0
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on


class StartError(Exception):
    """The gateway cannot start. The text says what is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wiring:
    """What the processes share, made before they are forked."""

    loaded: Loaded
    source: Source | None
    board: Scoreboard
    scoring: list[socket]
    admin: socket
    metrics: socket
    link: socket
    link_path: Path
    lane: socket
    lane_path: Path
    scoring_tls: Certificates | None
    admin_tls: Certificates | None
    ca_file: Path | None
    ready_file: Path


def serve(loaded: Loaded, *, ready_file: Path | None = None) -> int:
    """Run the gateway until it is told to stop. Returns the exit code; says on stderr why it is not 0."""
    if os.environ.get("SCOREGATE_EXIT_WITH_PARENT") == "1":
        end_with_parent(os.getppid())
    settings = loaded.settings
    journal.configure(settings.logging.level)
    with tempfile.TemporaryDirectory(prefix="scoregate-") as folder:
        try:
            wiring = _wire(loaded, Path(folder) / "control", ready_file or settings.data_dir / "ready.json")
        except (StartError, sockets.ListenError, CertificateError) as error:
            _complain(str(error))
            return 1
        wiring.ready_file.unlink(missing_ok=True)
        try:
            children = _children(wiring)
            _set_apart()
            drain = settings.scoring.drain_seconds
            return Supervisor(wiring.board, children, drain_seconds=drain, let_go=partial(_close, wiring.scoring)).run()
        finally:
            wiring.ready_file.unlink(missing_ok=True)
            if wiring.source:
                wiring.source.close()


def _wire(loaded: Loaded, link_path: Path, ready_file: Path) -> _Wiring:
    settings = loaded.settings
    lane_path = link_path.with_name("lane")
    _make_data_dir(settings.data_dir)
    ca_file = _ensure_certificate(settings)
    workers = _workers(settings)
    _allow_descriptors(settings.scoring)
    scoring_tls = _certificates(settings.scoring.tls)
    admin_tls = scoring_tls if settings.admin.tls == "inherit" else _certificates(settings.admin.tls)
    scoring = sockets.listen("scoring.listen", settings.scoring.listen, workers)
    return _Wiring(
        loaded=loaded,
        source=None if loaded.path is None else Source(loaded, os.environ),
        board=Scoreboard(workers),
        scoring=scoring,
        admin=sockets.listen("admin.listen", settings.admin.listen)[0],
        metrics=sockets.listen("metrics.listen", settings.metrics.listen)[0],
        link=sockets.unix_listener(str(link_path)),
        link_path=link_path,
        lane=sockets.unix_listener(str(lane_path)),
        lane_path=lane_path,
        scoring_tls=scoring_tls,
        admin_tls=admin_tls,
        ca_file=ca_file,
        ready_file=ready_file,
    )


def _children(wiring: _Wiring) -> dict[int, Child]:
    children = {CONTROL_SEAT: Child("the control process", partial(_run_control, wiring))}
    for number in range(1, wiring.board.workers + 1):
        children[number] = Child(f"worker {number}", partial(_run_worker, wiring, number))
    return children


# --- the processes


def _close(listening: list[socket]) -> None:
    """A socket listens until its last copy is closed: clients of one that nobody serves would wait for nothing."""
    for one in listening:
        one.close()


def _run_worker(wiring: _Wiring, number: int) -> int:
    _close([one for one in wiring.scoring if one is not wiring.scoring[number - 1]])

    async def work() -> None:
        loop = asyncio.get_running_loop()
        place = Place(
            number=number,
            settings=wiring.loaded.settings,
            board=wiring.board,
            listening=wiring.scoring[number - 1],
            link_path=wiring.link_path,
            lane_path=wiring.lane_path,
            certificates=wiring.scoring_tls,
        )
        stop: asyncio.Future[bool] = loop.create_future()
        _on_signals(lambda hurry: None if stop.done() else stop.set_result(hurry), lambda: None)
        await Worker(place, loop).run(stop)

    return _run(uvloop.run, work())


def _run_control(wiring: _Wiring) -> int:
    async def rule() -> None:
        stop, hangup = asyncio.Event(), asyncio.Event()
        _on_signals(lambda hurry: stop.set(), hangup.set)  # noqa: ARG005 - it has nothing to drain
        plane = _control_plane(wiring, hangup)
        _close(wiring.scoring)
        await control.run(plane, stop)

    return _run(asyncio.run, rule())


def _control_plane(wiring: _Wiring, hangup: asyncio.Event) -> control.ControlPlane:
    # One that replaces another begins with the services of the last reload, and with the settings of the process.
    newest = wiring.source.newest() if wiring.source else wiring.loaded
    settings = replace(wiring.loaded.settings, services=newest.settings.services)
    listeners = {"scoring": wiring.scoring_tls, "admin": wiring.admin_tls}
    certificates = {name: one for name, one in listeners.items() if one is not None}
    seat = wiring.board.seat(CONTROL_SEAT)
    scheme = "https" if wiring.scoring_tls else "http"
    assert settings.store.url is not None
    return control.ControlPlane(
        settings=settings,
        places=newest.places,
        open_store=partial(open_store, settings.store.url),
        board=seat,
        link_socket=wiring.link,
        lane_socket=wiring.lane,
        admin_socket=wiring.admin,
        metrics_socket=wiring.metrics,
        admin_ssl=wiring.admin_tls.front if wiring.admin_tls else None,
        workers=wiring.board.workers,
        scoring_scheme=scheme,
        scoring_port=wiring.scoring[0].getsockname()[1],
        scoring_url=settings.scoring.public_url or _url(scheme, wiring.scoring[0]),
        admin_url=_url("https" if wiring.admin_tls else "http", wiring.admin),
        metrics_url=_url("http", wiring.metrics),
        ca_file=wiring.ca_file,
        ready_file=wiring.ready_file,
        supervisor_pid=os.getppid(),
        heartbeat=partial(_beat, seat, set(certificates.values())),
        certificates=certificates,
        source=wiring.source,
        hangup=hangup,
    )


def _beat(seat: Seat, certificates: set[Certificates]) -> None:
    seat.beat()
    for one in certificates:
        one.poll()


def _run(run: Callable[[Coroutine[None, None, None]], None], main: Coroutine[None, None, None]) -> int:
    try:
        run(main)
    except (control.StartError, StoreError) as error:
        _complain(str(error))
        return CANNOT_START
    return 0


def _on_signals(stop: Callable[[bool], None], hangup: Callable[[], None]) -> None:
    """SIGTERM asks to drain; SIGINT, a person at a terminal, asks to hurry. SIGHUP, which all get, asks to reload."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop, False)
    loop.add_signal_handler(signal.SIGINT, stop, True)
    loop.add_signal_handler(signal.SIGHUP, hangup)


# --- what is made ready before the fork


def _set_apart() -> None:
    """What is here before the fork stays: looking through it for garbage would halt all requests for 80 ms."""
    gc.collect()
    gc.freeze()
    gc.collect()  # How many objects there were last time tells Python when the next look is due.


def _make_data_dir(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"data_dir: {data_dir} cannot be made ({error.strerror}); name another folder") from None
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise StartError(f"data_dir: {data_dir} is not writable by this user; change its owner, or name another folder")


def _ensure_certificate(settings: Settings) -> Path | None:
    """Make or renew the development certificate where none of the operator's own is named. Returns its CA file."""
    folder = settings.data_dir / "tls"
    certificate = folder / "server.crt"
    asked = (settings.scoring.tls, settings.admin.tls)
    if not any(isinstance(tls, TlsSettings) and tls.certificate == certificate for tls in asked):
        return None
    if certificate.exists() and not (folder / "ca.crt").exists():
        return None
    try:
        return make_development_certificate(folder).ca
    except OSError as error:
        raise StartError(f"{folder}: no certificate can be made there ({error.strerror})") from None


def _certificates(tls: object) -> Certificates | None:
    if not isinstance(tls, TlsSettings):
        return None
    found = problems(tls)
    if found:
        raise StartError("\n".join(map(str, found)))
    try:
        return Certificates(tls)
    except OSError as error:
        raise StartError(f"{tls.certificate}, {tls.private_key}: cannot be served ({error})") from None


def _allow_descriptors(scoring: ScoringSettings) -> None:
    """Use all the descriptors that this user may have, and tell if they are too few for what is configured."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS has a hidden limit below its hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = most_connections(scoring)
    if allowed < scoring.max_connections:
        log.info(
            "a worker takes %d connections and not scoring.max_connections (%d): a process may have %d descriptors"
            " (ulimit -n), and a request may need two",
            allowed,
            scoring.max_connections,
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )


def _workers(settings: Settings) -> int:
    if settings.scoring.workers != "auto":
        return settings.scoring.workers
    # macOS neither tells which cores a process may use nor spreads connections over sockets of one port.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _url(scheme: str, listening: socket) -> str:
    """The address as a client on this machine reaches it."""
    host, port = listening.getsockname()[:2]
    host = "localhost" if host in _EVERYWHERE else host
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _complain(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"scoregate: error: {line}\n")
    sys.stderr.flush()
