"""Old data that a deployment adopts: opened by the old key, or given new locks.

Both are allowed only while the admins of one group, the authority, say so for every column, in
their signed log; the server's pins make that proof against a database that was set back. Legacy
rows have no author: whoever may write the database may have made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from twinlock.core import cbor
from twinlock.core.adopted import LegacyCell, encode_adopted, sign_cells
from twinlock.core.adopting import LegacyKey, LegacyOpening, Rewrap
from twinlock.core.context import Context
from twinlock.core.envelope import Head, Layout
from twinlock.core.locks import Target
from twinlock.core.membership import ColumnState, GroupState
from twinlock.core.ports import DekOrigin, LegacyPart, Token, TokenKey
from twinlock.core.primitives import rsa_modulus, sha256
from twinlock.core.sealing import NewLocks, Sealer
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from twinlock.server import log
from twinlock.server.auditor import Auditor
from twinlock.server.groups import Group
from twinlock.server.opened import Opened
from twinlock.server.records import require_row

_READ: Final = "twinlock/v1/legacy-read"
_MAX_COLUMNS_NOTED: Final = 20
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class LegacyRow:
    """A row as the old application left it.

    ``wrapped_dek``: its DEK, encrypted to the legacy key of the name ``key``. ``cells``: its
    ciphertexts by the declared names of their columns.
    """

    wrapped_dek: bytes = field(repr=False)
    key: str
    cells: Mapping[str, LegacyCell] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LegacySource:
    """What old data there is: its keys by name, and the group that says how long they count.

    ``allow_host_dek``: where a key of the token only decrypts, DEKs may come into this process.
    """

    authority: Group
    keys: Mapping[str, LegacyKey]
    allow_host_dek: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that may be used: its place among those that were given, and its parts."""

    at: int
    context: Context
    row: LegacyRow
    parts: tuple[LegacyPart, ...]


