"""What tests of several modules of `core` need: how a form is held against its protocol."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "forged"))


def methods_of(protocol):
    return {name: method for name, method in vars(protocol).items() if not name.startswith("_") and callable(method)}


def places(method):
    """What can be passed: names may differ, since protocols are called by position."""
    return [(parameter.kind, parameter.default) for parameter in inspect.signature(method).parameters.values()]


@pytest.fixture
def methods():
    """`methods(protocol)`: name → method, as the protocol declares them."""
    return methods_of


@pytest.fixture
def differences():
    """`differences(protocol, form)`: the methods that the form lacks, or takes with other parameters."""

    def compare(protocol, form):
        return [
            name
            for name, method in methods_of(protocol).items()
            if not hasattr(form, name) or places(getattr(form, name)) != places(method)
        ]

    return compare
