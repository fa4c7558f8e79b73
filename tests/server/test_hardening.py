"""Passwords that the token hardens: enrol, unlock, limits, and a server that lies."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.enrolling import add_enrolment
from tests.server.world import World, world_in_memory, world_on_softhsm
from tests.token.rigs import init_softhsm
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Password
from twinlock.agent.member import create_member
from twinlock.core.hardening.evaluation import blind
from twinlock.core.hardening.hash_to_curve import hash_to_curve
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import agreement_key, p256_point, sha256
from twinlock.errors import CallerError, DataError, EnvError
from twinlock.server.config import HardeningLimits
from twinlock.server.hardening import Hardening
from twinlock.server.setup import add_hardening_key, deployment_card
from twinlock.testing import VaultHardening

WORDS = "Zürich, correct horse"
POINT = agreement_key(5).public


@pytest.fixture(params=["memory", "softhsm"])
def world(request: pytest.FixtureRequest, tmp_path: Path, softhsm_folder: Path) -> Iterator[World]:
    """A deployment with one hardening key."""
    made = (
        world_in_memory(groups={"ward": ("weber",)})
        if request.param == "memory"
        else world_on_softhsm(
            tmp_path, init_softhsm(f"hard {os.urandom(4).hex()}"), groups={"ward": ("weber",)}
        )
    )
    with made as world:
        another_key(world)
        yield world


def another_key(world: World) -> bytes:
    vault = world.vault
    key = add_hardening_key(vault.store, vault.token, vault.config, now=world.clock())
    world.clock.forward(120)
    assert vault.directory.by_kid(key.kid)
    return key.kid


def password(world: World, text: str = WORDS, service: Any = None) -> Password:
    return Password(
        text,
        deployment=deployment_card(world.config),
        service=service or VaultHardening(world.vault, b"ayse"),
        clock=world.clock,
    )


def enrolled(world: World, home: Path, *factors: Any) -> None:
    create_member(
        "ayse",
        factors or [password(world)],
        deployment=deployment_card(world.config),
        home=home,
    )


def refused_with(code: str, family: type[Exception], act: Callable[[], object]) -> None:
    with pytest.raises(family) as caught:
        act()
    assert caught.value.code == code


def test_a_member_enrols_and_unlocks_with_a_password(world: World, tmp_path: Path) -> None:
    """R-FACTOR-8."""
    home = tmp_path / "home"
    home.mkdir()
    enrolled(world, home)
    with Agent.unlock("ayse", password(world), home=home) as agent:
        assert agent.name == "ayse"
    # The same letters, typed decomposed and with a wide space (RFC 8265).
    decomposed = "Zu\u0308rich,\u3000correct horse"
    Agent.unlock("ayse", password(world, decomposed), home=home).lock()
    wrong = password(world, "zürich, correct horse")
    refused_with("factor.wrong", DataError, lambda: Agent.unlock("ayse", wrong, home=home))


def test_a_password_and_a_device_key_together(world: World, tmp_path: Path) -> None:
    """R-FACTOR-1."""
    key = DeviceKey.create(tmp_path / "ayse.key")
    enrolled(world, tmp_path, password(world), key)
    Agent.unlock("ayse", key, password(world), home=tmp_path).lock()
    refused_with(
        "factor.missing", CallerError, lambda: Agent.unlock("ayse", password(world), home=tmp_path)
    )


def test_a_password_is_added_as_a_second_way_in(world: World, tmp_path: Path) -> None:
    key = DeviceKey.create(tmp_path / "ayse.key")
    enrolled(world, tmp_path, key)
    add_enrolment("ayse", [key], [password(world)], home=tmp_path)
    Agent.unlock("ayse", password(world), home=tmp_path).lock()
    Agent.unlock("ayse", key).lock()


def test_an_enrolment_keeps_its_key_when_others_are_added(world: World, tmp_path: Path) -> None:
    """R-HARD-6."""
    enrolled(world, tmp_path)
    for _ in range(3):
        another_key(world)
    Agent.unlock("ayse", password(world), home=tmp_path).lock()


def test_accounts_are_spread_over_the_keys_known_or_not(world: World) -> None:
    """R-HARD-8."""
    kids = {another_key(world) for _ in range(2)}
    offers = [world.vault.hardening.offer(b"%d" % number).kid for number in range(60)]
    assert kids < set(offers)
    assert len(set(offers)) == 3
    assert offers == [world.vault.hardening.offer(b"%d" % number).kid for number in range(60)]


# --- a server that lies ----------------------------------------------------------------------


@dataclasses.dataclass
class Liar:
    """The server's side with the token in its hands."""

    honest: VaultHardening
    scalar: int | None = None
    statements: tuple[Any, ...] | None = None
    kid: bytes | None = None

    def offer(self) -> HardeningOffer:
        offer = self.honest.offer()
        statements = offer.statements if self.statements is None else self.statements
        return HardeningOffer(self.kid or offer.kid, statements)

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        if self.scalar is None:
            return self.honest.evaluate(kid, first, second)
        key = agreement_key(self.scalar)
        return key.x_of(first), key.x_of(second)


