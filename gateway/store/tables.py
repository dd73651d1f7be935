r"""The tables as they are after the newest migration. A change here goes with a migration, and a test compares the two.

Plain types only: what they mean as records stands in `store.rows`. Secrets are columns of ciphertext beside the id of
the data key that opens them. JSON is text: it is read and written whole, and PostgreSQL's `jsonb` refuses `\u0000`.
"""

from sqlalchemy import (
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
)
