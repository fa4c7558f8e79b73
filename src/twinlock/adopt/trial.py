"""Trying a sample of rows for real: in the token, or by whatever else makes plaintext of them.

Nothing of it is kept: a trial ends with new locks that are thrown away.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from twinlock.adopt.layout import LegacyLayout, layout_errors
from twinlock.adopt.legacy_keys import unknown_key
from twinlock.adopt.tables import AppTable, shown_key
from twinlock.adopt.templates import Row
from twinlock.core.adopting import OAEP_HASHES, LegacyKey, Rewrap
from twinlock.core.ports import KeyRole, TokenKey
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError
from twinlock.server.vault import Vault

_NAMED: Final = 5
_NO_DEK: Final = ("legacy.dek", "token.unsupported")


@dataclass(frozen=True, slots=True)
class Problem:
    """What will stop rows, and what to do. ``keys`` are some of them; ``rows`` counts in trials."""

    code: str
    message: str
    hint: str
    rows: int
    keys: Sequence[str]

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "rows": self.rows,
            "keys": list(self.keys),
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """How a sample of rows under one key went."""

    key: str
    tried: int
    good: int
    problems: Sequence[Problem]


def try_in_token(
    vault: Vault,
    table: AppTable,
    name: str,
    key: LegacyKey | None,
    rows: Sequence[Row],
    *,
    allow_host_dek: bool,
) -> Trial:
    """Try rows whose DEKs are encrypted to one old key. Raises EnvError ``token.*``."""
    if key is None:
        return Trial(name, len(rows), 0, [_problem(unknown_key(name), table, rows)])
    refused: dict[int, TwinlockError] = {}
    items: dict[int, Rewrap] = {}
    wrapping = wrapping_key(vault)
    for at, row in enumerate(rows):
        try:
            with layout_errors():
                items[at] = _rewrap(table.layout, row, wrapping)
        except DataError as error:
            refused[at] = error
    try:
        refused |= _rewrapped(vault, key, items, allow_host_dek)
    except (CallerError, EnvError) as error:
        if not error.code.startswith("legacy.") and error.code != "token.unsupported":
            raise
        refused |= dict.fromkeys(items, error)
    # No DEK opened, or the token has no such OAEP: another hash may be the right one.
    if items and all(_is(refused.get(at), *_NO_DEK) for at in items):
        other = _other_hash(vault, name, key, items, allow_host_dek)
        refused |= dict.fromkeys(items, other or refused[next(iter(items))])
    return Trial(name, len(rows), len(rows) - len(refused), _grouped(table, rows, refused))


def try_plain(table: AppTable, rows: Sequence[Row]) -> Trial:
    """Try rows that need no token."""
    refused: dict[int, TwinlockError] = {}
    for at, row in enumerate(rows):
        try:
            with layout_errors():
                table.layout.plaintexts(row)
        except DataError as error:
            refused[at] = error
    source = table.settings.source.value
    return Trial(source, len(rows), len(rows) - len(refused), _grouped(table, rows, refused))


def wrapping_key(vault: Vault) -> TokenKey:
    """Return some current wrapping key of the deployment; which one does not matter for a trial."""
    keys = [entry.key for entry in vault.directory.entries if entry.key.role is KeyRole.WRAPPING]
    return vault.directory.current(KeyRole.WRAPPING, keys[0].suite)


def _rewrap(layout: LegacyLayout, row: Row, wrapping: TokenKey) -> Rewrap:
    return Rewrap(
        layout.wrapped_dek(row),
        Secret(os.urandom(32)),
        wrapping,
        b"twinlock adopt scan",
        [cell.part() for cell in layout.cells(row).values()],
    )


def _rewrapped(
    vault: Vault, key: LegacyKey, items: Mapping[int, Rewrap], allow_host_dek: bool
) -> dict[int, TwinlockError]:
    with vault.token.adopting(key, allow_host_dek=allow_host_dek) as adopting:
        results = adopting.rewrap_many(list(items.values()))
    return {
        at: result
        for at, result in zip(items, results, strict=True)
        if isinstance(result, DataError)
    }


def _other_hash(
    vault: Vault, name: str, key: LegacyKey, items: Mapping[int, Rewrap], allow_host_dek: bool
) -> TwinlockError | None:
    """See whether the DEKs open with other OAEP hashes; returns None if they do not."""
    for oaep_hash in OAEP_HASHES:
        for mgf_hash in OAEP_HASHES:
            other = replace(key, oaep_hash=oaep_hash, mgf_hash=mgf_hash)
            if (oaep_hash, mgf_hash) == (key.oaep_hash, key.mgf):
                continue
            try:
                refused = _rewrapped(vault, other, items, allow_host_dek)
            except (CallerError, EnvError):
                continue
            if not all(_is(refused.get(at), "legacy.dek") for at in items):
                return CallerError(
                    "adopt.oaep-hash",
                    f"The DEKs under {name} do not open with OAEP {key.oaep_hash} and MGF1 "
                    f"{key.mgf}, but with {oaep_hash} and {mgf_hash}.",
                    hint=f"Set oaep-hash = {oaep_hash!r}, mgf-hash = {mgf_hash!r} in adopt.toml.",
                )
    return None


def _is(error: TwinlockError | None, *codes: str) -> bool:
    return error is not None and error.code in codes


def _grouped(
    table: AppTable, rows: Sequence[Row], refused: Mapping[int, TwinlockError]
) -> list[Problem]:
    by_code: dict[str, list[int]] = {}
    for at, error in sorted(refused.items()):
        by_code.setdefault(error.code, []).append(at)
    return [_problem(refused[at[0]], table, [rows[n] for n in at]) for at in by_code.values()]


def _problem(error: TwinlockError, table: AppTable, rows: Sequence[Row]) -> Problem:
    keys = [shown_key(table.key_of(row)) for row in rows[:_NAMED]]
    return Problem(error.code, error.message, error.hint, len(rows), keys)
