"""The examples in the OpenAPI document: one service, seen through every operation."""

from __future__ import annotations

from typing import Any

from gateway.control.api.view import as_configured
from gateway.core.spec import ServiceSpec

_BACKENDS = ["http://127.0.0.1:5001"]
_KEYS = ("sg1_" + "P" * 36 + "000000", "sg1_" + "S" * 36 + "000000")
_SLOT = {"id": "k_5f0c1a2b3c4d", "created_at": "2026-11-21T18:00:00.000Z", "expires_at": None, "grace_until": None}
_KID = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

_SERVICE: dict[str, Any] = {
    "name": "diabetes",
    **{name: value for name, value in as_configured(ServiceSpec(backends=tuple(_BACKENDS))).items() if name != "keys"},
    "auth_enabled": True,
    "token_auth_enabled": True,
    "scoring_uri": "https://localhost:8443/api/v1/service/diabetes/score",
    "swagger_uri": "https://localhost:8443/api/v1/service/diabetes/swagger.json",
    "state": "Healthy",
    "origin": "api",
    "created_at": "2026-11-21T18:00:00.000Z",
    "updated_at": "2026-11-21T18:00:00.000Z",
}

EXAMPLES: dict[str, object] = {
    "ServiceSpec": {"backends": _BACKENDS, "token_auth_enabled": True, "tags": {"team": "health"}},
    "ServicePatch": {"max_queue_wait_ms": 2000, "cors": {"allowed_origins": ["https://app.example.com"]}},
    "Service": _SERVICE,
    "ServicePage": {"value": [_SERVICE]},
    "Status": {
        "state": "Healthy",
        "deployments": {
            "default": {
                "traffic": 100,
                "backends": [
                    {
                        "url": _BACKENDS[0],
                        "address": None,
                        "state": "Healthy",
                        "outstanding": 1,
                        "since": "2026-11-21T18:00:00.000Z",
                    }
                ],
            }
        },
        "queue": {"length": 0},
        "utilization": 1.0,
    },
    "Keys": {"primary_key": _KEYS[0], "secondary_key": _KEYS[1], "slots": {"primary": _SLOT, "secondary": _SLOT}},
    "RegenerateRequest": {},
    "RegeneratedKey": {
        "slot": "primary",
        "value": _KEYS[0],
        "id": "k_5f0c1a2b3c4d",
        "grace_until": None,
        "acknowledged": {"workers": 2, "replicas": 1, "of": 1},
    },
    "TokenRequest": {"verbs": ["score"], "lifetime_seconds": 3600},
    "Token": {
        "token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl",
        "token_type": "Bearer",
        "refresh_by": "2026-11-21T18:30:00Z",
        "expires_at": "2026-11-21T19:00:00Z",
    },
    "SigningKeys": {"value": [{"kid": _KID, "state": "active", "not_after": None}]},
}

PROBLEM: dict[str, object] = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The body does not fit: cors.allowed_origin: is no known field",
    "request_id": "0af7651916cd43dd8448eb211c80319c",
    "errors": [{"path": "cors.allowed_origin", "reason": "is no known field"}],
}
