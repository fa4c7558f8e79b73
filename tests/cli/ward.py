"""Members of a deployment in memory, on the command line of this process.

The commands are the real ones; only the vault that they open is this process's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.cli.deployment import Cli
from tests.server.world import found_on_softhsm
from twinlock import Context, Vault
from twinlock.agent.agent import Agent
from twinlock.core.factors import Factor
from twinlock.core.membership import Policy
from twinlock.core.membership.traits import SCRAM_ALONE, SOLE_PASSKEY
from twinlock.server.config import Config
from twinlock.server.pins import FilePins
from twinlock.server.setup import (
    add_hardening_key,
    add_verifier_key,
    connect_token,
    deployment_card,
)
from twinlock.store.sql import SqlStore
from twinlock.testing import memory_vault
from twinlock.testing.founding import Founding

DIAGNOSIS = Context(table="patient", record="4711", column="diagnosis")
MODULES = (*("service", "server_side", "member.kept", "group.exchange", "group.acting"),)


class Made(Protocol):
    """A deployment in this process."""

    config: Config
    vault: Vault
    founding: Founding


@dataclass
class Ward:
    """Kim and weber of the ward, whose files lie in ``cli.folder``, and their server."""

    cli: Cli
    made: Any

    @property
    def card(self) -> str:
        return deployment_card(self.made.config).to_text()

    def kim(self, verb: str, *arguments: object, **settings: Any) -> dict[str, Any]:
        """A command of kim's that succeeds."""
        return self.cli.fine("member", verb, "kim", *arguments, **settings)

    def refused(self, verb: str, *arguments: object, **settings: Any) -> str:
        """A command of kim's that is refused; returns the code."""
        result = self.cli.here("member", verb, "kim", *arguments, "--json", **settings)
        assert result.code in (2, 3, 4), result
        return result.error

    def ways(self, *arguments: object, **settings: Any) -> dict[str, dict[str, Any]]:
        """What ``member factors`` lists, by label or else by kinds."""
        listed = self.kim("factors", *arguments, **settings)["enrolments"]
        return {way["label"] or "+".join(way["factors"]): way for way in listed}

    def opens(self, *factors: Factor, home: Path | None = None) -> bool:
        """Whether kim, unlocked by these factors, opens a record that is sealed now."""
        vault = self.made.vault
        with Agent.unlock("kim", *factors, home=home or self.cli.folder) as agent:
            agent.follow(vault.group_bundle(agent.hello()))
            sealed = vault.seal("I48.0", to=vault.group("ward"), context=DIAGNOSIS)
            request = vault.request([(DIAGNOSIS, sealed)])
            (opened,) = vault.open(request, agent.release(request))
            return opened.text().reveal() == "I48.0"


@contextmanager
def ward_here(patch: pytest.MonkeyPatch, *, keys: bool = True) -> Iterator[Ward]:
    """``keys``: the token hardens passwords and locks verifiers."""
    with memory_vault(groups={"ward": ["weber", "kim"]}) as made:
        yield _patched(patch, made, made.founding.folder, keys)


@contextmanager
def ward_on_softhsm(patch: pytest.MonkeyPatch, folder: Path, uri: str) -> Iterator[Ward]:
    """The same on a real token, with weber alone in the group."""
    config, writer = found_on_softhsm(folder, uri)
    with Vault(
        config,
        SqlStore.connect(config.store_url),
        lambda: connect_token(config),
        pins=FilePins(config.pins),
        writer=writer,
    ) as vault:
        founding = Founding(vault, folder, writer)
        rules = Policy(
            outer_suites=config.accept, exceptions=frozenset({SCRAM_ALONE, SOLE_PASSKEY})
        )
        founding.group("ward", rules, [founding.member("weber")])
        yield _patched(patch, _OnToken(config, vault, founding), folder, True)


@dataclass
class _OnToken:
    config: Config
    vault: Vault
    founding: Founding


def _patched(patch: pytest.MonkeyPatch, made: Made, folder: Path, keys: bool) -> Ward:
    vault = made.vault
    if keys:
        for add in (add_hardening_key, add_verifier_key):
            add(vault.store, vault.token, vault.config, now=made.founding.clock())
        vault.read_directory_again()

    @contextmanager
    def opened(_terminal: object) -> Iterator[object]:
        yield vault

    for module in MODULES:
        patch.setattr(f"twinlock.cli.{module}.vault", opened)
    env = {"TWINLOCK_CONFIG": "twinlock.toml", "TWINLOCK_HOME": str(folder)}
    return Ward(Cli(folder, env), made)


def code_on(page: str) -> str:
    """The code that a printed page shows."""
    return "".join(page.splitlines()[2:4]).replace(" ", "")
