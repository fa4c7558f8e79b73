"""Passkeys outside a browser, on authenticators in software that speak CTAP 2.1 themselves."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from fido2.client import ClientError
from fido2.ctap import CtapError
from fido2.ctap2.base import Ctap2

from tests.passkey.software import ERR, PIN_TRIES, SoftwareAuthenticator
from twinlock.agent.factors import DeviceKey
from twinlock.core.enrolment import enrol, unlock
from twinlock.core.factors.passkey import PasskeyCredential
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.passkey.passkey import Passkey

SEED = Secret(b"seed of a member, 32 bytes long.")
RP_ID = "agent.example"
SALT = b"salt of an enrolment, 32 bytes.."


@dataclass
class Desk:
    """A person with authenticators: what they type, how often they were asked, and for a touch."""

    devices: list[SoftwareAuthenticator] = field(
        default_factory=lambda: [SoftwareAuthenticator(aaguid=os.urandom(16))]
    )
    types: list[str] = field(default_factory=lambda: ["1234"])
    asked: int = 0
    touches: int = 0

    def ask(self) -> Secret:
        self.asked += 1
        return Secret(self.types[min(self.asked, len(self.types)) - 1].encode())

    def touch(self) -> None:
        self.touches += 1

    def passkey(self, **more) -> Passkey:
        given = {"ask_pin": self.ask, "touch": self.touch, "devices": lambda: self.devices}
        return Passkey(**(given | more))

    @property
    def device(self) -> SoftwareAuthenticator:
        [device] = self.devices
        return device


def refused_by(passkey: Passkey, credential: PasskeyCredential | None) -> str:
    """The code of the error that evaluating, or without a credential making one, ends with."""

    def use() -> object:
        if credential is None:
            return passkey.enrol(RP_ID, "kim")
        return passkey.evaluate(credential.rp_id, credential.credential_id, SALT)

    with pytest.raises(TwinlockError) as refused:
        use()
    return refused.value.code


def desk_with(**authenticator) -> Desk:
    return Desk([SoftwareAuthenticator(aaguid=os.urandom(16), **authenticator)])


# --- what it computes -----------------------------------------------------------------------------

KINDS = {
    "PIN": {},
    "PIN protocol 1": {"protocols": (1,)},
    "PIN without permissions": {"has_tokens": False, "protocols": (1,)},
    "finger": {"built_in_uv": True, "pin": None},
    "finger without tokens": {"built_in_uv": True, "pin": None, "has_tokens": False},
    "always verifying": {"always_uv": True},
    "without room": {"room": 0},
    "full": {"room": 1, "credentials": {}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_authenticator_gives_what_a_browser_would_get_of_it(kind: str) -> None:
    """R-PASSKEY-2: the PRF of WebAuthn Level 3, 10.1.4, under user verification."""
    desk = desk_with(**KINDS[kind])
    if kind == "full":
        desk.passkey().enrol(RP_ID, "weber")
    credential = desk.passkey().enrol(RP_ID, "kim")
    given = desk.passkey().evaluate(RP_ID, credential.credential_id, SALT)
    kept = desk.device.credentials[credential.credential_id]
    hashed = sha256(b"WebAuthn PRF\x00" + SALT).digest()
    assert given.reveal() == hmac.digest(kept.random_with_uv, hashed, "sha256")
    assert kept.discoverable == (kind not in ("without room", "full"))


def test_an_enrolment_opens_with_a_passkey_alone_and_beside_a_device_key(tmp_path: Path) -> None:
    """R-PASSKEY-1: the PIN is asked for once for each object."""
    desk = Desk()
    passkey, device_key = desk.passkey(), DeviceKey.create(tmp_path / "kim.key")
    own = passkey.factor(passkey.enrol(RP_ID, "kim"))
    ids = {"deployment_id": b"d" * 16, "member_id": b"m" * 16}
    for beside in ([], [device_key]):
        made = enrol(SEED, [own, *beside], kem=Kem.DHKEM_P256, randomness=os.urandom, **ids)
        assert unlock(made, [desk.passkey().factor(), *beside]).seed == SEED
    assert (desk.asked, desk.touches) == (3, 5)
    desk.devices = [SoftwareAuthenticator()]
    with pytest.raises(TwinlockError) as other:
        unlock(made, [desk.passkey().factor(), device_key])
    assert other.value.code == "passkey.other-credential"


def test_a_second_passkey_takes_the_place_of_none() -> None:
    """R-PASSKEY-11: also for one person and one domain."""
    desk = Desk()
    passkey = desk.passkey()
    made = {passkey.enrol(RP_ID, "kim").credential_id for _ in range(3)}
    assert made == set(desk.device.credentials)


# --- which one is asked ---------------------------------------------------------------------------


def test_only_the_authenticator_that_holds_the_passkey_is_asked_for_anything() -> None:
    """R-PASSKEY-5: no PIN is tried on another one."""
    desk, others = Desk(), [SoftwareAuthenticator(pin=pin) for pin in ("9999", None)]
    credential = desk.passkey().enrol(RP_ID, "kim")
    unable = SoftwareAuthenticator(extensions=())
    u2f = SoftwareAuthenticator(is_ctap2=False)
    desk.devices = [u2f, unable, *others, desk.device]
    assert len(desk.passkey().evaluate(RP_ID, credential.credential_id, SALT)) == 32
    for other in (*others, unable, u2f):
        assert all(command != Ctap2.CMD.CLIENT_PIN for command, _ in other.calls)
        assert all(given.get(5) == {"up": False} for command, given in other.calls if command == 2)
    assert all(device.closed for device in desk.devices)


def test_one_that_wants_a_pin_before_it_says_what_it_holds_is_asked_if_it_is_the_only_one() -> None:
    """R-PASSKEY-5."""
    desk = desk_with(always_uv=True)
    credential = desk.passkey().enrol(RP_ID, "kim")
    desk.devices.append(SoftwareAuthenticator())
    assert len(desk.passkey().evaluate(RP_ID, credential.credential_id, SALT)) == 32
    desk.devices.append(SoftwareAuthenticator(always_uv=True))
    assert refused_by(desk.passkey(), credential) == "passkey.several"


def test_a_passkey_is_made_on_the_only_authenticator_that_could() -> None:
    desk = Desk([SoftwareAuthenticator(), SoftwareAuthenticator()])
    assert refused_by(desk.passkey(), None) == "passkey.several"
    desk.devices = [SoftwareAuthenticator(extensions=()), SoftwareAuthenticator()]
    assert desk.passkey().enrol(RP_ID, "kim").rp_id == RP_ID


@pytest.mark.parametrize("rp_id", ["", "Agent.example", "https://agent.example", "192.0.2.1"])
def test_a_passkey_is_made_for_a_domain_only(rp_id: str) -> None:
    """R-PASSKEY-3: nothing is made that could not be enrolled."""
    desk = Desk()
    with pytest.raises(TwinlockError) as refused:
        desk.passkey().enrol(rp_id, "kim")
    assert refused.value.code == "passkey.rp-id"
    assert desk.device.calls == []


@pytest.mark.parametrize("id_size", [16, 1023])
def test_ids_of_every_size_are_found(id_size: int) -> None:
    """R-PASSKEY-3."""
    desk = desk_with(id_size=id_size)
    credential = desk.passkey().enrol(RP_ID, "kim")
    assert len(desk.passkey().evaluate(RP_ID, credential.credential_id, SALT)) == 32


def test_an_id_that_an_authenticator_could_not_have_made_is_not_asked_of_it() -> None:
    desk = Desk()
    long = PasskeyCredential(RP_ID, bytes(1024))
    assert refused_by(desk.passkey(), long) == "passkey.other-credential"
    assert {command for command, _ in desk.device.calls} == {Ctap2.CMD.GET_INFO}


# --- PINs -----------------------------------------------------------------------------------------


def test_a_refused_pin_is_not_sent_again_by_this_process() -> None:
    """R-PASSKEY-5: not for the same object, nor for another one."""
    desk = Desk(types=["0000"])
    passkey = desk.passkey()
    assert refused_by(passkey, None) == "passkey.pin-wrong"
    assert desk.device.tries == PIN_TRIES - 1
    assert refused_by(passkey, None) == "passkey.pin-refused"
    assert refused_by(desk.passkey(), None) == "passkey.pin-refused"
    assert (desk.device.tries, desk.asked) == (PIN_TRIES - 1, 3)


def test_after_a_wrong_pin_a_person_is_asked_again_and_told_how_many_are_left() -> None:
    desk = Desk(types=["0000", "1234"])
    passkey = desk.passkey()
    with pytest.raises(TwinlockError) as wrong:
        passkey.enrol(RP_ID, "kim")
    assert f"takes {PIN_TRIES - 1} more" in wrong.value.message
    assert passkey.enrol(RP_ID, "kim").rp_id == RP_ID


def test_a_pin_that_one_authenticator_refused_may_be_anothers() -> None:
    """R-PASSKEY-5."""
    desk = Desk(types=["5678"])
    passkey = desk.passkey()
    assert refused_by(passkey, None) == "passkey.pin-wrong"
    desk.devices = [SoftwareAuthenticator("5678", aaguid=os.urandom(16))]
    assert passkey.enrol(RP_ID, "kim").rp_id == RP_ID


def test_three_wrong_pins_pause_and_eight_lock_and_then_nobody_is_asked() -> None:
    desk = Desk(types=[f"wrong {number}" for number in range(8)])
    passkey = desk.passkey()
    codes = []
    for _ in range(8):
        codes.append(refused_by(passkey, None))
        if codes[-1] == "passkey.pin-paused":
            assert refused_by(passkey, None) == "passkey.pin-paused"
            desk.device.replug()
    two, pause = ["passkey.pin-wrong"] * 2, ["passkey.pin-paused"]
    assert codes == [*two, *pause, *two, *pause, two[0], "passkey.pin-blocked"]
    assert refused_by(passkey, None) == "passkey.pin-blocked"
    assert desk.asked == 8


def test_a_pin_that_was_not_sent_was_not_refused() -> None:
    """R-PASSKEY-5: here a finger was, and the PIN of before is still good."""
    desk = Desk()
    passkey, device = desk.passkey(), desk.device
    passkey.enrol(RP_ID, "kim")
    device.built_in_uv, device.touch = True, ctap(ERR.PIN_BLOCKED)
    assert refused_by(passkey, None) == "passkey.pin-blocked"
    device.built_in_uv, device.touch = False, list
    assert passkey.enrol(RP_ID, "kim").rp_id == RP_ID
    assert desk.asked == 1


@pytest.mark.parametrize(
    "typed", ["", "123", "1" * 64, "äöü" * 11, b"\xff\xff\xff\xff\xff"], ids=repr
)
def test_a_pin_that_can_be_none_costs_no_try(typed: str | bytes) -> None:
    """R-PASSKEY-5."""
    desk = Desk()
    raw = typed if isinstance(typed, bytes) else typed.encode()
    passkey = desk.passkey(ask_pin=lambda: Secret(raw))
    assert refused_by(passkey, None) == "passkey.pin-malformed"
    assert desk.device.tries == PIN_TRIES


def test_a_pin_is_sent_in_the_form_that_other_clients_send() -> None:
    """CTAP 2.1, 6.5.1: NFC, whatever the keyboard gives."""
    desk = desk_with(pin="p\u00e4ss")
    desk.types = ["pa\u0308ss"]
    assert desk.passkey().enrol(RP_ID, "kim").rp_id == RP_ID


def test_without_anybody_to_ask_nothing_is_sent() -> None:
    """R-PASSKEY-5."""
    desk = Desk()
    assert refused_by(desk.passkey(ask_pin=None), None) == "passkey.pin-missing"
    assert desk.device.tries == PIN_TRIES


def test_neither_pin_nor_prf_shows_in_an_error_or_a_repr() -> None:
    """R-SECRET-3, R-PASSKEY-4."""
    pin = Secret(b"secret-pin-0815")
    passkey = Passkey(lambda: pin, devices=lambda: [SoftwareAuthenticator()])
    with pytest.raises(TwinlockError) as refused:
        passkey.enrol(RP_ID, "kim")
    seen = repr(refused.value) + repr(passkey.factor()) + repr(vars(passkey))
    seen += repr(vars(refused.value)) + repr(refused.value.__cause__)
    assert "secret-pin" not in seen


# --- what goes wrong ------------------------------------------------------------------------------


def ctap(code: ERR):
    """A touch that ends with a CTAP status."""

    def touch() -> None:
        raise CtapError(code)

    return touch


WRONG = {
    "declined": ({"touch": ctap(ERR.OPERATION_DENIED)}, "passkey.denied"),
    "not touched": ({"touch": ctap(ERR.USER_ACTION_TIMEOUT)}, "passkey.timed-out"),
    "out of order": ({"touch": ctap(ERR.OTHER)}, "passkey.failed"),
    "vendor's own error": ({"touch": ctap(0xF7)}, "passkey.failed"),
    "other finger": ({"built_in_uv": True, "finger": False}, "passkey.not-verified"),
    "says nobody was verified": ({"forged": lambda f: f & ~4}, "passkey.not-verified"),
    "says nobody was present": ({"forged": lambda f: f & ~1}, "passkey.not-verified"),
    "no longer any PIN": ({"pin": None}, "passkey.no-pin"),
    "no hmac-secret": ({"extensions": ()}, "passkey.no-hmac-secret"),
    "only U2F": ({"is_ctap2": False}, "passkey.no-authenticator"),
    "an unknown PIN protocol": ({"protocols": (3,)}, "passkey.failed"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("making", [True, False], ids=["making", "unlocking"])
def test_each_failure_has_one_clear_error(name: str, making: bool) -> None:
    """R-PASSKEY-2."""
    changed, code = WRONG[name]
    desk = Desk()
    credential = None if making else desk.passkey().enrol(RP_ID, "kim")
    for attribute, value in changed.items():
        setattr(desk.device, attribute, value)
    assert refused_by(desk.passkey(), credential) == code


@pytest.mark.parametrize("making", [True, False], ids=["making", "unlocking"])
def test_a_touch_is_not_waited_for_without_end(making: bool) -> None:
    desk = Desk()
    credential = None if making else desk.passkey().enrol(RP_ID, "kim")
    desk.device.touched_at_last = False
    passkey = desk.passkey(timeout_seconds=0.01)
    assert refused_by(passkey, credential) == "passkey.timed-out"
    assert desk.touches == (1 if making else 2)


def test_a_full_authenticator_that_does_not_tell_is_named() -> None:
    desk = desk_with(touch=ctap(ERR.KEY_STORE_FULL))
    assert refused_by(desk.passkey(), None) == "passkey.full"


def test_nothing_connected_and_nothing_to_open_are_told_apart() -> None:
    def locked():
        raise PermissionError(13, "Permission denied")
        yield

    assert refused_by(Passkey(devices=list), None) == "passkey.no-authenticator"
    assert refused_by(Passkey(devices=locked), None) == "passkey.failed"


def test_an_answer_of_another_credential_is_refused() -> None:
    """R-PASSKEY-2: whatever the authenticator was asked for."""
    desk = Desk()
    wanted, other = (desk.passkey().enrol(RP_ID, name) for name in ("kim", "weber"))
    found = desk.device._get_assertion

    def lying(given):
        answer = found(given)
        return answer | {1: {"type": "public-key", "id": other.credential_id}}

    desk.device._get_assertion = lying
    assert refused_by(desk.passkey(), wanted) == "passkey.other-credential"


def test_an_authenticator_that_talks_nonsense_is_one_that_failed() -> None:
    desk = Desk()
    desk.device._get_assertion = lambda given: {9: 9}
    assert refused_by(desk.passkey(), PasskeyCredential(RP_ID, bytes(32))) == "passkey.failed"
    desk.device._info = lambda given: {1: 7}
    assert refused_by(desk.passkey(), None) == "passkey.failed"


def test_every_error_of_the_library_is_translated_with_its_cause() -> None:
    desk = desk_with(touch=ctap(ERR.OPERATION_DENIED))
    with pytest.raises(TwinlockError) as refused:
        desk.passkey().enrol(RP_ID, "kim")
    assert isinstance(refused.value.__cause__, ClientError)


def test_what_was_signed_to_unlock_signs_in_nowhere() -> None:
    """R-PASSKEY-5: each challenge is drawn; that it holds a passkey is said without presence."""
    desk = Desk()
    credential = desk.passkey().enrol(RP_ID, "kim")
    desk.device.calls.clear()
    for _ in range(2):
        desk.passkey().evaluate(RP_ID, credential.credential_id, SALT)
    asked = [given for command, given in desk.device.calls if command == Ctap2.CMD.GET_ASSERTION]
    present = [given[2] for given in asked if given.get(5, {}).get("up", True)]
    assert len(set(present)) == len(present) == 2
