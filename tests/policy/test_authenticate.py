"""Who opens the door: every credential at every kind of service, and what is said to those it stays shut for."""

from __future__ import annotations

import re

import pytest

from gateway.core import key
from gateway.core.exchange import ANONYMOUS, Caller
from gateway.core.jwk import SigningKey
from gateway.policy.authenticate import MAX_CREDENTIAL_BYTES, compile_check

PRIMARY, SECONDARY = key.generate(), "set-by-an-admin!"
OTHERS = key.generate()
MISTYPED = PRIMARY[:-7] + ("a" if PRIMARY[-7] != "a" else "b") + PRIMARY[-6:]
STRANGER = SigningKey.generate("EdDSA")

DOORS = {
    "key": {},
    "token": {"auth_enabled": False, "token_auth_enabled": True},
    "both": {"token_auth_enabled": True},
    "open": {"auth_enabled": False},
}


@pytest.fixture
def credentials(issue, wall):
    """Name → the values of the Authorization fields a request has."""
    valid = issue()
    return {
        "primary": [f"Bearer {PRIMARY}"],
        "secondary": [f"Bearer {SECONDARY}"],
        "token": [f"Bearer {valid}"],
        "lower-case bearer, key": [f"bearer {PRIMARY}"],
        "lower-case bearer, token": [f"bEARER   {valid} "],
        "other service's key": [f"Bearer {OTHERS}"],
        "other service's token": [f"Bearer {issue('adult')}"],
        "expired token": [f"Bearer {issue(now=wall - 100, lifetime=50)}"],
        "token of the future": [f"Bearer {issue(now=wall + 100)}"],
        "token by a stranger": [f"Bearer {issue(by=STRANGER)}"],
        "token of an earlier service": [f"Bearer {issue(now=wall - 1001, lifetime=5000)}"],
        "token without the verb": [f"Bearer {issue(verbs=('batch',))}"],
        "garbage": ["Bearer \xff\x01garbage"],
        "garbage like a token": ["Bearer eyJ.gar.bage"],
        "mistyped key": [f"Bearer {MISTYPED}"],
        "key in two words": [f"Bearer {PRIMARY} x"],
        "too long": ["Bearer " + "x" * (MAX_CREDENTIAL_BYTES + 1)],
        "missing": [],
        "empty": [""],
        "scheme only": ["Bearer"],
        "scheme and blanks": ["Bearer   "],
        "wrong scheme": [f"Basic {PRIMARY}"],
        "no scheme": [PRIMARY],
        "two fields": [f"Bearer {PRIMARY}", f"Bearer {PRIMARY}"],
        "two fields, one empty": [f"Bearer {PRIMARY}", ""],
    }


OPEN = "opens"
# credential → reason at a service that opens with: a key, a token, both
TABLE = {
    "primary": (OPEN, "key_not_accepted", OPEN),
    "secondary": (OPEN, "key_not_accepted", OPEN),
    "token": ("token_not_accepted", OPEN, OPEN),
    "lower-case bearer, key": (OPEN, "key_not_accepted", OPEN),
    "lower-case bearer, token": ("token_not_accepted", OPEN, OPEN),
    "other service's key": ("wrong_key", "key_not_accepted", "wrong_key"),
    "other service's token": ("token_not_accepted", "token_of_another_service", "token_of_another_service"),
    "expired token": ("token_not_accepted", "token_not_now", "token_not_now"),
    "token of the future": ("token_not_accepted", "token_not_now", "token_not_now"),
    "token by a stranger": ("token_not_accepted", "invalid_token", "invalid_token"),
    "token of an earlier service": ("token_not_accepted", "invalid_token", "invalid_token"),
    "token without the verb": ("token_not_accepted", "insufficient_scope", "insufficient_scope"),
    "garbage": ("wrong_key", "key_not_accepted", "wrong_key"),
    "garbage like a token": ("token_not_accepted", "invalid_token", "invalid_token"),
    "mistyped key": ("mistyped_key", "key_not_accepted", "mistyped_key"),
    "key in two words": ("wrong_key", "key_not_accepted", "wrong_key"),
    "too long": ("credential_too_long",) * 3,
    "missing": ("no_credential",) * 3,
    "empty": ("no_bearer_scheme",) * 3,
    "scheme only": ("no_credential",) * 3,
    "scheme and blanks": ("no_credential",) * 3,
    "wrong scheme": ("no_bearer_scheme",) * 3,
    "no scheme": ("no_bearer_scheme",) * 3,
    "two fields": ("two_credentials",) * 3,
    "two fields, one empty": ("two_credentials",) * 3,
}
# reason → (status, error code of RFC 6750); every other one is 401 invalid_token
STATUS = {
    "no_credential": (401, None),
    "no_bearer_scheme": (401, None),
    "two_credentials": (400, "invalid_request"),
    "insufficient_scope": (403, "insufficient_scope"),
}
CASES = [
    (door, credential, reason)
    for credential, reasons in TABLE.items()
    for door, reason in zip(("key", "token", "both", "open"), (*reasons, OPEN), strict=True)
]


