"""TLS over a TCP transport, against a real client: whatever the pieces, pauses and ends, both read what was sent."""

from __future__ import annotations

import random
import ssl

import pytest
from tls_line import VERSIONS, Contexts, Line, Recorder, Recorders

from gateway.proxy.secure import MAX_UNASKED, RECORD, SecureTransport
from gateway.proxy.sweep import Sweep

REQUEST, ANSWER = b"q" * 420, b"a" * 300
ROUNDS = 25


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request) -> ssl.TLSVersion:
    return request.param


@pytest.fixture
def connect(contexts, make_transport, loop):
    """`connect(version)`: a line whose handshake is done, and the protocol at its other end."""
    listener = Recorders(Sweep(loop))

    def connect(version) -> tuple[Line, Recorder]:
        line = Line(make_transport, listener, contexts.server(), contexts.client(version))
        line.shake()
        line.read()
        assert not listener.clients
        return line, listener.made[-1]

    return connect


class Counted:
    """OpenSSL, with every call counted, and every exception."""

    def __init__(self, secure: SecureTransport) -> None:
        self._tls, secure._tls = secure._tls, self
        self.calls: list[str] = []
        self.sizes: list[int] = []

    def read(self, size: int) -> bytes:
        return self._counted("read", self._tls.read, size)

    def write(self, data) -> int:
        self.sizes.append(len(data))
        return self._counted("write", self._tls.write, data)

    def unwrap(self) -> None:
        self._tls.unwrap()

    def _counted(self, name, call, argument):
        self.calls.append(name)
        try:
            return call(argument)
        except ssl.SSLError:
            self.calls.append("raised")
            raise


# --- what is sent is what is read


def test_a_request_costs_one_call_each_way(connect, version) -> None:
    """One read without an exception, one write, one write to TCP, one delivery."""
    line, protocol = connect(version)
    protocol.answer = ANSWER
    counted = Counted(protocol.transport)
    writes = line.side.writes
    line.send(REQUEST)
    assert line.read() == ANSWER
    assert protocol.arrivals == [REQUEST]
    assert counted.calls == ["read", "write"]
    assert line.side.writes == writes + 1


def test_control_half_a_record_is_a_read_that_raises(connect, version) -> None:
    """Control: the count sees a read that has nothing to give."""
    line, protocol = connect(version)
    counted = Counted(protocol.transport)
    line.size = 200
    line.send(REQUEST)
    assert counted.calls == ["read", "raised"] * 2 + ["read"]


def test_every_cut(connect, version) -> None:
    """Three records, cut in two anywhere, or into single bytes, are delivered whole and in order."""
    line, protocol = connect(version)
    line.write(b"first")
    length = line.outgoing.pending + 5
    line.exchange()
    for at in range(1, 3 * length):
        line.write(b"first")
        line.write(b"second")
        line.write(b"third")
        line.size = at
        protocol.arrivals.clear()
        line.exchange()
        assert protocol.received == b"firstsecondthird"
    line.size = 1
    protocol.arrivals.clear()
    line.send(b"bits")
    assert protocol.received == b"bits"


