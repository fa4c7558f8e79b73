"""The clinic's wards, which are groups of Twinlock, and the group for emergencies."""

from __future__ import annotations

from typing import Final

WARDS: Final = ("cardiology", "surgery")

EMERGENCY: Final = "emergency"
"""The group that opens records of every ward, with a click for each release."""
