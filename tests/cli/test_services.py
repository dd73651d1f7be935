"""`services`, through the command line against a gateway on real sockets."""

import json

import pytest
import yaml


def test_list_for_people(scoregate, ready, fake):
    """One line a service under headings, all pages, nothing cut."""
    for name in ("aaa", "bbb", "ccc"):
        fake.add(name)
    result = scoregate("services", "list")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split()[:2] == ["NAME", "STATE"]
    assert [line.split()[0] for line in lines[1:]] == ["aaa", "bbb", "ccc", "diabetes"]
    assert lines[4].endswith(fake.services["diabetes"]["scoring_uri"])


def test_list_as_the_operation_answers(scoregate, ready, fake):
    """-o json and -o yaml print {"value": […]} of all pages; --tag narrows it."""
    fake.add("aaa", tags={"team": "risk"})
    both = json.loads(scoregate("services", "list", "-o", "json").stdout)
    one = yaml.safe_load(scoregate("services", "list", "-o", "yaml", "--tag", "team=risk").stdout)
    assert both == {"value": [fake.services["aaa"], fake.services["diabetes"]]}
    assert one == {"value": [fake.services["aaa"]]}


def test_show(scoregate, ready, fake):
    """The service as the operation answers it, or a line a field."""
    assert json.loads(scoregate("services", "show", "diabetes", "-o", "json").stdout) == fake.services["diabetes"]
    assert "auth_enabled        yes" in scoregate("services", "show", "diabetes").stdout


def test_create(scoregate, ready, fake, tmp_path):
    """File, single keys and backends make one block; values are read as YAML, dots lead inwards."""
    (tmp_path / "block.yaml").write_text("description: from the file\nmax_queue_length: 5\n")
    settings = ["--set", "max_queue_length=9", "--set", "health.path=/live", "--set", "hosts=[a.example]"]
    backends = ["--backend", "http://127.0.0.1:5002"]
    result = scoregate("services", "create", "fresh", "--file", "block.yaml", *settings, *backends)
    assert (result.exit_code, result.stderr) == (0, "")
    assert fake.requests("PUT", "/fresh")[0].document == {
        "description": "from the file",
        "max_queue_length": 9,
        "health": {"path": "/live"},
        "hosts": ["a.example"],
        "backends": ["http://127.0.0.1:5002"],
    }


def test_create_from_stdin(scoregate, ready, fake):
    """`--file -` reads the block from stdin, also as JSON."""
    block = {"backends": ["http://127.0.0.1:5002"], "keys": {"primary": "a" * 20, "secondary": "b" * 20}}
    assert scoregate("services", "create", "fresh", "-f", "-", stdin=json.dumps(block)).exit_code == 0
    assert fake.requests("PUT", "/fresh")[0].document == block


def test_create_does_not_replace_unasked(scoregate, ready, fake):
    """A service that exists is kept unless --replace is given."""
    arguments = ["services", "create", "diabetes", "--backend", "http://127.0.0.1:5002"]
    result = scoregate(*arguments)
    assert (result.exit_code, fake.requests("PUT", "/diabetes")) == (1, [])
    assert "Service diabetes exists" in result.stderr
    assert scoregate(*arguments, "--replace").exit_code == 0


def test_update(scoregate, ready, fake):
    """Only what is named is sent; null takes a key back to its default."""
    arguments = ["--set", "description=a: b", "--set", "cors=null", "--set", "tags.team=risk"]
    assert scoregate("services", "update", "diabetes", *arguments).exit_code == 0
    assert fake.requests("PATCH", "/diabetes")[0].document == {
        "description": "a: b",
        "cors": None,
        "tags": {"team": "risk"},
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Nothing is given"),
        (["--set", "description"], "--set wants KEY=VALUE"),
        (["--set", "keys.primary=sesame"], "put them into --file"),
        (["--set", "tags=a", "--set", "tags.b=c"], "tags has no keys of its own"),
    ],
)
def test_update_used_wrongly(scoregate, ready, fake, arguments, text):
    """Wrong usage is exit code 2 with one line; a key value on the command line is refused and not repeated."""
    result = scoregate("services", "update", "diabetes", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "sesame" not in result.stderr
    assert fake.requests("PATCH", "/diabetes") == []


def test_a_block_that_is_no_yaml(scoregate, ready, tmp_path):
    """The line of the mistake is named."""
    (tmp_path / "block.yaml").write_text("description: x\n\tbad: y\n")
    result = scoregate("services", "update", "diabetes", "--file", "block.yaml")
    assert result.exit_code == 1
    assert "block.yaml:2" in result.stderr


def test_delete_wants_a_yes(scoregate, ready, fake):
    """Without a terminal to ask at and without --yes nothing is deleted."""
    result = scoregate("services", "delete", "diabetes")
    assert (result.exit_code, "diabetes" in fake.services) == (2, True)
    assert "--yes" in result.stderr
    result = scoregate("services", "delete", "diabetes", "--yes")
    assert (result.exit_code, result.stdout, "diabetes" in fake.services) == (0, "", False)


def test_errors_of_the_gateway_reach_the_person(scoregate, ready, fake):
    """A 400 names each path and reason."""
    result = scoregate("services", "create", "fresh", "--set", "backend=x")
    assert result.exit_code == 1
    assert "[backend: unknown key; did you mean backends?]" in result.stderr
