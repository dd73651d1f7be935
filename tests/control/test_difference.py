"""What a reload would change, as values: which services, which hosts stand in the way, which keys need a restart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.control.difference import difference, fingerprint, host_clashes, needs_restart
from gateway.core.settings import OidcSettings, ScoringSettings, Settings, StoreSettings, TlsSettings
from gateway.core.spec import ClassicEndpointSpec, ClassicSpec, KeysSpec, RequestHeadersSpec, ServiceSpec


def spec(**fields) -> ServiceSpec:
    return ServiceSpec(**{"backends": ("http://127.0.0.1:5001",), **fields})


def test_groups():
    """Every service is in one group, by name; one that is equal is in none."""
    before = {"same": spec(), "goes": spec(), "other": spec(description="before")}
    after = {"same": spec(), "comes": spec(), "other": spec(description="after")}
    found = difference(before, after, {})
    assert (found.added, found.changed, found.removed, found.kept) == (("comes",), ("other",), ("goes",), {})
    assert str(found) == "added comes; changed other; removed goes"
    assert str(difference(before, before, {})) == "no service changed"
    many = difference({}, {f"s-{number:03}": spec() for number in range(25)}, {})
    assert str(many).endswith("s-018, s-019 and 5 more")


def test_a_changed_key_is_a_change():
    """A value of a key that was changed in the file changes its service."""
    before = {"one": spec(keys=KeysSpec("a-first-value", "another"))}
    after = {"one": spec(keys=KeysSpec("a-second-value", "another"))}
    assert difference(before, after, {}).changed == ("one",)
    assert difference(before, before, {}).changed == ()


def test_the_api_keeps_its_names():
    """A name that the admin API owns is not taken over; the reason says what to do."""
    found = difference({}, {"taken": spec(), "free": spec()}, {"taken": spec(description="of the API")})
    assert found.added == ("free",)
    assert list(found.kept) == ["taken"]
    assert "delete the other and reload" in found.kept["taken"]


def test_a_host_moves():
    """A host may go from one service to another in one reload, in both orders of names, and two may swap theirs."""
    a, b = spec(hosts=("a.example.com",)), spec(hosts=("b.example.com",))
    bare = spec()
    for giver, taker in (("one", "two"), ("two", "one")):
        found = difference({giver: a, taker: bare}, {giver: bare, taker: a}, {})
        assert (found.changed, found.kept) == (("one", "two"), {})
    assert difference({"one": a, "two": b}, {"one": b, "two": a}, {}).kept == {}
    assert difference({"goes": a}, {"comes": a}, {}).kept == {}


def test_a_host_of_the_api_is_not_free():
    """A service that asks for a host of the API's stays as it was, and so does who counted on the host it gives up."""
    before = {"first": spec(hosts=("1.example.com",)), "second": spec(), "third": spec(description="before")}
    after = {
        "first": spec(hosts=("api.example.com",)),
        "second": spec(hosts=("1.example.com",)),
        "third": spec(description="after"),
    }
    found = difference(before, after, {"made": spec(hosts=("api.example.com",))})
    assert found.changed == ("third",)
    assert "its host api.example.com leads to made already" in found.kept["first"]
    assert "its host 1.example.com leads to first already" in found.kept["second"]


def test_control_without_the_owner_nothing_clashes():
    """Control: the same wish is free when nobody has the host."""
    wanted = {"first": spec(hosts=("api.example.com",))}
    assert host_clashes(wanted, {}) == {}
    assert host_clashes(wanted, wanted) == {}
    assert host_clashes(wanted, {"made": wanted["first"]})


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({}, ()),
        ({"services": {"one": spec()}}, ()),
        ({"scoring": ScoringSettings(listen="127.0.0.1:1", workers=3)}, ("scoring.listen", "scoring.workers")),
        ({"scoring": ScoringSettings(tls=None)}, ("scoring.tls",)),
        ({"scoring": ScoringSettings(tls=TlsSettings(minimum_version="1.3"))}, ("scoring.tls.minimum_version",)),
        ({"store": StoreSettings(url="postgresql://user:secret@db/x")}, ("store.url",)),
    ],
)
def test_needs_restart(change, keys):
    """The keys of the process are named one by one, never with a value; services are not among them."""
    assert needs_restart(Settings(), replace(Settings(), **change)) == keys


def test_block_that_appears():
    """A block in place of nothing is named by its own key."""
    oidc = OidcSettings("https://issuer", "scoregate", roles={"owner": ["ml"]})
    settings = replace(Settings(), admin=replace(Settings().admin, oidc=oidc))
    assert needs_restart(Settings(), settings) == ("admin.oidc",)


def full(secret: str, **fields) -> Settings:
    classic = ClassicSpec("0" * 32, {"default": ClassicEndpointSpec("1" * 32, KeysSpec(f"{secret}-1", f"{secret}-2"))})
    headers = RequestHeadersSpec({"x-api-key": secret})
    keys = KeysSpec(f"{secret}-3", f"{secret}-4")
    one = spec(keys=keys, classic=classic, request_headers=headers, **fields)
    store = StoreSettings(url=f"postgresql://user:{secret}@db/x", shared_limits=f"redis://:{secret}@redis:6379")
    return Settings(store=store, services={"one": one})


def test_fingerprint():
    """Equal configurations have one hash, whatever their secrets are; a change of anything else gives another."""
    assert fingerprint(full("a-secret")) == fingerprint(full("another/secret@"))
    assert fingerprint(full("a-secret")) != fingerprint(full("a-secret", description="changed"))
    assert fingerprint(full("a-secret")) != fingerprint(replace(full("a-secret"), scoring=ScoringSettings(workers=2)))
    assert len(fingerprint(Settings())) == 12
