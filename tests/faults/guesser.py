"""Somebody who tries keys: a process of its own, so that its work does not slow down who is measured beside it.

`python guesser.py PORT PATH COUNT PER_SECOND`: prints `{"<status>": how many}`; the keys look like real ones.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections import Counter

from gateway.core import key


def guess(port: int, path: str, count: int, per_second: float) -> Counter[int]:
    """Statuses of so many requests, each with another wrong key, from another address of the loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15, source_address=("127.0.0.2", 0))
    statuses: Counter[int] = Counter()
    began = time.monotonic()
    for number in range(count):
        headers = {"Authorization": f"Bearer {key.generate()}", "Content-Type": "application/json"}
        connection.request("POST", path, b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1
        time.sleep(max(0.0, began + (number + 1) / per_second - time.monotonic()))
    connection.close()
    return statuses


if __name__ == "__main__":
    port, path, count, per_second = sys.argv[1:]
    print(json.dumps(guess(int(port), path, int(count), float(per_second))))  # noqa: T201
