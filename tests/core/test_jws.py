"""The compact form: cut exactly, and nothing loose let through."""

from __future__ import annotations

import base64
import json

import pytest

from gateway.core import jws
from gateway.core.jws import MAX_BYTES, TokenError, parse

HEADER = b'{"alg":"EdDSA"}'
CLAIMS = b'{"sub":"alice"}'


def token(header=HEADER, payload=CLAIMS, signature=b"signature"):
    return b".".join(map(jws.encoded, (header, payload, signature)))


def test_the_parts_of_a_token():
    """Header and claims as objects, the signature as bytes, and exactly what it signs."""
    made = token()
    parts = parse(made)
    assert parts.header == {"alg": "EdDSA"}
    assert parts.claims() == {"sub": "alice"}
    assert parts.signature == b"signature"
    assert made == parts.message + b"." + jws.encoded(b"signature")


@pytest.mark.parametrize("value", [b"", b"a", b"ab", b"abc", b"\xff\xfe\xfd\xfc", bytes(range(256))])
def test_base64url_comes_back(value):
    """Without padding and with the two characters of its own; an empty value has no form."""
    made = jws.encoded(value)
    assert not set(made) & set(b"+/=")
    if value:
        assert jws.decoded(made) == value


@pytest.mark.parametrize(
    "text", [b"", b"A", b"AAAAA", b"AB", b"AAB", b"AA==", b"A+AA", b"A/AA", b"AA A", b"AAA\n", b"\xff\xff"]
)
def test_loose_base64_is_refused(text):
    """Empty, a lone character, loose bits, padding, another alphabet, white space, no ASCII."""
    with pytest.raises(ValueError, match="base64"):
        jws.decoded(text)


def test_control_the_usual_decoder_takes_loose_base64():
    """The standard library reads loose bits and white space as if nothing were wrong."""
    assert base64.urlsafe_b64decode(b"AB==") == base64.urlsafe_b64decode(b"AA==")
    assert base64.urlsafe_b64decode(b"AA A=\n") == base64.urlsafe_b64decode(b"AAA=")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"1",
        b'{"a":1,"a":1}',
        b'{"x":{"a":1,"a":2}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":1}x',
        b'{"a":' + b"[" * 2500,
        b'{"a":' + b"9" * 3000 + b"}x",
    ],
)
def test_what_is_no_json_object_is_refused(text):
    """As a header at once, as claims when they are asked for; other readers could read another thing."""
    if text:
        with pytest.raises(TokenError, match="header is no JSON object"):
            parse(token(header=text))
        parts = parse(token(payload=text))
    else:
        parts = jws.Jws({}, b"", b"", b"")
    with pytest.raises(TokenError, match="claims are no JSON object"):
        parts.claims()


def test_control_the_usual_parser_takes_some_of_them():
    """A name that stands twice, UTF-16 and NaN are JSON enough for it."""
    for text in (b'{"a":1,"a":1}', '{"a":1}'.encode("utf-16"), b'{"a":NaN}'):
        assert "a" in json.loads(text)


@pytest.mark.parametrize("name", ["crit", "b64"])
@pytest.mark.parametrize("value", [[], ["exp"], False, True, None])
def test_extensions_are_refused(name, value):
    """Whatever they ask for: nothing of it is understood here (RFC 7515 section 4.1.11, RFC 7797)."""
    with pytest.raises(TokenError, match="extensions"):
        parse(token(header=json.dumps({"alg": "EdDSA", name: value}).encode()))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (b"", "three parts"),
        (b"a.b", "three parts"),
        (b"a.b.c.d", "three parts"),
        (b"..", "base64url"),
        (token() + b"=", "base64url"),
        (token() + b"\n", "base64url"),
        (b"x" * (MAX_BYTES + 1), f"longer than {MAX_BYTES} bytes"),
    ],
)
def test_other_forms_are_refused(made, why):
    """In words that tell which, before anything is read."""
    with pytest.raises(TokenError, match=why):
        parse(made)
