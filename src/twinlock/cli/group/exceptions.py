"""Options that say which members' ways in a group takes by way of exception."""

from __future__ import annotations

from typing import Annotated

import typer

AllowScramAlone = Annotated[
    bool | None,
    typer.Option(
        "--allow-scram-alone/--no-allow-scram-alone",
        help="Take members whom a SCRAM password alone lets in.",
    ),
]
AllowSolePasskey = Annotated[
    bool | None,
    typer.Option(
        "--allow-sole-passkey/--no-allow-sole-passkey",
        help="Take members whose every way in needs a passkey.",
    ),
]


def changed_exceptions(
    present: frozenset[str], *, scram_alone: bool | None, sole_passkey: bool | None
) -> frozenset[str]:
    """Return the exceptions with those changed that an option names; None names none."""
    asked = {"scram-alone": scram_alone, "sole-passkey": sole_passkey}
    kept = {trait for trait in present if asked[trait] is None}
    return frozenset(kept | {trait for trait, allowed in asked.items() if allowed})
