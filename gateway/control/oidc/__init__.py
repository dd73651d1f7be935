"""OpenID Connect: whose tokens open the admin API, and what they may do. Nothing here blocks the loop."""

from gateway.control.oidc.identity import Identities, OidcIdentity
from gateway.control.oidc.provider import Provider, ProviderAway

__all__ = ["Identities", "OidcIdentity", "Provider", "ProviderAway"]
