"""What may be asked of a named caller, and what is refused with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.caller import CallerLimitSpec, CallerName, CallerSpec
from gateway.core.verb import VERBS

SPEC = TypeAdapter(CallerSpec)
NAME = TypeAdapter(CallerName)


def test_nothing_asked_is_everything_allowed():
    """Every verb, for ever, without limits of its own."""
    assert SPEC.validate_json("{}") == CallerSpec(verbs=VERBS, expires_at=None, rate_limits=())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-01T00:00:00Z", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01t00:00:00.123456789z", datetime(2030, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        ("2030-01-01T02:00:00+02:00", datetime(2030, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_kept_in_utc(text, moment):
    """RFC 3339 with any offset is the same moment."""
    asked = SPEC.validate_json(f'{{"expires_at": "{text}"}}').expires_at
    assert asked == moment
    assert asked.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        '"2030-01-01"',
        '"2030-01-01T00:00:00"',
        '"1893456000"',
        "1893456000",
        '"2030-13-01T00:00:00Z"',
        '"2030-01-01T24:00:01Z"',
        '"9999-12-31T23:59:59-23:00"',
        '"0001-01-01T00:00:00+01:00"',
        '"٢٠٣٠-01-01T00:00:00Z"',
        "true",
    ],
)
def test_what_is_no_time(value):
    """Only a time that was written out with its zone, and that UTC knows."""
    with pytest.raises(ValidationError) as caught:
        SPEC.validate_json(f'{{"expires_at": {value}}}')
    assert [fault["loc"] for fault in caught.value.errors()] == [("expires_at",)]


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ('{"verbs": []}', ("verbs",)),
        ('{"verbs": ["delete"]}', ("verbs", 0)),
        ('{"rate_limits": [{"name": "a", "requests": 1, "partition": "ip"}]}', ("rate_limits", 0, "partition")),
        ('{"rate_limits": [{"name": "a", "requests": 1}, {"name": "a", "requests": 2}]}', ()),
        ('{"expiry": null}', ("expiry",)),
        (f'{{"rate_limits": [{{"name": "a", "requests": 1{"0" * 400}}}]}}', ("rate_limits", 0, "requests")),
        (f'{{"rate_limits": [{{"name": "a", "requests": 1, "burst": {2**53}}}]}}', ("rate_limits", 0, "burst")),
    ],
)
def test_what_is_refused(asked, where):
    """Each fault has the path of what is wrong."""
    with pytest.raises(ValidationError) as caught:
        SPEC.validate_json(asked)
    assert caught.value.errors()[0]["loc"] == where


def test_a_limit_counts_the_caller():
    """`partition` may be written and has one value."""
    limit = '{"name": "a", "requests": 1, "partition": "credential"}'
    assert SPEC.validate_json(f'{{"rate_limits": [{limit}]}}').rate_limits == (CallerLimitSpec("a", 1),)


@pytest.mark.parametrize("name", ["acme", "A", "acme-corp_2.eu", "a" * 64])
def test_names(name):
    """What stands in paths, headers and logs without being quoted."""
    assert NAME.validate_python(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a-", "a b", "a/b", "ä", "a\n", "a" * 65])
def test_no_names(name):
    """The control of the test above."""
    with pytest.raises(ValidationError):
        NAME.validate_python(name)
