"""How often an honest server lets anybody guess, and that it counts before the token works.

Counted is what the token evaluates, not what the server says.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from attacks.factor_accounts import SOURCE, Service
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.world import World
from twinlock.core.primitives import agreement_key
from twinlock.errors import CallerError
from twinlock.server.config import HardeningLimits
from twinlock.server.hardening import Hardening
from twinlock.store.counters import CounterStore, WindowFullError
from twinlock.token.pkcs11_token import Pkcs11Token

HOUR: Final = 3600
"""How long an honest server counts before it begins anew."""
LIMITS: Final = HardeningLimits(account_per_hour=3, source_per_hour=6, key_per_hour=12)
_TRIES: Final = 20
_POINT: Final = agreement_key(5).public
_COUNT, _ADD = Hardening._count, CounterStore.add_in_window


def _counted_after(
    hardening: Hardening, kid: bytes, first: bytes, second: bytes, *, account: bytes, source: str
) -> tuple[bytes, bytes]:
    one, other = hardening._token().evaluate(kid, [first, second])
    _COUNT(hardening, kid, account, source)
    return one, other


def _without_key(store: CounterStore, limits: Mapping[str, int], window: int) -> None:
    kept = {name: limit for name, limit in limits.items() if "/key/" not in name}
    _ADD(store, kept, window)


def _in_memory(hardening: Hardening, kid: bytes, account: bytes, source: str) -> None:
    counts = hardening.__dict__.setdefault("in_memory", Counter())
    for name, limit in (
        (kid.hex(), hardening._limits.key_per_hour),
        (source, hardening._limits.source_per_hour),
        (account.hex(), hardening._limits.account_per_hour),
    ):
        counts[name] += 1
        if counts[name] > limit:
            raise CallerError("hardening.limit", "There were too many attempts.", hint="Wait.")


def _read_then_written(store: CounterStore, limits: Mapping[str, int], window: int) -> None:
    for name, limit in limits.items():
        if store.value(name) - (window << 20) >= limit:
            raise WindowFullError(name)
    time.sleep(0.05)
    _ADD(store, dict.fromkeys(limits, 1 << 19), window)


_NO_KEY_BUCKET: Final = Mutation(
    "attempts are not counted for the hardening key",
    lambda: weakened((CounterStore, "add_in_window", _without_key)),
)
_MUTATIONS: Final = (
    Mutation("attempts are not counted", lambda: weakened((Hardening, "_count", nothing))),
    Mutation(
        "attempts are counted when the token has answered",
        lambda: weakened((Hardening, "evaluate", _counted_after)),
    ),
    Mutation("counts end with the process", lambda: weakened((Hardening, "_count", _in_memory))),
    Mutation(
        "counts are read, and written later",
        lambda: weakened((CounterStore, "add_in_window", _read_then_written)),
    ),
)


@contextmanager
def _evaluations() -> Iterator[list[bytes]]:
    """The ids of the keys that the token evaluates attempts with, one for each attempt."""
    seen: list[bytes] = []
    evaluate = Pkcs11Token.evaluate

    def counting(token: Pkcs11Token, kid: bytes, points: list[bytes]) -> list[bytes]:
        seen.append(kid)
        return evaluate(token, kid, points)

    with weakened((Pkcs11Token, "evaluate", counting)):
        yield seen


@attack(
    id="factor-limits",
    claim="accounts",
    attack=14,
    says="more attempts than an account or a source has, at once and after a restart, too",
    mutations=_MUTATIONS,
)
def factor_limits(world: World, trial: Trial) -> None:
    """The token must have seen exactly as many attempts as were allowed."""
    account, source = LIMITS.account_per_hour, LIMITS.source_per_hour
    limited(world)
    with _evaluations() as seen:
        for kind, limit, tries in (
            ("one account", account, [_for_account] * _TRIES),
            ("one source", source, [_from_source] * _TRIES),
        ):
            for number, of in enumerate(tries):
                _try(of(world, number))
            _spent(world, trial, kind, limit, seen)
        with ThreadPoolExecutor(_TRIES) as pool:
            list(pool.map(_try, [_for_account(world, number) for number in range(_TRIES)]))
        _spent(world, trial, "one account, all at once", account, seen)
        for number in range(_TRIES):
            if number % 7 == 6:
                world.restart()
            _try(_for_account(world, number))
        _spent(world, trial, "one account, after restarts", account, seen)


@attack(
    id="factor-pooled-quotas",
    claim="accounts",
    attack=31,
    says="the attempts of many invented accounts and sources spent on one member's hardening key",
    mutations=[_NO_KEY_BUCKET],
)
def factor_pooled_quotas(world: World, trial: Trial) -> None:
    """Points are blinded, so nobody sees whose password they are for; the key is the victim's."""
    limited(world)
    victim = Service(world, "ada").offer().kid
    with _evaluations() as seen:
        for number in range(2 * LIMITS.key_per_hour):
            _try(Service(world, f"invented {number}", f"2001:db8::{number}", kid=victim))
        _spent(world, trial, "one member's key", LIMITS.key_per_hour, seen)
    allowed = 2 * HardeningLimits().key_per_hour
    trial.measure("guesses at one member in an hour, from any number of accounts", f"{allowed:,}")


def limited(world: World, limits: HardeningLimits = LIMITS) -> None:
    """Restart the server with low limits, at the beginning of an hour."""
    world.config = replace(world.config, hardening=limits)
    world.restart()
    next_window(world)


def next_window(world: World) -> None:
    """Go to the beginning of an hour in which nothing was counted yet."""
    world.clock.later += HOUR - world.clock() % HOUR + 60


def _for_account(world: World, number: int) -> Service:
    return Service(world, "ada", f"203.0.113.{number}", kid=_kid(world))


def _from_source(world: World, number: int) -> Service:
    return Service(world, f"account {number}", SOURCE, kid=_kid(world))


def _kid(world: World) -> bytes:
    return Service(world, "ada").offer().kid


def _try(service: Service) -> None:
    kid = service.kid or service.offer().kid
    with _up_to_the_limit():
        service.evaluate(kid, _POINT, _POINT)


@contextmanager
def _up_to_the_limit() -> Iterator[None]:
    """Go on after a refusal for too many attempts; every other one is an error."""
    try:
        yield
    except CallerError as error:
        if error.code != "hardening.limit":
            raise


def _spent(world: World, trial: Trial, kind: str, limit: int, seen: list[bytes]) -> None:
    """Compare what the token did with the limit; then a new hour begins."""
    trial.loot(kind, claimed=set(range(limit)), taken=set(range(len(seen))))
    seen.clear()
    next_window(world)
