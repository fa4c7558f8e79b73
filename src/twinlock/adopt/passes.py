"""Going over a table until nothing is left to do: several lanes, a pace, and no state of its own.

A lane takes the next rows, has them adopted, and writes them, in one transaction. While one lane
waits for the token another does the work in software and the database. Rows that somebody else
has locked are passed over and taken in the next pass.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, Protocol

from twinlock.adopt.jobs import Counts, Finding
from twinlock.adopt.tables import Key
from twinlock.adopt.templates import Row

PATIENCE: Final = 5
"""Passes that change nothing, one after another, before rows that others hold are left."""
_PAUSE: Final = 0.3
"""Seconds between such passes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of the rows that a lane took."""

    counts: Counts
    findings: Sequence[Finding] = ()
    left_alone: Sequence[Key] = ()


class Cursor:
    """Where a pass stands. One lane at a time chooses rows, so that no two choose the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._after: Key | None = None
        self.ended = False

    def take(
        self,
        choose: Callable[[Key | None], Sequence[Row]],
        key_of: Callable[[Row], Key],
        limit: int,
    ) -> Sequence[Row]:
        """Return what ``choose`` gives behind the last row that was taken, at most ``limit``."""
        with self._lock:
            rows = choose(self._after)
            self.ended = self.ended or len(rows) < limit
            if rows:
                self._after = key_of(rows[-1])
            return rows


class Adopter(Protocol):
    """Adopts the rows of one table."""

    def adopt(self, cursor: Cursor, limit: int, known_bad: Set[Key]) -> Batch:
        """Take at most ``limit`` rows and adopt them, all or none."""
        ...

    def left(self) -> int:
        """Count the rows that are still to do."""
        ...


Report = Callable[[Counts, Sequence[Finding]], None]


class Pace:
    """At most so many rows a second, over all lanes; None for no limit."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, rows: int, stop: threading.Event) -> None:
        """Wait until the next rows may be begun, after ``rows`` were."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now) + rows / self._rate
            until = self._next
        stop.wait(max(0.0, until - now))


@dataclass(slots=True)
class _Quota:
    """How many more rows may be adopted; None for no limit."""

    left: int | None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, wanted: int) -> int:
        with self.lock:
            if self.left is None:
                return wanted
            given = min(wanted, self.left)
            self.left -= given
            return given

    def give_back(self, unused: int) -> None:
        with self.lock:
            if self.left is not None:
                self.left += unused


class Passes:
    """One worker's passes over one table."""

    def __init__(
        self,
        adopter: Adopter,
        report: Report,
        *,
        lanes: int,
        batch: int,
        pace: Pace,
        limit: int | None,
        stop: threading.Event,
    ) -> None:
        self._adopter = adopter
        self._report = report
        self._lanes = lanes
        self._batch = batch
        self._pace = pace
        self._quota = _Quota(limit)
        self._stop = stop
        self._bad: set[Key] = set()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Pass over the table until nothing is left, the limit is reached, or ``stop`` is set.

        An application that goes on writing leaves something at every moment. So a run has caught up
        when a pass after the first found less than one round of batches, and it gives up when a
        pass found no less than the one before: then rows are written as fast as they are adopted.
        Raises what a lane raised; what the lanes had not committed is rolled back.
        """
        idle = before = 0
        while not self._stop.is_set():
            adopted = self._one_pass()
            if self._quota.left == 0 or self._adopter.left() <= len(self._bad):
                return
            if before and adopted and (adopted < self._batch * self._lanes or adopted >= before):
                return
            before = adopted or before
            idle = 0 if adopted else idle + 1
            if idle == PATIENCE:
                return
            if not adopted:
                self._stop.wait(_PAUSE)

    def _one_pass(self) -> int:
        cursor, totals = Cursor(), [0] * self._lanes

        def lane(number: int) -> None:
            try:
                totals[number] = self._lane(cursor)
            except BaseException as failure:  # noqa: BLE001 - raised again by the caller's thread
                self._failure = self._failure or failure
                self._stop.set()

        threads = [threading.Thread(target=lane, args=(n,)) for n in range(1, self._lanes)]
        for thread in threads:
            thread.start()
        lane(0)
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        return sum(totals)

    def _lane(self, cursor: Cursor) -> int:
        adopted = 0
        while not self._stop.is_set() and not cursor.ended:
            quota = self._quota.take(self._batch)
            if quota == 0:
                return adopted
            batch = self._adopter.adopt(cursor, quota, self._bad)
            self._quota.give_back(quota - batch.counts.adopted)
            with self._lock:
                self._bad.update(batch.left_alone)
                self._report(batch.counts, batch.findings)
            adopted += batch.counts.adopted
            self._pace.wait(batch.counts.adopted + batch.counts.failed, self._stop)
        return adopted
