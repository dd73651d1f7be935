"""Caddy: keep-alive both ways, the key by a matcher, metrics on. Its standard build has no rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.peer import KEY, Peer, Running, Setting, binary, first_line, packaged
from bench.process import free_port, server

CONFIGURATION = """
{{
  admin off
  auto_https off
  log {{
    level ERROR
  }}
  servers {{
    protocols h1
    metrics
  }}
}}
{scheme}://127.0.0.1:{port} {{
  {tls}
  @score {{
    path /api/v1/service/diabetes/score
    header Authorization "Bearer {key}"
  }}
  handle @score {{
    rewrite * {setting.answer}
    reverse_proxy 127.0.0.1:{setting.backend_port} {{
      header_up -Authorization
      transport http {{
        keepalive 90s
        keepalive_idle_conns 10000
        keepalive_idle_conns_per_host 10000
      }}
    }}
  }}
  handle {{
    respond 401
  }}
}}
"""


@contextmanager
def start(setting: Setting, folder: Path) -> Iterator[Running]:
    """One caddy; Go runs as many threads at once as there are workers."""
    port, file = free_port(), folder / "Caddyfile"
    tls = f"tls {setting.certificate} {setting.private_key}" if setting.tls else ""
    values = {"setting": setting, "port": port, "key": KEY, "scheme": "https" if setting.tls else "http", "tls": tls}
    file.write_text(CONFIGURATION.format(**values), encoding="utf-8")
    command = [binary("caddy") or "caddy", "run", "--adapter", "caddyfile", "--config", file]
    environment = {"GOMAXPROCS": str(setting.workers), "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with server(command, setting.cores.proxy, folder / "log", environment, port) as process:
        yield Running("caddy", port, process.pid, setting.tls)


CADDY = Peer(
    name="caddy",
    work="key by matcher, metrics on, no rate limit (its standard build has none), GOMAXPROCS=1",
    obtain=packaged("caddy", "caddy"),
    version=lambda: f"caddy {first_line([binary('caddy') or 'caddy', 'version'])}",
    start=start,
)
