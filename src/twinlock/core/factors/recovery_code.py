"""A recovery code: 128 random bits on paper, in seven groups of five characters (SPEC 15).

Each group ends in a check character of its own, so that a slip is found while the paper is still
at hand and its group is named; 12 bits over the whole code find what single groups do not. The
checks are functions of the code and stand beside it: they give nobody anything.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.ports import Randomness
from twinlock.core.primitives import equal, hmac_sha256, sha256
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without I, L, O and U."""
CODE_SIZE: Final = 16
GROUPS: Final = 7
GROUP_SIZE: Final = 5
MAX_TEXT: Final = 512

_LABEL: Final = b"twinlock/v1/recovery-code"
_CHECK: Final = b"twinlock/v1/recovery-check"
_SALT_SIZE: Final = 16
_CHECK_BITS: Final = 12
_MODULUS: Final = 0b100101
"""x^5 + x^2 + 1: a character is an element of GF(32)."""
_READ_AS: Final = {**{c: i for i, c in enumerate(ALPHABET)}, "O": 0, "I": 1, "L": 1}


@dataclass(frozen=True, slots=True)
class RecoveryCodeFactor:
    """A recovery code, asked for when it is needed: the 16 bytes of ``read_recovery_code``."""

    read: Callable[[], Secret] = field(repr=False)

    @property
    def kind(self) -> str:
        """``recovery-code``."""
        return "recovery-code"

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return [salt]."""
        return [randomness(_SALT_SIZE)]

    def output(self, parameters: Parameters, place: Place) -> Secret:  # noqa: ARG002
        """Return HMAC-SHA-256(code, label || salt), whatever the place. Nobody guesses 128 bits."""
        (salt,) = cbor.take_list(parameters, 1, 1)
        return Secret(hmac_sha256(self.read().reveal(), _LABEL + cbor.take_bytes(salt, _SALT_SIZE)))


def new_recovery_code(randomness: Randomness) -> SecretText:
    """Draw a code and return it as it is printed: ``XXXXX-XXXXX-...``, seven groups."""
    return print_recovery_code(Secret(randomness(CODE_SIZE)))


def print_recovery_code(code: Secret) -> SecretText:
    """Return 16 bytes as they are printed."""
    number = int.from_bytes(code.reveal(), "big") << _CHECK_BITS | _check_of(code)
    digits = [number >> 5 * at & 31 for at in reversed(range(GROUPS * (GROUP_SIZE - 1)))]
    groups = [digits[at : at + GROUP_SIZE - 1] for at in range(0, len(digits), GROUP_SIZE - 1)]
    # The check digit has the weight 1, so that it is what the others lack.
    checked = [[*group, _weighed(group) ^ at] for at, group in enumerate(groups, 1)]
    return SecretText("-".join("".join(ALPHABET[d] for d in group) for group in checked))


def read_recovery_code(text: str) -> Secret:
    """Read a code as somebody typed it; returns its 16 bytes.

    Case, white space and dashes do not matter; O is read as 0, I and L as 1. Raises CallerError
    ``factor.recovery-mistyped``, which names the groups to look at and quotes nothing of them.
    """
    groups = [_digits_of(group) for group in _groups_of(text)]
    wrong = [at for at, group in enumerate(groups, 1) if not _fits(group, at)]
    if wrong:
        raise _mistyped(_named(wrong))
    number = 0
    for digit in (digit for group in groups for digit in group[:-1]):
        number = number << 5 | (digit or 0)
    code = Secret((number >> _CHECK_BITS).to_bytes(CODE_SIZE, "big"))
    check, given = _check_of(code), number & (1 << _CHECK_BITS) - 1
    if not equal(check.to_bytes(2, "big"), given.to_bytes(2, "big")):
        raise _mistyped("Every group fits by itself, but not with the others")
    return code


def _groups_of(text: str) -> list[str]:
    """Split by what separates; characters that stand apart otherwise are put together again."""
    if len(text) > MAX_TEXT:
        raise _mistyped(f"It has {len(text)} characters")
    shown = [" " if _separates(character) else character for character in text]
    groups = "".join(shown).split()
    characters = "".join(groups)
    if len(characters) == GROUPS * GROUP_SIZE:
        return [characters[at : at + GROUP_SIZE] for at in range(0, len(characters), GROUP_SIZE)]
    if len(groups) == GROUPS:
        wrong = [at for at, group in enumerate(groups, 1) if len(group) != GROUP_SIZE]
        raise _mistyped(_named(wrong))
    raise _mistyped(f"It has {len(characters)} characters of {GROUPS * GROUP_SIZE}")


def _separates(character: str) -> bool:
    """White space, any dash (Unicode Pd), underscores and full stops."""
    return (
        character.isspace() or unicodedata.category(character) in ("Pd", "Pc") or character == "."
    )


def _digits_of(group: str) -> list[int | None]:
    """The values of a group's characters, None for one that no code has."""
    return [_READ_AS.get(c.upper() if c.isascii() else c) for c in group]


def _fits(group: Sequence[int | None], at: int) -> bool:
    digits = [digit for digit in group if digit is not None]
    return len(digits) == GROUP_SIZE and _weighed(digits[:-1]) ^ digits[-1] == at


def _weighed(digits: Sequence[int]) -> int:
    """Sum of x^i times digit i, i from 1, in GF(32).

    All weights differ and none is zero, nor the 1 of the check digit, so that neither one wrong
    digit nor two exchanged ones give the sum again.
    """
    total = 0
    for digit in reversed(digits):
        total ^= digit
        total <<= 1
        total ^= _MODULUS if total > 31 else 0
    return total


def _check_of(code: Secret) -> int:
    return int.from_bytes(sha256(_CHECK, code.reveal())[:2], "big") >> 16 - _CHECK_BITS


def _named(groups: Sequence[int]) -> str:
    names = " and ".join(map(str, groups)) if len(groups) < 3 else ", ".join(map(str, groups))
    one = len(groups) == 1
    return f"Group{'' if one else 's'} {names} {'is' if one else 'are'} not as printed"


def _mistyped(where: str) -> CallerError:
    return CallerError(
        "factor.recovery-mistyped",
        f"This is not a recovery code. {where}.",
        hint="Compare what you typed with the paper: seven groups of five characters.",
    )
