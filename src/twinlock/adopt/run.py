"""A run over one table: what must hold before, the workers, and the record of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from twinlock.adopt import jobs
from twinlock.adopt.jobs import Counts, Finding
from twinlock.adopt.levels import candidate
from twinlock.adopt.processes import LANES, Job, work, work_in_processes
from twinlock.adopt.settings import Mode
from twinlock.adopt.site import Site
from twinlock.adopt.tables import AppTable
from twinlock.core.ports import Clock
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

BATCH: Final = 100
_NOTE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to run. ``rate``: rows a second over all workers; ``limit``: rows to adopt."""

    mode: Mode
    workers: int = 1
    batch: int = BATCH
    rate: float | None = None
    limit: int | None = None
    allow_host_dek: bool = False
    lanes: int = LANES


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. ``left``: rows that are still to do in this mode."""

    table: str
    counts: Counts
    left: int
    seconds: float
    findings: Sequence[Finding]

    @property
    def rate(self) -> float:
        """Rows adopted a second."""
        return self.counts.adopted / max(self.seconds, 0.001)

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "table": self.table,
            "adopted": self.counts.adopted,
            "failed": self.counts.failed,
            "host_dek": self.counts.host_dek,
            "rows_left": self.left,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rate, 1),
        }


def count_candidates(site: Site, table: AppTable, mode: Mode) -> int:
    """Count the rows that are to do."""
    with site.database.read() as connection:
        return table.count(connection, candidate(table, mode))


def run_table(
    site: Site,
    table: AppTable,
    plan: Plan,
    *,
    pin: Secret | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
    clock: Clock = lambda: int(time.time()),
) -> Outcome:
    """Adopt one table's rows. Safe to kill and to start again at any moment.

    Raises CallerError ``adopt.not-migrated``, ``adopt.one-worker`` or ``adopt.mode``, DataError
    ``legacy.not-allowed`` or ``legacy.cut-over``, EnvError; what was committed stays.
    """
    site.require_migrated()
    if plan.workers > 1 and not site.database.is_postgresql:
        raise CallerError(
            "adopt.one-worker",
            "SQLite has one writer, so there more workers than one are of no use.",
            hint="Use --workers 1.",
        )
    site.use_legacy(allow_host_dek=plan.allow_host_dek)
    names = [column.name for column in table.settings.columns]
    site.vault.require_legacy(table.name, names)
    began = time.monotonic()
    record = _Record.begin(site, table, plan, clock, on_rows)
    try:
        _work(site, table, plan, record, pin)
    finally:
        # After an error too: what was done so far was done.
        record.note(ended=True)
    left = count_candidates(site, table, plan.mode)
    seconds = time.monotonic() - began
    return Outcome(table.name, record.counts, left, seconds, tuple(record.found.values()))


def _work(site: Site, table: AppTable, plan: Plan, record: _Record, pin: Secret | None) -> None:
    job = Job(
        config=site.vault.config,
        adoption=site.adoption.path,
        table=table.name,
        mode=plan.mode,
        batch=plan.batch,
        rate=None if plan.rate is None else plan.rate / plan.workers,
        limit=plan.limit,
        allow_host_dek=plan.allow_host_dek,
        lanes=plan.lanes,
    )
    if plan.workers == 1:
        work(job, site, record.take, threading.Event())
        return
    shares = [_share(plan.limit, plan.workers, at) for at in range(plan.workers)]
    work_in_processes([replace(job, limit=share) for share in shares], record.take, pin=pin)


def _share(limit: int | None, workers: int, at: int) -> int | None:
    return None if limit is None else limit // workers + (at < limit % workers)


@dataclass(slots=True)
class _Record:
    """What workers report, noted in the application's database for ``status``."""

    site: Site
    table: AppTable
    run: int
    clock: Clock
    on_rows: Callable[[int], None]
    counts: Counts = field(default_factory=Counts)
    found: dict[str, Finding] = field(default_factory=dict)
    _new: list[Finding] = field(default_factory=list)
    _noted: float = 0.0

    @classmethod
    def begin(
        cls, site: Site, table: AppTable, plan: Plan, clock: Clock, on_rows: Callable[[int], None]
    ) -> _Record:
        with site.database.write() as connection:
            run = jobs.begin_run(connection, table.name, plan.mode, plan.workers, clock())
        return cls(site, table, run, clock, on_rows)

    def take(self, counts: Counts, findings: Sequence[Finding]) -> None:
        """Take a worker's report. Several workers may find the same row."""
        fresh = [finding for finding in findings if finding.key not in self.found]
        self.found |= {finding.key: finding for finding in fresh}
        self._new += fresh
        self.counts += replace(counts, failed=len(fresh))
        self.on_rows(counts.adopted + len(fresh))
        if time.monotonic() - self._noted >= _NOTE_SECONDS:
            self.note(ended=False)

    def note(self, *, ended: bool) -> None:
        """Write down how far the run is."""
        new, self._new = self._new, []
        self._noted = time.monotonic()
        with self.site.database.write() as connection:
            jobs.note_findings(connection, self.table.name, new)
            jobs.note_progress(connection, self.run, self.counts, self.clock(), ended=ended)
