"""Cross-origin requests by the Fetch standard: preflights answered, answers decorated, nobody let in by accident."""

from __future__ import annotations

import pytest

from gateway.core.spec import CorsSpec
from gateway.policy.cors import compile_check, compile_decoration

APP, OTHER = b"https://app.example.com", b"https://other.example.com"
SPEC = CorsSpec((APP.decode(), "http://localhost:3000"))
VARY = (b"vary", b"Origin")
PREFLIGHT_VARY = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


@pytest.fixture
def visit(entry, world, exchange):
    """`visit(spec, method, origin, asks_for)`: (reply of the check, decoration by name); absent fields are None."""

    def make(spec=SPEC, method=b"OPTIONS", origin=APP, asks_for=b"POST"):
        fields = [(b"Origin", origin), (b"Access-Control-Request-Method", asks_for)]
        made = exchange(*[field for field in fields if field[1] is not None], method=method)
        service = entry(cors=spec)
        return compile_check(service, world)(made), compile_decoration(service)(made)

    return make


def test_without_a_section_there_is_no_check(entry, world):
    """And no decoration: pages of other origins are not spoken to at all."""
    assert compile_check(entry(), world) is None
    assert compile_decoration(entry()) is None


def test_a_preflight_of_an_allowed_origin_is_answered(visit):
    """204 with an empty body and what may be asked, before any credential was looked for."""
    reply, decoration = visit()
    assert (reply.status, reply.reason, reply.body) == (204, "", b"")
    assert reply.headers == (
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"Authorization, Content-Type"),
        (b"access-control-max-age", b"600"),
    )
    assert decoration == (
        PREFLIGHT_VARY,
        (b"access-control-allow-origin", APP),
        (b"access-control-expose-headers", b"x-request-id"),
    )


def test_what_may_be_asked_is_what_was_configured(visit):
    """Methods, headers, age; `*` among them only without credentials, which the spec sees to."""
    spec = CorsSpec(("*",), ("*",), ("*",), (), max_age_seconds=0)
    reply, decoration = visit(spec)
    assert [value for _, value in reply.headers] == [b"*", b"*", b"0"]
    assert decoration == (PREFLIGHT_VARY, (b"access-control-allow-origin", b"*"))


@pytest.mark.parametrize(
    "origin",
    [
        OTHER,
        b"null",
        b"*",
        b"",
        b"http://app.example.com",
        b"https://app.example.com:8443",
        b"https://app.example.com.evil.example",
        b"https://evil.app.example.com",
        b"https://evilapp.example.com",
        b"https://app.example.com/",
        b"https://APP.example.com",
        b"https://app.example.com, https://app.example.com",
        b"app.example.com",
        b"\xff",
    ],
)
@pytest.mark.parametrize(("method", "asks_for"), [(b"OPTIONS", b"POST"), (b"POST", None)])
def test_origins_match_exactly(visit, origin, method, asks_for):
    """Scheme, host and port as configured: no suffix, no prefix, no list, never null; nothing allows such a page."""
    reply, decoration = visit(origin=origin, method=method, asks_for=asks_for)
    assert decoration == (PREFLIGHT_VARY if asks_for else VARY,)
    if asks_for:
        assert (reply.status, reply.reason, reply.headers) == (403, "origin_not_allowed", ())
        assert "cors.allowed_origins" in reply.detail
    else:
        assert reply is None


def test_a_long_origin_is_not_repeated_whole(visit):
    """The answer stays small whatever the caller sends."""
    reply, _ = visit(origin=b"https://" + b"a" * 10_000)
    assert len(reply.detail) < 400


@pytest.mark.parametrize(
    ("method", "origin", "asks_for"),
    [
        (b"OPTIONS", APP, None),
        (b"OPTIONS", None, b"POST"),
        (b"OPTIONS", None, None),
        (b"POST", APP, b"POST"),
        (b"POST", APP, None),
        (b"GET", None, None),
    ],
)
def test_only_all_three_make_a_preflight(visit, method, origin, asks_for):
    """OPTIONS with Origin and Access-Control-Request-Method; anything else goes on, to the credential."""
    reply, decoration = visit(method=method, origin=origin, asks_for=asks_for)
    assert reply is None
    assert decoration[0] == VARY


@pytest.mark.parametrize("method", [b"OPTIONS", b"POST", b"GET"])
@pytest.mark.parametrize("origin", [None, APP, OTHER, b"null"])
@pytest.mark.parametrize("asks_for", [None, b"POST"])
def test_every_answer_varies_by_origin_once(visit, method, origin, asks_for):
    """Also without an origin, for a refused one, for a stray field: else a cache mixes up the answers to two pages."""
    reply, decoration = visit(method=method, origin=origin, asks_for=asks_for)
    fields = [*(reply.headers if reply else ()), *decoration]
    varied = [value for name, value in fields if name == b"vary"]
    assert len(varied) == 1
    assert varied[0].startswith(b"Origin")


@pytest.mark.parametrize(("method", "asks_for"), [(b"OPTIONS", b"POST"), (b"POST", None)])
def test_a_wildcard_allows_every_origin_but_null(visit, method, asks_for):
    """`*` is answered with `*`, never with the page's own origin; a sandboxed page stays nobody."""
    spec = CorsSpec(("*",))
    _, decoration = visit(spec, method=method, asks_for=asks_for, origin=OTHER)
    assert (b"access-control-allow-origin", b"*") in decoration
    assert (b"access-control-allow-credentials", b"true") not in decoration
    reply, decoration = visit(spec, method=method, asks_for=asks_for, origin=b"null")
    assert len(decoration) == 1
    assert reply is None or reply.status == 403


@pytest.mark.parametrize(("method", "asks_for"), [(b"OPTIONS", b"POST"), (b"POST", None)])
def test_credentials_are_allowed_by_name_only(visit, method, asks_for):
    """With `allow_credentials` the page's origin is repeated, and only an allowed one hears of credentials."""
    spec = CorsSpec((APP.decode(),), allow_credentials=True)
    granted = {(b"access-control-allow-origin", APP), (b"access-control-allow-credentials", b"true")}
    assert granted <= set(visit(spec, method=method, asks_for=asks_for)[1])
    assert len(visit(spec, method=method, asks_for=asks_for, origin=OTHER)[1]) == 1


def test_pages_may_read_answers_and_what_is_exposed(visit):
    """An ordinary request is decorated, refusals included; what is exposed is named, or the field is left out."""
    reply, decoration = visit(method=b"POST", asks_for=None)
    assert reply is None
    assert decoration == (
        VARY,
        (b"access-control-allow-origin", APP),
        (b"access-control-expose-headers", b"x-request-id"),
    )
    _, decoration = visit(CorsSpec((APP.decode(),), exposed_headers=()), method=b"POST", asks_for=None)
    assert decoration == (VARY, (b"access-control-allow-origin", APP))
    _, decoration = visit(CorsSpec((APP.decode(),), exposed_headers=("a", "b")), method=b"POST", asks_for=None)
    assert (b"access-control-expose-headers", b"a, b") in decoration
