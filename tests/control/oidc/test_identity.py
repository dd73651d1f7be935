"""Which tokens prove somebody, and with which roles."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest

from gateway.control.oidc.identity import LEEWAY_SECONDS
from gateway.core.grant import Grants
from gateway.core.jwk import SigningKey
from gateway.core.jws import TokenError


def now() -> int:
    return int(time.time())


async def test_somebody_with_roles(server, ask) -> None:
    """The subject with its source, and the roles that the values of the claim give."""
    identity = await ask().claims(server.token("diabetes:contributor", "everybody", "unknown", sub="8a1f"))
    assert (identity.subject, identity.grants) == ("oidc:8a1f", Grants("reader", {"diabetes": "contributor"}))


async def test_somebody_without_roles(server, ask) -> None:
    """A good token without a role proves who it is, and allows nothing."""
    assert (await ask().claims(server.token())).grants == Grants()
    assert (await ask().claims(server.token(roles=None))).grants == Grants()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_algorithms(server, ask, algorithm: str) -> None:
    """Each kind of key verifies what it signed."""
    server.rotate(algorithm)
    assert (await ask().claims(server.token("ml"))).subject == "oidc:ann"


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("roles", {"roles": ["ml"]}),
        ("roles", {"roles": "ml"}),
        ("realm_access.roles", {"realm_access": {"roles": ["ml"]}}),
        ("resource_access.scoregate.roles", {"resource_access": {"scoregate": {"roles": ["x", "ml"]}}}),
        ("https://example.com/groups", {"https://example.com/groups": ["ml", 5, None]}),
    ],
)
async def test_where_roles_stand(server, ask, name: str, claims: dict[str, object]) -> None:
    """Under the claim of this name, or at the path that its dots lead along."""
    assert (await ask(roles_claim=name).claims(server.token(**{"roles": None, **claims}))).grants == Grants("owner")


@pytest.mark.parametrize("claims", [{"roles": {"ml": 1}}, {"roles": 5}, {"roles": [["ml"]]}, {"realm_access": "ml"}])
async def test_what_is_no_list_of_texts_gives_nothing(server, ask, claims: dict[str, object]) -> None:
    """A claim of another shape is no role and no error."""
    asking = ask(roles_claim="realm_access.roles") if "realm_access" in claims else ask()
    assert (await asking.claims(server.token(**claims))).grants == Grants()


async def test_one_of_several_audiences(server, ask) -> None:
    """A token for several is for each of them."""
    assert (await ask().claims(server.token("ml", aud=["account", "scoregate"]))).subject == "oidc:ann"


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"iss": "https://elsewhere"}, "somebody else than admin.oidc.issuer"),
        ({"iss": None}, "somebody else than admin.oidc.issuer"),
        ({"aud": "account"}, "admin.oidc.audience"),
        ({"aud": None}, "admin.oidc.audience"),
        ({"aud": []}, "admin.oidc.audience"),
        ({"aud": {"scoregate": 1}}, "admin.oidc.audience"),
        ({"exp": None}, "when it expires"),
        ({"exp": "2030"}, "when it expires"),
        ({"exp": True}, "when it expires"),
        ({"exp": 1e300}, "when it expires"),
        ({"exp": -1}, "when it expires"),
        ({"nbf": "now"}, "wrong type"),
        ({"sub": None}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": 5}, "no subject"),
        ({"sub": "a\nb"}, "no subject"),
        ({"sub": "x" * 300}, "no subject"),
    ],
)
async def test_claims_that_prove_nobody(server, ask, claims: dict[str, object], told: str) -> None:
    """Each claim that is wrong is named, and nothing of the token is repeated."""
    token = server.token("ml", **claims)
    with pytest.raises(TokenError, match=told) as refused:
        await ask().claims(token)
    assert token not in str(refused.value)


async def test_times_are_judged_by_our_clock(server, ask) -> None:
    """Thirty seconds of difference between the clocks are forgiven at both ends, and not one more."""
    asking = ask()
    token = server.token("ml", nbf=now(), exp=now() + 60)
    for offset, opens in ((-LEEWAY_SECONDS + 2, True), (-LEEWAY_SECONDS - 2, False), (60 + 28, True), (60 + 32, False)):
        asking.wall = now() + offset
        if opens:
            await asking.claims(token)
        else:
            with pytest.raises(TokenError, match=r"expired|not valid yet"):
                await asking.claims(token)


def b64(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def altered(token: str, **header: object) -> str:
    """The token with another header, which its signature does not sign."""
    head, _, rest = token.partition(".")
    fields = json.loads(base64.urlsafe_b64decode(head + "=="))
    return b64({name: value for name, value in {**fields, **header}.items() if value is not None}).decode() + "." + rest


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"alg": "none"}, "not the one of its key"),
        ({"alg": "HS256"}, "not the one of its key"),
        ({"alg": "RS256"}, "not the one of its key"),
        ({"alg": None}, "not the one of its key"),
        ({"kid": None}, "does not name the key"),
        ({"kid": ["a"]}, "does not name the key"),
        ({"kid": "../../etc/passwd"}, "does not publish"),
        ({"typ": "logout+jwt"}, "of a type"),
        ({"typ": 5}, "of a type"),
        ({"crit": ["exp"]}, "extensions"),
        ({"b64": False}, "extensions"),
        ({"cty": "JWT"}, "signature does not verify"),
    ],
)
async def test_headers_that_prove_nobody(server, ask, header: dict[str, object], told: str) -> None:
    """The algorithm is pinned to the key, the key is one of the provider's, and the header is signed."""
    with pytest.raises(TokenError, match=told):
        await ask().claims(altered(server.token("ml"), **header))


