"""Looking at everything before anything is changed: counts, unknown groups, and real trials."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, and_

from twinlock.adopt.layout import GroupNames, layout_errors
from twinlock.adopt.levels import ColumnLevels, count_levels
from twinlock.adopt.settings import Source
from twinlock.adopt.site import Site
from twinlock.adopt.tables import AppTable, Key, as_row, shown_key
from twinlock.adopt.templates import Row
from twinlock.adopt.trial import Problem, Trial, try_in_token, try_plain
from twinlock.adopt.ways import GroupsOf
from twinlock.errors import DataError


@dataclass(slots=True)
class TableScan:
    """What a scan saw of one table.

    ``keys`` and ``groups``: rows by old key and by ways in; ``unknown``: keys of rows for which no
    group is known, ``malformed``: of rows that cannot be read as declared.
    """

    name: str
    rows: int = 0
    levels: Mapping[str, ColumnLevels] = field(default_factory=dict)
    keys: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)
    malformed: list[Problem] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)

    @property
    def problems(self) -> list[Problem]:
        """Everything that will stop rows, but for unknown groups."""
        return [*self.malformed, *(p for trial in self.trials for p in trial.problems)]

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "table": self.name,
            "rows": self.rows,
            "columns": {name: asdict(levels) for name, levels in self.levels.items()},
            "keys": dict(self.keys),
            "groups": dict(self.groups),
            "unknown_groups": self.unknown,
            "tried": {trial.key: [trial.good, trial.tried] for trial in self.trials},
            "problems": [problem.facts() for problem in self.problems],
        }


def scan_table(
    site: Site,
    table: AppTable,
    *,
    sample: int,
    allow_host_dek: bool,
    chance: random.Random,
    on_row: Callable[[int], None] = lambda _: None,
) -> TableScan:
    """Look at one table; ``sample`` rows of each old key are tried. Raises EnvError."""
    scan = TableScan(table.name)
    samples: dict[str, list[Key]] = {}
    groups = GroupsOf(site.vault)
    with site.database.read() as connection:
        if not table.missing:
            scan.levels = count_levels(connection, table)
        for row in _rows(connection, table):
            scan.rows += 1
            on_row(1)
            name = _noted(scan, table, groups, row)
            if name is not None:
                kept = samples.setdefault(name, [])
                _keep_sample(kept, table.key_of(row), scan.keys[name], sample, chance)
        found = {name: _fetch(connection, table, keys) for name, keys in samples.items()}
    scan.trials = list(_trials(site, table, found, allow_host_dek))
    return scan


def _rows(connection: Connection, table: AppTable) -> Iterator[Row]:
    """Only what tells key and groups is read, unless a layout wants to see whole rows."""
    if table.settings.layout is not None:
        return table.rows(connection)
    return table.rows(connection, columns=table.settings.bound)


def _noted(scan: TableScan, table: AppTable, groups: GroupsOf, row: Row) -> str | None:
    """Count a row; returns the name of its old key, None where that cannot be told."""
    key = shown_key(table.key_of(row))
    try:
        with layout_errors():
            name = _key_name(table, row)
            names = table.layout.groups(row)
            table.layout.context(row)
    except DataError as error:
        scan.malformed.append(Problem(error.code, error.message, error.hint, 1, [key]))
        return None
    scan.keys[name] += 1
    try:
        groups.ways(names)
    except DataError:
        scan.unknown.append(key)
    else:
        scan.groups[_shown(names)] += 1
    return name


def _key_name(table: AppTable, row: Row) -> str:
    source = table.settings.source
    return table.layout.key(row) if source is Source.HSM else source.value


def _shown(names: GroupNames | None) -> str:
    return ", ".join(n if isinstance(n, str) else " & ".join(n) for n in names or ())


def _keep_sample(kept: list[Key], key: Key, seen: int, size: int, chance: random.Random) -> None:
    """Keep each of the ``seen`` rows with the same chance (reservoir sampling)."""
    if len(kept) < size:
        kept.append(key)
        return
    at = chance.randrange(seen)
    if at < size:
        kept[at] = key


def _fetch(connection: Connection, table: AppTable, keys: Sequence[Key]) -> list[Row]:
    rows: list[Row] = []
    for key in keys:
        same = and_(*(c == v for c, v in zip(table.key_columns, key, strict=True)))
        query = table.page(same, after=None, limit=1)
        rows += [as_row(row) for row in connection.execute(query).mappings()]
    return rows


def _trials(
    site: Site, table: AppTable, found: Mapping[str, Sequence[Row]], allow_host_dek: bool
) -> Iterator[Trial]:
    for name, rows in sorted(found.items()):
        if table.settings.source is Source.HSM:
            yield try_in_token(
                site.vault, table, name, site.keys.get(name), rows, allow_host_dek=allow_host_dek
            )
        else:
            yield try_plain(table, rows)
