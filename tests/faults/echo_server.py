"""A container as a process that can be killed: gives bodies back, and notes on disk what it received.

    python echo_server.py --port 5001 --journal received.txt --milliseconds 2 --status 200

A request ends when its answer is written or its connection is gone. `GET /facts` tells how many there were, and how
many at once. The journal outlives a kill: a line for each request that was received whole, with its `x-test-id`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os

import httptools


class Facts:
    """What the container has seen."""

    def __init__(self, journal: str, seconds: float, status: int) -> None:
        self.seconds = seconds
        self.status = status
        self.requests = 0
        self.at_once = 0
        self.most_at_once = 0
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if journal else -1

    def begin(self, request_id: bytes) -> None:
        self.requests += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self._journal >= 0:
            os.write(self._journal, request_id + b"\n")

    def end(self) -> None:
        self.at_once -= 1


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._facts.end()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = bytearray()
        self._path = self._id = b""

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-test-id":
            self._id = value

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        facts = self._facts
        if self._path == b"/score":
            facts.begin(self._id)
            self._timer = asyncio.get_running_loop().call_later(facts.seconds, self._answer)
        elif self._path == b"/facts":
            self._write(json.dumps({"requests": facts.requests, "most_at_once": facts.most_at_once}).encode())
        else:
            self._write(b"Healthy")

    def _answer(self) -> None:
        self._timer = None
        self._write(bytes(self._body), self._facts.status)
        self._facts.end()

    def _write(self, body: bytes, status: int = 200) -> None:
        self._transport.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", default="")
    parser.add_argument("--milliseconds", type=float, default=1.0)
    parser.add_argument("--status", type=int, default=200)
    arguments = parser.parse_args()
    facts = Facts(arguments.journal, arguments.milliseconds / 1000, arguments.status)
    server = await asyncio.get_running_loop().create_server(lambda: Echo(facts), "127.0.0.1", arguments.port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
