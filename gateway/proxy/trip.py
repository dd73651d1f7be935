"""What is known of a request while it is served: the context of `proxy.handler`, read at its end by meters and log."""

from __future__ import annotations

from gateway.core.admission import Backend
from gateway.core.exchange import Exchange
from gateway.core.route import Route


class Trip:
    """One request's way. Times are monotonic seconds, 0.0 where it never came to that.

    `stage` is where it is, or where it ended: policy, body, queue, connect, first_byte, answer.
    `ends_by_close`: the connection to the client ends with the answer, whether that is how its end is told or not.
    `outcome`: ok, refused, failed, timeout or gone; `reason` says more in one word.
    """

    __slots__ = (
        "admitted",
        "answered",
        "backend",
        "connected",
        "deployment",
        "ends_by_close",
        "exchange",
        "is_chunked",
        "model_status",
        "outcome",
        "queued",
        "reason",
        "received",
        "route",
        "sent",
        "sent_bytes",
        "stage",
        "started",
        "status",
        "streams",
    )

    def __init__(self, exchange: Exchange, started: float) -> None:
        self.exchange = exchange
        self.started = started
        self.route: Route | None = None
        self.backend: Backend | None = None
        self.deployment = ""
        self.stage = "policy"
        self.outcome = "ok"
        self.reason = ""
        self.status = 0
        self.model_status = 0
        self.received = 0
        self.sent_bytes = 0
        self.queued = 0.0
        self.admitted = 0.0
        self.connected = 0.0
        self.sent = 0.0
        self.answered = 0.0
        self.streams = False
        self.is_chunked = False
        self.ends_by_close = False
