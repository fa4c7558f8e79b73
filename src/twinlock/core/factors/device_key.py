"""A device key: 32 random bytes in a file on the member's own computer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.ports import Randomness
from twinlock.core.primitives import hmac_sha256
from twinlock.core.secret import Secret

_LABEL: Final = b"twinlock/v1/device-key"
_SALT_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class DeviceKeyFactor:
    """A device key, read when it is needed."""

    read: Callable[[], Secret] = field(repr=False)

    @property
    def kind(self) -> str:
        """``device-key``."""
        return "device-key"

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return [salt]."""
        return [randomness(_SALT_SIZE)]

    def output(self, parameters: Parameters, place: Place) -> Secret:  # noqa: ARG002
        """Return HMAC-SHA-256(device key, label || salt), whatever the place."""
        (salt,) = cbor.take_list(parameters, 1, 1)
        return Secret(hmac_sha256(self.read().reveal(), _LABEL + cbor.take_bytes(salt, _SALT_SIZE)))
