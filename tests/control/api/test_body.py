"""Bad bodies, at every operation that takes one: 400, with the path of what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.control.api.operation import Operation
from gateway.control.api.operations import OPERATIONS

WITH_BODY = [operation for operation in OPERATIONS if operation.body]
NAMES = {"name": "diabetes", "slot": "primary", "caller": "acme"}


@pytest.fixture
async def send(api):
    """`send(operation, body, **options)`: the status and the answer."""
    await api.put(token_auth_enabled=True)
    await api("POST", "/services/diabetes/callers", {"name": "acme"})

    async def call(operation: Operation, body: bytes | None, kind: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": kind or operation.body_type}
        answer = await api(operation.method, operation.path.format(**NAMES), data=body, headers=headers)
        return answer.status, await answer.json()

    return call


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
async def test_what_is_no_json(send, operation: Operation) -> None:
    """Broken text, bytes that are no UTF-8, NaN, and a document that goes on: told as such, wherever it breaks."""
    for body in (b"{", b'{"a": \xff}', b'{"a": NaN}', b"{} {}", b"'{}'", b"[" * 100_000):
        status, problem = await send(operation, body)
        assert (status, [fault["path"] for fault in problem["errors"]]) == (400, [""]), body[:20]


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
async def test_what_is_no_object(send, operation: Operation) -> None:
    """Every body is an object."""
    for body in ([], "text", 5, True):
        status, problem = await send(operation, json.dumps(body).encode())
        assert (status, problem["errors"][0]["path"]) == (400, ""), body


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
async def test_a_field_that_there_is_not(send, operation: Operation) -> None:
    """An unknown field is named, and not guessed away."""
    status, problem = await send(operation, b'{"no_such_field": 1}')
    faults = {fault["path"]: fault["reason"] for fault in problem["errors"]}
    assert (status, faults.get("no_such_field")) == (400, "is no known field")


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
async def test_a_body_of_another_kind(send, operation: Operation) -> None:
    """What is declared as something else is not read as JSON: 415."""
    status, problem = await send(operation, b"{}", "text/plain")
    assert (status, "application/json" in problem["detail"]) == (415, True)


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
async def test_no_body(send, operation: Operation) -> None:
    """Where a body is required its lack is told; where it is not, all is as by default."""
    status, problem = await send(operation, None)
    if operation.body_required:
        assert (status, problem["errors"]) == (400, [{"path": "", "reason": "is empty"}])
    else:
        assert status in operation.answers
