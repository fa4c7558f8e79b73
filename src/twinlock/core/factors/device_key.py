"""A device key: 32 random bytes in a file on the member's own computer.

The file's text form carries a checksum, so that a damaged or foreign file is named as such before
anything is tried with it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters
from twinlock.core.ports import Randomness
from twinlock.core.primitives import equal, hmac_sha256, sha256
from twinlock.core.secret import Secret
from twinlock.errors import DataError

_HEADER: Final = "twinlock-device-key-1"
_LABEL: Final = b"twinlock/v1/device-key"
_SALT_SIZE: Final = 16
_CHECK_SIZE: Final = 4


@dataclass(frozen=True, slots=True)
class DeviceKeyFactor:
    """A device key, read when it is needed."""

    read: Callable[[], Secret] = field(repr=False)

    @property
    def kind(self) -> str:
        """``device-key``."""
        return "device-key"

    def new_parameters(self, randomness: Randomness) -> Parameters:
        """Return [salt]."""
        return [randomness(_SALT_SIZE)]

    def output(self, parameters: Parameters) -> Secret:
        """Return HMAC-SHA-256(device key, label || salt)."""
        (salt,) = cbor.take_list(parameters, 1, 1)
        return Secret(hmac_sha256(self.read().reveal(), _LABEL + cbor.take_bytes(salt, _SALT_SIZE)))


def new_device_key(randomness: Randomness) -> Secret:
    """Make a device key of 32 bytes."""
    return Secret(randomness(32))


def encode_device_key(key: Secret) -> str:
    """Return the file's text: a header line and base64 of key || checksum."""
    raw = key.reveal()
    body = base64.b64encode(raw + sha256(_LABEL, raw)[:_CHECK_SIZE]).decode()
    return f"{_HEADER}\n{body}\n"


def decode_device_key(text: str) -> Secret:
    """Parse a device key file. Raises ``factor.device-key-damaged``."""
    lines = text.strip().splitlines()
    try:
        if len(lines) != 2 or lines[0].strip() != _HEADER:
            raise ValueError("header")
        raw = base64.b64decode(lines[1].strip(), validate=True)
    except (ValueError, binascii.Error) as error:
        raise _damaged() from error
    key, check = raw[:32], raw[32:]
    if len(raw) != 32 + _CHECK_SIZE or not equal(check, sha256(_LABEL, key)[:_CHECK_SIZE]):
        raise _damaged()
    return Secret(key)


def _damaged() -> DataError:
    return DataError(
        "factor.device-key-damaged",
        "This file is not a device key, or it was damaged.",
        hint="Restore it from its backup, or use another enrolment of yours.",
    )
