"""Mistakes of the first hour: each has a message of its own that says what is wrong, where, and what to do."""

from __future__ import annotations

import base64
import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from running_gateway import JSON, ROWS, SCORES, RunningGateway, run_cli, write_config

from gateway.certificate import make_development_certificate
from gateway.client import UnreachableError, Workspace
from gateway.demo.ports import free_port

DOWN = f"http://127.0.0.1:{free_port()}"
HEALTH = {"interval_seconds": 0.1, "failure_threshold": 1}


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    services = {"diabetes": {"backends": [diabetes]}, "down": {"backends": [DOWN], "health": HEALTH}}
    return start_gateway(services)


@pytest.fixture(scope="module")
def key(gateway: RunningGateway) -> str:
    return gateway.keys("diabetes")[0]


def _start_fails(folder: Path, config: Path) -> str:
    """What `scoregate serve` says before it ends with code 1; never a traceback."""
    done = run_cli(folder, "serve", "--config", str(config), "--ready-file", str(folder / "ready.json"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (folder / "ready.json").exists()
    return done.stderr


def _config_fails(folder: Path, text: str) -> str:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return _start_fails(folder, file)


# --- requests


def test_good_request(gateway: RunningGateway, key: str) -> None:
    """Control: without a mistake there is a score, so the refusals below come from the mistakes."""
    assert gateway.score("diabetes", key).json == SCORES


def test_wrong_key(gateway: RunningGateway, key: str) -> None:
    """A key that was not copied whole is told from one that is no longer, or never was, the service's."""
    mistyped = gateway.score("diabetes", key[:-1] + ("a" if key[-1] != "a" else "b"))
    assert mistyped.status == 401
    assert "not copied whole" in mistyped.json["detail"]
    foreign = gateway.score("diabetes", gateway.keys("down")[0])
    assert foreign.status == 401
    assert "opens nothing at diabetes: it is another service's, or was regenerated" in foreign.json["detail"]


def test_missing_scheme(gateway: RunningGateway, key: str) -> None:
    """A bare key without the word Bearer: the answer shows how to write it."""
    answer = gateway.score("diabetes", headers={"Authorization": key})
    assert answer.status == 401
    assert "does not start with 'Bearer'" in answer.json["detail"]
    assert "'Authorization: Bearer <key or token>'" in answer.json["detail"]


def test_no_credential(gateway: RunningGateway) -> None:
    """Nothing at all: the answer shows what to send, and the challenge names no error (RFC 6750)."""
    answer = gateway.score("diabetes")
    assert answer.status == 401
    assert "'Authorization: Bearer <key or token>'" in answer.json["detail"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="scoregate"'


def test_wrong_path(gateway: RunningGateway, key: str) -> None:
    """A path without service, a misspelt service, and a wrong end: each answer leads to the right one."""
    headers = JSON | {"Authorization": f"Bearer {key}"}
    nowhere = gateway.ask("POST", "/score", ROWS, headers)
    assert nowhere.status == 404
    assert "/api/v1/service/<name>/score" in nowhere.json["detail"]
    misspelt = gateway.ask("POST", gateway.path("diabets"), ROWS, headers)
    assert misspelt.status == 404
    assert "'diabets'" in misspelt.json["detail"]
    wrong_end = gateway.ask("POST", gateway.path("diabetes", "predict"), ROWS, headers)
    assert wrong_end.status == 404
    assert "/api/v1/service/diabetes/score" in wrong_end.json["detail"]


def test_wrong_content_type(gateway: RunningGateway, key: str) -> None:
    """A document sent as a form, as curl does by itself: the model server's own advice comes through."""
    answer = gateway.score("diabetes", key, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 400
    assert "was it sent with Content-Type: application/json?" in answer.json["message"]


def test_backend_down(gateway: RunningGateway) -> None:
    """No container answers: the caller hears which service and to retry, its owner which container and why."""
    gateway.until(lambda: "Unhealthy" in gateway.cli("status", "down").stdout)
    answer = gateway.score("down", gateway.keys("down")[0])
    assert (answer.status, answer.text) == (503, "No ready replicas for service down")
    assert int(answer.headers["retry-after"]) >= 1
    assert DOWN in gateway.cli("status", "down").stdout
    (told,) = [line["message"] for line in gateway.log() if "is Unhealthy" in line["message"]]
    assert DOWN in told
    assert "Connect call failed" in told


# --- clients


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory) -> str:
    return str(make_development_certificate(tmp_path_factory.mktemp("other")).ca)


def test_wrong_ca(gateway: RunningGateway, other_ca: str) -> None:
    """SDK and command line name the CA that does not fit, and where the right one is found."""
    with Workspace(gateway.ready["admin_url"], gateway.admin_token, other_ca) as workspace:
        with pytest.raises(UnreachableError) as caught:
            assert workspace.webservices
        assert f"not signed by the CA in {other_ca}" in str(caught.value)
        assert "its ready file names" in str(caught.value)
    done = gateway.cli("services", "list", "--ca-file", other_ca)
    assert done.returncode == 3
    assert f"not signed by the CA in {other_ca}" in done.stderr
    assert "--ca-file" in done.stderr


def test_http_instead_of_https(gateway: RunningGateway) -> None:
    """An address with the wrong scheme: the message names the right one."""
    url = gateway.ready["admin_url"].replace("https://", "http://")
    done = gateway.cli("services", "list", "--admin-url", url, "--token-file", gateway.ready["admin_token_file"])
    assert done.returncode == 3
    assert "the address needs https://" in done.stderr


def test_no_gateway(tmp_path: Path) -> None:
    """A command where no gateway runs says how to start or name one."""
    done = run_cli(tmp_path, "services", "list")
    assert done.returncode == 3
    assert "var/ready.json" in done.stderr
    assert "--admin-url" in done.stderr


def test_unknown_service(gateway: RunningGateway) -> None:
    """A command for a service that does not exist ends with the code for that, and its name."""
    done = gateway.cli("keys", "show", "nobody")
    assert done.returncode == 4
    assert "no service named nobody" in done.stderr


def test_scoring_key_at_the_admin_api(gateway: RunningGateway, key: str) -> None:
    """A scoring key is not the admin token: the answer says which is which."""
    answer = gateway.admin("GET", "/services", credential=key)
    assert answer.status == 401
    assert "scoring key" in answer.json["detail"]
    wrong = gateway.admin("GET", "/services", credential="not-the-token")
    assert "admin.token_file" in wrong.json["detail"]


# --- starts


def test_port_taken(tmp_path: Path) -> None:
    """A port another program has: the message names the key, the port, and how to find who has it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = _start_fails(tmp_path, write_config(tmp_path, {}, scoring={"listen": f"127.0.0.1:{port}"}))
    assert f"scoring.listen: port {port} of 127.0.0.1:{port} is taken" in said
    assert "ss -ltnp" in said


def test_second_gateway_on_the_same_port(gateway: RunningGateway, tmp_path: Path) -> None:
    """A second gateway does not silently share the first one's port; the first goes on undisturbed."""
    port = urlsplit(gateway.ready["scoring_url"]).port
    said = _start_fails(tmp_path, write_config(tmp_path, {}, scoring={"listen": f"127.0.0.1:{port}"}))
    assert f"scoring.listen: port {port} of 127.0.0.1:{port} is taken" in said
    assert gateway.ask("GET", "/").text == "Healthy"


def test_bad_yaml(tmp_path: Path) -> None:
    """Broken YAML is told by file, line and column."""
    said = _config_fails(tmp_path, "services:\n  diabetes:\n    backends: [http://127.0.0.1:5001\n")
    assert re.search(r"gateway\.yaml:\d+: not valid YAML at column \d+: .*bracket", said)


def test_unknown_key(tmp_path: Path) -> None:
    """Misspelt keys are all told at once, by file, line and key, with the nearest known one."""
    said = _config_fails(tmp_path, "scorng: {}\nservices:\n  diabetes:\n    backend: http://127.0.0.1:5001\n")
    assert "gateway.yaml:1: scorng: unknown key; did you mean scoring?" in said
    assert "gateway.yaml:4: services.diabetes.backend: unknown key; did you mean backends?" in said


def test_wrong_value(tmp_path: Path) -> None:
    """A value of the wrong kind: what was expected, what was found."""
    said = _config_fails(tmp_path, "scoring:\n  workers: many\nservices: {}\n")
    assert "gateway.yaml:2: scoring.workers: expected" in said
    assert "got the text 'many'" in said


def test_missing_file(tmp_path: Path) -> None:
    """A configuration that is not there is named."""
    assert "nowhere.yaml: no such file" in _start_fails(tmp_path, tmp_path / "nowhere.yaml")


def test_certificate_missing(tmp_path: Path) -> None:
    """A certificate that is not there is named, and so is its key."""
    tls = {"certificate": "models.crt", "private_key": "models.key"}
    said = _start_fails(tmp_path, write_config(tmp_path, {}, scoring={"tls": tls}))
    assert f"{tmp_path / 'models.crt'}: no such certificate file" in said
    assert str(tmp_path / "models.key") in said


def test_certificate_not_matching(tmp_path: Path) -> None:
    """A certificate with the key of another names both files, and says that a pair is needed."""
    one, other = (make_development_certificate(tmp_path / name) for name in ("one", "other"))
    tls = {"certificate": str(one.certificate), "private_key": str(other.private_key)}
    said = _start_fails(tmp_path, write_config(tmp_path, {}, scoring={"tls": tls}))
    assert f"{one.certificate}: does not belong to the private key {other.private_key}" in said
    assert "issued together" in said


def test_wrong_master_key(start_gateway, tmp_path_factory) -> None:
    """Another master key than the store's, or none, ends the start with the file's name, and harms no key."""
    gateway = start_gateway({"model": {"backends": [DOWN]}}, scoring={"workers": 1})
    keys = gateway.keys("model")
    assert gateway.stop() == 0
    config, master = gateway.folder / "gateway.yaml", gateway.folder / "var" / "master.key"
    right = master.read_text()

    master.write_text(base64.b64encode(os.urandom(32)).decode())
    said = _start_fails(gateway.folder, config)
    assert f"{master} is not the master key of this store" in said
    assert "put the right file back" in said

    master.unlink()
    said = _start_fails(gateway.folder, config)
    assert f"the master key file {master} is missing" in said
    assert "backup" in said

    master.write_text(right)
    master.chmod(0o600)
    gateway.start()
    assert gateway.keys("model") == keys


def test_backend_is_no_url(tmp_path: Path) -> None:
    """A backend without http:// is told with an example, on the command line and in the file."""
    done = run_cli(tmp_path, "serve", "--backend", "127.0.0.1:5001")
    assert done.returncode == 1
    assert "--backend: '127.0.0.1:5001' is no http:// or https:// URL" in done.stderr
    document = {"services": {"diabetes": {"backends": ["http://127.0.0.1:5001/score"]}}}
    said = _config_fails(tmp_path, yaml.safe_dump(document))
    assert "put the model's path into scoring_path" in said
