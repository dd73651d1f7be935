"""The whole of gateway.yaml but the services: documented defaults, and what each section refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.settings import Listen, Settings, TlsSettings, TokenSettings

SETTINGS = TypeAdapter(Settings)


def refusals(section, value):
    """The keys of `section` at which this value is refused."""
    with pytest.raises(ValidationError) as caught:
        SETTINGS.validate_json(TypeAdapter(object).dump_json({section: value}))
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


def taken(section, value):
    return getattr(SETTINGS.validate_json(TypeAdapter(object).dump_json({section: value})), section)


def test_nothing_has_to_be_said():
    """An empty file is a gateway with TLS, its admin API and metrics on this machine only, and no service."""
    settings = SETTINGS.validate_json("{}")
    assert settings == Settings()
    assert (settings.scoring.listen, settings.admin.listen, settings.metrics.listen) == (
        "0.0.0.0:8443",
        "127.0.0.1:8444",
        "127.0.0.1:9464",
    )
    assert settings.scoring.tls == TlsSettings(None, None, "1.2", "1.3")
    assert settings.admin.tls == "inherit"
    assert settings.services == {}


@pytest.mark.parametrize(
    "value", ["0.0.0.0:8443", "localhost:0", "h:65535", "[::]:8443", "[fe80::1]:1", "127.0.0.1:08443"]
)
def test_where_to_listen(value):
    """Address or name, and a port; 0 is any free one."""
    assert TypeAdapter(Listen).validate_python(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "8443",
        ":8443",
        "h:",
        "h:65536",
        "h:-1",
        "h:123456",
        "::1:8443",
        "[::1]",
        "[h]:1",
        "a b:1",
        "http://h:1",
        "h:1\n",
    ],
)
def test_where_nobody_can_listen(value):
    """The message shows both forms."""
    with pytest.raises(ValidationError, match=r"is no address:port such as 0\.0\.0\.0:8443 or \[::\]:8443"):
        TypeAdapter(Listen).validate_python(value)


@pytest.mark.parametrize(("least", "most"), [("1.2", "1.2"), ("1.2", "1.3"), ("1.3", "1.3")])
def test_tls_versions(least, most):
    """Any range that some client can meet."""
    assert TlsSettings(minimum_version=least, maximum_version=most).maximum_version == most


def test_tls_versions_that_nobody_meets():
    """A minimum above the maximum is told, not found out by clients."""
    with pytest.raises(ValueError, match="minimum_version is above maximum_version"):
        TlsSettings(minimum_version="1.3", maximum_version="1.2")


def test_a_token_lives_until_its_refresh():
    """Equal is the edge; beyond, every client would fail once a cycle."""
    assert TokenSettings(refresh_after_seconds=60, lifetime_seconds=60).exchange is False
    with pytest.raises(ValueError, match="refresh_after_seconds is beyond lifetime_seconds"):
        TokenSettings(refresh_after_seconds=61, lifetime_seconds=60)


@pytest.mark.parametrize(
    ("section", "value", "key"),
    [
        ("scorin", {}, "scorin"),
        ("scoring", {"listn": "h:1"}, "listn"),
        ("scoring", {"workers": 0}, "workers"),
        ("scoring", {"workers": 257}, "workers"),
        ("scoring", {"workers": "two"}, "workers"),
        ("scoring", {"public_url": "models.example.com"}, "public_url"),
        ("scoring", {"public_url": "https://h/path"}, "public_url"),
        ("scoring", {"public_url": "https://h?x"}, "public_url"),
        ("scoring", {"tls": {"minimum_version": "1.1"}}, "tls"),
        ("scoring", {"tls": {"minimum_version": 1.2}}, "tls"),
        ("scoring", {"tls": {"extra": [{"certificate": "a"}]}}, "tls"),
        ("scoring", {"max_header_bytes": 1023}, "max_header_bytes"),
        ("scoring", {"max_header_bytes": 1_048_577}, "max_header_bytes"),
        ("scoring", {"header_timeout_seconds": 0}, "header_timeout_seconds"),
        ("scoring", {"max_connections": 0}, "max_connections"),
        ("scoring", {"max_connections_per_ip": -1}, "max_connections_per_ip"),
        ("scoring", {"drain_seconds": -0.1}, "drain_seconds"),
        ("scoring", {"trusted_proxies": ["proxy"]}, "trusted_proxies"),
        ("admin", {"tls": "none"}, "tls"),
        ("admin", {"reveal_keys": "everyone"}, "reveal_keys"),
        ("admin", {"oidc": {"issuer": "https://x", "audience": "a", "roles": {"admin": ["x"]}}}, "oidc"),
        ("admin", {"oidc": {"issuer": "https://x", "audience": "a", "roles": {"owner": []}}}, "oidc"),
        ("admin", {"oidc": {"issuer": "https://x", "audience": "a"}}, "oidc"),
        ("admin", {"oidc": {"issuer": "http://x", "audience": "a", "roles": {"owner": ["x"]}}}, "issuer"),
        ("admin", {"oidc": {"issuer": "login", "audience": "a", "roles": {"owner": ["x"]}}}, "issuer"),
        ("admin", {"oidc": {"issuer": "https://x?y", "audience": "a", "roles": {"owner": ["x"]}}}, "issuer"),
        ("admin", {"oidc": {"issuer": "https://x", "audience": "", "roles": {"owner": ["x"]}}}, "audience"),
        ("admin", {"oidc": {"issuer": "https://x", "audience": "a", "roles": {"owner": ["{servic}"]}}}, "oidc"),
        (
            "admin",
            {"oidc": {"issuer": "https://x", "audience": "a", "roles": {"owner": ["{service}{service}"]}}},
            "oidc",
        ),
        ("metrics", {"listen": 9464}, "listen"),
        ("store", {"max_staleness_seconds": 0}, "max_staleness_seconds"),
        ("store", {"shared_limits": "http://h"}, "shared_limits"),
        ("tokens", {"algorithm": "HS256"}, "algorithm"),
        ("tokens", {"algorithm": "none"}, "algorithm"),
        ("tokens", {"issuer": ""}, "issuer"),
        ("tokens", {"issuer": "x" * 513}, "issuer"),
        ("tokens", {"signing_key_days": 0}, "signing_key_days"),
        ("batch", {"runners": -1}, "runners"),
        ("logging", {"level": "trace"}, "level"),
        ("services", {"ab": {"backends": ["http://h"]}}, "ab"),
    ],
)
def test_a_mistake_is_told_at_its_key(section, value, key):
    """Unknown keys, wrong kinds and values out of range are refused, never guessed."""
    assert any(key in where.split(".") for where, _ in refusals(section, value))


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("scoring", {"workers": 256, "public_url": "https://h:8443", "max_header_bytes": 1024, "drain_seconds": 0}),
        ("scoring", {"workers": "auto", "tls": None, "trusted_proxies": ["10.0.0.0/8"], "max_connections_per_ip": 0}),
        (
            "scoring",
            {"tls": {"certificate": "c", "private_key": "k", "extra": [{"certificate": "a", "private_key": "b"}]}},
        ),
        ("admin", {"tls": None, "reveal_keys": "never"}),
        (
            "admin",
            {
                "tls": {"minimum_version": "1.3"},
                "oidc": {"issuer": "https://i", "audience": "a", "roles": {"owner": ["x", "{service}:owner"]}},
            },
        ),
        ("store", {"shared_limits": "rediss://h", "max_staleness_seconds": 0.5, "previous_master_key_files": ["a"]}),
        ("tokens", {"algorithm": "ES256", "issuer": "urn:x", "lifetime_seconds": 43_200}),
        ("batch", {"runners": 0}),
        ("logging", {"level": "debug", "access_log": None}),
        ("services", {"abc": {"backends": ["http://h"]}}),
    ],
)
def test_the_edges_are_taken(section, value):
    """The last values that the rules allow, and null where it has a meaning."""
    assert taken(section, value) != getattr(Settings(), section)


def test_paths_are_kept_as_written():
    """Only who knows the file can say what they are relative to."""
    assert Settings().data_dir == Path("../var")
    assert taken("data_dir", "x/../y") == Path("x/../y")
