"""The life of a key: when it expires, the value it replaced and until when that opens, and how often a key was used."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Columns of `service_keys`, one new table."""
    op.add_column("service_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("service_keys", sa.Column("counted_from", sa.DateTime(timezone=True), nullable=True))
    op.add_column("service_keys", sa.Column("previous_id", sa.String(), nullable=True))
    op.add_column("service_keys", sa.Column("previous_data_key_id", sa.String(), nullable=True))
    op.add_column("service_keys", sa.Column("previous_ciphertext", sa.LargeBinary(), nullable=True))
    op.add_column("service_keys", sa.Column("grace_until", sa.DateTime(timezone=True), nullable=True))
    # Nobody counted the uses of the keys that are here already: they must not look as if nobody had used them.
    keys = sa.table("service_keys", sa.column("counted_from", sa.DateTime(timezone=True)))
    op.execute(keys.update().values(counted_from=datetime.now(UTC)))
    op.create_table(
        "key_uses",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("last_used", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["service"], ["services.name"], name=op.f("fk_key_uses_service"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", "hour", name=op.f("pk_key_uses")),
    )
