"""A service as asked for: Azure's defaults, the rules that span keys, and that typing mistakes are told."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.spec import (
    ClassicEndpointSpec,
    CorsSpec,
    DeploymentSpec,
    KeysSpec,
    RateLimitSpec,
    RequestHeadersSpec,
    ServiceName,
    ServiceSpec,
)

SERVICES = TypeAdapter(ServiceSpec)
SMALL = {"backends": ["http://h"]}


def built(**keys):
    """From outside data, as JSON says it."""
    return SERVICES.validate_json(SERVICES.dump_json(SERVICES.validate_json(_json(SMALL | keys))))


def _json(value):
    return TypeAdapter(object).dump_json(value)


def refusals(**keys):
    """(key, message) for each fault of a service that has these keys beside a backend."""
    with pytest.raises(ValidationError) as caught:
        SERVICES.validate_json(_json(SMALL | keys))
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("keys", "key_auth", "token_auth"),
    [
        ({}, True, False),
        ({"compute_type": "AKS"}, True, False),
        ({"compute_type": "AKSENDPOINT"}, True, False),
        ({"compute_type": "ACI"}, False, False),
        ({"compute_type": "ACI", "auth_enabled": True}, True, False),
        ({"compute_type": "ACI", "token_auth_enabled": False}, False, False),
        ({"auth_enabled": False}, False, False),
        ({"token_auth_enabled": True}, True, True),
        ({"auth_enabled": False, "token_auth_enabled": True}, False, True),
        ({"auth_enabled": True, "token_auth_enabled": False}, True, False),
    ],
)
def test_what_opens_a_service(keys, key_auth, token_auth):
    """What is left out takes Azure's default for the compute type; what is said stands."""
    spec = built(**keys)
    assert (spec.key_auth, spec.token_auth) == (key_auth, token_auth)


def test_tokens_are_impossible_with_aci():
    """As in Azure: it is refused, not ignored."""
    assert "impossible with compute_type ACI" in refusals(compute_type="ACI", token_auth_enabled=True)[0][1]


def test_backends_are_one_deployment():
    """All traffic goes to a deployment named default, or to those that are named."""
    assert built().deployed == {"default": DeploymentSpec(("http://h",), 100)}
    blue = {"blue": {"backends": ["http://b"], "traffic": 100}, "green": {"backends": ["http://g"]}}
    spec = built(backends=[], deployments=blue)
    assert {name: d.traffic for name, d in spec.deployed.items()} == {"blue": 100, "green": 0}


BLUE = {"backends": ["http://b"], "traffic": 100}


@pytest.mark.parametrize(
    "keys",
    [
        {"backends": []},
        {"backends": [], "deployments": {}},
        {"backends": [], "deployments": None},
        {"deployments": {"blue": BLUE}},
    ],
)
def test_backends_or_deployments(keys):
    """Neither and both are refused."""
    assert "give either backends" in refusals(**keys)[0][1]


@pytest.mark.parametrize("split", [(100, 1), (50, 49), (0, 0)])
def test_traffic_sums_to_100(split):
    """Anything else would leave open where the rest goes."""
    blue, green = ({"backends": ["http://b"], "traffic": percent} for percent in split)
    assert "must sum to 100" in refusals(backends=[], deployments={"blue": blue, "green": green})[0][1]


def test_traffic_may_be_split():
    """Two that sum to 100 are taken."""
    blue, green = ({"backends": ["http://b"], "traffic": percent} for percent in (90, 10))
    assert len(built(backends=[], deployments={"blue": blue, "green": green}).deployed) == 2


def test_limits_have_names_of_their_own():
    """Clients and metrics tell them apart by it."""
    one, two = {"name": "a", "requests": 1}, {"name": "b", "requests": 1}
    assert built(rate_limits=[one, two]).rate_limits == (RateLimitSpec("a", 1), RateLimitSpec("b", 1))
    assert "same name" in refusals(rate_limits=[one, one])[0][1]


def test_the_two_keys_differ():
    """Else neither can be rotated while the other works."""
    assert KeysSpec("a", "b").primary == "a"
    with pytest.raises(ValueError, match="primary and secondary must differ"):
        KeysSpec("a", "a")


@pytest.mark.parametrize("name", ["allowed_origins", "allowed_methods", "allowed_headers"])
def test_a_wildcard_does_not_go_with_credentials(name):
    """The Fetch standard gives `*` another meaning then; either alone is taken."""
    cors = {"allowed_origins": ["https://a.com"], name: ["*"]}
    assert "*" in getattr(built(cors=cors).cors, name)
    assert built(cors={"allowed_origins": ["https://a.com"], "allow_credentials": True}).cors.allow_credentials
    assert f"'*' in {name}" in refusals(cors=cors | {"allow_credentials": True})[0][1]


