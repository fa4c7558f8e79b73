"""Figures: alternating rounds, medians and spreads.

Machines drift. So whatever is compared runs in turn, round by round, and a ratio is the median of
the rounds' ratios, not the ratio of two medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Round = Callable[[], float]
"""Does a round's work and returns the seconds that count."""

_TRIM: Final = 0.1


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with the 10th and 90th percentile of its rounds."""

    median: float
    low: float
    high: float
    unit: str
    rounds: int
    target: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for the results file, rounded to what is meaningful."""
        return {
            "median": _round(self.median),
            "spread": [_round(self.low), _round(self.high)],
            "unit": self.unit,
            "rounds": self.rounds,
            "target": self.target,
        }


def figure(values: Sequence[float], unit: str, target: str = "") -> Figure:
    """Summarise rounds."""
    ordered = sorted(values)
    edge = int(len(ordered) * _TRIM)
    return Figure(
        statistics.median(ordered),
        ordered[edge],
        ordered[len(ordered) - 1 - edge],
        unit,
        len(ordered),
        target,
    )


def alternate(rounds: Mapping[str, Round], count: int) -> dict[str, list[float]]:
    """Run every round once per pass, ``count`` passes after one that does not count."""
    seen: dict[str, list[float]] = {name: [] for name in rounds}
    for turn in range(count + 1):
        names = list(rounds)
        # Every other pass runs backwards, so that no round always follows the same one.
        for name in names if turn % 2 else reversed(names):
            seconds = rounds[name]()
            if turn:
                seen[name].append(seconds)
    return seen


def ratio(seen: Mapping[str, Sequence[float]], above: str, below: str, target: str = "") -> Figure:
    """Return the pass-by-pass ratio of two rounds."""
    pairs = zip(seen[above], seen[below], strict=True)
    return figure([a / b for a, b in pairs], "ratio", target)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _round(value: float) -> float:
    return float(f"{value:.4g}")
