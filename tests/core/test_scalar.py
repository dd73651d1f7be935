"""Texts of a configuration: what each kind takes, in which form it is kept, and what is said about the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.core.scalar import BackendUrl, HeaderValue, Host, Network, Origin, Path, Token


def kept(kind, value):
    return TypeAdapter(kind).validate_python(value)


def refusal(kind, value):
    """What is said about a value that is not taken."""
    with pytest.raises(ValidationError) as caught:
        kept(kind, value)
    return caught.value.errors()[0]["msg"]


GOOD = [
    (BackendUrl, "http://127.0.0.1:5001", None),
    (BackendUrl, "http://127.0.0.1:5001/", "http://127.0.0.1:5001"),
    (BackendUrl, "https://model", None),
    (BackendUrl, "HTTP://Model_1.svc.:80", "http://Model_1.svc.:80"),
    (BackendUrl, "http://[::1]:5001", None),
    (BackendUrl, "http://h:65535", None),
    (Network, "10.0.0.0/8", None),
    (Network, "10.1.2.3", "10.1.2.3/32"),
    (Network, "2001:DB8::/32", "2001:db8::/32"),
    (Origin, "*", None),
    (Origin, "https://app.example.com", None),
    (Origin, "https://App.Example.com", "https://app.example.com"),
    (Origin, "http://localhost:3000", None),
    (Origin, "http://[::1]:3000", None),
    (Origin, "https://app.example.com:443", "https://app.example.com"),
    (Origin, "http://app.example.com:80", "http://app.example.com"),
    (Origin, "http://app.example.com:443", None),
    (Token, "x-custom", None),
    (Token, "*", None),
    (Path, "/", None),
    (Path, "/a/b.json;v=1/%C3%BC", None),
    (Host, "Score.Example.com", "score.example.com"),
    (Host, "a", None),
    (HeaderValue, "", None),
    (HeaderValue, "a b\tc ü", None),
]


@pytest.mark.parametrize(("kind", "value", "form"), GOOD, ids=[value for _, value, _ in GOOD])
def test_what_is_taken_is_kept_in_one_form(kind, value, form):
    """As written, or in the form in which it is compared; that form is itself taken, unchanged."""
    assert kept(kind, value) == (form or value)
    assert kept(kind, form or value) == (form or value)


NO_URL = "is no http:// or https:// URL with a host, such as http://127.0.0.1:5001"
ENDS = "must end after host and port; put the model's path into scoring_path"
NO_PORT = "has a port that is no number from 1 to 65535"
NO_ORIGIN = "is no origin; write scheme, host and port only"
NO_NAME = "is no header or method name"
NO_PATH = "is no path: it starts with / and has no query"
NO_HOST = "is no host name; leave scheme, port and path out"

BAD = [
    *[
        (BackendUrl, value, NO_URL)
        for value in ("", "127.0.0.1:5001", "localhost:5001", "ftp://h", "http://", "http:///score", "http://:5001")
    ],
    *[
        (BackendUrl, value, NO_URL)
        for value in ("http://h:", "http://a b", "http://[::1", "http://bücher", "http://-h", "//h", "http://*.h")
    ],
    *[
        (BackendUrl, value, ENDS)
        for value in (
            "http://h/score",
            "http://h//",
            "http://h/?",
            "http://h?a=b",
            "http://h#",
            "http://u:p@h",
            "http://@h",
        )
    ],
    *[(BackendUrl, value, ENDS) for value in (" http://h", "http://h\n", "ht\ntp://h")],
    *[(BackendUrl, value, NO_PORT) for value in ("http://h:65536", "http://h:http", "http://h:-1", "http://h:5 0")],
    (BackendUrl, "http://h:0", "has port 0; name the port the model server listens on"),
    (Network, "10.0.0.1/8", "has host bits set"),
    *[(Network, value, "is no address range such as 10.0.0.0/8") for value in ("", "localhost", "10.0.0.0/33")],
    *[
        (Origin, value, NO_ORIGIN)
        for value in ("", "null", "app.example.com", "https://", "https://a.com/", "https://a.com/x", "https://u@a.com")
    ],
    *[
        (Origin, value, NO_ORIGIN)
        for value in ("https://*.example.com", "HTTPS://a.com", "https://a.com?", "file:///x", "https://a.com ", "**")
    ],
    (Origin, "https://a.com:99999", NO_PORT),
    *[(Token, value, NO_NAME) for value in ("", "a b", "a:", "a\n", "ü", "a\r\nb", "(a)")],
    *[
        (Path, value, NO_PATH)
        for value in ("", "score", "/a b", "/a?b", "/a#b", "/a\n", "/ü", "/\N{GRINNING FACE}", "/\x7f")
    ],
    *[(Host, value, NO_HOST) for value in ("", "https://h", "h:8443", "h/", "-h", "h.", "h_1", "*.h", "h\n", "bücher")],
    *[
        (HeaderValue, value, "may not have control characters, nor any beyond Latin-1")
        for value in ("a\r\nb", "a\nb", "\0", "\x7f", "a\x0b", "€", "\N{GRINNING FACE}")
    ],
]


@pytest.mark.parametrize(("kind", "value", "why"), BAD, ids=[repr(value) for _, value, _ in BAD])
def test_what_is_refused_is_explained(kind, value, why):
    """The message says what is wrong with the value and what it should be."""
    assert why in refusal(kind, value)


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=12))
def test_no_text_brings_a_line_end_into_a_head(text):
    """Whatever is taken as path, host, name or value cannot end a header line or a request line."""
    for kind in (Path, Host, Token, HeaderValue, BackendUrl, Origin):
        try:
            value = kept(kind, text)
        except ValidationError:
            continue
        assert not set(value) & set("\r\n\0")
        value.encode("latin-1")


@pytest.mark.parametrize("kind", [BackendUrl, Network, Origin, Token, Path, Host, HeaderValue])
def test_only_texts_are_taken(kind):
    """A number is no text, even where its digits would do."""
    with pytest.raises(ValidationError):
        kept(kind, 5)
