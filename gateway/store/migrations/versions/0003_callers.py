"""Named callers: a key of its own for each customer of a service."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """One new table; nothing else changes."""
    op.create_table(
        "callers",
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("data_key_id", sa.String(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("regenerated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous_id", sa.String(), nullable=True),
        sa.Column("previous_data_key_id", sa.String(), nullable=True),
        sa.Column("previous_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("grace_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["service"], ["services.name"], name=op.f("fk_callers_service"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("service", "name", name=op.f("pk_callers")),
        sa.UniqueConstraint("id", name=op.f("uq_callers_id")),
    )
