"""`keys`: what is shown, how values come in, and the rotation of the master key."""

from __future__ import annotations

import json

import pytest


def test_show_keys(scoregate, ready):
    """Both keys with their last use; the JSON is the operation's answer."""
    lines = scoregate("keys", "show", "diabetes").stdout.splitlines()
    assert [line.split()[:2] for line in (lines[1], lines[2])] == [
        ["primary", "diabetes-primary-value"],
        ["secondary", "diabetes-secondary-value"],
    ]
    answer = json.loads(scoregate("keys", "show", "diabetes", "-o", "json").stdout)
    assert answer["primary_key"] == "diabetes-primary-value"
    assert answer["slots"]["primary"]["uses_24h"] == 5


def test_regenerate_prints_the_answer_of_the_operation(scoregate, ready, fake):
    """A random key: slot, value and acknowledgements as the operation answers."""
    result = scoregate("keys", "regenerate", "diabetes", "--slot", "primary", "-o", "json")
    assert json.loads(result.stdout) == {
        "slot": "primary",
        "value": "random-1",
        "id": "k2",
        "grace_until": None,
        "acknowledged": {"workers": 2, "replicas": 1, "of": 1},
    }
    assert fake.keys["diabetes"]["primary"] == "random-1"


def test_a_value_comes_by_file_or_stdin(scoregate, ready, fake, tmp_path):
    """The value is the one line of the file, without its line end; `-` is stdin."""
    (tmp_path / "value").write_text("from-file\r\n")
    arguments = ["keys", "regenerate", "diabetes", "--slot", "Secondary"]
    assert scoregate(*arguments, "--value-file", "value").exit_code == 0
    assert fake.seen[-1].document == {"value": "from-file"}
    assert scoregate(*arguments, "--value-file", "-", stdin="from-stdin\n").exit_code == 0
    assert fake.keys["diabetes"]["secondary"] == "from-stdin"


@pytest.mark.parametrize("content", ["", "two\nlines\n"])
def test_a_value_file_holds_one_line(scoregate, ready, tmp_path, content):
    """An empty file or several lines are no key; the content is not repeated."""
    (tmp_path / "value").write_text(content)
    result = scoregate("keys", "regenerate", "diabetes", "--slot", "primary", "--value-file", "value")
    assert result.exit_code == 2
    assert "one line" in result.stderr
    assert "two" not in result.stderr


def test_the_slot_is_never_guessed(scoregate, ready, fake):
    """Without --slot no key is replaced, and the line names the two."""
    result = scoregate("keys", "regenerate", "diabetes")
    assert (result.exit_code, fake.requests("POST", "/regenerate")) == (2, [])
    assert result.stderr == (
        "scoregate: Missing option '--slot'. Choose from: primary, secondary. See 'scoregate keys regenerate --help'.\n"
    )


def test_the_answer_is_in_plain_words(scoregate, ready):
    """Below the table: what the gateway says about regenerating each slot; a key in its grace has its own line."""
    lines = scoregate("keys", "show", "diabetes").stdout.splitlines()
    assert lines[0].split("  ")[0] == "SLOT"
    before = next(line for line in lines if line.startswith("primary, before"))
    assert before.split()[2:4] == ["-", "k0"]
    assert lines[-2:] == ["primary: what the gateway says", "secondary: what the gateway says"]


def test_what_is_not_shown_is_said(scoregate, ready, fake):
    """With `reveal_keys: never`, or the role of a reader: how the keys are used, and that they are not shown."""
    fake.reveals_keys = False
    result = scoregate("keys", "show", "diabetes")
    assert result.exit_code == 0
    assert "diabetes-primary-value" not in result.stdout
    assert result.stdout.splitlines()[-1] == "The keys themselves are not shown to you by this gateway."
    answer = json.loads(scoregate("keys", "show", "diabetes", "-o", "json").stdout)
    assert (answer["primary_key"], answer["slots"]["primary"]["uses_24h"]) == (None, 5)


def test_grace_and_end_are_passed_on(scoregate, ready, fake):
    """As they are given; what is left out is left to the configuration of the service."""
    arguments = ["keys", "regenerate", "diabetes", "--slot", "primary"]
    scoregate(*arguments, "--grace-seconds", "0", "--expires-at", "2027-01-31T00:00:00Z")
    assert fake.seen[-1].document == {"grace_seconds": 0, "expires_at": "2027-01-31T00:00:00Z"}
    scoregate(*arguments)
    assert fake.seen[-1].document == {}


@pytest.mark.parametrize(("at", "sent"), [("2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"), ("never", None)])
def test_expire(scoregate, ready, fake, at, sent):
    """The end of a key is set, or taken away."""
    result = scoregate("keys", "expire", "diabetes", "--slot", "secondary", "--at", at, "-o", "json")
    assert fake.seen[-1].document == {"expires_at": sent}
    assert json.loads(result.stdout)["expires_at"] == sent


def test_the_master_key(scoregate, ready):
    """Which file is needed before, what to do; what was done; which file may be deleted then."""
    shown = scoregate("keys", "master-key").stdout.splitlines()
    assert [line.split()[0] for line in shown[1:3]] == ["m2", "m1"]
    assert shown[2].endswith("still needed")
    assert shown[-1] == "Run `scoregate keys rewrap`: then the previous files are needed no more."
    done = scoregate("keys", "rewrap").stdout.splitlines()
    assert done[0] == "1 data key wrapped anew by m2 (/etc/new.key)."
    assert done[-1].endswith("may be deleted")
    assert scoregate("keys", "rewrap").stdout.startswith("0 data keys wrapped anew")
    assert scoregate("keys", "master-key").stdout.splitlines()[-1].endswith("may be deleted")
