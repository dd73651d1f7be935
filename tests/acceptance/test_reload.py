"""The configuration of a gateway that runs: read again by signal and by itself, and the last good one kept."""

from __future__ import annotations

import os
import re
import signal
import ssl
from collections.abc import Callable
from typing import Any

import model_servers
import pytest
from reloading import Load, reload, reloads, rewrite
from running_gateway import JSON, RunningGateway, write_config
from wire import bearer

HOST = "moving.example.com"


@pytest.fixture(scope="module")
def backend(start_backend) -> model_servers.Backend:
    return start_backend()


@pytest.fixture
def service(backend) -> Callable[..., dict[str, Any]]:
    return lambda **keys: {"backends": [backend.url], "max_concurrent_requests_per_container": None, **keys}


@pytest.fixture(scope="module")
def gateway(start_gateway) -> RunningGateway:
    return start_gateway({})


def scores(gateway: RunningGateway, name: str) -> int:
    return gateway.score(name, gateway.keys(name)[0]).status


def test_services_come_change_and_go(gateway: RunningGateway, service) -> None:
    """SIGHUP: a new service is served, a changed one serves as it says now, a removed one is gone; keys survive."""
    reload(gateway, {"one": service(), "two": service()})
    assert (scores(gateway, "one"), scores(gateway, "two")) == (200, 200)
    keys = gateway.keys("one")
    reload(gateway, {"one": service(max_request_bytes=2), "three": service()})
    assert gateway.score("one", keys[0], b"{}").status == 200
    assert gateway.score("one", keys[0], b"{   }").status == 413
    assert gateway.score("two", keys[0]).status == 404
    assert scores(gateway, "three") == 200
    reload(gateway, {})
    assert gateway.score("one", keys[0]).status == 404
    reload(gateway, {"one": service()})
    assert gateway.keys("one") == keys
    metrics = gateway.metrics()
    assert metrics["scoregate_config_last_reload_successful",] == 1
    assert "was read again: added one" in gateway.errors


def test_a_bad_file(gateway: RunningGateway, service) -> None:
    """A bad file changes nothing: log and metric say where it is wrong; `check` says the same; a good one heals it."""
    reload(gateway, {"one": service()})
    before = gateway.metrics()
    reload(gateway, {"one": service(bakends=[])}, result="failure")
    metrics = gateway.metrics()
    assert scores(gateway, "one") == 200
    assert metrics["scoregate_config_last_reload_successful",] == 0
    name = "scoregate_config_last_reload_success_timestamp_seconds"
    assert metrics[name,] == before[name,]
    error = next(line["message"] for line in gateway.log() if "bakends" in line["message"])
    assert re.search(r"gateway\.yaml:\d+: services\.one\.bakends: unknown key; did you mean backends\?", error)
    assert gateway.cli("check", "--config", "gateway.yaml").returncode == 1
    reload(gateway, {"one": service()})
    assert gateway.metrics()["scoregate_config_last_reload_successful",] == 1


def test_a_name_of_the_api(gateway: RunningGateway, service) -> None:
    """A service of the admin API is not taken over by the file; the others are served, and log and metric name it."""
    reload(gateway, {})
    assert gateway.admin("PUT", "/services/made", service(description="by the API")).status == 201
    reload(gateway, {"made": service(description="by the file"), "one": service()}, result="failure")
    assert gateway.admin("GET", "/services/made").json["description"] == "by the API"
    assert scores(gateway, "one") == 200
    assert gateway.metrics()["scoregate_config_service_kept", "made"] == 1
    assert "services.made is not served as the file says" in gateway.errors
    assert gateway.admin("DELETE", "/services/made").status == 204
    reload(gateway, None)
    assert gateway.admin("GET", "/services/made").json["description"] == "by the file"


def test_settings_of_the_process(gateway: RunningGateway, service) -> None:
    """Keys that need a restart are named; the port stays as it was, services follow the file."""
    reload(gateway, {"fresh": service()}, scoring={"keep_alive_seconds": 7}, tokens={"lifetime_seconds": 90_000})
    wanted = "changed, but needs a restart: scoring.keep_alive_seconds, tokens.lifetime_seconds"
    assert any(wanted in line["message"] and line["level"] == "warning" for line in gateway.log())
    assert scores(gateway, "fresh") == 200
    reload(gateway, {})


def test_a_host_moves(gateway: RunningGateway, service) -> None:
    """A host that goes from one service to another in a reload leads to the other, forth and back."""
    homes = [("first", "second"), ("second", "first")] * 2
    for home, bare in homes:
        reload(gateway, {home: service(hosts=[HOST]), bare: service()})
        key = gateway.keys(home)[0]
        assert gateway.ask("POST", "/score", b"{}", JSON | bearer(key) | {"Host": HOST}).status == 200
    reload(gateway, {})
    assert gateway.ask("POST", "/score", b"{}", JSON | {"Host": HOST}).status == 404


