"""The `gateway.yaml` of the demo, written anew at every start: the ports are the only thing that changes."""

from __future__ import annotations

from gateway.demo.ports import HOST, Ports

SERVICE = "diabetes"


def document(ports: Ports) -> str:
    """YAML text for `var/demo.yaml`; paths in it are relative to that file."""
    return f"""\
# Written by `scoregate demo` at every start: change a copy, and serve that.
data_dir: .

scoring:
  listen: {HOST}:{ports.scoring}
  drain_seconds: 1

admin:
  listen: {HOST}:{ports.admin}

metrics:
  listen: {HOST}:{ports.metrics}

services:
  {SERVICE}:
    description: Progression of diabetes after one year, from ten standardised features
    tags: {{model: ridge}}
    auth_enabled: true
    token_auth_enabled: true
    backends: [http://{HOST}:{ports.model_server}]
"""
