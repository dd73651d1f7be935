"""Listening sockets: one address for all workers, taken ports found out, and every failure said with its key."""

from __future__ import annotations

import errno
import os
import socket
import stat

import pytest

from gateway import sockets
from gateway.sockets import ListenError, listen, split, unix_listener


@pytest.fixture
def opened():
    """`opened(address, count)`: sockets that are closed afterwards."""
    kept = []

    def call(address: str, count: int = 1):
        made = listen("scoring.listen", address, count)
        kept.extend(made)
        return made

    yield call
    for each in kept:
        each.close()


def answers(address) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("count", [1, 4])
def test_free_port_is_the_same_for_all(opened, count: int) -> None:
    """Port 0 takes a free port, one for all workers, and it is listened on."""
    made = opened("127.0.0.1:0", count)
    (address,) = {each.getsockname() for each in made}
    assert len(made) == count
    assert answers(address)
    assert all(not each.getblocking() for each in made)


def test_connections_are_spread(opened) -> None:
    """The kernel spreads connections over the sockets of one port."""
    made = opened("127.0.0.1:0", 2)
    clients = [socket.create_connection(made[0].getsockname()) for _ in range(60)]
    accepted = [_accept_all(each) for each in made]
    assert sum(map(len, accepted)) == 60
    assert all(len(each) > 5 for each in accepted)
    for each in (*clients, *accepted[0], *accepted[1]):
        each.close()


def _accept_all(listening):
    accepted = []
    while True:
        try:
            accepted.append(listening.accept()[0])
        except BlockingIOError:
            return accepted


@pytest.mark.parametrize(("address", "target"), [("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("[::]:0", "::1")])
def test_ipv6(opened, address: str, target: str) -> None:
    """IPv6 addresses are listened on; the one for all addresses takes IPv4 as well."""
    (made,) = opened(address)
    assert answers((target, made.getsockname()[1]))


def test_names(opened) -> None:
    """A name of this machine is an address."""
    (made,) = opened("localhost:0")
    assert made.getsockname()[0] in ("127.0.0.1", "::1")


@pytest.mark.parametrize("count", [1, 2])
def test_port_of_another_process(opened, count: int) -> None:
    """A taken port is told with its key, its address and a way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as told:
            opened(f"127.0.0.1:{port}", count)
    said = str(told.value)
    assert said.startswith(f"scoring.listen: port {port} of 127.0.0.1:{port} is taken by another process")
    assert "ss -ltnp" in said
    assert "choose another port" in said


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("second", [1, 2])
def test_second_gateway_on_the_same_port(opened, first: int, second: int) -> None:
    """Two gateways never share a port by accident, whatever the number of their workers."""
    (port,) = {each.getsockname()[1] for each in opened("127.0.0.1:0", first)}
    with pytest.raises(ListenError, match="is taken"):
        opened(f"127.0.0.1:{port}", second)


def test_control_the_kernel_alone_would_share_it(opened) -> None:
    """Control: SO_REUSEPORT by itself lets the second gateway in without a word."""
    port = opened("127.0.0.1:0", 2)[0].getsockname()[1]
    silent = sockets._bound(socket.AF_INET, ("127.0.0.1", port), shared=True)
    assert silent.getsockname()[1] == port
    silent.close()


def test_address_of_another_machine(opened) -> None:
    """An address that this machine does not have is told as such."""
    with pytest.raises(ListenError, match=r"^scoring.listen: 192.0.2.1:0 cannot be listened on \(Cannot assign"):
        opened("192.0.2.1:0")


def test_unknown_name(opened) -> None:
    """A name that means nothing is told as such."""
    with pytest.raises(ListenError, match=r"^scoring.listen: 'no.such.host.invalid' is no address of this machine"):
        opened("no.such.host.invalid:0")


def test_port_for_root(opened, monkeypatch) -> None:
    """A port that needs root is told with the ports that do not."""
    monkeypatch.setattr(sockets, "_bound", _raising(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(
        ListenError, match=r"^scoring.listen: port 443 of 127.0.0.1:443 needs root; choose one above 1023"
    ):
        opened("127.0.0.1:443")


def _raising(error):
    def fail(*_, **__):
        raise error

    return fail


def test_failure_leaves_nothing_open(opened, monkeypatch) -> None:
    """When the third of four sockets cannot be opened, the port is free again."""
    bound, made = sockets._bound, []

    def rarely(*arguments, **options):
        if len(made) == 3:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(bound(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(sockets, "_bound", rarely)
    with pytest.raises(ListenError, match="Too many open files"):
        opened("127.0.0.1:0", 4)
    assert all(each.fileno() == -1 for each in made)


@pytest.mark.parametrize(
    ("address", "parts"),
    [("0.0.0.0:8443", ("0.0.0.0", 8443)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))],
)
def test_split(address: str, parts) -> None:
    """Host and port, without brackets."""
    assert split(address) == parts


def test_unix_listener(tmp_path) -> None:
    """The link's socket is for this user alone."""
    path = tmp_path / "link"
    listening = unix_listener(str(path))
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert path.stat().st_uid == os.getuid()
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.close()
    listening.close()
