"""gateway.config.show: what `scoregate check` prints."""

from gateway.config import load, show


def shown(folder, text, environ=None):
    """The text for a configuration, paths shortened to the folder's name."""
    file = folder / "gateway.yaml"
    file.write_text(text)
    return show(load(file, environ or {})).replace(str(folder), "…")


def test_everything_that_would_be_served_is_told(tmp_path):
    """Listeners, files and each service with door, backends, limits, CORS, ranges and hosts."""
    text = shown(
        tmp_path,
        """data_dir: var
scoring: {listen: 127.0.0.1:0, workers: 2}
admin: {tls: null}
services:
  diabetes:
    backends: [http://127.0.0.1:5001, http://127.0.0.1:5002]
    token_auth_enabled: true
    max_concurrent_requests_per_container: null
    hosts: [models.example.com]
    allowed_ips: [10.0.0.0/8]
    cors: {allowed_origins: [https://app.example.com]}
    rate_limits: [{name: steady, requests: 100, per_seconds: 1, burst: 200, partition: credential}]
  open:
    backends: [http://h]
    auth_enabled: false
""",
    )
    assert (
        text
        == """\
scoring   https://127.0.0.1:0   workers: 2
          TLS 1.2 to 1.3, certificate …/var/tls/server.crt, key …/var/tls/server.key
admin     http://127.0.0.1:8444   token in …/var/admin-token
metrics   http://127.0.0.1:9464/metrics
store     sqlite:///…/var/gateway.db   master key in …/var/master.key

service diabetes  (…/gateway.yaml:5)
  path      /api/v1/service/diabetes/score, at the backend /score
  opens     with a key or a token
  backends  http://127.0.0.1:5001, http://127.0.0.1:5002
  limits    no limit per container, queue 1000 for 500 ms, 60000 ms in all, 104857600 bytes
  rate      steady: 100 in 1 s, 200 at once, per credential
  cors      https://app.example.com
  only from 10.0.0.0/8
  hosts     models.example.com

service open  (…/gateway.yaml:13)
  path      /api/v1/service/open/score, at the backend /score
  opens     for anyone
  backends  http://h
  limits    1 at once per container, queue 1000 for 500 ms, 60000 ms in all, 104857600 bytes
"""
    )


def test_blocks_of_their_own_and_deployments_are_told(tmp_path):
    """An admin certificate, a single TLS version, deployments with their share, and a gateway without services."""
    text = shown(
        tmp_path,
        "scoring: {tls: {maximum_version: '1.2'}}\nadmin: {tls: {certificate: a.crt, private_key: a.key}}\n"
        "services: {abc: {deployments: {blue: {backends: [http://b], traffic: 90}, green: {backends: [http://g], "
        "traffic: 10}}}}",
    )
    assert "TLS 1.2, certificate " in text
    assert "          TLS 1.2 to 1.3, certificate …/a.crt, key …/a.key\n" in text
    assert "  backends  blue (90 %): http://b\n  backends  green (10 %): http://g\n" in text
    assert "no services in the file; create them by the admin API" in shown(tmp_path, "")


def test_no_secret_is_shown(tmp_path):
    """Neither a key nor the password of the store; the rest of the URL stays, as control."""
    text = shown(
        tmp_path,
        "store: {url: 'postgresql://gate:hunter2@db/gate'}\n"
        "services: {abc: {backends: [http://h], keys: {primary: env:A, secondary: env:B}}}\n",
        {"A": "hunter3", "B": "hunter4"},
    )
    assert "hunter" not in text
    assert "postgresql://gate:…@db/gate" in text
