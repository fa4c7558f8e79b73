"""The guesser's tools: a test that finds nothing must be able to find something."""

from __future__ import annotations

import os

import pytest

from attacks.factor_accounts import free_hashes
from attacks.factor_guessing import Guesser, opened
from attacks.factor_outsider import _better, shape
from attacks.factor_scram import Recorded
from attacks.gcm import collide, unauthenticated
from attacks.powers import Snapshot
from twinlock.agent.factors import Passphrase
from twinlock.core.enrolment import Enrolment, enrol
from twinlock.core.ports import KeyRole, TokenKey
from twinlock.core.primitives import Kem, gcm_open, sha256
from twinlock.core.scram.keys import scram_keys
from twinlock.core.secret import Secret
from twinlock.core.statements import Directory

NO_KEYS = Directory(TokenKey(KeyRole.IDENTITY, bytes(16), b""), ())
SALT = b"sixteen bytes it"

# RFC 7677 section 3.
EXCHANGE = Recorded(
    "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
)


def enrolment_with(text: str) -> Enrolment:
    return enrol(
        Secret(bytes(32)),
        [Passphrase(text)],
        deployment_id=bytes(16),
        member_id=bytes(16),
        kem=Kem.DHKEM_P256,
        randomness=os.urandom,
    )


def storing(value: bytes) -> Snapshot:
    return Snapshot({"accounts": [{"name": "ada", "value": value}]}, {})


def test_a_guess_that_opens_an_enrolment_is_found_among_others() -> None:
    with free_hashes():
        guesser = Guesser(NO_KEYS, [enrolment_with("the right one")])
        assert guesser.found(["wrong", "the right one", "other"]) == {"the right one"}


@pytest.mark.parametrize("which", ["client_key", "stored_key", "server_key"])
def test_a_guess_whose_image_is_stored_anywhere_is_found(which: str) -> None:
    with free_hashes():
        key: Secret = getattr(scram_keys("the right one", SALT, 600_000), which)
        stored = storing(b"before" + key.reveal() + b"after")
        guesser = Guesser(NO_KEYS, [], [stored], scram=[(SALT, 600_000)])
        assert guesser.found(["wrong", "the right one"]) == {"the right one"}


def test_nothing_is_found_where_nothing_is() -> None:
    with free_hashes():
        guesser = Guesser(NO_KEYS, [], [storing(os.urandom(200))], scram=[(SALT, 600_000)])
        assert guesser.found(["wrong", "the right one"]) == set()


def test_a_test_that_every_guess_passes_is_none() -> None:
    assert Guesser(NO_KEYS, [], [storing(b"all")]).found(["al", "l"]) == set()


def test_outputs_that_are_not_known_open_nothing() -> None:
    assert opened(enrolment_with("any"), {}) is None


def test_a_recorded_exchange_tests_passwords_and_gives_client_key() -> None:
    keys = scram_keys("pencil", b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81", 4096)
    assert EXCHANGE.proves("pencil")
    assert not EXCHANGE.proves("pencils")
    client_key = EXCHANGE.client_key(keys.stored_key.reveal())
    assert client_key == keys.client_key.reveal()
    assert sha256(client_key) == keys.stored_key.reveal()


def test_a_ciphertext_with_a_chosen_beginning_is_authentic_under_two_keys() -> None:
    one, other, nonce, aad = os.urandom(32), os.urandom(32), os.urandom(12), b"aad"
    start = unauthenticated(one, nonce, bytes(32) + bytes(16), b"")
    sealed = collide((one, other), nonce, aad, blocks=4, start=start)
    assert gcm_open(one, nonce, sealed, aad)[:32] == bytes(32)
    assert gcm_open(other, nonce, sealed, aad)[:32] != bytes(32)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [([1, 2, 3], [4, 5, 6], 1.0), ([4, 5, 6], [1, 2, 3], 1.0), ([1, 4], [2, 3], 0.75)],
)
def test_times_that_differ_tell(one: list[float], other: list[float], share: float) -> None:
    assert _better(one, other) == share


def test_a_salt_that_changes_shows_in_an_accounts_answers() -> None:
    steady = [(70, b"s" * 16, "i=600000")] * 3
    changing = [(70, bytes([number]) * 16, "i=600000") for number in (1, 2, 3)]
    assert shape(steady) == shape([(70, b"t" * 16, "i=600000")] * 3)
    assert shape(changing) != shape(steady)
