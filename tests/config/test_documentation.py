"""docs/configuration.md shows what the gateway really says."""

import re
from pathlib import Path

import pytest

from gateway.config import ConfigErrors, load, show

PAGE = Path(__file__).parents[2].joinpath("docs/configuration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:yaml)?\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """A function that writes config/gateway.yaml into an empty folder, which stands for /srv in the page."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()

    def write(text):
        Path("config/gateway.yaml").write_text(text)
        return Path("config/gateway.yaml"), str(tmp_path)

    return write


def test_the_mistakes_of_the_page_are_answered_as_it_says(in_folder):
    """The file with eight mistakes gives exactly the block of messages that follows it."""
    index = next(number for number, block in enumerate(BLOCKS) if "listn: " in block)
    file, folder = in_folder(BLOCKS[index])
    with pytest.raises(ConfigErrors) as caught:
        load(file, {})
    assert str(caught.value).replace(folder, "/srv") == BLOCKS[index + 1].strip()


def test_the_output_of_check_is_as_the_page_says(in_folder):
    """A file with what the page describes is shown line for line."""
    expected = next(block for block in BLOCKS if block.startswith("scoring   "))
    file, folder = in_folder(
        """data_dir: ../var
scoring:
  listen: 0.0.0.0:443
  tls:
    certificate: tls/models.crt
    private_key: tls/models.key
services:
  diabetes:
    backends: [http://127.0.0.1:5001, http://127.0.0.1:5002]
    token_auth_enabled: true
    rate_limits:
      - {name: steady, requests: 100, per_seconds: 1, burst: 200, partition: credential}
"""
    )
    assert show(load(file, {})).replace(folder, "/srv") == expected


def test_the_secrets_of_the_page_load(in_folder):
    """The example with keys, store and header from elsewhere is valid once the values exist."""
    text = next(block for block in BLOCKS if "env:MODEL_KEY" in block)
    file, folder = in_folder(text.replace("/run/secrets/store-url", "store-url"))
    Path(folder, "config/store-url").write_text("sqlite:///x.db\n")
    Path(folder, "config/diabetes-secondary.key").write_text("second\n")
    assert load(file, {"DIABETES_PRIMARY": "first", "MODEL_KEY": "k"}).warnings == ()
