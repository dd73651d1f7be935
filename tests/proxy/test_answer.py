"""Answers of the gateway itself, byte for byte what a strict client reads."""

from __future__ import annotations

import json

import pytest

from gateway.core.exchange import Exchange
from gateway.core.problem import TEXT, Reply
from gateway.proxy import answer as module


def exchange(method=b"GET", version="1.1") -> Exchange:
    made = Exchange(method, b"/", b"", [])
    made.version, made.request_id = version, "r1"
    return made


def test_problem(answer) -> None:
    """A refusal is a problem document with the id of its request, and a date."""
    data = module.own(
        Reply(429, "rate_limited", "Slowly.", headers=((b"retry-after", b"3"),)), exchange(), (), closes=False
    )
    got = answer(data)
    assert (got.status, got.headers["retry-after"], got.headers["content-type"]) == (
        429,
        "3",
        "application/problem+json",
    )
    assert got.headers["date"].endswith(" GMT")
    assert json.loads(got.body)["request_id"] == got.headers["x-request-id"] == "r1"
    assert "connection" not in got.headers


@pytest.mark.parametrize(
    ("version", "closes", "said"),
    [("1.1", False, None), ("1.1", True, "close"), ("1.0", False, "keep-alive"), ("1.0", True, "close")],
)
def test_connection(answer, version: str, closes: bool, said) -> None:
    """Each version is told what it would not assume."""
    data = module.own(Reply(200, body=b"ok", content_type=TEXT), exchange(version=version), (), closes=closes)
    assert answer(data).headers.get("connection") == said


def test_head_has_the_length_only(answer) -> None:
    """HEAD gets the head of what GET would get."""
    data = module.own(Reply(200, body=b"Healthy"), exchange(b"HEAD"), (), closes=False)
    assert data.endswith(b"\r\n\r\n")
    assert b"content-length: 7\r\n" in data
    assert answer(data, "HEAD").status == 200


def test_no_content(answer) -> None:
    """A 204 has neither body nor length."""
    data = module.own(Reply(204, body=b""), exchange(b"OPTIONS"), ((b"vary", b"Origin"),), closes=False)
    got = answer(data)
    assert (got.status, got.headers["vary"]) == (204, "Origin")
    assert "content-length" not in got.headers
    assert "content-type" not in got.headers


def test_client_request_id() -> None:
    """The client's own id is echoed under its own name."""
    made = exchange()
    made.client_request_id = "m1"
    assert module.ids(made) == b"x-request-id: r1\r\nx-ms-client-request-id: m1\r\n"


def test_date_changes_with_the_second(monkeypatch) -> None:
    """The date is made anew once a second, and not more often."""
    date = module._Date()
    assert date.line(1.2) is date.line(1.9)
    assert date.line(2.0) == b"date: Thu, 01 Jan 1970 00:00:02 GMT\r\n"


@pytest.mark.parametrize(("status", "line"), [(200, b"HTTP/1.1 200 OK\r\n"), (299, b"HTTP/1.1 299 Unknown\r\n")])
def test_status_line(status: int, line: bytes) -> None:
    """Every status has a phrase: some clients show nothing else."""
    assert module.status_line(status) == line


@pytest.mark.parametrize(
    ("method", "status", "may"),
    [(b"GET", 200, True), (b"HEAD", 200, False), (b"GET", 204, False), (b"GET", 304, False), (b"GET", 103, False)],
)
def test_may_have_body(method: bytes, status: int, may: bool) -> None:
    """RFC 9110 section 6.4.1."""
    assert module.may_have_body(method, status) is may


def test_chunk() -> None:
    """Chunks have their size in hexadecimal."""
    assert module.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_control_a_wrong_length_is_seen(answer) -> None:
    """Control: the reader of these tests does not accept an answer whose length is wrong."""
    data = module.own(Reply(200, body=b"Healthy"), exchange(), (), closes=False)
    assert not answer(data.replace(b"length: 7", b"length: 8")).complete
