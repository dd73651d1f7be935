"""`callers`: what each command sends, and what it prints."""

import json

import pytest


@pytest.fixture
def acme(scoregate, ready, fake):
    """A caller of `diabetes`."""
    result = scoregate("callers", "create", "diabetes", "acme", "--verb", "score", "--limit", "burst=100/1/200")
    assert result.exit_code == 0, result.stderr
    return result


def test_create_sends_what_is_given(acme, scoregate, fake):
    """Options become the fields of the operation; what is left out is left to the gateway."""
    limit = {"name": "burst", "requests": 100, "per_seconds": 1.0, "burst": 200}
    assert fake.seen[-1].document == {"name": "acme", "verbs": ["score"], "rate_limits": [limit]}
    assert "acme-key" in acme.stdout
    scoregate("callers", "create", "diabetes", "plain", "--expires-at", "2027-12-31T00:00:00Z")
    assert fake.seen[-1].document == {"name": "plain", "expires_at": "2027-12-31T00:00:00Z"}


def test_list_and_show(acme, scoregate):
    """The list tells limits as the option takes them and shows no key; `show` shows it."""
    listed = scoregate("callers", "list", "diabetes").stdout
    assert [line.split()[:4] for line in listed.splitlines()[1:]] == [["acme", "k1", "score", "burst=100/1/200"]]
    assert "acme-key" not in listed
    assert json.loads(scoregate("callers", "show", "diabetes", "acme", "-o", "json").stdout)["key"] == "acme-key"


def test_update(acme, scoregate, fake):
    """`never` and `none` take fields back to their defaults; nothing given is wrong usage."""
    arguments = ["callers", "update", "diabetes", "acme"]
    assert scoregate(*arguments, "--expires-at", "never", "--limit", "none").exit_code == 0
    assert fake.seen[-1].document == {"expires_at": None, "rate_limits": []}
    nothing = scoregate(*arguments)
    assert (nothing.exit_code, "--expires-at" in nothing.stderr) == (2, True)


@pytest.mark.parametrize("limit", ["burst", "burst=100", "=1/1", "burst=a/1", "burst=1/1/x", "burst=-1/1"])
def test_a_limit_that_is_none(acme, scoregate, fake, limit):
    """Wrong usage is told with the form that is right, and nothing is sent."""
    before = len(fake.seen)
    result = scoregate("callers", "update", "diabetes", "acme", "--limit", limit)
    assert (result.exit_code, "NAME=REQUESTS/SECONDS" in result.stderr, len(fake.seen)) == (2, True, before)


def test_regenerate(acme, scoregate, fake):
    """The answer of the operation is printed; the grace goes with the request."""
    arguments = ["callers", "regenerate", "diabetes", "acme", "--grace-seconds", "60", "-o", "json"]
    assert json.loads(scoregate(*arguments).stdout)["key"] == "random-1"
    assert fake.seen[-1].document == {"grace_seconds": 60}


def test_revoke_wants_a_yes(acme, scoregate, fake):
    """Without a terminal nobody can be asked: nothing is revoked. With --yes the caller is gone; then it is 4."""
    arguments = ["callers", "revoke", "diabetes", "acme"]
    assert (scoregate(*arguments).exit_code, list(fake.callers)) == (2, ["acme"])
    assert (scoregate(*arguments, "--yes").exit_code, fake.callers) == (0, {})
    assert scoregate("callers", "show", "diabetes", "acme").exit_code == 4
