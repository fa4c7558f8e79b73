"""The tables. Their names carry a prefix, so that they may live in the application's database.

A change here needs a migration in ``migrations/versions`` and its id in ``SCHEMA_REVISION``; a test
compares the three.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
)

from twinlock.store.columns import Name, Number, Octets

SCHEMA_REVISION = "0003"
VERSION_TABLE = "twinlock_schema_version"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

meta = Table(
    "twinlock_meta",
    metadata,
    Column("key", Name, primary_key=True),
    Column("value", Octets, nullable=False),
)

statements = Table(
    "twinlock_statements",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=True),
    Column("kid", Octets, nullable=False),
    Column("role", Name, nullable=False),
    Column("statement", Octets, nullable=False),
    Column("signature", Octets, nullable=False),
)

groups = Table(
    "twinlock_groups",
    metadata,
    Column("group_id", Octets(32), primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    # The last entry once more: appending is one compare-and-swap on this row.
    Column("head_seq", Number, nullable=False),
    Column("head_hash", Octets(32), nullable=False),
)

log_entries = Table(
    "twinlock_log_entries",
    metadata,
    Column("group_id", Octets(32), ForeignKey(groups.c.group_id), primary_key=True),
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("signed_entry", Octets, nullable=False),
    Column("entry_hash", Octets(32), nullable=False),
)

sealed_group_keys = Table(
    "twinlock_sealed_group_keys",
    metadata,
    Column("member_id", Octets(16), primary_key=True),
    Column("group_id", Octets(32), ForeignKey(groups.c.group_id), primary_key=True),
    Column("epoch", Number, primary_key=True, autoincrement=False),
    Column("sealed", Octets, nullable=False),
)

members = Table(
    "twinlock_members",
    metadata,
    Column("member_id", Octets(16), primary_key=True),
    Column("name", Name, nullable=False, unique=True),
)

enrolments = Table(
    "twinlock_enrolments",
    metadata,
    Column("member_id", Octets(16), ForeignKey(members.c.member_id), primary_key=True),
    Column("enrolment_id", Octets(16), primary_key=True),
    Column("blob", Octets, nullable=False),
)

enrolment_lists = Table(
    "twinlock_enrolment_lists",
    metadata,
    Column("member_id", Octets(16), ForeignKey(members.c.member_id), primary_key=True),
    Column("counter", Number, nullable=False),
    Column("signed", Octets, nullable=False),
)

logins = Table(
    "twinlock_logins",
    metadata,
    Column("member_id", Octets(16), ForeignKey(members.c.member_id), primary_key=True),
    Column("kind", Name, primary_key=True),
    # The first 16 bytes of the value's SHA-256 when it was put: a passkey's count changes in place.
    Column("login_id", Octets(16), primary_key=True),
    Column("value", Octets, nullable=False),
)

recoveries = Table(
    "twinlock_recoveries",
    metadata,
    Column("digest", Octets(32), primary_key=True),
    Column("contact_id", Octets(16), primary_key=True),
    Column("step", Name, primary_key=True),
    Column("member_id", Octets(16), ForeignKey(members.c.member_id), nullable=False),
    Column("made", Number, nullable=False),
    Column("message", Octets, nullable=False),
    Index("ix_twinlock_recoveries_contact", "contact_id", "step"),
    Index("ix_twinlock_recoveries_member", "member_id"),
)

used_requests = Table(
    "twinlock_used_requests",
    metadata,
    Column("request_id", Octets(16), primary_key=True),
    Column("not_after", Number, nullable=False),
    Index("ix_twinlock_used_requests_not_after", "not_after"),
)

audit_lines = Table(
    "twinlock_audit_lines",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("line", Octets, nullable=False),
    Column("line_hash", Octets(32), nullable=False),
)

audit_tail = Table(
    "twinlock_audit_tail",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("next_seq", Number, nullable=False),
    Column("last_hash", Octets(32), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

audit_heads = Table(
    "twinlock_audit_heads",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=True),
    Column("seq", Number, nullable=False),
    Column("hash", Octets(32), nullable=False),
    Column("time", Number, nullable=False),
    Column("signature", Octets, nullable=False),
    Index("ix_twinlock_audit_heads_seq", "seq", "position"),
)

counters = Table(
    "twinlock_counters",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", Number, nullable=False),
)

sealed_tables = Table(
    "twinlock_sealed_tables",
    metadata,
    Column("name", Name, primary_key=True),
)

sealed_rows = Table(
    "twinlock_sealed_rows",
    metadata,
    Column(
        "table_name",
        Name,
        ForeignKey(sealed_tables.c.name, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("record_id", Octets, primary_key=True),
    Column("version", Number, nullable=True),
    Column("head", Octets, nullable=False),
    Column("plain", Octets, nullable=False),
)

sealed_cells = Table(
    "twinlock_sealed_cells",
    metadata,
    Column("table_name", Name, primary_key=True),
    Column("record_id", Octets, primary_key=True),
    Column("column_name", Name, primary_key=True),
    Column("cell", Octets, nullable=False),
    ForeignKeyConstraint(
        ["table_name", "record_id"],
        [sealed_rows.c.table_name, sealed_rows.c.record_id],
        ondelete="CASCADE",
    ),
)
