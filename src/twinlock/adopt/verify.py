"""Verifying an adoption: a member opens a sample, which is compared with the old reading.

The old reading is possible while it is signed as allowed, the old key is there, and the old
columns are; afterwards a sample shows only that it opens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, select

from twinlock.adopt.jobs import Finding
from twinlock.adopt.levels import any_adopted
from twinlock.adopt.old_rows import read_old
from twinlock.adopt.site import Site
from twinlock.adopt.stored import stored_items
from twinlock.adopt.tables import AppTable, Key, as_row, shown_key
from twinlock.adopt.templates import Row
from twinlock.core.context import Context
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError
from twinlock.server.opened import Opened
from twinlock.server.records import Stored

PAGE: Final = 100
Release = Callable[[Sequence[tuple[Context, Stored]]], Sequence[Opened | TwinlockError]]
"""Has a member release records and opens them; one result for each, in order."""

_SAMPLE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%|(\d+)|all")


@dataclass(frozen=True, slots=True)
class Sample:
    """How many rows: a share of them (0 to 1), or a number; both None for all."""

    share: float | None = None
    number: int | None = None

    def of(self, total: int) -> int:
        """Return how many of ``total`` rows: at least one, if there is any."""
        if self.share is not None:
            return min(total, max(1, math.ceil(total * self.share)))
        return total if self.number is None else min(total, self.number)


def parse_sample(text: str) -> Sample:
    """Read ``1%``, ``500`` or ``all``. Raises CallerError ``adopt.sample``."""
    match = _SAMPLE.fullmatch(text.strip())
    share = float(match[1]) / 100 if match and match[1] else None
    number = int(match[2]) if match and match[2] else None
    if match is None or (share is not None and not 0 < share <= 1) or number == 0:
        raise CallerError("adopt.sample", f"{text!r} is no sample.", hint="Write 1%, 500, or all.")
    return Sample(share, number)


@dataclass(slots=True)
class Verified:
    """What a verification saw. ``compared``: rows whose old reading said the same, or did not.

    ``why_not``: why nothing could be compared, empty if it could.
    """

    table: str
    opened: int = 0
    compared: int = 0
    findings: list[Finding] = field(default_factory=list)
    why_not: str = ""

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "table": self.table,
            "opened": self.opened,
            "compared": self.compared,
            "not_compared_because": self.why_not,
            "findings": [
                {"key": f.key, "code": f.code, "message": f.message} for f in self.findings
            ],
        }


def sample_size(site: Site, table: AppTable, sample: Sample) -> int:
    """Count the rows that a sample of the adopted rows has."""
    with site.database.read() as connection:
        return sample.of(table.count(connection, any_adopted(table)))


def verify_table(
    site: Site,
    table: AppTable,
    sample: Sample,
    release: Release,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Open a sample of a table's adopted rows, and compare. Raises EnvError and like a release."""
    verified = Verified(table.name)
    for page in _pages(site, table, sample):
        said = _opened(table, page, release, verified)
        if not verified.why_not:
            _compare(site, table, page, said, verified)
        on_rows(len(page))
    return verified


def _pages(site: Site, table: AppTable, sample: Sample) -> Iterator[Sequence[Row]]:
    """Yield the sample's rows, chosen at random by the database."""
    size = sample_size(site, table, sample)
    columns = table.key_columns
    chosen = select(*columns).where(any_adopted(table)).order_by(func.random()).limit(size)
    with site.database.read() as connection:
        keys = [tuple(row) for row in connection.execute(chosen)]
    for start in range(0, len(keys), PAGE):
        some: Sequence[Key] = keys[start : start + PAGE]
        with site.database.read() as connection:
            query = table.page(table.of_keys(some), after=None, limit=PAGE)
            yield [as_row(row) for row in connection.execute(query).mappings()]


def _opened(
    table: AppTable, rows: Sequence[Row], release: Release, verified: Verified
) -> dict[Key, dict[str, bytes]]:
    """Open rows; return what the columns say whose DEK the row's columns share."""
    items: list[tuple[Key, tuple[Context, Stored]]] = []
    for row in rows:
        key = table.key_of(row)
        try:
            items += [(key, item) for item in stored_items(table, row)]
        except DataError as error:
            verified.findings.append(_finding(key, error))
    said: dict[Key, dict[str, bytes]] = {}
    bad: set[Key] = {key for key, _ in items}
    results = release([item for _, item in items]) if items else ()
    for (key, (context, _)), result in zip(items, results, strict=True):
        failed = result if isinstance(result, TwinlockError) else result.error
        if failed is not None:
            verified.findings.append(_finding(key, failed))
            said.pop(key, None)
        elif not isinstance(result, TwinlockError):
            bad.discard(key)
            if context.column is None:
                said[key] = {name: result.data(name).reveal() for name in result.columns}
    verified.opened += len({key for key, _ in items} - bad)
    return said


def _compare(
    site: Site,
    table: AppTable,
    rows: Sequence[Row],
    said: dict[Key, dict[str, bytes]],
    verified: Verified,
) -> None:
    ready = [row for row in rows if table.key_of(row) in said]
    if table.gone:
        verified.why_not = "the old columns are gone"
        return
    try:
        found = read_old(site.vault, table, site.keys, ready, also_native=True) if ready else ()
    except (DataError, CallerError, EnvError) as error:
        if not error.code.startswith("legacy."):
            raise
        verified.why_not = error.message
        return
    for row, old in zip(ready, found, strict=True):
        key = table.key_of(row)
        if isinstance(old, TwinlockError):
            verified.findings.append(_finding(key, old))
            continue
        verified.compared += 1
        differing = [name for name, value in said[key].items() if old[1].get(name) != value]
        if differing:
            message = f"{', '.join(differing)} says something else than in its old form."
            verified.findings.append(Finding(shown_key(key), "adopt.differs", message))


def _finding(key: Key, error: TwinlockError) -> Finding:
    return Finding(shown_key(key), error.code, error.message)
