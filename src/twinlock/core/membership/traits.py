"""What members state about their ways in, and what of it a group's policy has to except.

A trait is the member's own signed statement: nobody else sees a member's enrolments. Groups decide
by it whom they take (SPEC 18).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twinlock.core import cbor
from twinlock.errors import CallerError

PQ_AT_REST: Final = "pq-at-rest"
"""Every enrolment holds a full-strength factor without a classical public-key step."""

SCRAM_ALONE: Final = "scram-alone"
"""An enrolment opens with a SCRAM password and no full-strength factor."""

SOLE_PASSKEY: Final = "sole-passkey"
"""Every enrolment holds a passkey: without the authenticator there is no way in."""

EXCEPTIONS: Final = frozenset({SCRAM_ALONE, SOLE_PASSKEY})
"""Traits with which a group takes a member only if its policy says so."""

TRAITS: Final = EXCEPTIONS | {PQ_AT_REST}


def require_traits(traits: Iterable[str]) -> None:
    """Check that all of them are known. Raises CallerError ``log.trait``."""
    if not TRAITS.issuperset(traits):
        raise CallerError(
            "log.trait",
            "A member states something about the ways in that this version does not know.",
            hint=f"Known are {', '.join(sorted(TRAITS))}.",
        )


def take_words(value: Any, known: frozenset[str]) -> frozenset[str]:
    """Read known words in ascending order, each once, else raise ``format.malformed``."""
    words = [cbor.take_text(item) for item in cbor.take_list(value, 0, len(known))]
    if words != sorted(known.intersection(words)):
        raise cbor.malformed("it does not list known words in ascending order")
    return frozenset(words)
