"""The clinic's own accounts: who signs in with what, and all that is stored for it.

Enrolments on which a stolen database tests no guess lie at the server; the others stay on their
members' machines. What other verbs will change of an account belongs here, beside ``put``.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attacks.harness import Trial, weakened
from attacks.powers import ACCOUNTS
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Password
from twinlock.agent.member import create_member
from twinlock.agent.scram import Scram
from twinlock.agent.state import load_state, state_path
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import EnrollableFactor, Factor, stretching
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import hmac_sha256
from twinlock.core.scram import keys as scram_keys
from twinlock.core.scram.exchange import ChannelBinding
from twinlock.core.secret import Secret
from twinlock.server.scram import Find, ScramLogin, ScramSession
from twinlock.server.setup import deployment_card

if TYPE_CHECKING:
    from attacks.world import World

PASSWORDS: Final = {
    "ada": "winter geese 1907",
    "ben": "copper kettle 23",
    "cleo": "harbour lantern 8",
    "dan": "nettle soup, twice",
    "gil": "seven swans swimming",
}
"""Everybody's first one: each is in the guesser's list."""
NEW_PASSWORD: Final = "spring geese 1908"
WRONG: Final = "a password of nobody"
UNKNOWN: Final = Secret(b"what accounts that do not exist answer with"[:32])
HARDENING: Final = KeyRole.HARDENING
SOURCE: Final = "198.51.100.7"


def free_hashes() -> AbstractContextManager[None]:
    """Let password hashes cost nothing: what a claim rests on is what remains then."""

    def hashed(text: bytes, salt: bytes, *rest: object, **more: object) -> Secret:
        return Secret(hmac_sha256(salt, text + repr((rest, sorted(more.items()))).encode()))

    return weakened((stretching, "argon2id", hashed), (scram_keys, "pbkdf2_sha256", hashed))


def hashings(trial: Trial) -> Sequence[AbstractContextManager[None]]:
    """Real hashes, then free ones; weakened builds are tried with the free ones alone.

    The real build has to hold with both: what breaks in the weakened one does not because hashing
    was cheap.
    """
    return [free_hashes()] if trial.weakened else [nullcontext(), free_hashes()]


@dataclass(slots=True)
class Service:
    """A ``HardeningService`` of the honest server, for one account and source.

    ``kid`` is another hardening key than the server offers this account.
    """

    world: World
    account: str
    source: str = SOURCE
    kid: bytes | None = None

    @classmethod
    def elsewhere(cls, world: World, account: str) -> Service:
        """Have a password hardened by another key than the account's own."""
        own = cls(world, account).offer().kid
        kids = [e.key.kid for e in world.vault.directory.entries if e.key.role is HARDENING]
        return cls(world, account, kid=next(kid for kid in kids if kid != own))

    def offer(self) -> HardeningOffer:
        """See ``server.hardening.Hardening.offer``."""
        offer = self.world.vault.hardening.offer(self.account.encode())
        return HardeningOffer(self.kid or offer.kid, offer.statements)

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        """See ``server.hardening.Hardening.evaluate``."""
        return self.world.vault.hardening.evaluate(
            kid, first, second, account=self.account.encode(), source=self.source
        )


@dataclass(slots=True)
class ScramPeer:
    """A ``ScramService`` of the honest server; ``recorded`` is all that passed."""

    accounts: Accounts
    recorded: list[str]
    binding: ChannelBinding | None = None
    session: ScramSession | None = None
    signed_in: str = ""

    def first(self, client_first: str) -> str:
        """See ``ScramLogin.begin``."""
        self.session = self.accounts.login.begin(
            client_first, self.accounts.find, binding=self.binding
        )
        self.recorded += [client_first, self.session.server_first]
        return self.session.server_first

    def final(self, client_final: str) -> str:
        """See ``ScramSession.finish``."""
        if self.session is None:
            raise LookupError("this exchange was not begun")
        self.recorded.append(client_final)
        answer = self.session.finish(client_final)
        self.signed_in = self.session.account
        self.recorded.append(answer)
        return answer


