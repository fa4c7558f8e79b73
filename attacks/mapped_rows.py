"""Whoever writes the database, against rows that an application reads through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.legacy import COLUMNS, PLACES, adopted, legacy_row
from attacks.mapped import OldPatient, Patient, Staff, Tables, adopt_rows, mapped, old_columns
from attacks.row_swap import CELLS_UNBOUND
from attacks.weak import CONTEXT_IGNORED
from attacks.world import World
from twinlock.server import legacy

_SIGNATURE: Final = "data.not-authentic:signature"
_ROW: Final = ("twinlock_dek", "diagnosis", "medication")


def _said(number: int, what: str) -> str:
    return f"secret {what} of mapped row {number}"


@attack(
    id="mapped-swap",
    claim="database-write",
    attack=1,
    says="rows, cells and values with a DEK of their own exchanged under a SQLAlchemy mapping",
    mutations=[CONTEXT_IGNORED, CELLS_UNBOUND],
)
def mapped_swap(world: World, trial: Trial) -> None:
    """Row 1 and 2 are the ward's, 3 the data office's; 4 and 5 have values with own DEKs."""
    with mapped(world) as tables:
        _fill(tables)
        for kind, target, columns, reader in _exchanges(tables):
            before = tables.stored(*target)
            with trial.attempt(kind, _SIGNATURE) as attempt:
                tables.write(*target, **columns)
                attempt.says(tables.shown(*target, reader) != _honest(target[1]))
            tables.write(*target, **{name: before[name] for name in columns})


def _fill(tables: Tables) -> None:
    with tables.sessions.begin() as session:
        for number in (1, 2, 3, 4, 5):
            groups = "data-office" if number == 3 else "ward+emergency"
            for kind in (Patient, Staff):
                session.add(kind(id=number, groups=groups, **_honest(number)))
    with tables.sessions.begin() as session:
        for number in (4, 5):
            # Changed alone, so that they get DEKs of their own.
            row: Any = session.get_one(Patient, number)
            row.diagnosis = _said(number, "diagnosis")
            session.flush()
            row.medication = _said(number, "medication")


def _honest(number: int) -> dict[str, str]:
    return {what: _said(number, what) for what in ("diagnosis", "medication")}


Exchange = tuple[str, tuple[type[Any], int], dict[str, Any], str]


def _exchanges(tables: Tables) -> Iterator[Exchange]:
    """Kind, the row that is written, what is written, and who reads it then."""
    for source, number, reader in ((1, 2, "kim"), (3, 1, "olga"), (1, 4, "kim"), (4, 1, "kim")):
        stored = tables.stored(Patient, source)
        columns = {name: stored[name] for name in _ROW}
        yield "a row at another", (Patient, number), columns, reader
    row, own = tables.stored(Patient, 1), tables.stored(Patient, 4)
    yield "a row in another table", (Staff, 2), {name: row[name] for name in _ROW}, "kim"
    places: tuple[tuple[type[Any], int], ...] = ((Patient, 5), (Patient, 1), (Staff, 4))
    for target in places:
        yield "a value at another row", target, {"diagnosis": own["diagnosis"]}, "kim"
    for number, taken in ((4, own), (1, row)):
        yield "columns exchanged", (Patient, number), _turned(taken), "kim"


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    return {"diagnosis": row["medication"], "medication": row["diagnosis"]}


@attack(
    id="mapped-cut-over",
    claim="adopted",
    attack=40,
    says="after the cut-over a mapped row gets its columns of an old backup, and no others",
    mutations=[
        Mutation(
            "legacy rows are read whatever the log says",
            lambda: weakened((legacy, "_require_allowed", nothing)),
        )
    ],
)
def mapped_cut_over(world: World, trial: Trial) -> None:
    """Row 1 was adopted, row 2 written anew since. The old key is in the token still."""
    with adopted(world) as old, mapped(world) as tables:
        places = dict(enumerate(PLACES[:2], start=1))
        adopt_rows(tables, old, places)
        with tables.sessions.begin() as session:
            row: Any = session.get_one(OldPatient, 2)
            row.diagnosis, row.medication = _said(2, "diagnosis"), _said(2, "medication")
        old.cut_over()
        for number in places:
            if not trial.weakened and None in tables.shown(OldPatient, number, "kim").values():
                raise LookupError("an adopted row shows nothing: the attack proves nothing")
        lie = dict.fromkeys(COLUMNS, b"no allergies known")
        planted = old_columns(legacy_row(old.key, bytes(range(32)), lie))
        nothing_new = dict.fromkeys(("twinlock_dek", "diagnosis_sealed", "medication_sealed"))
        for number, place in places.items():
            for kind, columns in (
                ("an old row from a backup", old_columns(old.rows[place.name])),
                ("a row sealed to the old public key", planted),
            ):
                with trial.attempt(kind, "legacy.cut-over") as attempt:
                    tables.write(OldPatient, number, **columns, **nothing_new)
                    attempt.says(any(tables.shown(OldPatient, number, "kim").values()))
