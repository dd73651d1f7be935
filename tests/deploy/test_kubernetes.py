"""The manifests of deploy/kubernetes: valid for the API's schemas, and in agreement with each other and the gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import __version__, config
from gateway.core.settings import Settings, TlsSettings

Checker = Callable[..., subprocess.CompletedProcess[str]]
INSTALL = "pip install kubernetes-validate"
FOLDER = Path("deploy/kubernetes")
LINGER_SECONDS = 5
"""How long a draining gateway goes on listening, so that nobody is sent to a closed port."""


@pytest.fixture(scope="module")
def kustomization(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / FOLDER / "kustomization.yaml").read_text())


@pytest.fixture(scope="module")
def manifests(root: Path, kustomization: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) → manifest."""
    documents = [yaml.safe_load((root / FOLDER / name).read_text()) for name in kustomization["resources"]]
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


@pytest.fixture(scope="module")
def pod(manifests: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    return manifests["Deployment", "scoregate"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def settings(root: Path) -> Settings:
    loaded = config.load(root / FOLDER / "gateway.yaml", {})
    assert loaded.warnings == ()
    return loaded.settings


def port(listen: str) -> int:
    return int(listen.rpartition(":")[2])


def test_manifests_are_valid(root: Path, kustomization: dict[str, Any], checker: Checker, tmp_path: Path) -> None:
    """Strictly: no unknown field, no wrong type. As a control, a misspelt field is refused."""
    files = [str(FOLDER / name) for name in kustomization["resources"]]
    valid = checker("kubernetes-validate", "--strict", *files, install=INSTALL)
    assert valid.returncode == 0, valid.stdout + valid.stderr
    broken = tmp_path / "deployment.yaml"
    broken.write_text(
        (root / FOLDER / "deployment.yaml").read_text().replace("enableServiceLinks", "enableServiceLink")
    )
    assert checker("kubernetes-validate", "--strict", str(broken), install=INSTALL).returncode != 0


def test_every_manifest_is_applied(root: Path, kustomization: dict[str, Any]) -> None:
    """No file of the folder is forgotten, and the tag is this release's."""
    (generated,) = kustomization["configMapGenerator"]
    named = {*kustomization["resources"], *generated["files"], "kustomization.yaml"}
    assert named == {file.name for file in (root / FOLDER).iterdir()}
    assert [image["newTag"] for image in kustomization["images"]] == [__version__]


def test_selectors_find_the_pod(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Deployment, both Services and the NetworkPolicy mean the same pod."""
    deployment = manifests["Deployment", "scoregate"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert manifests["NetworkPolicy", "scoregate"]["spec"]["podSelector"]["matchLabels"] == labels
    for name in ("scoregate", "scoregate-metrics"):
        assert manifests["Service", name]["spec"]["selector"] == labels


def test_ports_agree(manifests: dict[tuple[str, str], dict[str, Any]], pod: dict[str, Any], settings: Settings) -> None:
    """What Services, probes and NetworkPolicy name is what the gateway listens on."""
    (container,) = pod["containers"]
    ports = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
    assert ports == {"scoring": port(settings.scoring.listen), "metrics": port(settings.metrics.listen)}
    (scoring,) = manifests["Service", "scoregate"]["spec"]["ports"]
    assert (scoring["port"], scoring["targetPort"]) == (443, "scoring")
    metrics = manifests["Service", "scoregate-metrics"]
    assert metrics["spec"]["ports"][0]["targetPort"] == "metrics"
    assert metrics["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    admitted = [rule["ports"][0]["port"] for rule in manifests["NetworkPolicy", "scoregate"]["spec"]["ingress"]]
    assert admitted == ["scoring", "metrics"]


def test_the_admin_port_stays_in_the_pod(pod: dict[str, Any], settings: Settings) -> None:
    """It listens on the loopback, and the command line inside the pod is told where."""
    host = settings.admin.listen.rpartition(":")[0]
    assert ip_address(host).is_loopback
    variables = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}
    assert variables["SCOREGATE_ADMIN_URL"] == f"https://{settings.admin.listen}"
    assert variables["SCOREGATE_ADMIN_TOKEN_FILE"] == str(settings.admin.token_file)
    assert isinstance(settings.admin.tls, TlsSettings)
    assert variables["SCOREGATE_CA_FILE"] == str(settings.admin.tls.certificate.with_name("ca.crt"))


def test_the_pod_has_no_rights_to_lose(pod: dict[str, Any]) -> None:
    """Not root, nothing writable but the volumes, no capability, no token of the cluster."""
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_files_are_where_the_gateway_looks(
    manifests: dict[tuple[str, str], dict[str, Any]],
    kustomization: dict[str, Any],
    pod: dict[str, Any],
    settings: Settings,
) -> None:
    """All it reads and writes is mounted; what is given is read-only, what is kept lasts."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    assert mounts["/etc/scoregate"]["readOnly"] is True
    assert (
        volumes[mounts["/etc/scoregate"]["name"]]["configMap"]["name"] == kustomization["configMapGenerator"][0]["name"]
    )
    tls = settings.scoring.tls
    assert tls is not None
    assert [tls.certificate.name, tls.private_key.name] == ["tls.crt", "tls.key"]
    for file in (tls.certificate, tls.private_key):
        assert mounts[str(file.parent)]["readOnly"] is True
        assert "secret" in volumes[mounts[str(file.parent)]["name"]]
    claim = volumes[mounts[str(settings.data_dir)]["name"]]["persistentVolumeClaim"]["claimName"]
    assert ("PersistentVolumeClaim", claim) in manifests
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]


def test_a_pod_that_ends_may_drain(
    manifests: dict[tuple[str, str], dict[str, Any]], pod: dict[str, Any], settings: Settings
) -> None:
    """Kubernetes waits longer than the gateway drains, and never runs two pods on one SQLite file."""
    assert pod["terminationGracePeriodSeconds"] > settings.scoring.drain_seconds + LINGER_SECONDS
    deployment = manifests["Deployment", "scoregate"]["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert str(settings.store.url).startswith("sqlite:")


def test_probes_ask_a_worker(pod: dict[str, Any]) -> None:
    """All are asked over TLS on the scoring port, so a control process that restarts harms nobody."""
    (container,) = pod["containers"]
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {(get["scheme"], get["port"]) for get in asked.values()} == {("HTTPS", "scoring")}
    assert [get["path"] for get in asked.values()] == ["/livez", "/livez", "/readyz"]


def test_workers_fit_the_cpus(pod: dict[str, Any], settings: Settings) -> None:
    """As many worker processes as CPUs asked for."""
    assert int(pod["containers"][0]["resources"]["requests"]["cpu"]) == settings.scoring.workers
