"""gateway.config.read, complete and later: what comes out of a sound configuration."""

from pathlib import Path

import pytest

from gateway.config import ConfigErrors, Place, load, serve_backend
from gateway.config.later import LATER
from gateway.config.shape import type_at
from gateway.core.settings import Settings

SERVICE = "services:\n  abc:\n    backends: [http://127.0.0.1:5001]\n"


def loaded_from(folder, text, environ=None):
    """What a text in `folder`/etc/gateway.yaml loads as."""
    file = folder / "etc" / "gateway.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return load(file, environ or {})


def test_names_left_out_are_found_in_the_data_folder(tmp_path):
    """Certificate, key, token, master key and store stand in data_dir, which starts at the file's folder."""
    settings = loaded_from(tmp_path, "data_dir: ../data\n").settings
    data = tmp_path / "data"
    assert settings.data_dir == data
    assert (settings.scoring.tls.certificate, settings.scoring.tls.private_key) == (
        data / "tls/server.crt",
        data / "tls/server.key",
    )
    assert settings.admin.tls == "inherit"
    assert settings.admin.token_file == data / "admin-token"
    assert settings.store.master_key_file == data / "master.key"
    assert settings.store.url == f"sqlite:///{data}/gateway.db"
    assert settings.batch.storage is None
    assert settings.logging.access_log == "stdout"


def test_relative_paths_start_at_the_file(tmp_path):
    """Every key that names a file is relative to the configuration, and absolute paths and URLs stay."""
    settings = loaded_from(
        tmp_path,
        """
scoring:
  tls:
    {certificate: a.crt, private_key: a.key, client_ca: ca.crt, extra: [{certificate: b.crt, private_key: /b.key}]}
admin: {token_file: token, tls: {certificate: c.crt, private_key: c.key}}
store: {url: 'sqlite:///x.db', master_key_file: m, previous_master_key_files: [n]}
batch: {storage: jobs}
logging: {access_log: a.log}
services:
  abc:
    backends: [https://h]
    backend_tls: {ca: ca2.crt, client_certificate: d.crt, client_key: ../d.key}
""",
    ).settings
    etc = tmp_path / "etc"
    tls = settings.scoring.tls
    assert (tls.certificate, tls.private_key, tls.client_ca) == (etc / "a.crt", etc / "a.key", etc / "ca.crt")
    assert (tls.extra[0].certificate, tls.extra[0].private_key) == (etc / "b.crt", Path("/b.key"))
    assert (settings.admin.token_file, settings.admin.tls.certificate) == (etc / "token", etc / "c.crt")
    assert settings.store.url == f"sqlite:///{etc}/x.db"
    assert (settings.store.master_key_file, settings.store.previous_master_key_files) == (etc / "m", (etc / "n",))
    assert (settings.batch.storage, settings.logging.access_log) == (str(etc / "jobs"), str(etc / "a.log"))
    backend_tls = settings.services["abc"].backend_tls
    assert (backend_tls.ca, backend_tls.client_key) == (str(etc / "ca2.crt"), str(tmp_path / "d.key"))


@pytest.mark.parametrize("url", ["sqlite:////abs/x.db", "sqlite:///:memory:", "postgresql://u@h/d"])
def test_store_urls_that_name_no_relative_file_stay(tmp_path, url):
    """Only a relative SQLite file is made absolute."""
    assert loaded_from(tmp_path, f"store: {{url: '{url}'}}").settings.store.url == url


@pytest.mark.parametrize("storage", ["az://container/prefix", "s3://bucket/prefix"])
def test_storage_elsewhere_is_no_path(tmp_path, storage):
    """A bucket is not taken for a folder."""
    assert loaded_from(tmp_path, f"batch: {{storage: '{storage}'}}").settings.batch.storage == storage


