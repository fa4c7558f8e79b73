"""Enrolments: a member's seed opens with all of its factors and with nothing less."""

from __future__ import annotations

import dataclasses
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core import cbor
from twinlock.core.deployment import DeploymentCard, parse_deployment_card
from twinlock.core.enrolment import decode_enrolment, enrol, member_keys, unlock
from twinlock.core.factors import Place
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.core.keyfile import decode_key_file, encode_key_file
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, TwinlockError

from . import reference
from .scenes import DEPLOYMENT, Stream

SEED = Secret(b"seed of a member, 32 bytes long.")
MEMBER = b"m" * 16
KEY = Secret(b"d" * 32)


@dataclasses.dataclass
class PlainFactor:
    """A factor of any kind with an output of any length."""

    kind: str
    secret: bytes

    def new_parameters(self, randomness, place):
        return [randomness(4)]

    def output(self, parameters, place):
        return Secret(self.secret)


def device(key: Secret = KEY) -> DeviceKeyFactor:
    return DeviceKeyFactor(lambda: key)


def passphrase(text: str = "correct horse battery") -> PassphraseFactor:
    return PassphraseFactor(lambda: text)


def make(*factors, kem=Kem.DHKEM_P256, seed="enrolment"):
    return enrol(
        SEED,
        factors or (device(),),
        deployment_id=DEPLOYMENT,
        member_id=MEMBER,
        kem=kem,
        randomness=Stream(seed),
    )


def code_of(call, *arguments) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize("kem", list(Kem), ids=lambda k: k.name)
def test_a_members_keys_come_from_its_seed(kem):
    """R-FACTOR-3: two expansions, then DeriveKeyPair, as the reference does it."""
    keys = unlock(make(kem=kem), [device()])

    def expanded(label: bytes) -> bytes:
        return hmac.digest(SEED.reveal(), label + b"\x01", "sha256")

    kem_seed, signing_seed = (
        expanded(b"twinlock/v1/member-kem"),
        expanded(b"twinlock/v1/member-sig"),
    )
    assert keys.kem.public == reference.public_key(int(kem), kem_seed)
    assert keys.signing.public == reference.public_key(reference.P256, signing_seed)
    assert keys.state_key.reveal() == expanded(b"twinlock/v1/agent-state")
    assert keys.seed == SEED


def test_an_enrolment_has_these_bytes():
    """R-FACTOR-1, R-FACTOR-5: opened by hand, from the specification."""
    made = make(device())
    label, aad, nonce, sealed = cbor.decode(made.raw)
    assert label == "twinlock/v1/enrolment-blob"
    assert cbor.decode(aad)[0] == "twinlock/v1/enrolment"
    ((kind, (salt,)),) = cbor.decode(aad)[5]
    assert kind == "device-key"
    output = hmac.digest(KEY.reveal(), b"twinlock/v1/device-key" + salt, "sha256")
    prk = hmac.digest(bytes(32), b"\x00\x20" + output, "sha256")
    key = hmac.digest(prk, b"twinlock/v1/enrol\x01", "sha256")
    assert AESGCM(key).decrypt(nonce, sealed, aad) == bytes(32) + SEED.reveal()
    assert (made.deployment_id, made.member_id) == (DEPLOYMENT, MEMBER)


def test_every_factor_is_needed_and_the_right_one():
    """R-FACTOR-1, R-FACTOR-2: which one was wrong is not told."""
    both = make(passphrase(), device())
    assert both.kinds == ("device-key", "passphrase")
    assert unlock(both, [device(), passphrase()]).seed == SEED
    assert code_of(unlock, both, [device()]) == "factor.missing"
    assert code_of(unlock, both, [passphrase()]) == "factor.missing"
    assert code_of(unlock, both, []) == "factor.missing"
    other = PlainFactor("third", b"")
    assert code_of(unlock, both, [device(), passphrase(), other]) == "factor.missing"
    assert code_of(unlock, both, [device(), passphrase("wrong")]) == "factor.wrong"
    assert code_of(unlock, both, [device(Secret(bytes(32))), passphrase()]) == "factor.wrong"


