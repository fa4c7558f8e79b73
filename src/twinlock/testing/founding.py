"""Founding groups and making members the way administrators do, for any vault under test."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.agent.member import create_member
from twinlock.core.membership import Policy, Role, Writer
from twinlock.core.ports import Clock, Randomness
from twinlock.core.primitives import Kem, SigningKey
from twinlock.server.groups import Group
from twinlock.server.setup import deployment_card
from twinlock.server.vault import Vault


@dataclass(frozen=True, slots=True)
class Founding:
    """Makes members, whose files lie in ``folder``, and groups that accept ``writer``."""

    vault: Vault
    folder: Path
    writer: SigningKey
    kem: Kem = Kem.DHKEM_P256
    clock: Clock = lambda: int(time.time())
    randomness: Randomness = os.urandom

    def member(self, name: str) -> Agent:
        """Make a member with a device key, and return its unlocked agent."""
        key = DeviceKey.create(self.folder / f"{name}.key", randomness=self.randomness)
        card = deployment_card(self.vault.config)
        create_member(name, [key], deployment=card, kem=self.kem, randomness=self.randomness)
        return Agent.unlock(name, key, clock=self.clock, randomness=self.randomness)

    def group(self, name: str, policy: Policy, members: Sequence[Agent]) -> Group:
        """Found a group; the first member is its admin and invites and adds the others."""
        founder, *others = members
        writer = Writer(self.vault.config.writer_name, self.writer.public)
        for proposal in founder.admin.found(name, policy, writers=[writer], kem=self.kem):
            state = self.vault.append(proposal)
        self.follow(founder)
        group = Group(name, state.group_id)
        for agent in others:
            self.add(group, founder, agent)
        return group

    def add(self, group: Group, admin: Agent, newcomer: Agent, role: Role = Role.MEMBER) -> None:
        """Invite a member to a group and add it; both agents follow."""
        invitation = admin.admin.invite(group.group_id)
        card = newcomer.card(invitation)
        self.vault.append(admin.admin.add(group.group_id, card, role))
        self.follow(admin)
        self.follow(newcomer)

    def follow(self, agent: Agent) -> None:
        """Bring an agent up to date with its groups."""
        agent.follow(self.vault.group_bundle(agent.hello()))
