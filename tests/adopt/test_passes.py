"""Going over a table: lanes, what is passed over, what ends a run, and keys of every kind."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.adopt.configured import read
from twinlock.adopt.batches import BatchAdopter
from twinlock.adopt.database import AppDatabase
from twinlock.adopt.jobs import Counts, Finding
from twinlock.adopt.migration import execute, expand
from twinlock.adopt.passes import PATIENCE, Batch, Cursor, Pace, Passes
from twinlock.adopt.settings import Mode
from twinlock.adopt.tables import find_table, shown_key
from twinlock.adopt.writing import Change
from twinlock.errors import DataError, EnvError


class Rows:
    """Rows to adopt, in memory. ``held`` are locked by somebody, ``bad`` cannot be adopted."""

    def __init__(self, count: int, *, held: Set[int] = frozenset(), bad: Set[int] = frozenset()):
        self.todo = set(range(count))
        self.held = set(held)
        self.bad = bad
        self.lock = threading.Lock()
        self.passes = 0
        self.batches: list[list[int]] = []
        self.fails_after: int | None = None

    def adopt(self, cursor: Cursor, limit: int, known_bad: Set[Any]) -> Batch:
        def choose(after: Any) -> Sequence[dict[str, int]]:
            self.passes += after is None
            first = -1 if after is None else after[0]
            free = [n for n in sorted(self.todo) if n > first and n not in self.held]
            return [{"id": n} for n in free[:limit]]

        chosen = [row["id"] for row in cursor.take(choose, lambda row: (row["id"],), limit)]
        with self.lock:
            if self.fails_after is not None and len(self.batches) >= self.fails_after:
                raise EnvError("test.gone", "The database is gone.", hint="None.")
            fresh = [n for n in chosen if (n,) not in known_bad]
            good = [n for n in fresh if n not in self.bad]
            self.todo -= set(good)
            self.batches.append(good)
        left = [n for n in fresh if n in self.bad]
        findings = [Finding(str(n), "test.bad", "It is bad.") for n in left]
        return Batch(Counts(len(good), len(left)), findings, [(n,) for n in left])

    def left(self) -> int:
        return len(self.todo)


def _run(rows: Rows, *, stop: threading.Event | None = None, **settings: Any) -> list[Counts]:
    seen: list[Counts] = []
    chosen = {"lanes": 2, "batch": 3, "limit": None, **settings}
    Passes(
        rows,
        lambda counts, _: seen.append(counts),
        pace=Pace(None),
        stop=stop or threading.Event(),
        **chosen,
    ).run()
    return seen


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_every_row_is_taken_once_however_many_lanes_there_are(lanes: int) -> None:
    rows = Rows(50)
    seen = _run(rows, lanes=lanes)
    assert sum(counts.adopted for counts in seen) == 50
    assert sorted(n for batch in rows.batches for n in batch) == list(range(50))
    assert rows.passes == 1


def test_a_row_that_cannot_be_adopted_is_tried_once_and_does_not_keep_the_run_going() -> None:
    rows = Rows(20, bad={3, 4, 19})
    seen = _run(rows)
    assert (sum(c.adopted for c in seen), sum(c.failed for c in seen)) == (17, 3)
    assert rows.todo == {3, 4, 19}


def test_rows_that_somebody_holds_are_left_after_some_patience() -> None:
    rows = Rows(10, held={5})
    _run(rows)
    assert rows.todo == {5}
    assert rows.passes == 1 + PATIENCE


def test_a_row_that_is_let_go_is_taken_in_a_later_pass() -> None:
    rows = Rows(10, held={5})
    released = threading.Timer(0.4, rows.held.clear)
    released.start()
    _run(rows)
    released.join()
    assert rows.todo == set()


class Written(Rows):
    """Rows to which an application adds some each time that the run counts what is left."""

    def __init__(self, count: int, added: Sequence[int]) -> None:
        super().__init__(count)
        self.added = iter(added)

    def left(self) -> int:
        first = 1000 * (self.passes + 1)
        self.todo |= set(range(first, first + next(self.added)))
        return super().left()


@pytest.mark.parametrize(
    ("added", "passes"),
    [
        ((2, 2, 2), 2),  # less than one round of 2 batches of 3: caught up
        ((20, 10, 2, 2), 4),  # each pass finds less than the one before
        ((20, 30, 30), 3),  # written faster than adopted
        ((20, 0), 2),  # nothing left after all
    ],
)
def test_a_run_ends_though_the_application_goes_on_writing(
    added: Sequence[int], passes: int
) -> None:
    rows = Written(50, added)
    _run(rows)
    assert rows.passes == passes


@pytest.mark.parametrize(("limit", "lanes"), [(1, 1), (7, 2), (9, 3), (50, 2)])
def test_a_limit_is_exact(limit: int, lanes: int) -> None:
    rows = Rows(20, bad={0, 1})
    _run(rows, limit=limit, lanes=lanes)
    assert len(rows.todo) == max(2, 20 - limit)


def test_a_lane_that_fails_stops_the_others_and_its_error_is_raised() -> None:
    rows = Rows(1000)
    rows.fails_after = 4
    with pytest.raises(EnvError) as failed:
        _run(rows)
    assert failed.value.code == "test.gone"
    assert len(rows.batches) == 4


def test_a_run_that_is_told_to_stop_begins_nothing() -> None:
    stop, rows = threading.Event(), Rows(10)
    stop.set()
    assert _run(rows, stop=stop) == []


def test_a_pace_counts_rows_of_all_lanes() -> None:
    class Stop(threading.Event):
        waited = 0.0

        def wait(self, timeout: float | None = None) -> bool:
            self.waited += timeout or 0
            return False

    stop, pace = Stop(), Pace(100)
    for _ in range(3):
        pace.wait(50, stop)
    # Behind each other on one line, since nothing really waits here: 0.5, 1.0 and 1.5 seconds.
    assert 2.9 < stop.waited <= 3.0
    Pace(None).wait(10_000, stop)
    assert stop.waited <= 3.0


class Fixed:
    """Gives every row the same head."""

    def changes(self, rows: Sequence[Any]) -> Sequence[Change | DataError]:
        return [Change({"twinlock_dek": b"TWA\x01head"}) for _ in rows]


@pytest.mark.parametrize(
    ("key", "columns", "values"),
    [
        ('"id"', "id {uuid} PRIMARY KEY", [(uuid.UUID(int=n),) for n in range(9)]),
        ('"id"', "id TEXT PRIMARY KEY", [(f"n {n}",) for n in range(9)]),
        ('"id"', "id {blob} PRIMARY KEY", [(bytes([n]),) for n in range(9)]),
        (
            '["clinic", "id"]',
            "clinic TEXT, id INTEGER, PRIMARY KEY (clinic, id)",
            [(f"c{n % 2}", n) for n in range(9)],
        ),
        ('"id"', "id INTEGER NOT NULL, x TEXT, UNIQUE (id)", [(n, "x") for n in range(9)]),
    ],
    ids=["uuid", "text", "bytes", "composite", "unique"],
)
def test_rows_are_found_and_written_by_keys_of_every_kind(
    app_url: str, tmp_path: Path, key: str, columns: str, values: list[tuple[Any, ...]]
) -> None:
    adoption = read(
        tmp_path,
        f"""
