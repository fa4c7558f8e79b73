"""Session objects of one request: used by another, left behind, seen from another process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import Interface, interface, live_token
from attacks.hsm_process import keys_seen_elsewhere
from attacks.places import Place
from attacks.world import PIN, World
from twinlock.agent import agent
from twinlock.core.ports import DekOpening, Opening
from twinlock.core.release import decode_release, split_signed, wrap_release_keys
from twinlock.core.segments import COMMITMENT
from twinlock.errors import DataError, TwinlockError
from twinlock.token import policy
from twinlock.token.ck import Cka, Cko
from twinlock.token.functions import Functions
from twinlock.token.opening import Pkcs11Opening
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import CallError
from twinlock.token.structures import Attributes

_ATTRIBUTES: Final = policy.session_attributes
_OPEN_MANY: Final = Pkcs11Opening.open_many
_BEGIN: Final = Pkcs11Opening.__init__
_THREADS: Final = 4
_ROUNDS: Final = 6


def _token_objects(profile: TokenProfile) -> dict[str, Attributes]:
    return {level: {**made, Cka.TOKEN: True} for level, made in _ATTRIBUTES(profile).items()}


def _latest_session_key() -> AbstractContextManager[None]:
    latest: list[int] = []

    def begin(opening: Pkcs11Opening, pool: object, opener: object, session_key: int) -> None:
        _BEGIN(opening, pool, opener, session_key)  # type: ignore[arg-type]
        latest[:] = [session_key]

    def open_many(opening: Pkcs11Opening, items: Sequence[DekOpening]) -> object:
        opening._session_key = latest[0]
        return _OPEN_MANY(opening, items)

    return weakened((Pkcs11Opening, "__init__", begin), (Pkcs11Opening, "open_many", open_many))


@contextmanager
def _never_closed() -> Iterator[None]:
    """Sessions stay open as long as the weakened build runs."""
    opened: list[tuple[Functions, int]] = []

    def keep(functions: Functions, session: int) -> None:
        opened.append((functions, session))

    with weakened((Functions, "close_session", keep)):
        yield
    for functions, session in opened:
        with suppress(CallError):
            functions.close_session(session)


_MUTATIONS: Final = (
    Mutation(
        "agents use one session key for all releases",
        lambda: weakened(
            (agent, "wrap_release_keys", lambda to, keys, _: wrap_release_keys(to, keys, bytes))
        ),
    ),
    Mutation(
        "the server keeps one session key, the latest",
        _latest_session_key,
    ),
    Mutation(
        "sessions are not closed after an opening",
        _never_closed,
    ),
    Mutation(
        "what is unwrapped is a token object",
        lambda: weakened((policy, "session_attributes", _token_objects)),
    ),
)


@dataclass(frozen=True, slots=True)
class _Released:
    """A release on its way to the token."""

    place: Place
    transport_kid: bytes
    session_key: bytes
    item: DekOpening


@attack(
    id="hsm-session-objects",
    claim="live-own-agent",
    attack=12,
    says="one request's keys in another's opening, after it, in other threads and processes",
    mutations=_MUTATIONS,
    databases=False,
)
def hsm_session_objects(world: World, trial: Trial) -> None:
    """Kim, Weber and Olga open records at the same time."""
    world.restart()
    with interface(world) as api:
        _other_opening(world, trial)
        _many_threads(world, trial)
        _left_behind(world, trial, api)
        _other_process(world, trial)
        for stale in _keys(api, token=True):
            api.destroy(stale)
    world.restart()


def _released(world: World, name: str, member: str | None = None) -> _Released:
    place = world.place(name)
    request = world.vault.request([(place.context, world.stored(place))])
    message = decode_release(split_signed(world.release(request, place, member))[0])
    record = request.asked[0].record
    if record is None:
        raise LookupError(f"{name} was refused")
    item = record.prepared.opening(message.items[0].wrapped_release_key)
    return _Released(place, message.transport_kid, message.session_key, item)


def _shows(opening: Opening, one: _Released) -> bool:
    (found,) = opening.open_many([one.item])
    if isinstance(found, DataError):
        return False
    return found[0] == COMMITMENT + next(iter(one.place.content.values()))


def _other_opening(world: World, trial: Trial) -> None:
    token = live_token(world)
    for suite in ("rsa-oaep", "token-aes"):
        one = _released(world, f"first-{suite}")
        two = _released(world, f"office-{suite}")
        with (
            token.opening(one.transport_kid, one.session_key) as first,
            token.opening(two.transport_kid, two.session_key) as second,
        ):
            for opening, foreign in ((first, two), (second, one)):
                with trial.attempt("another request's keys in this opening") as attempt:
                    attempt.says(_shows(opening, foreign))
            for opening, own in ((first, one), (second, two)):
                with trial.attempt("not its own content") as attempt:
                    attempt.says(not _shows(opening, own))


def _many_threads(world: World, trial: Trial) -> None:
    readers = (("first", "kim"), ("row", "weber"), ("office", "olga"), ("other-table", "eve"))
    barrier = threading.Barrier(_THREADS)

    def work(number: int) -> list[tuple[Place, dict[str, bytes]]]:
        name, member = readers[number]
        shown = []
        for turn in range(_ROUNDS):
            place = world.place(f"{name}-{('rsa-oaep', 'token-aes')[turn % 2]}")
            barrier.wait(60)
            shown.append((place, world.read(place, member=member)))
        return shown

    with ThreadPoolExecutor(_THREADS) as threads:
        futures = [threads.submit(work, number) for number in range(_THREADS)]
    for future in futures:
        with trial.attempt("not its own content") as attempt:
            attempt.says(any(shown != dict(place.content) for place, shown in future.result()))


def _left_behind(world: World, trial: Trial, api: Interface) -> None:
    token = live_token(world)
    one, two = _released(world, "first-rsa-oaep"), _released(world, "office-rsa-oaep")

    def broken_off() -> None:
        with token.opening(one.transport_kid, one.session_key) as opening:
            _shows(opening, one)
            raise DataError("test.stop", "The caller gave up.")

    def streamed() -> None:
        with (
            token.opening(one.transport_kid, one.session_key) as opening,
            opening.open_dek(one.item.wrapped_release_key, one.item.outer) as dek,
        ):
            dek.decrypt(two.item.fields[0][0])

    def foreign() -> None:
        with token.opening(two.transport_kid, two.session_key) as opening:
            _shows(opening, one)

    def sealed() -> None:
        world.seal(world.place("first-token-aes"))

    acts: tuple[Callable[[], object], ...] = (
        lambda: world.read(world.place("row-rsa-oaep")),
        lambda: world.read(world.place("scan-token-aes")),
        lambda: token.opening(one.transport_kid, bytes(256)).__enter__(),
        broken_off,
        streamed,
        foreign,
        sealed,
    )
    before = _keys(api)
    sealed()
    with trial.attempt("objects left behind") as attempt:
        # A connection's first sealing brings in the import key, which stays till it is closed.
        attempt.says(len(_keys(api) - before) > 1)
    for act in acts:
        before = _keys(api)
        with suppress(TwinlockError):
            act()
        with trial.attempt("objects left behind") as attempt:
            attempt.says(_keys(api) != before)


def _other_process(world: World, trial: Trial) -> None:
    token = live_token(world)
    one = _released(world, "first-rsa-oaep")
    with (
        token.opening(one.transport_kid, one.session_key) as opening,
        opening.open_dek(one.item.wrapped_release_key, one.item.outer),
        trial.attempt("seen from another process") as attempt,
    ):
        attempt.says(keys_seen_elsewhere(world, PIN) > 0)


def _keys(api: Interface, *, token: bool = False) -> set[int]:
    """Secret keys without an id: session keys, release keys, DEKs."""
    found = api.objects({Cka.CLASS: Cko.SECRET_KEY, Cka.TOKEN: token})
    return {key for key in found if not api.attribute(key, Cka.ID)}
