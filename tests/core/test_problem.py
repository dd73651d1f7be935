"""Answers of the gateway itself: the problem document and what may replace it."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from gateway.core.problem import PROBLEM_JSON, QUOTA_EXCEEDED, Reply, title


def test_a_problem_document_says_what_where_and_which_request():
    """The members of RFC 9457, and ours: reason, stage, request id."""
    reply = Reply(401, "wrong_key", "Say it again.", "authenticate")
    assert json.loads(reply.document("r-1")) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Say it again.",
        "reason": "wrong_key",
        "stage": "authenticate",
        "request_id": "r-1",
    }
    assert reply.content_type == PROBLEM_JSON


def test_a_problem_may_have_a_type_and_members_of_its_own():
    """What a problem type defines stands beside the rest."""
    reply = Reply(429, "x", problem_type=QUOTA_EXCEEDED, extra=(("violated-policies", ["burst"]),))
    document = json.loads(reply.document(""))
    assert document["type"] == QUOTA_EXCEEDED
    assert document["violated-policies"] == ["burst"]


def test_text_in_a_document_is_quoted():
    """Quotes, line ends and other scripts in a detail keep the document whole."""
    detail = 'a "b"\r\n\\ ü 😀'
    assert json.loads(Reply(400, detail=detail).document("r"))["detail"] == detail


@pytest.mark.parametrize("body", [b"", b"Healthy"])
def test_a_body_of_its_own_is_sent_as_it_is(body):
    """An empty one too: it is not taken for none."""
    assert Reply(200, body=body).document("r") == body


def test_every_status_has_a_title():
    """The registered phrase, and a word for what has none, since some clients show only that."""
    assert all(title(status) == status.phrase for status in HTTPStatus)
    assert title(599) == title(0) == "Unknown"
