"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _int(name: str, *, nullable: bool = False, counts_up: bool = False) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, nullable=nullable, autoincrement=counts_up)


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _unique(table: str, column: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(column, name=f"uq_{table}_{column}")


def _refers(table: str, column: str, target: str, on_delete: str | None = None) -> sa.Constraint:
    name = f"fk_{table}_{column}"
    return sa.ForeignKeyConstraint([column], [target], name=name, ondelete=on_delete)


def upgrade() -> None:
    """Make the tables of this step."""
    _create_token_tables()
    _create_group_tables()
    _create_member_tables()
    _create_release_tables()
    _create_record_tables()


def _create_token_tables() -> None:
    op.create_table(
        "twinlock_meta",
        _text("key"),
        _bytes("value"),
        _primary("twinlock_meta", "key"),
    )
    op.create_table(
        "twinlock_statements",
        _int("position", counts_up=True),
        _bytes("kid"),
        _text("role"),
        _bytes("statement"),
        _bytes("signature"),
        _primary("twinlock_statements", "position"),
    )
    op.create_table(
        "twinlock_counters",
        _text("name"),
        _int("value"),
        _primary("twinlock_counters", "name"),
    )


def _create_group_tables() -> None:
    op.create_table(
        "twinlock_groups",
        _bytes("group_id"),
        _text("name"),
        _int("head_seq"),
        _bytes("head_hash"),
        _primary("twinlock_groups", "group_id"),
        _unique("twinlock_groups", "name"),
    )
    op.create_table(
        "twinlock_log_entries",
        _bytes("group_id"),
        _int("seq"),
        _bytes("signed_entry"),
        _bytes("entry_hash"),
        _primary("twinlock_log_entries", "group_id", "seq"),
        _refers("twinlock_log_entries", "group_id", "twinlock_groups.group_id"),
    )
    op.create_table(
        "twinlock_sealed_group_keys",
        _bytes("member_id"),
        _bytes("group_id"),
        _int("epoch"),
        _bytes("sealed"),
        _primary("twinlock_sealed_group_keys", "member_id", "group_id", "epoch"),
        _refers("twinlock_sealed_group_keys", "group_id", "twinlock_groups.group_id"),
    )


def _create_member_tables() -> None:
    op.create_table(
        "twinlock_members",
        _bytes("member_id"),
        _text("name"),
        _bytes("card"),
        _primary("twinlock_members", "member_id"),
        _unique("twinlock_members", "name"),
    )
    op.create_table(
        "twinlock_enrolments",
        _bytes("member_id"),
        _bytes("enrolment_id"),
        _bytes("blob"),
        _primary("twinlock_enrolments", "member_id", "enrolment_id"),
        _refers("twinlock_enrolments", "member_id", "twinlock_members.member_id"),
    )
    op.create_table(
        "twinlock_enrolment_lists",
        _bytes("member_id"),
        _int("counter"),
        _bytes("signed"),
        _primary("twinlock_enrolment_lists", "member_id"),
        _refers("twinlock_enrolment_lists", "member_id", "twinlock_members.member_id"),
    )


def _create_release_tables() -> None:
    op.create_table(
        "twinlock_used_requests",
        _bytes("request_id"),
        _int("not_after"),
        _primary("twinlock_used_requests", "request_id"),
    )
    op.create_index("ix_twinlock_used_requests_not_after", "twinlock_used_requests", ["not_after"])
    op.create_table(
        "twinlock_audit_lines",
        _int("seq"),
        _bytes("line"),
        _bytes("line_hash"),
        _primary("twinlock_audit_lines", "seq"),
    )
    tail = op.create_table(
        "twinlock_audit_tail",
        _int("id"),
        _int("next_seq"),
        _bytes("last_hash"),
        _primary("twinlock_audit_tail", "id"),
        sa.CheckConstraint("id = 1", name=op.f("ck_twinlock_audit_tail_one_row")),
    )
    op.bulk_insert(tail, [{"id": 1, "next_seq": 0, "last_hash": bytes(32)}])
    op.create_table(
        "twinlock_audit_heads",
        _int("position", counts_up=True),
        _int("seq"),
        _bytes("hash"),
        _int("time"),
        _bytes("signature"),
        _primary("twinlock_audit_heads", "position"),
    )
    op.create_index("ix_twinlock_audit_heads_seq", "twinlock_audit_heads", ["seq", "position"])


def _create_record_tables() -> None:
    op.create_table(
        "twinlock_sealed_tables",
        _text("name"),
        _primary("twinlock_sealed_tables", "name"),
    )
    op.create_table(
        "twinlock_sealed_rows",
        _text("table_name"),
        _bytes("record_id"),
        _int("version", nullable=True),
        _bytes("head"),
        _bytes("plain"),
        _primary("twinlock_sealed_rows", "table_name", "record_id"),
        _refers("twinlock_sealed_rows", "table_name", "twinlock_sealed_tables.name", "CASCADE"),
    )
    op.create_table(
        "twinlock_sealed_cells",
        _text("table_name"),
        _bytes("record_id"),
        _text("column_name"),
        _bytes("cell"),
        _primary("twinlock_sealed_cells", "table_name", "record_id", "column_name"),
        sa.ForeignKeyConstraint(
            ["table_name", "record_id"],
            ["twinlock_sealed_rows.table_name", "twinlock_sealed_rows.record_id"],
            name="fk_twinlock_sealed_cells_table_name",
            ondelete="CASCADE",
        ),
    )
