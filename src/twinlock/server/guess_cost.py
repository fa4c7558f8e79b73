"""What guessing a password costs whoever has the database and the HSM interface.

Measured as such a person would do it: straight at the token, past every limit, with all sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from twinlock.core.ports import Token
from twinlock.core.primitives import agreement_key

BITS: Final = (20, 40, 60)
_BATCH: Final = 50
_BASE_POINT: Final = agreement_key(1).public
"""Any point costs the same."""


@dataclass(frozen=True, slots=True)
class GuessRate:
    """``evaluations`` in ``seconds`` by ``threads`` at once; one evaluation tests one guess."""

    threads: int
    evaluations: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Guesses per second."""
        return self.evaluations / self.seconds


def measure(
    token: Token,
    kid: bytes,
    threads: Sequence[int],
    seconds: float,
    timer: Callable[[], float] = time.monotonic,
) -> list[GuessRate]:
    """Evaluate with a loaded hardening key for ``seconds``, for each number of threads.

    Every thread works on until the time is over and finishes the batch it is at; what is counted is
    divided by the time that it really took. Raises the token's errors.
    """
    token.evaluate(kid, [_BASE_POINT])
    return [_measured(token, kid, count, seconds, timer) for count in threads]


def _measured(
    token: Token, kid: bytes, threads: int, seconds: float, timer: Callable[[], float]
) -> GuessRate:
    begun = timer()

    def guess(_: int) -> int:
        done = 0
        while not done or timer() - begun < seconds:
            done += len(token.evaluate(kid, [_BASE_POINT] * _BATCH))
        return done

    with ThreadPoolExecutor(threads) as executor:
        evaluations = sum(executor.map(guess, range(threads)))
    return GuessRate(threads, evaluations, timer() - begun)


def expected_seconds(bits: int, per_second: float) -> float:
    """Return the mean time to the right one of 2^bits equally likely passwords."""
    return float(2**bits + 1) / 2 / per_second