def test_keys_from_files(gateway: RunningGateway, service) -> None:
    """A key whose file changes is another key within seconds, without a signal; the old one opens nothing."""
    (gateway.folder / "primary.key").write_text("the-first-value-of-it")
    keys = {"primary": "file:primary.key", "secondary": "file:secondary.key"}
    (gateway.folder / "secondary.key").write_text("the-other-value-of-it")
    reload(gateway, {"rotated": service(keys=keys)})
    assert gateway.keys("rotated") == ("the-first-value-of-it", "the-other-value-of-it")
    (gateway.folder / "scratch.key").write_text("the-second-value-of-it")
    (gateway.folder / "scratch.key").replace(gateway.folder / "primary.key")
    gateway.until(lambda: gateway.score("rotated", "the-second-value-of-it").status == 200)
    assert {gateway.score("rotated", "the-first-value-of-it").status for _ in range(8)} == {401}
    assert gateway.score("rotated", "the-other-value-of-it").status == 200


def test_a_config_map(start_gateway, service, tmp_path) -> None:
    """A ConfigMap that Kubernetes swaps is read without a signal, and so is the next one after a bad one."""
    versions: list[dict[str, Any]] = [{"one": service()}, {"two": service(nonsense=1)}, {"two": service()}]
    for number, services in enumerate(versions):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        write_config(folder, services, data_dir=str(tmp_path / "var"))
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
    gateway = start_gateway(arguments=["--config", str(tmp_path / "gateway.yaml")])
    assert scores(gateway, "one") == 200
    for number, result in ((1, "failure"), (2, "success")):
        (tmp_path / "..data_tmp").symlink_to(f"..{number}")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        gateway.until(lambda expected=result: reloads(gateway, expected) == 1)
    assert scores(gateway, "two") == 200
    assert gateway.ask("GET", "/api/v1/service/one/swagger.json").status == 404
    assert reloads(gateway, "failure") == 1


def test_the_last_good_one_outlives_its_reader(gateway: RunningGateway, service) -> None:
    """A control process that is killed while the file is bad: its successor serves what the dead one did."""
    reload(gateway, {"late": service()})
    keys, digest = gateway.keys("late"), _hash(gateway)
    reload(gateway, {"late": service(bakends=[])}, result="failure")
    victim = gateway.control()
    os.kill(victim, signal.SIGKILL)
    assert {gateway.score("late", keys[0]).status for _ in range(10)} == {200}
    gateway.until(lambda: gateway.control() != victim)
    gateway.until(lambda: gateway.metrics()["scoregate_workers_ready",] == 2)
    assert {gateway.score("late", key).status for key in keys for _ in range(5)} == {200}
    assert gateway.keys("late") == keys
    assert _hash(gateway) == digest
    reload(gateway, {})


def _hash(gateway: RunningGateway) -> str:
    return next(series[1] for series in gateway.metrics() if series[0] == "scoregate_config_info")


def test_many_signals(gateway: RunningGateway, service) -> None:
    """A hundred SIGHUPs in a row end nobody, and what the file says last is served."""
    processes = gateway.children()
    for number in range(100):
        if number % 10 == 0:
            rewrite(gateway, {f"round-{number}": service()})
        gateway.process.send_signal(signal.SIGHUP)
    gateway.until(lambda: gateway.admin("GET", "/services/round-90").status == 200)
    assert gateway.children() == processes
    reload(gateway, {})


def test_without_a_file(start_gateway, backend) -> None:
    """`serve --backend` has nothing to read again: SIGHUP is survived, and said."""
    gateway = start_gateway(
        arguments=["--backend", backend.url],
        environ={f"SCOREGATE__{name}__LISTEN": "127.0.0.1:0" for name in ("SCORING", "ADMIN", "METRICS")},
    )
    gateway.process.send_signal(signal.SIGHUP)
    gateway.until(lambda: "there is no configuration file to read again" in gateway.errors)
    assert scores(gateway, "model") == 200
    assert gateway.metrics()["scoregate_config_last_reload_successful",] == 1


def test_control_a_removed_service_is_noticed(gateway: RunningGateway, service) -> None:
    """Control: the same clients do count requests that fail, when a reload takes their service away."""
    reload(gateway, {"busy": service()})
    context = ssl.create_default_context(cafile=gateway.ready["ca_file"])
    with Load(gateway, "busy", context) as load:
        reload(gateway, {})
        gateway.until(lambda: load.failed)
    assert load.failed[0].startswith("404")
