"""First and later starts: what is made, what is missed, what is wrong."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.control import founding
from gateway.control.refusal import StartError
from gateway.core.settings import AdminSettings, Settings, StoreSettings, TokenSettings
from gateway.core.vault import MasterKey

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_first_start_makes_and_second_finds(settings, store) -> None:
    """The first start makes a master key of mode 0600 and the records; the next one opens the same vault."""
    first = founding.found(settings, store, NOW)
    path = settings.data_dir / "master.key"
    assert mode(path) == 0o600
    assert [file.name for file in settings.data_dir.iterdir()] == ["master.key"]
    assert founding.found(settings, store, NOW).digest_key == first.digest_key


def test_wrong_master_key_is_told(settings, store) -> None:
    """Another master key does not open the store: the error names the file and what to do."""
    founding.found(settings, store, NOW)
    path = settings.data_dir / "master.key"
    path.write_text(MasterKey.generate())
    with pytest.raises(StartError, match=r"master\.key is not the master key of this store.*previous_master_key_files"):
        founding.found(settings, store, NOW)


def test_previous_master_key_opens(settings, store, tmp_path) -> None:
    """The old master key may stand in `previous_master_key_files` while records are rewrapped."""
    first = founding.found(settings, store, NOW)
    old = (settings.data_dir / "master.key").rename(tmp_path / "old.key")
    (settings.data_dir / "master.key").write_text(MasterKey.generate())
    later = replace(settings, store=StoreSettings(previous_master_key_files=(old,)))
    assert founding.found(later, store, NOW).digest_key == first.digest_key


def test_lost_master_key_is_not_made_again(settings, store) -> None:
    """A store with secrets and no master key file: an error, for a new key would bury the old secrets."""
    founding.found(settings, store, NOW)
    (settings.data_dir / "master.key").unlink()
    with pytest.raises(StartError, match="backup"):
        founding.found(settings, store, NOW)
    assert not (settings.data_dir / "master.key").exists()


def test_postgresql_needs_a_given_master_key(settings, store) -> None:
    """With PostgreSQL no replica makes a master key of its own; the error holds the command that does."""
    shared = replace(settings, store=StoreSettings(url="postgresql://user@host/db"))
    with pytest.raises(StartError, match=r"head -c 32 /dev/urandom \| base64"):
        founding.found(shared, store, NOW)


@pytest.mark.parametrize("text", ["", "not base64!", "c2hvcnQ="])
def test_unusable_master_key_is_told(settings, store, text: str) -> None:
    """A file that holds no key is named, its content is not repeated."""
    settings.data_dir.mkdir()
    (settings.data_dir / "master.key").write_text(text)
    with pytest.raises(StartError, match=r"master\.key is not usable") as error:
        founding.found(settings, store, NOW)
    assert not text or text not in str(error.value)


def test_lost_race_on_a_shared_store(settings, store, monkeypatch) -> None:
    """A replica that is second to found a store uses the records of the first."""
    first = founding.found(settings, store, NOW)
    answers = iter([None, store.founded])
    monkeypatch.setattr(store, "installation", lambda: next(answers))
    assert founding.found(settings, store, NOW).digest_key == first.digest_key


def test_admin_token_is_made_once(settings) -> None:
    """The bootstrap token is made with mode 0600 and stays."""
    token = founding.admin_token(settings)
    assert token.startswith("sga_")
    assert len(token) == 44
    assert mode(settings.data_dir / "admin-token") == 0o600
    assert founding.admin_token(settings) == token


@pytest.mark.parametrize("text", ["", "short", "with a space in the middle of it"])
def test_unusable_admin_token_is_told(settings, tmp_path, text: str) -> None:
    """An empty, short or broken token file is an error that names the file and not the token."""
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(StartError, match="visible ASCII") as error:
        founding.admin_token(replace(settings, admin=AdminSettings(token_file=path)))
    assert str(path) in str(error.value)
    assert not text or text not in str(error.value)


def test_folder_that_cannot_be_written_is_told(settings, tmp_path) -> None:
    """A data folder that is a file gives one line that names it."""
    (tmp_path / "data").write_text("")
    with pytest.raises(StartError, match=r"cannot make .*admin-token"):
        founding.admin_token(settings)


def test_issuer_comes_from_settings_or_installation(settings, store) -> None:
    """The token issuer is configured, or named by the installation."""
    foundation = founding.found(settings, store, NOW)
    assert founding.trust(settings, foundation).issuer == f"urn:scoregate:{foundation.installation.id}"
    named = replace(settings, tokens=TokenSettings(issuer="https://issuer.example"))
    assert founding.trust(named, foundation).issuer == "https://issuer.example"
