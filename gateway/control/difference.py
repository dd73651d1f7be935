"""What a configuration that was read again changes: pure, from the values of before and after.

A reload may only do what a restart would do, and never more than the operator can be told in a line of the log.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter

from gateway.core.settings import Settings
from gateway.core.spec import ServiceSpec

Specs = Mapping[str, ServiceSpec]

HASH_CHARACTERS = 12
SHOWN_NAMES = 20
_SETTINGS = TypeAdapter(Settings)
_PASSWORD = re.compile(r"://.*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of services, each group sorted. `kept`: as they were, against the file, and why."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    kept: dict[str, str]

    @property
    def wanted(self) -> tuple[str, ...]:
        """Those that are to be served anew."""
        return self.added + self.changed

    def without(self, kept: Mapping[str, str]) -> Difference:
        """The difference that is left when these too stay as they were."""
        return Difference(
            tuple(name for name in self.added if name not in kept),
            tuple(name for name in self.changed if name not in kept),
            self.removed,
            {**self.kept, **kept},
        )

    def __str__(self) -> str:
        groups = (("added", self.added), ("changed", self.changed), ("removed", self.removed), ("kept", self.kept))
        return "; ".join(f"{group} {_some(tuple(names))}" for group, names in groups if names) or "no service changed"


def difference(before: Specs, after: Specs, others: Specs) -> Difference:
    """From the services of the file as they are served to those it declares now. `others`: made by the admin API."""
    found = Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
        removed=tuple(sorted(before.keys() - after.keys())),
        kept={},
    )
    taken = "the admin API made a service of this name: rename the one in the file, or delete the other and reload"
    found = found.without({name: taken for name in found.added if name in others})
    served = {name: spec for name, spec in before.items() if name not in found.removed} | dict(others)
    return found.without(host_clashes({name: after[name] for name in found.wanted}, served))


def host_clashes(wanted: Specs, served: Specs) -> dict[str, str]:
    """Which of the wanted services cannot have the hosts they ask for, and why.

    One that cannot stays as it is in `served`, with the hosts it has there: those then are not free for the others. A
    host may move from one wanted service to another.
    """
    owners = {host: name for name, spec in served.items() if name not in wanted for host in spec.hosts}
    left, clashes = dict(wanted), dict[str, str]()
    while found := {name: host for name, spec in left.items() for host in spec.hosts if host in owners}:
        for name, host in found.items():
            clashes[name] = f"its host {host} leads to {owners[host]} already; a host has one service"
            del left[name]
        owners |= {host: name for name in found if name in served for host in served[name].hosts}
    return clashes


def needs_restart(started: Settings, now: Settings) -> tuple[str, ...]:
    """Keys outside `services` whose value is another than the one the processes were started with."""
    return tuple(_changed(started, now, ""))


def fingerprint(settings: Settings) -> str:
    """A short hash of a configuration: equal for equal ones, whatever their secrets are."""
    document = _SETTINGS.dump_python(settings, mode="json")
    for service in document["services"].values():
        service["keys"] = service["keys"] is not None
        service["request_headers"]["set"] = sorted(service["request_headers"]["set"])
        for endpoint in (service["classic"] or {"endpoints": {}})["endpoints"].values():
            endpoint["keys"] = endpoint["keys"] is not None
    for name in ("url", "shared_limits"):
        document["store"][name] = _PASSWORD.sub("://", document["store"][name] or "")
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _changed(before: Any, after: Any, path: str) -> Iterator[str]:
    for item in fields(before):
        here = f"{path}{item.name}"
        old, new = getattr(before, item.name), getattr(after, item.name)
        if here == "services" or old == new:
            continue
        if is_dataclass(old) and type(old) is type(new):
            yield from _changed(old, new, f"{here}.")
        else:
            yield here
