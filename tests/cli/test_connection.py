"""Which gateway is meant, the exit codes, and how errors look."""

import json
import socket

import pytest

from gateway.cli.connection import find


def free_url():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{found.getsockname()[1]}"


def test_by_options(scoregate, fake, token_file):
    """Address, token file and CA by options."""
    options = ["--admin-url", fake.admin_url, "--token-file", token_file, "--ca-file", fake.ca_file]
    assert scoregate("services", "list", *options).exit_code == 0


@pytest.mark.parametrize("variable", ["SCOREGATE_ADMIN_TOKEN_FILE", "SCOREGATE_TOKEN_FILE"])
def test_by_environment(scoregate, fake, token_file, monkeypatch, variable):
    """The same by variables, under both names of the token file."""
    monkeypatch.setenv("SCOREGATE_ADMIN_URL", fake.admin_url)
    monkeypatch.setenv(variable, str(token_file))
    monkeypatch.setenv("SCOREGATE_CA_FILE", fake.ca_file)
    assert scoregate("services", "list").exit_code == 0


def test_options_go_before_environment_and_environment_before_the_ready_file(ready, fake, token_file):
    """The nearer wins; a URL from elsewhere never gets the token or the CA of the ready file."""
    environ = {"SCOREGATE_ADMIN_URL": "https://env.example", "SCOREGATE_ADMIN_TOKEN": "of-env"}
    assert find({}, ready).admin_url == fake.admin_url
    by_environment = find(environ, ready)
    assert (by_environment.admin_url, by_environment.credential, by_environment.ca_file) == (
        "https://env.example",
        "of-env",
        None,
    )
    by_option = find(environ, ready, admin_url="https://option.example", token_file=token_file)
    assert (by_option.admin_url, by_option.credential) == ("https://option.example", "admin-token-of-the-fake")
    assert find({}, ready, ca_file=token_file).ca_file == str(token_file)


def test_a_url_without_a_token_is_not_given_the_one_of_the_ready_file(scoregate, ready, fake):
    """--admin-url alone is refused: nothing is sent with another gateway's token."""
    result = scoregate("services", "list", "--admin-url", fake.admin_url)
    assert (result.exit_code, fake.seen) == (3, [])
    assert "No admin credential" in result.stderr


def test_no_gateway(scoregate):
    """With no gateway named, one line says the three ways to name one."""
    result = scoregate("services", "list")
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 1
    assert all(way in result.stderr for way in ("scoregate demo", "--admin-url", "SCOREGATE_ADMIN_URL"))


def test_exit_codes(scoregate, ready, fake, token_file, tmp_path):
    """Each kind of failure has its documented code and one line on stderr."""
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong-secret")
    down = ["--admin-url", free_url(), "--token-file", token_file, "--ca-file", fake.ca_file]
    expected = {
        0: ["services", "show", "diabetes"],
        1: ["score", "diabetes", "--data", "{"],
        2: ["services", "shew", "diabetes"],
        3: ["services", "list", *down],
        4: ["services", "show", "nobody"],
        5: ["services", "list", "--token-file", wrong],
    }
    results = {code: scoregate(*command) for code, command in expected.items()}
    assert {code: result.exit_code for code, result in results.items()} == {code: code for code in expected}
    for code, result in results.items():
        assert len(result.stderr.splitlines()) == (1 if code else 0)
        assert "wrong-secret" not in result.stderr


def test_a_wrong_ca_says_what_to_give(scoregate, ready, other_authority):
    """The line names the CA that was tried and the option that mends it."""
    result = scoregate("services", "list", "--ca-file", other_authority)
    assert result.exit_code == 3
    assert f"not signed by the CA in {other_authority}" in result.stderr
    assert "--ca-file" in result.stderr


def test_wrong_usage_points_to_help(scoregate, ready):
    """An unknown command offers the nearest and the help; an unknown option too is one line."""
    assert scoregate("services", "lst").stderr == (
        "scoregate: No such command 'lst'. Did you mean 'list'? See 'scoregate services --help'.\n"
    )
    result = scoregate("services", "list", "--jsn")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_output_is_plain(scoregate, ready):
    """No escape sequences, with and without NO_COLOR."""
    assert "\x1b" not in scoregate("services", "list").stdout + scoregate("--help").stdout


def test_json_stays_utf8(scoregate, ready, fake):
    """Words in any script are printed as they are; control characters never reach the terminal in a table."""
    fake.services["diabetes"]["description"] = "Zürich \x1b[31m"
    assert "Zürich" in scoregate("services", "show", "diabetes", "-o", "json").stdout
    table = scoregate("services", "show", "diabetes").stdout
    assert "Zürich ?[31m" in table
    assert json.loads(scoregate("services", "show", "diabetes", "-o", "json").stdout)["description"].endswith("[31m")
