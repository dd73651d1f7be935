"""What must be true of a worker: at every moment in which nothing is left to do, of each request, and at the end."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from virtual_connection import End
from virtual_time import BOOT

from gateway.core.retry import FREE, WINDOW_SECONDS
from gateway.proxy.client import Client
from gateway.proxy.trip import Trip

if TYPE_CHECKING:
    from lives import Life

TURN = 0.02
BUSY = 0.01
"""The longest that a worker's event loop is busy with something else, in seconds."""
SLACK = 2 * TURN + 2 * BUSY
"""How late a deadline may be noticed: by the turn of the sweep, and because the loop is busy."""
SMALL_BODY = 65_536
MOST_HELD = 1_000_000
"""Bytes for one connection: twice what may be buffered, and a large answer that came in one piece."""


def inspect(life: Life) -> None:
    """What holds whenever time is about to move on."""
    if not life.loop.is_quiet:
        return
    for client_end in life.clients:
        _look_at_deadline(life, client_end.protocol, is_open=client_end.is_open)
    _look_at_sweep(life)
    _look_at_pools(life)
    idle = _look_at_idle(life)
    for end in life.loop.ends:
        if end.protocol is not None:
            _look_at_backend_side(life, end, idle)
    for end in (*life.clients, *life.loop.ends):
        if end.most_unsent > MOST_HELD:
            life.fail(f"{life.name} held {end.most_unsent} bytes for {end.peername}")
    life.clients = [end for end in life.clients if not end.is_lost or end.protocol._journey is not None]
    life.loop.ends = [end for end in life.loop.ends if not end.is_lost or getattr(end.protocol, "journey", None)]


def _look_at_deadline(life: Life, client: Client, *, is_open: bool) -> None:
    """Whatever a connection or a request waits for, there is an end to it."""
    if (is_open or client._journey is not None) and client.turn == 0:
        life.fail(f"{life.name} lets {client._peer} wait without a deadline")
    if client.turn and client.due < life.loop.time() - SLACK:
        life.fail(f"{life.name} has let a deadline of {client._peer} pass")


def _look_at_sweep(life: Life) -> None:
    for turn in life.worker._sweep._turns.values():
        for watched in turn:
            if isinstance(watched, Client) and watched.gone and watched._journey is None:
                life.fail(f"{life.name} watches the deadline of a client that is gone")


def _look_at_pools(life: Life) -> None:
    """Whoever is left out, somebody is not."""
    now = life.loop.time()
    for pool in life.worker._compiler._pools.values():
        if pool.is_up(now) and not pool.candidates(now):
            life.fail(f"{life.name} leaves out all backends that are up")


def _look_at_idle(life: Life) -> list[Any]:
    """The connections that are kept; only clean ones may be."""
    backends = life.worker._compiler._backends.values()
    idle = [connection for backend in backends for connection in backend.upstream._idle]  # type: ignore[attr-defined]
    for connection in idle:
        if connection.transport.is_closing() or connection.journey is not None:
            life.fail(f"{life.name} keeps a connection that is closed or in use")
    return idle


def _look_at_backend_side(life: Life, end: End, idle: list[Any]) -> None:
    connection = end.protocol
    if connection.journey is None:
        if end.is_open and connection not in idle:
            life.fail(f"{life.name} has a connection to {end.peername} that nobody owns")
    elif end.is_lost and not (connection.complete or connection.error or connection.journey.over):
        life.fail(f"{life.name} waits for an answer on a connection that is gone")


def judge_deadlines(life: Life, trip: Trip, ended: float) -> None:
    """A request waited no longer than its service says; what streams has other bounds."""
    if trip.route is None or not trip.admitted:
        return
    spec, request_id = trip.route.spec, trip.exchange.request_id
    if trip.queued and trip.admitted - trip.queued > spec.max_queue_wait_ms / 1000 + SLACK:
        life.fail(f"{request_id} waited {trip.admitted - trip.queued:.3f} s for a permit")
    taken = ended - (trip.queued or trip.admitted)
    is_bounded = trip.received < SMALL_BODY and not trip.streams
    if is_bounded and taken > spec.scoring_timeout_ms / 1000 + SLACK:
        life.fail(f"{request_id} took {taken:.3f} s of {spec.scoring_timeout_ms} ms; stage {trip.stage}")


def judge_order(life: Life) -> None:
    """First come, first served; but who has a permit may be woken by something else before an earlier one is."""
    for name in {trip.route.name for trip, _ in life.trips if trip.route}:
        trips = [trip for trip, _ in life.trips if trip.route and trip.route.name == name and trip.admitted]
        waited = sorted((trip for trip in trips if trip.queued), key=lambda trip: trip.queued)
        for first, second in combinations((trip for trip in waited if trip.backend), 2):
            if first.queued < second.queued and second.admitted < first.admitted - BUSY:
                _overtaken(life, first, second)
        for first, second in product(waited, (trip for trip in trips if not trip.queued)):
            if first.queued < second.admitted < first.admitted - BUSY:
                _overtaken(life, first, second)


def judge_retries(life: Life, budgets: dict[str, int]) -> None:
    """Further tries were no more than the largest share that a service ever had, and a few for each window of time."""
    windows = 1 + math.ceil((life.loop.time() - BOOT) / WINDOW_SECONDS)
    for name, percent in budgets.items():
        meter = life.worker._meters.of(name)
        requests = sum(sum(histogram.counts) for histogram in meter.durations.values())
        most = (windows * FREE + requests * percent / 100) if percent else 0
        if sum(meter.retries.values()) > most:
            life.fail(f"{life.name} tried {dict(meter.retries)} of {requests} requests of {name} again: {percent} %")


def _overtaken(life: Life, first: Trip, second: Trip) -> None:
    life.fail(f"{second.exchange.request_id} overtook {first.exchange.request_id} in the queue of {life.name}")


def at_rest(life: Life, *, may_keep_connections: bool = False) -> None:
    """What holds once everybody has left."""
    worker = life.worker
    meters = worker._meters._services.values()
    counted = sum(sum(histogram.counts) for meter in meters for histogram in meter.durations.values())
    leftovers = {
        "requests under way": len(life.active),
        "requests begun and not recorded": life.begun - len(life.trips),
        "requests recorded and not counted": len(life.trips) - counted,
        "deadlines": sum(len(turn) for turn in worker._sweep._turns.values()),
        "queues": len(worker._desk._queueing),
        "clients": len(worker._listener.clients),
        "open connections": 0 if may_keep_connections else sum(end.is_open for end in life.loop.ends),
        "requests in flight": sum(meter.in_flight for meter in meters),
        "requests queued": sum(meter.queued for meter in meters),
    }
    for what, count in leftovers.items():
        if count:
            life.fail(f"{life.name} is left with {count} {what}")
