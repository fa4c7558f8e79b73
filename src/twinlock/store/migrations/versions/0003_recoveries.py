"""What new devices and contacts say to each other while a member is recovered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Migrate."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "twinlock_recoveries",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("contact_id", sa.LargeBinary(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("member_id", sa.LargeBinary(), nullable=False),
        sa.Column("made", number, nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "contact_id", "step", name="pk_twinlock_recoveries"),
        sa.ForeignKeyConstraint(
            ["member_id"], ["twinlock_members.member_id"], name="fk_twinlock_recoveries_member_id"
        ),
    )
    op.create_index("ix_twinlock_recoveries_contact", "twinlock_recoveries", ["contact_id", "step"])
    op.create_index("ix_twinlock_recoveries_member", "twinlock_recoveries", ["member_id"])
