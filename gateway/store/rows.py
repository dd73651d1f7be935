"""Records to rows and back: one pair of functions for each table, nothing that talks to a database.

Times are written as UTC and come back timezone-aware, whatever the database made of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

from gateway.core.audit import AuditEntry
from gateway.core.caller import CallerSpec
from gateway.core.record import (
    CallerRecord,
    DataKeyRecord,
    FormerKey,
    InstallationRecord,
    KeyRecord,
    KeyUseRecord,
    RevocationRecord,
    Sealed,
    ServiceRecord,
    SigningKeyRecord,
)
from gateway.core.spec import ServiceSpec
from gateway.core.store import StoreError

Values = dict[str, Any]
T = TypeVar("T")

_SPEC = TypeAdapter(ServiceSpec)
_CALLER_SPEC = TypeAdapter(CallerSpec)


def installation_row(record: InstallationRecord) -> Values:
    """Columns of the one row that `installation` may hold."""
    return {
        "singleton": 1,
        "id": record.id,
        **_sealed_columns(record.digest_key),
        "created_at": utc(record.created_at),
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
        "created_at": utc(record.created_at),
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
        "created_at": utc(record.created_at),
        "updated_at": utc(record.updated_at),
        "version": record.version,
    }


def service_record(row: RowMapping) -> ServiceRecord:
    """Inverse of `service_row`. Raises StoreError when the spec does not read."""
    return ServiceRecord(
        name=row["name"],
        origin=row["origin"],
        spec=None if row["spec"] is None else _read(_SPEC, row["spec"], f"service {row['name']}"),
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
        "created_at": utc(record.created_at),
        "expires_at": record.expires_at and utc(record.expires_at),
        "counted_from": record.counted_from and utc(record.counted_from),
        **_former_columns(record.former),
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
        expires_at=row["expires_at"] and _aware(row["expires_at"]),
        former=_former(row),
        counted_from=row["counted_from"] and _aware(row["counted_from"]),
    )


def key_use_row(record: KeyUseRecord) -> Values:
    """Columns of `key_uses`."""
    return asdict(record)


def key_use_record(row: RowMapping) -> KeyUseRecord:
    """Inverse of `key_use_row`."""
    return KeyUseRecord(**row)


def caller_row(record: CallerRecord) -> Values:
    """Columns of `callers`."""
    return {
        "service": record.service,
        "name": record.name,
        "id": record.id,
        "version": record.version,
        **_sealed_columns(record.value),
        "spec": _CALLER_SPEC.dump_json(record.spec).decode(),
        "created_at": utc(record.created_at),
        "regenerated_at": utc(record.regenerated_at),
        **_former_columns(record.former),
    }


def caller_record(row: RowMapping) -> CallerRecord:
    """Inverse of `caller_row`. Raises StoreError when the spec does not read."""
    return CallerRecord(
        service=row["service"],
        name=row["name"],
        id=row["id"],
        version=row["version"],
        value=_sealed(row),
        spec=_read(_CALLER_SPEC, row["spec"], f"caller {row['name']} of service {row['service']}"),
        created_at=_aware(row["created_at"]),
        regenerated_at=_aware(row["regenerated_at"]),
        former=_former(row),
    )


def signing_key_row(record: SigningKeyRecord) -> Values:
    """Columns of `signing_keys`."""
    return {
        "kid": record.kid,
        "algorithm": record.algorithm,
        "public_jwk": json.dumps(record.public_jwk),
        **_sealed_columns(record.private_key),
        "state": record.state,
        "created_at": utc(record.created_at),
        "not_after": record.not_after and utc(record.not_after),
        "signs_from": record.signs_from and utc(record.signs_from),
        "lifetime_seconds": record.lifetime_seconds,
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
        not_after=row["not_after"] and _aware(row["not_after"]),
        signs_from=row["signs_from"] and _aware(row["signs_from"]),
        lifetime_seconds=row["lifetime_seconds"],
    )


def revocation_row(record: RevocationRecord) -> Values:
    """Columns of `revocations`."""
    return {
        "service": record.service,
        "token_id": record.token_id,
        "subject": record.subject,
        "issued_before": record.issued_before,
        "until": utc(record.until),
    }


def revocation_record(row: RowMapping) -> RevocationRecord:
    """Inverse of `revocation_row`."""
    return RevocationRecord(
        service=row["service"],
        token_id=row["token_id"],
        subject=row["subject"],
        issued_before=row["issued_before"],
        until=_aware(row["until"]),
    )


def audit_row(entry: AuditEntry) -> Values:
    """Columns of `audit`, but for the id, which the database gives."""
    names = ("actor", "address", "action", "service", "target", "result")
    return {"at": utc(entry.at), **{name: getattr(entry, name) for name in names}}


def audit_entry(row: RowMapping) -> AuditEntry:
    """Inverse of `audit_row`, with the id."""
    return AuditEntry(**{**row, "at": _aware(row["at"])})


def _sealed_columns(value: Sealed) -> Values:
    return {"data_key_id": value.data_key_id, "ciphertext": value.ciphertext}


def _sealed(row: RowMapping) -> Sealed:
    return Sealed(row["data_key_id"], row["ciphertext"])


def _former_columns(former: FormerKey | None) -> Values:
    return {
        "previous_id": former and former.id,
        "previous_data_key_id": former and former.value.data_key_id,
        "previous_ciphertext": former and former.value.ciphertext,
        "grace_until": former and utc(former.until),
    }


def _former(row: RowMapping) -> FormerKey | None:
    if row["previous_id"] is None:
        return None
    value = Sealed(row["previous_data_key_id"], row["previous_ciphertext"])
    return FormerKey(row["previous_id"], value, _aware(row["grace_until"]))


def _spec_text(service: str, spec: ServiceSpec) -> str:
    endpoints = spec.classic.endpoints.values() if spec.classic else ()
    if spec.keys or any(endpoint.keys for endpoint in endpoints):
        raise ValueError(f"the spec of {service} holds keys: seal them as key records and store the spec without them")
    # Defaults are left out, so that a release without the newest keys, such as the other replica, reads it too.
    return _SPEC.dump_json(spec, exclude_defaults=True).decode()


def _read(adapter: TypeAdapter[T], text: str, owner: str) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"the stored spec of {owner} does not read ({key}: {first['msg']}): "
            "it was changed by hand; mend it or restore a backup"
        ) from None


def utc(value: datetime) -> datetime:
    """A time as it is written. Raises ValueError for one without a time zone."""
    if value.tzinfo is None:
        raise ValueError("a time without a time zone cannot be stored: records hold timezone-aware times")
    return value.astimezone(UTC)


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
