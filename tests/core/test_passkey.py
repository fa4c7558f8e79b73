"""The factor of a passkey, with a credential in software that notes what it is asked."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from hashlib import sha256

import cbor2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twinlock.core.enrolment import enrol, unlock
from twinlock.core.factors import Place
from twinlock.core.factors.passkey import PasskeyCredential, PasskeyFactor, is_rp_id
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError
from vectors.form import OK, load_all

SEED = Secret(b"seed of a member, 32 bytes long.")
PLACE = Place(b"d" * 16, b"m" * 16, b"e" * 16)
CREDENTIAL = PasskeyCredential("agent.example", b"credential id 16")
VECTORS = [v for v in load_all() if v.operation == "unlock-passkey"]


@dataclass
class Authenticator:
    """One credential; ``answer`` is what it says instead of its PRF."""

    answer: bytes | None = None
    secret: bytes = field(default_factory=lambda: os.urandom(32))
    asked: list[tuple[str, bytes, bytes]] = field(default_factory=list)

    def evaluate(self, rp_id: str, credential_id: bytes, salt: bytes) -> Secret:
        self.asked.append((rp_id, credential_id, salt))
        if self.answer is not None:
            return Secret(self.answer)
        return Secret(hmac.digest(self.secret, salt, "sha256"))

    @property
    def factor(self) -> PasskeyFactor:
        return PasskeyFactor(self.evaluate, CREDENTIAL)


def test_what_a_passkey_locked_it_opens_with_one_evaluation() -> None:
    """R-PASSKEY-1: unlocking needs no credential but the enrolment's."""
    passkey = Authenticator()
    ids = {"deployment_id": b"d" * 16, "member_id": b"m" * 16}
    made = enrol(SEED, [passkey.factor], kem=Kem.DHKEM_P256, randomness=os.urandom, **ids)
    passkey.asked.clear()
    assert unlock(made, [PasskeyFactor(passkey.evaluate)]).seed == SEED
    [(_, (rp_id, credential_id, salt))] = made.factors
    assert (rp_id, credential_id) == (CREDENTIAL.rp_id, CREDENTIAL.credential_id)
    assert passkey.asked == [(rp_id, credential_id, salt)]


def test_the_salt_is_fresh_in_every_enrolment_and_so_is_the_output() -> None:
    """R-PASSKEY-1."""
    factor = Authenticator().factor
    drawn = [factor.new_parameters(os.urandom, PLACE) for _ in range(3)]
    assert len({salt for *_, salt in drawn}) == 3
    elsewhere = [
        Place(b"x" * 16, PLACE.member_id, PLACE.enrolment_id),
        Place(PLACE.deployment_id, b"x" * 16, PLACE.enrolment_id),
        Place(PLACE.deployment_id, PLACE.member_id, b"x" * 16),
    ]
    outputs = [factor.output(p, PLACE).reveal() for p in drawn]
    outputs += [factor.output(drawn[0], place).reveal() for place in elsewhere]
    assert len(set(outputs)) == 6


def test_an_enrolment_is_made_with_a_credential_only() -> None:
    with pytest.raises(CallerError) as unnamed:
        PasskeyFactor(Authenticator().evaluate).new_parameters(os.urandom, PLACE)
    assert unnamed.value.code == "factor.passkey-unnamed"


@pytest.mark.parametrize(
    "credential",
    [PasskeyCredential("Agent.example", bytes(16)), PasskeyCredential("agent.example", bytes(15))],
    ids=["capitals", "short id"],
)
def test_nothing_is_locked_with_a_credential_that_would_be_refused_later(credential) -> None:
    """R-PASSKEY-3."""
    with pytest.raises(DataError) as refused:
        PasskeyFactor(Authenticator().evaluate, credential).new_parameters(os.urandom, PLACE)
    assert refused.value.code == "factor.parameters"


@pytest.mark.parametrize("answer", [b"", bytes(31), bytes(33), bytes(64)], ids=len)
def test_an_answer_of_another_length_is_none(answer: bytes) -> None:
    """R-PASSKEY-1."""
    factor = Authenticator(answer).factor
    with pytest.raises(EnvError) as wrong:
        factor.output(factor.new_parameters(os.urandom, PLACE), PLACE)
    assert wrong.value.code == "passkey.answer-wrong"


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v.expect == "factor.parameters"], ids=lambda v: v.name
)
def test_no_authenticator_is_asked_for_what_is_no_passkey(vector) -> None:
    """R-PASSKEY-3: the parameters of an enrolment are anybody's until it has opened."""
    passkey = Authenticator()
    _, aad, _, _ = cbor2.loads(bytes.fromhex(vector.given["enrolment"]))
    [[_, parameters]] = cbor2.loads(aad)[5]
    with pytest.raises(DataError) as refused:
        passkey.factor.output(parameters, PLACE)
    assert refused.value.code == "factor.parameters"
    assert passkey.asked == []


@pytest.mark.parametrize(
    "host", ["localhost", "a", "a1.b-c.example", "xn--ngel-boa.example", "1.a"]
)
def test_hosts_as_browsers_write_them_are_domains(host: str) -> None:
    """R-PASSKEY-3."""
    assert is_rp_id(host)


def test_what_the_prf_gave_does_not_show() -> None:
    """R-PASSKEY-4, R-SECRET-3."""
    passkey = Authenticator(b"prf result, only of thirty bytes")
    factor = passkey.factor
    output = factor.output(factor.new_parameters(os.urandom, PLACE), PLACE)
    assert "prf result" not in repr(factor) + repr(output) + str(output)


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v.expect in (OK, "factor.wrong")], ids=lambda v: v.name
)
def test_the_second_implementation_opens_the_same_enrolments(vector) -> None:
    """R-VEC-2, R-PASSKEY-1, R-PASSKEY-2: the formula, with no line of the first one's."""
    _, aad, nonce, sealed = cbor2.loads(bytes.fromhex(vector.given["enrolment"]))
    _, deployment, member, enrolment, _, [[_, (rp_id, credential_id, salt)]] = cbor2.loads(aad)
    hashed = sha256(b"WebAuthn PRF" + bytes(1) + salt).digest()
    answer = hmac.digest(bytes.fromhex(vector.given["cred_random"]), hashed, "sha256")
    named = ["twinlock/v1/passkey-out", deployment, member, enrolment, rp_id, credential_id]
    output = hmac.digest(sha256(cbor2.dumps(named)).digest(), answer, "sha256")
    prk = hmac.digest(b"", len(output).to_bytes(2, "big") + output, "sha256")
    key = hmac.digest(prk, b"twinlock/v1/enrol\x01", "sha256")
    if vector.expect == OK:
        assert AESGCM(key).decrypt(nonce, sealed, aad)[:32] == bytes(32)
    else:
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(nonce, sealed, aad)
