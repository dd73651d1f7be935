"""Tokens: since when and for how long a signing key signs, and which tokens are revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two columns of `signing_keys`, one new table."""
    op.add_column("signing_keys", sa.Column("signs_from", sa.DateTime(timezone=True), nullable=True))
    op.add_column("signing_keys", sa.Column("lifetime_seconds", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "revocations",
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("issued_before", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["service"], ["services.name"], name=op.f("fk_revocations_service"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("service", "token_id", "subject", name=op.f("pk_revocations")),
    )
