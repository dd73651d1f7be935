"""Records to rows and back: one pair of functions for each table, nothing that talks to a database.

Times are written as UTC and come back timezone-aware, whatever the database made of them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

from gateway.core.record import (
    DataKeyRecord,
    InstallationRecord,
    KeyRecord,
    Sealed,
    ServiceRecord,
    SigningKeyRecord,
)
from gateway.core.spec import ServiceSpec
from gateway.core.store import StoreError

Values = dict[str, Any]

_SPEC = TypeAdapter(ServiceSpec)


def installation_row(record: InstallationRecord) -> Values:
    """Columns of the one row that `installation` may hold."""
    return {
        "singleton": 1,
        "id": record.id,
        **_sealed_columns(record.digest_key),
        "created_at": _utc(record.created_at),
    }


def installation_record(row: RowMapping) -> InstallationRecord:
    """Inverse of `installation_row`."""
    return InstallationRecord(row["id"], _sealed(row), _aware(row["created_at"]))


def data_key_row(record: DataKeyRecord) -> Values:
    """Columns of `data_keys`."""
    return {
        "id": record.id,
        "master_key_id": record.master_key_id,
        "wrapped": record.wrapped,
        "created_at": _utc(record.created_at),
    }


def data_key_record(row: RowMapping) -> DataKeyRecord:
    """Inverse of `data_key_row`."""
    return DataKeyRecord(row["id"], row["master_key_id"], row["wrapped"], _aware(row["created_at"]))


def service_row(record: ServiceRecord) -> Values:
    """Columns of `services`. Raises ValueError for a spec that holds keys: here they would stand in plain text."""
    return {
        "name": record.name,
        "origin": record.origin,
        "spec": None if record.spec is None else _spec_text(record.name, record.spec),
        "created_at": _utc(record.created_at),
        "updated_at": _utc(record.updated_at),
        "version": record.version,
    }


def service_record(row: RowMapping) -> ServiceRecord:
    """Inverse of `service_row`. Raises StoreError when the spec does not read."""
    return ServiceRecord(
        name=row["name"],
        origin=row["origin"],
        spec=None if row["spec"] is None else _spec(row["name"], row["spec"]),
        created_at=_aware(row["created_at"]),
        updated_at=_aware(row["updated_at"]),
        version=row["version"],
    )


def key_row(record: KeyRecord) -> Values:
    """Columns of `service_keys`."""
    return {
        "service": record.service,
        "slot": record.slot,
        "id": record.id,
        "version": record.version,
        **_sealed_columns(record.value),
        "created_at": _utc(record.created_at),
    }


def key_record(row: RowMapping) -> KeyRecord:
    """Inverse of `key_row`."""
    return KeyRecord(
        service=row["service"],
        slot=row["slot"],
        id=row["id"],
        version=row["version"],
        value=_sealed(row),
        created_at=_aware(row["created_at"]),
    )


def signing_key_row(record: SigningKeyRecord) -> Values:
    """Columns of `signing_keys`."""
    return {
        "kid": record.kid,
        "algorithm": record.algorithm,
        "public_jwk": json.dumps(record.public_jwk),
        **_sealed_columns(record.private_key),
        "state": record.state,
        "created_at": _utc(record.created_at),
        "not_after": None if record.not_after is None else _utc(record.not_after),
    }


def signing_key_record(row: RowMapping) -> SigningKeyRecord:
    """Inverse of `signing_key_row`."""
    return SigningKeyRecord(
        kid=row["kid"],
        algorithm=row["algorithm"],
        public_jwk=json.loads(row["public_jwk"]),
        private_key=_sealed(row),
        state=row["state"],
        created_at=_aware(row["created_at"]),
        not_after=None if row["not_after"] is None else _aware(row["not_after"]),
    )


def _sealed_columns(value: Sealed) -> Values:
    return {"data_key_id": value.data_key_id, "ciphertext": value.ciphertext}


def _sealed(row: RowMapping) -> Sealed:
    return Sealed(row["data_key_id"], row["ciphertext"])


def _spec_text(service: str, spec: ServiceSpec) -> str:
    endpoints = spec.classic.endpoints.values() if spec.classic else ()
    if spec.keys or any(endpoint.keys for endpoint in endpoints):
        raise ValueError(f"the spec of {service} holds keys: seal them as key records and store the spec without them")
    # Defaults are left out, so that a release without the newest keys, such as the other replica, reads it too.
    return _SPEC.dump_json(spec, exclude_defaults=True).decode()


def _spec(service: str, text: str) -> ServiceSpec:
    try:
        return _SPEC.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"the stored spec of service {service} does not read ({key}: {first['msg']}): "
            "it was changed by hand; mend it or restore a backup"
        ) from None


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a time zone cannot be stored: records hold timezone-aware times")
    return value.astimezone(UTC)


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
