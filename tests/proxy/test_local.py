"""What a worker answers by itself on the scoring port."""

from __future__ import annotations

import json

import pytest

from gateway.core.exchange import Exchange
from gateway.proxy.local import Local


def ask(path: bytes, method=b"GET", state=(True, False, "serving"), services=("svc",)):
    local = Local(lambda: state, lambda name: name in services)
    local.publish(b'{"keys":["k"]}')
    return local(Exchange(method, path, b"", []))


def test_healthy_as_azure_says_it() -> None:
    """The root answers as the Azure front end does."""
    assert (ask(b"/").status, ask(b"/").body) == (200, b"Healthy")


def test_livez() -> None:
    """A worker that answers is alive, whatever else is wrong."""
    assert ask(b"/livez", state=(False, False, "draining")).status == 200


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        ((True, False, "serving"), 200, "ready"),
        ((True, True, "control away"), 200, "degraded"),
        ((False, False, "draining"), 503, "not ready"),
        ((False, True, "draining"), 503, "not ready"),
    ],
)
def test_readyz(state, status: int, word: str) -> None:
    """Readiness says what is wrong; without the control process a worker is ready, degraded."""
    reply = ask(b"/readyz", state=state)
    assert reply.status == status
    assert json.loads(reply.body) == {"status": word, "detail": state[2]}


def test_signing_keys() -> None:
    """The key set is what was published last."""
    reply = ask(b"/.well-known/jwks.json")
    assert (reply.status, reply.body) == (200, b'{"keys":["k"]}')
    assert json.loads(
        Local(lambda: (True, False, ""), bool)(Exchange(b"GET", b"/.well-known/jwks.json", b"", [])).body
    ) == {"keys": []}


@pytest.mark.parametrize("method", [b"POST", b"OPTIONS", b"DELETE"])
def test_only_reading(method: bytes) -> None:
    """The worker's own paths are read, and nothing else."""
    reply = ask(b"/livez", method)
    assert (reply.status, reply.headers) == (405, ((b"allow", b"GET, HEAD"),))
    assert ask(b"/livez", b"HEAD").status == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (b"/api/v1/service/svc/socre", "svc has nothing at this path: score at /api/v1/service/svc/score."),
        (b"/api/v1/service/other/score", "There is no service 'other' here"),
        (b"/score", "Nothing is served at this path: services are at /api/v1/service/<name>/score."),
        (b"/api/v1/service/", "Nothing is served at this path"),
    ],
)
def test_not_found_says_what_to_call(path: bytes, said: str) -> None:
    """A wrong path is told from a wrong name, and what is right is named."""
    reply = ask(path)
    assert reply.status == 404
    assert said in reply.detail


def test_control_long_names_are_cut() -> None:
    """Control: an absurd name is not repeated in full, as it would be without the cut."""
    reply = ask(b"/api/v1/service/" + b"x" * 10_000)
    assert len(reply.detail) < 200
