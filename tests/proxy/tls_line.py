"""A client that speaks real TLS, OpenSSL in memory, over a recorded TCP transport."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from gateway.certificate import make_development_certificate
from gateway.core.settings import ScoringSettings, TlsSettings
from gateway.proxy.handshake import Handshake
from gateway.proxy.listener import Listener
from gateway.proxy.tls import server_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Contexts:
    """A server's TLS as the gateway offers it, and clients that believe it."""

    def __init__(self, folder: Path) -> None:
        self.made = make_development_certificate(folder)

    def server(self, **settings) -> ssl.SSLContext:
        return server_context(
            TlsSettings(certificate=self.made.certificate, private_key=self.made.private_key, **settings)
        )

    def client(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.made.ca)
        context.minimum_version = context.maximum_version = version
        return context


class Recorder(asyncio.Protocol):
    """The protocol above TLS: remembers what it hears."""

    def __init__(self) -> None:
        self.arrivals: list[bytes] = []
        self.events: list[str] = []
        self.error: Exception | None = None
        self.answer = b""

    @property
    def received(self) -> bytes:
        return b"".join(self.arrivals)

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self.arrivals.append(data)
        if self.answer:
            self.transport.write(self.answer)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append("lost")
        self.error = error

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


class Recorders(Listener):
    """A listener whose connections are recorded."""

    def __init__(self, sweep, **limits) -> None:
        super().__init__(None, ScoringSettings(**limits), sweep, secure=True)
        self.made: list[Recorder] = []

    def __call__(self) -> Recorder:
        self.made.append(Recorder())
        return self.made[-1]


class Line:
    """One connection of such a client. `side` is its TCP."""

    def __init__(self, make_transport, listener: Listener, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.handshake = Handshake(listener, server)
        self.side = make_transport(self.handshake)
        self.handshake.connection_made(self.side)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.has_left = False
        self.size = 1 << 30

    def shake(self) -> None:
        """The handshake to its end; raises what the client meets."""
        for _ in range(5):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()
                continue
            finally:
                self._speak()
            self._hear()
            return
        raise AssertionError("no end")

    def exchange(self) -> None:
        """What the client has to say goes out, `size` bytes at a time, and what it was sent comes in."""
        self._speak()
        self._hear()

    def send(self, plain: bytes) -> None:
        self.write(plain)
        self.exchange()

    def write(self, plain: bytes) -> None:
        """Encrypt this, and keep it until the next exchange."""
        if plain:
            self.tls.write(plain)

    def farewell(self) -> None:
        """TLS's own end of a connection."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            self._speak()

    def read(self) -> bytes:
        """What has come; `has_left` tells whether that was all. Raises what the client meets."""
        self._hear()
        parts = []
        while self.incoming.pending or self.tls.pending():
            try:
                parts.append(self.tls.read(1 << 20))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.has_left = True
                break
            if not parts[-1]:
                self.has_left = True
                break
        self._speak()
        return b"".join(parts)

    def _speak(self) -> None:
        data = self.outgoing.read()
        self.side.send(*(data[at : at + self.size] for at in range(0, len(data), self.size)))

    def _hear(self) -> None:
        self.incoming.write(self.side.take())
