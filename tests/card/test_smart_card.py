"""Smart cards on real PKCS#11: keys are made, found, checked and used, and nothing stays behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from tests.agent.enrolling import add_enrolment
from tests.card.conftest import Reader
from tests.token.rigs import PIN
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.member import create_member
from twinlock.cli.member.making import Wanted, making
from twinlock.cli.terminal import Terminal
from twinlock.core.deployment import DeploymentCard
from twinlock.core.factors import Place
from twinlock.core.factors.smart_card import CardKey
from twinlock.core.primitives import AgreementKey, agreement_key
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, EnvError, TwinlockError
from twinlock.token.binding import KeySession
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Cka, Ckk, Cko

DEPLOYMENT = DeploymentCard(b"d" * 16, b"i" * 32)
PLACE = Place(b"d" * 16, b"m" * 16, b"e" * 16)


def drawn() -> AgreementKey:
    return agreement_key(int.from_bytes(os.urandom(31), "big") + 1)


@contextmanager
def looking_at(reader: Reader) -> Iterator[tuple[KeySession, SessionCalls]]:
    """The card's objects, past everything that this project does with them."""
    module, slot = reader.place
    session = module.open_session(slot)
    try:
        module.functions.login(session.handle, PIN.reveal())
        yield session, SessionCalls(module.functions, session.handle)
    finally:
        module.functions.close_session(session.handle)


def code_of(refused: pytest.ExceptionInfo[TwinlockError]) -> str:
    return refused.value.code


def test_a_card_multiplies_as_software_does_and_leaves_nothing_behind(reader: Reader) -> None:
    """R-FACTOR-12: what was derived is gone, also from the sight of other sessions."""
    card, other = reader.card(), drawn()
    key = card.generate_key()
    with looking_at(reader) as (session, _):
        before = len(session.find({}))
        for _ in range(3):
            assert card.multiply(key, other.public) == Secret(other.x_of(key.public))
        assert len(session.find({})) == before


def test_a_made_key_does_nothing_but_derive_and_never_leaves(reader: Reader) -> None:
    """R-FACTOR-12."""
    key = reader.card().generate_key()
    with looking_at(reader) as (session, calls):
        [private] = session.find({Cka.CLASS: Cko.PRIVATE_KEY, Cka.ID: key.key_id})
        flags = {kind: calls.attribute(private, kind) for kind in Cka if kind != Cka.VALUE}
        assert calls.attribute(private, Cka.VALUE) is None
    assert flags[Cka.DERIVE] == flags[Cka.SENSITIVE] == flags[Cka.PRIVATE] == b"\x01"
    assert flags[Cka.EXTRACTABLE] == flags[Cka.SIGN] == flags[Cka.DECRYPT] == b"\x00"


def test_a_key_that_was_there_already_is_enrolled_by_its_id(reader: Reader) -> None:
    made = reader.card().generate_key()
    assert reader.card().key(made.key_id) == made
    reader.card().destroy_key(made)
    with pytest.raises(CallerError) as gone:
        reader.card().key(made.key_id)
    assert code_of(gone) == "card.key-missing"


def test_a_member_unlocks_with_a_card_alone_and_beside_other_factors(
    reader: Reader, tmp_path: Path
) -> None:
    """R-FACTOR-10: as an application would, with the PIN asked for once."""
    device = DeviceKey.create(tmp_path / "kim.key")
    first = [device, reader.card().factor()]
    create_member("kim", first, deployment=DEPLOYMENT, home=tmp_path)
    assert reader.asked == 1
    key = reader.card().generate_key()
    alone = reader.card().factor(key)
    add_enrolment("kim", [device, reader.card().factor()], [alone], home=tmp_path)
    for factors in ([device, reader.card().factor()], [reader.card().factor()]):
        with Agent.unlock("kim", *factors, home=tmp_path) as agent:
            assert agent.card()
    with pytest.raises(CallerError) as missing:
        Agent.unlock("kim", Passphrase("nothing"), home=tmp_path)
    assert code_of(missing) == "factor.missing"


