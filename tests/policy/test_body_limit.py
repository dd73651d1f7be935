"""How large a body may be announced."""

from __future__ import annotations

import pytest

from gateway.policy.body_limit import compile_check


@pytest.mark.parametrize(("length", "may"), [(0, True), (100, True), (101, False), (10**15, False), (None, True)])
def test_a_body_beyond_the_limit_is_refused(length, may, entry, world, exchange):
    """The limit itself is within. A chunked body announces nothing: it is measured while it is read."""
    reply = compile_check(entry(max_request_bytes=100), world)(exchange(length=length))
    assert (reply is None) is may


def test_the_refusal_says_what_to_change(entry, world, exchange):
    """Both sizes and the name of the setting; the connection ends, since the body is not read."""
    reply = compile_check(entry(max_request_bytes=100), world)(exchange(length=101))
    assert (reply.status, reply.reason, reply.closes) == (413, "body_too_large", True)
    assert "101 bytes" in reply.detail
    assert "at most 100 (max_request_bytes)" in reply.detail
