"""The demo's world: a token, a store, four people, three groups."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twinlock.agent.agent import Agent
from twinlock.agent.arrival import Arrival
from twinlock.agent.factors import DeviceKey, Passphrase, Password
from twinlock.agent.member import create_member
from twinlock.cli.softhsm import make_softhsm_token
from twinlock.core.deployment import DeploymentCard
from twinlock.core.factors import EnrollableFactor, Factor
from twinlock.core.membership import Policy, Role
from twinlock.core.secret import Secret
from twinlock.server.config import Config, accept_suites
from twinlock.server.groups import Group
from twinlock.server.own_services import VaultHardening
from twinlock.server.setup import (
    add_hardening_key,
    add_verifier_key,
    connect_token,
    create_writer_key,
    deployment_card,
    found_deployment,
    outer_suites,
    write_config,
    writer_of,
)
from twinlock.server.vault import Vault
from twinlock.store.sql import SqlStore

SUITES: Final = ("rsa-oaep", "token-aes")
_PASSPHRASE: Final = "the demo's passphrase, four words"  # noqa: S105 - a member of the demo


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Everything that the demo plays with."""

    folder: Path
    config: Config
    vault: Vault
    weber: Agent
    kim: Agent
    noor: Agent
    lena: Agent
    ward: Group
    emergency: Group
    data_office: Group

    @property
    def pin(self) -> Secret:
        """The token's PIN, as a thief would find it on the server."""
        return Secret((self.folder / "pin").read_bytes().strip())

    @property
    def card(self) -> DeploymentCard:
        """What pins the token on an empty computer; it comes from outside the server."""
        return deployment_card(self.config)

    def device_key(self, name: str) -> DeviceKey:
        """Return the key file that a member was made with."""
        return DeviceKey(self.folder.resolve() / "members" / f"{name}.key")

    def password(self, name: str, text: str) -> Password:
        """Return a password as somebody types it, who says to be this member."""
        service = VaultHardening(self.vault, name.encode())
        return Password(text, deployment=self.card, service=service)

    def arrive(self, name: str, *factors: Factor) -> Arrival:
        """Fetch a member's way in and unlock it on a computer that knows nothing yet.

        Raises ``factor.wrong``, for names that are nobody's too.
        """
        bundle = self.vault.members.bundle(name, {factor.kind for factor in factors})
        return Arrival.begin(bundle, factors, deployment=self.card)

    def agent_of(self, arrival: Arrival) -> Agent:
        """Fetch the rest and return the member's agent, which lives in memory alone."""
        agent = arrival.agent(self.vault.members.full_bundle(arrival.ask()))
        agent.follow(self.vault.group_bundle(agent.hello()))
        return agent

    def everyone_follows(self) -> None:
        """Let every member's agent verify what happened in its groups."""
        for agent in (self.weber, self.kim, self.noor, self.lena):
            agent.follow(self.vault.group_bundle(agent.hello()))


def build_world(folder: Path) -> DemoWorld:
    """Make the world in ``folder``, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = _found(folder)
    vault = Vault.connect(folder / "twinlock.toml")
    weber, kim, noor, lena = (_member(config, name) for name in ("weber", "kim", "noor", "lena"))
    policy, writer = Policy(outer_suites=config.accept), writer_of(config)

    def group(name: str, admin: Agent, *others: Agent) -> Group:
        # In the demo all members are created on one machine, so cards need no invitation.
        cards = [(other.card(), Role.MEMBER) for other in others]
        for proposal in admin.admin.found(name, policy, others=cards, writers=[writer]):
            vault.append(proposal)
        admin.follow(vault.group_bundle(admin.hello()))
        for other in others:
            other.card(admin.admin.invite(vault.group(name).group_id))
        return vault.group(name)

    ward = group("ward", weber, kim, lena)
    emergency = group("emergency", noor, weber)
    data_office = group("data-office", lena, noor)
    world = DemoWorld(folder, config, vault, weber, kim, noor, lena, ward, emergency, data_office)
    world.everyone_follows()
    return world


def _found(folder: Path) -> Config:
    token = make_softhsm_token(folder, "twinlock-demo")
    draft = Config(
        folder=folder.resolve(),
        deployment_id=b"",
        identity=b"",
        production=False,
        token_uri=token.uri,
        token_profile=None,
        token_reserved=None,
        pin_file=token.pin_file.resolve(),
        pin_env=None,
        sessions=4,
        store_url=f"sqlite:///{folder.resolve() / 'store.db'}",
        seal_suite="rsa-oaep",
        accept=accept_suites(list(SUITES)),
        writer_name="clinic application",
        writer_key=folder.resolve() / "writer.key",
        pins=folder.resolve() / "pins",
    )
    store = SqlStore.connect(draft.store_url, create=True)
    connected = connect_token(draft)
    config = found_deployment(draft, store, connected, suites=outer_suites(SUITES, connected))
    add_hardening_key(store, connected, config, now=int(time.time()))
    add_verifier_key(store, connected, config, now=int(time.time()))
    connected.close()
    store.close()
    create_writer_key(config.writer_key)
    write_config(folder / "twinlock.toml", config)
    return config


def _member(config: Config, name: str) -> Agent:
    home = config.folder / "members"
    key = DeviceKey.create(home / f"{name}.key")
    factors: list[EnrollableFactor] = [key]
    if name == "weber":
        factors.append(Passphrase(_PASSPHRASE))
    create_member(name, factors, deployment=deployment_card(config), home=home)
    return Agent.unlock(name, *factors, home=home)
