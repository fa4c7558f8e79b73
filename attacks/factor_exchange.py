"""Servers and people in the middle that lie in a SCRAM exchange.

A lower iteration count, or a salt that a table was made for, would make the proof that the client
sends cheap to guess at. A proof for one channel must be worth nothing in another.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import scramp.core  # type: ignore[import-untyped]

from attacks.factor_accounts import PASSWORDS, WRONG, Accounts, ScramPeer, free_hashes
from attacks.factor_scram import Recorded
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.world import World
from twinlock.agent import scram as agent_scram
from twinlock.agent.scram import Scram, ScramService
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Parameters
from twinlock.core.ports import Randomness
from twinlock.core.scram.exchange import ChannelBinding, ScramStart, begin, refused
from twinlock.errors import TwinlockError
from twinlock.server.scram import Find, ScramLogin, ScramSession

_BEGIN: Final = ScramLogin.begin
_TABLE: Final = b"a salt that a table was computed for"
_GENUINE: Final = ChannelBinding("tls-server-end-point", b"the server's certificate")
_OTHER: Final = ChannelBinding("tls-server-end-point", b"the middle's certificate")


def _trusting(scram: Scram, account: str, _: Enrolment, service: ScramService) -> None:
    start = begin(account, os.urandom)
    first = service.first(start.first)
    offer = start.read(first)
    keys = scram.keys(offer.salt, offer.iterations)
    proof = start.prove(first, keys, salt=offer.salt, iterations=offer.iterations)
    proof.accept(service.final(proof.final))


def _any_parameters(parameters: Parameters) -> tuple[bytes, int]:
    salt, iterations = parameters
    return salt, iterations


def _unbound(account: str, randomness: Randomness, **_: object) -> ScramStart:
    return begin(account, randomness)


def _as_the_client_likes(
    login: ScramLogin, client_first: str, find: Find, *, binding: ChannelBinding | None = None
) -> ScramSession:
    bound = None if client_first.startswith("n,,") else binding
    return _BEGIN(login, client_first, find, binding=bound)


@dataclass(slots=True)
class LyingServer:
    """A server that names what it likes, and keeps what comes back."""

    salt: bytes
    count: int
    messages: list[str] = field(default_factory=list)

    def first(self, client_first: str) -> str:
        """Nonce, salt and count, well formed."""
        nonce = client_first.rsplit("r=", 1)[1]
        salt = b64encode(self.salt).decode()
        self.messages += [client_first, f"r={nonce}liar,s={salt},i={self.count}"]
        return self.messages[-1]

    def final(self, client_final: str) -> str:
        """The proof has come; what is answered does not matter any more."""
        self.messages.append(client_final)
        raise refused()


@attack(
    id="factor-scram-downgrade",
    claim="scram-second-factor",
    attack=15,
    says="a server that names a lower count, another salt, a short one, a count without end",
    mutations=[
        Mutation(
            "a member signs in with the salt and count that the server names",
            lambda: weakened((Scram, "sign_in", _trusting)),
        ),
        Mutation(
            "the first exchange takes any salt and count",
            lambda: weakened((agent_scram, "take_scram_parameters", _any_parameters)),
        ),
    ],
    databases=False,
)
def factor_scram_downgrade(world: World, trial: Trial) -> None:
    """Broken is a proof that was sent, and that a guess can be tested with at the lower cost."""
    accounts = Accounts(world)
    with free_hashes():
        made = accounts.dan()
        salt, count = dict(made.factors)["scram"]
        known = {
            "a lower count": LyingServer(salt, 4096),
            "one iteration": LyingServer(salt, 1),
            "a salt of its own": LyingServer(_TABLE, count),
            "a count without end": LyingServer(salt, 2**32),
        }
        for lie, liar in known.items():
            with trial.attempt(f"login: {lie}", "scram.downgrade") as attempt:
                _until_refused(partial(Scram(_TEXT).sign_in, "dan", made, liar))
                attempt.says(_tests(liar))
        first = {
            "a lower count": LyingServer(_TABLE, 4096),
            "a short salt": LyingServer(b"short", count),
            "a count without end": LyingServer(_TABLE, 2**32),
        }
        for lie, liar in first.items():
            with trial.attempt(f"first contact: {lie}", "factor.parameters") as attempt:
                _until_refused(partial(Scram(_TEXT).meet, "dan", liar))
                attempt.says(_tests(liar))


_TEXT: Final = PASSWORDS["dan"]


def _until_refused(act: Callable[[], None]) -> None:
    """The liar ends every exchange with a refusal, once it has what it wants."""
    try:
        act()
    except TwinlockError as error:
        if error.code != "scram.refused":
            raise


def _tests(liar: LyingServer) -> bool:
    recorded = Recorded.of(liar.messages)
    return recorded.proves(_TEXT) and not recorded.proves(WRONG)


@dataclass(slots=True)
class _Middle:
    """Somebody with a TLS connection to either end, who passes on what each says."""

    server: ScramPeer
    strips: bool = False

    def first(self, client_first: str) -> str:
        """Pass on, without the binding if it is to be stripped."""
        if self.strips:
            client_first = "n,," + client_first.split(",", 2)[2]
        return self.server.first(client_first)

    def final(self, client_final: str) -> str:
        """Pass on, with the binding of a client that has none."""
        if self.strips:
            client_final = ",".join(["c=biws", *client_final.split(",")[1:]])
        return self.server.final(client_final)


@attack(
    id="factor-scram-channel",
    claim="scram-second-factor",
    attack=15,
    says="an exchange passed on from another channel, its binding stripped, and one replayed",
    mutations=[
        Mutation(
            "neither end insists on channel binding",
            lambda: weakened(
                (agent_scram, "begin", _unbound), (ScramLogin, "begin", _as_the_client_likes)
            ),
        ),
        Mutation(
            "the server's nonce is always the same",
            lambda: weakened((scramp.core, "token_hex", lambda: "always-the-same")),
        ),
    ],
    databases=False,
)
def factor_scram_channel(world: World, trial: Trial) -> None:
    """Broken is an exchange after which the server takes the one in the middle for its client."""
    accounts = Accounts(world)
    with free_hashes():
        made = accounts.dan()
        ways: Mapping[str, tuple[ChannelBinding | None, bool]] = {
            "a client that does not bind": (None, False),
            "a client bound to the middle": (_OTHER, False),
            "its binding stripped": (_OTHER, True),
        }
        for way, (binding, strips) in ways.items():
            server = ScramPeer(accounts, [], binding=_GENUINE)
            with trial.attempt(way, "scram.refused") as attempt:
                middle = _Middle(server, strips)
                Scram(_TEXT).sign_in("dan", made, middle, binding=binding)
                attempt.says(server.signed_in == "dan")
        genuine = ScramPeer(accounts, [], binding=_GENUINE)
        Scram(_TEXT).sign_in("dan", made, genuine, binding=_GENUINE)
        server = ScramPeer(accounts, [], binding=_GENUINE)
        with trial.attempt("a recorded exchange again", "scram.refused") as attempt:
            server.first(genuine.recorded[0])
            server.final(genuine.recorded[2])
            attempt.says(server.signed_in == "dan")
