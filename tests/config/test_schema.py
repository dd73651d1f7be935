"""gateway.config.schema: the JSON schema that editors use."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config import schema
from gateway.config.descriptions import DESCRIPTIONS

REFERENCE = Path(__file__).parents[2] / "config" / "gateway.yaml"
SERVICE = {"backends": ["http://h"]}


def complaints(document):
    """What the schema says about a document."""
    return [error.message for error in Draft202012Validator(schema()).iter_errors(document)]


def test_the_schema_is_a_schema():
    """It is valid draft 2020-12 and says so."""
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_reference_fits_the_schema():
    """An editor underlines nothing in config/gateway.yaml."""
    assert complaints(yaml.safe_load(REFERENCE.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "document",
    [
        {"scorin": {}},
        {"scoring": {"max_connections": "5"}},
        {"scoring": {"tls": {"minimum_version": 1.2}}},
        {"services": {"abc": {**SERVICE, "cors": {}}}},
        {"services": {"abc": {**SERVICE, "load_balancer": "random"}}},
        {"services": {"abc": {**SERVICE, "max_queue_wait_ms": -1}}},
    ],
)
def test_control_mistakes_do_not_fit(document):
    """Unknown keys, wrong kinds and values out of range are underlined."""
    assert complaints(document)


def test_a_value_kept_elsewhere_fits_where_a_pattern_is_asked():
    """`env:NAME` is no mistake for a text with a pattern; another text still is."""
    assert complaints({"store": {"shared_limits": "env:REDIS"}}) == []
    assert complaints({"store": {"shared_limits": "redis://h"}}) == []
    assert complaints({"store": {"shared_limits": "h"}})


def test_every_key_has_a_sentence():
    """The table of descriptions and the dataclasses name the same blocks and keys."""
    document = schema()
    blocks = {"Settings": document, **document["$defs"]}
    assert {name: set(block["properties"]) for name, block in blocks.items()} == {
        name: set(keys) for name, keys in DESCRIPTIONS.items()
    }
    for block in blocks.values():
        assert all(rule["description"].endswith((".", ";")) for rule in block["properties"].values())
