"""A recovery code as a member holds it: typed from paper, or just made."""

from __future__ import annotations

import os
from typing import Self

from twinlock.core.factors.recovery_code import (
    RecoveryCodeFactor,
    new_recovery_code,
    read_recovery_code,
)
from twinlock.core.ports import Randomness
from twinlock.core.secret import SecretText
from twinlock.errors import CallerError


class RecoveryCode(RecoveryCodeFactor):
    """A recovery code. It is read at once: raises ``factor.recovery-mistyped``."""

    def __init__(self, text: str) -> None:
        try:
            code = read_recovery_code(text)
        except CallerError as error:
            # Error reporters send the local variables of every frame that an error passes through.
            mistyped = error.with_traceback(None)
        else:
            super().__init__(lambda: code)
            return
        del text
        raise mistyped

    @classmethod
    def create(cls, *, randomness: Randomness = os.urandom) -> tuple[Self, SecretText]:
        """Make a code: the factor to enrol, and what to print. Nobody can show it again."""
        text = new_recovery_code(randomness)
        return cls(text.reveal()), text
