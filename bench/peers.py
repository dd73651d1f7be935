"""The proxies that are compared: how each is started on one core, with the same filters, and whose CPU is counted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROXY_CORE = "0"
LOAD_CORE = "1"
SERVICE_PATH = "/api/v1/service/diabetes/score"


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that accepts: its URL, the key it takes, the processes whose CPU time is counted."""

    name: str
    url: str
    key: str
    pids: tuple[int, ...]


@contextmanager
def backend() -> Iterator[int]:
    """The fixed backend, on the core of the load generator. Yields its port."""
    port = free_port()
    with _process([sys.executable, "-m", "bench.backend", str(port)], LOAD_CORE):
        await_port(port)
        yield port


@contextmanager
def gateway(folder: Path, backend_port: int, *, tls: bool) -> Iterator[Running]:
    """The gateway with one worker: key check, one rate limit, counters, access log off (as the peers')."""
    ready = folder / "ready.json"
    config = folder / "gateway.yaml"
    config.write_text(
        json.dumps(
            {
                "data_dir": "var",
                "scoring": {"listen": "127.0.0.1:0", "workers": 1, "drain_seconds": 1} | ({} if tls else {"tls": None}),
                "admin": {"listen": "127.0.0.1:0", "tls": None},
                "metrics": {"listen": "127.0.0.1:0"},
                "logging": {"access_log": None},
                "services": {
                    "diabetes": {
                        "backends": [f"http://127.0.0.1:{backend_port}"],
                        "max_concurrent_requests_per_container": None,
                        "rate_limits": [{"name": "bench", "requests": 10_000_000}],
                    }
                },
            }
        )
    )
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--ready-file", str(ready)]
    with _process(command, PROXY_CORE) as process:
        _await(ready.exists, "the gateway's ready file")
        told = json.loads(ready.read_text())
        yield Running("scoregate", told["scoring_url"] + SERVICE_PATH, _key(told), _children(process.pid))


@contextmanager
def nginx(folder: Path, backend_port: int, *, tls: bool, certificates: Path | None = None) -> Iterator[Running]:
    """One worker of nginx, keep-alive both ways, a key check by `map` and one `limit_req`, as its guide advises."""
    port, key = free_port(), "sg1_bench"
    listen = f"127.0.0.1:{port}"
    if tls:
        listen += f" ssl; ssl_certificate {certificates}/server.crt; ssl_certificate_key {certificates}/server.key"
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 10240; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000000;
  map $http_authorization $allowed {{ default 0; "Bearer {key}" 1; }}
  limit_req_zone $server_name zone=all:1m rate=1000000r/s;
  upstream models {{ server 127.0.0.1:{backend_port}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen {listen};
    location {SERVICE_PATH} {{
      if ($allowed = 0) {{ return 401; }}
      limit_req zone=all burst=100000 nodelay;
      proxy_pass http://models/score; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization ""; proxy_set_header X-Request-Id $request_id;
    }}
  }}
}}
""")
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [binary, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with _process(command, PROXY_CORE) as process:
        await_port(port)
        scheme = "https" if tls else "http"
        yield Running("nginx", f"{scheme}://127.0.0.1:{port}{SERVICE_PATH}", key, _children(process.pid))


def has_nginx() -> bool:
    """Whether this machine has it (Debian: apt-get install nginx-light)."""
    return bool(shutil.which("nginx")) or Path("/usr/sbin/nginx").exists()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def await_port(port: int) -> None:
    """Wait until somebody accepts there."""

    def accepts() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    _await(accepts, f"port {port}")


def _await(condition: object, what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come in {seconds} s")
        time.sleep(0.05)


@contextmanager
def _process(command: list[str], core: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT if "gateway" in command else signal.SIGTERM)
        process.wait(20)


def _children(pid: int) -> tuple[int, ...]:
    """The processes under this one that serve requests; the gateway's control process idles and is counted too."""
    return tuple(int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _key(told: dict[str, str]) -> str:
    environment = os.environ | {
        "SCOREGATE_ADMIN_URL": told["admin_url"],
        "SCOREGATE_ADMIN_TOKEN_FILE": told["admin_token_file"],
    }
    command = [sys.executable, "-m", "gateway", "keys", "show", "diabetes", "-o", "json"]
    return str(json.loads(subprocess.check_output(command, env=environment))["primary_key"])
