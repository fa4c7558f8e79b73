"""A passphrase: OpaqueString (RFC 8265 section 4.2), then Argon2id (RFC 9106).

Alone it can be guessed at the speed of Argon2id by whoever holds the enrolment; combined with a
device key file it can only be guessed by whoever holds that file too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from precis_i18n import get_profile

from twinlock.core import cbor
from twinlock.core.factors import Parameters
from twinlock.core.ports import Randomness
from twinlock.core.primitives import argon2id
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError

MIN_MEMORY_KIB: Final = 64 << 10
MAX_MEMORY_KIB: Final = 4 << 20
MIN_ITERATIONS: Final = 3
MAX_ITERATIONS: Final = 64
MAX_LANES: Final = 16
SALT_SIZE: Final = 16


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

    def new_parameters(self, randomness: Randomness) -> Parameters:
        """Return [salt, memory in KiB, iterations, lanes]."""
        return [randomness(SALT_SIZE), self.memory_kib, self.iterations, 1]

    def output(self, parameters: Parameters) -> Secret:
        """Hash the passphrase. Raises ``factor.parameters`` or ``factor.passphrase-invalid``."""
        salt, memory, iterations, lanes = _check(parameters)
        return argon2id(
            _opaque(self.ask()), salt, memory_kib=memory, iterations=iterations, lanes=lanes
        )


def _check(parameters: Parameters) -> tuple[bytes, int, int, int]:
    salt, memory, iterations, lanes = cbor.take_list(parameters, 4, 4)
    within = (
        isinstance(salt, bytes)
        and len(salt) == SALT_SIZE
        and MIN_MEMORY_KIB <= cbor.take_uint(memory) <= MAX_MEMORY_KIB
        and MIN_ITERATIONS <= cbor.take_uint(iterations) <= MAX_ITERATIONS
        and 1 <= cbor.take_uint(lanes) <= MAX_LANES
    )
    if not within:
        raise DataError(
            "factor.parameters",
            "This enrolment asks for a passphrase hash outside the allowed limits.",
            hint="Weakened parameters are a sign of an attack. Compare with a backup.",
        )
    return salt, memory, iterations, lanes


def _opaque(text: str) -> bytes:
    try:
        enforced = str(get_profile("OpaqueString").enforce(text)).encode()
    except UnicodeError:
        enforced = None
    # Raised out here, because that error holds the passphrase and must not be chained to this.
    if enforced is None:
        raise CallerError(
            "factor.passphrase-invalid",
            "A passphrase is a non-empty text without control characters.",
            hint="Choose several words; spaces are welcome.",
        )
    return enforced
