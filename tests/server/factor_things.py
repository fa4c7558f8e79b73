"""What a person has of each factor: things that are made, enrolled, used elsewhere, and lost.

A thing has one value. To change a factor is to make another thing of its kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.card.conftest import Reader
from tests.passkey.software import SoftwareAuthenticator
from tests.server.world import World
from tests.token.rigs import init_softhsm
from twinlock.agent.agent import Agent
from twinlock.agent.contacts import choose_contacts
from twinlock.agent.factors import DeviceKey, Passphrase, Password
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.scram import Scram
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import EnrollableFactor, Factor
from twinlock.core.factors.contacts import ContactsFactor
from twinlock.core.member_change import Login
from twinlock.core.secret import Secret
from twinlock.keyring.device_key import KeyringDeviceKey
from twinlock.passkey.passkey import Passkey
from twinlock.server.groups import Group
from twinlock.server.login import check_login
from twinlock.server.own_services import VaultHardening
from twinlock.server.records import Sealed
from twinlock.server.scram import ScramLogin
from twinlock.server.setup import deployment_card
from twinlock.sharing.shamir import Shamir

PIN = "2580"
RP_ID = "agent.example"
TEXT = "I48.0"
CONTACTS = ("anna", "berta", "carl")
"""Members of the ward who help others back."""
SHARING = Shamir()


@dataclass
class Scene:
    """One deployment on a real token, its groups, two cards that members have and one of nobody's.

    The records were sealed before any of the members came.
    """

    world: World
    group: Group
    lenient: Group
    record: Sealed
    lenient_record: Sealed
    cards: Sequence[Reader]
    nobodys_card: Reader
    drawn: int = 0

    def agent(self, name: str) -> Agent:
        return self.world.members[name].agent

    def follow(self, agent: Agent) -> None:
        self.world.founding.follow(agent)

    def name(self, start: str) -> str:
        """A name, a text or a file name that nobody has yet."""
        self.drawn += 1
        return f"{start}-{self.drawn}"


def new_card() -> Reader:
    """A card in the process's SoftHSM, beside the server's token."""
    return Reader(init_softhsm(f"card {os.urandom(4).hex()}"), None)


@dataclass
class Person:
    """Who a thing is for. ``agent`` is there as soon as the member is.

    ``cards``: which card is taken next; then it is the other one's turn.
    """

    scene: Scene
    name: str
    folder: Path
    cards: Sequence[Reader]
    agent: Agent | None = None


class Thing(Protocol):
    """Something that somebody knows or has."""

    def enrolling(self) -> EnrollableFactor:
        """As a new way in is made with it."""
        ...

    def factor(self) -> Factor:
        """As it is used in another run of the agent, or on another computer."""
        ...

    def logins(self, enrolment: Enrolment) -> list[Login]:
        """What the server keeps to compare sign-ins with."""
        ...

    def signs_in(self, enrolment: Enrolment, beside: Sequence[Factor]) -> None:
        """Sign in at the server, if this kind does; ``beside``: what else the enrolment takes."""
        ...


class Held:
    """What signs in nowhere."""

    def __init__(self, person: Person) -> None:
        self.person = person

    def logins(self, _: Enrolment) -> list[Login]:
        return []

    def signs_in(self, enrolment: Enrolment, beside: Sequence[Factor]) -> None:
        """There is nothing to sign in with."""


class PassphraseThing(Held):
    def __init__(self, person: Person) -> None:
        super().__init__(person)
        self.text = person.scene.name("correct horse battery")

    def enrolling(self) -> EnrollableFactor:
        return Passphrase(self.text)

    def factor(self) -> Factor:
        return Passphrase(self.text)


class PasswordThing(PassphraseThing):
    def password(self) -> Password:
        world = self.person.scene.world
        return Password(
            self.text,
            deployment=deployment_card(world.config),
            service=VaultHardening(world.vault, self.person.name.encode(), self.person.name),
            clock=world.clock,
        )

    def enrolling(self) -> EnrollableFactor:
        self._used = self.password()
        return self._used

    def factor(self) -> Factor:
        self._used = self.password()
        return self._used

    def logins(self, enrolment: Enrolment) -> list[Login]:
        return [Login("split", self._used.new_login(enrolment))]

    def signs_in(self, enrolment: Enrolment, beside: Sequence[Factor]) -> None:
        """Split login (SPEC 26), with the evaluation that unlocking paid for."""
        (stored,) = self.person.scene.world.vault.members.logins(self.person.name, "split")
        check_login(stored, enrolment.member_id, self._used.login_secret(enrolment, *beside))


class ScramThing(PassphraseThing):
    def enrolling(self) -> EnrollableFactor:
        self._used = Scram(self.text)
        self._verifier = self._used.new_verifier().to_text().reveal()
        return self._used

    def factor(self) -> Factor:
        self._used = Scram(self.text)
        return self._used

    def logins(self, _: Enrolment) -> list[Login]:
        return [Login("scram", self._verifier)]

    def signs_in(self, enrolment: Enrolment, beside: Sequence[Factor]) -> None:
        """A whole exchange (RFC 5802), with the keys that unlocking paid for."""
        self._used.sign_in(self.person.name, enrolment, _Exchange(self.person.scene.world))


class _Exchange:
    def __init__(self, world: World) -> None:
        self._login = ScramLogin.of(world.vault, unknown=Secret(bytes(32)))
        self._find = world.vault.members.logins

    def first(self, message: str) -> str:
        self._session = self._login.begin(message, lambda name: self._find(name, "scram")[0])
        return self._session.server_first

    def final(self, message: str) -> str:
        return self._session.finish(message)


class DeviceKeyThing(Held):
    def __init__(self, person: Person) -> None:
        super().__init__(person)
        self.path = self.person.folder / f"{self.person.scene.name('device')}.key"
        DeviceKey.create(self.path)

    def enrolling(self) -> EnrollableFactor:
        return DeviceKey(self.path)

    def factor(self) -> Factor:
        return DeviceKey(self.path)


class KeyringThing(Held):
    """A device key in the keyring of the desktop session that the test runs in."""

    def __init__(self, person: Person) -> None:
        super().__init__(person)
        assert self.person.agent is not None
        ids = (self.person.scene.world.config.deployment_id, self.person.agent.member_id)
        self._made = KeyringDeviceKey.create(*ids)

    def enrolling(self) -> EnrollableFactor:
        return self._made

    def factor(self) -> Factor:
        made = self._made
        return KeyringDeviceKey(made.deployment_id, made.member_id, made.check)


class RecoveryCodeThing(Held):
    def __init__(self, person: Person) -> None:
        super().__init__(person)
        _, self.printed = RecoveryCode.create()

    def enrolling(self) -> EnrollableFactor:
        return self.factor()

    def factor(self) -> RecoveryCode:
        """Typed from paper, in small letters and without dashes."""
        return RecoveryCode(self.printed.reveal().lower().replace("-", " "))


class PasskeyThing(Held):
    """A security key that speaks CTAP 2.1, in software."""

    def __init__(self, person: Person) -> None:
        super().__init__(person)
        self.device = SoftwareAuthenticator(pin=PIN, aaguid=os.urandom(16))

    def passkey(self, pin: str = PIN) -> Passkey:
        return Passkey(lambda: Secret(pin.encode()), devices=lambda: [self.device])

    def enrolling(self) -> EnrollableFactor:
        passkey = self.passkey()
        return passkey.factor(passkey.enrol(RP_ID, self.person.name))

    def factor(self) -> Factor:
        return self.passkey().factor()


class SmartCardThing(Held):
    """A key of its own on one of two cards: to change it is to go to the other card."""

    def __init__(self, person: Person) -> None:
        super().__init__(person)
        self.reader, *others = person.cards
        person.cards = (*others, self.reader)

    def enrolling(self) -> EnrollableFactor:
        return self.reader.card().factor()

    def factor(self) -> Factor:
        return self.reader.card().factor()


class ContactsThing(Held):
    """Two of three members. Their shares come together in a ceremony only (``Life.back``)."""

    def enrolling(self) -> EnrollableFactor:
        assert self.person.agent is not None
        scene = self.person.scene
        return choose_contacts(
            self.person.agent.admin,
            scene.group.group_id,
            [scene.agent(name).member_id for name in CONTACTS],
            needed=2,
            sharing=SHARING,
        )

    def factor(self) -> Factor:
        """What shares of other contacts make."""
        return ContactsFactor(lambda: Secret(bytes(16)))


THINGS: dict[str, Callable[[Person], Thing]] = {
    "passphrase": PassphraseThing,
    "password": PasswordThing,
    "scram": ScramThing,
    "device-key": DeviceKeyThing,
    "device-key in keyring": KeyringThing,
    "recovery-code": RecoveryCodeThing,
    "passkey": PasskeyThing,
    "smart-card": SmartCardThing,
    "contacts": ContactsThing,
}
"""Each kind of factor; a device key in both places where it is kept."""


def kind_of(thing: str) -> str:
    """The factor's kind in an enrolment."""
    return thing.partition(" ")[0]
