"""The examples in the OpenAPI document: one service, seen through every operation."""

from __future__ import annotations

from typing import Any

from gateway.control.api.view import as_configured
from gateway.core.spec import ServiceSpec

_BACKENDS = ["http://127.0.0.1:5001"]
_KEYS = ("sg1_" + "P" * 36 + "000000", "sg1_" + "S" * 36 + "000000")
_SLOT = {
    "id": "k_5f0c1a2b3c4d",
    "created_at": "2026-11-01T18:00:00.000Z",
    "expires_at": None,
    "grace_until": None,
    "last_used_at": "2026-11-18T18:00:00.000Z",
    "uses_24h": 0,
    "former": None,
    "safe_to_regenerate": True,
    "advice": "secondary: last used 3 days ago, 0 uses in 24 h: safe to regenerate",
}
_PRIMARY = {
    **_SLOT,
    "id": "k_0a1b2c3d4e5f",
    "last_used_at": "2026-11-21T18:00:00.000Z",
    "uses_24h": 34012,
    "safe_to_regenerate": False,
    "advice": "primary: last used just now, 34012 uses in 24 h: not safe to regenerate, move its callers to the other "
    "key first or give a grace",
}
_MASTER_KEY = {
    "id": "9f2b6c1d0e4a7835",
    "file": "/etc/scoregate/master-2027.key",
    "data_keys": 2,
    "previous": [
        {"id": "41c09a7be2d35f68", "file": "/etc/scoregate/master-2026.key", "data_keys": 0, "is_needed": False}
    ],
}
_KIDS = (
    "6mZzEZ0k1B9Rk8yU2pYr7nqXv1f2cT3jQeWb4aHs5Lw",
    "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "nJw9x0pC3yVd5uT7rQ1sLk2mZb4gHf6eXa8oYt0iUvE",
)

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

_LIMIT: dict[str, Any] = {"name": "burst", "requests": 100, "per_seconds": 1.0, "burst": 200, "partition": "credential"}
_CALLER: dict[str, Any] = {
    "name": "acme",
    "id": "k_9b1c2d3e4f5a",
    "verbs": ["score"],
    "rate_limits": [_LIMIT],
    "expires_at": "2027-12-31T23:59:59.000Z",
    "created_at": "2026-11-21T18:00:00.000Z",
    "regenerated_at": "2026-11-21T18:00:00.000Z",
    "grace_until": None,
    "last_used_at": "2026-11-21T18:30:00.000Z",
    "uses_24h": 1200,
    "former": None,
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
    "Keys": {"primary_key": _KEYS[0], "secondary_key": _KEYS[1], "slots": {"primary": _PRIMARY, "secondary": _SLOT}},
    "KeySlot": {"slot": "secondary", **_SLOT},
    "KeyPatch": {"expires_at": "2027-01-31T00:00:00Z"},
    "MasterKey": _MASTER_KEY,
    "RewrappedKeys": {"rewrapped": 1, **_MASTER_KEY},
    "RegenerateRequest": {"grace_seconds": 3600},
    "RegeneratedKey": {
        "slot": "primary",
        "value": _KEYS[0],
        "id": "k_5f0c1a2b3c4d",
        "grace_until": "2026-11-21T19:00:00.000Z",
        "acknowledged": {"workers": 2, "replicas": 1, "of": 1},
    },
    "CallerRequest": {
        "name": "acme",
        "expires_at": "2027-12-31T23:59:59Z",
        "verbs": ["score"],
        "rate_limits": [_LIMIT],
    },
    "CallerPatch": {"expires_at": "2028-12-31T23:59:59Z", "rate_limits": None},
    "RegenerateCallerRequest": {"grace_seconds": 3600},
    "Caller": _CALLER,
    "CallerPage": {"value": [_CALLER]},
    "ShownCaller": {**_CALLER, "key": _KEYS[0]},
    "CallerWithKey": {**_CALLER, "key": _KEYS[0], "acknowledged": {"workers": 2, "replicas": 1, "of": 1}},
    "TokenRequest": {"verbs": ["score"], "lifetime_seconds": 3600},
    "Token": {
        "token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl",
        "token_type": "Bearer",
        "refresh_by": "2026-11-21T18:30:00Z",
        "expires_at": "2026-11-21T19:00:00Z",
    },
    "AuditPage": {
        "value": [
            {
                "id": 17,
                "at": "2026-11-21T18:00:00.000Z",
                "actor": "oidc:8a1f0c52",
                "from": "203.0.113.7",
                "action": "regenerate_key",
                "service": "diabetes",
                "target": "secondary",
                "result": "done",
            }
        ]
    },
    "RevokeRequest": {"subject": "alice"},
    "RevokedTokens": {"revoked_before": "2026-11-21T18:00:01Z"},
    "RotateRequest": {},
    "SigningKeys": {
        "value": [
            {"kid": _KIDS[0], "state": "retiring", "not_after": "2026-11-22T18:01:00.000Z"},
            {"kid": _KIDS[1], "state": "active", "not_after": None},
            {"kid": _KIDS[2], "state": "next", "not_after": None},
        ]
    },
}
