"""Does an answer say whether an account exists? Its content, its size, whether it repeats.

An outsider asks for names that exist and for others, more than once and across a restart of the
server. Time is measured, with many samples, and reported: a busy machine decides nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from attacks.factor_accounts import Accounts
from attacks.factor_limits import limited
from attacks.factor_outsider import (
    KNOWN,
    NOBODY,
    Look,
    begun,
    evaluation,
    login,
    offer,
    scram_refusal,
    shape,
    time_looks,
    tries,
)
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.world import World
from twinlock.core.login import login_verifier
from twinlock.core.primitives import sha256
from twinlock.core.scram.keys import ScramKeys
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.server import login as server_login
from twinlock.server import scram as server_scram
from twinlock.server.config import HardeningLimits
from twinlock.server.hardening import Hardening
from twinlock.server.login import check_login
from twinlock.server.scram import ScramLogin

_IMPORTED: Final = "gerd"
"""His verifier came from elsewhere, with another count."""
_DECOY, _OFFER = ScramLogin._decoy, Hardening.offer
_EVALUATE, _COUNT = Hardening.evaluate, Hardening._count


def _new_decoy(login: ScramLogin, account: str) -> ScramVerifier:
    return _DECOY(login, account + os.urandom(4).hex())


def _short_decoy(login: ScramLogin, account: str) -> ScramVerifier:
    found = _DECOY(login, account)
    return ScramVerifier(found.iterations, found.salt[:12], found.stored_key, found.server_key)


def _says_so(login: ScramLogin, account: str) -> ScramVerifier:
    raise CallerError("account.unknown", f"There is no account {account}.", hint="Register.")


def _says_more(verifier: bytes | None, member_id: bytes, secret: Secret) -> None:
    if verifier is None:
        raise CallerError("login.refused", "There is no such account.", hint="Register.")
    check_login(verifier, member_id, secret)


def _invents(
    hardening: Hardening, kid: bytes, first: bytes, second: bytes, *, account: bytes, source: str
) -> tuple[bytes, bytes]:
    if account.decode() in KNOWN:
        return _EVALUATE(hardening, kid, first, second, account=account, source=source)
    return sha256(first), sha256(second)


def _offers_nothing(hardening: Hardening, account: bytes) -> Any:
    offer = _OFFER(hardening, account)
    return offer if account.decode() in KNOWN else type(offer)(offer.kid, ())


def _counts_known_alone(hardening: Hardening, kid: bytes, account: bytes, source: str) -> None:
    if account.decode() in KNOWN:
        _COUNT(hardening, kid, account, source)


def _mutation(text: str, owner: object, name: str, replacement: object) -> Mutation:
    return Mutation(text, lambda: weakened((owner, name, replacement)))


@attack(
    id="factor-names",
    claim="accounts",
    attack=16,
    says="answers for accounts that exist and for others compared; times measured and reported",
    mutations=[
        _mutation("a decoy's salt is drawn anew each time", ScramLogin, "_decoy", _new_decoy),
        _mutation("a decoy has another count", server_scram, "MIN_ITERATIONS", 4096),
        _mutation("a decoy's salt is shorter", ScramLogin, "_decoy", _short_decoy),
        _mutation("SCRAM says that there is no such account", ScramLogin, "_decoy", _says_so),
        _mutation(
            "split login says that there is no such account",
            server_login,
            "check_login",
            _says_more,
        ),
        _mutation("unknown accounts get an invented answer", Hardening, "evaluate", _invents),
        _mutation("unknown accounts get no directory", Hardening, "offer", _offers_nothing),
        _mutation("unknown accounts are not counted", Hardening, "_count", _counts_known_alone),
    ],
    databases=False,
)
def factor_names(world: World, trial: Trial) -> None:
    """Whatever differs between the two lists in all their members tells them apart."""
    accounts = Accounts(world)
    limited(world, HardeningLimits(account_per_hour=3))
    for name in KNOWN:
        _register(accounts, name, _keys(), 600_000)
    _register(accounts, _IMPORTED, _keys(), 4096)
    looks: Mapping[str, Look] = {
        "hardening offer": partial(offer, world),
        "hardening evaluation": partial(evaluation, world),
        "attempts before the limit": partial(tries, world),
        "split login": partial(login, accounts),
        "SCRAM refusal": partial(scram_refusal, accounts),
    }
    for kind, look in looks.items():
        nobody = {look(name) for name in NOBODY}
        for name in KNOWN:
            with trial.attempt(kind) as attempt:
                attempt.says(look(name) not in nobody)
    _compare_first(accounts, trial)
    if not trial.weakened:
        for what, told in time_looks(accounts).items():
            trial.measure(what, told)


def _compare_first(accounts: Accounts, trial: Trial) -> None:
    """The parameters of a verifier from elsewhere tell that it exists: that is conceded."""
    names = (*KNOWN, _IMPORTED, *NOBODY)
    seen = {name: [begun(accounts, name), begun(accounts, name)] for name in names}
    accounts.world.restart()
    shapes = {name: shape([*seen[name], begun(accounts, name)]) for name in names}
    nobody = {shapes[name] for name in NOBODY}
    told = {name for name in (*KNOWN, _IMPORTED) if shapes[name] not in nobody}
    trial.loot("SCRAM first message", claimed={_IMPORTED}, taken=told)


def _register(accounts: Accounts, name: str, keys: ScramKeys, iterations: int) -> None:
    verifier = ScramVerifier.of(keys, os.urandom(16), iterations)
    accounts.put(name, "scram", accounts.login.lock(name, verifier))
    accounts.put(name, "login", login_verifier(sha256(name.encode())[:16], keys.client_key))


def _keys() -> ScramKeys:
    return ScramKeys(Secret(os.urandom(32)), Secret(os.urandom(32)))
