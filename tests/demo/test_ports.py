"""Which ports the demo takes, and what it says when it cannot."""

from __future__ import annotations

import socket
from dataclasses import astuple

import pytest

from gateway.demo.error import DemoError
from gateway.demo.ports import HOST, choose, free_port


def _free_base() -> int:
    while True:
        base = free_port()
        try:
            choose(base)
        except DemoError:
            continue
        return base


def test_base_gives_four_ports_in_a_row() -> None:
    """Scoring, admin, metrics and model server follow each other."""
    base = _free_base()
    assert astuple(choose(base)) == (base, base + 1, base + 2, base + 3)


def test_zero_gives_free_ports() -> None:
    """With 0 the gateway chooses its own; the model server's is a free one."""
    ports = choose(0)
    assert astuple(ports)[:3] == (0, 0, 0)
    with socket.create_server((HOST, ports.model_server)):
        pass


@pytest.mark.parametrize(("offset", "role"), [(0, "scoring"), (1, "admin"), (2, "metrics"), (3, "model server")])
def test_taken_port_is_named(offset: int, role: str) -> None:
    """A taken port is told by number and role, with the option that moves all four."""
    base = _free_base()
    with socket.create_server((HOST, base + offset)), pytest.raises(DemoError) as caught:
        choose(base)
    assert str(caught.value).startswith(f"port {base + offset} ({role}) on 127.0.0.1 is taken")
    assert "--port-base" in str(caught.value)


@pytest.mark.parametrize("base", [-1, 65533, 99999])
def test_impossible_base(base: int) -> None:
    """A base that leaves no room for four ports is refused with the range."""
    with pytest.raises(DemoError, match="from 1 to 65532, or 0"):
        choose(base)
