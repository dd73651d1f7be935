"""gateway.config.document and syntax: what YAML becomes, and where its keys stand."""

from pathlib import Path

import pytest

from gateway.config import syntax
from gateway.config.document import MAX_FILE_BYTES, parse_document, read_document
from gateway.config.error import ConfigErrors, Place
from gateway.config.syntax import parse_scalar


def test_every_key_and_item_has_a_place():
    """Keys, nested keys and list items are found by path, with line and column from 1."""
    document = parse_document("a:\n  b: 1\n  c: [x, {d: 2}]\n", "f.yaml")
    assert document.data == {"a": {"b": 1, "c": ["x", {"d": 2}]}}
    assert document.places["a", "b"] == Place("f.yaml", 2, 3)
    assert document.places["a", "c", 1] == Place("f.yaml", 3, 10)
    assert document.places["a", "c", 1, "d"] == Place("f.yaml", 3, 11)


def test_an_unknown_path_is_placed_at_the_block_around_it():
    """A key that is missing is reported at the line of the block that lacks it."""
    document = parse_document("a:\n  b: {}\n", "f.yaml")
    assert document.place(("a", "b", "c", 0, "d")) == Place("f.yaml", 2, 3)
    assert document.place(("z",)) == Place("f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("010", 10),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("True", True),
        ("false", False),
        ("~", None),
        ("", None),
        ('"1.2"', "1.2"),
        ("!!str 5", "5"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_scalars_are_what_their_writer_sees(text, value):
    """YAML 1.1's surprises (no, 1:30, dates, octal) do not happen, in the file and in the environment alike."""
    found = parse_document(f"a: {text}", "f").data["a"]
    assert (found, type(found)) == (value, type(value))
    if not text.startswith("!!"):
        assert parse_scalar(text) == value


@pytest.mark.parametrize("text", ["[::]:8443", "*:8443", "{a", "a: b", "@x"])
def test_a_variable_that_is_no_yaml_scalar_is_the_text_it_is(text):
    """An address such as [::]:8443 in a variable is not taken for a list."""
    assert parse_scalar(text) == text


def test_merged_blocks_fill_in_what_is_not_given():
    """`<<` takes keys of an anchor, the block's own keys win, and neither counts as a duplicate."""
    text = "base: &base {x: 1, y: 1}\nmore: &more {z: 1, y: 2}\nnext:\n  <<: [*base, *more]\n  x: 2\n"
    assert parse_document(text, "f").data["next"] == {"x": 2, "y": 1, "z": 1}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "null", "---\n"])
def test_an_empty_file_is_an_empty_configuration(text):
    """Nothing in the file means every default, and no error."""
    assert parse_document(text, "f").data == {}


def bomb(levels):
    """A few lines whose aliases stand for 10^levels values."""
    more = [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]" for level in range(1, levels + 1)]
    return "\n".join(["l0: &l0 [x]", *more])


def test_aliases_that_multiply_are_refused():
    """Ten levels of tenfold aliases end in an error with a line; three levels are read (the control)."""
    assert len(parse_document(bomb(3), "f").data) == 4
    with pytest.raises(ConfigErrors, match=r"f:\d+: .*grows too large by its aliases"):
        parse_document(bomb(10), "f")


@pytest.mark.parametrize("text", ["[" * 1_000_000, "- " * 5000, "a: " + "[" * 70 + "]" * 70])
def test_deep_nesting_is_refused_without_taking_the_process_down(text):
    """A million brackets overflow libyaml's own composer; ours answers with the line."""
    with pytest.raises(ConfigErrors, match=r"f:1: not valid YAML at column \d+: nested more than 64 deep"):
        parse_document(text, "f")


def test_files_that_cannot_be_read(tmp_path):
    """A missing file, a folder, a giant and another encoding each say what they are."""
    with pytest.raises(ConfigErrors, match=r"nothing\.yaml: no such file; give the configuration with --config"):
        read_document(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigErrors, match="cannot be read: Is a directory"):
        read_document(tmp_path)
    giant = tmp_path / "giant.yaml"
    with giant.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ConfigErrors, match="a configuration may have 16777216"):
        read_document(giant)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigErrors, match=r"latin\.yaml:2: is not UTF-8; save the file as UTF-8"):
        read_document(latin)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    """Files saved by Windows editors read like others."""
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfdata_dir: x\n")
    assert read_document(file).data == {"data_dir": "x"}


def test_without_libyaml_everything_reads_the_same(monkeypatch):
    """A PyYAML without its C part gives the same data and places, and refuses what libyaml refuses."""
    text = Path(__file__).parents[2].joinpath("config/gateway.yaml").read_text(encoding="utf-8")
    fast = parse_document(text, "f")
    monkeypatch.setattr(syntax, "_FastLoader", syntax._ExplainingLoader)
    slow = parse_document(text, "f")
    assert (slow.data, slow.places) == (fast.data, fast.places)
    assert [error.line for error in parse_document('a: 1\nb: "\\ud800"\n', "f").errors] == [2]