class Accounts:
    """Accounts of one round; their members' machines lie in a folder of their own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machines = _unused(world.folder / "devices")
        self.known: dict[str, list[Factor]] = {}

    @property
    def login(self) -> ScramLogin:
        """SCRAM, as the server does it now."""
        return ScramLogin.of(self.world.vault, unknown=UNKNOWN)

    # --- what is stored --------------------------------------------------------------------------

    def put(self, name: str, kind: str, value: bytes) -> None:
        """Store a value for an account instead of what was there."""
        database = self.world.database
        database.delete(ACCOUNTS, name=name, kind=kind)
        database.insert(ACCOUNTS, name=name, kind=kind, value=value)

    def get(self, name: str, kind: str) -> bytes | None:
        """Return what is stored."""
        rows = self.world.database.rows(ACCOUNTS, name=name, kind=kind)
        return rows[0]["value"] if rows else None

    def find(self, name: str) -> bytes | None:
        """Find the locked SCRAM verifier of an account."""
        return self.get(name, "scram")

    # --- people ----------------------------------------------------------------------------------

    def home(self, name: str) -> Path:
        """A member's machine."""
        return self.machines / name

    def password(self, name: str, text: str = "", service: Any = None) -> Password:
        """Return a member's password as a factor; the card comes from outside the server."""
        return Password(
            text or PASSWORDS[name],
            deployment=deployment_card(self.world.config),
            service=service or Service(self.world, name),
            clock=self.world.clock,
        )

    def device(self, name: str, file: str = "device.key") -> DeviceKey:
        """Return a device key, made if it is not there."""
        path = self.home(name) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return DeviceKey(path) if path.exists() else DeviceKey.create(path)

    def join(self, name: str, *factors: EnrollableFactor, alone: bool = False) -> Enrolment:
        """Become a member with one enrolment."""
        self.home(name).mkdir(parents=True, exist_ok=True)
        self.known[name] = list(factors)
        card = deployment_card(self.world.config)
        create_member(name, factors, deployment=card, home=self.home(name), scram_alone=alone)
        return self.newest(name)

    def change(self, name: str, *factors: EnrollableFactor) -> Enrolment:
        """Make a new enrolment with the first one."""
        with Agent.unlock(name, *self.known[name], home=self.home(name)) as agent:
            agent.ways.enrol(NewWay(factors))
        return self.newest(name)

    def newest(self, name: str) -> Enrolment:
        """Return a member's enrolment that was made last."""
        return load_state(state_path(self.home(name), name)).enrolments[-1]

    def unlock(self, name: str) -> Agent:
        """Unlock a member's agent on its machine, with the first enrolment."""
        home = self.home(name)
        return Agent.unlock(name, *self.known[name], home=home, clock=self.world.clock)

    # --- the four that guessers look at ----------------------------------------------------------

    def ada(self) -> Enrolment:
        """A password alone, which signs in, too."""
        password = self.password("ada")
        made = self.join("ada", password)
        self.keep("ada", made, password)
        return made

    def ben(self) -> Enrolment:
        """A password that signs in, and a device key."""
        password = self.password("ben")
        made = self.join("ben", password, self.device("ben"))
        self.keep("ben", made, password)
        return made

    def cleo(self) -> Enrolment:
        """SCRAM alone: her enrolment stays on her machine."""
        scram = self.registered("cleo")
        return self.join("cleo", scram, alone=True)

    def dan(self) -> Enrolment:
        """SCRAM and a device key."""
        made = self.join("dan", self.registered("dan"), self.device("dan"))
        self.put("dan", "enrolment", made.raw)
        return made

    def keep(self, name: str, enrolment: Enrolment, password: Password) -> None:
        """Store an enrolment at the server, and what its password logs in with."""
        self.put(name, "enrolment", enrolment.raw)
        self.put(name, "login", password.new_login(enrolment))

    def registered(self, name: str) -> Scram:
        """Make a SCRAM account."""
        scram = Scram(PASSWORDS[name])
        self.put(name, "scram", self.login.lock(name, scram.new_verifier()))
        return scram

    def sign_in(self, name: str, enrolment: Enrolment) -> list[str]:
        """Sign in by SCRAM; returns all that passed over the line."""
        peer = ScramPeer(self, [])
        Scram(PASSWORDS[name]).sign_in(name, enrolment, peer)
        return peer.recorded


def scram_salt(login: ScramLogin, name: str, find: Find) -> tuple[bytes, int]:
    """Salt and count of an account, which the server tells whoever asks."""
    first = login.begin(f"n,,n={name},r=any", find).server_first
    _, salt, count = first.split(",")
    return b64decode(salt[2:]), int(count[2:])


def _unused(folder: Path) -> Path:
    return next(p for n in range(100) if not (p := folder / f"accounts-{n}").exists())
