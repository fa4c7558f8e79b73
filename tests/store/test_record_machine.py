"""Any sequence of puts, turns and deletions leaves what a dictionary would hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from twinlock.errors import CallerError
from twinlock.store import SealedRow, SqlStore

from .expect import refused

tables = st.sampled_from(["a", "b"])
record_ids = st.sampled_from([b"", b"\x00", b"\x00\x00", b"\x7f", b"\x80", b"\xff"])
heads = st.sampled_from([b"old", b"new"])
sealed_rows = st.builds(
    SealedRow,
    record_id=record_ids,
    version=st.none() | st.integers(0, 3),
    head=heads,
    cells=st.dictionaries(st.sampled_from("xyz"), st.binary(max_size=2)),
    plain=st.binary(max_size=2),
)


class Records(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = SqlStore.connect("sqlite://", create=True)
        self.model: dict[str, dict[bytes, SealedRow]] = {}

    @rule(table=tables, rows=st.lists(sealed_rows, max_size=4), replace=st.booleans())
    def put(self, table: str, rows: list[SealedRow], replace: bool) -> None:
        new = {row.record_id: row for row in rows}
        clash = len(new) < len(rows) or new.keys() & self.model.get(table, {}).keys()
        if clash and not replace:
            with refused("records.exists", CallerError):
                self.store.records.put_rows(table, rows, replace=replace)
        else:
            assert self.store.records.put_rows(table, rows, replace=replace) == len(rows)
            self.model.setdefault(table, {}).update(new)

    @rule(table=tables, record_id=record_ids, old=heads, new=heads)
    def turn(self, table: str, record_id: bytes, old: bytes, new: bytes) -> None:
        row = self.model.get(table, {}).get(record_id)
        expected = row is not None and row.head == old
        assert self.store.records.update_head(table, record_id, old, new) == expected
        if row is not None and expected:
            turned = SealedRow(record_id, row.version, new, row.cells, row.plain)
            self.model[table][record_id] = turned

    @rule(table=tables)
    def delete(self, table: str) -> None:
        count = len(self.model.pop(table, {}))
        assert self.store.records.delete_table(table) == count

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert self.store.records.tables() == sorted(self.model)
        for table in ("a", "b"):
            expected = [row for _, row in sorted(self.model.get(table, {}).items())]
            assert list(self.store.records.rows(table)) == expected

    def teardown(self) -> None:
        self.store.close()


TestRecords = Records.TestCase
TestRecords.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
