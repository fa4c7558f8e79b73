"""Split login: an application's login from the hardened password, and what a thief can test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.server.world import World, world_in_memory
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Password
from twinlock.agent.member import create_member
from twinlock.agent.state import load_state
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors.password import (
    password_output,
    password_point,
    take_password_parameters,
)
from twinlock.core.factors.stretching import stretch
from twinlock.core.hardening.curve import encode_point
from twinlock.core.login import login_secret, login_verifier
from twinlock.core.primitives import agreement_key, p256_point
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from twinlock.server.login import check_login
from twinlock.server.setup import add_hardening_key, deployment_card
from twinlock.testing import VaultHardening

WORDS = "Zürich, correct horse"
GUESSES = ("password", "zürich, correct horse", WORDS)


@pytest.fixture
def world() -> Iterator[World]:
    with world_in_memory(groups={"ward": ("weber",)}) as world:
        vault = world.vault
        add_hardening_key(vault.store, vault.token, vault.config, now=world.clock())
        world.clock.forward(120)
        yield world


def password(world: World, text: str = WORDS) -> Password:
    service = VaultHardening(world.vault, b"ayse")
    card = deployment_card(world.config)
    return Password(text, deployment=card, service=service, clock=world.clock)


def enrolled(world: World, home: Path, *more: Any) -> Enrolment:
    factors = [password(world), *more]
    create_member("ayse", factors, deployment=deployment_card(world.config), home=home)
    [enrolment] = load_state(home / "ayse.member").enrolments
    return enrolment


def stored(world: World, enrolment: Enrolment) -> bytes:
    """What the application keeps."""
    return password(world).new_login(enrolment)


def test_a_member_logs_in_with_the_password_and_with_no_other(world: World, tmp_path: Path) -> None:
    """R-LOGIN-1, R-LOGIN-2."""
    enrolment = enrolled(world, tmp_path)
    verifier, member_id = stored(world, enrolment), enrolment.member_id
    check_login(verifier, member_id, password(world).login_secret(enrolment))
    right = password(world).login_secret(enrolment)
    wrong = Secret(bytes(32))
    with pytest.raises(DataError) as unopened:
        password(world, "zürich, correct horse").login_secret(enrolment)
    assert unopened.value.code == "factor.wrong"
    for kept, whose, secret in (
        (verifier, member_id, wrong),
        (verifier, bytes(16), right),
        (None, member_id, right),
        (verifier[:-1], member_id, right),
        (b"", member_id, right),
    ):
        with pytest.raises(CallerError) as caught:
            check_login(kept, whose, secret)
        assert caught.value.code == "login.refused"


def test_an_account_that_does_not_exist_is_answered_like_any_other() -> None:
    """R-LOGIN-2."""
    shown = []
    for verifier in (None, bytes(31) + b"\x01"):
        with pytest.raises(CallerError) as caught:
            check_login(verifier, bytes(16), Secret(bytes(32)))
        shown.append((caught.value.code, str(caught.value)))
    assert shown[0] == shown[1]


def test_logging_in_and_unlocking_cost_one_evaluation(world: World, tmp_path: Path) -> None:
    """R-LOGIN-1: one password, typed once and counted once."""
    enrolment = enrolled(world, tmp_path)
    counted: list[bytes] = []
    honest = VaultHardening(world.vault, b"ayse")

    class Counting:
        offer = staticmethod(honest.offer)

        @staticmethod
        def evaluate(kid: bytes, *points: bytes) -> tuple[bytes, bytes]:
            counted.append(kid)
            return honest.evaluate(kid, *points)

    factor = Password(
        WORDS, deployment=deployment_card(world.config), service=Counting(), clock=world.clock
    )
    secret = factor.login_secret(enrolment)
    Agent.unlock("ayse", factor, home=tmp_path).lock()
    assert factor.login_secret(enrolment) == secret
    assert len(counted) == 1


def test_the_login_secret_comes_from_the_password_of_a_set_too(
    world: World, tmp_path: Path
) -> None:
    """R-LOGIN-1."""
    key = DeviceKey.create(tmp_path / "ayse.key")
    enrolment = enrolled(world, tmp_path, key)
    check_login(
        stored(world, enrolment), enrolment.member_id, password(world).login_secret(enrolment, key)
    )
    with pytest.raises(CallerError) as caught:
        password(world).login_secret(enrolment)
    assert caught.value.code == "factor.missing"


def test_an_enrolment_without_a_password_gives_no_login(world: World, tmp_path: Path) -> None:
    key = DeviceKey.create(tmp_path / "ayse.key")
    create_member("ayse", [key], deployment=deployment_card(world.config), home=tmp_path)
    [enrolment] = load_state(tmp_path / "ayse.member").enrolments
    with pytest.raises(CallerError) as caught:
        password(world).login_secret(enrolment)
    assert caught.value.code == "factor.missing"


def test_what_logs_in_does_not_unlock(world: World, tmp_path: Path) -> None:
    """R-LOGIN-1: a server that saw the login secret has another value than the factor's."""
    enrolment = enrolled(world, tmp_path)
    seen = password(world).login_secret(enrolment)

    class FromTheServer:
        kind = "password"

        def output(self, parameters: Any, place: Any) -> Secret:
            return seen

    with pytest.raises(DataError) as caught:
        Agent.unlock("ayse", FromTheServer(), home=tmp_path)
    assert caught.value.code == "factor.wrong"


