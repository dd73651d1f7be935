"""docs/admins.md: its configurations load, and its defaults are the defaults."""

import re
from pathlib import Path

import pytest

from gateway.config import load
from gateway.core.grant import RoleTable
from gateway.core.settings import Settings

PAGE = Path(__file__).parents[2].joinpath("docs/admins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["form", "entra", "keycloak"])
def test_the_examples_load(tmp_path, block):
    """Each example is taken as it stands, but for the places that readers fill in, and gives diabetes a contributor."""
    file = tmp_path / "gateway.yaml"
    file.write_text(re.sub(r"<[a-z ()]+>", "1f3c-55", block) + "services: {}\n")
    loaded = load(file, {})
    assert not loaded.warnings
    assert (
        RoleTable(loaded.settings.admin.oidc.roles).grants(["diabetes:contributor"]).role("diabetes") == "contributor"
    )


def test_the_defaults_of_the_page():
    """The table of limits says what holds."""
    settings = Settings()
    for section in ("scoring", "admin"):
        default = getattr(settings, section).max_auth_failures_per_minute
        assert f"| `{section}.max_auth_failures_per_minute` | {default} |" in PAGE
