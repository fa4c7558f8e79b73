"""The PIN of an authenticator: asked for once, and never sent again after it was refused."""

from __future__ import annotations

import hmac
import os
import unicodedata
from collections.abc import Callable
from typing import Final

from twinlock.core.secret import Secret
from twinlock.errors import CallerError

_MIN_CHARACTERS: Final = 4
_MAX_BYTES: Final = 63
_FINGERPRINT_KEY: Final = os.urandom(32)
_refused_pins: set[bytes] = set()
"""Keyed fingerprints of PINs that an authenticator refused in this process."""


class Pin:
    """What a person types for one ``Passkey``; kept in this object until it was refused."""

    def __init__(self, ask: Callable[[], Secret] | None) -> None:
        self._ask = ask
        self._given: Secret | None = None

    def give(self, place: bytes) -> str:
        """Return the PIN for the authenticator at ``place``.

        Raises CallerError ``passkey.pin-missing``, ``passkey.pin-malformed`` or
        ``passkey.pin-refused``; nothing was sent then.
        """
        if self._given is None:
            self._given = self._asked()
        if self._fingerprint(place) in _refused_pins:
            self._given = None
            raise CallerError(
                "passkey.pin-refused",
                "The authenticator refused this PIN before; it is not sent again.",
                hint="Look the PIN up. After changing it, start the program anew.",
            )
        return self._given.reveal().decode()

    def was_refused(self, place: bytes) -> None:
        """Remember that the authenticator at ``place`` refused the PIN that was given."""
        if self._given is not None:
            _refused_pins.add(self._fingerprint(place))
            self._given = None

    def _asked(self) -> Secret:
        if self._ask is None:
            raise CallerError(
                "passkey.pin-missing",
                "The authenticator wants its PIN, and nobody is there to type it.",
                hint="Run this where the PIN can be asked for.",
            )
        try:
            text = unicodedata.normalize("NFC", self._ask().reveal().decode())
        except UnicodeDecodeError:
            text = ""
        # Raised out here, because that error holds the PIN. A PIN that cannot be one costs no try.
        if len(text) < _MIN_CHARACTERS or len(text.encode()) > _MAX_BYTES:
            raise CallerError(
                "passkey.pin-malformed",
                "The PIN of an authenticator has 4 characters or more, and at most 63 bytes.",
                hint="Type the authenticator's own PIN, not that of this computer or a card.",
            )
        return Secret(text.encode())

    def _fingerprint(self, place: bytes) -> bytes:
        given = b"" if self._given is None else self._given.reveal()
        return hmac.digest(
            _FINGERPRINT_KEY, len(place).to_bytes(2, "big") + place + given, "sha256"
        )
