"""Who is calling: a key, a token, or nobody. Which of them open the door, the service says (RFC 6750 for refusals)."""

from __future__ import annotations

from gateway.core.exchange import ANONYMOUS, Caller, Exchange
from gateway.core.jws import MAX_BYTES
from gateway.core.problem import Reply
from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.core.token import looks_like_token
from gateway.policy.challenge import refuse
from gateway.policy.key_door import KeyDoor
from gateway.policy.throttle import compile_throttle
from gateway.policy.token_door import TokenDoor
from gateway.policy.world import World

HOW_TO = "send 'Authorization: Bearer <key or token>'"
MAX_CREDENTIAL_BYTES = MAX_BYTES


def compile_check(entry: ServiceEntry, world: World) -> Check:
    """The check of this service. Without key and token authentication everyone is anonymous."""
    by_key = KeyDoor(entry, world) if entry.spec.key_auth else None
    by_token = TokenDoor(entry, world) if entry.spec.token_auth else None
    throttle = compile_throttle(entry.name, world)

    def authenticate(exchange: Exchange) -> Reply | None:
        credential = _credential(exchange)
        if isinstance(credential, Reply):
            return credential
        opened: Caller | Reply | None = None
        if by_token is not None and (by_key is None or looks_like_token(credential)):
            opened = by_token.open(credential, exchange)
        if by_key is not None and not isinstance(opened, Caller):
            # An admin may have set a key that looks like a token. Where it is none, the token's refusal is said.
            as_key = by_key.open(credential, exchange)
            opened = as_key if opened is None or isinstance(as_key, Caller) else opened
        if isinstance(opened, Caller):
            exchange.caller = opened
            return None
        assert opened is not None, "there is a door for keys, for tokens, or for both"
        return throttle(exchange, opened)

    def anyone(exchange: Exchange) -> None:
        exchange.caller = ANONYMOUS

    return authenticate if by_key or by_token else anyone


def _credential(exchange: Exchange) -> bytes | Reply:
    """The bearer credential of a request, or the refusal that says what is missing."""
    field = exchange.fields.get(b"authorization")
    if field is None:
        return refuse("no_credential", f"This service needs a credential: {HOW_TO}.", error="")
    if exchange.repeated == b"authorization":
        return refuse(
            "two_credentials",
            f"There are two Authorization fields: {HOW_TO} once.",
            status=400,
            error="invalid_request",
        )
    scheme, _, credential = field.partition(b" ")
    credential = credential.strip()
    if scheme.lower() != b"bearer":
        return refuse("no_bearer_scheme", f"The Authorization field does not start with 'Bearer': {HOW_TO}.", error="")
    if not credential:
        return refuse("no_credential", f"Nothing follows 'Bearer': {HOW_TO}.", error="")
    if len(credential) > MAX_CREDENTIAL_BYTES:
        return refuse("credential_too_long", f"The credential has more than {MAX_CREDENTIAL_BYTES} bytes.")
    return credential