def test_where_one_output_ends_and_the_next_begins_is_fixed():
    """R-FACTOR-1: outputs are prefixed with their length."""
    made = make(PlainFactor("a", b"ab"), PlainFactor("b", b"c"))
    assert unlock(made, [PlainFactor("a", b"ab"), PlainFactor("b", b"c")]).seed == SEED
    shifted = [PlainFactor("a", b"a"), PlainFactor("b", b"bc")]
    assert code_of(unlock, made, shifted) == "factor.wrong"


SETS = {
    "none": [],
    "one kind twice": [PlainFactor("a", b""), PlainFactor("a", b"")],
    "nine": [PlainFactor(str(i), b"") for i in range(9)],
}


@pytest.mark.parametrize("factors", SETS.values(), ids=SETS)
def test_a_set_of_factors_that_means_nothing_is_refused(factors):
    """R-FACTOR-1: 1 to 8 of different kinds."""
    with pytest.raises(CallerError) as caught:
        enrol(SEED, factors, deployment_id=DEPLOYMENT, member_id=MEMBER, kem=Kem.DHKEM_P256,
              randomness=Stream("x"))  # fmt: skip
    assert caught.value.code == "factor.set"


RAW = make().raw


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused(at, change):
    """R-FACTOR-1: ids, kinds and parameters are authenticated with the seed."""
    raw = bytearray(RAW)
    raw[at] ^= change

    def open_it() -> None:
        unlock(decode_enrolment(bytes(raw)), [device()])

    assert code_of(open_it) in (
        "format.malformed", "format.version", "factor.wrong", "factor.missing",
    )  # fmt: skip


AAD = cbor.decode(cbor.decode(RAW)[1])
LABEL = "twinlock/v1/enrolment-blob"


def blob(aad=None, nonce=bytes(12), sealed=bytes(80)) -> bytes:
    return cbor.encode([LABEL, cbor.encode(AAD if aad is None else aad), nonce, sealed])


FOREIGN = {
    "a nonce of 11": blob(nonce=bytes(11)),
    "a nonce that is a number": blob(nonce=5),
    "a seed of 31": blob(sealed=bytes(79)),
    "a seed that is text": blob(sealed="x" * 80),
    "an unknown KEM": blob([*AAD[:4], 0x20, AAD[5]]),
    "a KEM of true": blob([*AAD[:4], True, AAD[5]]),
    "no factor": blob([*AAD[:5], []]),
    "nine factors": blob([*AAD[:5], [[str(i), []] for i in range(9)]]),
    "a factor twice": blob([*AAD[:5], [["device-key", [bytes(16)]]] * 2]),
    "a factor without parameters": blob([*AAD[:5], [["device-key"]]]),
    "17 parameters": blob([*AAD[:5], [["device-key", [0] * 17]]]),
    "a short member id": blob([*AAD[:2], bytes(15), *AAD[3:]]),
}


