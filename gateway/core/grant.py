"""Who may do what: roles, for every service or for some, and how the values of a claim give them.

An entry of `admin.oidc.roles` has one of three forms. `ml-platform`: this value gives the role for every service.
`ml-health on diabetes`: this value gives it for that service. `{service}:contributor`: a value of this form gives it
for the service that it names, as `diabetes:contributor` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.settings import SERVICE_PLACE, Role
from gateway.core.spec import SERVICE_NAME_PATTERN

RANK: dict[Role, int] = {"caller": 0, "reader": 1, "contributor": 2, "owner": 3}
"""Each role may do what those before it may."""

_FOR_ONE = re.compile(rf"(?P<value>.+) on (?P<service>{SERVICE_NAME_PATTERN.strip('^$')})")


@dataclass(frozen=True, slots=True)
class Grants:
    """`everywhere`: the role for every service and for what belongs to none; `services`: further roles by service."""

    everywhere: Role | None = None
    services: Mapping[str, Role] = field(default_factory=dict)

    def role(self, service: str | None) -> Role | None:
        """The highest role for a service; None: for what belongs to no service."""
        own = None if service is None else self.services.get(service)
        return _higher(self.everywhere, own)

    def allow(self, least: Role, service: str | None) -> bool:
        """Whether they reach this role for the service; None: for what belongs to no service."""
        role = self.role(service)
        return role is not None and RANK[role] >= RANK[least]

    def allow_somewhere(self, least: Role) -> bool:
        """Whether they reach this role for every service, or for one at least."""
        return any(RANK[role] >= RANK[least] for role in (self.everywhere, *self.services.values()) if role)


class RoleTable:
    """`admin.oidc.roles`, ready to be asked."""

    __slots__ = ("_everywhere", "_forms", "_services")

    def __init__(self, roles: Mapping[Role, Sequence[str]]) -> None:
        self._everywhere: dict[str, Role] = {}
        self._services: dict[str, dict[str, Role]] = {}
        self._forms: list[tuple[str, str, Role]] = []
        for role in sorted(roles, key=RANK.__getitem__):
            for entry in roles[role]:
                self._add(entry, role)

    def grants(self, values: Iterable[str]) -> Grants:
        """What the values of somebody's claim give together: of several roles the highest."""
        everywhere: Role | None = None
        services: dict[str, Role] = {}
        for value in values:
            everywhere = _higher(everywhere, self._everywhere.get(value))
            for service, role in self._of_services(value):
                services[service] = _higher(services.get(service), role) or role
        return Grants(everywhere, services)

    def _add(self, entry: str, role: Role) -> None:
        prefix, place, suffix = entry.partition(SERVICE_PLACE)
        if place:
            self._forms.append((prefix, suffix, role))
        elif one := _FOR_ONE.fullmatch(entry):
            self._services.setdefault(one["value"], {})[one["service"]] = role
        else:
            self._everywhere[entry] = role

    def _of_services(self, value: str) -> Iterable[tuple[str, Role]]:
        yield from self._services.get(value, {}).items()
        for prefix, suffix, role in self._forms:
            if value.startswith(prefix) and value.endswith(suffix):
                service = value[len(prefix) : len(value) - len(suffix)]
                if re.fullmatch(SERVICE_NAME_PATTERN, service):
                    yield service, role


def _higher(one: Role | None, other: Role | None) -> Role | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=RANK.__getitem__)
