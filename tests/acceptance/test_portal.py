"""The portal as a person sees it: sign in, find a service, copy its sample code, and run that."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from running_gateway import ROWS, SCORES, RunningGateway
from wire import Answer, Wire

COMMANDS: dict[str, list[str]] = {"Python": [sys.executable, "{}"], "curl": ["sh", "{}"]}


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    return start_gateway({"diabetes": {"backends": [diabetes], "description": "Progression after one year"}})


def _sign_in(gateway: RunningGateway, token: str) -> Answer:
    with Wire(gateway.ready["portal_url"], gateway.ready["ca_file"]) as wire:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return wire.ask("POST", "/sign-in", urlencode({"token": token}).encode(), form)


@pytest.fixture(scope="module")
def page(gateway: RunningGateway) -> Callable[[str], Answer]:
    """Gets pages in one session."""
    cookie = _sign_in(gateway, gateway.admin_token).headers["set-cookie"].partition(";")[0]

    def get(path: str) -> Answer:
        with Wire(gateway.ready["portal_url"], gateway.ready["ca_file"]) as wire:
            return wire.ask("GET", path, headers={"Cookie": cookie})

    return get


def test_services_are_listed(gateway: RunningGateway, page: Callable[[str], Answer]) -> None:
    """After sign-in the portal lists the services with their addresses."""
    text = page("/").text
    assert "Progression after one year" in text
    assert gateway.path("diabetes") in text


def test_nothing_without_sign_in(gateway: RunningGateway) -> None:
    """Control: without a session there is the sign-in form alone; a scoring key does not open it."""
    with Wire(gateway.ready["portal_url"], gateway.ready["ca_file"]) as wire:
        answer = wire.ask("GET", "/services/diabetes")
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
    refused = _sign_in(gateway, gateway.keys("diabetes")[0])
    assert (refused.status, "set-cookie" in refused.headers) == (401, False)


def test_a_service_tells_how_to_call_it(page: Callable[[str], Answer]) -> None:
    """The page of a service has its scoring and swagger addresses, and sample code in six languages."""
    text = page("/services/diabetes").text
    assert "/api/v1/service/diabetes/score" in text
    assert "/api/v1/service/diabetes/swagger.json" in text
    assert re.findall(r"<summary>(.*?)</summary>", text) == ["curl", "Python", "C#", "Go", "Java", "R"]


@pytest.mark.parametrize("language", COMMANDS)
def test_sample_code_runs_as_copied(
    gateway: RunningGateway, page: Callable[[str], Answer], language: str, tmp_path: Path, program
) -> None:
    """Sample code copied from the page scores, given the document, the key and the CA as its comments say."""
    if language == "curl":
        program("curl", "apt-get install curl")
    text = page("/services/diabetes").text
    sample = re.search(rf"<summary>{language}</summary>\s*<pre><code>(.*?)</code></pre>", text, re.DOTALL)
    assert sample is not None
    file = tmp_path / "sample"
    file.write_text(html.unescape(sample[1]))
    (tmp_path / "data.json").write_bytes(ROWS)
    ca_file = gateway.ready["ca_file"]
    environ = {
        "SCORING_KEY": gateway.keys("diabetes")[0],
        "REQUESTS_CA_BUNDLE": ca_file,
        "CURL_CA_BUNDLE": ca_file,
        "PYTHONWARNINGS": "ignore",
    }
    command = [part.format(file) for part in COMMANDS[language]]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout.strip() == str(SCORES), done.stderr
