"""The demo from start to end: model server, gateway, guide, and then watching both until a signal or a death.

Everything is under `./var` and on 127.0.0.1. Each step registers how it is undone; that runs whatever ends the demo.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gateway.certificate import CertificateError, make_development_certificate
from gateway.client import ClientError, Webservice, Workspace
from gateway.control.ready import write
from gateway.demo import configuration, guide, install
from gateway.demo.child import Child
from gateway.demo.error import DemoError
from gateway.demo.ports import HOST, Ports, choose
from gateway.demo.progress import Progress
from gateway.demo.scoring import answers, score

_SCORE_SCRIPT = Path(__file__).parent / "score.py"
_CHOICE_VARIABLE = "SCOREGATE_DEMO_MODEL_SERVER"
_START_SECONDS = 60.0
_WATCH_SECONDS = 0.2


def run(*, port_base: int, ready_file: Path) -> int:
    """Run the demo in `./var` until SIGINT or SIGTERM.

    `port_base` is the scoring port; admin, metrics and model server take the next three; 0 takes free ones.
    `ready_file` is written when everything answers: the gateway's ready file, with both keys of each service.
    Returns 0 after a signal, 1 when something failed, which is then said in one line on standard error.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    progress = Progress()
    with ExitStack() as undo:
        status = _play(_Demo(Path("var").resolve(), ready_file.resolve(), progress, undo), port_base)
        # Ending has its own time limits; a second Ctrl-C must not leave half of it undone.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    progress.line("everything has ended")
    return status


def _play(demo: _Demo, port_base: int) -> int:
    try:
        demo.play(port_base)
    except DemoError as error:
        demo.progress.failure(f"scoregate demo: {error}")
        return 1
    except KeyboardInterrupt:
        demo.progress.line("ending the gateway and the model server")
    return 0


class _Demo:
    def __init__(self, var: Path, ready_file: Path, progress: Progress, undo: ExitStack) -> None:
        self.var = var
        self.ready_file = ready_file
        self.progress = progress
        self._undo = undo

    def play(self, port_base: int) -> None:
        self._claim_var()
        ports = choose(port_base)
        model_server = self._start_model_server(ports.model_server)
        gateway = self._start_gateway(ports)
        ready = self._with_keys(json.loads(self._gateway_ready.read_text(encoding="utf-8")))
        answer = score(ready, configuration.SERVICE, guide.ROWS)
        self._publish(ready)
        self.progress.plain(guide.text(ready))
        self.progress.line(f"the two rows were just scored through the gateway: {answer}")
        self.progress.line("Ctrl-C ends everything")
        while True:
            gateway.check()
            model_server.check()
            time.sleep(_WATCH_SECONDS)

    def _claim_var(self) -> None:
        self.var.mkdir(mode=0o700, exist_ok=True)
        self.var.chmod(0o700)
        lock = self._undo.enter_context((self.var / "demo.lock").open("a+", encoding="ascii"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise DemoError(
                f"a demo already runs in {self.var} (process {lock.read().strip()}); end that one first"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def _start_model_server(self, port: int) -> Child:
        home = self.var / "model-server"
        home.mkdir(exist_ok=True)
        command, environ = self._model_server(home, port)
        child = self._child("model server", command, home / "server.log", environ)
        child.until(lambda: answers(port), progress=self.progress, seconds=_START_SECONDS)
        self.progress.line(f"the model server answers on http://{HOST}:{port} (log: {child.log})")
        return child

    def _model_server(self, home: Path, port: int) -> tuple[list[str | Path], dict[str, str]]:
        choice = os.environ.get(_CHOICE_VARIABLE, "auto")
        if choice not in ("auto", "azure", "own"):
            raise DemoError(f"{_CHOICE_VARIABLE}={choice}: give azure, own, or nothing")
        if choice != "own":
            try:
                environment = install.install(home, self.progress)
            except DemoError as error:
                if choice == "azure":
                    raise
                self.progress.line(f"{error}; Scoregate's own small model server gives the same answers in its place")
            else:
                self.progress.line(install.licence(environment))
                environ = install.environ(configuration.SERVICE, _SCORE_SCRIPT, home, os.environ)
                return install.command(environment, port), environ
        module = (sys.executable, "-m", "gateway.demo.model_server")
        options = ("--entry-script", _SCORE_SCRIPT, "--port", str(port), "--service-name", configuration.SERVICE)
        return [*module, *options], dict(os.environ)

    def _start_gateway(self, ports: Ports) -> Child:
        try:
            make_development_certificate(self.var / "tls")
        except CertificateError as error:
            raise DemoError(str(error)) from None
        file = self.var / "demo.yaml"
        file.write_text(configuration.document(ports), encoding="utf-8")
        self._gateway_ready.unlink(missing_ok=True)
        serve = ("-m", "gateway", "serve", "--config", file, "--ready-file", self._gateway_ready)
        environ = dict(os.environ) | {"SCOREGATE_EXIT_WITH_PARENT": "1"}
        child = self._child("gateway", [sys.executable, *serve], self.var / "gateway.log", environ)
        child.until(self._gateway_ready.is_file, progress=self.progress, seconds=_START_SECONDS)
        self.progress.line(f"the gateway is up (configuration: {file}, log: {child.log})")
        return child

    @property
    def _gateway_ready(self) -> Path:
        return self.var / ".gateway-ready.json"

    def _child(self, name: str, command: list[str | Path], log: Path, environ: dict[str, str]) -> Child:
        log.unlink(missing_ok=True)
        child = Child(name, command, log=log, environ=environ)
        self._undo.callback(child.stop, seconds=10)
        return child

    def _with_keys(self, ready: dict[str, Any]) -> dict[str, Any]:
        try:
            with Workspace.from_ready_file(self._gateway_ready) as workspace:
                for name, service in ready["services"].items():
                    service["primary_key"], service["secondary_key"] = Webservice(workspace, name).get_keys()
        except ClientError as error:
            raise DemoError(str(error)) from None
        return ready

    def _publish(self, ready: dict[str, Any]) -> None:
        self._undo.callback(self.ready_file.unlink, missing_ok=True)
        write(self.ready_file, ready)
