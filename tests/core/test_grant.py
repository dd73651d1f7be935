"""Roles: what each may do, and how the values of a claim give them."""

from __future__ import annotations

import itertools

import pytest

from gateway.core.grant import RANK, Grants, RoleTable

ROLES = ("caller", "reader", "contributor", "owner")
TABLE = RoleTable(
    {
        "owner": ["ml-platform", "{service}-owners"],
        "contributor": ["ml-health on diabetes", "on call on adult"],
        "reader": ["everybody", "{service}:reader", "ml-health on adult"],
        "caller": ["ml-health on digits", "app/{service}/call"],
    }
)


@pytest.mark.parametrize(("has", "least"), list(itertools.product(ROLES, ROLES)))
def test_each_role_may_what_those_before_it_may(has, least):
    """Caller, reader, contributor, owner: for every service, for one, and never for another one."""
    enough = ROLES.index(has) >= ROLES.index(least)
    everywhere, one = Grants(has), Grants(None, {"diabetes": has})
    assert everywhere.allow(least, "diabetes") == everywhere.allow(least, None) == enough
    assert everywhere.allow_somewhere(least) == one.allow_somewhere(least) == enough
    assert one.allow(least, "diabetes") == enough
    assert not one.allow(least, "adult")
    assert not one.allow(least, None)


def test_nobody_may_anything():
    """Without a role nothing is allowed, anywhere."""
    assert not any(Grants().allow(role, service) for role in RANK for service in ("diabetes", None))
    assert not Grants().allow_somewhere("caller")


def test_of_two_roles_the_higher_counts():
    """A role for all services and one for this one: whichever is more."""
    assert Grants("reader", {"diabetes": "owner"}).role("diabetes") == "owner"
    assert Grants("owner", {"diabetes": "reader"}).role("diabetes") == "owner"
    assert Grants("reader", {"diabetes": "owner"}).role(None) == "reader"


@pytest.mark.parametrize(
    ("values", "everywhere", "services"),
    [
        ([], None, {}),
        (["unknown", "", "ML-PLATFORM"], None, {}),
        (["ml-platform"], "owner", {}),
        (["everybody", "ml-platform", "everybody"], "owner", {}),
        (["ml-health"], None, {"diabetes": "contributor", "adult": "reader", "digits": "caller"}),
        (["ml-health on diabetes"], None, {}),
        (["on call"], None, {"adult": "contributor"}),
        (["diabetes:reader"], None, {"diabetes": "reader"}),
        (["diabetes:reader", "diabetes-owners", "ml-health"], None, {
            "diabetes": "owner", "adult": "reader", "digits": "caller"
        }),
        (["app/adult/call", "app/adult", "app//call", "app/a/b/call"], None, {"adult": "caller"}),
        ([":reader", "Diabetes:reader", "-x:reader", "x-:reader", "a b:reader"], None, {}),
        (["everybody", "diabetes:reader"], "reader", {"diabetes": "reader"}),
    ],
)  # fmt: skip
def test_what_values_give(values, everywhere, services):
    """Exact values for all or for the named service; forms for the service that stands in the value; else nothing."""
    grants = TABLE.grants(values)
    assert (grants.everywhere, dict(grants.services)) == (everywhere, services)


def test_prefix_and_suffix_do_not_share_characters():
    """A value shorter than both ends of a form is none of it."""
    table = RoleTable({"owner": ["team{service}team"]})
    assert not table.grants(["team"]).services
    assert table.grants(["teamateam"]).services == {"a": "owner"}