def test_links_are_not_followed(tmp_path):
    """A Kubernetes Secret is swapped behind its link: the settings name the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/tls").symlink_to(tmp_path / "real")
    settings = loaded_from(tmp_path, "scoring: {tls: {certificate: tls/a.crt, private_key: tls/a.key}}").settings
    assert settings.scoring.tls.certificate == tmp_path / "etc/tls/a.crt"


def test_services_know_their_lines(tmp_path):
    """The admin API can answer with file and line of a service that belongs to the file."""
    loaded = loaded_from(tmp_path, "\n" + SERVICE + "  abd: {backends: [http://h]}\n")
    file = str(tmp_path / "etc/gateway.yaml")
    assert {name: str(place) for name, place in loaded.places.items()} == {"abc": f"{file}:3", "abd": f"{file}:5"}
    assert loaded.path == Path(file)


def test_a_quiet_configuration_has_no_warnings(tmp_path):
    """Defaults, and a service with a key, warn of nothing (the control of the tests below)."""
    assert loaded_from(tmp_path, SERVICE).warnings == ()


def test_an_open_service_is_warned_of(tmp_path):
    """Neither key nor token: a warning with file and line; ACI alone is enough to open it."""
    warnings = loaded_from(tmp_path, SERVICE + "    compute_type: ACI\n").warnings
    assert len(warnings) == 1
    assert (
        "gateway.yaml:2: services.abc: opens for anyone: auth_enabled and token_auth_enabled are both off"
        in warnings[0]
    )


def test_a_key_in_the_file_is_warned_of(tmp_path):
    """A key in clear text works, and is told without being shown."""
    warnings = loaded_from(tmp_path, SERVICE + "    keys: {primary: hunter2, secondary: env:B}\n", {"B": "b"}).warnings
    assert len(warnings) == 1
    assert "gateway.yaml:4: services.abc.keys.primary: a key stands in the file itself; keep it outside" in warnings[0]
    assert "hunter2" not in warnings[0]


def test_keys_without_effect_are_named(tmp_path):
    """A key that this release reads and does not obey is told with its line, once for each place."""
    warnings = loaded_from(
        tmp_path,
        "batch:\n  runners: 2\nscoring:\n  max_connections: 5\n"
        "services:\n  abc:\n    backends: [http://h]\n    example: {age: 3}\n  abd:\n    backends: [http://h]\n"
        "    schema: {type: object}\n",
        {"SCOREGATE__BATCH__KEEP_DAYS": "3"},
    ).warnings
    told = [warning.rpartition("/")[2].partition(" in this")[0] for warning in warnings]
    assert sorted(told) == [
        "environment: SCOREGATE__BATCH__KEEP_DAYS: has no effect",
        "gateway.yaml:11: services.abd.schema: has no effect",
        "gateway.yaml:2: batch.runners: has no effect",
        "gateway.yaml:8: services.abc.example: has no effect",
    ]


def test_a_default_written_out_is_no_wish(tmp_path):
    """Writing a default of a later key down asks for nothing new."""
    assert loaded_from(tmp_path, SERVICE + "    retry: {attempts: 2}\nbatch: {runners: 1}\n").warnings == ()


@pytest.mark.parametrize("pattern", list(LATER))
def test_the_table_of_later_keys_names_real_keys(pattern):
    """A key renamed in core must be renamed in the table."""
    assert type_at(tuple(pattern.split("."))) is not None


def test_control_an_unknown_key_has_no_type():
    """type_at tells known from unknown, so that the test above can fail."""
    assert type_at(("services", "*", "no_such_key")) is None
    assert type_at(("scoring", "listen", "deeper")) is None


def test_one_backend_needs_no_file(tmp_path, monkeypatch):
    """`serve --backend URL`: key and token on, loopback only, data in ./var, and the default name."""
    monkeypatch.chdir(tmp_path)
    loaded = serve_backend("http://127.0.0.1:5001/", None, {})
    settings = loaded.settings
    assert settings.data_dir == tmp_path / "var"
    assert (settings.scoring.listen, settings.admin.listen, settings.metrics.listen) == (
        "127.0.0.1:8443",
        "127.0.0.1:8444",
        "127.0.0.1:9464",
    )
    spec = settings.services["model"]
    assert spec.backends == ("http://127.0.0.1:5001",)
    assert spec.key_auth
    assert spec.token_auth
    assert loaded.places == {"model": Place("command line")}
    assert (loaded.path, loaded.warnings) == (None, ())


def test_one_backend_obeys_the_environment():
    """Ports can be moved without a file."""
    settings = serve_backend("http://h", "iris", {"SCOREGATE__SCORING__LISTEN": "127.0.0.1:0"}).settings
    assert settings.scoring.listen == "127.0.0.1:0"
    assert list(settings.services) == ["iris"]


@pytest.mark.parametrize(
    ("url", "name", "error"),
    [
        ("127.0.0.1:5001", None, "--backend: '127.0.0.1:5001' is no http:// or https:// URL with a host, such as"),
        ("http://h/score", None, "--backend: 'http://h/score' must end after host and port"),
        ("http://h", "My Model", "--name: as a name: expected a name of lowercase letters, digits and inner hyphens"),
        ("http://h", "ab", "--name: as a name: expected at least 3 characters, got the text 'ab'"),
    ],
)
def test_a_wrong_option_is_named(url, name, error):
    """Without a file the option is what a person can mend."""
    with pytest.raises(ConfigErrors) as caught:
        serve_backend(url, name, {})
    assert str(caught.value).startswith(f"command line: {error}")
    assert len(caught.value.errors) == 1


def test_no_file_is_a_gateway_without_services(tmp_path, monkeypatch):
    """Everything at its default, services to be made by the admin API, data in ./var."""
    monkeypatch.chdir(tmp_path)
    loaded = load(None, {})
    assert loaded.settings.data_dir == tmp_path / "var"
    assert loaded.settings.scoring.listen == Settings().scoring.listen
    assert loaded.settings.services == {}


def test_ten_thousand_services_load(tmp_path):
    """A large fleet in one file is read whole, each service with its own line."""
    block = "  svc-{0}:\n    backends: [http://10.0.0.1:5001]\n"
    loaded = loaded_from(tmp_path, "services:\n" + "".join(block.format(number) for number in range(10_000)))
    assert len(loaded.settings.services) == 10_000
    assert loaded.places["svc-9999"].line == 2 + 2 * 9_999
