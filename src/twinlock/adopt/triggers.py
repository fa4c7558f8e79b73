"""The trigger that makes running the old application beside the new one safe.

When the old application writes a row again, what was adopted of it is stale: the head of an
adopted row, and the native cell of a column whose old ciphertext changed. When it moves a row (key,
tenant, version, groups), so are the cells under the row's DEK, which adoption made of the old
columns: they would not open any more, or open for the old groups. The trigger takes those back to
NULL, so that the row counts as legacy and is adopted again. It never touches what the old
application cannot have replaced: the head of a native row, the cells of other columns, and values
with a DEK of their own, which the new application writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from twinlock.adopt.database import DIALECTS
from twinlock.adopt.settings import ColumnSettings, TableSettings

_LONGEST: Final = 60
"""PostgreSQL cuts names off after 63 bytes."""


def quoted(name: str, *, postgresql: bool) -> str:
    """Return an SQL identifier, quoted where it must be."""
    return str(DIALECTS[postgresql].identifier_preparer.quote(name))


def quoted_table(settings: TableSettings, *, postgresql: bool) -> str:
    """Return the table's SQL name with its schema."""
    names = [name for name in (settings.schema, settings.table) if name is not None]
    return ".".join(quoted(name, postgresql=postgresql) for name in names)


def create_trigger(settings: TableSettings, *, postgresql: bool) -> list[str]:
    """Return the statements that make the trigger; they replace an older one."""
    drop = drop_trigger(settings, postgresql=postgresql)
    made = _on_postgresql(settings) if postgresql else _on_sqlite(settings)
    return [*drop, *made]


def drop_trigger(settings: TableSettings, *, postgresql: bool) -> list[str]:
    """Return the statements that drop the trigger; without effect if it is not there."""
    if postgresql:
        name, on = quoted(_name(settings), postgresql=True), quoted_table(settings, postgresql=True)
        return [
            f"DROP TRIGGER IF EXISTS {name} ON {on}",
            f"DROP FUNCTION IF EXISTS {_function(settings)}()",
        ]
    names = [_name(settings), *(_name(settings, column.name) for column in settings.columns)]
    return [f"DROP TRIGGER IF EXISTS {quoted(name, postgresql=False)}" for name in names]


def _name(settings: TableSettings, part: str = "") -> str:
    whole = "_".join(name for name in ("twinlock", settings.table, settings.target, part) if name)
    if len(whole.encode()) <= _LONGEST:
        return whole
    return f"twinlock_{sha256(whole.encode()).hexdigest()[:32]}"


def _function(settings: TableSettings) -> str:
    names = [name for name in (settings.schema, _name(settings)) if name is not None]
    return ".".join(quoted(name, postgresql=True) for name in names)


def _written(settings: TableSettings) -> list[str]:
    """The columns whose change may make something stale."""
    return list(dict.fromkeys([*settings.old, *settings.bound]))


def _changed(names: Sequence[str], *, postgresql: bool) -> str:
    differs = "IS DISTINCT FROM" if postgresql else "IS NOT"
    columns = [quoted(name, postgresql=postgresql) for name in names]
    return " OR ".join(f"NEW.{name} {differs} OLD.{name}" for name in columns)


def _column_written(column: ColumnSettings, *, postgresql: bool) -> str:
    content = quoted(column.content, postgresql=postgresql)
    return f"NEW.{content} IS NOT NULL AND ({_changed(column.legacy, postgresql=postgresql)})"


def _cell_stale(settings: TableSettings, column: ColumnSettings, *, postgresql: bool) -> str:
    """The column was written, or its row moved and its cell is what adoption made of it."""
    cell = quoted(column.target, postgresql=postgresql)
    content = quoted(column.content, postgresql=postgresql)
    start, cells, same = (
        (f"substring(NEW.{cell} from 1 for 3)", "decode('545743', 'hex')", "IS NOT DISTINCT FROM")
        if postgresql
        else (f"substr(NEW.{cell}, 1, 3)", "X'545743'", "IS")
    )
    return (
        f"({_column_written(column, postgresql=postgresql)})\n"
        f"      OR (NEW.{content} IS NOT NULL AND {start} = {cells}"
        f" AND NEW.{cell} {same} OLD.{cell}"
        f" AND ({_changed(settings.placed, postgresql=postgresql)}))"
    )


def _row_stale(settings: TableSettings, *, postgresql: bool) -> str:
    """What an adopted head covers or is bound to has changed."""
    conditions = [_column_written(c, postgresql=postgresql) for c in settings.columns]
    if settings.dek is not None:
        dek = quoted(settings.dek, postgresql=postgresql)
        changed = _changed([settings.dek], postgresql=postgresql)
        conditions.append(f"NEW.{dek} IS NOT NULL AND {changed}")
    conditions.append(_changed(settings.bound, postgresql=postgresql))
    return "\n      OR ".join(f"({condition})" for condition in conditions)


def _on_postgresql(settings: TableSettings) -> list[str]:
    target = quoted(settings.target, postgresql=True)
    cells = "".join(
        f"  IF {_cell_stale(settings, column, postgresql=True)} THEN\n"
        f"    NEW.{quoted(column.target, postgresql=True)} := NULL;\n"
        "  END IF;\n"
        for column in settings.columns
    )
    function = (
        f"CREATE FUNCTION {_function(settings)}() RETURNS trigger LANGUAGE plpgsql AS $twinlock$\n"
        "BEGIN\n"
        f"{cells}"
        f"  IF substring(NEW.{target} from 1 for 3) = decode('545741', 'hex')\n"
        f"    AND ({_row_stale(settings, postgresql=True)}) THEN\n"
        f"    NEW.{target} := NULL;\n"
        "  END IF;\n"
        "  RETURN NEW;\n"
        "END\n"
        "$twinlock$"
    )
    columns = ", ".join(quoted(name, postgresql=True) for name in _written(settings))
    trigger = (
        f"CREATE TRIGGER {quoted(_name(settings), postgresql=True)} BEFORE UPDATE OF {columns}\n"
        f"  ON {quoted_table(settings, postgresql=True)} FOR EACH ROW"
        f" EXECUTE FUNCTION {_function(settings)}()"
    )
    return [function, trigger]


def _on_sqlite(settings: TableSettings) -> list[str]:
    table = quoted_table(settings, postgresql=False)
    keys = [quoted(name, postgresql=False) for name in settings.key]
    this_row = " AND ".join(f"{name} IS NEW.{name}" for name in keys)

    def trigger(name: str, columns: Sequence[str], when: str, target: str) -> str:
        named = ", ".join(quoted(column, postgresql=False) for column in columns)
        column = quoted(target, postgresql=False)
        # Identifiers are quoted; there are no values in it.
        reset = f"UPDATE {table} SET {column} = NULL WHERE {this_row}"  # noqa: S608
        return (
            f"CREATE TRIGGER {quoted(name, postgresql=False)} AFTER UPDATE OF {named} ON {table}\n"
            f"  WHEN {when}\n"
            f"BEGIN\n  {reset};\nEND"
        )

    head = quoted(settings.target, postgresql=False)
    stale = (
        f"substr(NEW.{head}, 1, 3) = X'545741'\n    AND ({_row_stale(settings, postgresql=False)})"
    )
    return [
        *(
            trigger(
                _name(settings, column.name),
                list(dict.fromkeys([*column.legacy, *settings.placed])),
                _cell_stale(settings, column, postgresql=False),
                column.target,
            )
            for column in settings.columns
        ),
        trigger(_name(settings), _written(settings), stale, settings.target),
    ]