def test_records_of_one_arrival_are_delivered_together(connect, version) -> None:
    """What came at once is delivered at once, and the answer to it is written once."""
    line, protocol = connect(version)
    for number in range(5):
        line.write(b"%d" % number)
    line.exchange()
    assert protocol.arrivals == [b"01234"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_much_is_written_in_records(connect, version, kind) -> None:
    """A large write is encrypted a record at a time, and handed to TCP at once."""
    line, protocol = connect(version)
    counted = Counted(protocol.transport)
    writes, data = line.side.writes, random.Random(1).randbytes(1_000_000)
    protocol.transport.write(kind(data))
    assert line.read() == data
    assert max(counted.sizes) == RECORD
    assert sum(counted.sizes) == len(data)
    assert line.side.writes == writes + 1


def test_much_is_read_in_parts(connect, version) -> None:
    """A large arrival is not put into OpenSSL's buffer whole: that would stay as large."""
    line, protocol = connect(version)
    fed = []

    class Incoming:
        pending = property(lambda _: real.pending)

        def write(self, data) -> None:
            fed.append(len(data))
            real.write(data)

    real, protocol.transport._incoming = protocol.transport._incoming, Incoming()
    data = random.Random(1).randbytes(260_000)
    line.send(data)
    assert protocol.received == data
    assert max(fed) == 2 * RECORD
    assert len(protocol.arrivals) <= 10


def test_nothing_is_written_for_nothing(connect, version) -> None:
    """An empty write is none: OpenSSL would call it an error."""
    line, protocol = connect(version)
    writes = line.side.writes
    protocol.transport.write(b"")
    assert line.side.writes == writes


class Talk:
    """One random conversation, by a seed: sizes, pieces, pauses, stalls, and how it ends."""

    def __init__(self, seed: int, connect) -> None:
        self.random = random.Random(seed)
        self.line, self.protocol = connect(self.random.choice(VERSIONS))
        self.sent, self.read, self.written = b"", b"", b""
        self.is_paused = False

    def step(self) -> None:
        moves = [self.client_sends, self.client_reads, self.server_writes, self.pause_or_resume, self.stall_or_not]
        self.random.choice(moves)()

    def client_sends(self) -> None:
        data = self.random.randbytes(self.size())
        self.sent += data
        self.line.size = self.random.choice((1 << 30, 5, 100, 1448, 16_000, 70_000)) if len(data) > 3000 else 7
        self.line.write(data)
        self.line.exchange()

    def client_reads(self) -> None:
        self.read += self.line.read()

    def server_writes(self) -> None:
        data = self.random.randbytes(self.size())
        self.written += data
        self.protocol.transport.write(data)

    def size(self) -> int:
        return self.random.choice((0, 1, 300, 16_383, 16_384, 16_385, 40_000, 140_000))

    def pause_or_resume(self) -> None:
        transport = self.protocol.transport
        (transport.resume_reading if self.is_paused else transport.pause_reading)()
        self.is_paused = not self.is_paused
        self.line.side.loop.settle()

    def stall_or_not(self) -> None:
        side = self.line.side
        (side.unstall if side.stalled else side.stall)()

    def end(self) -> None:
        """Both read on to the end; then one of them says farewell, or the wire is cut."""
        side = self.line.side
        if self.is_paused:
            self.pause_or_resume()
        if side.stalled:
            side.unstall()
        self.client_reads()
        assert self.protocol.received == self.sent
        assert self.read == self.written
        self.random.choice((self.client_leaves, self.server_leaves, self.cut))()
        assert self.protocol.events.count("lost") == 1
        assert self.protocol.events.count("pause") == self.protocol.events.count("resume")

    def client_leaves(self) -> None:
        self.line.farewell()
        assert "eof" in self.protocol.events
        assert self.line.read() == b""
        assert self.line.has_left

    def server_leaves(self) -> None:
        self.protocol.transport.close()
        assert self.line.read() == b""
        assert self.line.has_left
        self.line.side.shut()
        assert self.protocol.error is None

    def cut(self) -> None:
        self.line.side.shut()
        assert isinstance(self.protocol.error, ssl.SSLEOFError)
        assert "eof" not in self.protocol.events


@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 3000), marks=pytest.mark.prove)], ids=str)
def test_conversations(connect, seeds: range) -> None:
    """Random ones, by seeds: whatever sizes, pieces, pauses and stalls, all arrives once, in order, and ends once."""
    for seed in seeds:
        talk = Talk(seed, connect)
        for _ in range(ROUNDS):
            talk.step()
        talk.end()


def test_control_a_lost_record_is_seen(connect, monkeypatch) -> None:
    """Control: a transport that reads one record of an arrival and forgets the others does not pass."""
    monkeypatch.setattr(SecureTransport, "_receive_rest", lambda self, plain: self._protocol.data_received(plain))
    with pytest.raises((AssertionError, ssl.SSLError)):
        test_conversations(connect, range(60))


# --- how it ends