def test_another_enrolment_has_another_verifier(world: World, tmp_path: Path) -> None:
    """R-LOGIN-1: a verifier of before tests nothing of after."""
    enrolment = enrolled(world, tmp_path)
    secret = password(world).login_secret(enrolment)
    elsewhere = replace(enrolment, enrolment_id=os.urandom(16))
    assert password(world).new_login(elsewhere) != login_verifier(enrolment.member_id, secret)


# --- a thief with a snapshot of the database ------------------------------------------------------


Multiply = Callable[[bytes], bytes]
"""The x-coordinate of some scalar times an uncompressed point."""


def matching(
    verifier: bytes, enrolment: Enrolment, public: bytes, guesses: Iterable[str], multiply: Multiply
) -> list[str]:
    """The guesses that a verifier confirms, computed from its definition."""
    parameters = dict(enrolment.factors)["password"]
    kid, stretching = take_password_parameters(parameters)
    found = []
    for guess in guesses:
        stretched = stretch(guess, stretching)
        hardened = Secret(multiply(encode_point(password_point(enrolment.place, kid, stretched))))
        output = password_output(enrolment.place, kid, public, hardened, stretched)
        if login_verifier(enrolment.member_id, login_secret(output)) == verifier:
            found.append(guess)
    return found


def test_verifier_and_enrolment_test_no_password_without_the_token(
    world: World, tmp_path: Path
) -> None:
    """R-LOGIN-3: with k the password is found, so the same guesser would find it without, too."""
    enrolment = enrolled(world, tmp_path)
    verifier = stored(world, enrolment)
    kid = dict(enrolment.factors)["password"][0]
    stated = world.vault.directory.by_kid(kid)
    assert stated is not None
    public = p256_point(stated.public)
    token = world.vault.token

    def with_token(point: bytes) -> bytes:
        return token.evaluate(kid, [point])[0]

    assert matching(verifier, enrolment, public, GUESSES, with_token) == [WORDS]
    drawn = int.from_bytes(os.urandom(31), "big") + 1
    for scalar in (1, 2, drawn):
        assert matching(verifier, enrolment, public, GUESSES, agreement_key(scalar).x_of) == []
    # What else the thief could put in the place of x(kP): what is stored, or nothing.
    for known in (verifier, public[1:33], bytes(32)):
        assert matching(verifier, enrolment, public, GUESSES, lambda _, x=known: x) == []


def test_a_verifier_of_the_unhardened_hash_would_test_passwords(
    world: World, tmp_path: Path
) -> None:
    """The mutated build of R-LOGIN-3: made from Argon2id alone, the guesser needs no token."""
    enrolment = enrolled(world, tmp_path)
    _, stretching = take_password_parameters(dict(enrolment.factors)["password"])

    def mutated(guess: str) -> bytes:
        return login_verifier(enrolment.member_id, login_secret(stretch(guess, stretching)))

    verifier = mutated(WORDS)
    assert [guess for guess in GUESSES if mutated(guess) == verifier] == [WORDS]
