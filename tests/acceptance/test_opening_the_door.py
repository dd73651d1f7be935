"""Who may score: the truth table of auth_enabled and token_auth_enabled, Azure's defaults, and what opens nothing."""

from __future__ import annotations

import base64
import json

import pytest
from running_gateway import JSON, ROWS, SCORES, RunningGateway
from wire import bearer, spoken

TABLE = {
    # service: (auth_enabled, token_auth_enabled): a key, a token, nothing
    "keyed": ((True, False), (200, 401, 401)),
    "tokened": ((False, True), (401, 200, 401)),
    "either": ((True, True), (200, 200, 401)),
    "open": ((False, False), (200, 200, 200)),
}


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    rows = {
        name: {"backends": [diabetes], "auth_enabled": key, "token_auth_enabled": token}
        for name, ((key, token), _) in TABLE.items()
    }
    defaults = {
        "on-aks": {"backends": [diabetes]},
        "on-aci": {"backends": [diabetes], "compute_type": "ACI"},
    }
    return start_gateway(rows | defaults)


def _switched(gateway: RunningGateway, name: str) -> tuple[str, str]:
    """A key and a token of a service of ours that was opened by both before it became the row of the table."""
    backends = gateway.service("keyed").document["backends"]
    block = {"backends": backends, "auth_enabled": True, "token_auth_enabled": True}
    assert gateway.admin("PUT", f"/services/{name}", block).status == 201
    return gateway.keys(name)[0], gateway.token(name)


@pytest.mark.parametrize("row", TABLE)
def test_truth_table(gateway: RunningGateway, row: str) -> None:
    """What opens a service: its own valid key, its own valid token, or nothing at all, in each of the four rows."""
    (auth_enabled, token_auth_enabled), expected = TABLE[row]
    name = f"row-{row}"
    key, token = _switched(gateway, name)
    assert [gateway.score(name, credential).status for credential in (key, token, None)] == [200, 200, 401]
    service = gateway.service(name)
    service.update(auth_enabled=auth_enabled, token_auth_enabled=token_auth_enabled)
    assert [gateway.score(name, credential).status for credential in (key, token, None)] == list(expected)
    assert (service.auth_enabled, service.token_auth_enabled) == (auth_enabled, token_auth_enabled)


@pytest.mark.parametrize("row", TABLE)
def test_services_of_the_file(gateway: RunningGateway, row: str) -> None:
    """Services declared in the file follow the same table; who asks for what is off is told so."""
    (auth_enabled, token_auth_enabled), _ = TABLE[row]
    keys, token = (
        gateway.admin("GET", f"/services/{row}/keys"),
        gateway.admin("POST", f"/services/{row}/token", {}),
    )
    assert (keys.status == 200, token.status == 200) == (auth_enabled, token_auth_enabled)
    for refused in (answer for answer in (keys, token) if answer.status != 200):
        assert refused.status == 409
        assert "auth_enabled" in refused.json["detail"]
    if auth_enabled:
        gateway.evidence.secrets.add(keys.json["primary_key"])
        assert gateway.score(row, keys.json["primary_key"]).json == SCORES
    if token_auth_enabled:
        gateway.evidence.secrets.add(token.json["token"])
        assert gateway.score(row, token.json["token"]).json == SCORES


def test_open_services_are_told(gateway: RunningGateway) -> None:
    """A door that stands open is said at the start and shown in the metrics."""
    warning = next(line for line in gateway.errors.splitlines() if "open" in line and "warning" in line)
    assert "anyone" in warning
    doors = {service: value for (name, service), value in _open_doors(gateway)}
    assert (doors["open"], doors["keyed"]) == (1, 0)


def _open_doors(gateway: RunningGateway):
    return [(series, value) for series, value in gateway.metrics().items() if series[0] == "scoregate_service_open"]


def test_defaults_of_aks_and_aci(gateway: RunningGateway) -> None:
    """On AKS keys are on by default and tokens off; on ACI both are off."""
    aks, aci = gateway.service("on-aks"), gateway.service("on-aci")
    assert (aks.auth_enabled, aks.token_auth_enabled) == (True, False)
    assert (aci.auth_enabled, aci.token_auth_enabled) == (False, False)
    assert (gateway.score("on-aks").status, gateway.score("on-aci").status) == (401, 200)


