"""The Store protocol: its form has all of it. What the methods do is shown by the contract suite in tests/store."""

from __future__ import annotations

import inspect

from gateway.core.store import Conflict, Store, StoreError
from gateway.proxy.scoreboard import Seat
from gateway.store.sql import SqlStore


def test_the_sql_store_has_what_the_protocol_asks(differences):
    """Every method by its name, every parameter in its place."""
    assert differences(Store, SqlStore) == []


def test_control_a_form_of_something_else_is_told(differences, methods):
    """The scoreboard is no store: every method is missed."""
    assert differences(Store, Seat) == list(methods(Store))


def test_every_method_is_explained(methods):
    """Whoever writes another form has only this to go by."""
    assert all(inspect.getdoc(method) for method in methods(Store).values())


def test_a_conflict_is_no_failure_of_the_store():
    """One is answered with 409 or 412, the other with 503: neither may be caught for the other."""
    assert not issubclass(Conflict, StoreError)
    assert not issubclass(StoreError, Conflict)
