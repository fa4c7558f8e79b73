"""Hardening passwords with the token, within limits (SPEC 24).

The points are blinded, so the server cannot tell whose password stands behind one: a client may
spend the attempts of many accounts on one victim. That is why attempts are counted for the
hardening key, too, which is the victim's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twinlock.core.hardening.curve import decode_point
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.ports import Clock, KeyRole, Token
from twinlock.core.primitives import sha256
from twinlock.core.statements import Directory, Statement
from twinlock.errors import CallerError, DataError
from twinlock.server import log
from twinlock.server.attempts import Attempts
from twinlock.server.config import HardeningLimits
from twinlock.store.counters import WindowFullError
from twinlock.store.sql import SqlStore

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
        self._token = token
        self._directory = directory
        self._attempts = Attempts(_PREFIX, store, clock)

    def offer(self, account: bytes) -> HardeningOffer:
        """Return the token directory and the hardening key for an account's next enrolment.

        Accounts are spread over the keys by a hash, whether they exist or not; another key takes
        over its share of them and moves no others. Retiring keys are left out. Raises CallerError
        ``hardening.no-key``.
        """
        directory, statements = self._directory()
        entries = [e for e in directory.entries if e.key.role is KeyRole.HARDENING]
        kids = [e.key.kid for e in entries if not e.retiring] or [e.key.kid for e in entries]
        if not kids:
            raise CallerError(
                "hardening.no-key",
                "This deployment has no key to harden passwords with.",
                hint="Make one with `twinlock token add-hardening-key`.",
            )
        # Rendezvous hashing (Thaler, Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998).
        kid = max(kids, key=lambda kid: sha256(kid + account))
        return HardeningOffer(kid, tuple(statements))

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
        # The order of kinds is always this one: no two attempts wait for each other.
        limits = {
            f"key/{kid.hex()}": self._limits.key_per_hour,
            f"source/{sha256(source.encode()).hex()}": self._limits.source_per_hour,
            f"account/{sha256(account).hex()}": self._limits.account_per_hour,
        }
        try:
            self._attempts.count(limits)
        except WindowFullError as full:
            log.hardening_limited(full.name.split("/")[1], kid)
            raise CallerError(
                "hardening.limit",
                "There were too many attempts.",
                hint="Wait for the next full hour, or use another way in.",
            ) from full


def _check_point(point: bytes) -> None:
    try:
        decode_point(point)
    except DataError as error:
        raise DataError(
            "hardening.point-invalid",
            "What was sent for evaluation is no point of P-256.",
            hint="Update the agent.",
        ) from error
