"""What unlocking costs a member, by factor; opening is measured apart from it.

A password against Argon2id alone with the same parameters, which is what no unlock by password can
do without. All of ``Agent.unlock`` counts: the member's file, the directory's signatures, blinding
and the check, the token's evaluation, and the attempt counted and committed to disk before it. The
service is in the same process, so that there is no network in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.figures import Figure, Round, alternate, figure, ratio, timed
from bench.world import World, another_vault
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase, Password
from twinlock.agent.member import create_member
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.scram import Scram
from twinlock.card.smart_card import SmartCard
from twinlock.core.factors import EnrollableFactor, stretching
from twinlock.core.factors.stretching import MIN_ITERATIONS, MIN_MEMORY_KIB
from twinlock.core.primitives import argon2id
from twinlock.core.scram.keys import MIN_ITERATIONS as SCRAM_ITERATIONS
from twinlock.core.scram.keys import scram_keys
from twinlock.core.secret import Secret
from twinlock.server.config import HardeningLimits
from twinlock.server.own_services import VaultHardening
from twinlock.server.setup import add_hardening_key, deployment_card
from twinlock.server.vault import Vault

_TEXT: Final = "winter geese 1907"
_SALT: Final = os.urandom(16)
_NO_LIMITS: Final = HardeningLimits(
    account_per_hour=1_000_000, source_per_hour=1_000_000, key_per_hour=1_000_000
)
Factors = Callable[[], list[EnrollableFactor]]
"""A member's factors, made anew for each unlock: they remember what they computed."""


@dataclass(frozen=True, slots=True)
class Unlocking:
    """Members, one for each kind of factor, on computers of their own."""

    world: World
    vault: Vault

    def factors(self) -> Mapping[str, Factors]:
        """Every kind but the password, as a member has it."""
        folder = self.world.folder
        key = DeviceKey.create(folder / "unlock-device.key")
        second = DeviceKey.create(folder / "unlock-second.key")
        code, _ = RecoveryCode.create()
        scram = Scram(_TEXT)
        verifier = scram.new_verifier()
        pin = Secret((self.world.config.pin_file or Path()).read_bytes().strip())
        card = SmartCard(self.world.config.token_uri, lambda: pin)
        card_key = card.generate_key()
        return {
            "passphrase": lambda: [Passphrase(_TEXT)],
            "scram": lambda: [Scram(_TEXT, salt=verifier.salt), second],
            "device_key": lambda: [key],
            "recovery_code": lambda: [code],
            "smart_card": lambda: [card.factor(card_key)],
        }

    def password(self) -> Password:
        """A password, hardened by the vault in this process."""
        service = VaultHardening(self.vault, b"bench")
        return Password(_TEXT, deployment=deployment_card(self.world.config), service=service)

    def round(self, name: str, factors: Factors) -> Round:
        """Enrol a member; each round unlocks her."""
        home = self.world.folder / f"unlock-{name}"
        home.mkdir()
        member = name.replace("_", "-")
        card = deployment_card(self.world.config)
        create_member(member, factors(), deployment=card, home=home)

        def unlock() -> float:
            given = factors()
            return timed(lambda: Agent.unlock(member, *given, home=home).lock())

        return unlock


@contextmanager
def _unlocking(world: World) -> Iterator[Unlocking]:
    """A vault with a hardening key, and without limits that a benchmark would run into."""
    config = world.config
    add_hardening_key(world.vault.store, world.token, config, now=world.vault.clock())
    unlimited = replace(world, config=replace(config, hardening=_NO_LIMITS))
    with another_vault(unlimited, sessions=1) as vault:
        yield Unlocking(world, vault)


def unlock(world: World, rounds: int) -> dict[str, Figure]:
    """Measure all kinds in turn, with the two hashes by themselves between them."""
    spent: dict[str, list[float]] = {}
    with _unlocking(world) as unlocking:
        members = unlocking.factors()
        by_password = unlocking.round("password", lambda: [unlocking.password()])
        besides: list[float] = []
        works: dict[str, Round] = {
            **{name: unlocking.round(name, factors) for name, factors in members.items()},
            "password": partial(_besides_hash, besides, by_password),
            "argon2": partial(timed, _argon2),
            "pbkdf2": partial(timed, lambda: scram_keys(_TEXT, _SALT, SCRAM_ITERATIONS)),
        }
        spending = {name: partial(_spending, spent, name, work) for name, work in works.items()}
        seen = alternate(spending, rounds)
    # The first round does not count.
    processor = {name: times[1:] for name, times in spent.items()}
    milliseconds = {
        name: figure([s * 1e3 for s in seen[name]], "ms") for name in ["password", *members]
    }
    return {
        "unlock.password.vs_argon2": ratio(seen, "password", "argon2", "<= 1.1"),
        "unlock.password.cpu_vs_argon2": ratio(processor, "password", "argon2"),
        "unlock.password.besides_hash_ms": figure([s * 1e3 for s in besides[1:]], "ms"),
        "unlock.scram.vs_pbkdf2": ratio(seen, "scram", "pbkdf2"),
        **{f"unlock.{name}.ms": found for name, found in milliseconds.items()},
    }


def _spending(spent: dict[str, list[float]], name: str, work: Round) -> float:
    """Note the processor time of this process, which a busy machine changes less."""
    began = time.process_time()
    seconds = work()
    spent.setdefault(name, []).append(time.process_time() - began)
    return seconds


def _besides_hash(besides: list[float], work: Round) -> float:
    """Note what an unlock takes besides Argon2id, whose own time varies by more than that."""
    hashing = [0.0]

    def timing(*given: Any, **named: Any) -> Secret:
        began = time.perf_counter()
        hashed = argon2id(*given, **named)
        hashing[0] += time.perf_counter() - began
        return hashed

    vars(stretching)["argon2id"] = timing
    try:
        seconds = work()
    finally:
        vars(stretching)["argon2id"] = argon2id
    besides.append(seconds - hashing[0])
    return seconds


def _argon2() -> Secret:
    """Argon2id as an enrolment's floor has it, and nothing else."""
    return argon2id(
        _TEXT.encode(), _SALT, memory_kib=MIN_MEMORY_KIB, iterations=MIN_ITERATIONS, lanes=1
    )
