"""A JSON Web Key Set (RFC 7517) as the keys that may verify: each with the one algorithm it is for.

A key that is for something else, or of a kind we do not know, is left out: others of the set may still serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.jwk import JwkError, PublicKey

MAX_KEYS = 100
_BY_KIND = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
"""For keys that do not say what they are for, as those of Entra ID."""


def verifying_keys(document: Mapping[str, Any]) -> dict[str, PublicKey]:
    """The keys of the set by `kid`."""
    members = document.get("keys")
    found: dict[str, PublicKey] = {}
    for jwk in members[:MAX_KEYS] if isinstance(members, list) else ():
        if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str):
            algorithm = jwk.get("alg") or _BY_KIND.get(str(jwk.get("kty")))
            try:
                found[jwk["kid"]] = PublicKey(str(algorithm), jwk)
            except JwkError:
                continue
    return found