class LegacyData:
    """Opens and rewraps the rows of one ``LegacySource`` for one vault."""

    def __init__(
        self,
        source: LegacySource,
        *,
        deployment_id: bytes,
        states: Callable[[], Mapping[bytes, GroupState]],
        token: Callable[[], Token],
        wrapping_keys: Callable[[], Iterable[TokenKey]],
        auditor: Auditor,
    ) -> None:
        self._source = source
        self._deployment_id = deployment_id
        self._states = states
        self._token = token
        self._wrapping_keys = wrapping_keys
        self._auditor = auditor

    def open(self, items: Sequence[tuple[Context, LegacyRow]]) -> list[Opened]:
        """Open rows with the old keys. See ``Vault.open_legacy``."""
        rows, refused = self._allowed(items)
        for at, error in refused.items():
            log.record_refused(items[at][0], error)
        self._note(items, rows)
        opened = self._by_key(rows, self._open_many)
        self._auditor.sign_when_due()
        return [
            _opened(context, row, opened[at] if at in opened else refused[at])
            for at, (context, row) in enumerate(items)
        ]

    def rewrap(
        self,
        items: Sequence[tuple[Context, LegacyRow]],
        targets: Sequence[Sequence[Target]],
        sealer: Sealer,
        *,
        check: bool,
    ) -> list[bytes | DataError]:
        """Give rows new locks for ``targets``, one list of them a row. See ``Vault.rewrap``."""
        self._require_other_keys(sealer.wrapping)
        rows, refused = self._allowed(items)

        def rewrap_many(name: str, some: Sequence[_Row]) -> list[bytes | DataError]:
            return self._rewrap_many(name, some, targets, sealer, check)

        made = self._by_key(rows, rewrap_many)
        return [made[at] if at in made else refused[at] for at in range(len(items))]

    def require_allowed(self, table: str, columns: Iterable[str]) -> None:
        """Raise DataError ``legacy.cut-over`` or ``legacy.not-allowed`` unless all may be read."""
        _require_allowed(self._authority().columns, table, columns)

    def _authority(self) -> GroupState:
        state = self._states().get(self._source.authority.group_id)
        if state is None:
            raise CallerError(
                "group.unknown",
                f"This server does not trust group {self._source.authority.name!r}.",
                hint="See `twinlock group list`; trust one with `twinlock group trust`.",
            )
        return state

    def _allowed(
        self, items: Sequence[tuple[Context, LegacyRow]]
    ) -> tuple[list[_Row], dict[int, DataError]]:
        rows: list[_Row] = []
        refused: dict[int, DataError] = {}
        states = self._authority().columns
        for at, (context, row) in enumerate(items):
            require_row(context, row.cells)
            if row.key not in self._source.keys:
                raise _unknown_key(row.key)
            try:
                _require_allowed(states, context.table, row.cells)
                parts = tuple(cell.part() for cell in row.cells.values())
            except DataError as error:
                refused[at] = error
            else:
                rows.append(_Row(at, context, row, parts))
        return rows, refused

    def _by_key(
        self,
        rows: Sequence[_Row],
        work: Callable[[str, Sequence[_Row]], Sequence[Result]],
    ) -> dict[int, Result]:
        """Do the rows of one legacy key together; returns the results by the rows' places."""
        results: dict[int, Result] = {}
        for name in dict.fromkeys(row.row.key for row in rows):
            some = [row for row in rows if row.row.key == name]
            results |= {row.at: result for row, result in zip(some, work(name, some), strict=True)}
        return results

    def _open_many(self, name: str, rows: Sequence[_Row]) -> list[list[bytes] | DataError]:
        tasks = [LegacyOpening(row.row.wrapped_dek, row.parts) for row in rows]
        source = self._source
        with self._token().adopting(
            source.keys[name], allow_host_dek=source.allow_host_dek
        ) as adopting:
            return adopting.open_many(tasks)

    def _rewrap_many(
        self,
        name: str,
        rows: Sequence[_Row],
        targets: Sequence[Sequence[Target]],
        sealer: Sealer,
        check: bool,
    ) -> list[bytes | DataError]:
        contexts = [row.context.encode(self._deployment_id) for row in rows]
        new = [
            sealer.new_locks(context, Layout.ADOPTED, targets[row.at])
            for row, context in zip(rows, contexts, strict=True)
        ]
        tasks = [
            Rewrap(
                row.row.wrapped_dek,
                locks.release_key,
                sealer.wrapping,
                locks.binding,
                row.parts,
                check,
            )
            for row, locks in zip(rows, new, strict=True)
        ]
        source = self._source
        with self._token().adopting(
            source.keys[name], allow_host_dek=source.allow_host_dek
        ) as adopting:
            outers = adopting.rewrap_many(tasks)
            origin = adopting.origin
        return [
            _adopted(row, context, locks, outer, origin, sealer)
            for row, context, locks, outer in zip(rows, contexts, new, outers, strict=True)
        ]

    def _require_other_keys(self, wrapping: TokenKey) -> None:
        """A wrapping key that is a legacy key would let old copies open with no member."""
        stated = [*self._wrapping_keys(), wrapping]
        moduli = {rsa_modulus(key.public) for key in stated if key.public}
        if any(key.modulus in moduli for key in self._source.keys.values()):
            raise CallerError(
                "legacy.same-key",
                "A legacy key is also a wrapping key of this deployment's directory.",
                hint="Make a new wrapping key: while the old one counts, old rows from a backup "
                "open with no member.",
            )

    def _note(self, items: Sequence[tuple[Context, LegacyRow]], rows: Sequence[_Row]) -> None:
        """Say in the audit chain what is about to be opened by an old key, and what is refused."""
        asked = [[context.encode(self._deployment_id), sorted(row.cells)] for context, row in items]
        columns = sorted({f"{r.context.table}.{column}" for r in rows for column in r.row.cells})
        shown = ", ".join(columns[:_MAX_COLUMNS_NOTED]) or "nothing"
        more = " and others" if len(columns) > _MAX_COLUMNS_NOTED else ""
        outcome = f"legacy: {len(rows)} of {len(items)} rows, {shown}{more}"
        self._auditor.note(sha256(cbor.encode([_READ, asked])), outcome)


def _require_allowed(
    states: Mapping[tuple[str, str], ColumnState], table: str, columns: Iterable[str]
) -> None:
    for column in columns:
        state = states.get((table, column))
        if state is ColumnState.CUT_OVER:
            raise DataError(
                "legacy.cut-over",
                f"{table}.{column} was cut over: legacy rows of it are refused.",
                hint="The row may be an old one, put back from a backup; look who did that. "
                "Its adopted or native value is what counts.",
            )
        if state is not ColumnState.LEGACY:
            raise DataError(
                "legacy.not-allowed",
                f"No admin has allowed legacy rows of {table}.{column} to be read.",
                hint="An admin of the authority group has to: `twinlock adopt allow`.",
            )


def _opened(context: Context, row: LegacyRow, result: Sequence[bytes] | DataError) -> Opened:
    if isinstance(result, DataError):
        return Opened(context, result)
    values = {column: Secret(value) for column, value in zip(row.cells, result, strict=True)}
    return Opened(context, None, values)


def _adopted(
    row: _Row,
    context: bytes,
    locks: NewLocks,
    outer: bytes | DataError,
    origin: DekOrigin,
    sealer: Sealer,
) -> bytes | DataError:
    if isinstance(outer, DataError):
        return outer
    head = Head(locks.core, locks.header, outer)
    return encode_adopted(sign_cells(head, origin, context, row.row.cells, sealer.writer))


def _unknown_key(name: str) -> CallerError:
    return CallerError(
        "legacy.unknown-key",
        f"A row names the legacy key {name!r}, which is not configured.",
        hint="Name it among the legacy keys, with the file of its public half.",
    )
