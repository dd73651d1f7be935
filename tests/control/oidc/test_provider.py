"""The provider's keys: fetched without waiting twice, kept while it is away, asked for anew at most so often."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from aiohttp import ClientSession

from gateway.control.oidc import Provider, ProviderAway
from gateway.control.oidc import provider as module
from gateway.core.jws import TokenError


async def test_keys_are_fetched_when_they_are_needed(server, ask) -> None:
    """The first token makes the gateway ask; those after it do not."""
    asking = ask()
    assert server.asked == 0
    for _ in range(5):
        assert (await asking.claims(server.token("ml"))).subject == "oidc:ann"
    assert server.asked == 1


async def test_single_flight(server, ask) -> None:
    """A hundred who wait at once for the keys wait for one fetch."""
    asking = ask()
    server.gate.clear()
    waiting = [asyncio.create_task(asking.claims(server.token("ml"))) for _ in range(100)]
    while not server._server.handler.requests_count:
        await asyncio.sleep(0.01)
    server.gate.set()
    assert {identity.subject for identity in await asyncio.gather(*waiting)} == {"oidc:ann"}
    assert server.asked == 1


async def test_one_who_leaves_takes_nobody_along(server, ask) -> None:
    """A caller who goes away while the keys are fetched ends the wait of nobody else."""
    asking = ask()
    server.gate.clear()
    first, second = (asyncio.create_task(asking.claims(server.token("ml"))) for _ in range(2))
    while not server._server.handler.requests_count:
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.gate.set()
    assert (await second).subject == "oidc:ann"


async def test_the_loop_goes_on_while_a_provider_hangs(server, ask) -> None:
    """While the provider does not answer, other work has its turn thousands of times."""
    asking = ask()
    server.gate.clear()
    waiting = asyncio.create_task(asking.claims(server.token("ml")))
    until, turns = time.monotonic() + 0.2, 0
    while time.monotonic() < until:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    assert not waiting.done()
    server.gate.set()
    await waiting


async def test_a_new_key_is_found(server, ask) -> None:
    """A provider that rotated is asked again for the kid nobody knows; the key before it goes on."""
    asking = ask()
    old = server.keys[0]
    await asking.claims(server.token("ml"))
    server.rotate()
    asking.now += module.REFETCH_SECONDS
    await asking.claims(server.token("ml"))
    await asking.claims(server.token("ml", by=old))
    assert server.asked == 2


async def test_an_unknown_key_is_asked_for_at_most_every_thirty_seconds(server, ask) -> None:
    """However many kids somebody makes up, the provider is asked once in thirty seconds."""
    asking = ask()
    await asking.claims(server.token("ml"))
    stranger = server.rotate()
    server.keys.pop(0)
    for second in range(60):
        asking.now += 1
        for number in range(3):
            with pytest.raises(TokenError, match="does not publish"):
                await asking.claims(server.token("ml", by=stranger, header={"kid": f"made-up-{second}-{number}"}))
    assert server.asked == 3


async def test_control_without_the_pause_every_one_is_asked_for(server, ask, monkeypatch) -> None:
    """A gateway that asks for every unknown kid would be seen by the test above."""
    monkeypatch.setattr(module, "REFETCH_SECONDS", 0.0)
    asking = ask()
    await asking.claims(server.token("ml"))
    for number in range(10):
        with pytest.raises(TokenError):
            await asking.claims(server.token("ml", header={"kid": str(number)}))
    assert server.asked == 11


async def test_a_key_that_was_taken_out_ends(server, ask) -> None:
    """The set is fetched again in the background while it serves: a key that is no longer in it opens nothing."""
    asking = ask()
    old = server.keys[0]
    await asking.claims(server.token("ml"))
    server.rotate(keep=0)
    asking.now += module.REFRESH_SECONDS
    await asking.claims(server.token("ml", by=old))
    await asking.provider.fetch()
    with pytest.raises(TokenError, match="does not publish"):
        await asking.claims(server.token("ml", by=old))
    await asking.claims(server.token("ml"))
    assert server.asked == 2


async def test_cached_keys_go_on_while_the_provider_is_away(server, ask, caplog) -> None:
    """For hours, with one line in the log; a kid it might know now is 503 and not 401; it comes back by itself."""
    asking = ask()
    await asking.claims(server.token("ml"))
    known, unknown = server.token("ml", exp=2**39), server.token("ml", header={"kid": "new"})
    port = await server.stop()
    with caplog.at_level(logging.INFO, "gateway.control"):
        for _ in range(10):
            asking.now += 3600
            assert (await asking.claims(known)).subject == "oidc:ann"
            with pytest.raises(ProviderAway) as away:
                await asking.claims(unknown)
            assert 1 <= away.value.seconds <= module.REFETCH_SECONDS
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    await server.start(port)
    asking.now += module.REFETCH_SECONDS
    await asking.provider.fetch()
    with pytest.raises(TokenError, match="does not publish"):
        await asking.claims(unknown)


async def test_a_provider_that_was_never_there(server, ask) -> None:
    """Nobody is let in and nobody is told that the token is wrong; it is asked again after a few seconds."""
    asking = ask()
    token = server.token("ml")
    port = await server.stop()
    for _ in range(3):
        with pytest.raises(ProviderAway, match=r"cannot be fetched now") as away:
            await asking.claims(token)
        assert away.value.seconds <= module.RETRY_SECONDS
    await server.start(port)
    asking.now += module.RETRY_SECONDS
    assert (await asking.claims(token)).subject == "oidc:ann"


BAD_DAYS = {
    "another issuer": ({"discovery": {"issuer": "https://elsewhere"}}, "names another issuer"),
    "no key set": ({"discovery": {"jwks_uri": None}}, "no jwks_uri with https"),
    "a key set in the clear": ({"discovery": {"jwks_uri": "http://keys.example/keys"}}, "no jwks_uri with https"),
    "a file": ({"discovery": {"jwks_uri": "file:///etc/passwd"}}, "no jwks_uri with https"),
    "a redirect": ({"status": 302}, "answered 302"),
    "an error": ({"status": 500}, "answered 500"),
    "no JSON": ({"padding": b"<html>"}, "Expecting value"),
    "no object": ({"padding": b"[]"}, "no JSON object"),
    "nested without end": ({"padding": b"[" * 100_000}, ""),
    "too much": ({"padding": b" " * (module.MAX_BYTES + 1)}, "more than 1048576 bytes"),
    "no keys": ({"key_set": {"keys": []}}, "no key that verifies"),
    "no list": ({"key_set": {"keys": "none"}}, "no key that verifies"),
}


@pytest.mark.parametrize("day", BAD_DAYS)
async def test_what_is_no_key_set_changes_nothing(server, ask, caplog, day: str) -> None:
    """Whatever a provider answers in place of its keys is told in the log, and the keys before it go on."""
    asking = ask()
    token = server.token("ml")
    await asking.claims(token)
    changes, told = BAD_DAYS[day]
    for name, value in changes.items():
        setattr(server, name, value)
    await asking.provider.fetch()
    assert told in caplog.records[-1].getMessage()
    await asking.claims(token)


async def test_a_provider_that_hangs_is_given_up(server, ask, monkeypatch) -> None:
    """A fetch has a deadline of its own."""
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.05)
    server.gate.clear()
    with pytest.raises(ProviderAway):
        await ask().claims(server.token("ml"))


async def test_closing_ends_a_fetch(server) -> None:
    """A gateway that stops does not wait for its provider."""
    server.gate.clear()
    provider = Provider(server.issuer, ClientSession())
    fetching = provider.fetch()
    await provider.close()
    assert fetching.cancelled()
