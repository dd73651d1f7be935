"""The first start and every later one: secret files, the installation's records, the vault. Blocks.

Runs in the store's thread. What is made here is made once: a file or record that should be there and is not is an
error that says how to get it back, never a reason to make another.
"""

from __future__ import annotations

import os
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.control.master_keys import MasterKeyFile, data_key
from gateway.control.refusal import StartError
from gateway.core.record import DataKeyRecord, InstallationRecord
from gateway.core.settings import Settings
from gateway.core.snapshot import Trust
from gateway.core.store import Conflict, Store
from gateway.core.vault import KEY_BYTES, MasterKey, Vault, VaultError

ADMIN_TOKEN_PREFIX = "sga_"  # noqa: S105 - a prefix is no secret
ADMIN_TOKEN_CHARACTERS = 40
LEAST_ADMIN_TOKEN_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every start needs before it can read or make a key."""

    installation: InstallationRecord
    digest_key: bytes
    vault: Vault
    master_keys: tuple[MasterKeyFile, ...]


def found(settings: Settings, store: Store, now: datetime) -> Foundation:
    """Open the store's vault; on a store never used, make its master key file (SQLite) and first records."""
    installation = store.installation()
    files = _master_keys(settings, fresh=installation is None)
    if installation is None:
        installation = _first_records(store, files[0].key, now)
    vault = _vault(store.data_keys(), files)
    try:
        digest_key = vault.open(installation.digest_key, _digest_place(installation.id))
    except VaultError as error:
        raise StartError(f"the installation record: {error}") from None
    return Foundation(installation, digest_key, vault, tuple(files))


def master_key_path(settings: Settings) -> Path:
    """Where the master key is kept."""
    return settings.store.master_key_file or settings.data_dir / "master.key"


def admin_token_path(settings: Settings) -> Path:
    """Where the bootstrap token of the admin API is kept."""
    return settings.admin.token_file or settings.data_dir / "admin-token"


def admin_token(settings: Settings) -> str:
    """The bootstrap token; its file is made (0600) when it is missing."""
    path = admin_token_path(settings)
    if not path.exists():
        alphabet = string.ascii_letters + string.digits
        made = ADMIN_TOKEN_PREFIX + "".join(secrets.choice(alphabet) for _ in range(ADMIN_TOKEN_CHARACTERS))
        write_secret(path, made + "\n")
    return read_admin_token(path)


def read_admin_token(path: Path) -> str:
    """The bootstrap token in the file. Raises StartError when it holds none."""
    token = _read(path, "admin token").strip()
    if len(token) < LEAST_ADMIN_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
        detail = f"at least {LEAST_ADMIN_TOKEN_CHARACTERS} visible ASCII characters; delete it and a new one is made"
        raise StartError(f"the admin token file {path} does not hold {detail}")
    return token


def trust(settings: Settings, foundation: Foundation) -> Trust:
    """What workers judge credentials by, but for the keys of tokens."""
    issuer = settings.tokens.issuer or f"urn:scoregate:{foundation.installation.id}"
    return Trust(foundation.digest_key, issuer, ())


def write_secret(path: Path, text: str) -> None:
    """Make a file that only this user reads, whole or not at all. One that exists stays as it is."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(scratch, path)
        except FileExistsError:
            pass  # another process was first: what it wrote is what counts
        finally:
            scratch.unlink()
    except OSError as error:
        raise StartError(
            f"cannot make {path}: {error.strerror}. Name another place, or let this user write there"
        ) from None


def _master_keys(settings: Settings, *, fresh: bool) -> list[MasterKeyFile]:
    path = master_key_path(settings)
    if not path.exists():
        _make_master_key(settings, path, fresh=fresh)
    return [MasterKeyFile(file, _master_key(file)) for file in (path, *settings.store.previous_master_key_files)]


def _make_master_key(settings: Settings, path: Path, *, fresh: bool) -> None:
    if not fresh:
        why = "the store has secrets that only it opens. Put it back from your backup"
        raise StartError(f"the master key file {path} is missing: {why}")
    if settings.store.url is not None and not settings.store.url.startswith("sqlite"):
        how = f"head -c 32 /dev/urandom | base64 > {path}; chmod 600 {path}"
        why = "with PostgreSQL every replica needs the same one, so none is made by itself"
        raise StartError(f"the master key file {path} is missing, and {why}. Make it once and give it to all: {how}")
    write_secret(path, MasterKey.generate())


def _master_key(path: Path) -> MasterKey:
    try:
        return MasterKey.parse(_read(path, "master key"))
    except VaultError as error:
        raise StartError(f"the master key file {path} is not usable: {error}") from None


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StartError(f"cannot read the {what} file {path}: {reason}") from None


def _first_records(store: Store, master: MasterKey, now: datetime) -> InstallationRecord:
    secret = os.urandom(KEY_BYTES)
    made = data_key(master, secret, now)
    installation_id = secrets.token_hex(8)
    sealed = Vault({made.id: secret}).seal(os.urandom(KEY_BYTES), _digest_place(installation_id))
    installation = InstallationRecord(installation_id, sealed, now)
    try:
        store.found(installation, made)
    except Conflict:
        other = store.installation()
        if other is None:
            raise
        return other
    return installation


def _vault(data_keys: Sequence[DataKeyRecord], files: Sequence[MasterKeyFile]) -> Vault:
    by_id = {file.key.id: file.key for file in files}
    unknown = sorted({record.master_key_id for record in data_keys} - by_id.keys())
    if unknown:
        have = ", ".join(by_id)
        how = "put the right file back, or add the old one to store.previous_master_key_files"
        where = files[0].path
        raise StartError(f"{where} is not the master key of this store: it needs {unknown[0]}, given is {have}; {how}")
    try:
        return Vault({one.id: by_id[one.master_key_id].unwrap(one.id, one.wrapped) for one in data_keys})
    except VaultError as error:
        raise StartError(f"a data key in the store: {error}") from None


def _digest_place(installation_id: str) -> str:
    return f"installation/{installation_id}/digest"
