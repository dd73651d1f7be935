"""What a configuration would serve, as text for a person. Rule: nothing secret; a password in a URL becomes `…`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.config.read import Loaded
from gateway.core.settings import Settings, TlsSettings
from gateway.core.spec import ServiceSpec


def show(loaded: Loaded) -> str:
    """Listeners, files, then each service with its door, backends and limits; one fact a line."""
    settings = loaded.settings
    lines = list(_process(settings))
    for name, spec in settings.services.items():
        lines += ["", f"service {name}  ({loaded.places[name]})", *(f"  {line}" for line in _service(name, spec))]
    if not settings.services:
        lines += ["", "no services in the file; create them by the admin API"]
    return "\n".join(lines) + "\n"


def _process(settings: Settings) -> Iterator[str]:
    scoring, admin = settings.scoring, settings.admin
    yield f"scoring   {_url(scoring.listen, scoring.tls)}   workers: {scoring.workers}"
    yield from _tls(scoring.tls)
    admin_tls = scoring.tls if admin.tls == "inherit" else admin.tls
    yield f"admin     {_url(admin.listen, admin_tls)}   token in {admin.token_file}"
    if isinstance(admin.tls, TlsSettings):
        yield from _tls(admin.tls)
    yield f"metrics   http://{settings.metrics.listen}/metrics"
    yield f"store     {_without_password(str(settings.store.url))}   master key in {settings.store.master_key_file}"


def _url(listen: str, tls: object) -> str:
    return f"{'https' if tls else 'http'}://{listen}"


def _tls(tls: TlsSettings | None) -> Iterator[str]:
    if tls:
        versions = dict.fromkeys((tls.minimum_version, tls.maximum_version))
        yield f"          TLS {' to '.join(versions)}, certificate {tls.certificate}, key {tls.private_key}"


def _without_password(url: str) -> str:
    return re.sub(r"://([^:@/]*):.*@", r"://\1:…@", url, flags=re.DOTALL)


def _service(name: str, spec: ServiceSpec) -> Iterator[str]:
    yield f"path      /api/v1/service/{name}/score, at the backend {spec.scoring_path}"
    yield f"opens     {_door(spec)}"
    for deployment, block in spec.deployed.items():
        label = "" if deployment == "default" else f"{deployment} ({block.traffic} %): "
        yield f"backends  {label}{', '.join(block.backends)}"
    yield f"limits    {_limits(spec)}"
    for limit in spec.rate_limits:
        burst = f", {limit.burst} at once" if limit.burst else ""
        yield f"rate      {limit.name}: {limit.requests} in {limit.per_seconds:g} s{burst}, per {limit.partition}"
    if spec.cors:
        yield f"cors      {', '.join(spec.cors.allowed_origins)}"
    if spec.allowed_ips:
        yield f"only from {', '.join(spec.allowed_ips)}"
    if spec.hosts:
        yield f"hosts     {', '.join(spec.hosts)}"


def _door(spec: ServiceSpec) -> str:
    ways = [way for way, on in (("a key", spec.key_auth), ("a token", spec.token_auth)) if on]
    return f"with {' or '.join(ways)}" if ways else "for anyone"


def _limits(spec: ServiceSpec) -> str:
    each = spec.max_concurrent_requests_per_container
    concurrent = "no limit" if each is None else f"{each} at once"
    queue = f"queue {spec.max_queue_length} for {spec.max_queue_wait_ms} ms"
    return f"{concurrent} per container, {queue}, {spec.scoring_timeout_ms} ms in all, {spec.max_request_bytes} bytes"
