"""HAProxy: keep-alive both ways, the key by an ACL, one rate counted in a stick table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.peer import KEY, Peer, Running, Setting, binary, first_line, packaged
from bench.process import free_port, server

CONFIGURATION = """
global
  nbthread {setting.workers}
  maxconn 9000
  tune.ssl.cachesize 20000
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 60s
  timeout http-keep-alive 75s
  http-reuse safe
frontend scoring
  bind 127.0.0.1:{port} backlog 4096{tls}
  stick-table type integer size 10 expire 10s store http_req_rate(1s)
  http-request deny deny_status 404 unless {{ path /api/v1/service/diabetes/score }}
  http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {key}" }}
  http-request track-sc0 fe_id
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {setting.limit} }}
  http-request del-header authorization
  http-request set-header x-request-id %[uuid()] unless {{ req.hdr(x-request-id) -m found }}
  http-request set-path {setting.answer}
  default_backend models
backend models
  server model 127.0.0.1:{setting.backend_port} pool-purge-delay 60s
"""


@contextmanager
def start(setting: Setting, folder: Path) -> Iterator[Running]:
    """One haproxy, its threads on the proxy's cores."""
    port, file, pem = free_port(), folder / "haproxy.cfg", folder / "server.pem"
    pem.write_bytes(setting.certificate.read_bytes() + setting.private_key.read_bytes())
    tls = f" ssl crt {pem}" if setting.tls else ""
    file.write_text(CONFIGURATION.format(setting=setting, port=port, key=KEY, tls=tls), encoding="utf-8")
    command = [binary("haproxy") or "haproxy", "-db", "-f", file]
    with server(command, setting.cores.proxy, folder / "log", port=port) as process:
        yield Running("haproxy", port, process.pid, setting.tls)


HAPROXY = Peer(
    name="haproxy",
    work="key by ACL, rate in a stick table, its own counters, `http-reuse safe`, one thread",
    obtain=packaged("haproxy", "haproxy"),
    version=lambda: first_line([binary("haproxy") or "haproxy", "-v"]).partition(" 20")[0],
    start=start,
)
