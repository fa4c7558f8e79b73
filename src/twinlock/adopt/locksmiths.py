"""The two ways in: rewrap leaves content where it is, reseal makes it native (ADR 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from twinlock.adopt.batches import Locksmith
from twinlock.adopt.layout import layout_errors
from twinlock.adopt.old_rows import OldRow, legacy_row, read_old
from twinlock.adopt.settings import Mode, Source
from twinlock.adopt.stored import has_native_head
from twinlock.adopt.tables import AppTable
from twinlock.adopt.templates import Row
from twinlock.adopt.ways import GroupsOf
from twinlock.adopt.writing import Change
from twinlock.core.adopted import decode_adopted
from twinlock.core.adopting import LegacyKey
from twinlock.core.context import Context
from twinlock.core.ports import DekOrigin
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.server.legacy import LegacyRow
from twinlock.server.sealing import To
from twinlock.server.vault import Vault


def locksmith(
    vault: Vault,
    table: AppTable,
    keys: Mapping[str, LegacyKey],
    mode: Mode,
    suite: str | None,
    *,
    allow_host_dek: bool = False,
) -> Locksmith:
    """Return what adopts a table's rows in this mode. Raises CallerError ``adopt.mode``."""
    if mode is Mode.RESEAL:
        return Resealing(vault, table, keys, suite)
    if table.settings.source is not Source.HSM:
        raise CallerError(
            "adopt.mode",
            f"{table.name} has no DEKs that the token could rewrap.",
            hint="Use --mode reseal.",
        )
    return Rewrapping(vault, table, keys, suite, allow_host_dek=allow_host_dek)


class Rewrapping:
    """Gives rows an adopted head: the DEK goes from lock to lock inside the token."""

    def __init__(
        self,
        vault: Vault,
        table: AppTable,
        keys: Mapping[str, LegacyKey],
        suite: str | None,
        *,
        allow_host_dek: bool,
    ) -> None:
        self._vault = vault
        self._table = table
        self._keys = keys
        self._suite = suite
        self._groups = GroupsOf(vault)
        self._allow_host_dek = allow_host_dek
        # A native row that the old application wrote into has no place for an adopted head.
        self._resealing = Resealing(vault, table, keys, suite)

    def changes(self, rows: Sequence[Row]) -> Sequence[Change | TwinlockError]:
        """See ``batches.Locksmith``."""
        # For all of them at once: a cut-over meanwhile ends the run instead of refusing each row.
        self._vault.require_legacy(
            self._table.name, [column.name for column in self._table.settings.columns]
        )
        native = [at for at, row in enumerate(rows) if has_native_head(self._table, row)]
        made: dict[int, Change | TwinlockError] = dict(
            zip(native, self._resealing.changes([rows[at] for at in native]), strict=True)
        )
        ready: dict[int, tuple[Context, LegacyRow, To]] = {}
        for at, row in enumerate(rows):
            if at in made:
                continue
            try:
                ready[at] = self._prepared(row)
            except DataError as error:
                made[at] = error
        heads = self._vault.rewrap(ready.values(), suite=self._suite) if ready else ()
        made |= {at: self._change(head) for at, head in zip(ready, heads, strict=True)}
        return [made[at] for at in range(len(rows))]

    def _prepared(self, row: Row) -> tuple[Context, LegacyRow, To]:
        layout = self._table.layout
        with layout_errors():
            ways = self._groups.ways(layout.groups(row))
            return layout.context(row), legacy_row(self._table, row, self._keys), ways

    def _change(self, head: bytes | DataError) -> Change | TwinlockError:
        if isinstance(head, DataError):
            return head
        # Without permission the vault would have refused, so there is nothing to look up.
        host = self._allow_host_dek and decode_adopted(head).origin is DekOrigin.HOST
        return Change({self._table.settings.target: head}, host)


class Resealing:
    """Gives rows native cells; their content passes through this process.

    One new DEK for all of a row's columns; in a row that is native already, one for each.
    """

    def __init__(
        self, vault: Vault, table: AppTable, keys: Mapping[str, LegacyKey], suite: str | None
    ) -> None:
        self._vault = vault
        self._table = table
        self._keys = keys
        self._suite = suite
        self._groups = GroupsOf(vault)

    def changes(self, rows: Sequence[Row]) -> Sequence[Change | TwinlockError]:
        """See ``batches.Locksmith``."""
        found = read_old(self._vault, self._table, self._keys, rows) if rows else ()
        return [
            said if isinstance(said, TwinlockError) else self._change(row, said)
            for row, said in zip(rows, found, strict=True)
        ]

    def _change(self, row: Row, old: OldRow) -> Change | TwinlockError:
        context, said = old
        try:
            with layout_errors():
                ways = self._groups.ways(self._table.layout.groups(row))
        except DataError as error:
            return error
        if has_native_head(self._table, row):
            return Change(self._own_cells(context, said, ways))
        sealed = self._vault.seal_row(said, to=ways, context=context, suite=self._suite)
        settings = self._table.settings
        cells = {settings.column(name).target: cell for name, cell in sealed.cells.items()}
        return Change({settings.target: sealed.head, **cells})

    def _own_cells(self, context: Context, said: Mapping[str, bytes], ways: To) -> dict[str, bytes]:
        return {
            self._table.settings.column(name).target: self._vault.seal(
                value, to=ways, context=replace(context, column=name), suite=self._suite
            ).to_bytes()
            for name, value in said.items()
        }
