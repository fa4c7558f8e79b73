"""Hardening passwords with the token, within limits (SPEC 24).

The points are blinded, so the server cannot tell whose password stands behind one: a client may
spend the attempts of many accounts on one victim. That is why attempts are counted for the
hardening key, too, which is the victim's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from twinlock.core.hardening.curve import decode_point
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.ports import Clock, KeyRole, Token
from twinlock.core.primitives import sha256
from twinlock.core.statements import Directory, Statement
from twinlock.errors import CallerError, DataError
from twinlock.server import log
from twinlock.server.config import HardeningLimits
from twinlock.store.counters import WindowFullError
from twinlock.store.sql import SqlStore

WINDOW: Final = 3600
_PREFIX: Final = "hardening/"


class Hardening:
    """The evaluation ceremony of one vault (``Vault.hardening``). Safe for many threads.

    ``account`` is the application's own name for whom it takes an attempt for; it need not exist.
    ``source`` is where the attempt comes from, such as a network address.
    """

    def __init__(
        self,
        limits: HardeningLimits,
        store: SqlStore,
        token: Callable[[], Token],
        directory: Callable[[], tuple[Directory, Sequence[Statement]]],
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._store = store
        self._token = token
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._swept = -1

    def offer(self, account: bytes) -> HardeningOffer:
        """Return the token directory and the hardening key for an account's next enrolment.

        Accounts are spread over the keys by a hash, whether they exist or not. Raises CallerError
        ``hardening.no-key``.
        """
        directory, statements = self._directory()
        kids = sorted(e.key.kid for e in directory.entries if e.key.role is KeyRole.HARDENING)
        if not kids:
            raise CallerError(
                "hardening.no-key",
                "This deployment has no key to harden passwords with.",
                hint="Make one with `twinlock token add-hardening-key`.",
            )
        spread = int.from_bytes(sha256(account)[:8], "big")
        return HardeningOffer(kids[spread % len(kids)], tuple(statements))

    def evaluate(
        self, kid: bytes, first: bytes, second: bytes, *, account: bytes, source: str
    ) -> tuple[bytes, bytes]:
        """Count one attempt, then multiply both points in the token.

        Raises CallerError ``hardening.key-unknown`` or ``hardening.limit``, DataError
        ``hardening.point-invalid``, and the token's errors; then the attempt stays counted.
        """
        directory, _ = self._directory()
        key = directory.by_kid(kid)
        if key is None or key.role is not KeyRole.HARDENING:
            raise CallerError(
                "hardening.key-unknown",
                f"There is no hardening key with the id {kid.hex()[:32]}.",
                hint="Ask for the present token directory; an old enrolment needs its old key.",
            )
        for point in (first, second):
            _check_point(point)
        self._count(kid, account, source)
        one, other = self._token().evaluate(kid, [first, second])
        return one, other

    def _count(self, kid: bytes, account: bytes, source: str) -> None:
        window = self._clock() // WINDOW
        self._sweep(window)
        # The order of kinds is always this one: no two attempts wait for each other.
        limits = {
            f"{_PREFIX}key/{kid.hex()}": self._limits.key_per_hour,
            f"{_PREFIX}source/{sha256(source.encode()).hex()}": self._limits.source_per_hour,
            f"{_PREFIX}account/{sha256(account).hex()}": self._limits.account_per_hour,
        }
        try:
            self._store.counters.add_in_window(limits, window)
        except WindowFullError as full:
            log.hardening_limited(full.name.split("/")[1], kid)
            raise CallerError(
                "hardening.limit",
                "There were too many attempts.",
                hint="Wait for the next full hour, or use another way in.",
            ) from full

    def _sweep(self, window: int) -> None:
        """Forget earlier windows, once a window: accounts and sources are anybody's to invent."""
        with self._lock:
            if self._swept == window:
                return
            self._swept = window
        self._store.counters.forget_windows(_PREFIX, window)


def _check_point(point: bytes) -> None:
    try:
        decode_point(point)
    except DataError as error:
        raise DataError(
            "hardening.point-invalid",
            "What was sent for evaluation is no point of P-256.",
            hint="Update the agent.",
        ) from error