def test_tokens_are_impossible_on_aci(gateway: RunningGateway) -> None:
    """On ACI token authentication cannot be switched on, and the refusal names the way out."""
    block = {"backends": ["http://127.0.0.1:1"], "compute_type": "ACI", "token_auth_enabled": True}
    answer = gateway.admin("PUT", "/services/aci-token", block)
    assert answer.status == 400
    assert "use AKS" in answer.text


def test_authentication_is_switched_at_creation_and_by_update(gateway: RunningGateway) -> None:
    """auth_enabled and token_auth_enabled may be given when a service is made, and changed later."""
    backends = gateway.service("keyed").document["backends"]
    answer = gateway.admin("PUT", "/services/switched", {"backends": backends, "auth_enabled": False})
    assert (answer.status, answer.json["auth_enabled"]) == (201, False)
    assert gateway.score("switched").json == SCORES
    service = gateway.service("switched")
    service.update(auth_enabled=True, token_auth_enabled=True)
    assert gateway.score("switched").status == 401
    assert gateway.score("switched", gateway.keys("switched")[0]).json == SCORES
    assert gateway.score("switched", gateway.token("switched")).json == SCORES
    service.delete()
    assert gateway.score("switched", "any").status == 404


def test_credentials_of_another_service_open_nothing(gateway: RunningGateway) -> None:
    """The key and the token of one service are refused by every other."""
    key, token = gateway.keys("keyed")[0], gateway.token("either")
    for service, credential in (("either", key), ("tokened", token)):
        answer = gateway.score(service, credential)
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_wrong_key(gateway: RunningGateway) -> None:
    """One changed character, one missing, and a key of the other letter case are 401, and the answer repeats none."""
    key = gateway.keys("keyed")[0]
    changed = key[:-1] + ("a" if key[-1] != "a" else "b")
    for wrong in (changed, key[:-1], key.swapcase(), key + key):
        answer = gateway.score("keyed", wrong)
        assert answer.status == 401
        assert wrong not in answer.text
    assert gateway.score("keyed", key).status == 200


def test_forged_token(gateway: RunningGateway) -> None:
    """A token whose claims were changed, and one that claims to need no signature, are 401."""
    token = gateway.token("tokened")
    head, claims, signature = token.split(".")
    longer = json.loads(base64.urlsafe_b64decode(claims + "=="))
    longer["exp"] += 3600
    forged = base64.urlsafe_b64encode(json.dumps(longer).encode()).rstrip(b"=").decode()
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    assert gateway.score("tokened", f"{head}.{forged}.{signature}").status == 401
    assert gateway.score("tokened", f"{unsigned}.{claims}.").status == 401
    assert gateway.score("tokened", token).status == 200


def test_expired_token(gateway: RunningGateway) -> None:
    """A token is refused from the second it expires."""
    token = gateway.admin("POST", "/services/tokened/token", {"lifetime_seconds": 1}).json["token"]
    gateway.evidence.secrets.add(token)
    gateway.until(lambda: gateway.score("tokened", token).status == 401)
    assert "expired" in gateway.score("tokened", token).json["detail"]


def test_credential_goes_into_the_header_alone(gateway: RunningGateway) -> None:
    """The scheme is read in any case; a key in the query opens nothing; two credentials are 400."""
    key = gateway.keys("keyed")[0]
    path = gateway.path("keyed")
    assert gateway.ask("POST", path, ROWS, JSON | {"Authorization": f"bearer {key}"}).status == 200
    assert gateway.ask("POST", f"{path}?key=wrong", ROWS, JSON).status == 401
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(ROWS)}"]
    twice = [f"{name}: {value}" for name, value in bearer(key).items()] * 2
    status, _, body = spoken(gateway.ready["scoring_url"], gateway.ready["ca_file"], [*lines, *twice], ROWS)
    assert status == "HTTP/1.1 400 Bad Request"
    assert b"two Authorization fields" in body
