"""What an outsider sees of an account by asking for it: answers to compare, and times."""

from __future__ import annotations

import os
import statistics
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from attacks.factor_accounts import Accounts, Service
from attacks.factor_limits import next_window
from attacks.world import World
from twinlock.core import cbor
from twinlock.core.hardening.evaluation import blind
from twinlock.core.hardening.hash_to_curve import hash_to_curve
from twinlock.core.primitives import sha256
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.server import login as server_login
from twinlock.server.scram import ScramSession

Look = Callable[[str], Hashable]
"""Asks about a name, and returns what can be compared of the answers."""
KNOWN: Final = ("adam", "bert", "cora")
NOBODY: Final = ("dora", "emil", "finn")
_WRONG: Final = Secret(bytes(32))
_SAMPLES: Final = 400
_WARM: Final = 20


def offer(world: World, name: str) -> Hashable:
    """The directory, and whether it stays the same.

    Which of the hardening keys it is follows from the name by a hash that everybody knows.
    """
    offers = [world.vault.hardening.offer(name.encode()) for _ in range(2)]
    shown = [cbor.encode([[s.raw, s.signature] for s in found.statements]) for found in offers]
    return shown[0] == shown[1], offers[0].kid == offers[1].kid, sha256(shown[0]), len(shown[0])


def evaluation(world: World, name: str) -> Hashable:
    """Whether the key that is stated answered, which the two points of an agent show."""
    service = Service(world, name)
    kid = service.offer().kid
    blinded = blind(hash_to_curve(b"any", b"any"), os.urandom)
    answers = service.evaluate(kid, *blinded.sent)
    try:
        blinded.accept(world.vault.directory.hardening_point(kid), answers)
    except DataError as error:
        return _refusal(error)
    return tuple(len(answer) for answer in answers)


def tries(world: World, name: str) -> Hashable:
    """How many attempts there are in an hour, and what is said then."""
    next_window(world)
    service = Service(world, name)
    kid = service.offer().kid
    point = blind(hash_to_curve(b"any", b"any"), os.urandom).sent[0]
    for number in range(world.config.hardening.account_per_hour + 2):
        try:
            service.evaluate(kid, point, point)
        except CallerError as error:
            return number, _refusal(error)
    return "no limit"


def login(accounts: Accounts, name: str) -> Hashable:
    """Split login as an application does it: whatever it finds, it hands on."""
    try:
        _log_in(accounts, name)
    except TwinlockError as error:
        return _refusal(error)
    raise LookupError("a random secret logged in")


def _log_in(accounts: Accounts, name: str) -> None:
    verifier, member_id = accounts.get(name, "login"), sha256(name.encode())[:16]
    server_login.check_login(verifier, member_id, Secret(os.urandom(32)))


def _compared(found: Mapping[str, bytes | None], name: str) -> Hashable:
    """Split login alone; ``found`` is what the look-ups of both names come to."""
    with suppress(CallerError):
        server_login.check_login(found[name], bytes(16), _WRONG)
    return ""


def begun(accounts: Accounts, name: str) -> Hashable:
    """The server-first-message: length of the nonce, salt, count. Or its refusal."""
    try:
        first = _begin(accounts, name).server_first
    except TwinlockError as error:
        return _refusal(error)
    nonce, salt, count = first.split(",")
    return len(nonce), b64decode(salt[2:]), count


def shape(answers: Sequence[Hashable]) -> Hashable:
    """What can be compared of one account's first messages: salts differ between any two."""
    same = len(set(answers)) == 1
    match answers[0]:
        case (size, bytes() as salt, count):
            return size, len(salt), count, same
        case other:
            return other, same


def scram_refusal(accounts: Accounts, name: str) -> Hashable:
    """What is said to a proof that nobody can make."""
    try:
        session = _begin(accounts, name)
        nonce = session.server_first.split(",")[0]
        proof = b64encode(os.urandom(32)).decode()
        session.finish(f"c=biws,{nonce},p={proof}")
    except TwinlockError as error:
        return _refusal(error)
    raise LookupError("a random proof signed in")


def _begin(accounts: Accounts, name: str) -> ScramSession:
    return accounts.login.begin(f"n,,n={name},r=any", accounts.find)


def _refusal(error: TwinlockError) -> Hashable:
    return type(error).__name__, error.code, str(error)


# --- time --------------------------------------------------------------------------------------


def time_looks(accounts: Accounts) -> Mapping[str, str]:
    """Compare the times of two names, asked in turn; what to report of each."""
    known, nobody = KNOWN[0], NOBODY[0]
    scram, verifiers = accounts.login, {n: accounts.get(n, "login") for n in (known, nobody)}
    looks: Mapping[str, Look] = {
        "SCRAM first message": lambda name: scram.begin(f"n,,n={name},r=any", accounts.find),
        "split login with the application's look-up of its row": partial(login, accounts),
        "split login": partial(_compared, verifiers),
        "hardening offer": partial(offer, accounts.world),
    }
    return {f"time of {kind}": told_by_time(look, known, nobody) for kind, look in looks.items()}


def told_by_time(look: Look, known: str, nobody: str) -> str:
    """Ask about a known name and another in turn; say how well one sample tells them apart."""
    times: dict[str, list[float]] = {known: [], nobody: []}
    for turn in range(_SAMPLES + _WARM):
        for name in (known, nobody) if turn % 2 else (nobody, known):
            began = time.perf_counter()
            look(name)
            times[name].append(time.perf_counter() - began)
    one, other = times[known][_WARM:], times[nobody][_WARM:]
    medians = [statistics.median(found) * 1e6 for found in (one, other)]
    return (
        f"known {medians[0]:,.1f} us, unknown {medians[1]:,.1f} us, {_SAMPLES} samples each; one "
        f"sample tells in {_better(one, other):.0%} of cases, a coin in 50%"
    )


def _better(one: Sequence[float], other: Sequence[float]) -> float:
    """How often the best threshold on one sample is right, fitted to these very samples."""
    merged = sorted([(value, 1) for value in one] + [(value, -1) for value in other])
    best = total = 0
    for _, sign in merged:
        total += sign
        best = max(best, abs(total))
    return 0.5 + best / (2 * len(one))
