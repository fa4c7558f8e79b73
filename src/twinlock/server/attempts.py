"""Counting attempts in clock hours, for all processes of a deployment, before anything is done."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from twinlock.core.ports import Clock
from twinlock.core.primitives import sha256
from twinlock.errors import CallerError
from twinlock.server import log
from twinlock.server.config import SignInLimits
from twinlock.store.counters import WindowFullError
from twinlock.store.sql import SqlStore

WINDOW: Final = 3600


class Attempts:
    """Attempts of one kind; ``prefix`` begins the names of their counters. For many threads."""

    def __init__(self, prefix: str, store: SqlStore, clock: Clock) -> None:
        self._prefix = prefix
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._swept = -1

    def count(self, limits: Mapping[str, int]) -> None:
        """Count one attempt under each name, all or none. Raises ``WindowFullError``.

        ``limits``: as for ``CounterStore.add_in_window``, without the prefix.
        """
        window = self._clock() // WINDOW
        self._sweep(window)
        named = {f"{self._prefix}{name}": limit for name, limit in limits.items()}
        self._store.counters.add_in_window(named, window)

    def _sweep(self, window: int) -> None:
        """Forget earlier windows, once a window: accounts and sources are anybody's to invent."""
        with self._lock:
            if self._swept == window:
                return
            self._swept = window
        self._store.counters.forget_windows(self._prefix, window)


class SignIns:
    """Tries to sign in, and ways in that are fetched before they were unlocked."""

    def __init__(self, limits: SignInLimits, store: SqlStore, clock: Clock) -> None:
        self._limits = limits
        self._attempts = Attempts("sign-in/", store, clock)

    def count(self, account: str | None, source: str) -> None:
        """Count one try for an account, which need not exist, and its source.

        None for an account that nobody named yet. Raises CallerError ``sign-in.limit``.
        """
        limits = {f"source/{sha256(source.encode()).hex()}": self._limits.source_per_hour}
        if account is not None:
            limits[f"account/{sha256(account.encode()).hex()}"] = self._limits.account_per_hour
        try:
            self._attempts.count(limits)
        except WindowFullError as full:
            log.sign_in_limited(full.name.split("/")[1])
            raise CallerError(
                "sign-in.limit",
                "There were too many attempts.",
                hint="Wait for the next full hour.",
            ) from full
