"""Deployments for tests of the server: on SoftHSM and an SQLite file, or in memory."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.token.rigs import PIN
from twinlock import Context, Vault
from twinlock.agent.agent import Agent
from twinlock.core.membership import Policy
from twinlock.core.primitives import Kem, SigningKey
from twinlock.server.config import Config, accept_suites
from twinlock.server.groups import Group
from twinlock.server.opened import Opened
from twinlock.server.pins import FilePins, MemoryPins
from twinlock.server.records import Stored
from twinlock.server.requests import Request
from twinlock.server.setup import (
    connect_token,
    create_writer_key,
    found_deployment,
    outer_suites,
    write_config,
)
from twinlock.store.sql import SqlStore
from twinlock.testing import MemoryClock, MemoryMember, memory_vault
from twinlock.testing.deployment import GROUPS
from twinlock.testing.founding import Founding

SUITES = ("rsa-oaep", "token-aes")
DIAGNOSIS = Context(table="patient", record="4711", column="diagnosis", version=3)
PATIENT = Context(table="patient", record="4711", version=3)
LETTER = Context(table="letter", record=17, column="content")


@dataclass
class World:
    """A deployment with members; ``another_vault`` connects as another process would."""

    config: Config
    vault: Vault
    founding: Founding
    clock: MemoryClock
    groups: Mapping[str, Group]
    members: Mapping[str, MemoryMember]
    another_vault: Callable[[], Vault]

    @property
    def ward(self) -> Group:
        return self.groups["cardiology"]

    @property
    def weber(self) -> MemoryMember:
        return self.members["weber"]

    @property
    def kim(self) -> MemoryMember:
        return self.members["kim"]

    @property
    def officer(self) -> MemoryMember:
        return self.members["officer"]

    def asked(self, *items: tuple[Context, Stored], purpose: str = "") -> Request:
        return self.vault.request(items, purpose=purpose)

    def asked_for(self, text: str = "I48.0", suite: str = "rsa-oaep") -> Request:
        """A request for one fresh value of the ward's."""
        sealed = self.vault.seal(text, to=self.ward, context=DIAGNOSIS, suite=suite)
        return self.asked((DIAGNOSIS, sealed))

    def opened(self, request: Request, member: MemoryMember | None = None) -> list[Opened]:
        return self.vault.open(request, (member or self.kim).release(request))


@contextmanager
def world_in_memory(
    *,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    policy: Policy | None = None,
    kem: Kem = Kem.DHKEM_P256,
) -> Iterator[World]:
    clock = MemoryClock()
    with memory_vault(groups=groups, policy=policy, kem=kem, clock=clock) as made:
        founding = made.founding

        def another() -> Vault:
            pins = MemoryPins()
            for pin in made.vault._groups._pins.all().values():
                pins.advance(pin)
            return Vault(
                made.config,
                made.vault.store,
                made.token.reconnect,
                pins=pins,
                writer=founding.writer,
                clock=clock,
            )

        yield World(made.config, made.vault, founding, clock, made.groups, made.members, another)


def draft_config(folder: Path, uri: str) -> Config:
    """A configuration before its deployment is founded, with the PIN in a file."""
    pin = folder / "pin"
    pin.write_bytes(PIN.reveal())
    pin.chmod(0o600)
    return Config(
        folder=folder,
        deployment_id=b"",
        identity=b"",
        production=True,
        token_uri=uri,
        token_profile=None,
        token_reserved=None,
        pin_file=pin,
        pin_env=None,
        sessions=8,
        store_url=f"sqlite:///{folder}/store.db",
        seal_suite="rsa-oaep",
        accept=accept_suites(list(SUITES)),
        writer_name="application",
        writer_key=folder / "writer.key",
        pins=folder / "pins",
    )


def found_on_softhsm(folder: Path, uri: str) -> tuple[Config, SigningKey]:
    """Found a deployment without groups; ``twinlock.toml`` lies in ``folder`` afterwards."""
    draft = draft_config(folder, uri)
    with SqlStore.connect(draft.store_url, create=True) as store:
        token = connect_token(draft)
        suites = outer_suites(SUITES, token)
        config = found_deployment(draft, store, token, suites=suites, rsa_bits=2048)
        token.close()
    write_config(folder / "twinlock.toml", config)
    return config, create_writer_key(config.writer_key)


@contextmanager
def world_on_softhsm(
    folder: Path,
    uri: str,
    *,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    policy: Policy | None = None,
) -> Iterator[World]:
    config, writer = found_on_softhsm(folder, uri)
    clock = MemoryClock()

    def connect() -> Vault:
        return Vault(
            config,
            SqlStore.connect(config.store_url),
            lambda: connect_token(config),
            pins=FilePins(config.pins),
            writer=writer,
            clock=clock,
        )

    with connect() as vault:
        founding = Founding(vault, folder, writer, clock=clock)
        names = dict.fromkeys(name for names in groups.values() for name in names)
        agents: dict[str, Agent] = {name: founding.member(name) for name in names}
        rules = policy or Policy(outer_suites=config.accept)
        made = {
            name: founding.group(name, rules, [agents[n] for n in members])
            for name, members in groups.items()
        }
        members = {name: MemoryMember(agent, []) for name, agent in agents.items()}
        yield World(config, vault, founding, clock, made, members, connect)


def copy_of(config: Config, folder: Path) -> Config:
    """The same deployment with its files copied, as on another machine or from a backup."""
    for name in ("store.db", "pins", "writer.key", "pin"):
        if (config.folder / name).exists():
            shutil.copy(config.folder / name, folder / name)
    return dataclasses.replace(
        config,
        folder=folder,
        store_url=f"sqlite:///{folder}/store.db",
        pins=folder / "pins",
        writer_key=folder / "writer.key",
        pin_file=folder / "pin",
    )
