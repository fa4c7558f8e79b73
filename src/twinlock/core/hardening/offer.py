"""What a server hands out before an evaluation: which key, and the directory that states it."""

from __future__ import annotations

from dataclasses import dataclass

from twinlock.core.statements import Statement


@dataclass(frozen=True, slots=True)
class HardeningOffer:
    """``kid``: the hardening key for a new enrolment. ``statements``: the token directory.

    Nothing in it is trusted before ``verify_directory``.
    """

    kid: bytes
    statements: tuple[Statement, ...]
