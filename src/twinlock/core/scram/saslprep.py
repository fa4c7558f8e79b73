"""SASLprep (RFC 4013): how SCRAM makes names and passwords to bytes."""

from __future__ import annotations

from collections.abc import Callable
from stringprep import (
    in_table_a1,
    in_table_b1,
    in_table_c3,
    in_table_c4,
    in_table_c5,
    in_table_c6,
    in_table_c7,
    in_table_c8,
    in_table_c9,
    in_table_c12,
    in_table_c21_c22,
    in_table_d1,
    in_table_d2,
)
from typing import Final
from unicodedata import ucd_3_2_0

from twinlock.errors import CallerError

_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (
    *(in_table_a1, in_table_c12, in_table_c21_c22, in_table_c3, in_table_c4),
    *(in_table_c5, in_table_c6, in_table_c7, in_table_c8, in_table_c9),
)
"""RFC 4013 section 2.3, and code points that Unicode 3.2 does not assign (2.5)."""


def saslprep(text: str) -> str:
    """Return a name prepared, never empty.

    Raises CallerError ``factor.passphrase-invalid``; the text is not in it.
    """
    prepared = prepare(text)
    if prepared is None:
        raise invalid()
    return prepared


def prepare(text: str) -> str | None:
    """Return the prepared text, None where SASLprep refuses: no error has a password's frame."""
    mapped = "".join(" " if in_table_c12(c) else c for c in text if not in_table_b1(c))
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    return None if not prepared or _prohibits(prepared) or _mixes_directions(prepared) else prepared


def invalid() -> CallerError:
    """Return the error for what SASLprep refuses."""
    return CallerError(
        "factor.passphrase-invalid",
        "A passphrase is a non-empty text without control characters.",
        hint="Choose several words; spaces are welcome.",
    )


def _prohibits(text: str) -> bool:
    return any(prohibited(char) for char in text for prohibited in _PROHIBITED)


def _mixes_directions(text: str) -> bool:
    """RFC 3454 section 6: text with a right-to-left letter begins and ends with one."""
    if not any(in_table_d1(char) for char in text):
        return False
    ends = in_table_d1(text[0]) and in_table_d1(text[-1])
    return not ends or any(in_table_d2(char) for char in text)
