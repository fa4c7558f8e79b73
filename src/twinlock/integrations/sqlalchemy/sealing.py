"""Sealing one row's values: under the row's DEK, or each under its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from twinlock.core.context import Context
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.integrations.sqlalchemy.binding import Binding
from twinlock.integrations.sqlalchemy.groups import Targets, ids_of, resolve
from twinlock.integrations.sqlalchemy.mapping import SealedMapping
from twinlock.integrations.sqlalchemy.stored import stored_row
from twinlock.server.records import ReadRecord, group_ids


@dataclass(frozen=True, slots=True)
class SealedValues:
    """Stored bytes by attribute; ``head`` is the row's new wrapped DEK, None if there is none."""

    head: bytes | None
    values: Mapping[str, bytes]


def seal_together(
    binding: Binding,
    mapping: SealedMapping,
    row: Any,
    context: Context,
    values: Mapping[str, Secret],
) -> SealedValues:
    """Seal all of a row's values anew: under one DEK, as far as their groups are the same.

    Of several sets of groups the one of the most attributes has the row's DEK; the values of the
    others get DEKs of their own, since a DEK opens for all of its groups.
    """
    by_targets: dict[Targets, list[str]] = {}
    for key in values:
        by_targets.setdefault(mapping.attributes[key].targets(row), []).append(key)
    shared, keys = max(by_targets.items(), key=lambda item: len(item[1]))
    columns = {mapping.attributes[key].column: key for key in keys}
    plain = {column: values[key].reveal() for column, key in columns.items()}
    vault = binding.vault

    def work() -> SealedValues:
        sealed = vault.seal_row(
            plain, to=resolve(vault, shared), context=context, suite=binding.suite
        )
        cells = {columns[column]: cell for column, cell in sealed.cells.items()}
        return SealedValues(sealed.head, cells)

    together = binding.run(work)
    rest = {key: value for key, value in values.items() if key not in keys}
    apart = seal_apart(binding, mapping, row, context, rest)
    return SealedValues(together.head, {**together.values, **apart.values})


def seal_apart(
    binding: Binding,
    mapping: SealedMapping,
    row: Any,
    context: Context,
    values: Mapping[str, Secret],
) -> SealedValues:
    """Seal values as self-contained ones, each under a DEK of its own."""
    wanted = {key: mapping.attributes[key].targets(row) for key in values}
    vault = binding.vault

    def work() -> dict[str, bytes]:
        return {
            key: vault.seal(
                value.reveal(),
                to=resolve(vault, wanted[key]),
                context=mapping.column_context(context, key),
                suite=binding.suite,
            ).to_bytes()
            for key, value in values.items()
        }

    return SealedValues(None, binding.run(work) if values else {})


def require_own(
    binding: Binding, mapping: SealedMapping, row: Any, keys: set[str], *, new: bool = False
) -> None:
    """Check that stored values which were assigned belong where they are now.

    Their writer's signature covers the context, so it tells. ``new``: the row is inserted, so
    nothing tells what its groups were; the values' locks must be for those that it has now.

    Raises CallerError ``sealed.foreign`` or ``sealed.regrouped``, or ``sealed.not-loaded`` where
    the row's wrapped DEK is not there to tell.
    """
    found = stored_row(mapping, row, keys)
    for error in found.errors.values():
        raise error
    items = [(item.context, item.stored) for item in found.items]
    if not items:
        return
    request = binding.run(lambda: binding.vault.request(items))
    for item, asked in zip(found.items, request.asked, strict=True):
        if asked.record is None:
            raise CallerError(
                "sealed.foreign",
                f"A sealed value that was assigned to a {mapping.table} row belongs elsewhere.",
                hint="A sealed value opens in its own row and attribute only: open it, and assign"
                " what was opened.",
            ) from asked.error
        if new:
            _require_groups(binding, mapping, row, item.columns, asked.record)


def _require_groups(
    binding: Binding, mapping: SealedMapping, row: Any, keys: Iterable[str], record: ReadRecord
) -> None:
    """Raise ``sealed.regrouped`` if a stored value is for other groups than ``to`` says."""
    locked = {frozenset(group_ids(lock)) for lock in record.head.header.locks}
    for key in keys:
        wanted = mapping.attributes[key].targets(row)
        ways = binding.run(partial(resolve, binding.vault, wanted))
        if locked != {frozenset(ids_of(way)) for way in ways}:
            raise CallerError(
                "sealed.regrouped",
                f"{key} of a new {mapping.table} row was sealed before, for other groups than"
                " the row's now.",
                hint="Assign its plain value again before you flush.",
            )
