"""nginx: keep-alive both ways, the key by `map`, one `limit_req`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.peer import KEY, Peer, Running, Setting, binary, first_line, packaged
from bench.process import free_port, server

CONFIGURATION = """
daemon off; worker_processes {setting.workers}; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 100m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_certificate {setting.certificate}; ssl_certificate_key {setting.private_key}; ssl_session_cache shared:tls:10m;
  map_hash_bucket_size 128;
  map $http_authorization $allowed {{ default 0; "Bearer {key}" 1; }}
  map $http_x_request_id $id {{ default $http_x_request_id; "" $request_id; }}
  limit_req_zone $server_name zone=all:1m rate={setting.limit}r/s;
  upstream models {{ server 127.0.0.1:{setting.backend_port}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port}{tls} backlog=4096;
    location /status {{ stub_status; }}
    location /api/v1/service/diabetes/score {{
      if ($allowed = 0) {{ return 401; }}
      limit_req zone=all burst=100000 nodelay;
      proxy_pass http://models{setting.answer}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization ""; proxy_set_header X-Request-Id $id;
      proxy_request_buffering off; proxy_max_temp_file_size 0;
    }}
  }}
}}
"""


@contextmanager
def start(setting: Setting, folder: Path) -> Iterator[Running]:
    """One nginx in `folder`."""
    port, file = free_port(), folder / "nginx.conf"
    values = {"setting": setting, "folder": folder, "port": port, "key": KEY, "tls": " ssl" if setting.tls else ""}
    file.write_text(CONFIGURATION.format(**values), encoding="utf-8")
    command = [binary("nginx") or "nginx", "-p", folder, "-e", folder / "error.log", "-c", file]
    with server(command, setting.cores.proxy, folder / "log", port=port) as process:
        yield Running("nginx", port, process.pid, setting.tls)


NGINX = Peer(
    name="nginx",
    work="key by `map`, `limit_req`, `stub_status` counters, upstream `keepalive`; request bodies not buffered",
    obtain=packaged("nginx", "nginx-light"),
    version=lambda: first_line([binary("nginx") or "nginx", "-v"]).rpartition(": ")[2],
    start=start,
)
