"""How far the adoption of each column is signed to have come, by the admins of one group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twinlock.adopt.settings import Adoption, ColumnSettings, TableSettings
from twinlock.core.membership import ColumnState, GroupState
from twinlock.errors import CallerError
from twinlock.server.vault import Vault

Column = tuple[TableSettings, ColumnSettings]


def authority_state(vault: Vault, adoption: Adoption) -> GroupState:
    """Return the verified state of the group that signs. Raises CallerError ``group.unknown``."""
    return vault.group_state(vault.group(adoption.authority))


def all_columns(adoption: Adoption, names: Iterable[str] = ()) -> list[Column]:
    """Return the adopted columns: those named ``table.column`` or ``table``, by default all.

    Raises CallerError ``adopt.no-table`` or ``adopt.no-column``.
    """
    wanted = list(names) or [table.name for table in adoption.tables]
    found: dict[tuple[str, str], Column] = {}
    for name in wanted:
        for table, column in _named(adoption, name):
            found[table.name, column.name] = (table, column)
    return list(found.values())


def _named(adoption: Adoption, name: str) -> list[Column]:
    whole = [table for table in adoption.tables if table.name == name]
    if whole:
        return [(whole[0], column) for column in whole[0].columns]
    table_name, _, column_name = name.rpartition(".")
    table = adoption.table(table_name or name)
    return [(table, table.column(column_name))]


def state_of(states: GroupState, table: str, column: str) -> ColumnState | None:
    """Return a column's signed state; None if nobody signed any."""
    return states.columns.get((table, column))


def shown_states(states: GroupState, columns: Iterable[Column]) -> Mapping[str, str]:
    """Return each column's state for people: ``none``, ``legacy`` or ``cut-over``."""
    words = {None: "none", ColumnState.LEGACY: "legacy", ColumnState.CUT_OVER: "cut-over"}
    return {
        f"{table.name}.{column.name}": words[state_of(states, table.name, column.name)]
        for table, column in columns
    }


def require_not_cut_over(states: GroupState, columns: Iterable[Column]) -> None:
    """Refuse columns whose adoption has ended. Raises CallerError ``adopt.cut-over``."""
    for table, column in columns:
        if state_of(states, table.name, column.name) is ColumnState.CUT_OVER:
            raise CallerError(
                "adopt.cut-over",
                f"{table.name}.{column.name} is cut over: its legacy values are not read any more.",
                hint="Going back lowers a floor: every admin of the authority group signs it.",
            )


def require_cut_over(states: GroupState, columns: Iterable[Column]) -> None:
    """Refuse columns that are not cut over. Raises CallerError ``adopt.not-cut-over``."""
    for table, column in columns:
        if state_of(states, table.name, column.name) is not ColumnState.CUT_OVER:
            raise CallerError(
                "adopt.not-cut-over",
                f"{table.name}.{column.name} is not cut over: its legacy values may be read still.",
                hint="Run `twinlock adopt cutover --member NAME` first.",
            )