def test_close_says_farewell_and_waits(connect, version) -> None:
    """What was written is read, then a farewell and the end; what still comes is dropped, until the client ends."""
    line, protocol = connect(version)
    protocol.transport.pause_reading()
    protocol.transport.write(ANSWER)
    protocol.transport.close()
    assert protocol.transport.is_closing()
    assert line.read() == ANSWER
    assert line.has_left
    assert line.side.eof
    assert line.side.is_reading()
    line.send(REQUEST)
    protocol.transport.write(b"late")
    protocol.transport.close()
    line.side.loop.settle()
    assert (protocol.received, protocol.events) == (b"", [])
    assert not line.side.closing
    line.side.shut()
    assert (protocol.events, protocol.error) == (["lost"], None)


def test_farewell_of_the_client(connect, version) -> None:
    """A client that says farewell is heard to the end, told farewell, and gone."""
    line, protocol = connect(version)
    line.write(REQUEST)
    line.farewell()
    assert protocol.received == REQUEST
    line.side.loop.settle()
    assert (protocol.events, protocol.error) == (["eof", "lost"], None)
    assert line.read() == b""
    assert line.has_left


def test_farewell_behind_the_last_request(connect, version) -> None:
    """A protocol that closes upon a request, behind which the client's farewell has come, waits for nothing more."""
    line, protocol = connect(version)
    protocol.data_received = lambda _: protocol.transport.close()
    line.write(REQUEST)
    line.farewell()
    line.side.loop.settle()
    assert (protocol.events, protocol.error) == (["lost"], None)
    assert line.read() == b""
    assert line.has_left


def test_cut_wire(connect, version) -> None:
    """A client that ends without a farewell was cut off: an error, and no end of file."""
    line, protocol = connect(version)
    line.send(REQUEST)
    line.side.shut()
    assert protocol.events == ["lost"]
    assert isinstance(protocol.error, ssl.SSLEOFError)
    protocol.transport.write(b"late")
    protocol.transport.close()


def test_reset(connect, version) -> None:
    """What broke the TCP connection is what the protocol is told."""
    line, protocol = connect(version)
    line.side.reset()
    assert isinstance(protocol.error, ConnectionResetError)


def test_abort_says_nothing(connect, version) -> None:
    """An answer that is broken off ends without a farewell: the client sees that it is cut."""
    line, protocol = connect(version)
    protocol.transport.write(ANSWER)
    protocol.transport.abort()
    assert line.side.aborted
    assert line.read() == ANSWER
    assert not line.has_left
    line.side.loop.settle()
    assert (protocol.events, protocol.error) == (["lost"], None)


def test_altered_record(connect, version) -> None:
    """Bytes that were altered on their way end the connection with an alert; what came before them is delivered."""
    line, protocol = connect(version)
    line.write(b"good")
    line.write(b"bad")
    data = bytearray(line.outgoing.read())
    data[-1] ^= 1
    line.side.send(bytes(data))
    line.side.loop.settle()
    assert protocol.received == b"good"
    assert protocol.events == ["lost"]
    assert isinstance(protocol.error, ssl.SSLError)
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        line.read()


def test_garbage_alone(connect, version) -> None:
    """So does what is no record at all."""
    line, protocol = connect(version)
    line.side.send(b"GET / HTTP/1.1\r\n\r\n")
    line.side.loop.settle()
    assert (protocol.received, protocol.events) == (b"", ["lost"])
    with pytest.raises(ssl.SSLError):
        line.read()


def test_protocol_that_closes_drops_the_rest_of_an_arrival(connect, version) -> None:
    """After a close or an abort within a delivery nothing more is delivered."""
    line, protocol = connect(version)
    protocol.data_received = lambda data: (protocol.arrivals.append(data), protocol.transport.abort())
    line.send(bytes(200_000))
    assert len(protocol.arrivals) == 1


# --- back-pressure


def test_client_that_does_not_read(connect, version) -> None:
    """The protocol is asked to pause once the limit waits, and to go on when the client has read."""
    line, protocol = connect(version)
    protocol.transport.set_write_buffer_limits(65_536)
    line.side.stall()
    data = random.Random(2).randbytes(50_000)
    protocol.transport.write(data)
    assert protocol.events == []
    protocol.transport.write(data)
    assert protocol.events == ["pause"]
    assert 100_000 < protocol.transport.get_write_buffer_size() < 101_000
    line.side.unstall()
    assert protocol.events == ["pause", "resume"]
    assert protocol.transport.get_write_buffer_size() == 0
    assert line.read() == data + data


