"""The JSON schema of the file, from the same dataclasses that validate it.

Rule: nothing is declared here that `core` declares already; this only adds what editors want.
"""

from __future__ import annotations

from typing import Any

import pydantic

from gateway.config.descriptions import DESCRIPTIONS
from gateway.core.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "^(?:env|file):"


def schema() -> dict[str, Any]:
    """Draft 2020-12, with a description for each key. A text with a pattern may also be `env:NAME` or `file:PATH`."""
    document = pydantic.TypeAdapter(Settings).json_schema(ref_template="#/$defs/{model}")
    blocks = {"Settings": document, **document["$defs"]}
    for name, block in blocks.items():
        _describe(block, DESCRIPTIONS[name])
    return {"$schema": DIALECT, **document, "title": "gateway.yaml", "description": "Configuration of Scoregate."}


def _describe(block: dict[str, Any], descriptions: dict[str, str]) -> None:
    for key, rule in block["properties"].items():
        rule.pop("title", None)
        rule["description"] = descriptions[key]
        for part in (rule, *rule.get("anyOf", ())):
            if "pattern" in part:
                part["pattern"] = f"{_REFERENCE}|{part['pattern']}"