async def test_keys_that_a_token_brings_along(server, ask) -> None:
    """A key in the token, or where the token says, is never looked at."""
    mine = SigningKey.generate("ES256")
    kid = server.keys[0].kid
    brought = {"jwk": mine.verifying_key().jwk, "jku": f"{server.issuer}/keys", "x5u": server.issuer, "kid": kid}
    with pytest.raises(TokenError, match="signature does not verify"):
        await ask().claims(server.token("ml", by=mine, header=brought))
    assert server.asked == 1


async def test_the_public_key_is_no_shared_secret(server, ask) -> None:
    """A token signed by HMAC with the public key as the secret: the old confusion of algorithms."""
    server.rotate("RS256")
    public = server.keys[0].private_key.public_key()
    from cryptography.hazmat.primitives import hashes, hmac, serialization

    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = b64({"alg": "HS256", "kid": server.keys[0].kid, "typ": "JWT"})
    message = head + b"." + server.token("ml").split(".")[1].encode()
    signer = hmac.HMAC(pem, hashes.SHA256())
    signer.update(message)
    forged = message + b"." + base64.urlsafe_b64encode(signer.finalize()).rstrip(b"=")
    with pytest.raises(TokenError, match="not the one of its key"):
        await ask().claims(forged.decode())


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c.d", "eyJ.eyJ.e", "ümlaut.e30.x", "e30.e30.x" + "y" * 20_000])
async def test_what_is_no_token(server, ask, token: str) -> None:
    """Anything may stand after Bearer; nothing of it makes the gateway ask anybody."""
    with pytest.raises(TokenError):
        await ask().claims(token)
    assert server.asked == 0


async def test_a_large_token(server, ask) -> None:
    """A token with hundreds of groups is no problem."""
    token = server.token(*(f"group-{number}" for number in range(500)), "ml")
    assert len(token) > 4096
    assert (await ask().claims(token)).grants == Grants("owner")


async def test_tokens_of_others_make_us_ask_nobody(server, ask) -> None:
    """A scoring token, or one of another provider, is refused before anything is fetched."""
    other = SigningKey.generate("EdDSA")
    token = jwt.encode({"iss": "urn:scoregate:1", "sub": "x"}, other.private_key, "EdDSA", headers={"kid": other.kid})
    with pytest.raises(TokenError, match="somebody else"):
        await ask().claims(token)
    assert server.asked == 0
