"""What was typed, made to bytes and hashed: OpaqueString (RFC 8265), then Argon2id (RFC 9106).

Floors and ceilings are compiled in and hold when an enrolment is read, too: whoever changes one
neither makes guessing cheaper nor an unlock endless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from precis_i18n import get_profile

from twinlock.core import cbor
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
class Stretching:
    """Argon2id's parameters: 16 bytes of salt, memory in KiB, iterations, lanes."""

    salt: bytes
    memory_kib: int
    iterations: int
    lanes: int


def take_stretching(values: Sequence[Any]) -> Stretching:
    """Return [salt, memory, iterations, lanes] if it is within the limits.

    Raises DataError ``factor.parameters``.
    """
    salt, memory, iterations, lanes = values
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
    return Stretching(salt, memory, iterations, lanes)


def stretch(text: str, by: Stretching) -> Secret:
    """Return Argon2id of the text's UTF-8 after OpaqueString, 32 bytes.

    Raises CallerError ``factor.passphrase-invalid``.
    """
    encoded = _opaque(text)
    # Error reporters send the local variables of every frame that an error passes through.
    del text
    if encoded is None:
        raise CallerError(
            "factor.passphrase-invalid",
            "A passphrase is a non-empty text without control characters.",
            hint="Choose several words; spaces are welcome.",
        )
    return argon2id(
        encoded,
        by.salt,
        memory_kib=by.memory_kib,
        iterations=by.iterations,
        lanes=by.lanes,
    )


def _opaque(text: str) -> bytes | None:
    """Return the text as OpaqueString has it, None where it refuses."""
    try:
        return str(get_profile("OpaqueString").enforce(text)).encode()
    except UnicodeError:
        return None
