"""One operation of an authenticator: its person is asked for a PIN and a touch, once each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fido2.client import ClientDataCollector, ClientError, Fido2Client, UserInteraction
from fido2.ctap import CtapDevice, CtapError
from fido2.ctap2.base import Ctap2
from fido2.ctap2.pin import ClientPin
from fido2.hid import CtapHidDevice
from fido2.webauthn import (
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions,
)

from twinlock.core.ports import Randomness
from twinlock.passkey import failures
from twinlock.passkey.failures import PIN_REFUSED, ctap_code
from twinlock.passkey.pins import Pin

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """How the person is reached: the PIN, and what tells that a touch is waited for."""

    pin: Pin
    touch: Callable[[], None]
    timeout_seconds: float
    randomness: Randomness

    @property
    def timeout(self) -> int:
        """The same in whole milliseconds, at least one."""
        return max(1, round(self.timeout_seconds * 1000))


def asking(device: CtapDevice, ctap: Ctap2, person: Person, ask: Callable[[Fido2Client], T]) -> T:
    """Run one operation of ``ctap``, which speaks to ``device``; remember a PIN that it refuses.

    Raises ``passkey.*`` for what is asked of the person, ClientError and CtapError.
    """
    if not (ctap.info.options.get("clientPin") or ctap.info.options.get("uv")):
        raise failures.no_pin()
    place = _place(device, ctap)
    interaction = _Interaction(ctap, place, person)
    try:
        return ask(Fido2Client(device, _ClientData(), interaction))
    except ClientError as error:
        if interaction.sent and ctap_code(error) in PIN_REFUSED:
            person.pin.was_refused(place)
        if ctap_code(error) == CtapError.ERR.PIN_INVALID:
            raise failures.pin_wrong(interaction.tries()[0]) from error
        raise


def _place(device: CtapDevice, ctap: Ctap2) -> bytes:
    """What tells authenticators apart, as far as they let anybody."""
    found = b""
    if isinstance(device, CtapHidDevice):
        found = f"{device.serial_number}\x00{device.descriptor.path!r}".encode()
    return bytes(ctap.info.aaguid) + found


class _Interaction(UserInteraction):
    """What python-fido2 calls back for; a PIN is given once."""

    def __init__(self, ctap: Ctap2, place: bytes, person: Person) -> None:
        self._ctap = ctap
        self._place = place
        self._person = person
        self.sent = False

    def prompt_up(self) -> None:
        self._person.touch()

    def request_pin(self, permissions: ClientPin.PERMISSION, rp_id: str | None) -> str:  # noqa: ARG002
        left, is_paused = self.tries()
        if left == 0:
            raise failures.pin_blocked()
        if is_paused or self.sent:
            raise failures.pin_paused()
        given = self._person.pin.give(self._place)
        self.sent = True
        return given

    def tries(self) -> tuple[int, bool]:
        """How many PINs it will still take, and whether none before it was taken out."""
        left, is_paused = ClientPin(self._ctap).get_pin_retries()
        return left, bool(is_paused)


class _ClientData(ClientDataCollector):
    """Client data of an origin that is the rp_id's own. Nobody sees them but the authenticator."""

    def collect_client_data(
        self,
        options: PublicKeyCredentialCreationOptions | PublicKeyCredentialRequestOptions,
    ) -> tuple[CollectedClientData, str]:
        if isinstance(options, PublicKeyCredentialCreationOptions):
            kind, rp_id = CollectedClientData.TYPE.CREATE, str(options.rp.id)
        else:
            kind, rp_id = CollectedClientData.TYPE.GET, str(options.rp_id)
        return CollectedClientData.create(kind, options.challenge, f"https://{rp_id}"), rp_id
