"""Guesses at a password that was made anew: what was guessed at its older self is worth nothing.

The attacker has snapshots of before and after, and the HSM interface for a while. Without it, with
both snapshots, nothing is tested: ``factor_offline`` tries that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from attacks.factor_accounts import NEW_PASSWORD, PASSWORDS, WRONG, free_hashes
from attacks.factor_guessing import Guesser, Harden
from attacks.factor_hsm import hardening
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import interface
from attacks.powers import directory_of
from attacks.ways_scene import Scene
from twinlock.agent.ways import Ways
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Parameters, Place, password
from twinlock.core.factors.password import PasswordFactor, take_password_parameters

if TYPE_CHECKING:
    from attacks.world import World

NAME: Final = "ada"
_GUESSES: Final = (PASSWORDS[NAME], NEW_PASSWORD, WRONG)
_NEW_PARAMETERS, _ENROL = PasswordFactor.new_parameters, Ways.enrol
_NOTHING: Final = bytes(32)


def _of_the_member(place: Place) -> list[bytes]:
    return [place.deployment_id, place.member_id, bytes(16)]


@contextmanager
def _as_before() -> Iterator[None]:
    """A password made anew has the first salt, place and hardening key."""
    first: list[bytes] = []

    def new_parameters(factor: PasswordFactor, _: object, place: Place) -> Parameters:
        kid, *stretching = _NEW_PARAMETERS(factor, bytes, place)
        first.append(kid)
        return [first[0], *stretching]

    with weakened(
        (password, "_ids", _of_the_member), (PasswordFactor, "new_parameters", new_parameters)
    ):
        yield


def _beside(ways: Ways, *given: Any, instead_of: bytes | None = None, **named: Any) -> bytes:
    return _ENROL(ways, *given, **named)


@dataclass
class Recorder:
    """The token's answers, each asked for once. ``asks`` None: the HSM interface is gone."""

    asks: Harden | None
    known: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)

    def harden(self, kid: bytes, point: bytes) -> bytes:
        """Answer from what is known, else from the token, else with zeros."""
        answer = self.known.get((kid, point))
        if answer is None and self.asks is not None:
            answer = self.known[kid, point] = self.asks(kid, point)
        return _NOTHING if answer is None else answer


@attack(
    id="ways-recorded-guesses",
    claim="password-hsm",
    attack=(13, 14),
    says="guesses that the token answered before a change, a rotation and a revocation",
    mutations=[
        Mutation(
            "a password made anew has the old salt, place and hardening key",
            _as_before,
        ),
        Mutation(
            "making a way in anew leaves the old one listed",
            lambda: weakened((Ways, "enrol", _beside)),
        ),
    ],
    databases=False,
)
def ways_recorded_guesses(world: World, trial: Trial) -> None:
    """Broken is a guess that costs no call of its own, or an old way in that is still there."""
    scene = Scene(world)
    with free_hashes(), interface(world) as api:
        token = hardening(api)
        scene.enter(NAME, scene.kept.accounts.password(NAME))
        then = _passwords(scene)
        recorder = Recorder(token)
        if not _tells(scene, then, recorder, _GUESSES):
            raise LookupError("the token's answers do not even test the password of then")
        recorder.asks = None
        for what, change in _CHANGES.items():
            change(scene)
            present = _passwords(scene)
            with trial.attempt(f"answers of before, {what}") as attempt:
                attempt.says(_tells(scene, present, recorder, _GUESSES))
            with trial.attempt(f"one call for two enrolments, {what}") as attempt:
                both = Recorder(token)
                for enrolment in (*then, *present):
                    _tells(scene, [enrolment], both, _GUESSES)
                attempt.says(len(both.known) < len(_GUESSES) * len({*_ids(then), *_ids(present)}))
        old_key = _OldKey(token, _kid(then[0]))
        with trial.attempt("the old hardening key and the database of now") as attempt:
            attempt.says(_tells(scene, _passwords(scene), old_key, _GUESSES))


@dataclass(frozen=True)
class _OldKey:
    """Whoever has one hardening key: out of a backup of the token, say."""

    asks: Harden
    kid: bytes

    def harden(self, kid: bytes, point: bytes) -> bytes:
        """Multiply with that key alone."""
        return self.asks(kid, point) if kid == self.kid else _NOTHING


def _tells(
    scene: Scene, enrolments: Sequence[Enrolment], by: Recorder | _OldKey, guesses: Sequence[str]
) -> bool:
    guesser = Guesser(directory_of(scene.world.config), enrolments, harden=by.harden)
    return guesser.found(guesses) != set()


def _passwords(scene: Scene) -> list[Enrolment]:
    """Return the enrolments with a password that the database has of her now."""
    found = scene.kept.enrolments_in(scene.world.database.snapshot(), NAME)
    return [enrolment for enrolment in found if "password" in enrolment.kinds]


def _ids(enrolments: Sequence[Enrolment]) -> list[bytes]:
    return [enrolment.enrolment_id for enrolment in enrolments]


def _kid(enrolment: Enrolment) -> bytes:
    kid, _ = take_password_parameters(dict(enrolment.factors)["password"])
    return kid


def _another_password(scene: Scene) -> None:
    scene.kept.change(NAME, scene.kept.accounts.password(NAME, NEW_PASSWORD))


def _other_member_keys(scene: Scene) -> None:
    scene.kept.revoke(NAME, scene.kept.accounts.password(NAME, NEW_PASSWORD))


def _another_key(scene: Scene) -> None:
    scene.kept.rotate(NAME, scene.kept.accounts.password(NAME, NEW_PASSWORD))


_CHANGES: Final = {
    "another password": _another_password,
    "other member keys": _other_member_keys,
    "another hardening key": _another_key,
}
