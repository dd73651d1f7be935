r"""The tables as they are after the newest migration. A change here goes with a migration, and a test compares the two.

Plain types only: what they mean as records stands in `store.rows`. Secrets are columns of ciphertext beside the id of
the data key that opens them. JSON is text: it is read and written whole, and PostgreSQL's `jsonb` refuses `\u0000`.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

VERSION_TABLE = "scoregate_version"
"""Alembic's usual name would be taken where another product shares the database."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

installation = Table(
    "installation",
    metadata,
    Column("singleton", Integer, primary_key=True),  # always 1: a second founder meets the primary key
    Column("id", String, nullable=False),
    Column("data_key_id", String, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

data_keys = Table(
    "data_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("master_key_id", String, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("name", String, primary_key=True),
    Column("origin", String, nullable=False),
    Column("spec", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)

service_keys = Table(
    "service_keys",
    metadata,
    Column("service", String, ForeignKey("services.name", ondelete="CASCADE"), primary_key=True),
    Column("slot", String, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("data_key_id", String, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("counted_from", DateTime(timezone=True)),
    Column("previous_id", String),
    Column("previous_data_key_id", String),
    Column("previous_ciphertext", LargeBinary),
    Column("grace_until", DateTime(timezone=True)),
)

# `hour`: Unix seconds / 3600, whole; `last_used`: Unix seconds. Keys of slots and of callers, by their public ids.
key_uses = Table(
    "key_uses",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("service", String, ForeignKey("services.name", ondelete="CASCADE"), nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
)

callers = Table(
    "callers",
    metadata,
    Column("service", String, ForeignKey("services.name", ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("data_key_id", String, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("spec", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("regenerated_at", DateTime(timezone=True), nullable=False),
    Column("previous_id", String),
    Column("previous_data_key_id", String),
    Column("previous_ciphertext", LargeBinary),
    Column("grace_until", DateTime(timezone=True)),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String, primary_key=True),
    Column("algorithm", String, nullable=False),
    Column("public_jwk", Text, nullable=False),
    Column("data_key_id", String, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("not_after", DateTime(timezone=True)),
    Column("signs_from", DateTime(timezone=True)),
    Column("lifetime_seconds", Integer, nullable=False, server_default="0"),
)

# Empty texts where a revocation is not of one token, or not of one subject: NULL is equal to nothing in a key.
revocations = Table(
    "revocations",
    metadata,
    Column("service", String, ForeignKey("services.name", ondelete="CASCADE"), primary_key=True),
    Column("token_id", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("issued_before", BigInteger, nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
)

# Triggers of its migration refuse to change or delete a row.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", String, nullable=False),
    Column("address", String, nullable=False),
    Column("action", String, nullable=False),
    Column("service", String, nullable=False),
    Column("target", String, nullable=False),
    Column("result", String, nullable=False),
    sqlite_autoincrement=True,
)
