"""What workers serve: it travels as JSON and arrives as the same value, and no key can be read from it."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.snapshot import (
    BackendEntry,
    DeploymentEntry,
    KeyEntry,
    ServiceEntry,
    Trust,
    Update,
    VerifyingKey,
)
from gateway.core.spec import (
    BackendTlsSpec,
    ClassicEndpointSpec,
    ClassicSpec,
    CorsSpec,
    DeploymentSpec,
    RateLimitSpec,
    RequestHeadersSpec,
    ServiceSpec,
)

UPDATES = TypeAdapter(Update)
DIGEST_KEY = bytes(range(224, 256))
FULL_SPEC = ServiceSpec(
    description="ü",
    tags={"team": "x"},
    auth_enabled=True,
    token_auth_enabled=True,
    allowed_ips=("10.0.0.0/8", "::1/128"),
    deployments={"blue": DeploymentSpec(("http://b:1",), 100, 5), "green": DeploymentSpec(("https://g:1",))},
    backend_tls=BackendTlsSpec(ca="/ca.pem"),
    hosts=("score.example.com",),
    swagger_path=None,
    example={"data": [[1, 2.5, None]]},
    schema={"type": "object"},
    classic=ClassicSpec("0" * 32, {"default": ClassicEndpointSpec("1" * 32)}, {"input1": ["a"]}, {"output1": ["b"]}),
    max_concurrent_requests_per_container=None,
    abandon_after_ms=5,
    health=None,
    ejection=None,
    error_dialect="plain",
    cors=CorsSpec(("https://app.example.com",)),
    rate_limits=(RateLimitSpec("burst", 5, 1.5, 10, "ip"),),
    request_headers=RequestHeadersSpec({"x-model": "1"}, ("cookie",)),
)
ENTRY = ServiceEntry(
    name="diabetes",
    spec=FULL_SPEC,
    keys=(KeyEntry(bytes(range(200, 232)), "k_1", "primary"), KeyEntry(b"\xff" * 32, "k_2", "secondary")),
    deployments=(DeploymentEntry("blue", 100, (BackendEntry("http://b:1", 3),)),),
    born=1_700_000_000.25,
)
TRUST = Trust(DIGEST_KEY, "urn:scoregate:1", (VerifyingKey("kid", "EdDSA", {"kty": "OKP", "x": "y"}),))


@pytest.mark.parametrize(
    "update",
    [
        Update(serial=1),
        Update(serial=2, full=True, services=(ENTRY,), removed=("gone",), trust=TRUST),
        Update(
            serial=3,
            services=(
                ServiceEntry(name="a", spec=ServiceSpec(backends=("http://b",)), keys=(), deployments=(), born=0),
            ),
        ),
    ],
    ids=["empty", "full", "small"],
)
def test_an_update_survives_the_wire(update):
    """Every field of every section, bytes that are no text included, is the same value on the other side."""
    assert UPDATES.validate_json(UPDATES.dump_json(update)) == update


@pytest.mark.parametrize("text", ['{"serial":1,"more":2}', '{"full":true}', '{"serial":1,"services":[{"name":"a"}]}'])
def test_an_update_that_is_not_understood_is_refused(text):
    """A worker of another release says so, and does not serve half of what was meant."""
    with pytest.raises(ValidationError):
        UPDATES.validate_json(text)


def test_the_digest_key_is_in_no_repr():
    """What turns keys into digests is in no log line or traceback."""
    shown = repr(Update(serial=1, trust=TRUST))
    assert "urn:scoregate:1" in shown
    assert "digest_key" not in shown
    assert repr(DIGEST_KEY) not in shown
