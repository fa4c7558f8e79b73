"""What sign-ins compare with; a member's card is in its groups' logs and nowhere else."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Migrate."""
    op.drop_column("twinlock_members", "card")
    op.create_table(
        "twinlock_logins",
        sa.Column("member_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("login_id", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "kind", "login_id", name="pk_twinlock_logins"),
        sa.ForeignKeyConstraint(
            ["member_id"], ["twinlock_members.member_id"], name="fk_twinlock_logins_member_id"
        ),
    )
