"""How failures look, by dialect: what clients written for Azure's front ends test for."""

from __future__ import annotations

import json

import pytest

from gateway.core import dialect
from gateway.core.problem import TEXT

DIALECTS = ("aks", "managed", "plain")


@pytest.mark.parametrize(
    ("name", "status", "seen"),
    [
        ("aks", 200, 200),
        ("aks", 500, 502),
        ("aks", 501, 501),
        ("aks", 503, 503),
        ("aks", 404, 404),
        ("managed", 200, 200),
        ("managed", 201, 424),
        ("managed", 404, 424),
        ("managed", 500, 424),
        ("plain", 200, 200),
        ("plain", 500, 500),
    ],
)
def test_the_status_of_a_model_is_shown_as_azure_shows_it(name, status, seen):
    """AKS turns a 500 into 502, managed endpoints all but 200 into 424; plain changes nothing."""
    assert dialect.model_status(name, status)[0] == seen


def test_managed_endpoints_tell_the_real_status():
    """In the two fields that Azure's SDK reads; the other dialects add nothing, nor does a success."""
    assert dialect.model_status("managed", 503)[1] == (
        (b"ms-azureml-model-error-statuscode", b"503"),
        (b"ms-azureml-model-error-reason", b"model_error"),
    )
    quiet = [("managed", 200), ("aks", 500), ("aks", 200), ("plain", 500)]
    assert all(dialect.model_status(name, status)[1] == () for name, status in quiet)


@pytest.mark.parametrize(("name", "status"), [("aks", 503), ("managed", 429), ("plain", 503)])
def test_a_full_queue(name, status):
    """Every dialect has its status, says when to come back, and names reason and stage for the log."""
    reply = dialect.queue_full(name, "diabetes", "queue_full", "queue")
    assert (reply.status, reply.reason, reply.stage) == (status, "queue_full", "queue")
    assert (b"retry-after", b"1") in reply.headers
    assert b"diabetes" in reply.document("r")


@pytest.mark.parametrize("name", DIALECTS)
def test_no_backend(name):
    """503 at once, safe to repeat; the stage is connect, since nothing was sent."""
    reply = dialect.no_backend(name, "diabetes")
    assert (reply.status, reply.reason, reply.stage) == (503, "no_backend", "connect")
    assert (b"retry-after", b"1") in reply.headers
    assert b"diabetes" in reply.document("r")


def test_aks_speaks_plain_text_where_azure_does():
    """Clients look for these words; the other dialects answer with a problem document that tells more."""
    full = dialect.queue_full("aks", "diabetes", "queue_wait", "queue")
    assert (full.body, full.content_type) == (b"Too many requests for service diabetes (overloaded)", TEXT)
    none = dialect.no_backend("aks", "diabetes")
    assert (none.body, none.content_type) == (b"No ready replicas for service diabetes", TEXT)
    for name in ("managed", "plain"):
        for reply in (dialect.queue_full(name, "d", "queue_wait", "queue"), dialect.no_backend(name, "d")):
            assert json.loads(reply.document("r"))["reason"] == reply.reason


@pytest.mark.parametrize(
    ("name", "status", "closes"), [("aks", 504, False), ("managed", 408, True), ("plain", 504, False)]
)
def test_the_deadline(name, status, closes):
    """The status is the dialect's; setting, value and stage are told. A 408 ends the connection (RFC 9110 15.5.9)."""
    reply = dialect.timed_out(name, 60000, "first_byte")
    assert (reply.status, reply.reason, reply.stage, reply.closes) == (status, "timeout", "first_byte", closes)
    assert "scoring_timeout_ms (60000 ms)" in reply.detail
    assert "first_byte" in reply.detail


def test_a_failed_backend_is_a_bad_gateway():
    """502 without Retry-After: the request may have been computed, so nobody is invited to repeat it."""
    reply = dialect.backend_failed("closed", "answer")
    assert (reply.status, reply.reason, reply.stage, reply.headers) == (502, "backend_closed", "answer", ())