@pytest.mark.parametrize("raw", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_enrolment_is_malformed(raw):
    """R-FACTOR-1: before any factor is asked for."""
    assert code_of(decode_enrolment, raw) == "format.malformed"


def test_content_that_opens_without_its_zero_bytes_is_refused():
    """R-FACTOR-2: one blob for two passphrases does not pass."""
    label, aad, nonce, _ = cbor.decode(RAW)
    ((_, (salt,)),) = cbor.decode(aad)[5]
    output = hmac.digest(KEY.reveal(), b"twinlock/v1/device-key" + salt, "sha256")
    prk = hmac.digest(bytes(32), b"\x00\x20" + output, "sha256")
    key = hmac.digest(prk, b"twinlock/v1/enrol\x01", "sha256")
    forged = AESGCM(key).encrypt(nonce, b"\x01" + bytes(31) + SEED.reveal(), aad)
    made = decode_enrolment(cbor.encode([label, aad, nonce, forged]))
    assert code_of(unlock, made, [device()]) == "factor.wrong"


GOOD = [bytes(16), 64 << 10, 3, 1]
PLACE = Place(DEPLOYMENT, bytes(16), bytes(16))
PARAMETERS = {
    "less memory": [bytes(16), (64 << 10) - 1, 3, 1],
    "fewer iterations": [bytes(16), 64 << 10, 2, 1],
    "no iterations": [bytes(16), 64 << 10, 0, 1],
    "more memory than the ceiling": [bytes(16), (4 << 20) + 1, 3, 1],
    "more iterations than the ceiling": [bytes(16), 64 << 10, 65, 1],
    "no lane": [bytes(16), 64 << 10, 3, 0],
    "17 lanes": [bytes(16), 64 << 10, 3, 17],
    "a short salt": [bytes(8), 64 << 10, 3, 1],
    "a salt of text": ["x" * 16, 64 << 10, 3, 1],
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_weakened_or_exhausting_passphrase_parameters_are_refused(parameters):
    """R-FACTOR-4: floors and ceilings are compiled in, and nothing is computed."""
    asked: list[int] = []
    factor = PassphraseFactor(lambda: asked.append(1) or "x")
    assert code_of(factor.output, parameters, PLACE) == "factor.parameters"


MISSHAPEN = {
    "three": GOOD[:3],
    "memory of true": [bytes(16), True, 3, 1],
    "a negative number": [bytes(16), 64 << 10, -3, 1],
}


@pytest.mark.parametrize("parameters", MISSHAPEN.values(), ids=MISSHAPEN)
def test_misshapen_parameters_are_malformed(parameters):
    """R-FACTOR-4: types and counts."""
    assert code_of(passphrase().output, parameters, PLACE) == "format.malformed"


def test_a_passphrase_is_prepared_as_an_opaque_string():
    """R-FACTOR-4: the same letters typed on two keyboards; RFC 8265 section 4.2."""
    composed, decomposed = passphrase("Zürich\u3000Straße"), passphrase("Zu\u0308rich Straße")
    assert composed.output(GOOD, PLACE) == decomposed.output(GOOD, PLACE)
    for bad in ("", "tab\tinside", "\x00"):
        assert code_of(passphrase(bad).output, GOOD, PLACE) == "factor.passphrase-invalid"


@pytest.mark.parametrize("salt", [bytes(15), "x" * 16, 5])
def test_a_device_keys_salt_has_16_bytes(salt):
    """R-FACTOR-5: its only parameter."""
    assert code_of(device().output, [salt], PLACE) == "format.malformed"


@pytest.mark.parametrize("kind", ["device-key", "writer-key"])
def test_a_key_file_comes_back_and_any_slip_is_named(kind):
    """R-FACTOR-7: header, base64, checksum."""
    text = encode_key_file(kind, KEY)
    assert decode_key_file(kind, text.encode()) == KEY
    assert decode_key_file(kind, text.replace("\n", "\r\n").encode()) == KEY
    body = text.splitlines()[1]
    for at in range(0, len(body) - 1, 5):
        letter = "A" if body[at] != "A" else "B"
        slipped = text.replace(body, body[:at] + letter + body[at + 1 :])
        assert code_of(decode_key_file, kind, slipped.encode()) == "key-file.damaged"
    other = "writer-key" if kind == "device-key" else "device-key"
    for bad in (
        b"", text.encode()[:-6], b"\xff" + text.encode(), text.encode() + b"x",
        encode_key_file(other, KEY).encode(), body.encode(),
        encode_key_file(other, KEY).replace(other, kind).encode(),
    ):  # fmt: skip
        assert code_of(decode_key_file, kind, bad) == "key-file.damaged"


def test_member_keys_do_not_depend_on_the_enrolment():
    """R-FACTOR-3: a new factor keeps the keys."""
    one, two = unlock(make(seed="a"), [device()]), unlock(make(seed="b"), [device()])
    assert one.kem.public == two.kem.public == member_keys(SEED).kem.public
    assert make(seed="a").raw != make(seed="b").raw


def test_a_deployment_card_comes_back_and_any_slip_is_refused():
    """R-STMT-7: what a first member pins."""
    card = DeploymentCard(DEPLOYMENT, b"f" * 32)
    text = card.to_text()
    assert text.startswith("twinlock-deployment1:")
    spaced = "  ".join(text[at : at + 8].upper() for at in range(0, len(text), 8))
    assert parse_deployment_card(spaced + "\n") == card
    for at in range(len(text)):
        slipped = text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]
        assert code_of(parse_deployment_card, slipped) == "deployment.card-malformed"
    for bad in ("", text[:-1], text[:-2], text + "00", "\u0661"):
        assert code_of(parse_deployment_card, bad) == "deployment.card-malformed"
