"""Secrets on paper: groups of five characters that each find their own slips (SPEC 15, 30).

Each group ends in a check character of its own, so that a slip is found while the paper is still
at hand and its group is named; some bits over the whole secret find what single groups do not. The
checks are functions of the secret and stand beside it: they give nobody anything.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twinlock.core.primitives import equal, sha256
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without I, L, O and U."""
GROUP_SIZE: Final = 5
MAX_TEXT: Final = 512

_MODULUS: Final = 0b100101
"""x^5 + x^2 + 1: a character is an element of GF(32)."""
_READ_AS: Final = {**{c: i for i, c in enumerate(ALPHABET)}, "O": 0, "I": 1, "L": 1}


@dataclass(frozen=True, slots=True)
class PrintedForm:
    """How secrets of one kind are printed and typed.

    ``size`` bytes and ``check_bits`` bits of ``H(check_label || secret)`` fill ``groups`` groups
    exactly. ``mistyped`` makes the error of a text that is not one, from a sentence that says where
    to look and quotes nothing.
    """

    size: int
    check_bits: int
    check_label: bytes
    mistyped: Callable[[str], CallerError]

    @property
    def groups(self) -> int:
        """How many groups there are, at most 31."""
        return (8 * self.size + self.check_bits) // (5 * (GROUP_SIZE - 1))

    def write(self, secret: Secret) -> SecretText:
        """Return a secret as it is printed: ``XXXXX-XXXXX-...``."""
        number = int.from_bytes(secret.reveal(), "big") << self.check_bits | self._check_of(secret)
        digits = [number >> 5 * at & 31 for at in reversed(range(self.groups * (GROUP_SIZE - 1)))]
        groups = [digits[at : at + GROUP_SIZE - 1] for at in range(0, len(digits), GROUP_SIZE - 1)]
        # The check digit has the weight 1, so that it is what the others lack.
        checked = [[*group, _weighed(group) ^ at] for at, group in enumerate(groups, 1)]
        return SecretText("-".join(map(symbols, checked)))

    def read(self, text: str) -> Secret:
        """Read a secret as somebody typed it.

        Case, white space and dashes do not matter; O is read as 0, I and L as 1. Raises what
        ``mistyped`` makes, which names the groups to look at.
        """
        found = self._read(text)
        # Error reporters send the local variables of every frame that an error passes through.
        del text
        if isinstance(found, str):
            raise self.mistyped(found)
        return found

    def check_row(self, text: str, first: int, count: int) -> None:
        """Check a row: ``count`` groups from number ``first`` on. Raises like ``read``."""
        found = _read_groups(text, first, count)
        del text
        if isinstance(found, str):
            raise self.mistyped(found)

    def _read(self, text: str) -> Secret | str:
        """Return the secret, or where to look."""
        groups = _read_groups(text, 1, self.groups)
        if isinstance(groups, str):
            return groups
        number = 0
        for group in groups:
            for digit in group[:-1]:
                number = number << 5 | digit
        secret = Secret((number >> self.check_bits).to_bytes(self.size, "big"))
        check, given = self._check_of(secret), number & (1 << self.check_bits) - 1
        if not equal(check.to_bytes(4, "big"), given.to_bytes(4, "big")):
            return "Every group fits by itself, but not with the others"
        return secret

    def _check_of(self, secret: Secret) -> int:
        digest = sha256(self.check_label, secret.reveal())
        return int.from_bytes(digest, "big") >> 256 - self.check_bits


def pieces(text: str) -> list[str]:
    """Split at white space, any dash (Unicode Pd), underscores and full stops."""
    return "".join(" " if _separates(character) else character for character in text).split()


def digits_of(text: str) -> list[int | None]:
    """The values of characters, None for one that nothing printed has."""
    return [_READ_AS.get(c.upper() if c.isascii() else c) for c in text]


def symbols(digits: Sequence[int]) -> str:
    """Write values from 0 to 31."""
    return "".join(ALPHABET[digit] for digit in digits)


def _read_groups(text: str, first: int, count: int) -> list[list[int]] | str:
    """The values of the characters of ``count`` groups, or where to look."""
    groups = _split(text, first, count)
    if isinstance(groups, str):
        return groups
    digits = [digits_of(group) for group in groups]
    wrong = [at for at, group in enumerate(digits, first) if not _fits(group, at)]
    if wrong:
        return _named(wrong)
    return [[digit for digit in group if digit is not None] for group in digits]


def _split(text: str, first: int, count: int) -> list[str] | str:
    """Split by what separates; characters that stand apart otherwise are joined again."""
    if len(text) > MAX_TEXT:
        return f"It has {len(text)} characters"
    groups = pieces(text)
    characters, wanted = "".join(groups), count * GROUP_SIZE
    if len(characters) == wanted:
        return [characters[at : at + GROUP_SIZE] for at in range(0, wanted, GROUP_SIZE)]
    if len(groups) == count:
        return _named([at for at, group in enumerate(groups, first) if len(group) != GROUP_SIZE])
    return f"It has {len(characters)} characters of {wanted}"


def _separates(character: str) -> bool:
    return (
        character.isspace() or unicodedata.category(character) in ("Pd", "Pc") or character == "."
    )


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


def _named(groups: Sequence[int]) -> str:
    names = " and ".join(map(str, groups)) if len(groups) < 3 else ", ".join(map(str, groups))
    one = len(groups) == 1
    return f"Group{'' if one else 's'} {names} {'is' if one else 'are'} not as printed"
