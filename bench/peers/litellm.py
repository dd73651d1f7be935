"""LiteLLM's proxy: a model of its own form (chat completions), since it carries no other body through its checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import environment
from bench.peers.peer import DOCUMENT, KEY, UNREACHED, Peer, Running, Setting
from bench.process import free_port, server

REQUIREMENT = "litellm[proxy]==1.106.2"
QUIET = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network at its start
}


@contextmanager
def start(setting: Setting, folder: Path) -> Iterator[Running]:
    """One process of it, its cost map from its own package."""
    port, file = free_port(), folder / "litellm.json"
    model = {
        "model": "openai/bench",
        "api_base": f"http://127.0.0.1:{setting.backend_port}/v1",
        "api_key": "none",
        "rpm": UNREACHED * 60,
    }
    configuration = {
        "model_list": [{"model_name": "bench", "litellm_params": model}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"set_verbose": False, "request_timeout": 60},
        "router_settings": {"num_retries": 0},
    }
    file.write_text(json.dumps(configuration), encoding="utf-8")
    command = [environment.program("litellm"), "--config", file, "--host", "127.0.0.1", "--port", str(port)]
    workers = ["--num_workers", str(setting.workers), "--telemetry", "False"]
    with server([*command, *workers], setting.cores.proxy, folder / "log", QUIET, port) as process:
        yield Running("litellm", port, process.pid, tls=False, path="/v1/chat/completions")


LITELLM = Peer(
    name="litellm",
    work="master key, `rpm` of its router, chat completions: it reads and writes the JSON bodies anew;"
    " 8 connections, since with 64 a round would end amid its queue",
    obtain=environment.installed("litellm", REQUIREMENT),
    version=lambda: REQUIREMENT.replace("==", " "),
    start=start,
    connections=8,
    document=json.dumps({"model": "bench", "messages": [{"role": "user", "content": DOCUMENT.decode()}]}).encode(),
)
