"""config/gateway.yaml, the reference people copy from, says what is true."""

import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
import yaml

from gateway.config import load
from gateway.config.shape import hints, members
from gateway.core.settings import Settings
from gateway.core.spec import ServiceSpec

REFERENCE = Path(__file__).parents[2] / "config" / "gateway.yaml"


def test_the_reference_is_exactly_the_defaults(tmp_path):
    """Everything outside services that the reference states is what an empty file gives."""
    copy = tmp_path / "config" / "gateway.yaml"
    copy.parent.mkdir()
    copy.write_text("services: {}\n")
    bare = load(copy, {}).settings
    copy.write_text(REFERENCE.read_text(encoding="utf-8"))
    stated = load(copy, {}).settings
    assert replace(stated, services={}) == bare


def test_control_a_reference_that_lies_is_found(tmp_path):
    """One changed default makes the comparison above fail."""
    copy = tmp_path / "gateway.yaml"
    copy.write_text("services: {}\n")
    bare = load(copy, {}).settings
    copy.write_text(REFERENCE.read_text(encoding="utf-8").replace("drain_seconds: 30", "drain_seconds: 31"))
    assert replace(load(copy, {}).settings, services={}) != bare


def test_the_example_service_is_exactly_the_defaults():
    """The service of the reference states what a service with nothing but a backend gets."""
    spec = load(REFERENCE, {}).settings.services["diabetes"]
    bare = ServiceSpec(backends=("http://127.0.0.1:5001",))
    assert replace(spec, auth_enabled=None, token_auth_enabled=None) == bare
    assert (spec.key_auth, spec.token_auth) == (bare.key_auth, bare.token_auth)


def test_the_reference_warns_of_nothing():
    """Who copies the reference starts without a warning."""
    assert load(REFERENCE, {}).warnings == ()


def blocks(block, seen):
    """Every dataclass reachable from the settings."""
    seen.add(block)
    for annotation in hints(block).values():
        for inner in dataclasses_in(annotation):
            if inner not in seen:
                blocks(inner, seen)
    return seen


def dataclasses_in(annotation):
    """The dataclasses an annotation holds, in lists and dictionaries too."""
    for member in members(annotation):
        if isinstance(member, type) and is_dataclass(member):
            yield member
        for part in getattr(member, "__args__", ()):
            yield from dataclasses_in(part)


@pytest.mark.parametrize("block", sorted(blocks(Settings, set()), key=lambda b: b.__name__), ids=lambda b: b.__name__)
def test_every_key_is_in_the_reference(block):
    """Each field of each block stands in the file, as a key or in the comment that shows the block's form."""
    text = REFERENCE.read_text(encoding="utf-8")
    assert [item.name for item in fields(block) if f"{item.name}:" not in text] == []


def test_every_key_of_the_big_blocks_is_a_key():
    """Top level, scoring and the example service state every key as YAML, not only in comments."""
    data = yaml.safe_load(REFERENCE.read_text(encoding="utf-8"))
    assert set(data) == set(hints(Settings))
    for section, annotation in hints(Settings).items():
        if is_dataclass(annotation):
            assert set(data[section]) == set(hints(annotation)), section
    assert set(data["services"]["diabetes"]) == set(hints(ServiceSpec))


def commented_form(key):
    """The form that the comment beside a key of the example service shows, as one line of YAML."""
    lines = REFERENCE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if re.match(rf"    {key}:", line))
    comment = lines[start].partition("#")[2]
    for line in lines[start + 1 :]:
        if not line.lstrip().startswith("#"):
            break
        comment += " " + line.partition("#")[2].strip()
    form = comment[min(comment.index(bracket) for bracket in "{[" if bracket in comment) :]
    end = next(
        n for n in range(1, len(form) + 1) if form[:n].count(form[0]) == form[:n].count({"{": "}", "[": "]"}[form[0]])
    )
    return form[:end].replace("<32 hex>", "'" + "a" * 32 + "'")


@pytest.mark.parametrize(
    "key", ["tags", "keys", "cors", "rate_limits", "backend_tls", "classic", "request_headers", "hosts", "deployments"]
)
def test_the_forms_shown_in_comments_load(tmp_path, key):
    """What a reader takes out of a comment works."""
    file = tmp_path / "gateway.yaml"
    (tmp_path / "secondary.key").write_text("b")
    backends = "" if key == "deployments" else "    backends: [http://h]\n"
    file.write_text(f"services:\n  abc:\n{backends}    {key}: {commented_form(key)}\n")
    assert getattr(load(file, {"MODEL_KEY": "k", "PRIMARY": "a"}).settings.services["abc"], key)
