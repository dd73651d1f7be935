"""Who is calling: a key, a token, or nobody. Which of them open the door, the service says (RFC 6750 for refusals)."""

from __future__ import annotations

from hmac import compare_digest

from gateway.core import key, token
from gateway.core.exchange import ANONYMOUS, Caller, Exchange
from gateway.core.problem import Headers, Reply
from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.policy.world import World

HOW_TO = "send 'Authorization: Bearer <key or token>'"
MAX_CREDENTIAL_BYTES = token.MAX_BYTES


def compile_check(entry: ServiceEntry, world: World) -> Check:
    """The check of this service. Without key and token authentication everyone is anonymous."""
    by_key = _KeyDoor(entry, world) if entry.spec.key_auth else None
    by_token = _TokenDoor(entry, world) if entry.spec.token_auth else None

    def authenticate(exchange: Exchange) -> Reply | None:
        credential = _credential(exchange)
        if isinstance(credential, Reply):
            return credential
        opened: Caller | Reply | None = None
        if by_key is not None:
            opened = by_key.open(credential)
        if by_token is not None and not isinstance(opened, Caller) and (opened is None or _is_token(credential)):
            opened = by_token.open(credential, exchange)
        if isinstance(opened, Caller):
            exchange.caller = opened
            return None
        return opened

    def anyone(exchange: Exchange) -> None:
        exchange.caller = ANONYMOUS

    return authenticate if by_key or by_token else anyone


class _KeyDoor:
    """Opens with one of the service's keys: a look-up by HMAC, compared in constant time at last."""

    __slots__ = ("_callers", "_digest_key", "_name")

    def __init__(self, entry: ServiceEntry, world: World) -> None:
        self._name = entry.name
        self._digest_key = world.trust.digest_key
        self._callers = {
            known.digest: (known.digest, Caller("key", f"{entry.name}/{known.slot}", known.id, known.slot))
            for known in entry.keys
        }

    def open(self, credential: bytes) -> Caller | Reply:
        digest = key.digest(self._digest_key, credential)
        found = self._callers.get(digest)
        if found is not None and compare_digest(found[0], digest):
            return found[1]
        if _is_token(credential):
            return _refuse("token_not_accepted", f"{self._name} opens with a key, not with a token.")
        if key.is_mistyped(credential.decode("latin-1")):
            return _refuse("mistyped_key", "The key's checksum does not fit: it was not copied whole, or was changed.")
        return _refuse(
            "wrong_key", f"The key opens nothing at {self._name}: it is another service's, or was regenerated."
        )


class _TokenDoor:
    """Opens with a token that was issued for this service, for what is being done, and is valid now."""

    __slots__ = ("_born", "_name", "_world")

    def __init__(self, entry: ServiceEntry, world: World) -> None:
        self._name = entry.name
        self._born = entry.born
        self._world = world

    def open(self, credential: bytes, exchange: Exchange) -> Caller | Reply:
        if not _is_token(credential):
            return _refuse("key_not_accepted", f"{self._name} opens with a token only: ask its owner for one.")
        try:
            claims = self._world.claims(credential)
        except token.TokenError as error:
            return _refuse("invalid_token", str(error))
        if claims.service != self._name:
            return _refuse("token_of_another_service", f"The token was issued for another service than {self._name}.")
        if claims.issued_at < int(self._born):
            return _refuse("invalid_token", f"The token was issued for an earlier service named {self._name}.")
        if why := token.why_not_now(claims, exchange.wall):
            return _refuse("token_not_now", why)
        verb = "swagger" if exchange.operation == "swagger" else "score"
        if verb not in claims.verbs:
            return _refuse(
                "insufficient_scope", f"The token does not allow {verb!r}.", status=403, error="insufficient_scope"
            )
        return Caller("token", claims.subject, claims.token_id)


def _is_token(credential: bytes) -> bool:
    return token.looks_like_token(credential)


def _credential(exchange: Exchange) -> bytes | Reply:
    """The bearer credential of a request, or the refusal that says what is missing."""
    field = exchange.fields.get(b"authorization")
    if field is None:
        return _refuse("no_credential", f"This service needs a credential: {HOW_TO}.", error="")
    if exchange.repeated == b"authorization":
        return _refuse(
            "two_credentials",
            f"There are two Authorization fields: {HOW_TO} once.",
            status=400,
            error="invalid_request",
        )
    scheme, _, credential = field.partition(b" ")
    credential = credential.strip()
    if scheme.lower() != b"bearer":
        return _refuse("no_bearer_scheme", f"The Authorization field does not start with 'Bearer': {HOW_TO}.", error="")
    if not credential:
        return _refuse("no_credential", f"Nothing follows 'Bearer': {HOW_TO}.", error="")
    if len(credential) > MAX_CREDENTIAL_BYTES:
        return _refuse("credential_too_long", f"The credential has more than {MAX_CREDENTIAL_BYTES} bytes.")
    return credential


def _refuse(reason: str, detail: str, *, status: int = 401, error: str = "invalid_token") -> Reply:
    challenge = 'Bearer realm="scoregate"'
    if error:
        challenge += f', error="{error}", error_description="{detail.replace(chr(34), chr(39))}"'
    headers: Headers = ((b"www-authenticate", challenge.encode("ascii", "replace")),)
    return Reply(status, reason, detail, "authenticate", headers)
