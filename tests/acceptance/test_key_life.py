"""The life of a key as an admin and a client see it: grace, end, use, where it comes from, and what seals it."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from running_gateway import JSON, RunningGateway, write_config
from wire import bearer

from gateway.client import NotAllowedError
from gateway.core.vault import MasterKey

SERVICE = "diabetes"
GRACE = 3


@pytest.fixture(scope="module")
def spec(start_backend):
    """`spec(**fields)`: a service over a container that answers at once."""
    backend = start_backend()
    return lambda **fields: {"backends": [backend.url], "max_concurrent_requests_per_container": None, **fields}


@pytest.fixture(scope="module")
def gateway(start_gateway, spec) -> RunningGateway:
    return start_gateway({SERVICE: spec()})


@pytest.fixture
def wires(gateway: RunningGateway):
    """Connections that are open already, so many that both workers have some: no handshake takes up time of a grace."""
    with ExitStack() as stack:
        yield [stack.enter_context(gateway.wire()) for _ in range(6)]


def opens(gateway: RunningGateway, key: str, wires=None) -> bool:
    """Whether a key opens, on every worker; over these connections, else over new ones."""
    asked = ("POST", gateway.path(SERVICE), b"{}", JSON | bearer(key))
    statuses = {(wire.ask(*asked) if wires else gateway.ask(*asked)).status for wire in wires or range(6)}
    assert statuses in ({200}, {401})
    return statuses == {200}


def wait_until(gateway: RunningGateway, moment: datetime) -> None:
    """A little longer: what is shown is cut to milliseconds."""
    gateway.until(lambda: datetime.now(UTC) > moment + timedelta(seconds=0.1))


def test_the_old_key_opens_for_its_grace(gateway: RunningGateway, wires) -> None:
    """Old, new and the other key open; when the grace is over the old one does not, and the answer says so.

    On the same connections, too, with the same head: what a worker remembers of it holds no longer than the grace.
    """
    old, other = gateway.keys(SERVICE)
    service = gateway.service(SERVICE)
    assert opens(gateway, old, wires)
    new = service.regen_key("Primary", grace_seconds=GRACE)
    gateway.evidence.secrets.add(new)
    assert [opens(gateway, key, wires) for key in (old, new, other)] == [True, True, True]
    until = datetime.fromisoformat(service.key_slots()["primary"]["grace_until"])
    assert abs((until - datetime.now(UTC)).total_seconds()) <= GRACE
    wait_until(gateway, until)
    for connections in (wires, None):
        assert [opens(gateway, key, connections) for key in (old, new, other)] == [False, True, True]
    answer = gateway.score(SERVICE, old, b"{}")
    assert (answer.json["reason"], "was replaced, and opened until" in answer.json["detail"]) == ("expired_key", True)


def test_a_grace_survives_its_control_process(gateway: RunningGateway, wires) -> None:
    """Killed in the middle of a grace: the old key goes on to open, and ends in time, with nobody there to end it."""
    old, _ = gateway.keys(SERVICE)
    before = gateway.control()
    gateway.evidence.secrets.add(gateway.service(SERVICE).regen_key("Primary", grace_seconds=GRACE))
    until = datetime.now(UTC) + timedelta(seconds=GRACE)
    os.kill(before, 9)
    assert opens(gateway, old, wires)
    wait_until(gateway, until)
    assert not opens(gateway, old, wires)
    gateway.until(lambda: gateway.control() != before)
    gateway.until(lambda: gateway.metrics()[("scoregate_workers_ready",)] == 2)
    assert not opens(gateway, old)


def test_a_key_ends_by_itself(gateway: RunningGateway, wires) -> None:
    """From its time on it is refused by a reason that says so; an end that is taken away leaves the key."""
    primary, secondary = gateway.keys(SERVICE)
    service, ends = gateway.service(SERVICE), datetime.now(UTC) + timedelta(seconds=GRACE)
    service.expire_key("secondary", ends)
    assert opens(gateway, secondary, wires)
    wait_until(gateway, ends)
    assert not opens(gateway, secondary, wires)
    assert opens(gateway, primary, wires)
    answer = gateway.score(SERVICE, secondary, b"{}")
    assert (answer.status, answer.json["reason"]) == (401, "expired_key")
    assert f"The secondary key of {SERVICE} expired at" in answer.json["detail"]
    service.expire_key("secondary", None)
    assert opens(gateway, secondary)


def test_is_it_safe_to_regenerate(gateway: RunningGateway) -> None:
    """API, command line and metrics give one answer, within seconds of the uses."""
    made = gateway.regenerate(SERVICE, "Secondary")
    with gateway.wire() as kept:
        for _ in range(3):
            assert kept.ask("POST", gateway.path(SERVICE), b"{}", JSON | bearer(made)).status == 200
    slots = gateway.service(SERVICE).key_slots
    gateway.until(lambda: slots()["secondary"]["uses_24h"] == 3)
    shown = gateway.cli("keys", "show", SERVICE).stdout
    sentence = next(line for line in shown.splitlines() if line.startswith("secondary:"))
    assert ", 3 uses in 24 h: not safe to regenerate" in sentence
    metrics = gateway.metrics()
    assert metrics["scoregate_key_safe_to_regenerate", SERVICE, "secondary"] == 0
    last = metrics["scoregate_key_last_used_timestamp_seconds", SERVICE, "secondary", "current"]
    assert abs(time.time() - last) < 30


def slots_of(gateway: RunningGateway) -> dict[str, dict[str, object]]:
    return gateway.service(SERVICE).key_slots()


def test_keys_that_are_shown_once(start_gateway, spec) -> None:
    """`reveal_keys: never`: nobody reads a key later, by SDK or command line; how they are used is told."""
    gateway = start_gateway({SERVICE: spec()}, admin={"reveal_keys": "never"})
    made = gateway.regenerate(SERVICE, "Primary")
    assert opens(gateway, made)
    with pytest.raises(NotAllowedError, match="shown once, when it is regenerated"):
        gateway.service(SERVICE).get_keys()
    shown = gateway.cli("keys", "show", SERVICE)
    assert shown.returncode == 0
    assert made not in shown.stdout
    assert "primary: " in shown.stdout
    assert "not shown to you" in shown.stdout


# --- keys from a Secret


def swap(secret: Path, version: str, **values: str) -> None:
    """What the kubelet does: new files in a folder of their own, and one link that is replaced by another."""
    folder = secret / version
    folder.mkdir(parents=True)
    for name, value in values.items():
        (folder / name).write_text(value)
    (secret / "..scratch").symlink_to(version)
    (secret / "..scratch").replace(secret / "..data")
    for name in values:
        if not (secret / name).is_symlink():
            (secret / name).symlink_to(f"..data/{name}")


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    """A folder as Kubernetes mounts a Secret."""
    folder = tmp_path_factory.mktemp("secret")
    swap(folder, "..1", primary="the-first-primary-value", secondary="the-secondary-value")
    return folder


@pytest.fixture(scope="module")
def mounted(start_gateway, spec, secret: Path) -> RunningGateway:
    """A gateway with the keys of the Secret."""
    keys = {slot: f"file:{secret / slot}" for slot in ("primary", "secondary")}
    gateway = start_gateway({SERVICE: spec(keys=keys, key_grace_seconds=GRACE * 2)})
    gateway.evidence.secrets |= {"the-first-primary-value", "the-second-primary-value", "the-secondary-value"}
    return gateway


def test_keys_from_a_secret(mounted: RunningGateway, secret: Path) -> None:
    """A Secret that is swapped gives the next keys by itself, with the grace of the service; log and audit tell ids."""
    gateway = mounted
    assert opens(gateway, "the-first-primary-value")
    before = slots_of(gateway)["primary"]["id"]
    swap(secret, "..2", primary="the-second-primary-value", secondary="the-secondary-value")
    gateway.until(lambda: gateway.score(SERVICE, "the-second-primary-value").status == 200)
    assert opens(gateway, "the-first-primary-value")
    slot = slots_of(gateway)["primary"]
    assert slot["former"]["id"] == before
    wait_until(gateway, datetime.fromisoformat(slot["grace_until"]))
    assert not opens(gateway, "the-first-primary-value")
    assert [opens(gateway, f"the-{name}-value") for name in ("second-primary", "secondary")] == [True, True]
    told = [line["message"] for line in gateway.log() if "takes the place of" in line["message"]]
    assert told == [
        f"the primary key of {SERVICE} is another one in the configuration: {slot['id']} takes the place of {before}"
    ]
    entries = json.loads(gateway.cli("audit", "--action", "regenerate_key", "-o", "json").stdout)["value"]
    assert [(one["actor"], slot["id"] in one["target"]) for one in entries] == [("configuration", True)]


def test_a_broken_secret_changes_nothing(mounted: RunningGateway, secret: Path) -> None:
    """An empty value, or both the same: the keys before stay, and the log names the place and not the value."""
    gateway = mounted
    for version, value in (("..3", ""), ("..4", "the-secondary-value")):
        seen = gateway.errors.count("is not served, the configuration before it stays in force")
        swap(secret, version, primary=value, secondary="the-secondary-value")
        gateway.until(lambda seen=seen: gateway.errors.count("the configuration before it stays in force") > seen)
        assert opens(gateway, "the-second-primary-value")
    assert "the-secondary-value" not in gateway.errors


# --- the master key


def test_the_master_key_is_rotated_under_load(gateway: RunningGateway, spec) -> None:
    """New file, restart, `keys rewrap` while clients score, restart without the old file: no key changes.

    With the new file alone there is no start before the rewrapping: it says which key is missing, and what to do. What
    a worker counted in its last seconds before a stop is told by then.
    """
    keys, folder = gateway.keys(SERVICE), gateway.folder
    (folder / "new.key").write_text(MasterKey.generate())
    assert gateway.stop() == 0
    _configure(gateway, spec, master_key_file="new.key")
    with pytest.raises(AssertionError, match="the gateway ended"):
        gateway.start()
    assert "new.key is not the master key of this store: it needs" in gateway.errors
    assert "add the old one to store.previous_master_key_files" in gateway.errors
    _configure(gateway, spec, master_key_file="new.key", previous_master_key_files=["var/master.key"])
    gateway.start()
    assert "still needed" in gateway.cli("keys", "master-key").stdout
    uses = slots_of(gateway)["primary"]["uses_24h"]
    with Scoring(gateway, keys[0]) as scoring:
        scoring.until(20)
        done = gateway.cli("keys", "rewrap")
        assert done.stdout.startswith("1 data key wrapped anew by ")
        assert "may be deleted" in done.stdout
        regenerated = gateway.regenerate(SERVICE, "Secondary")
        scoring.until(20)
    assert scoring.statuses == {200}
    assert gateway.cli("keys", "rewrap").stdout.startswith("0 data keys wrapped anew")
    assert gateway.stop() == 0
    (folder / "var" / "master.key").rename(folder / "deleted.key")
    _configure(gateway, spec, master_key_file="new.key")
    gateway.start()
    assert gateway.keys(SERVICE) == (keys[0], regenerated)
    assert slots_of(gateway)["primary"]["uses_24h"] == uses + scoring.count
    gateway.evidence.secrets |= {(folder / "new.key").read_text().strip(), (folder / "deleted.key").read_text().strip()}


def _configure(gateway: RunningGateway, spec, **store: object) -> None:
    write_config(gateway.folder, {SERVICE: spec()}, store=store)


class Scoring:
    """A client that scores until the end of the block."""

    def __init__(self, gateway: RunningGateway, key: str) -> None:
        self.statuses: set[int] = set()
        self.count = 0
        self._gateway, self._key = gateway, key
        self._ended = threading.Event()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._score)
        thread.start()
        self._undo.callback(thread.join)
        self._undo.callback(self._ended.set)
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def until(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        wanted = self.count + more
        self._gateway.until(lambda: self.count >= wanted)

    def _score(self) -> None:
        while not self._ended.is_set():
            self.statuses.add(self._gateway.score(SERVICE, self._key, b"{}").status)
            self.count += 1
