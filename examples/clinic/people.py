"""The demo's people: who signs in with what, and which group each of them belongs to.

Every password and passphrase stands here in clear, because all of this is for playing only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from examples.clinic.wards import EMERGENCY


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Somebody of the demo. ``password`` signs in; ``passphrase`` and key file unlock the agent."""

    username: str
    full_name: str
    role: str
    group: str
    password: str
    passphrase: str
    admin: bool = False


PEOPLE: Final = (
    DemoPerson(
        "weber",
        "Dr. Hanna Weber",
        "cardiology, admin",
        "cardiology",
        "weber-signs-in",
        "quiet rivers carry no keys",
        admin=True,
    ),
    DemoPerson(
        "kim",
        "Dr. Joon Kim",
        "surgery",
        "surgery",
        "kim-signs-in",
        "seven lamps behind the mill",
    ),
    DemoPerson(
        "adler",
        "Dr. Ruth Adler",
        "emergency physician",
        EMERGENCY,
        "adler-signs-in",
        "night trains pass the harbour",
    ),
)
CLICK_EACH: Final = frozenset({EMERGENCY})
"""Groups whose policy wants the member's click for every release."""