@pytest.fixture
def knock(entry, world, exchange):
    """`knock(door, fields, operation)`: (reply, request) at a service that opens with `door`."""

    def make(door, fields, operation="score"):
        check = compile_check(entry(keys=(PRIMARY, SECONDARY), **DOORS[door]), world)
        made = exchange(*((b"Authorization", field.encode("latin-1")) for field in fields), operation=operation)
        return check(made), made

    return make


def test_the_table_has_every_credential(credentials):
    """A credential that is tried nowhere would prove nothing."""
    assert TABLE.keys() == credentials.keys()


@pytest.mark.parametrize(("door", "credential", "reason"), CASES)
def test_the_truth_table(door, credential, reason, knock, credentials):
    """Each credential at each door: opened, or refused with its status, reason and RFC 6750 challenge."""
    reply, made = knock(door, credentials[credential])
    if reason == OPEN:
        assert reply is None
        return
    status, error = STATUS.get(reason, (401, "invalid_token"))
    assert (reply.status, reply.reason, reply.stage) == (status, reason, "authenticate")
    assert made.caller is ANONYMOUS
    ((name, challenge),) = reply.headers
    assert name == b"www-authenticate"
    assert parsed(challenge.decode()) == {"realm": "scoregate"} | (
        {"error": error, "error_description": reply.detail.replace('"', "'")} if error else {}
    )


def parsed(challenge):
    """The parameters of a Bearer challenge, each within what RFC 6750 section 3 allows."""
    scheme, _, rest = challenge.partition(" ")
    assert scheme == "Bearer"
    parameters = re.findall(r'([a-z_]+)="([\x20-\x21\x23-\x5b\x5d-\x7e]*)"', rest)
    assert ", ".join(f'{name}="{value}"' for name, value in parameters) == rest
    return dict(parameters)


@pytest.mark.parametrize(("door", "credential", "reason"), [case for case in CASES if case[2] != OPEN])
def test_no_credential_comes_back(door, credential, reason, knock, credentials):
    """Nothing of what was sent is in the body, the fields or the request's repr; not a part of it either."""
    reply, made = knock(door, credentials[credential])
    shown = reply.document("r-1").decode() + repr(reply) + repr(made)
    secrets = {part for field in credentials[credential] for part in re.split(r"[ .]", field)} - {
        "Bearer",
        "Basic",
        "x",
    }
    assert not [part for part in secrets if len(part) > 3 and part in shown]


def test_who_opened_the_door_is_told(knock, credentials):
    """Subject, public name of the credential and slot, for the log and the backend; the credential itself nowhere."""
    expected = {
        ("key", "primary"): Caller("key", "diabetes/primary", "k_diabetes_primary", "primary"),
        ("both", "secondary"): Caller("key", "diabetes/secondary", "k_diabetes_secondary", "secondary"),
        ("open", "primary"): ANONYMOUS,
        ("open", "missing"): ANONYMOUS,
    }
    for (door, credential), caller in expected.items():
        assert knock(door, credentials[credential])[1].caller == caller


def test_a_key_may_look_like_a_token(entry, world, exchange):
    """An admin may set any value: where keys open, it is tried as a key first."""
    odd = "eyJ.odd.key"
    for door in ("key", "both"):
        check = compile_check(entry(keys=(odd,), **DOORS[door]), world)
        assert check(exchange((b"Authorization", b"Bearer eyJ.odd.key"))) is None


def test_the_longest_credential_is_read(entry, world, exchange):
    """The limit itself is within: such a key, once set by other means, opens."""
    longest = "k" * MAX_CREDENTIAL_BYTES
    check = compile_check(entry(keys=(longest,)), world)
    assert check(exchange((b"Authorization", b"Bearer " + longest.encode()))) is None


def test_every_refusal_says_what_to_do(knock, credentials):
    """The first mistakes of an hour, each in words of its own."""
    words = {
        "missing": "This service needs a credential: send 'Authorization: Bearer <key or token>'.",
        "scheme only": "Nothing follows 'Bearer'",
        "wrong scheme": "does not start with 'Bearer'",
        "two fields": "There are two Authorization fields",
        "mistyped key": "was not copied whole, or was changed",
        "other service's key": "is another service's, or was regenerated",
        "token": "opens with a key, not with a token",
    }
    for credential, text in words.items():
        assert text in knock("key", credentials[credential])[0].detail
    assert "request a new one" in knock("token", credentials["expired token"])[0].detail
    assert "ask its owner for one" in knock("token", credentials["primary"])[0].detail
