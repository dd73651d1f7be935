"""Query parameters of an operation: known ones only, numbers within their range."""

from __future__ import annotations

from aiohttp import web

from gateway.control.api.operation import Operation
from gateway.control.api.operations import MAX_LIMIT
from gateway.control.refusal import Fault, Refused

DEFAULT_LIMIT = 100


def require_known(request: web.Request, operation: Operation) -> None:
    """Raises Refused (400) for a parameter that the operation does not have."""
    known = {parameter.name for parameter in operation.query}
    unknown = sorted(set(request.query) - known)
    if unknown:
        reason = f"is no parameter here; there are {', '.join(sorted(known))}"
        raise Refused(400, f"{unknown[0]} {reason}.", (Fault(unknown[0], reason),))


def number(request: web.Request, name: str, default: int, *, least: int, most: int) -> int:
    """A parameter that is a number. Raises Refused (400)."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        reason = f"should be a number from {least} to {most}"
        raise Refused(400, f"{name} {reason}.", (Fault(name, reason),))
    return int(text)


def limit(request: web.Request, name: str = "limit") -> int:
    """How many at most."""
    return number(request, name, DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
