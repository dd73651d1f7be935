"""A gateway as a person starts it: a real process with a folder of its own, and what it leaves to be looked at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from wire import Answer, Wire, bearer

from gateway.client import ClientError, Webservice, Workspace

ROWS = (
    b'{"data": [[0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,'
    b" -0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807],"
    b" [-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,"
    b" 0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303]]}"
)
SCORES = [217.67978776218715, 224.78937091757172]
JSON = {"Content-Type": "application/json"}
START_SECONDS = 40


@dataclass
class Evidence:
    """What all gateways of this session wrote and showed, and the secrets that must not be in it."""

    files: list[Path] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)


def run_cli(folder: Path, *arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """`scoregate …` in a folder. `given`: what stands on its stdin."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | environ,
    )


class RunningGateway:
    """`scoregate serve` in `folder`. Ready when made; `start()` runs it again after a stop."""

    PROGRAM = (sys.executable, "-m", "gateway")

    def __init__(
        self,
        folder: Path,
        arguments: list[str],
        environ: dict[str, str],
        evidence: Evidence,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        self.folder = folder
        self.evidence = evidence
        self.ready_file = folder / "var" / "ready.json"
        self._arguments = arguments
        self._program = program
        self._environ = environ
        self._out, self._err = folder / "stdout.log", folder / "stderr.log"
        evidence.files += [self._out, self._err]
        self.start()

    def start(self) -> None:
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen(
                [*self._program, "serve", *self._arguments, "--ready-file", str(self.ready_file)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=os.environ | {"SCOREGATE_EXIT_WITH_PARENT": "1"} | self._environ,
                start_new_session=True,
            )
        try:
            self.until(self.ready_file.exists, START_SECONDS)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.ready: dict[str, Any] = json.loads(self.ready_file.read_text())
        self.workspace = Workspace.from_ready_file(self.ready_file)

    def until(self, condition: Callable[[], object], seconds: float = 15) -> None:
        """Wait for a condition while the gateway runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the gateway ended: {self.errors}"
            assert time.monotonic() < deadline, f"it never came true: {self.errors}"
            time.sleep(0.02)

    # --- what it says

    @property
    def errors(self) -> str:
        return self._err.read_text()

    def log(self) -> list[dict[str, Any]]:
        """Its own log, line by line."""
        return [json.loads(line) for line in self.errors.splitlines() if line.startswith("{")]

    def access_log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def metrics(self) -> dict[tuple[str, ...], float]:
        """(series, label value, …) → value; label values in the order of the labels' names."""
        return {
            (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(self.metrics_page())
            for sample in family.samples
        }

    def metrics_page(self) -> str:
        with Wire(self.ready["metrics_url"], None) as wire:
            return wire.ask("GET", "/metrics").text

    # --- what is done with it

    def path(self, service: str, operation: str = "score") -> str:
        return f"/api/v1/service/{service}/{operation}"

    def wire(self, **options: Any) -> Wire:
        """A connection to the scoring port."""
        return Wire(self.ready["scoring_url"], self.ready["ca_file"], **options)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request to the scoring port, on a connection of its own."""
        with self.wire() as wire:
            return wire.ask(method, path, body, headers)

    def score(
        self, service: str, credential: str | None = None, body: bytes = ROWS, headers: dict[str, str] | None = None
    ) -> Answer:
        fields = JSON | (bearer(credential) if credential is not None else {}) | (headers or {})
        return self.ask("POST", self.path(service), body, fields)

    def admin(self, method: str, path: str, document: Any = None, credential: str | None = None) -> Answer:
        """One request to the admin API; as the owner unless another credential is given."""
        headers = JSON | bearer(self.admin_token if credential is None else credential)
        body = None if document is None else json.dumps(document).encode()
        with Wire(self.ready["admin_url"], self.ready["ca_file"]) as wire:
            return wire.ask(method, f"/v1{path}", body, headers)

    @property
    def admin_token(self) -> str:
        return Path(self.ready["admin_token_file"]).read_text().strip()

    def service(self, name: str) -> Webservice:
        return Webservice(self.workspace, name)

    def keys(self, service: str) -> tuple[str, str]:
        """(primary, secondary), noted as secrets."""
        keys = self.service(service).get_keys()
        self.evidence.secrets.update(keys)
        return keys

    def token(self, service: str) -> str:
        """A token, noted as a secret."""
        token, _ = self.service(service).get_token()
        self.evidence.secrets.add(token)
        return token

    def regenerate(self, service: str, slot: str, value: str | None = None) -> str:
        """A new key for a slot, noted as a secret."""
        key = self.service(service).regen_key(slot, value)
        self.evidence.secrets.add(key)
        return key

    def cli(self, *arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """`scoregate …` beside it: the command finds this gateway by its ready file."""
        self.evidence.texts.append(("argv", " ".join(arguments)))
        return run_cli(self.folder, *arguments, given=given, **environ)

    # --- its processes

    def children(self) -> set[int]:
        """Process ids of the control process and the workers."""
        pid = self.ready["pid"]
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def control(self) -> int:
        """Process id of the control process: the one that says when everything is ready."""
        return int([line for line in self.log() if line["message"].startswith("ready")][-1]["pid"])

    def workers(self) -> set[int]:
        return self.children() - {self.control()}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and tell how it ended."""
        if self.process.poll() is None:
            self._testify()
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.workspace.close()

    def _testify(self) -> None:
        evidence = self.evidence
        evidence.secrets |= {self.admin_token, *self._files("master.key"), *self._current_keys()}
        evidence.texts.append(("metrics", self.metrics_page()))
        evidence.texts += [("command line", text) for text in _command_lines(self.children() | {self.process.pid})]

    def _files(self, name: str) -> Iterator[str]:
        for file in self.folder.rglob(name):
            yield file.read_text().strip()

    def _current_keys(self) -> Iterator[str]:
        for service in Webservice.list(self.workspace):
            if service.auth_enabled:
                try:
                    yield from service.get_keys()
                except ClientError:
                    continue  # a gateway that a test made to hide its keys


def _command_lines(pids: set[int]) -> Iterator[str]:
    for pid in pids:
        try:
            yield Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue


def write_config(folder: Path, services: dict[str, Any], **sections: Any) -> Path:
    """A gateway.yaml for free ports, with quick stops; `sections` go over it."""
    document: dict[str, Any] = {
        "data_dir": "var",
        "scoring": {"listen": "127.0.0.1:0", "workers": 2, "drain_seconds": 1} | sections.pop("scoring", {}),
        "admin": {"listen": "127.0.0.1:0"} | sections.pop("admin", {}),
        "metrics": {"listen": "127.0.0.1:0"},
        **sections,
        "services": services,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file
