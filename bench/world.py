"""The deployment that is measured: SoftHSM, SQLite, RSA-2048, one group of two members.

RSA-2048 because the design that Twinlock is compared with uses it; the default for real
deployments is RSA-3072, whose private-key operation takes about three times as long in any design.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from twinlock.agent.agent import Agent, Release
from twinlock.agent.factors import DeviceKey
from twinlock.agent.member import create_member
from twinlock.cli.softhsm import make_softhsm_token
from twinlock.core.context import Context
from twinlock.core.membership import Policy
from twinlock.core.ports import TokenKey
from twinlock.server.config import Config, accept_suites
from twinlock.server.groups import Group
from twinlock.server.pins import FilePins
from twinlock.server.records import Stored
from twinlock.server.requests import Request
from twinlock.server.setup import (
    connect_token,
    create_writer_key,
    deployment_card,
    found_deployment,
    outer_suites,
    read_writer_key,
    writer_of,
)
from twinlock.server.vault import Vault
from twinlock.store.sql import SqlStore
from twinlock.token.pkcs11_token import Pkcs11Token

SUITES: Final = ("rsa-oaep", "token-aes")
TOKEN_LABEL: Final = "bench"
RECORDS: Final = 100
RECORD_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class World:
    """A deployment in a folder, one vault on it, and the agent that answers."""

    folder: Path
    config: Config
    vault: Vault
    agent: Agent
    group: Group

    @property
    def token(self) -> Pkcs11Token:
        """The vault's token."""
        token = self.vault.token
        if not isinstance(token, Pkcs11Token):
            raise TypeError("the benchmark runs on a PKCS#11 token")
        return token

    def key(self, suite: str) -> TokenKey:
        """The current wrapping key of a suite."""
        return next(
            e.key
            for e in self.vault.directory.entries
            if e.key.suite is not None and bool(e.key.public) == (suite == "rsa-oaep")
        )

    def sealed(
        self, suite: str, count: int = RECORDS, size: int = RECORD_SIZE
    ) -> list[tuple[Context, Stored]]:
        """Seal fresh records."""
        items: list[tuple[Context, Stored]] = []
        for number in range(count):
            context = Context(table="bench", column="value", record=number)
            value = os.urandom(size)
            items.append(
                (context, self.vault.seal(value, to=self.group, context=context, suite=suite))
            )
        return items


def make_world(folder: Path, *, sessions: int = 1) -> World:
    """Make everything in an empty folder."""
    token = make_softhsm_token(folder, TOKEN_LABEL)
    config = Config(
        folder=folder,
        deployment_id=b"",
        identity=b"",
        production=False,
        token_uri=token.uri,
        token_profile=None,
        token_reserved=None,
        pin_file=token.pin_file,
        pin_env=None,
        sessions=sessions,
        store_url=f"sqlite:///{folder / 'store.db'}",
        seal_suite="rsa-oaep",
        accept=accept_suites(list(SUITES)),
        writer_name="bench",
        writer_key=folder / "writer.key",
        pins=folder / "pins",
    )
    store = SqlStore.connect(config.store_url, create=True)
    connected = connect_token(config)
    suites = outer_suites(SUITES, connected)
    config = found_deployment(config, store, connected, suites=suites, rsa_bits=2048)
    connected.close()
    store.close()
    create_writer_key(config.writer_key)
    vault = Vault.connect(config)
    agent = _member(config, "weber")
    for proposal in agent.admin.found(
        "bench", Policy(outer_suites=config.accept), writers=[writer_of(config)]
    ):
        vault.append(proposal)
    agent.follow(vault.group_bundle(agent.hello()))
    return World(folder, config, vault, agent, vault.group("bench"))


def _member(config: Config, name: str) -> Agent:
    key = DeviceKey.create(config.folder / f"{name}.key")
    create_member(name, [key], deployment=deployment_card(config))
    return Agent.unlock(name, key, budget_per_hour=10**9)


@contextmanager
def another_vault(world: World, *, sessions: int, module: str = "") -> Iterator[Vault]:
    """A vault on the same deployment with its own connection to the token."""
    uri = world.config.token_uri
    if module:
        uri = f"pkcs11:token={TOKEN_LABEL}?module-path={module}"
    config = replace(world.config, sessions=sessions, token_uri=uri)
    vault = Vault(
        config,
        SqlStore.connect(config.store_url),
        lambda: connect_token(config),
        pins=FilePins(config.pins),
        writer=read_writer_key(config.writer_key),
    )
    try:
        yield vault
    finally:
        vault.close()


def open_all(vault: Vault, agent: Agent, items: Sequence[tuple[Context, Stored]]) -> float:
    """Ask, release and open; return the seconds that opening took. Fails if anything did."""
    request = vault.request(items)
    return timed_open(vault, request, agent.release(request))


def timed_open(vault: Vault, request: Request, release: Release) -> float:
    """Open; return the seconds that it took. Fails if a record did."""
    began = time.perf_counter()
    opened = vault.open(request, release)
    seconds = time.perf_counter() - began
    for record in opened:
        record.data()
    return seconds
