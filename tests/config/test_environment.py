"""gateway.config.environment: variables over the file, and values that are kept elsewhere."""

from pathlib import Path

import pytest

from gateway.config import ConfigErrors, load
from gateway.config.environment import variable
from gateway.config.shape import scalars
from gateway.core.settings import TlsSettings

SERVICE = "services:\n  abc:\n    backends: [http://127.0.0.1:5001]\n"


@pytest.fixture
def written(tmp_path):
    """A function that writes gateway.yaml and loads it under an environment."""

    def load_text(text, environ=None):
        file = tmp_path / "gateway.yaml"
        file.write_text(text)
        return load(file, environ or {}).settings

    return load_text


def refusal(written, text, environ):
    """The errors, as text, of a configuration that must not load."""
    with pytest.raises(ConfigErrors) as caught:
        written(text, environ)
    return str(caught.value)


def test_variables_win_over_the_file(written):
    """Text, number, boolean and null are set from the environment, whatever the file says."""
    settings = written(
        "scoring: {listen: 127.0.0.1:1, tls: {minimum_version: '1.3'}}\nbatch: {storage: elsewhere}\n"
        "admin: {oidc: {issuer: 'https://id.example', audience: scoregate, roles: {caller: [ml]}}}\n",
        {
            "SCOREGATE__SCORING__LISTEN": "[::]:8443",
            "SCOREGATE__SCORING__MAX_CONNECTIONS": "5",
            "SCOREGATE__SCORING__WORKERS": "auto",
            "SCOREGATE__SCORING__TLS__MINIMUM_VERSION": "1.2",
            "SCOREGATE__TOKENS__EXCHANGE": "true",
            "SCOREGATE__BATCH__STORAGE": "null",
            "SCOREGATE__LOGGING__ACCESS_LOG": "",
            "SCOREGATE__TOKENS__ISSUER": "12345",
        },
    )
    assert settings.scoring.listen == "[::]:8443"
    assert settings.scoring.max_connections == 5
    assert settings.scoring.tls.minimum_version == "1.2"
    assert settings.tokens.exchange is True
    assert settings.batch.storage is None
    assert settings.logging.access_log is None
    assert settings.tokens.issuer == "12345"


def test_a_variable_makes_the_block_it_needs(written):
    """A block the file leaves out appears, even where its default is a word (admin.tls: inherit)."""
    settings = written("", {"SCOREGATE__ADMIN__TLS__MAXIMUM_VERSION": "1.2", "SCOREGATE__DATA_DIR": "/data"})
    assert isinstance(settings.admin.tls, TlsSettings)
    assert settings.admin.tls.maximum_version == "1.2"
    assert settings.data_dir == Path("/data")


def test_tls_can_be_switched_off_by_a_variable(written):
    """A block that may be null takes null from the environment."""
    assert written("", {"SCOREGATE__SCORING__TLS": "null"}).scoring.tls is None


def test_other_variables_are_no_business_of_the_file(written):
    """SCOREGATE_ADMIN_URL, one underscore, belongs to the command line."""
    written("", {"SCOREGATE_ADMIN_URL": "https://h", "SCOREGATE_SCORING": "x", "HOME": "/"})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SCOREGATE__SCORING__LISTN", "x", "unknown variable; did you mean SCOREGATE__SCORING__LISTEN?"),
        ("SCOREGATE__scoring__listen", "x", "unknown variable; did you mean SCOREGATE__SCORING__LISTEN?"),
        ("SCOREGATE__QUUX", "x", "unknown variable; scoregate config schema lists the keys"),
        (
            "SCOREGATE__SCORING__TRUSTED_PROXIES",
            "[]",
            "scoring.trusted_proxies is a list or a block; set it in the file",
        ),
        ("SCOREGATE__SCORING", "{}", "scoring is a list or a block; set it in the file"),
        ("SCOREGATE__SERVICES__ABC__KEYS", "x", "services are set in the file only; for their keys write env:NAME"),
        ("SCOREGATE__SCORING__MAX_CONNECTIONS", "many", "expected a whole number, got the text 'many'"),
        ("SCOREGATE__SCORING__MAX_CONNECTIONS", "-1", "expected a number of at least 1, got the number -1"),
        ("SCOREGATE__SCORING__LISTEN", "here", "'here' is no address:port such as 0.0.0.0:8443 or [::]:8443"),
        ("SCOREGATE__SCORING__TLS", "off", "expected a block of keys, got the text 'off'"),
        ("SCOREGATE__DATA_DIR", "\udcff", "is not UTF-8"),
        ("SCOREGATE__ADMIN__LISTEN", "127.0.0.1:8443", "127.0.0.1:8443 is taken by scoring.listen"),
        ("SCOREGATE__STORE__URL", "env:NOPE", "the environment variable NOPE is not set"),
    ],
)
def test_a_wrong_variable_is_named(written, name, value, reason):
    """File `environment`, the variable's name, and what to do, for every kind of mistake in a variable."""
    assert refusal(written, "", {name: value}).startswith(f"environment: {name}: {reason}")


def test_a_variable_cannot_reach_into_a_block_that_is_switched_off(written):
    """`tls: null` in the file and a TLS variable contradict each other: the file's line is named."""
    text = refusal(written, "scoring:\n  tls: null\n", {"SCOREGATE__SCORING__TLS__MINIMUM_VERSION": "1.2"})
    assert text.startswith("environment: SCOREGATE__SCORING__TLS__MINIMUM_VERSION: ")
    assert "gateway.yaml:2 gives scoring.tls no block of keys to set this in" in text