def test_protocol_that_does_not_read(connect, version) -> None:
    """While reading is paused TCP holds the client back, and nothing is kept here."""
    line, protocol = connect(version)
    protocol.transport.pause_reading()
    line.send(REQUEST)
    assert line.side.reading_paused
    assert protocol.arrivals == []
    protocol.transport.resume_reading()
    line.side.loop.settle()
    assert protocol.arrivals == [REQUEST]


class Asked:
    """OpenSSL whose peer makes it say `size` bytes with each arrival, which has no data, or `plain`."""

    def __init__(self, secure: SecureTransport, size: int, plain: bytes = b"") -> None:
        self._outgoing, self._incoming, self._size, self._plain = secure._outgoing, secure._incoming, size, plain
        secure._tls = self

    def read(self, _: int) -> bytes:
        self._incoming.read()
        self._outgoing.write(bytes(self._size))
        if self._plain:
            return self._plain
        raise ssl.SSLWantReadError


@pytest.mark.parametrize("plain", [b"", b"x"])
def test_unasked_is_sent(connect, plain: bytes) -> None:
    """What OpenSSL has to say by itself, asked for alone or with data, is sent at once."""
    line, protocol = connect(ssl.TLSVersion.TLSv1_3)
    Asked(protocol.transport, 27, plain)
    line.side.send(b"x")
    assert line.side.take() == bytes(27)
    assert protocol.received == plain


@pytest.mark.parametrize("plain", [b"", b"x"])
def test_peer_that_asks_on_without_reading(connect, plain: bytes) -> None:
    """Who makes OpenSSL talk and does not read is ended, before what waits for it has grown large."""
    line, protocol = connect(ssl.TLSVersion.TLSv1_3)
    protocol.transport.set_write_buffer_limits(65_536)
    Asked(protocol.transport, 27, plain)
    line.side.stall()
    waiting = 0
    while not protocol.transport.is_closing():
        waiting = protocol.transport.get_write_buffer_size() + protocol.transport._outgoing.pending
        assert waiting < 65_536 + 2 * MAX_UNASKED
        line.side.send(b"x")
    assert waiting > 65_536
    assert line.side.aborted


def test_peer_that_asked_and_reads_on(connect) -> None:
    """What waited in OpenSSL for a peer that did not read goes out as soon as it reads."""
    line, protocol = connect(ssl.TLSVersion.TLSv1_3)
    line.side.stall()
    protocol.transport.write(bytes(70_000))
    waiting = protocol.transport.get_write_buffer_size()
    secure = protocol.transport
    real, asked = secure._tls, Asked(secure, 27)
    line.side.send(b"x")
    assert secure.get_write_buffer_size() == waiting
    secure._tls = real
    assert asked._outgoing.pending == 27
    line.side.unstall()
    assert line.side.take()[-27:] == bytes(27)


def test_message_of_the_handshake_that_does_not_end(connect) -> None:
    """A peer that begins such a message and does not finish it, so that OpenSSL sends nothing, is ended."""
    line, protocol = connect(ssl.TLSVersion.TLSv1_3)

    class Blocked:
        def write(self, _: bytes) -> int:
            raise ssl.SSLWantReadError

    protocol.transport._tls = Blocked()
    protocol.transport.write(ANSWER)
    line.side.loop.settle()
    assert isinstance(protocol.error, ssl.SSLWantReadError)


# --- what can be asked


def test_extra_info(connect, contexts, version) -> None:
    """What TLS knows of the connection, and what TCP knows of it."""
    line, protocol = connect(version)
    asked = protocol.transport.get_extra_info
    assert asked("ssl_object").version() == line.tls.version()
    assert asked("cipher") == line.tls.cipher()
    assert isinstance(asked("sslcontext"), ssl.SSLContext)
    assert asked("peercert") is None
    assert asked("peername") == ("192.0.2.7", 40000)
    assert not protocol.transport.can_write_eof()
