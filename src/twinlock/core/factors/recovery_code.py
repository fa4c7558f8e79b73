"""A recovery code: 128 random bits on paper, in seven groups of five characters (SPEC 15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.ports import Randomness
from twinlock.core.primitives import hmac_sha256
from twinlock.core.printed import PrintedForm
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError

CODE_SIZE: Final = 16

_LABEL: Final = b"twinlock/v1/recovery-code"
_SALT_SIZE: Final = 16


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


def _mistyped(where: str) -> CallerError:
    return CallerError(
        "factor.recovery-mistyped",
        f"This is not a recovery code. {where}.",
        hint="Compare what you typed with the paper: seven groups of five characters.",
    )


_FORM: Final = PrintedForm(CODE_SIZE, 12, b"twinlock/v1/recovery-check", _mistyped)


def new_recovery_code(randomness: Randomness) -> SecretText:
    """Draw a code and return it as it is printed: ``XXXXX-XXXXX-...``, seven groups."""
    return print_recovery_code(Secret(randomness(CODE_SIZE)))


def print_recovery_code(code: Secret) -> SecretText:
    """Return 16 bytes as they are printed."""
    return _FORM.write(code)


def read_recovery_code(text: str) -> Secret:
    """Read a code as somebody typed it; returns its 16 bytes.

    Case, white space and dashes do not matter; O is read as 0, I and L as 1. Raises CallerError
    ``factor.recovery-mistyped``, which names the groups to look at and quotes nothing of them.
    """
    try:
        return _FORM.read(text)
    except CallerError as error:
        # Error reporters send the local variables of every frame that an error passes through.
        mistyped = error.with_traceback(None)
    del text
    raise mistyped
