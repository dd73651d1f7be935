"""Metric names: the product's public interface, so they are pinned here and follow Prometheus' rules."""

from __future__ import annotations

import re

from gateway.core import meter

ALL = [value for value in vars(meter).values() if isinstance(value, meter.Metric)]


def test_names_and_labels_stay():
    """Dashboards and alerts of others stand on these: a change here breaks them."""
    assert {metric.name: metric.labels for metric in ALL} == {
        "scoregate_requests": ("service", "status"),
        "scoregate_request_duration_seconds": ("service", "status"),
        "scoregate_backend_duration_seconds": ("service",),
        "scoregate_queue_wait_seconds": ("service",),
        "scoregate_refusals": ("service", "reason"),
        "scoregate_timeouts": ("service", "stage"),
        "scoregate_upstream_errors": ("service", "kind"),
        "scoregate_retries": ("service", "kind"),
        "scoregate_retries_over_budget": ("service",),
        "scoregate_ejections": ("service",),
        "scoregate_key_uses": ("service", "slot"),
        "scoregate_key_expiry_timestamp_seconds": ("service", "slot"),
        "scoregate_key_last_used_timestamp_seconds": ("service", "slot", "value"),
        "scoregate_key_safe_to_regenerate": ("service", "slot"),
        "scoregate_requests_in_flight": ("service",),
        "scoregate_requests_queued": ("service",),
        "scoregate_connections": (),
        "scoregate_connections_turned_away": ("too_many",),
        "scoregate_access_log_dropped": (),
        "scoregate_backend_up": ("service", "deployment", "backend", "address"),
        "scoregate_backend_ejected": ("service", "deployment", "backend", "address"),
        "scoregate_workers_ready": (),
        "scoregate_service_open": ("service",),
        "scoregate_build_info": ("version",),
        "scoregate_config_reloads": ("result",),
        "scoregate_config_last_reload_successful": (),
        "scoregate_config_last_reload_success_timestamp_seconds": (),
        "scoregate_config_service_kept": ("service",),
        "scoregate_config_info": ("hash",),
        "scoregate_certificate_expiry_timestamp_seconds": ("listener",),
        "scoregate_certificate_reload_failed": ("listener",),
    }


def test_names_follow_the_conventions():
    """Durations and moments are in seconds, counters leave `_total` to the exposition format, all are explained."""
    assert len({metric.name for metric in ALL}) == len(ALL)
    for metric in ALL:
        assert re.fullmatch(r"scoregate_[a-z_]+", metric.name)
        assert not metric.name.endswith("_total")
        is_moment = metric.name.endswith("_timestamp_seconds")
        assert (metric.kind == "histogram") is (metric.name.endswith("_seconds") and not is_moment)
        assert re.fullmatch(r"[A-Z0-9].*\.", metric.help)


def test_workers_count_what_they_see():
    """Every histogram and counter is theirs, but for the reloads of the control process; nothing is listed twice."""
    assert len(set(meter.FROM_WORKERS)) == len(meter.FROM_WORKERS)
    assert {metric for metric in ALL if metric.kind != "gauge"} <= {*meter.FROM_WORKERS, meter.CONFIG_RELOADS}


def test_buckets_rise():
    """Bounds are in order and none stands twice: a histogram needs both."""
    assert list(meter.BUCKETS) == sorted(set(meter.BUCKETS))
    assert meter.BUCKETS[0] > 0
