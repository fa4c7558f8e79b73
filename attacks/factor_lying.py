"""A server that hardens with a scalar it knows: at enrolment, change, login and rotation.

Whoever gets such an answer accepted tests passwords on the enrolment that was made with it, without
the token. The token's public keys come to members through the directory that its identity signs.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from attacks.factor_accounts import (
    HARDENING,
    NEW_PASSWORD,
    PASSWORDS,
    WRONG,
    Accounts,
    Service,
    free_hashes,
)
from attacks.factor_guessing import Guesser
from attacks.factor_limits import next_window
from attacks.factor_offline import HASH_ALONE
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.powers import OwnToken, directory_of, spki_of_point, statements_of
from attacks.world import World
from twinlock.agent import factors as agent_factors
from twinlock.agent.factors import Password
from twinlock.core.enrolment import Enrolment
from twinlock.core.hardening.evaluation import BlindedPoints
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.login import login_secret
from twinlock.core.ports import TokenKey
from twinlock.core.primitives import P256_ORDER, AgreementKey, agreement_key
from twinlock.core.secret import Secret
from twinlock.core.statements import Directory, Statement, _decode_token_key
from twinlock.errors import DataError

Answer = Callable[["_Liar", bytes, bytes, bytes], tuple[bytes, bytes]]
_OWN: Final = agreement_key(int.from_bytes(os.urandom(32), "big") % (P256_ORDER - 1) + 1)


@dataclass(slots=True)
class _Liar:
    """The server's side in an attacker's hands; the token evaluates what he wants, too."""

    honest: Service
    answer: Answer
    statements: Sequence[Statement] = ()
    turn: itertools.count[int] = field(default_factory=itertools.count)

    def offer(self) -> HardeningOffer:
        """The honest one, or the statements that the attacker made."""
        offer = self.honest.offer()
        return HardeningOffer(offer.kid, tuple(self.statements) or offer.statements)

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        """Whatever the attacker wants."""
        return self.answer(self, kid, first, second)


def _by(key: AgreementKey) -> Answer:
    return lambda liar, kid, first, second: (key.x_of(first), key.x_of(second))


def _one_of_each(liar: _Liar, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
    """A guess at which of the two is the password's: right every other time."""
    one, other = liar.honest.evaluate(kid, first, second)
    if next(liar.turn) % 2:
        return _OWN.x_of(first), other
    return one, _OWN.x_of(second)


