"""What happens to one member with one way in, from the first day to the loss of everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.server.factor_matrix import BY_NAME, HERE, LATER, Row
from tests.server.factor_things import CONTACTS, SHARING, THINGS, Person, Scene, Thing, kind_of
from tests.server.world import DIAGNOSIS
from twinlock.agent.agent import Agent
from twinlock.agent.aiding import Aiding
from twinlock.agent.arrival import Arrival
from twinlock.agent.home import FileHome
from twinlock.agent.keys import GroupKeys
from twinlock.agent.member import create_member
from twinlock.agent.new_device import NewDevice, contacts_enrolment
from twinlock.agent.recovering import FromServer, recover
from twinlock.agent.revocation import finish_revocation
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Factor
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.member_change import Login
from twinlock.core.request import Hello, decode_group_bundle
from twinlock.errors import TwinlockError
from twinlock.server.records import Sealed
from twinlock.server.setup import deployment_card

DAY = 86400

WRONG = {"passkey": "passkey.other-credential", "smart-card": "card.key-missing"}
"""How a thing that is another one shows before the enrolment is tried; all others do not."""

REFUSED = {"password": "login.refused", "scram": "scram.downgrade"}
"""How a server, or the agent that it speaks to, ends a sign-in with what was changed."""


def code_of(call: Callable[..., object], *arguments: object, **named: object) -> str:
    """The code of the error that a call ends with, or an empty string."""
    try:
        call(*arguments, **named)
    except TwinlockError as error:
        return error.code
    return ""


def wrong_code(names: Sequence[str]) -> str:
    """The one error for things of these names, if all of them are others."""
    own = (WRONG[kind] for kind in sorted(map(kind_of, names)) if kind in WRONG)
    return next(own, "factor.wrong")


def factors_of(things: Sequence[Thing]) -> list[Factor]:
    return [thing.factor() for thing in things]


@dataclass
class Life:
    """One member. ``have`` is the way in of the row, ``spare`` the other one."""

    scene: Scene
    row: Row
    folder: Path
    have: list[Thing] = field(default_factory=list)
    spare: list[Thing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = self.scene.world
        self.accept = self.world.vault.members.accept
        self.card = deployment_card(self.world.config)
        self.group = self.scene.lenient if self.row.lenient else self.scene.group
        self.record = self.scene.lenient_record if self.row.lenient else self.scene.record
        cards = tuple(self.scene.cards)
        self.person = Person(self.scene, self.scene.name("member"), self.folder, cards)

    @property
    def name(self) -> str:
        return self.person.name

    def things(self, *names: str) -> list[Thing]:
        return [THINGS[name](self.person) for name in names]

    # --- the first day ------------------------------------------------------------------------

    def enrol(self) -> None:
        """Become a member of the group, with the row's way in and another one."""
        if self.row.made == LATER:
            self.spare = self.things(self.row.back)
            self._begin(self.spare, "back")
            self.have = self.things(*self.row.things)
            self.add(self.have, "first")
            return
        self.have = self.things(*self.row.things)
        if self.row.back == "contacts":
            self._begin(self.have, "first")
            self.spare = self.things(self.row.back)
            self.add(self.spare, "back")
        else:
            self.spare = self.things(self.row.back)
            self._begin(self.have, "first", NewWay(enrolling(self.spare), "back"))

    def _begin(self, things: Sequence[Thing], label: str, *also: NewWay) -> None:
        create_member(
            self.name,
            enrolling(things),
            label=label,
            also=also,
            deployment=self.card,
            home=self.folder,
            clock=self.world.clock,
        )
        agent = self.person.agent = self.unlocked(self.spare or things)
        admin = self.scene.agent("weber")
        self.scene.follow(admin)
        self.world.founding.add(self.group, admin, agent)
        agent.ways.publish(send=self.accept)

    def add(self, things: Sequence[Thing], label: str, instead_of: bytes | None = None) -> None:
        """Make a way in, or change one, with what signs in by it."""
        agent = self.agent
        self.scene.follow(agent)
        agent.ways.enrol(
            NewWay(enrolling(things), label),
            instead_of=instead_of,
            logins_of=lambda enrolment: logins_of(things, enrolment),
            send=self.accept,
            **self._scram_alone,
        )

    @property
    def _scram_alone(self) -> dict[str, bool]:
        return {"scram_alone": True} if self.row.lenient else {}

    # --- opening ------------------------------------------------------------------------------

    @property
    def agent(self) -> Agent:
        assert self.person.agent is not None
        return self.person.agent

    def unlocked(self, things: Sequence[Thing], home: Path | None = None) -> Agent:
        return self.unlocked_by(factors_of(things), home)

    def unlocked_by(self, factors: Sequence[Factor], home: Path | None = None) -> Agent:
        return Agent.unlock(self.name, *factors, home=home or self.folder, clock=self.world.clock)

    def enrolment_of(self, agent: Agent, label: str) -> Enrolment:
        """The enrolment of a label, as an unlocked agent knows it."""
        (found,) = [
            enrolment
            for way in agent.ways.all()
            for enrolment in agent.ways.state.enrolments
            if way.listed.label == label and enrolment.enrolment_id == way.listed.enrolment_id
        ]
        return found

    def opens(self, agent: Agent, record: Sealed | None = None) -> str:
        """What a record says: by default the one that all members of all rows open."""
        self.scene.follow(agent)
        request = self.world.asked((DIAGNOSIS, self.record if record is None else record))
        (opened,) = self.world.vault.open(request, agent.release(request))
        return opened.text().reveal()

    def with_one_other(self, at: int) -> list[Factor]:
        """The factors of the way in, one of them somebody else's."""
        factors = factors_of(self.have)
        factors[at] = self.other(self.row.things[at]).factor()
        return factors

    def other(self, name: str) -> Thing:
        """Another thing of a kind, that nothing was enrolled with."""
        return THINGS[name](replace(self.person, cards=(self.scene.nobodys_card,)))

    # --- another computer ---------------------------------------------------------------------

    def bundle(self, names: Sequence[str] = ()) -> bytes:
        """What the server hands out before anything is unlocked."""
        members = self.world.vault.members
        if names or self.row.kept in (BY_NAME, HERE):
            return members.bundle(self.name, map(kind_of, names or self.row.things))
        return members.everything(self.agent.member_id)

    def arrival(self, things: Sequence[Thing], names: Sequence[str] = ()) -> Arrival:
        return Arrival.begin(
            self.bundle(names), factors_of(things), deployment=self.card, clock=self.world.clock
        )

    def arrives(self, arrival: Arrival, home: Path | None = None) -> Agent:
        """Come to a computer that knows the deployment's card and nothing else."""
        full = self.world.vault.members.full_bundle(arrival.ask())
        kept = None if home is None else FileHome(state_path(home, self.name))
        return arrival.agent(full, kept=kept)

    # --- changing and revoking ----------------------------------------------------------------

    def change(self) -> list[Thing]:
        """Go on with other values of the same kinds; returns the former ones."""
        former, self.have = self.have, self.things(*self.row.things)
        before = self.enrolment_of(self.agent, "first").enrolment_id
        self.add(self.have, "first", instead_of=before)
        return former

    def revoke(self, home: Path, *names: str) -> Agent:
        """Make new keys, with new things as the only ways in: those of the row, and a spare one.

        ``names``: other things than the row's, and then no spare one.
        """
        self.scene.follow(self.agent)
        self.have = self.things(*(names or self.row.things))
        ways = [NewWay(enrolling(self.have), "first")]
        if not names:
            self.spare = self.things(self.row.back)
            ways.append(NewWay(enrolling(self.spare), "back"))
        kinds = set(map(kind_of, names or self.row.things))
        change = self.agent.ways.revoke(
            ways,
            logins_of=lambda e: logins_of(self.have, e) if set(e.kinds) == kinds else [],
            **self._scram_alone,
        )
        self.accept(change)
        return self.finish(home, self.spare if "contacts" in kinds else self.have)

    def finish(self, home: Path, things: Sequence[Thing]) -> Agent:
        """Put the new keys in the place of the old ones, opened by one of the new ways in."""
        kept = FileHome(state_path(home, self.name))
        factors = factors_of(things)
        self.person.agent = finish_revocation(kept, factors, self.groups(), clock=self.world.clock)
        return self.agent

    def groups(self) -> bytes:
        """The server's news for this member, as an operator can ask for it."""
        hello = Hello(
            self.world.config.deployment_id,
            self.agent.member_id,
            bytes(32),
            bytes(32),
            (),
            "program",
        )
        return self.world.vault.group_bundle(hello.encode())

    def stolen(self) -> Path:
        """A copy of everything that the member's computer keeps."""
        folder = self.folder / self.scene.name("stolen")
        folder.mkdir()
        shutil.copy(state_path(self.folder, self.name), folder)
        return folder

    # --- contacts -----------------------------------------------------------------------------

    def ask_contacts(self) -> NewDevice:
        """A new device asks two contacts: voices, the notice, a day of waiting, the shares."""
        vault, clock = self.world.vault, self.world.clock
        shown = decode_member_bundle(vault.members.everything(self.agent.member_id))
        kept: list[bytes] = []
        device = NewDevice.begin(self.name, contacts_enrolment(shown), kept.append, clock=clock)
        codes = {name: self._confirm(device, name) for name in CONTACTS[:2]}
        clock.forward(DAY)
        for name, code in codes.items():
            agent = self.scene.agent(name)
            news = vault.group_bundle(agent.hello())
            device.accept(Aiding.of(agent).share(device.digest, news), code)
        return NewDevice.resume(kept[-1], kept.append)

    def _confirm(self, device: NewDevice, name: str) -> str:
        agent = self.scene.agent(name)
        self.scene.follow(agent)
        aid = Aiding.of(agent)
        opened = device.open(aid.reply(device.ask.encode()).reply)
        done = aid.confirm(opened.opening, opened.code)
        if done.notice is not None:
            self.world.vault.append(done.notice)
            for contact in CONTACTS:
                self.scene.follow(self.scene.agent(contact))
        return done.code

    def recover(
        self, device: NewDevice, home: Path, ways: Sequence[NewWay], factors: Sequence[Factor]
    ) -> bytes:
        """Put the shares together on a new device; returns the change that makes new keys."""
        everything = self.world.vault.members.everything(self.agent.member_id)
        return recover(
            device,
            FromServer(everything, self.groups()),
            ways,
            FileHome(state_path(home, self.name)),
            sharing=SHARING,
            factors=factors,
            clock=self.world.clock,
        )


def enrolling(things: Sequence[Thing]) -> list[Any]:
    return [thing.enrolling() for thing in things]


def sign_in(things: Sequence[Thing], enrolment: Enrolment) -> list[str]:
    """Sign in with each thing that can; returns how each ended."""
    return [
        code_of(thing.signs_in, enrolment, factors_of([t for t in things if t is not thing]))
        for thing in things
    ]


def logins_of(things: Sequence[Thing], enrolment: Enrolment) -> list[Login]:
    return [login for thing in things for login in thing.logins(enrolment)]


def tries_the_newest_key(old: Agent, renewed: Agent, bundle: bytes) -> set[str]:
    """How it ends to open, with a member's old keys, what the server now sends for the member.

    What a changed agent of a thief's would do. One code for each group's newest epoch.
    """
    keys = GroupKeys(old.member_id, old.ways.keys)
    keys.receive(decode_group_bundle(bundle).keys)
    return {code_of(keys.key, known, max(known.state.epochs)) for known in renewed.groups}
