"""Settings as written → settings as served: every path absolute, every path left out at its place in `data_dir`.

Rule: the name of a file is joined, never resolved: Kubernetes swaps Secrets behind a stable symbolic link.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from gateway.core.settings import AdminSettings, ScoringSettings, Settings, StoreSettings, TlsSettings
from gateway.core.spec import BackendTlsSpec, ServiceSpec

_SQLITE = "sqlite:///"


def complete(settings: Settings, folder: Path) -> Settings:
    """The same settings with absolute paths (relative ones are relative to `folder`) and file names filled in."""
    data_dir = _absolute(settings.data_dir, folder)
    return replace(
        settings,
        data_dir=data_dir,
        scoring=_scoring(settings.scoring, folder, data_dir),
        admin=_admin(settings.admin, folder, data_dir),
        store=_store(settings.store, folder, data_dir),
        batch=replace(settings.batch, storage=_place(settings.batch.storage, folder)),
        logging=replace(settings.logging, access_log=_log(settings.logging.access_log, folder)),
        services={name: _service(spec, folder) for name, spec in settings.services.items()},
    )


def generated_certificate(data_dir: Path) -> tuple[Path, Path]:
    """Where certificate and private key stand when the configuration names none."""
    return data_dir / "tls" / "server.crt", data_dir / "tls" / "server.key"


def _scoring(scoring: ScoringSettings, folder: Path, data_dir: Path) -> ScoringSettings:
    return replace(scoring, tls=scoring.tls and _tls(scoring.tls, folder, data_dir))


def _admin(admin: AdminSettings, folder: Path, data_dir: Path) -> AdminSettings:
    tls = _tls(admin.tls, folder, data_dir) if isinstance(admin.tls, TlsSettings) else admin.tls
    return replace(admin, tls=tls, token_file=_absolute(admin.token_file or data_dir / "admin-token", folder))


def _store(store: StoreSettings, folder: Path, data_dir: Path) -> StoreSettings:
    url = store.url or f"{_SQLITE}{data_dir / 'gateway.db'}"
    if url.startswith(_SQLITE) and not url.removeprefix(_SQLITE).startswith(("/", ":", "file:")):
        url = _SQLITE + str(_absolute(Path(url.removeprefix(_SQLITE)), folder))
    return replace(
        store,
        url=url,
        master_key_file=_absolute(store.master_key_file or data_dir / "master.key", folder),
        previous_master_key_files=tuple(_absolute(path, folder) for path in store.previous_master_key_files),
    )


def _tls(tls: TlsSettings, folder: Path, data_dir: Path) -> TlsSettings:
    certificate, private_key = generated_certificate(data_dir)
    return replace(
        tls,
        certificate=_absolute(tls.certificate or certificate, folder),
        private_key=_absolute(tls.private_key or private_key, folder),
        client_ca=tls.client_ca and _absolute(tls.client_ca, folder),
        extra=tuple(
            replace(one, certificate=_absolute(one.certificate, folder), private_key=_absolute(one.private_key, folder))
            for one in tls.extra
        ),
    )


def _service(spec: ServiceSpec, folder: Path) -> ServiceSpec:
    return replace(spec, backend_tls=_backend_tls(spec.backend_tls, folder)) if spec.backend_tls else spec


def _backend_tls(tls: BackendTlsSpec, folder: Path) -> BackendTlsSpec:
    return replace(
        tls,
        ca=_place(tls.ca, folder),
        client_certificate=_place(tls.client_certificate, folder),
        client_key=_place(tls.client_key, folder),
    )


def _log(name: str | None, folder: Path) -> str | None:
    return name if name == "stdout" else _place(name, folder)


def _place(name: str | None, folder: Path) -> str | None:
    return str(_absolute(Path(name), folder)) if name and "://" not in name else name


def _absolute(path: Path, folder: Path) -> Path:
    return Path(os.path.abspath(folder / path))  # noqa: PTH100 - resolve() would follow links, see above
