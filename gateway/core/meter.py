"""Which metrics there are: names, labels, help. Workers count under these names, the control process shows them.

Names are the product's public interface: they stay. Label values come only from configured names and fixed sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of duration buckets, in seconds; one more, unbounded, follows."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. A histogram's values are its bucket counts (not cumulative, last one unbounded), then the sum."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


REQUESTS = Metric("scoregate_requests", "counter", ("service", "status"), "Requests answered on the scoring port.")
DURATION = Metric(
    "scoregate_request_duration_seconds",
    "histogram",
    ("service", "status"),
    "From the end of the request's head to the last byte of the answer handed to the kernel.",
)
BACKEND_DURATION = Metric(
    "scoregate_backend_duration_seconds",
    "histogram",
    ("service",),
    "From the request handed to a backend to the last byte of its answer.",
)
QUEUE_WAIT = Metric("scoregate_queue_wait_seconds", "histogram", ("service",), "Time spent waiting for a permit.")
REFUSALS = Metric(
    "scoregate_refusals",
    "counter",
    ("service", "reason"),
    "Requests the gateway itself refused, by reason.",
)
TIMEOUTS = Metric(
    "scoregate_timeouts",
    "counter",
    ("service", "stage"),
    "Requests whose time ran out, by where they were: body, queue, connect, first_byte or answer.",
)
UPSTREAM_ERRORS = Metric(
    "scoregate_upstream_errors",
    "counter",
    ("service", "kind"),
    "Requests that failed at a backend, by what went wrong.",
)
RETRIES = Metric(
    "scoregate_retries",
    "counter",
    ("service", "kind"),
    "Further tries on another backend, by what went wrong at the one before.",
)
RETRIES_OVER_BUDGET = Metric(
    "scoregate_retries_over_budget",
    "counter",
    ("service",),
    "Further tries that retry.budget_percent did not allow: their requests failed.",
)
EJECTIONS = Metric(
    "scoregate_ejections",
    "counter",
    ("service",),
    "How often a backend was left out because it failed requests.",
)
KEY_USES = Metric(
    "scoregate_key_uses",
    "counter",
    ("service", "slot"),
    "Requests opened by a key, by slot; all named callers together have the slot caller.",
)
IN_FLIGHT = Metric("scoregate_requests_in_flight", "gauge", ("service",), "Requests being served.")
QUEUED = Metric("scoregate_requests_queued", "gauge", ("service",), "Requests waiting for a permit.")
CONNECTIONS = Metric("scoregate_connections", "gauge", (), "Open client connections on the scoring port.")
TURNED_AWAY = Metric(
    "scoregate_connections_turned_away",
    "counter",
    ("too_many",),
    "Connections closed at once, by what there were too many of: total (max_connections) or address"
    " (max_connections_per_ip).",
)
LOG_DROPPED = Metric(
    "scoregate_access_log_dropped",
    "counter",
    (),
    "Lines of the access log that were dropped because its disk or reader was too slow.",
)

FROM_WORKERS = (
    REQUESTS,
    DURATION,
    BACKEND_DURATION,
    QUEUE_WAIT,
    REFUSALS,
    TIMEOUTS,
    UPSTREAM_ERRORS,
    RETRIES,
    RETRIES_OVER_BUDGET,
    EJECTIONS,
    KEY_USES,
    IN_FLIGHT,
    QUEUED,
    CONNECTIONS,
    TURNED_AWAY,
    LOG_DROPPED,
)

KEY_LAST_USED = Metric(
    "scoregate_key_last_used_timestamp_seconds",
    "gauge",
    ("service", "slot", "value"),
    "When a key was last used, in Unix seconds; value: current, or former (replaced, in its grace). Absent: never.",
)
KEY_SAFE_TO_REGENERATE = Metric(
    "scoregate_key_safe_to_regenerate",
    "gauge",
    ("service", "slot"),
    "1 if nobody used a slot for 24 hours, or its key has expired: regenerating it breaks nobody.",
)
KEY_EXPIRY = Metric(
    "scoregate_key_expiry_timestamp_seconds",
    "gauge",
    ("service", "slot"),
    "When a key that ends by itself does, in Unix seconds.",
)
BACKEND_UP = Metric(
    "scoregate_backend_up",
    "gauge",
    ("service", "deployment", "backend", "address"),
    "1 if its probes succeed; address is empty where the backend is no name that was resolved.",
)
BACKEND_EJECTED = Metric(
    "scoregate_backend_ejected",
    "gauge",
    ("service", "deployment", "backend", "address"),
    "1 while the workers leave it out because it failed requests.",
)
WORKERS_READY = Metric("scoregate_workers_ready", "gauge", (), "Workers that serve the newest snapshot.")
OPEN_DOOR = Metric("scoregate_service_open", "gauge", ("service",), "1 if anyone may score, without a credential.")
BUILD_INFO = Metric("scoregate_build_info", "gauge", ("version",), "Always 1.")
CONFIG_RELOADS = Metric(
    "scoregate_config_reloads",
    "counter",
    ("result",),
    "How often the configuration was read again, by success or failure.",
)
CONFIG_LAST_RELOAD_SUCCESSFUL = Metric(
    "scoregate_config_last_reload_successful",
    "gauge",
    (),
    "0 while the file says something else than what is served since the last reading of it.",
)
CONFIG_LAST_RELOAD_SUCCESS = Metric(
    "scoregate_config_last_reload_success_timestamp_seconds",
    "gauge",
    (),
    "When the configuration was last read and served as a whole, in Unix seconds.",
)
CONFIG_SERVICE_KEPT = Metric(
    "scoregate_config_service_kept",
    "gauge",
    ("service",),
    "1 for a service that the last reload left as it was, against the file.",
)
CONFIG_INFO = Metric(
    "scoregate_config_info",
    "gauge",
    ("hash",),
    "Always 1; the hash of what is served of the configuration, secrets left out.",
)
CERTIFICATE_EXPIRY = Metric(
    "scoregate_certificate_expiry_timestamp_seconds",
    "gauge",
    ("listener",),
    "When the first of the certificates that a listener serves expires, in Unix seconds.",
)
CERTIFICATE_RELOAD_FAILED = Metric(
    "scoregate_certificate_reload_failed",
    "gauge",
    ("listener",),
    "1 while changed certificate files cannot be served and the certificates before are.",
)