def test_cors_has_the_documented_defaults():
    """What a page needs to score with a key, for ten minutes."""
    cors = CorsSpec(("https://a.com",))
    assert (cors.allowed_methods, cors.allowed_headers) == (("GET", "POST"), ("Authorization", "Content-Type"))
    assert (cors.exposed_headers, cors.allow_credentials, cors.max_age_seconds) == (("x-request-id",), False, 600)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "transfer-encoding",
        "CONNECTION",
        "te",
        "X-Forwarded-For",
        "X-Scoregate-Caller",
        "x-request-id",
    ],
)
def test_the_gateways_own_fields_cannot_be_set(name):
    """Framing and identity are said once, by the gateway: a second value would be smuggling or spoofing."""
    assert f"may not name {name}" in refusals(request_headers={"set": {name: "1"}})[0][1]


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "x-forwarded", "hostess", "content-type"])
def test_other_fields_can_be_set(name):
    """Also the credential that the model server itself asks for."""
    assert built(request_headers={"set": {name: "1"}}).request_headers.set == {name: "1"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auth_enabeld", True),
        ("auth_enabled", "true"),
        ("auth_enabled", 1),
        ("compute_type", "aks"),
        ("load_balancer", "random"),
        ("error_dialect", "azure"),
        ("on_client_gone", "wait"),
        ("max_concurrent_requests_per_container", 0),
        ("max_concurrent_requests_per_container", "1"),
        ("max_queue_wait_ms", -1),
        ("max_queue_length", -1),
        ("scoring_timeout_ms", 0),
        ("scoring_timeout_ms", 86_400_001),
        ("scoring_timeout_ms", 1.5),
        ("max_request_bytes", 0),
        ("description", "x" * 4097),
        ("tags", {"a": 1}),
        ("allowed_ips", ["10.0.0.1/8"]),
        ("hosts", ["https://h"]),
        ("scoring_path", "score"),
        ("swagger_path", ""),
        ("deployments", {"Blue": BLUE}),
        ("deployments", {"blue": BLUE | {"backends": []}}),
        ("deployments", {"blue": BLUE | {"traffic": 101}}),
        ("deployments", {"blue": BLUE | {"mirror": 51}}),
        ("keys", {"primary": "a"}),
        ("keys", {"primary": "", "secondary": "b"}),
        ("keys", {"primary": "a" * 1025, "secondary": "b"}),
        ("cors", {"allowed_origins": []}),
        ("cors", {"allowed_origins": ["*"], "max_age_seconds": -1}),
        ("rate_limits", [{"name": "-a", "requests": 1}]),
        ("rate_limits", [{"name": "a" * 65, "requests": 1}]),
        ("rate_limits", [{"name": "a", "requests": 0}]),
        ("rate_limits", [{"name": "a", "requests": 1, "per_seconds": 0}]),
        ("rate_limits", [{"name": "a", "requests": 1, "per_seconds": 2_678_401}]),
        ("rate_limits", [{"name": "a", "requests": 1, "burst": 0}]),
        ("rate_limits", [{"name": "a", "requests": 1, "partition": "user"}]),
        ("retry", {"attempts": 0}),
        ("retry", {"budget_percent": 101}),
        ("health", {"interval_seconds": 0}),
        ("health", {"path": "healthz"}),
        ("ejection", {"seconds": 0}),
        ("ejection", {"max_percent": -1}),
        ("request_headers", {"remove": ["a b"]}),
        ("backend_tls", {"server_name": "https://h"}),
        ("classic", {"workspace": "0" * 31, "endpoints": {}}),
        ("classic", {"workspace": "0" * 32, "endpoints": {"default": {"id": "G" * 32}}}),
    ],
)
def test_a_mistake_is_told_at_its_key(key, value):
    """Unknown keys, wrong kinds and values out of range are refused, never guessed."""
    assert refusals(**{key: value})[0][0].split(".")[0] == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_concurrent_requests_per_container", None),
        ("max_concurrent_requests_per_container", 1_000_000),
        ("max_queue_wait_ms", 0),
        ("max_queue_length", 0),
        ("scoring_timeout_ms", 86_400_000),
        ("description", "x" * 4096),
        ("health", None),
        ("ejection", None),
        ("swagger_path", None),
        ("abandon_after_ms", 1),
        ("rate_limits", [{"name": "a" * 64, "requests": 1, "per_seconds": 2_678_400, "burst": 1, "partition": "ip"}]),
        ("retry", {"attempts": 1, "budget_percent": 0}),
        ("classic", {"workspace": "0" * 32, "endpoints": {"default": {"id": "f" * 32}}}),
    ],
)
def test_the_edges_are_taken(key, value):
    """The last values that the rules allow, and null where it has a meaning."""
    assert key in SERVICES.dump_python(built(**{key: value}))


@pytest.mark.parametrize(
    ("name", "fits"), [("abc", True), ("a-1", True), ("a" * 32, True), ("ab", False), ("a" * 33, False)]
)
def test_the_length_of_a_service_name(name, fits):
    """3 to 32 characters."""
    assert _is(ServiceName, name) is fits


@pytest.mark.parametrize("name", ["Abc", "1bc", "ab-", "-ab", "a_b", "a.b", "a/b", "abc\n", "äbc", "a b"])
def test_other_characters_are_no_service_name(name):
    """It stands in URLs, metrics and file names as it is."""
    assert not _is(ServiceName, name)


def _is(kind, value):
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def test_no_secret_is_in_a_repr():
    """Keys, and header values for the backend, stay out of tracebacks, wherever in a service they stand."""
    keys = KeysSpec("hunter2", "hunter3")
    spec = ServiceSpec(
        backends=("http://h",), keys=keys, request_headers=RequestHeadersSpec({"Authorization": "hunter4"})
    )
    shown = repr([keys, ClassicEndpointSpec("0" * 32, keys), spec])
    assert "hunter" not in shown
    assert "http://h" in shown
