"""Sample clients in other languages against the demo: real TLS, the development CA, key, token and wrong key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.certificate import make_development_certificate
from gateway.client import Webservice, Workspace
from gateway.demo.guide import ROWS

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
KNOWN = "[217.67978776218715, 224.78937091757172]"
JARS = [
    f"/usr/share/java/{name}.jar" for name in ("fluent-hc", "httpclient", "httpcore", "commons-logging", "json-simple")
]
NEWTONSOFT = str(
    next(Path("/usr/lib/mono/gac/Newtonsoft.Json").glob("*/Newtonsoft.Json.dll"), Path("Newtonsoft.Json.dll"))
)
CURL = (
    'curl --silent --show-error --max-time 10 --cacert "$CA" -H "Authorization: Bearer $KEY" '
    "-H 'Content-Type: application/json' "
    f"-d '{ROWS}' --write-out '%{{stderr}}%{{http_code}}' \"$SCORING_URI\""
)


@dataclass(frozen=True)
class Language:
    """How a client is built and run; `{out}` is a folder of its own. `needs`: programs and files it stands on."""

    needs: Sequence[str]
    packages: str
    run: Sequence[str]
    build: Sequence[str] = ()
    trust: Sequence[str] = ()
    names_only: bool = False


LANGUAGES = {
    "curl": Language(["curl"], "curl", ["sh", "-c", CURL]),
    "csharp": Language(
        ["mcs", "mono", "cert-sync", NEWTONSOFT],
        "mono-mcs mono-runtime ca-certificates-mono libmono-system-net-http4.0-cil libnewtonsoft-json5.0-cil",
        ["mono", "{out}/client.exe"],
        ["mcs", "-out:{out}/client.exe", "-r:System.Net.Http.dll", f"-r:{NEWTONSOFT}", f"{HERE}/csharp/Client.cs"],
        trust=["cert-sync", "--quiet", "--user", "{ca}"],
        names_only=True,  # Mono does not look at the addresses in a certificate
    ),
    "go": Language(
        ["go"], "golang-go", ["{out}/client"], ["go", "build", "-o", "{out}/client", f"{HERE}/go/client.go"]
    ),
    "java": Language(
        ["javac", "java", *JARS],
        "default-jdk-headless libhttpclient-java libjson-simple-java",
        ["java", "-cp", ":".join(["{out}", *JARS]), "Client"],
        ["javac", "-cp", ":".join(JARS), "-d", "{out}", f"{HERE}/java/Client.java"],
    ),
    "python": Language([], "", [sys.executable, f"{HERE}/python/client.py"]),
    "r": Language(
        ["Rscript", "/usr/lib/R/site-library/curl", "/usr/lib/R/site-library/jsonlite"],
        "r-base-core r-cran-curl r-cran-jsonlite",
        ["Rscript", f"{HERE}/r/client.R"],
    ),
}


@dataclass(frozen=True)
class Client:
    """A client that is built. Its home is a folder of its own: nothing of this machine is trusted or changed."""

    language: Language
    folder: Path

    def score(self, uri: str, key: str, ca: Path) -> subprocess.CompletedProcess[str]:
        home = self.folder / f"trusts-{ca.parent.parent.name}"
        home.mkdir(exist_ok=True)
        environ = _environ(self.folder) | {"HOME": str(home), "SCORING_URI": uri, "KEY": key, "CA": str(ca)}
        if self.language.names_only:
            environ["SCORING_URI"] = uri.replace("127.0.0.1", "localhost")
        if self.language.trust:
            _run(self._filled(self.language.trust, ca), environ, check=True)
        return _run(self._filled(self.language.run, ca), environ, check=False)

    def build(self) -> None:
        if self.language.build:
            _run(self._filled(self.language.build, Path()), _environ(self.folder), check=True)

    def _filled(self, command: Sequence[str], ca: Path) -> list[str]:
        return [part.replace("{out}", str(self.folder)).replace("{ca}", str(ca)) for part in command]


def _environ(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR", "JAVA_HOME")}
    return kept | {"HOME": str(folder), "GO111MODULE": "off", "GOCACHE": str(folder / "go-cache"), "GOFLAGS": ""}


def _run(command: Sequence[str], environ: Mapping[str, str], *, check: bool) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert not check or done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def demo(
    start_demo: Callable[..., Any], azure_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The demo with the real model server: what its ready file says, and a token."""
    folder = tmp_path_factory.mktemp("demo")
    home = folder / "var" / "model-server"
    home.mkdir(parents=True)
    (home / "venv").symlink_to(azure_environment)
    demo = start_demo(folder, model_server="azure")
    ready: dict[str, Any] = demo.ready()
    with Workspace.from_ready_file(demo.ready_file) as workspace:
        return ready | {"token": Webservice(workspace, "diabetes").get_token()[0]}


@pytest.fixture(scope="module", params=LANGUAGES)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Client:
    language = LANGUAGES[request.param]
    missing = [need for need in language.needs if not (shutil.which(need) or Path(need).exists())]
    if missing:
        text = f"{', '.join(missing)} missing: apt-get install {language.packages}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    built = Client(language, tmp_path_factory.mktemp(request.param))
    built.build()
    return built


@pytest.mark.parametrize("credential", ["primary_key", "secondary_key", "token"])
def test_scores(client: Client, demo: dict[str, Any], credential: str) -> None:
    """Each language gets the two known numbers to the last digit, with either key and with a token."""
    service = demo["services"]["diabetes"]
    key = (service | demo)[credential]
    done = client.score(service["scoring_uri"], key, Path(demo["ca_file"]))
    assert done.stdout.strip() == KNOWN, done.stderr


def test_wrong_key(client: Client, demo: dict[str, Any]) -> None:
    """With a wrong key each language shows 401 and the gateway's words, and no score."""
    uri, key = (demo["services"]["diabetes"][name] for name in ("scoring_uri", "primary_key"))
    done = client.score(uri, key[:-1] + ("a" if key[-1] != "a" else "b"), Path(demo["ca_file"]))
    assert "401" in done.stderr
    assert KNOWN not in done.stdout
    assert key not in done.stdout + done.stderr


def test_another_authority_is_not_trusted(
    client: Client, demo: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Control: told to trust another CA, no client scores, so the answers above came over verified TLS."""
    other = make_development_certificate(tmp_path_factory.mktemp("other") / "tls").ca
    service = demo["services"]["diabetes"]
    done = client.score(service["scoring_uri"], service["primary_key"], other)
    assert done.returncode != 0
    assert KNOWN not in done.stdout