def test_every_single_value_outside_services_has_a_variable():
    """The variables follow from the dataclasses: none is forgotten, none is a list."""
    names = {variable(path) for path, _ in scalars()}
    assert {"SCOREGATE__DATA_DIR", "SCOREGATE__SCORING__LISTEN", "SCOREGATE__ADMIN__OIDC__ISSUER"} <= names
    assert "SCOREGATE__SCORING__TLS__EXTRA" not in names
    assert not [name for name in names if name.startswith("SCOREGATE__SERVICES")]


def test_keys_come_from_variable_and_file(written, tmp_path):
    """`env:` and `file:` give the values; a trailing newline, as editors and `echo` leave one, is no part of them."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/second.key").write_text("second-key\n")
    settings = written(
        SERVICE + "    keys: {primary: env:FIRST, secondary: file:secrets/second.key}\n", {"FIRST": "first-key\n"}
    )
    assert (settings.services["abc"].keys.primary, settings.services["abc"].keys.secondary) == (
        "first-key",
        "second-key",
    )


def test_any_text_may_come_from_elsewhere(written, tmp_path):
    """The store's URL, a header for the model, an item of a list."""
    (tmp_path / "url").write_text("postgresql://gate:pw@db/gate")
    settings = written(
        "store: {url: file:url}\nservices:\n  abc:\n    backends: [env:MODEL]\n"
        "    request_headers: {set: {x-api-key: env:MODEL_KEY}}\n",
        {"MODEL": "http://model:5001", "MODEL_KEY": "k"},
    )
    assert settings.store.url == "postgresql://gate:pw@db/gate"
    assert settings.services["abc"].backends == ("http://model:5001",)
    assert settings.services["abc"].request_headers.set == {"x-api-key": "k"}


def test_words_for_people_are_taken_as_they_stand(written):
    """A description, a tag or an example that begins with `env:` is no reference."""
    spec = written(
        SERVICE + "    description: 'env:X'\n    tags: {a: 'file:y'}\n    example: {b: ['env:Z']}\n"
    ).services["abc"]
    assert (spec.description, spec.tags, spec.example) == ("env:X", {"a": "file:y"}, {"b": ["env:Z"]})


@pytest.mark.parametrize(
    ("value", "environ", "reason"),
    [
        ("env:EMPTY", {"EMPTY": "\n"}, "the environment variable EMPTY is empty"),
        ("env:BROKEN", {"BROKEN": "\udcff"}, "the environment variable BROKEN is not UTF-8"),
        ("file:empty", {}, "empty is empty"),
        ("file:binary", {}, "binary is not UTF-8"),
        ("file:giant", {}, "giant has more than 65536 bytes; is it the right one?"),
        ('"file:a\\0b"', {}, "file: takes the name of a file"),
    ],
)
def test_a_reference_that_gives_nothing_is_named(written, tmp_path, value, environ, reason):
    """Empty, broken and oversized sources are told by name, at the key's line."""
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "giant").write_text("x" * 70_000)
    text = refusal(written, SERVICE + f"    keys:\n      primary: {value}\n      secondary: other\n", environ)
    assert f"gateway.yaml:5: services.abc.keys.primary: {'the file ' if 'file:' in value[:5] else ''}" in text
    assert reason in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "block",
    [
        "    keys: {primary: env:SECRET, secondary: b}\n",
        "    keys: {primary: 'hunter2 x', secondary: b}\n",
        "    keys: hunter2\n",
        "    keys: {primary: [hunter2], secondary: b}\n",
        "    backends: [env:SECRET]\n",
        "    hosts: [env:SECRET]\n",
        "    allowed_ips: [env:SECRET]\n",
        "    load_balancer: env:SECRET\n",
        "    max_queue_length: env:SECRET\n",
        '    request_headers: {set: {x-key: "hunter2\\x01"}}\n',
        "    cors: {allowed_origins: [env:SECRET]}\n",
        "    health: {path: 'http://user:hunter2@h'}\n",
        "    scoring_path: 'http://user:hunter2@h'\n",
        "    classic: {workspace: env:SECRET, endpoints: {}}\n",
        "    classic: {workspace: x, endpoints: {e: {id: x, keys: {primary: hunter2 x, secondary: b}}}}\n",
        "store: {url: [hunter2], shared_limits: 'x://:hunter2@h'}\n",
        "scoring: {public_url: 'ftp://user:hunter2@h'}\n",
        'a: "hunter2\n',
        "a: b: hunter2\n",
        "a: 'hunter2' hunter2\n",
    ],
)
def test_no_error_shows_a_secret(written, block):
    """Whatever is wrong with a key, a password in a URL or a value from elsewhere, its text stays out."""
    text = refusal(
        written, SERVICE.replace("backends", "description: x\n    backends") + block, {"SECRET": "hunter2 x"}
    )
    assert "hunter2" not in text


def test_control_a_value_that_is_no_secret_is_shown(written):
    """The same mistake outside the secret keys quotes the value, so that the test above can fail."""
    assert "hunter2" in refusal(written, SERVICE + "    load_balancer: hunter2\n", {})


def test_what_was_loaded_does_not_show_keys_in_its_repr(tmp_path):
    """A Loaded in a traceback or a log line holds no key."""
    file = tmp_path / "gateway.yaml"
    file.write_text(
        SERVICE + "    keys: {primary: hunter2, secondary: hunter3}\nstore: {url: 'postgresql://u:hunter4@h/d'}\n"
    )
    loaded = load(file, {})
    assert loaded.settings.services["abc"].keys.primary == "hunter2"
    assert "hunter" not in repr(loaded)
    assert "hunter" not in " ".join(loaded.warnings)