def test_another_card_does_not_open(reader: Reader, second_card: Reader, tmp_path: Path) -> None:
    """R-FACTOR-12: one that has not the key."""
    create_member("kim", [reader.card().factor()], deployment=DEPLOYMENT, home=tmp_path)
    with pytest.raises(CallerError) as missing:
        Agent.unlock("kim", second_card.card().factor(), home=tmp_path)
    assert code_of(missing) == "card.key-missing"


def test_a_key_under_the_enrolled_id_that_is_another_is_refused(reader: Reader) -> None:
    """R-FACTOR-12."""
    card = reader.card()
    made, other = card.generate_key(), card.generate_key()
    with pytest.raises(CallerError) as refused:
        card.multiply(CardKey(made.key_id, other.public), drawn().public)
    assert code_of(refused) == "card.key-replaced"


def test_a_card_without_public_keys_proves_its_key_by_computing(reader: Reader) -> None:
    """R-FACTOR-12."""
    card, other = reader.card(), drawn()
    key, another = card.generate_key(), card.generate_key()
    with looking_at(reader) as (session, calls):
        for public in session.find({Cka.CLASS: Cko.PUBLIC_KEY, Cka.ID: key.key_id}):
            calls.destroy(public)
    assert card.multiply(key, other.public) == Secret(other.x_of(key.public))
    with pytest.raises(CallerError) as refused:
        card.multiply(CardKey(key.key_id, another.public), other.public)
    assert code_of(refused) == "card.key-replaced"
    with pytest.raises(CallerError) as unseen:
        card.key(key.key_id)
    assert code_of(unseen) == "card.key-missing"


def test_several_private_keys_under_one_id_are_none(softhsm_card: Reader) -> None:
    """R-FACTOR-12."""
    ids = iter([b"same id, 16 byte"] * 2)
    card = softhsm_card.card()
    card._randomness = lambda _size: next(ids)
    key, _ = card.generate_key(), card.generate_key()
    with pytest.raises(CallerError) as refused:
        card.multiply(key, drawn().public)
    assert code_of(refused) == "card.key-replaced"
    with pytest.raises(CallerError) as several:
        card.key(key.key_id)
    assert code_of(several) == "card.key-missing"


def test_a_key_that_may_not_derive_says_what_it_lacks(softhsm_card: Reader) -> None:
    card = softhsm_card.card()
    key = card.generate_key()
    with looking_at(softhsm_card) as (session, _):
        common = {Cka.KEY_TYPE: Ckk.EC, Cka.ID: b"signing", Cka.TOKEN: True}
        usage = {Cka.PRIVATE: True, Cka.SIGN: True, Cka.DERIVE: False}
        session.generate_p256(
            {Cka.CLASS: Cko.PUBLIC_KEY, **common, Cka.PRIVATE: False, Cka.VERIFY: True},
            {Cka.CLASS: Cko.PRIVATE_KEY, **common, **usage},
        )
    signing = card.key(b"signing")
    assert signing.public != key.public
    with pytest.raises(EnvError) as refused:
        card.factor(signing).new_parameters(os.urandom, PLACE)
    assert code_of(refused) == "card.cannot-derive"


def test_nothing_is_asked_or_loaded_before_the_card_is_needed() -> None:
    def ask() -> Secret:
        raise AssertionError("asked")

    reader = Reader("pkcs11:token=none?module-path=/nonexistent/module.so", None)
    factor = reader.card(ask).factor()
    with pytest.raises(CallerError) as refused:
        factor.new_parameters(os.urandom, PLACE)
    assert code_of(refused) == "token.module-unusable"


def test_no_pin_is_asked_for_when_the_card_is_not_there(softhsm_card: Reader) -> None:
    absent = Reader(softhsm_card.uri.replace("card", "lost"), None)
    with pytest.raises(CallerError) as refused:
        absent.card().generate_key()
    assert (code_of(refused), absent.asked) == ("token.not-found", 0)


# --- PINs ----------------------------------------------------------------------------------------


