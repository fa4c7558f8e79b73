"""A member with contacts, in a group of her own: who is asked when she loses everything.

Pia is the member, Kim the group's admin; Eve, Olga and Weber are the contacts, of whom two are
needed. ``Round`` is one recovery with a device, whoever sits before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from attacks.building import group
from attacks.world import World
from twinlock.agent.agent import Agent
from twinlock.agent.aiding import Aiding
from twinlock.agent.contacts import choose_contacts
from twinlock.agent.home import FileHome
from twinlock.agent.new_device import NewDevice, contacts_enrolment
from twinlock.agent.recovering import FromServer, recover
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay
from twinlock.core.contacts.messages import Opening
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.membership import Policy
from twinlock.core.request import Hello
from twinlock.sharing.shamir import Shamir

MEMBER: Final = "pia"
ADMIN: Final = "kim"
CONTACTS: Final = ("eve", "olga", "weber")
EVERYBODY: Final = (ADMIN, MEMBER, *CONTACTS)
GROUP: Final = "staff"
NEEDED: Final = 2
HOUR: Final = 3600
DAY: Final = 24 * HOUR
SHARING: Final = Shamir()


@dataclass(slots=True)
class Staff:
    """The group, with Pia's contacts chosen and her enrolment kept at the server."""

    world: World

    @classmethod
    def gather(cls, world: World) -> Staff:
        """Found the group, choose contacts, follow."""
        policy = Policy(outer_suites=world.config.accept)
        group(world, GROUP, policy, *EVERYBODY)
        staff = cls(world)
        staff.follow()
        chosen = choose_contacts(
            staff.agent(MEMBER).admin,
            staff.group_id,
            [staff.id_of(name) for name in CONTACTS],
            needed=NEEDED,
            sharing=SHARING,
        )
        staff.agent(MEMBER).ways.enrol(
            NewWay([chosen], "contacts"), send=world.vault.members.accept
        )
        staff.follow()
        return staff

    @property
    def group_id(self) -> bytes:
        """The group in which a recovery of Pia's is announced."""
        return self.world.groups[GROUP].group_id

    def agent(self, name: str) -> Agent:
        """A person's agent."""
        return self.world.agents[name]

    def aid(self, name: str) -> Aiding:
        """A contact's verbs."""
        return Aiding.of(self.agent(name))

    def id_of(self, name: str) -> bytes:
        """A person's member id."""
        return self.agent(name).member_id

    def follow(self) -> None:
        """Let everybody take the news."""
        self.world.follow(*EVERYBODY)

    def news(self, name: str) -> bytes:
        """The news that an honest server has for a person."""
        return self.world.vault.group_bundle(self.agent(name).hello())

    def from_server(self) -> FromServer:
        """All that is kept of Pia: whoever has the database has it."""
        member_id = self.id_of(MEMBER)
        deployment = self.world.config.deployment_id
        hello = Hello(deployment, member_id, bytes(32), bytes(32), (), "program")
        return FromServer(
            self.world.vault.members.everything(member_id),
            self.world.vault.group_bundle(hello.encode()),
        )

    def enrolment(self) -> bytes:
        """Pia's enrolment with contacts."""
        return contacts_enrolment(decode_member_bundle(self.from_server().member))

    def begin(self, enrolment: bytes | None = None) -> Round:
        """A device begins a recovery of Pia's. Nothing has to be known for it."""
        device = NewDevice.begin(
            MEMBER, enrolment or self.enrolment(), lambda _: None, clock=self.world.clock
        )
        return Round(self, device)


@dataclass(slots=True)
class Round:
    """One device's recovery."""

    staff: Staff
    device: NewDevice
    codes: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """Its name in the log."""
        return self.device.digest

    def reply(self, name: str) -> bytes:
        """Have a contact reply."""
        return self.staff.aid(name).reply(self.device.ask.encode()).reply

    def opening(self, name: str) -> bytes:
        """What the device opens to a contact."""
        nonce = next(a.nonce for a in self.device.asked if a.contact_id == self.staff.id_of(name))
        return Opening(self.digest, self.staff.id_of(name), nonce).encode()

    def confirm(self, name: str, followers: Sequence[str] = EVERYBODY) -> None:
        """A contact and the person before the device read their codes to each other."""
        opened = self.device.open(self.reply(name))
        done = self.staff.aid(name).confirm(opened.opening, opened.code)
        self.codes[name] = done.code
        if done.notice is not None:
            self.staff.world.vault.append(done.notice)
            self.staff.world.follow(*followers)

    def share(self, name: str, news: bytes | None = None) -> bytes:
        """Ask a contact's agent for the share."""
        told = self.staff.news(name) if news is None else news
        return self.staff.aid(name).share(self.digest, told)

    def recover(self, code: RecoveryCode, server: FromServer | None = None) -> bytes:
        """Put the shares together, and make new keys."""
        world = self.staff.world
        return recover(
            self.device,
            server or self.staff.from_server(),
            [NewWay([code], "paper")],
            FileHome(state_path(self.home, MEMBER)),
            sharing=SHARING,
            clock=world.clock,
        )

    @property
    def home(self) -> Path:
        """The new device's folder."""
        home = self.staff.world.folder / "devices" / f"new-{self.digest.hex()[:8]}"
        home.mkdir(exist_ok=True)
        return home
