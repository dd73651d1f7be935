"""Rules between keys that no single block can judge: listeners, certificate pairs, host names, values of keys.

Rule: a check takes the document or the settings and gives errors (ConfigError) or warnings (sentences); rules within
one block stand in core's dataclasses.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.document import Document
from gateway.config.error import ConfigError, KeyPath, dotted
from gateway.core.key import why_not_settable
from gateway.core.settings import Settings, TlsSettings

_ANY_ADDRESS = {"0.0.0.0", "[::]"}  # noqa: S104 - compared, not bound


def key_errors(document: Document) -> Iterator[ConfigError]:
    """Keys that could not travel in an Authorization header, or were not copied whole. The value is never shown."""
    for path, value in _keys(document):
        if reason := why_not_settable(value):
            yield document.error(path, f"this key {reason}")


def literal_keys(document: Document) -> Iterator[str]:
    """A warning for each key that stands in the file itself."""
    for path, _ in _keys(document):
        if path not in document.secret:
            warning = document.error(
                path, "a key stands in the file itself; keep it outside with env:NAME or file:PATH"
            )
            yield str(warning)


def disagreements(document: Document, settings: Settings) -> Iterator[ConfigError]:
    """What is well formed but contradicts itself."""
    yield from _same_listener(document, settings)
    yield from _half_pair(document, ("scoring", "tls"), settings.scoring.tls)
    if isinstance(settings.admin.tls, TlsSettings):
        yield from _half_pair(document, ("admin", "tls"), settings.admin.tls)
    yield from _same_host(document, settings)
    if settings.tokens.exchange and settings.admin.oidc is None:
        reason = "needs admin.oidc: name the provider whose tokens are exchanged, and give somebody the role caller"
        yield document.error(("tokens", "exchange"), reason)


def open_doors(document: Document, settings: Settings) -> Iterator[str]:
    """A warning for each service that asks for neither key nor token."""
    for name, spec in settings.services.items():
        if not spec.key_auth and not spec.token_auth:
            path = ("services", name)
            place, key = document.place(path), dotted(path)
            yield f"{place}: {key}: opens for anyone: auth_enabled and token_auth_enabled are both off"


def _keys(document: Document) -> Iterator[tuple[KeyPath, str]]:
    services = document.data.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        blocks: list[tuple[KeyPath, object]] = []
        if isinstance(service, dict):
            blocks.append((("services", name, "keys"), service.get("keys")))
            classic = service.get("classic")
            endpoints = classic.get("endpoints") if isinstance(classic, dict) else None
            for endpoint, block in endpoints.items() if isinstance(endpoints, dict) else ():
                keys = block.get("keys") if isinstance(block, dict) else None
                blocks.append((("services", name, "classic", "endpoints", endpoint, "keys"), keys))
        for path, block in blocks:
            for slot in ("primary", "secondary"):
                if isinstance(block, dict) and isinstance(block.get(slot), str):
                    yield (*path, slot), block[slot]


def _same_listener(document: Document, settings: Settings) -> Iterator[ConfigError]:
    taken: list[tuple[str, str, str]] = []
    listeners = (("scoring", settings.scoring), ("admin", settings.admin), ("metrics", settings.metrics))
    for section, block in listeners:
        host, _, port = block.listen.rpartition(":")
        for other, other_host, other_port in taken:
            overlap = host == other_host or not _ANY_ADDRESS.isdisjoint((host, other_host))
            if port == other_port and int(port) and overlap:
                reason = f"{block.listen} is taken by {other}.listen; give each listener a port of its own"
                yield document.error((section, "listen"), reason)
        taken.append((section, host, port))


def _half_pair(document: Document, path: KeyPath, tls: TlsSettings | None) -> Iterator[ConfigError]:
    if tls and (tls.certificate is None) != (tls.private_key is None):
        given, absent = ("private_key", "certificate") if tls.certificate is None else ("certificate", "private_key")
        yield document.error((*path, given), f"has no {absent} beside it; give both, or neither for the generated pair")


def _same_host(document: Document, settings: Settings) -> Iterator[ConfigError]:
    owners: dict[str, str] = {}
    for name, spec in settings.services.items():
        for index, host in enumerate(spec.hosts):
            owner = owners.setdefault(host, name)
            if owner != name:
                yield document.error(
                    ("services", name, "hosts", index),
                    f"{host} leads to services.{owner} already; a host has one service",
                )
