"""Backends given by host name: reached at each address of it, under the name."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@contextmanager
def _container() -> Iterator[tuple[int, list[str | None]]]:
    """A container on all addresses of this machine: its port, and the Host fields of what it was sent."""
    hosts: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            hosts.append(self.headers["Host"])
            self._answer()

        def _answer(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, hosts
        finally:
            server.shutdown()
            thread.join()


def test_a_host_name_as_backend(start_gateway) -> None:
    """A backend given by name is reached at its address under its name; status, metric and access log show both."""
    name = socket.gethostname()
    try:
        addresses = {str(one[4][0]) for one in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)}
    except OSError:
        missing = f"this machine's name {name} does not resolve: add it to /etc/hosts"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    with _container() as (port, hosts):
        url = f"http://{name}:{port}"
        gateway = start_gateway({"named": {"backends": [url]}})
        assert gateway.score("named", gateway.keys("named")[0]).status == 200
        assert hosts == [f"{name}:{port}"]
        live = gateway.admin("GET", "/services/named/status").json["deployments"]["default"]["backends"]
        shown = {backend["address"] for backend in live if ":" not in backend["address"]}
        assert shown == addresses
        assert {backend["url"] for backend in live} == {url}
        address = next(iter(addresses))
        assert ("scoregate_backend_up", address, url, "default", "named") in gateway.metrics()
        gateway.until(lambda: any(line.get("backend_address") for line in gateway.access_log()))
        assert address in gateway.cli("status", "named").stdout
