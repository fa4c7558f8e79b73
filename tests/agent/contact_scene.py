"""Weber and the contacts: Anna, Berta and Carl, of whom two are needed. Weber loses everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.server.world import World, world_in_memory
from twinlock.agent.agent import Agent
from twinlock.agent.aiding import Aiding
from twinlock.agent.contacts import choose_contacts
from twinlock.agent.home import FileHome
from twinlock.agent.new_device import NewDevice, contacts_enrolment
from twinlock.agent.recovering import FromServer, recover
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.primitives import Kem
from twinlock.core.request import Hello
from twinlock.errors import TwinlockError
from twinlock.sharing.shamir import Shamir

GROUPS = {"cardiology": ("kim", "weber", "anna", "berta", "carl"), "emergency": ("weber", "kim")}
CONTACTS = ("anna", "berta", "carl")
DAY = 86400
SHARING = Shamir()


@dataclass
class Ceremony:
    """One recovery under way, with what passes between device and contacts."""

    scene: Scene
    device: NewDevice
    kept: list[bytes] = field(default_factory=list)

    @property
    def digest(self) -> bytes:
        return self.device.digest

    def reply(self, name: str) -> bytes:
        return self.scene.aid(name).reply(self.device.ask.encode()).reply

    def confirm(self, name: str) -> str:
        """Both speak; the notice goes into the log. Returns what the contact reads back."""
        opened = self.device.open(self.reply(name))
        done = self.scene.aid(name).confirm(opened.opening, opened.code)
        if done.notice is not None:
            self.scene.world.vault.append(done.notice)
            self.scene.follow(*CONTACTS)
        return done.code

    def share(self, name: str) -> bytes:
        return self.scene.aid(name).share(self.digest, self.scene.news(name))

    def collect(self, *names: str) -> None:
        """Everything up to the shares of these contacts."""
        codes = {name: self.confirm(name) for name in names}
        self.scene.world.clock.forward(DAY)
        for name in names:
            self.device.accept(self.share(name), codes[name])

    def recover(self, folder: Path, *ways: NewWay) -> bytes:
        return recover(
            self.device,
            self.scene.from_server(),
            ways,
            FileHome(state_path(folder, "weber")),
            sharing=SHARING,
            clock=self.scene.world.clock,
        )


@dataclass
class Scene:
    world: World

    def agent(self, name: str) -> Agent:
        return self.world.members[name].agent

    def aid(self, name: str, **changed: int) -> Aiding:
        return replace(Aiding.of(self.agent(name)), **changed)

    def id_of(self, name: str) -> bytes:
        return self.agent(name).member_id

    def follow(self, *names: str) -> None:
        for name in names:
            self.world.founding.follow(self.agent(name))

    def news(self, name: str) -> bytes:
        return self.world.vault.group_bundle(self.agent(name).hello())

    def choose(self, *, needed: int = 2, names=CONTACTS, others=(), **more) -> None:
        """Weber enrols the contacts, and the server keeps the enrolment."""
        agent = self.agent("weber")
        chosen = choose_contacts(
            agent.admin,
            self.world.ward.group_id,
            [self.id_of(name) for name in names],
            needed=needed,
            sharing=SHARING,
            **more,
        )
        agent.ways.enrol(
            NewWay([chosen, *others], "contacts"), send=self.world.vault.members.accept
        )

    def from_server(self) -> FromServer:
        """What an operator hands to a person without any way in."""
        member_id = self.id_of("weber")
        hello = Hello(
            self.world.config.deployment_id, member_id, bytes(32), bytes(32), (), "program"
        )
        return FromServer(
            self.world.vault.members.everything(member_id),
            self.world.vault.group_bundle(hello.encode()),
        )

    def begin(self) -> Ceremony:
        kept: list[bytes] = []
        shown = decode_member_bundle(self.from_server().member)
        device = NewDevice.begin(
            "weber", contacts_enrolment(shown), kept.append, clock=self.world.clock
        )
        return Ceremony(self, device, kept)


@contextmanager
def scene(kem: Kem = Kem.DHKEM_P256, **more) -> Iterator[Scene]:
    with world_in_memory(groups=GROUPS, kem=kem) as world:
        made = Scene(world)
        made.follow(*world.members)
        made.choose(**more)
        made.follow(*world.members)
        yield made


def paper() -> tuple[RecoveryCode, NewWay]:
    """A new way in that needs no file."""
    code, _ = RecoveryCode.create()
    return code, NewWay([code], "paper")


def code_of(call, *arguments, **named) -> str:
    try:
        call(*arguments, **named)
    except TwinlockError as error:
        return error.code
    raise AssertionError("nothing was refused")
