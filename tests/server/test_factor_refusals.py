"""What is refused: ways in that lock out or show all, wrong factors, changed enrolments."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.server.factor_life import Life, code_of, enrolling, wrong_code
from tests.server.factor_matrix import ROWS, Row
from tests.server.factor_things import TEXT, THINGS, Person, Scene, Thing
from twinlock.agent.arrival import Arrival
from twinlock.agent.factors import Password
from twinlock.agent.member import create_member
from twinlock.agent.recovery import RecoveryCode
from twinlock.core import cbor
from twinlock.core.enrolment import enrol
from twinlock.core.factors import Factor
from twinlock.core.member_bundle import MemberBundle
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from twinlock.server.own_services import VaultHardening
from twinlock.server.setup import deployment_card

SEED = Secret(b"seed of a member, 32 bytes long.")
BASE_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
OFF_CURVE = BASE_POINT[:-1] + b"\xf6"


@pytest.fixture
def person(request: pytest.FixtureRequest, scene: Scene, tmp_path: Path) -> Person:
    """Somebody in the ward, with a card, and a keyring where the test names it."""
    if request.node.callspec.params.get("name") == "device-key in keyring":
        request.getfixturevalue("session")
    return Person(scene, "weber", tmp_path, scene.cards[:1], scene.agent("weber"))


def enrolled(person: Person, thing: Thing) -> bytes:
    assert person.agent is not None
    made = enrol(
        SEED,
        [thing.enrolling()],
        deployment_id=person.scene.world.config.deployment_id,
        member_id=person.agent.member_id,
        kem=Kem.DHKEM_P256,
        randomness=os.urandom,
        scram_alone=True,
    )
    return made.raw


def unlocking(person: Person, enrolment: bytes, factor: Factor) -> str:
    """How it ends to unlock an enrolment that a server sent."""
    assert person.agent is not None
    card = deployment_card(person.scene.world.config)
    ids = (card.deployment_id, person.agent.member_id)
    bundle = MemberBundle(*ids, person.name, b"", (enrolment,), ()).encode()
    return code_of(Arrival.begin, bundle, [factor], deployment=card)


# --- what has to be asked for ---------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in ROWS if row.alone], ids=lambda row: row.name)
def test_some_are_refused_as_the_only_way_in(scene: Scene, row: Row, tmp_path: Path) -> None:
    """R-SCRAM-5, R-WAYS-2: whoever wants it says so."""
    life = Life(scene, row, tmp_path)
    things = enrolling(life.things(*row.things))
    given = {"deployment": life.card, "home": tmp_path}
    assert code_of(create_member, life.name, things, **given) == row.alone
    assert list(tmp_path.glob("*.member")) == []


@pytest.mark.parametrize("thing", ["scram", "passkey"])
def test_a_group_takes_them_by_its_own_exception_only(
    scene: Scene, thing: str, tmp_path: Path
) -> None:
    """R-WAYS-4: the group's log refuses who states it; a group that allows it is opened with it."""
    (row,) = [row for row in ROWS if row.things == (thing,)]
    life = Life(scene, replace(row, lenient=True), tmp_path)
    life.have = life.things(thing)
    asked = {"deployment": life.card, "scram_alone": True, "sole_passkey": True}
    create_member(life.name, enrolling(life.have), home=tmp_path, **asked)
    agent, admin = life.unlocked(life.have), scene.agent("weber")
    scene.follow(admin)
    card = agent.card(admin.admin.invite(scene.group.group_id))
    assert code_of(admin.admin.add, scene.group.group_id, card) == "log.not-allowed"
    scene.world.founding.add(scene.lenient, admin, agent)
    assert life.opens(agent) == TEXT


# --- factors that are not the right ones ----------------------------------------------------------


class SwappingService(VaultHardening):
    """A server that answers with the right points in the wrong order."""

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        return VaultHardening.evaluate(self, kid, first, second)[::-1]


def with_swapped_answers(thing: Any) -> Factor:
    world = thing.person.scene.world
    service = SwappingService(world.vault, b"weber", "swapping")
    card = deployment_card(world.config)
    return Password(thing.text, deployment=card, service=service, clock=world.clock)


def without_its_file(thing: Any) -> Factor:
    thing.path.unlink()
    return thing.factor()


def with_a_damaged_file(thing: Any) -> Factor:
    text = thing.path.read_text()
    thing.path.write_text(text.replace(text[40], "A" if text[40] != "A" else "B", 1))
    return thing.factor()


def deleted(thing: Any) -> Factor:
    thing.factor().delete()
    return thing.factor()


def with_another_pin(thing: Any) -> Factor:
    if hasattr(thing, "reader"):
        return thing.reader.card(lambda: Secret(b"000000")).factor()
    return thing.passkey("0000").factor()


class Mistyped:
    """A recovery code that is read, and refused, as soon as it is typed."""

    kind = "recovery-code"

    def __init__(self, text: str) -> None:
        self.text = text

    def output(self, *_: object) -> Secret:
        return RecoveryCode(self.text).output(*_)  # type: ignore[arg-type]


def mistyped(thing: Any) -> Factor:
    printed = thing.printed.reveal()
    return Mistyped(("B" if printed[0] != "B" else "C") + printed[1:])


def named(value: Any) -> str:
    return getattr(value, "__name__", str(value))


