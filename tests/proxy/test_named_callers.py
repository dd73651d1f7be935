"""Named callers and what a worker remembers: a head that was let in once is judged anew when its caller changes."""

from __future__ import annotations

import pytest

from gateway.core import key
from gateway.core.caller import CallerLimitSpec
from gateway.core.snapshot import CallerEntry, RosterChange, Update
from gateway.proxy.framing import Framing
from gateway.proxy.memo import HeadMemo

PATH = b"/api/v1/service/svc/score"
HEAD = b"POST %b HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %%b\r\nContent-Length: 3\r\n\r\n[1]" % PATH


@pytest.fixture
def rig(make_rig):
    return make_rig(keys=True)


@pytest.fixture
def memo(rig) -> HeadMemo:
    """Of the rig's one service."""
    return HeadMemo(8, 32_768, rig.table, rig.world)


@pytest.fixture
def tell(rig):
    """`tell(*names, gone, **fields)`: callers whose keys are their names."""

    def change(*names: str, gone=(), **fields) -> None:
        digests = {name: key.digest(rig.world.trust.digest_key, name.encode()) for name in names}
        callers = tuple(
            CallerEntry(name=name, digest=digest, id=f"k_{name}", verbs=("score",), **fields)
            for name, digest in digests.items()
        )
        rig.compiler.apply(Update(serial=2, rosters=(RosterChange(service="svc", callers=callers, gone=gone),)))

    return change


@pytest.fixture
def remembered(rig, memo):
    """`remembered(name)`: a request of this caller, as the memo brings it back; it was sent twice before."""

    def send(name: bytes):
        known = None
        for _ in range(2):
            arrived: list = []
            Framing(arrived.append, max_head=32_768, secure=False).feed(HEAD % name)
            exchange = arrived[0].exchange
            exchange.wall = rig.clock.module.time()
            target = rig.table.find(PATH, b"gateway")
            exchange.operation = target.operation
            assert target.route.decide(exchange) is None
            known = memo.note((HEAD % name)[:-3], arrived[0], target)
        return lambda: memo.recall(HEAD % name, known)

    return send


def test_revoked(tell, remembered) -> None:
    """Nothing of a revoked caller is remembered; the control: while nothing changes its head is."""
    tell("acme", "other")
    acme = remembered(b"acme")
    assert acme().exchange.caller.subject == "acme"
    tell(gone=("acme",))
    assert acme() is None


def test_another_key(tell, remembered) -> None:
    """Nor of a key that was replaced, without a grace."""
    tell("acme")
    acme = remembered(b"acme")
    tell("acme", "other")
    assert acme() is None
    assert remembered(b"acme")() is not None


def test_expired(tell, remembered, rig) -> None:
    """A head opens as long as the key does."""
    tell("acme", expires_at=rig.clock.module.time() + 10)
    acme = remembered(b"acme")
    rig.pass_time(9)
    assert acme() is not None
    rig.pass_time(1)
    assert acme() is None


def test_limits_are_asked_again(tell, remembered, rig) -> None:
    """Limits of a caller are among the checks that a remembered head has to pass."""
    tell("acme")
    assert rig.table.get("svc").rechecks == ()
    tell("acme", rate_limits=(CallerLimitSpec("one", 1),))
    assert len(rig.table.get("svc").rechecks) == 1
    assert remembered(b"acme")().exchange.caller.key_id == "k_acme"
