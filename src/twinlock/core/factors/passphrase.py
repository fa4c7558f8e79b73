"""A passphrase: Argon2id of what was typed (SPEC 15).

Alone it can be guessed at the speed of Argon2id by whoever holds the enrolment; combined with a
device key file it can only be guessed by whoever holds that file too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.stretching import (
    MIN_ITERATIONS,
    MIN_MEMORY_KIB,
    SALT_SIZE,
    stretch,
    take_stretching,
)
from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret


@dataclass(frozen=True, slots=True)
class PassphraseFactor:
    """A passphrase, asked for when it is needed."""

    ask: Callable[[], str] = field(repr=False)
    memory_kib: int = MIN_MEMORY_KIB
    iterations: int = MIN_ITERATIONS

    @property
    def kind(self) -> str:
        """``passphrase``."""
        return "passphrase"

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return [salt, memory in KiB, iterations, lanes]."""
        return [randomness(SALT_SIZE), self.memory_kib, self.iterations, 1]

    def output(self, parameters: Parameters, place: Place) -> Secret:  # noqa: ARG002
        """Hash the passphrase. Raises ``factor.parameters`` or ``factor.passphrase-invalid``."""
        # Whoever weakened the parameters must not have the passphrase typed for nothing.
        by = take_stretching(cbor.take_list(parameters, 4, 4))
        return stretch(self.ask(), by)