def _own_points(liar: _Liar, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
    return _OWN.public[1:33], agreement_key(3).public[1:33]


def _generator(liar: _Liar, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
    return agreement_key(1).public[1:33], agreement_key(1).public[1:33]


def _exchanged(liar: _Liar, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
    return tuple(reversed(liar.honest.evaluate(kid, first, second)))  # type: ignore[return-value]


_SCALARS: Final[Mapping[str, AgreementKey]] = {
    "k = 1": agreement_key(1),
    "k = -1": agreement_key(P256_ORDER - 1),
    "another k": _OWN,
}
_LIES: Final[Mapping[str, Answer]] = {
    **{name: _by(key) for name, key in _SCALARS.items()},
    "one answer right": _one_of_each,
    "points of its own": _own_points,
    "the generator twice": _generator,
    "answers exchanged": _exchanged,
}


def _unchecked(statements: Iterable[Statement], *, deployment_id: bytes, **_: object) -> Directory:
    entries = tuple(_decode_token_key(s.raw, deployment_id) for s in statements)
    return Directory(entries[0].key, entries)


_ONE_POINT: Final = Mutation(
    "one answer is believed, the other not looked at",
    lambda: weakened((BlindedPoints, "_fits", lambda *_: True)),
)


def _sent_early(factor: Password, enrolment: Enrolment, *_: object) -> Secret:
    return login_secret(factor.output(dict(enrolment.factors)["password"], enrolment.place))


_EARLY: Final = (Password, "login_secret", _sent_early)
_ONE_POINT_AND_EARLY: Final = Mutation(
    "one answer is believed, and the login secret is sent before anything opened",
    lambda: weakened((BlindedPoints, "_fits", lambda *_: True), _EARLY),
)
_UNCHECKED_AND_EARLY: Final = Mutation(
    "keys come from whatever directory, and the login secret is sent before anything opened",
    lambda: weakened((agent_factors, "verify_directory", _unchecked), _EARLY),
)
_SENT_EARLY: Final = Mutation(
    "the login secret is sent before anything opened", lambda: weakened(_EARLY)
)
_UNCHECKED: Final = Mutation(
    "hardening keys come from whatever directory the server shows",
    lambda: weakened((agent_factors, "verify_directory", _unchecked)),
)


@attack(
    id="factor-lying-scalar",
    claim="password-server",
    attack=30,
    says="answers made with 1, with the server's own scalar, with points of its choice",
    mutations=[_ONE_POINT, _ONE_POINT_AND_EARLY],
    databases=False,
)
def factor_lying_scalar(world: World, trial: Trial) -> None:
    """Broken is an answer that a member takes; where the scalar is known, the password is found."""
    with free_hashes():
        for lie, answer in _LIES.items():
            next_window(world)
            for moment, ceremony in _MOMENTS.items():
                accounts = Accounts(world)
                liar = _Liar(Service(world, "ada"), answer)
                with trial.attempt(f"{moment}: {lie}", "factor.hardening") as attempt:
                    shown = ceremony(accounts, liar)
                    attempt.broke()
                    if lie in _SCALARS:
                        guesser = shown.guesser(directory_of(world.config), _SCALARS[lie])
                        attempt.says(guesser.found([*_TEXTS, WRONG]) != set())


_TEXTS: Final = (PASSWORDS["ada"], NEW_PASSWORD)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a server has of a member after a ceremony: an enrolment, and a login secret, or both."""

    enrolment: Enrolment
    login_secret: bytes

    def guesser(self, directory: Directory, key: AgreementKey) -> Guesser:
        """Somebody who knows the scalar that the answers were made with."""
        return Guesser(
            directory,
            [self.enrolment],
            seen=[self.login_secret],
            harden=lambda _, point: key.x_of(point),
        )


def _enrols(accounts: Accounts, liar: _Liar) -> _Shown:
    return _Shown(accounts.join("ada", accounts.password("ada", service=liar)), b"")


def _changes(accounts: Accounts, liar: _Liar) -> _Shown:
    accounts.ada()
    return _Shown(accounts.change("ada", accounts.password("ada", NEW_PASSWORD, liar)), b"")


def _moves(accounts: Accounts, liar: _Liar) -> _Shown:
    """The same password goes to another hardening key, as in a rotation."""
    accounts.ada()
    liar.honest = Service.elsewhere(accounts.world, "ada")
    return _Shown(accounts.change("ada", accounts.password("ada", service=liar)), b"")


def _signs_in(accounts: Accounts, liar: _Liar) -> _Shown:
    """The login secret goes to the server, if the enrolment opened."""
    made = accounts.ada()
    secret = accounts.password("ada", service=liar).login_secret(made)
    return _Shown(made, secret.reveal())


_MOMENTS: Final[Mapping[str, Callable[[Accounts, _Liar], _Shown]]] = {
    "enrolment": _enrols,
    "change": _changes,
    "another hardening key": _moves,
    "login": _signs_in,
}
_ABSENT: Final = "nobody there"


@attack(
    id="factor-lying-directory",
    claim="password-server",
    attack=(30, 36),
    says="hardening keys of the server's own in the directory, signed by it or made to be signed",
    mutations=[_UNCHECKED, _UNCHECKED_AND_EARLY, _SENT_EARLY, HASH_ALONE],
    databases=False,
)
def factor_lying_directory(world: World, trial: Trial) -> None:
    """With the HSM interface, live, the token's identity signs it: what is lost then is counted."""
    own, genuine = OwnToken(world.config.deployment_id), statements_of(world.database)
    stated = [own.state(key) for key in _own_keys(world)]
    lies = {
        "a directory of its own": ([*own.directory(), *stated], "directory.identity"),
        "keys added to the genuine one": ([*stated, *genuine], "data.not-authentic"),
    }
    with free_hashes():
        for lie, (statements, refusal) in lies.items():
            for moment in _MOMENTS:
                with trial.attempt(f"{moment}: {lie}", refusal) as attempt:
                    attempt.says(_tests(world, moment, statements))
        _stated_by_the_token(world, trial)


def _stated_by_the_token(world: World, trial: Trial) -> None:
    identity = directory_of(world.config).identity
    own = OwnToken(world.config.deployment_id)
    with world.hsm.connected() as token:
        stated = [
            own.state(key, lambda raw: token.sign(identity.kid, raw)) for key in _own_keys(world)
        ]
    statements = [*stated, *statements_of(world.database)]
    taken = {moment for moment in (*_MOMENTS, _ABSENT) if _tests(world, moment, statements)}
    trial.loot("by keys that the token stated", claimed=set(_MOMENTS) - {"login"}, taken=taken)


def _own_keys(world: World) -> list[TokenKey]:
    """The attacker's key under the ids of all hardening keys."""
    entries = directory_of(world.config).entries
    public = spki_of_point(_OWN.public)
    return [replace(e.key, public=public) for e in entries if e.key.role is HARDENING]


def _tests(world: World, moment: str, statements: Sequence[Statement]) -> bool:
    """Lie to a member at a moment, or to nobody; tell whether a password is found afterwards."""
    accounts = Accounts(world)
    if moment == _ABSENT:
        shown = _Shown(accounts.ada(), accounts.get("ada", "login") or b"")
    else:
        liar = _Liar(Service(world, "ada"), _by(_OWN), statements)
        try:
            shown = _MOMENTS[moment](accounts, liar)
        except DataError as error:
            if error.code != "factor.wrong":
                raise
            return False  # the login secret stayed where it was
    directory = _unchecked(statements, deployment_id=world.config.deployment_id)
    return shown.guesser(directory, _OWN).found([*_TEXTS, WRONG]) != set()
