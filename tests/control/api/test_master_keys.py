"""The rotation of the master key: what is wrapped anew, what is needed still, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.control import founding
from gateway.control.refusal import StartError
from gateway.core.settings import Settings, StoreSettings
from gateway.core.vault import MasterKey

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., dict[str, StoreSettings]]:
    """`settings(*names)`: the settings of a start with these master key files, the newest first; made if missing."""

    def make(newest: str, *previous: str) -> dict[str, StoreSettings]:
        files = [tmp_path / name for name in (newest, *previous)]
        for file in files:
            if not file.exists():
                file.write_text(MasterKey.generate())
        return {"store": StoreSettings(master_key_file=files[0], previous_master_key_files=tuple(files[1:]))}

    return make


async def values(api) -> tuple[str, str]:
    keys = await (await api("GET", "/services/diabetes/keys")).json()
    return keys["primary_key"], keys["secondary_key"]


async def master(api) -> dict[str, object]:
    return await (await api("GET", "/master-key")).json()


async def rewrap(api) -> dict[str, object]:
    return await (await api("POST", "/master-key/rewrap")).json()


async def test_a_whole_rotation(make_api, settings) -> None:
    """Old file → both files, rewrap → new file alone: the keys are the same all along; it is in the audit log."""
    api = await make_api(**settings("old"))
    await api.put()
    before = await values(api)
    api = await make_api(**settings("new", "old"))
    shown = await master(api)
    assert [Path(one["file"]).name for one in (shown, *shown["previous"])] == ["new", "old"]
    assert [one["data_keys"] for one in (shown, *shown["previous"])] == [0, 1]
    assert shown["previous"][0]["is_needed"]
    made = await rewrap(api)
    assert made["rewrapped"] == 1
    assert [entry.actor for entry in api.rig.store.entries if entry.action == "rewrap_keys"] == ["admin"]
    assert made["data_keys"] == 2
    assert not made["previous"][0]["is_needed"]
    await api("POST", "/services/diabetes/keys/primary/regenerate")
    after = await values(api)
    assert (after[1], after[0] != before[0]) == (before[1], True)
    api = await make_api(**settings("new"))
    assert await values(api) == after


async def test_what_is_sealed_later_was_never_open_to_the_old_key(make_api, settings) -> None:
    """A rotation makes another data key, which the old master key did not wrap; what is sealed from then on has it."""
    api = await make_api(**settings("old"))
    await api.put()
    (first,) = api.rig.store.data
    api = await make_api(**settings("new", "old"))
    await rewrap(api)
    (second,) = api.rig.store.data.keys() - {first}
    await api("POST", "/services/diabetes/keys/primary/regenerate")
    sealed = {slot: record.value.data_key_id for (_, slot), record in api.rig.store.key.items()}
    assert sealed == {"primary": second, "secondary": first}


async def test_again_changes_nothing(make_api, settings) -> None:
    """Whoever does not know whether it was done does it again."""
    api = await make_api(**settings("new"))
    api = await make_api(**settings("newer", "new"))
    await rewrap(api)
    data = dict(api.rig.store.data)
    assert (await rewrap(api))["rewrapped"] == 0
    assert api.rig.store.data == data


async def test_a_key_that_is_missing_is_named(make_api, settings) -> None:
    """A data key that another gateway wrapped by a key that is not configured here: 409 names it, nothing changes."""
    api = await make_api(**settings("old"))
    api = await make_api(**settings("new", "old"))
    (record,) = api.rig.store.data.values()
    api.rig.store.data["d_other"] = replace(record, id="d_other", master_key_id="0123456789abcdef")
    before = dict(api.rig.store.data)
    answer = await api("POST", "/master-key/rewrap")
    assert answer.status == 409
    detail = (await answer.json())["detail"]
    assert "Data key d_other needs the master key 0123456789abcdef" in detail
    assert "store.previous_master_key_files" in detail
    assert api.rig.store.data == before


async def test_a_damaged_record_stops_it(make_api, settings) -> None:
    """What does not open is told; none of the others is changed either."""
    api = await make_api(**settings("old"))
    api = await make_api(**settings("new", "old"))
    (record,) = api.rig.store.data.values()
    api.rig.store.data["d_other"] = replace(record, id="d_other", wrapped=b"x" * 40)
    before = dict(api.rig.store.data)
    answer = await api("POST", "/master-key/rewrap")
    assert answer.status == 409
    assert "Nothing was changed" in (await answer.json())["detail"]
    assert api.rig.store.data == before


def test_the_old_file_cannot_be_left_out_too_early(tmp_path: Path, settings, store) -> None:
    """Before the rewrapping a start without it fails, and the message says which key is missing and where to put it."""
    started = Settings(data_dir=tmp_path)
    founding.found(replace(started, **settings("old")), store, NOW)
    with pytest.raises(StartError, match=r"needs [0-9a-f]{16}, given is [0-9a-f]{16}.*previous_master_key_files"):
        founding.found(replace(started, **settings("new")), store, NOW)


async def test_no_secret_is_told(make_api, settings, tmp_path: Path) -> None:
    """Ids and files; neither master keys nor data keys."""
    api = await make_api(**settings("new", "old"))
    text = await (await api("POST", "/master-key/rewrap")).text() + await (await api("GET", "/master-key")).text()
    for name in ("new", "old"):
        assert (tmp_path / name).read_text().strip() not in text


async def test_control_a_rotation_that_keeps_the_old_wrapping_is_seen(make_api, settings) -> None:
    """Control: without the rewrapping the last start of a rotation fails."""
    await make_api(**settings("old"))
    await make_api(**settings("new", "old"))
    with pytest.raises(StartError):
        await make_api(**settings("new"))
