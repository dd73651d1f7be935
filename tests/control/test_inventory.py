"""What is served at a start: the file's services with the store's keys, and the store's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.control.refusal import Refused, StartError
from gateway.core.spec import ClassicEndpointSpec, ClassicSpec, KeysSpec

GIVEN = KeysSpec(primary="first-value", secondary="second-value")


def values(rig, name: str = "diabetes") -> dict[str, str]:
    return {slot: value for slot, (value, _) in rig.catalog.keys(name).items()}


async def test_keys_of_a_declared_service_survive(make_rig, make_spec) -> None:
    """Keys are made at the first start and are the same at the next, also when the spec in the file changed."""
    first = values(await make_rig({"diabetes": make_spec()}))
    again = await make_rig({"diabetes": make_spec(description="changed in the file")})
    assert values(again) == first
    assert again.catalog.get("diabetes").spec.description == "changed in the file"
    assert again.store.service["diabetes"].spec is None


async def test_services_of_the_api_survive(make_rig, make_spec) -> None:
    """A service made over the API is there after a restart, keys and all, beside those of the file."""
    rig = await make_rig()
    await rig.catalog.put("adult", lambda _: make_spec(description="by the api"))
    first = values(rig, "adult")
    again = await make_rig({"diabetes": make_spec()})
    assert set(again.catalog.services) == {"adult", "diabetes"}
    assert values(again, "adult") == first
    assert again.catalog.get("adult").record.origin == "api"


async def test_given_keys_are_served_and_not_kept_open(make_rig, make_spec) -> None:
    """Values given in the file are the keys; a changed value is a new version; none stands in spec or store text."""
    rig = await make_rig({"diabetes": make_spec(keys=GIVEN)})
    assert values(rig) == {"primary": "first-value", "secondary": "second-value"}
    assert rig.catalog.get("diabetes").spec.keys is None
    before = rig.catalog.keys("diabetes")
    changed = await make_rig({"diabetes": make_spec(keys=replace(GIVEN, primary="another-value"))})
    after = changed.catalog.keys("diabetes")
    assert values(changed)["primary"] == "another-value"
    assert after["primary"][1].version == 2
    assert after["primary"][1].id != before["primary"][1].id
    assert after["secondary"] == before["secondary"]
    assert b"first-value" not in repr(rig.store.key).encode()


async def test_another_key_in_the_file_leaves_its_trace(make_rig, make_spec, caplog) -> None:
    """Log and audit name service, slot and ids; the old value has the grace that the service is configured with."""
    caplog.set_level("INFO")
    given = make_spec(keys=GIVEN, key_grace_seconds=3600, key_lifetime_days=30)
    before = (await make_rig({"diabetes": given})).catalog.keys("diabetes")
    rig = await make_rig({"diabetes": replace(given, keys=replace(GIVEN, primary="another-value"))})
    record = rig.catalog.key("diabetes", "primary")
    assert record.former is not None
    assert record.former.id == before["primary"][1].id
    assert record.former.until - record.created_at == timedelta(hours=1)
    assert record.expires_at - record.created_at == timedelta(days=30)
    told = f"the primary key of diabetes is another one in the configuration: {record.id} takes the place of"
    assert told in caplog.text
    entry = rig.store.entries[-1]
    assert (entry.actor, entry.action, entry.service) == ("configuration", "regenerate_key", "diabetes")
    assert entry.target == f"primary {record.id}"
    assert not [value for value in ("first-value", "another-value") if value in caplog.text]


async def test_given_keys_are_changed_in_the_file_only(make_rig, make_spec, file_place) -> None:
    """Regenerating a key whose value stands in the file is refused and says where the value is."""
    rig = await make_rig({"diabetes": make_spec(keys=GIVEN)}, {"diabetes": file_place("gateway.yaml", 12)})
    with pytest.raises(Refused, match=r"gateway\.yaml, line 12: change the value there") as refused:
        await rig.catalog.regenerate("diabetes", "primary")
    assert refused.value.status == 409


async def test_declared_service_is_changed_in_the_file_only(make_rig, make_spec, file_place) -> None:
    """A service of the file is neither replaced nor deleted over the API; its keys may be regenerated."""
    rig = await make_rig({"diabetes": make_spec()}, {"diabetes": file_place("gateway.yaml", 12)})
    with pytest.raises(Refused, match=r"gateway\.yaml, line 12") as refused:
        await rig.catalog.put("diabetes", lambda _: make_spec())
    assert refused.value.status == 409
    with pytest.raises(Refused, match=r"gateway\.yaml, line 12"):
        await rig.catalog.delete("diabetes", lambda _: None)
    await rig.catalog.regenerate("diabetes", "primary")


async def test_name_in_file_and_store_stops_the_start(make_rig, make_spec, file_place) -> None:
    """One name for a service of the API and one of the file: the start fails and names both."""
    rig = await make_rig()
    await rig.catalog.put("diabetes", lambda _: make_spec())
    with pytest.raises(StartError, match=r"gateway\.yaml, line 7.*made by the admin API on \d{4}-\d\d-\d\d"):
        await make_rig({"diabetes": make_spec()}, {"diabetes": file_place("gateway.yaml", 7)})


async def test_service_that_left_the_file_keeps_its_keys(make_rig, make_spec) -> None:
    """A service taken out of the file is not served; declared again, it has the keys it had."""
    first = values(await make_rig({"diabetes": make_spec()}))
    without = await make_rig()
    assert not without.catalog.services
    assert values(await make_rig({"diabetes": make_spec()})) == first


async def test_name_that_left_the_file_is_free(make_rig, make_spec) -> None:
    """The API may take the name of a service that is no longer declared; it gets keys of its own."""
    first = values(await make_rig({"diabetes": make_spec()}))
    rig = await make_rig()
    _, is_new = await rig.catalog.put("diabetes", lambda _: make_spec())
    assert is_new
    assert not set(values(rig).values()) & set(first.values())
    assert values(await make_rig()) == values(rig)


async def test_key_auth_turned_on_in_the_file(make_rig, make_spec) -> None:
    """A service that had no keys gets a pair when its line in the file turns key auth on."""
    await make_rig({"diabetes": make_spec(auth_enabled=False)})
    rig = await make_rig({"diabetes": make_spec()})
    assert len(set(values(rig).values())) == 2


async def test_unusable_key_in_the_file_is_told_with_its_place(make_rig, make_spec, file_place) -> None:
    """A key that cannot travel in a header stops the start; file, line and slot are named, the value is not."""
    bad = KeysSpec(primary="has a space", secondary="second-value")
    with pytest.raises(StartError, match=r"gateway\.yaml, line 3: services\.diabetes\.keys\.primary") as error:
        await make_rig({"diabetes": make_spec(keys=bad)}, {"diabetes": file_place("gateway.yaml", 3)})
    assert "has a space" not in str(error.value)


async def test_lost_race_reads_again(make_rig, make_spec, store, monkeypatch) -> None:
    """A replica that loses the race for a first record serves what the other one wrote."""
    winner = values(await make_rig({"diabetes": make_spec()}))
    answers = iter([[], store.services()])
    with monkeypatch.context() as patch:
        patch.setattr(store, "services", lambda: next(answers))
        assert values(await make_rig({"diabetes": make_spec()})) == winner


async def test_classic_endpoint_keys_are_not_served(make_rig, make_spec) -> None:
    """Keys of classic endpoints in the file are secrets too: they are in no entry that travels."""
    classic = ClassicSpec(workspace="0" * 32, endpoints={"default": ClassicEndpointSpec(id="1" * 32, keys=GIVEN)})
    rig = await make_rig({"diabetes": make_spec(classic=classic)})
    assert "first-value" not in repr(rig.catalog.entry("diabetes"))
