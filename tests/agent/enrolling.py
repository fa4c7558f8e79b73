"""A member who enrols once more, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twinlock.agent.agent import Agent
from twinlock.agent.home import find_home
from twinlock.agent.ways import NewWay
from twinlock.core.factors import EnrollableFactor, Factor


def add_enrolment(
    name: str,
    unlock_with: Sequence[Factor],
    new_factors: Sequence[EnrollableFactor],
    *,
    home: Path | None = None,
    scram_alone: bool = False,
) -> None:
    """Unlock a member with present factors, and make a way in of new ones."""
    at = find_home(unlock_with, home)
    with Agent.unlock(name, *unlock_with, home=at) as agent:
        agent.ways.enrol(NewWay(new_factors), scram_alone=scram_alone)
