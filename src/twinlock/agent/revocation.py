"""Ending a revocation: the staged state takes its place once the logs show the new keys (SPEC 28).

Until then both are kept, so that nothing that happens between can lose the member.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from twinlock.agent.agent import Agent
from twinlock.agent.home import MemoryHome, StateHome
from twinlock.core.enrolment import unlock_any
from twinlock.core.factors import Factor
from twinlock.core.ports import Clock, Randomness
from twinlock.errors import CallerError, TwinlockError


def finish_revocation(
    kept: StateHome,
    factors: Sequence[Factor],
    news: bytes | Callable[[bytes, bytes], bytes],
    *,
    clock: Clock = lambda: int(time.time()),
    randomness: Randomness = os.urandom,
) -> Agent:
    """Put the staged state in place, and return its agent, which has followed the groups.

    ``factors`` are those of one of the new ways in. ``news``: the server's group bundle for this
    member, or what gets it for the new agent's hello and bundle request. Its logs must show the new
    keys, and its sealed group keys must open with them. Raises CallerError ``revocation.none`` or
    ``revocation.pending``, like ``Agent.follow``, and whatever ``news`` raises.
    """
    staged = kept.staged()
    if staged is None:
        raise CallerError(
            "revocation.none",
            "No revocation of this member is under way here.",
            hint="Begin one with `twinlock member revoke`.",
        )
    locked, _ = staged
    keys = unlock_any(locked.enrolments, factors)
    trial = Agent(MemoryHome(), locked.unlocked(keys), keys, clock=clock, randomness=randomness)
    try:
        bundle = news if isinstance(news, bytes) else news(trial.hello(), trial.bundle_request())
        trial.follow(bundle)
    except TwinlockError as error:
        # A server that does not know the new keys yet says so, or shows the old ones.
        if error.code not in ("member.keys-retired", "member.not-proved"):
            raise
        raise CallerError(
            "revocation.pending",
            "The groups' logs do not show the new keys yet, so the old state stays in place.",
            hint="Have the server accept the change, then finish with a bundle of afterwards.",
        ) from error
    trial.require_group_keys()
    kept.promote()
    agent = Agent(kept, locked.unlocked(keys), keys, clock=clock, randomness=randomness)
    # A request tells of its own groups alone: in the others the old keys would seem present.
    agent.follow(bundle)
    return agent


def discard_revocation(kept: StateHome, agent: Agent) -> None:
    """Forget a staged revocation that the server never accepted.

    ``agent`` is the member's present one and has followed its groups in this run: had the server
    accepted it, ``Agent.follow`` would have raised ``member.keys-retired``, and its group keys
    would not open. Raises like ``Agent.require_group_keys``.
    """
    agent.require_group_keys()
    kept.drop_staged()
