"""`score` and `status`."""

import json

import pytest
import yaml

TWO_ROWS = "[217.67978776218715, 224.78937091757172]\n"


def test_score_in_every_form(scoregate, ready, tmp_path):
    """The document comes as text, from a file or from stdin; the answer is printed to the last digit."""
    (tmp_path / "rows.json").write_text('{"data": []}')
    assert scoregate("score", "diabetes", "--data", '{"data": []}').stdout == TWO_ROWS
    assert scoregate("score", "diabetes", "--data", "@rows.json").stdout == TWO_ROWS
    assert scoregate("score", "diabetes", "--data", "-", stdin='{"data": []}').stdout == TWO_ROWS
    assert scoregate("score", "diabetes", stdin='{"data": []}').stdout == TWO_ROWS


def test_score_prints_forms(scoregate, ready):
    """-o json and yaml are the same value."""
    arguments = ["score", "diabetes", "--data", '{"data": []}', "-o"]
    assert json.loads(scoregate(*arguments, "json").stdout) == json.loads(TWO_ROWS)
    assert yaml.safe_load(scoregate(*arguments, "yaml").stdout) == json.loads(TWO_ROWS)


def test_score_bytes(scoregate, ready, tmp_path):
    """An image goes in and comes out byte for byte."""
    (tmp_path / "picture.png").write_bytes(bytes(range(256)))
    result = scoregate("score", "diabetes", "--data", "@picture.png", "--content-type", "image/png")
    assert result.stdout_bytes == bytes(range(256))


def test_score_with_a_token(scoregate, ready, fake):
    """Where keys are off a token is issued and used."""
    fake.add("tokened", auth_enabled=False, token_auth_enabled=True)
    assert scoregate("score", "tokened", "--data", '{"data": []}').stdout == TWO_ROWS
    assert fake.requests("POST", "/score")[-1].headers["authorization"] == "Bearer token-1"


def test_score_refused(scoregate, ready):
    """The model's words are on stderr, nothing is on stdout."""
    result = scoregate("score", "diabetes", "--data", "{")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "400 Bad Request: not JSON" in result.stderr


def test_score_without_its_file(scoregate, ready):
    """A missing file is named."""
    result = scoregate("score", "diabetes", "--data", "@none.json")
    assert result.exit_code == 1
    assert result.stderr == "scoregate: none.json cannot be read: No such file or directory.\n"


@pytest.mark.parametrize("arguments", [["status", "diabetes"], ["status"]])
def test_status_for_people(scoregate, ready, arguments):
    """A line a backend: service, state, queue, deployment, traffic, URL, its state."""
    lines = scoregate(*arguments).stdout.splitlines()
    assert lines[1].split() == [
        *("diabetes", "Healthy", "7", "default", "100", "http://127.0.0.1:5001", "healthy", "3", "2026-11-21T08:00:00Z")
    ]


def test_status_as_json(scoregate, ready):
    """For one service the operation's answer, for all a mapping of them by name."""
    one = json.loads(scoregate("status", "diabetes", "-o", "json").stdout)
    every = json.loads(scoregate("status", "-o", "json").stdout)
    assert one["utilization"] == 0.5
    assert every == {"diabetes": one}
