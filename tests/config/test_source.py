"""The file of a gateway that runs: when it counts as changed, what is read then, and what outlives its reader."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import ConfigErrors, Source, load
from gateway.config.stamp import MISSING, stamp
from gateway.core.spec import KeysSpec

ONE = "services:\n  one:\n    backends: [http://127.0.0.1:5001]\n"
TWO = ONE + "  two:\n    backends: [http://127.0.0.1:5002]\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(ONE)
    return path


@pytest.fixture
def make_source():
    made = []

    def make(path, environ=None) -> Source:
        made.append(Source(load(path, environ or {}), environ or {}))
        return made[-1]

    yield make
    for source in made:
        source.close()


def rewrite(file, text: str) -> None:
    """As editors and careful scripts do: another file under the old name."""
    scratch = file.with_name("scratch")
    scratch.write_text(text)
    scratch.replace(file)


def test_unchanged(file, make_source):
    """A file that nobody touches is never changed, however often it is looked at."""
    source = make_source(file)
    assert not any(source.changed() for _ in range(5))


@pytest.mark.parametrize("change", [lambda file: rewrite(file, TWO), lambda file: file.write_text(TWO)])
def test_changed_and_at_rest(file, make_source, change):
    """A file that was replaced or written over is changed from the second look on, until it is read."""
    source = make_source(file)
    change(file)
    assert [source.changed() for _ in range(3)] == [False, True, True]
    assert set(source.read().settings.services) == {"one", "two"}
    assert not source.changed()
    assert not source.changed()


def test_a_file_being_written_is_left_alone(file, make_source):
    """While it grows from look to look it is not taken for a configuration, though each part of it would be one."""
    source = make_source(file)
    for length in range(1, 6):
        file.write_text(TWO[: len(ONE) + length])
        assert not source.changed()
    file.write_text(TWO)
    assert [source.changed() for _ in range(2)] == [False, True]


def test_times_that_were_set_back(file, make_source):
    """A change of the same length whose time of change was set back, as by a copy that keeps times, is seen."""
    source = make_source(file)
    before = file.stat()
    file.write_text(ONE.replace("5001", "5009"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [source.changed() for _ in range(2)] == [False, True]


def test_a_config_map(tmp_path, make_source):
    """Kubernetes swaps the link `..data` beside a file that is a link itself: that is a change."""
    for version, text in (("1", ONE), ("2", TWO)):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "gateway.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
    source = make_source(tmp_path / "gateway.yaml")
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert [source.changed() for _ in range(2)] == [False, True]
    assert set(source.read().settings.services) == {"one", "two"}


def test_referenced_files(file, make_source):
    """A file that `file:` names is watched like the configuration itself."""
    keys = file.with_name("primary.key")
    keys.write_text("the-first-value\n")
    file.write_text(ONE + "    keys: {primary: file:primary.key, secondary: env:SECONDARY}\n")
    source = make_source(file, {"SECONDARY": "the-other-value"})
    rewrite(keys, "the-second-value\n")
    assert [source.changed() for _ in range(2)] == [False, True]
    given = source.read().settings.services["one"].keys
    assert given is not None
    assert given.primary == "the-second-value"


def test_a_bad_file(file, make_source):
    """A bad file is read once; it counts as changed again when it is another, or a file that it misses appears."""
    source = make_source(file)
    rewrite(file, ONE + "    keys: {primary: file:late.key, secondary: file:late-too.key}\n")
    with pytest.raises(ConfigErrors, match=r"late\.key cannot be read"):
        source.read()
    assert not source.changed()
    assert not source.changed()
    file.with_name("late.key").write_text("a-first-value")
    file.with_name("late-too.key").write_text("a-second-value")
    assert [source.changed() for _ in range(2)] == [False, True]
    assert source.read().settings.services["one"].keys is not None


def test_a_file_that_is_gone(file, make_source):
    """A missing file is a mistake, told as at a start; when it returns it is read."""
    source = make_source(file)
    file.unlink()
    assert [source.changed() for _ in range(2)] == [False, True]
    with pytest.raises(ValueError, match=r"gateway\.yaml: no such file"):
        source.read()
    assert not source.changed()
    file.write_text(TWO)
    assert [source.changed() for _ in range(2)] == [False, True]


def test_what_is_kept_outlives_its_reader(file, make_source):
    """A process that begins after another was replaced gets what that one served last, secrets and places included."""
    file.write_text(ONE + "    keys: {primary: the-first-value, secondary: the-other-value}\n")
    source = make_source(file)
    rewrite(file, "\n" + TWO)
    other = copy.copy(source)
    loaded = other.read()
    other.keep(loaded, loaded.settings.services | {"one": other.newest().settings.services["one"]})
    newest = source.newest()
    assert set(newest.settings.services) == {"one", "two"}
    assert newest.settings.services["one"].keys == KeysSpec("the-first-value", "the-other-value")
    assert (newest.places["one"].line, newest.places["two"].line) == (3, 5)
    assert not source.changed()
    assert not source.changed()


def test_a_service_the_file_does_not_have(file, make_source):
    """A service that could not be changed is kept with the place where it stood."""
    source = make_source(file)
    before = source.newest()
    rewrite(file, "services: {}\n")
    loaded = source.read()
    source.keep(loaded, before.settings.services)
    assert source.newest().places == before.places


def test_half_a_writing_is_not_believed(file, make_source):
    """What a process that died while writing left behind is passed over for what this one began with."""
    source = make_source(file)
    os.pwrite(source._memory, b"x" * 40, 0)
    assert source.newest() == load(file, {})


def test_everything_comes_back(tmp_path, make_source):
    """The reference configuration, with all its keys, is the same after it was kept."""
    reference = Path(__file__).parents[2] / "config" / "gateway.yaml"
    loaded = load(reference, {})
    source = make_source(reference)
    assert source.newest() == loaded
    source.keep(replace(loaded, warnings=("one",)), loaded.settings.services)
    assert source.newest() == replace(loaded, warnings=("one",))


def test_control_stamps_tell_states_apart(tmp_path):
    """Control: a stamp is the same for one state of a file, another for the next, and of its own for no file."""
    file = tmp_path / "file"
    assert stamp(file) == MISSING
    file.write_text("1")
    first = stamp(file)
    assert first == stamp(file) != MISSING
    file.write_text("12")
    assert stamp(file) != first
