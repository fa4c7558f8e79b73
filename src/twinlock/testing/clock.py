"""A clock that moves when a test says so."""

from __future__ import annotations

import time


class MemoryClock:
    """Seconds since the epoch; begins now, or at ``start``, and stands still until moved."""

    def __init__(self, start: int | None = None) -> None:
        self.now = int(time.time()) if start is None else start

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: int) -> None:
        """Let time pass; a negative number sets the clock back."""
        self.now += seconds