[adopt]
authority = "cardiology"
[[tables]]
table = "Order"
name = "order"
key = {key}
source = "plaintext"
groups = "cardiology"
[[tables.columns]]
name = "note"
plaintext = "the note"
""",
    )
    with AppDatabase.connect(app_url) as database:
        kinds = {"uuid": "UUID", "blob": "BYTEA"} if database.is_postgresql else {}
        kinds = kinds or {"uuid": "CHAR(32)", "blob": "BLOB"}
        with database.write() as connection:
            shape = columns.format(**kinds)
            connection.execute(text(f'CREATE TABLE "Order" ("the note" TEXT, {shape})'))
            for row in values:
                given = {f"v{n}": _given(value, database) for n, value in enumerate(row)}
                names = ", ".join(f":{name}" for name in given)
                connection.execute(text(f"""INSERT INTO "Order" VALUES ('said', {names})"""), given)
        with database.write() as connection:
            table = find_table(connection, adoption.tables[0])
            execute(connection, expand(connection, [table], postgresql=database.is_postgresql))
        with database.read() as connection:
            table = find_table(connection, adoption.tables[0])
        adopter = BatchAdopter(database, table, Mode.REWRAP, Fixed())
        assert adopter.left() == 9
        cursor, counts = Cursor(), Counts()
        while not cursor.ended:
            counts += adopter.adopt(cursor, 4, set()).counts
        assert (counts.adopted, adopter.left()) == (9, 0)
        with database.read() as connection:
            rows = list(table.rows(connection, page=2))
        assert len({shown_key(table.key_of(row)) for row in rows}) == 9
        assert {bytes(row["twinlock_dek"]) for row in rows} == {b"TWA\x01head"}


def _given(value: Any, database: AppDatabase) -> Any:
    return value.hex if isinstance(value, uuid.UUID) and not database.is_postgresql else value
