"""`keys` and `token`: the answers, and where secrets go and do not go."""

import json

import pytest


def test_show_keys(scoregate, ready):
    """Both keys with their last use; the JSON is the operation's answer."""
    lines = scoregate("keys", "show", "diabetes").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
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


def test_no_option_takes_a_secret(scoregate):
    """There is no way to write a key value or an admin token into argv."""
    for command in (["keys", "regenerate"], ["services", "create"], ["token", "issue"], ["score"]):
        help_text = scoregate(*command, "--help").stdout
        options = {word.rstrip(",") for word in help_text.split() if word.startswith("--")}
        assert options
        assert not options & {"--value", "--key", "--token", "--secret", "--password", "--credential"}


def test_the_slot_is_never_guessed(scoregate, ready, fake):
    """Without --slot no key is replaced, and the line names the two."""
    result = scoregate("keys", "regenerate", "diabetes")
    assert (result.exit_code, fake.requests("POST", "/regenerate")) == (2, [])
    assert result.stderr == (
        "scoregate: Missing option '--slot'. Choose from: primary, secondary. See 'scoregate keys regenerate --help'.\n"
    )


def test_issue_a_token(scoregate, ready, fake):
    """Verbs and lifetime are passed on; the token opens the service."""
    arguments = ["--verb", "score", "--verb", "batch", "--lifetime-seconds", "600", "-o", "json"]
    answer = json.loads(scoregate("token", "issue", "diabetes", *arguments).stdout)
    assert fake.seen[-1].document == {"verbs": ["score", "batch"], "lifetime_seconds": 600}
    assert answer["token"] in fake.tokens
    assert {"token_type", "refresh_by", "expires_at"} < answer.keys()


def test_secrets_are_printed_only_where_asked(scoregate, ready, fake):
    """Neither listing, showing, scoring nor status prints a key or the admin token; the control: `keys show` does."""
    quiet = [
        ["services", "list"],
        ["services", "show", "diabetes", "-o", "json"],
        ["status"],
        ["score", "diabetes", "--data", '{"data": []}'],
        ["services", "show", "nobody"],
        ["doctor"],
    ]
    printed = "".join((result := scoregate(*command)).stdout + result.stderr for command in quiet)
    asked = scoregate("keys", "show", "diabetes").stdout
    assert "diabetes-primary-value" in asked
    assert "diabetes-primary-value" not in printed
    assert "admin-token-of-the-fake" not in printed + asked