def test_a_scalar_that_the_server_knows_is_refused_at_enrolment(
    world: World, tmp_path: Path
) -> None:
    """R-HARD-5: attack 30; nothing is written."""
    for scalar in (1, 2):
        liar = Liar(VaultHardening(world.vault, b"ayse"), scalar)
        refused_with(
            "factor.hardening",
            DataError,
            lambda liar=liar: enrolled(world, tmp_path, password(world, service=liar)),
        )
    assert not (tmp_path / "ayse.member").exists()


def test_a_scalar_that_the_server_knows_is_refused_at_unlock(world: World, tmp_path: Path) -> None:
    """R-HARD-5."""
    enrolled(world, tmp_path)
    liar = Liar(VaultHardening(world.vault, b"ayse"), 1)
    refused_with(
        "factor.hardening",
        DataError,
        lambda: Agent.unlock("ayse", password(world, service=liar), home=tmp_path),
    )


def test_another_hardening_key_of_the_same_token_is_refused(world: World, tmp_path: Path) -> None:
    """R-HARD-5: the server evaluates with a key that the enrolment does not name."""
    enrolled(world, tmp_path)
    other = another_key(world)
    honest = VaultHardening(world.vault, b"ayse")
    swapping = Liar(honest)
    swapping.evaluate = lambda kid, *points: honest.evaluate(other, *points)  # type: ignore[method-assign]
    refused_with(
        "factor.hardening",
        DataError,
        lambda: Agent.unlock("ayse", password(world, service=swapping), home=tmp_path),
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"statements": ()}, "directory.identity"),
        ({"kid": bytes(16)}, "directory.no-hardening-key"),
    ],
)
def test_the_key_is_taken_from_the_pinned_tokens_directory_alone(
    world: World, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    """R-HARD-6."""
    liar = Liar(VaultHardening(world.vault, b"ayse"), **change)
    refused_with(code, DataError, lambda: enrolled(world, tmp_path, password(world, service=liar)))


def test_a_key_of_another_role_does_not_stand_in(world: World, tmp_path: Path) -> None:
    """R-HARD-6, R-HARD-9."""
    log = world.vault.directory.current(KeyRole.LOG)
    liar = Liar(VaultHardening(world.vault, b"ayse"), kid=log.kid)
    refused_with(
        "directory.no-hardening-key",
        DataError,
        lambda: enrolled(world, tmp_path, password(world, service=liar)),
    )
    for kid in (log.kid, bytes(16), b""):
        refused_with("hardening.key-unknown", CallerError, lambda kid=kid: evaluated(world, kid))


# --- the ceremony ----------------------------------------------------------------------------


def evaluated(
    world: World, kid: bytes, account: bytes = b"ayse", source: str = "10.0.0.1"
) -> tuple[bytes, bytes]:
    return world.vault.hardening.evaluate(kid, POINT, POINT, account=account, source=source)


def current_kid(world: World) -> bytes:
    return world.vault.directory.current(KeyRole.HARDENING).kid


def limited(world: World, **limits: int) -> None:
    """Give the vault other limits."""
    vault = world.vault
    vault._hardening = Hardening(
        HardeningLimits(**limits),
        vault.store,
        lambda: vault.token,
        lambda: (vault.directory, vault._held.statements()),
        world.clock,
    )


def test_the_vault_multiplies_with_the_tokens_key(world: World) -> None:
    """R-HARD-4."""
    key = world.vault.directory.current(KeyRole.HARDENING)
    blinded = blind(hash_to_curve(b"a", b"b"), os.urandom)
    answers = world.vault.hardening.evaluate(key.kid, *blinded.sent, account=b"ayse", source="")
    assert len(blinded.accept(p256_point(key.public), answers)) == 32


@pytest.mark.parametrize(
    "point",
    [b"", b"\x00", POINT[:-1], POINT + b"\x00", b"\x02" + POINT[1:33], POINT[:-1] + b"\x00"],
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_point_never_reaches_the_token(world: World, point: bytes, place: int) -> None:
    """R-HARD-4."""
    points = [POINT, POINT]
    points[place] = point
    refused_with(
        "hardening.point-invalid",
        DataError,
        lambda: world.vault.hardening.evaluate(
            current_kid(world), *points, account=b"a", source="s"
        ),
    )


LIMITS = {
    "account": ({"account_per_hour": 3}, [(b"ayse", f"10.0.0.{n}") for n in range(9)]),
    "source": ({"source_per_hour": 3}, [(b"%d" % n, "10.0.0.1") for n in range(9)]),
    "key": ({"key_per_hour": 3}, [(b"%d" % n, f"10.0.0.{n}") for n in range(9)]),
}


@pytest.mark.parametrize("which", sorted(LIMITS))
def test_attempts_end_at_the_limit_until_the_next_hour(
    world: World, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R-HARD-7: attack 31 is the last row, many accounts spent on one victim's key."""
    limits, attempts = LIMITS[which]
    limited(world, **limits)
    kid = current_kid(world)
    world.clock.forward(3600 - world.clock() % 3600)
    for account, source in attempts[:3]:
        evaluated(world, kid, account, source)
    with caplog.at_level(logging.WARNING, "twinlock"):
        for account, source in attempts[3:]:
            refused_with(
                "hardening.limit",
                CallerError,
                lambda a=account, s=source: evaluated(world, kid, a, s),
            )
    assert f"limit of the {which}" in caplog.text
    world.clock.forward(3600)
    evaluated(world, current_kid(world), *attempts[-1])


def test_what_is_refused_takes_nothing_from_others(world: World) -> None:
    """R-HARD-7: all or none. Who hammers a locked account does not lock its key or source."""
    limited(world, account_per_hour=1, source_per_hour=2, key_per_hour=2)
    kid = current_kid(world)
    world.clock.forward(3600 - world.clock() % 3600)
    evaluated(world, kid, b"ayse", "10.0.0.1")
    for _ in range(5):
        refused_with(
            "hardening.limit", CallerError, lambda: evaluated(world, kid, b"ayse", "10.0.0.1")
        )
    evaluated(world, kid, b"weber", "10.0.0.1")


def test_an_attempt_is_counted_before_the_token_sees_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-HARD-7."""
    limited(world, account_per_hour=2)
    kid, seen = current_kid(world), []

    def failing(*arguments: object) -> list[bytes]:
        seen.append(arguments)
        raise EnvError("token.failed", "It failed.")

    monkeypatch.setattr(world.vault.token, "evaluate", failing)
    for _ in range(2):
        refused_with("token.failed", EnvError, lambda: evaluated(world, kid))
    refused_with("hardening.limit", CallerError, lambda: evaluated(world, kid))
    assert len(seen) == 2


def test_accounts_and_sources_of_earlier_hours_are_forgotten(world: World) -> None:
    def counted(account: bytes) -> int:
        return world.vault.store.counters.value(f"hardening/account/{sha256(account).hex()}")

    evaluated(world, current_kid(world), b"old")
    assert counted(b"old") > 0
    world.clock.forward(3600)
    evaluated(world, current_kid(world), b"new")
    assert counted(b"old") == 0
    assert counted(b"new") > 0


def test_a_deployment_without_a_key_says_how_to_make_one() -> None:
    with world_in_memory(groups={"ward": ("weber",)}) as world:
        refused_with(
            "hardening.no-key", CallerError, lambda: world.vault.hardening.offer(b"anybody")
        )
