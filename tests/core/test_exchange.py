"""A request as the checks see it: fields joined as HTTP joins them, and what stands twice."""

from __future__ import annotations

import pytest

from gateway.core.exchange import ANONYMOUS, SINGLE, Caller, Exchange


def exchange(*fields):
    """A request with these (name, value) fields, names as sent."""
    return Exchange(b"POST", b"/p", b"?key=secret", [(name.lower(), name, value) for name, value in fields])


def test_what_is_not_said_has_a_value_that_grants_nothing():
    """Before any check ran, the caller is nobody and no operation is allowed."""
    made = Exchange(b"GET", b"/", b"", [], peer="10.0.0.1", now=1.0, wall=2.0)
    assert made.caller is ANONYMOUS
    assert (made.caller.auth_type, made.caller.key_id, made.caller.slot) == ("none", "", "")
    assert (made.operation, made.request_id, made.client_request_id, made.repeated) == ("", "", "", b"")
    assert (made.length, made.secure, made.keep_alive, made.version) == (0, True, True, "1.1")
    assert made.address == made.peer == "10.0.0.1"
    assert (made.now, made.wall) == (1.0, 2.0)


def test_fields_are_found_by_lower_case_name_and_kept_as_sent():
    """The table is for checks, the list is what travels on."""
    made = exchange((b"Content-Type", b"application/json"), (b"X-Custom", b"1"))
    assert made.fields == {b"content-type": b"application/json", b"x-custom": b"1"}
    assert made.headers[1] == (b"x-custom", b"X-Custom", b"1")


def test_a_list_field_may_stand_twice():
    """Two Accept fields are one list (RFC 9110 section 5.3), and nothing is wrong with that."""
    made = exchange((b"Accept", b"a"), (b"accept", b"b"), (b"ACCEPT", b"c"))
    assert made.fields[b"accept"] == b"a, b, c"
    assert made.repeated == b""


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_a_single_field_that_stands_twice_is_named(name):
    """Which of the two was meant is open, so somebody must refuse; also when the values are equal."""
    assert exchange((name, b"x"), (name.upper(), b"x")).repeated == name
    assert exchange((name, b"x")).repeated == b""


@pytest.mark.parametrize("order", [(b"authorization", b"origin"), (b"origin", b"authorization")])
def test_a_second_authorization_does_not_hide_another_field(order):
    """Doubled Authorization is left to a check that open services lack: any other doubled field is named first."""
    made = exchange(*((name, b"x") for name in (*order, *order)))
    assert made.repeated == b"origin"


def test_the_repr_shows_no_secret():
    """Fields hold credentials and the query may: neither is in a traceback or a log line."""
    made = exchange((b"Authorization", b"Bearer hunter2"))
    assert repr(made) == "<Exchange b'POST' b'/p'>"


def test_the_same_head_again():
    """Another request with the same head shares what was found about it, and has nothing that is each one's own."""
    first = exchange((b"Host", b"a"), (b"X-Request-Id", b"r-1"))
    first.caller, first.operation, first.opens_until = Caller("key", "svc/primary", "k_1", "primary"), "score", 9.0
    first.request_id, first.peer, first.passing = "r-1", "192.0.2.7", b"A: 1\r\n"
    again = first.again(now=2.0, wall=3.0)
    own = {"now", "wall", "peer", "address", "request_id", "client_request_id", "passing"}
    for name in Exchange.__slots__:
        if name not in own:
            assert getattr(again, name) == getattr(first, name), name
    assert (again.now, again.wall, again.peer, again.address) == (2.0, 3.0, "", "")
    assert (again.request_id, again.client_request_id, again.passing) == ("", "", None)
