"""The factor of a smart card, with a card in software that notes what it is asked."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import cbor2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twinlock.core.enrolment import Enrolment, enrol, unlock
from twinlock.core.factors import Place
from twinlock.core.factors.smart_card import CardKey, SmartCardFactor
from twinlock.core.primitives import AgreementKey, Kem, agreement_key
from twinlock.core.secret import Secret
from twinlock.errors import EnvError, TwinlockError
from vectors import smart_card
from vectors.form import OK, load_all

SEED = Secret(b"seed of a member, 32 bytes long.")
VECTORS = [v for v in load_all() if v.operation == "unlock-smart-card"]


@dataclass
class Card:
    """A card with one key; ``lie`` changes what it answers."""

    key: AgreementKey
    lie: Callable[[bytes], bytes] = lambda answer: answer
    asked: list[bytes] = field(default_factory=list)

    def multiply(self, key: CardKey, point: bytes) -> Secret:
        assert key == CardKey(b"id", self.key.public)
        self.asked.append(point)
        return Secret(self.lie(self.key.x_of(point)))

    @property
    def factor(self) -> SmartCardFactor:
        return SmartCardFactor(lambda: CardKey(b"id", self.key.public), self.multiply)


def drawn() -> AgreementKey:
    return agreement_key(int.from_bytes(os.urandom(31), "big") + 1)


def made_with(factor: SmartCardFactor) -> Enrolment:
    return enrol(
        SEED,
        [factor],
        deployment_id=b"d" * 16,
        member_id=b"m" * 16,
        kem=Kem.DHKEM_P256,
        randomness=os.urandom,
    )


def test_what_a_card_locked_it_opens_with_one_operation() -> None:
    """R-FACTOR-10."""
    card = Card(drawn())
    enrolment = made_with(card.factor)
    card.asked.clear()
    assert unlock(enrolment, [card.factor]).seed == SEED
    [(_, (key_id, public, point))] = enrolment.factors
    assert (key_id, public) == (b"id", card.key.public)
    assert card.asked == [point]


def test_the_point_is_fresh_in_every_enrolment_and_so_is_the_output() -> None:
    """R-FACTOR-10."""
    factor, place = Card(drawn()).factor, Place(b"d" * 16, b"m" * 16, b"e" * 16)
    parameters = [factor.new_parameters(os.urandom, place) for _ in range(3)]
    assert len({p[2] for p in parameters}) == 3
    elsewhere = Place(b"d" * 16, b"m" * 16, b"f" * 16)
    outputs = [factor.output(p, place).reveal() for p in parameters]
    outputs.append(factor.output(parameters[0], elsewhere).reveal())
    assert len(set(outputs)) == 4


@pytest.mark.parametrize(
    "lie",
    [lambda x: bytes(32), lambda x: x[::-1], lambda x: x[1:], lambda x: b""],
    ids=["zeros", "reversed", "short", "nothing"],
)
def test_nothing_is_locked_with_a_card_that_computes_wrongly(lie) -> None:
    """R-FACTOR-10."""
    with pytest.raises(EnvError) as caught:
        made_with(Card(drawn(), lie).factor)
    assert caught.value.code == "card.answer-wrong"


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.expect not in (OK, "factor.wrong")])
def test_a_card_never_sees_what_is_no_point_of_the_curve(vector) -> None:
    """R-FACTOR-11: the parameters of an enrolment are anybody's until it has opened."""
    asked: list[bytes] = []

    def multiply(key: CardKey, point: bytes) -> Secret:
        asked.append(point)
        return Secret(bytes(32))

    factor = SmartCardFactor(lambda: CardKey(b"id", b""), multiply)
    _, aad, _, _ = cbor2.loads(bytes.fromhex(vector.given["enrolment"]))
    [[_, parameters]] = cbor2.loads(aad)[5]
    with pytest.raises(TwinlockError) as caught:
        factor.output(parameters, Place(b"d" * 16, b"m" * 16, b"e" * 16))
    assert caught.value.code == vector.expect
    assert asked == []


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v.expect in (OK, "factor.wrong")], ids=lambda v: v.name
)
def test_the_second_implementation_opens_the_same_enrolments(vector) -> None:
    """R-VEC-2, R-FACTOR-10: the formula of docs/spec.md, with no line of the first one's."""
    _, aad, nonce, sealed = cbor2.loads(bytes.fromhex(vector.given["enrolment"]))
    items = cbor2.loads(aad)
    _, deployment, member, enrolment, _, [[_, (key_id, public, point)]] = items
    # The scalar alone is taken from the first implementation: how seeds become keys is not at
    # stake here.
    numbers = smart_card.card(bytes.fromhex(vector.given["card_seed"]))._private
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    shared = numbers.exchange(ec.ECDH(), other)
    salted = ["twinlock/v1/smart-card-out", deployment, member, enrolment, key_id, public, point]
    output = hmac.digest(sha256(cbor2.dumps(salted)).digest(), shared, "sha256")
    prk = hmac.digest(b"", len(output).to_bytes(2, "big") + output, "sha256")
    key = hmac.digest(prk, b"twinlock/v1/enrol\x01", "sha256")
    if vector.expect == OK:
        assert AESGCM(key).decrypt(nonce, sealed, aad)[:32] == bytes(32)
    else:
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(nonce, sealed, aad)