def test_a_wrong_pin_is_sent_once_however_often_the_factor_is_used(
    softhsm_card: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-FACTOR-13: retries burn no tries."""
    card = softhsm_card.card()
    parameters = card.factor().new_parameters(os.urandom, PLACE)
    module, _ = softhsm_card.place
    sent: list[bytes] = []
    login = module.functions.login

    def counted(session: int, pin: bytes) -> None:
        sent.append(pin)
        login(session, pin)

    monkeypatch.setattr(module.functions, "login", counted)
    wrong = softhsm_card.card(lambda: Secret(b"000000"))
    codes = []
    for factor in (wrong.factor(), wrong.factor(), softhsm_card.card(wrong._ask_pin).factor()):
        with pytest.raises(CallerError) as refused:
            factor.output(parameters, PLACE)
        codes.append(code_of(refused))
    assert codes == ["card.pin-wrong", "token.pin-refused", "token.pin-refused"]
    assert sent == [b"000000"]


def test_a_stored_pin_is_not_tried_after_a_wrong_one(
    softhsm_card: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-FACTOR-13: a service that starts again and again does not lock the card."""
    key = softhsm_card.card().generate_key()
    stored = Reader(softhsm_card.uri + "&pin-source=env:CARD_PIN", None)
    monkeypatch.setenv("CARD_PIN", "111111")
    with pytest.raises(CallerError) as wrong:
        stored.card().multiply(key, drawn().public)
    assert (code_of(wrong), stored.asked) == ("card.pin-wrong", 0)
    monkeypatch.setenv("CARD_PIN", PIN.reveal().decode())
    unattended = stored.card()
    unattended._ask_pin = None
    with pytest.raises(CallerError) as doubted:
        unattended.multiply(key, drawn().public)
    assert code_of(doubted) == "card.pin-doubted"
    stored.card().multiply(key, drawn().public)
    assert stored.asked == 1
    unattended.multiply(key, drawn().public)
    stored.card().multiply(key, drawn().public)
    assert stored.asked == 1


def test_a_card_without_any_pin_source_says_so(softhsm_card: Reader) -> None:
    card = softhsm_card.card()
    card._ask_pin = None
    with pytest.raises(CallerError) as refused:
        card.generate_key()
    assert code_of(refused) == "pin.missing"


def test_nobody_is_logged_in_to_the_card_after_a_use(softhsm_card: Reader) -> None:
    """R-FACTOR-12: what comes later has to know the PIN."""
    key = softhsm_card.card().generate_key()
    softhsm_card.card().multiply(key, drawn().public)
    module, slot = softhsm_card.place
    session = module.open_session(slot)
    try:
        private = {Cka.CLASS: Cko.PRIVATE_KEY, Cka.ID: key.key_id}
        assert session.find(private) == []
        module.functions.login(session.handle, PIN.reveal())
        assert len(session.find(private)) == 1
    finally:
        module.functions.close_session(session.handle)


def test_neither_pin_nor_coordinate_shows_in_an_error_or_a_repr(softhsm_card: Reader) -> None:
    """R-SECRET-3."""
    card = softhsm_card.card(lambda: Secret(b"secret-pin-0815"))
    with pytest.raises(CallerError) as refused:
        card.generate_key()
    assert "secret-pin" not in repr(refused.value) + repr(card.factor()) + repr(vars(card))


# --- the command line ----------------------------------------------------------------------------


def give_up(wanted: Wanted) -> NoReturn:
    """Raise KeyError with the id of the card's key, when it could be enrolled."""
    with making(Terminal(), wanted, None) as made:
        raise KeyError(made.factors[0].new_parameters(os.urandom, PLACE)[0])


@pytest.mark.parametrize("is_made", [True, False], ids=["made", "there already"])
def test_a_key_that_was_made_for_nothing_is_destroyed_and_no_other(
    softhsm_card: Reader, monkeypatch: pytest.MonkeyPatch, is_made: bool
) -> None:
    monkeypatch.setenv("CARD_PIN", PIN.reveal().decode())
    there = softhsm_card.card().generate_key()
    wanted = Wanted(
        name="kim",
        pinned=DeploymentCard(PLACE.deployment_id, bytes(32)),
        card=f"{softhsm_card.uri}&pin-source=env:CARD_PIN",
        card_key=None if is_made else there.key_id.hex(),
    )
    with pytest.raises(KeyError) as left:
        give_up(wanted)
    [key_id] = left.value.args
    with looking_at(softhsm_card) as (session, _):
        assert len(session.find({Cka.ID: key_id})) == (0 if is_made else 2)
        assert len(session.find({Cka.ID: there.key_id})) == 2
