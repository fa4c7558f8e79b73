"""Members whose ways in are kept at the server, as its own verbs store and change them.

What is worth nothing to a guesser lies in the database; the rest stays on members' machines. The
server decides that, not this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attacks.factor_accounts import Accounts
from twinlock.agent.agent import Agent
from twinlock.agent.factors import Password
from twinlock.agent.home import FileHome
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.renewal import renew
from twinlock.agent.revocation import finish_revocation
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.factors import EnrollableFactor
from twinlock.core.factors.password import take_password_parameters
from twinlock.core.member_change import Login
from twinlock.server.rotation import retire

if TYPE_CHECKING:
    from attacks.powers import Snapshot

_DAY = 86400


class Kept:
    """Accounts that are members of the ward, with their agents unlocked."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.world = accounts.world
        self.agents: dict[str, Agent] = {}

    def enter(
        self, name: str, *factors: EnrollableFactor, logins: Sequence[Login] = ()
    ) -> Enrolment:
        """Become a member, be taken into the ward, and have kept what may be kept.

        A printed recovery code goes with it, as a second way in. Returns the first.
        """
        made = self.accounts.join(name, *factors)
        agent = self.agents[name] = self.accounts.unlock(name)
        weber, ward = self.world.agents["weber"], self.world.groups["ward"].group_id
        card = agent.card(weber.admin.invite(ward))
        self.world.vault.append(weber.admin.add(ward, card))
        self.world.follow("weber")
        self._follow(name)
        code, _ = RecoveryCode.create()
        agent.ways.enrol(
            NewWay([code], "paper"),
            logins=[*logins, *_split(factors, made)],
            send=self.world.vault.members.accept,
        )
        return made

    def change(self, name: str, *factors: EnrollableFactor) -> None:
        """Make the first way in anew, with these factors instead."""
        ways = self.agents[name].ways
        old, *_ = ways.all()
        ways.enrol(
            NewWay(factors, "changed"),
            instead_of=old.listed.enrolment_id,
            logins_of=lambda made: _split(factors, made),
            send=self.world.vault.members.accept,
        )

    def revoke(self, name: str, *factors: EnrollableFactor) -> None:
        """Make new member keys, with these factors as the only way in."""
        self._follow(name)
        change = self.agents[name].ways.revoke([NewWay(factors, "after")])
        self.world.vault.members.accept(change)
        agent = self.agents[name]
        news = self.world.vault.group_bundle(agent.hello())
        kept = FileHome(state_path(self.accounts.home(name), name))
        self.agents[name] = finish_revocation(kept, factors, news, clock=self.world.clock)
        self.world.follow("weber")

    def rotate(self, name: str, *factors: EnrollableFactor) -> None:
        """Retire the hardening key of a member's password; the agent makes its way in anew."""
        kids = [
            take_password_parameters(dict(enrolment.factors)["password"])[0]
            for enrolment in self.agents[name].ways.state.enrolments
            if "password" in enrolment.kinds
        ]
        retire(self.world.vault, kids[0], until=self.world.clock() + _DAY)
        if not renew(self.agents[name], factors, send=self.world.vault.members.accept):
            raise LookupError("the password moved to no other hardening key")

    def new_epoch(self) -> None:
        """Begin another epoch of the ward."""
        weber, ward = self.world.agents["weber"], self.world.groups["ward"].group_id
        self.world.vault.append(weber.admin.new_epoch(ward))
        self.world.follow("weber")

    def enrolments_in(self, snapshot: Snapshot, name: str) -> list[Enrolment]:
        """Return a member's enrolments that whoever has a snapshot finds there."""
        member_id = self.agents[name].member_id
        rows = snapshot.tables["twinlock_enrolments"]
        return [decode_enrolment(r["blob"]) for r in rows if r["member_id"] == member_id]

    def _follow(self, name: str) -> None:
        agent = self.agents[name]
        agent.follow(self.world.vault.group_bundle(agent.hello()))


def _split(factors: Sequence[EnrollableFactor], made: Enrolment) -> list[Login]:
    """What split login compares with, where there is a password."""
    for factor in factors:
        if isinstance(factor, Password):
            verifier = factor.new_login(made)
            return [Login("split", verifier)]
    return []
