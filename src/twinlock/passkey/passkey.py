"""A passkey for the command line: finds the authenticator that holds it, and has it evaluate.

Each use opens the authenticators that are connected, does its one thing and closes them. A
person's PIN is asked for once and kept for this object.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from twinlock.core.factors.passkey import PasskeyCredential, PasskeyFactor, is_rp_id
from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.passkey.asking import Person
from twinlock.passkey.authenticator import Authenticator, Device, connected
from twinlock.passkey.failures import as_passkey_errors, no_hmac_secret, other_credential
from twinlock.passkey.pins import Pin

_WAIT_SECONDS: Final = 60.0


class Passkey:
    """Passkeys on the authenticators that are connected when one is used.

    ``ask_pin`` asks the person, in UTF-8; ``touch`` tells that the authenticator waits for a
    finger, at most ``timeout_seconds``. ``devices`` lists the authenticators, by default those at
    USB. Nothing is opened before the first use.
    """

    def __init__(
        self,
        ask_pin: Callable[[], Secret] | None = None,
        *,
        touch: Callable[[], None] = lambda: None,
        devices: Callable[[], Iterable[Device]] = connected,
        timeout_seconds: float = _WAIT_SECONDS,
        randomness: Randomness = os.urandom,
    ) -> None:
        self._person = Person(Pin(ask_pin), touch, timeout_seconds, randomness)
        self._devices = devices

    def factor(self, credential: PasskeyCredential | None = None) -> PasskeyFactor:
        """Return the passkeys as a factor; a new enrolment is made with ``credential``."""
        return PasskeyFactor(self.evaluate, credential)

    def enrol(self, rp_id: str, user_name: str) -> PasskeyCredential:
        """Make a passkey for a domain: one touch. ``user_name`` is what the authenticator shows.

        Raises ``passkey.rp-id``, ``passkey.several`` when more than one authenticator could make
        it, and like ``evaluate``, but for the credential.
        """
        if not is_rp_id(rp_id):
            raise CallerError(
                "passkey.rp-id",
                f"{rp_id!r} is not a domain that a passkey can be made for.",
                hint="Give the host of the browser's agent, in lower case: agent.example.",
            )
        with self._opened() as found:
            if len(found) > 1:
                raise _several()
            made = found[0].make(rp_id, user_name, self._person)
        return PasskeyCredential(rp_id, made)

    def evaluate(self, rp_id: str, credential_id: bytes, salt: bytes) -> Secret:
        """Return PRF(salt) of a credential: one touch, and the PIN or what the authenticator has.

        Raises CallerError ``passkey.no-authenticator``, ``passkey.no-hmac-secret``,
        ``passkey.other-credential``, ``passkey.several``, ``passkey.no-pin``,
        ``passkey.pin-missing``, ``passkey.pin-malformed``, ``passkey.pin-refused``,
        ``passkey.pin-wrong``, ``passkey.not-verified`` and ``passkey.denied``, EnvError
        ``passkey.pin-paused``, ``passkey.pin-blocked``, ``passkey.timed-out``, ``passkey.full`` and
        ``passkey.failed``.
        """
        credential = PasskeyCredential(rp_id, credential_id)
        with self._opened() as found:
            holder = self._holder(found, credential)
            return holder.evaluate(credential, salt, self._person)

    def _holder(self, found: list[Authenticator], credential: PasskeyCredential) -> Authenticator:
        """The authenticator with the credential: no other shall be sent a PIN, or blink."""
        silent: list[Authenticator] = []
        for one in found:
            holds = one.holds(credential, self._person.randomness)
            if holds:
                return one
            if holds is None:
                silent.append(one)
        if not silent:
            raise other_credential()
        if len(silent) > 1:
            raise _several()
        return silent[0]

    @contextmanager
    def _opened(self) -> Iterator[list[Authenticator]]:
        """The authenticators with hmac-secret, at least one."""
        with as_passkey_errors(), ExitStack() as open_ones:
            speaking: list[Authenticator] = []
            for device in self._devices():
                open_ones.callback(device.close)
                authenticator = Authenticator.of(device)
                if authenticator is not None:
                    speaking.append(authenticator)
            if not speaking:
                raise CallerError(
                    "passkey.no-authenticator",
                    "No FIDO2 authenticator is connected, or this user may not open it.",
                    hint="Insert the security key. On Linux its udev rules must be installed.",
                )
            able = [one for one in speaking if one.has_hmac_secret]
            if not able:
                raise no_hmac_secret()
            yield able


def _several() -> CallerError:
    return CallerError(
        "passkey.several",
        "Several authenticators are connected that could be meant.",
        hint="Take out all but one.",
    )