WRONG = [
    ("password", with_swapped_answers, "factor.hardening"),
    ("device-key", without_its_file, "file.missing"),
    ("device-key", with_a_damaged_file, "key-file.damaged"),
    ("device-key in keyring", deleted, "keyring.missing"),
    ("recovery-code", mistyped, "factor.recovery-mistyped"),
    ("passkey", with_another_pin, "passkey.pin-wrong"),
    ("smart-card", with_another_pin, "card.pin-wrong"),
]


@pytest.mark.parametrize("name", THINGS)
def test_another_of_its_kind_and_a_damaged_enrolment_have_one_error(
    person: Person, name: str
) -> None:
    """R-FACTOR-2: nobody is told which it was; only an authenticator or a card says what it is."""
    thing = THINGS[name](person)
    enrolment = enrolled(person, thing)
    other = replace(person, cards=(person.scene.nobodys_card,))
    assert unlocking(person, enrolment, THINGS[name](other).factor()) == wrong_code([name])
    damaged = enrolment[:-1] + bytes([enrolment[-1] ^ 1])
    assert unlocking(person, damaged, thing.factor()) == "factor.wrong"
    assert unlocking(person, enrolment[:-1], thing.factor()) == "format.malformed"


@pytest.mark.parametrize(("name", "spoilt", "code"), WRONG, ids=named)
def test_what_went_wrong_with_a_thing_is_said(
    person: Person, name: str, spoilt: Callable[[Thing], Factor], code: str
) -> None:
    thing = THINGS[name](person)
    enrolment = enrolled(person, thing)
    assert unlocking(person, enrolment, spoilt(thing)) == code


# --- enrolments that somebody changed -------------------------------------------------------------

OUTSIDE = "factor.parameters"
CHANGED = [
    ("passphrase", 0, bytes(16), "factor.wrong"),
    ("passphrase", 1, 8, OUTSIDE),
    ("passphrase", 2, 1, OUTSIDE),
    ("passphrase", 1, (4 << 20) + 1, OUTSIDE),
    ("passphrase", 3, 17, OUTSIDE),
    ("password", 0, bytes(16), "directory.no-hardening-key"),
    ("password", 1, bytes(16), "factor.wrong"),
    ("password", 2, 8, OUTSIDE),
    ("password", 3, 1, OUTSIDE),
    ("password", 2, (4 << 20) + 1, OUTSIDE),
    ("scram", 0, bytes(16), "factor.wrong"),
    ("scram", 0, b"short", OUTSIDE),
    ("scram", 1, 4096, OUTSIDE),
    ("scram", 1, 10_000_001, OUTSIDE),
    ("device-key", 0, bytes(16), "factor.wrong"),
    ("device-key", 0, b"", "format.malformed"),
    ("recovery-code", 0, bytes(16), "factor.wrong"),
    ("recovery-code", 0, b"", "format.malformed"),
    ("passkey", 0, "192.0.2.1", OUTSIDE),
    ("passkey", 0, "other.example", "passkey.other-credential"),
    ("passkey", 1, b"short", OUTSIDE),
    ("passkey", 2, bytes(32), "factor.wrong"),
    ("smart-card", 0, b"another key", "card.key-missing"),
    ("smart-card", 1, BASE_POINT, "card.key-replaced"),
    ("smart-card", 1, OFF_CURVE, OUTSIDE),
    ("smart-card", 2, BASE_POINT, "factor.wrong"),
    ("smart-card", 2, OFF_CURVE, OUTSIDE),
    ("contacts", 0, 1, OUTSIDE),
    ("contacts", 0, 4, OUTSIDE),
    ("contacts", 1, 3600, "factor.wrong"),
]


def changed(enrolment: bytes, change: Callable[[list[Any]], None]) -> bytes:
    """An enrolment whose factors somebody rewrote where it is stored."""
    label, aad, nonce, sealed = cbor.decode(enrolment)
    fields = cbor.decode(aad)
    change(fields[5])
    return cbor.encode([label, cbor.encode(fields), nonce, sealed])


@pytest.mark.parametrize(("name", "at", "value", "code"), CHANGED, ids=named)
def test_changed_parameters_open_nothing_and_weak_ones_are_named(
    person: Person, name: str, at: int, value: object, code: str
) -> None:
    """R-FACTOR-4, R-FACTOR-8, R-FACTOR-11, R-SCRAM-4, R-PASSKEY-3, R-CONTACTS-2."""
    thing = THINGS[name](person)

    def change(factors: list[Any]) -> None:
        factors[0][1][at] = value

    enrolment = changed(enrolled(person, thing), change)
    assert unlocking(person, enrolment, thing.factor()) == code


def test_changed_parameters_are_tried_for_every_kind() -> None:
    kinds = {name for name in THINGS if name != "device-key in keyring"}
    assert {name for name, *_ in CHANGED} == kinds


@pytest.mark.parametrize(
    ("factors", "code"),
    [
        ([], "format.malformed"),
        ([["telepathy", [bytes(16)]]], "factor.missing"),
        ([["device-key", [bytes(16)]], ["telepathy", []]], "factor.missing"),
        ([["device-key", [bytes(16)]]] * 2, "format.malformed"),
        ([["device-key", [bytes(16), 1]]], "format.malformed"),
    ],
    ids=["none", "unknown", "one unknown", "twice", "more of it"],
)
def test_other_factors_than_it_was_made_with(person: Person, factors: list[Any], code: str) -> None:
    """R-FACTOR-1: a kind that this version does not know is one that is missing."""
    thing = THINGS["device-key"](person)

    def change(rows: list[Any]) -> None:
        rows[:] = factors

    assert unlocking(person, changed(enrolled(person, thing), change), thing.factor()) == code
