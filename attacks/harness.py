"""What an attack is, how its attempts are counted, and how a build is weakened.

An attempt ends in one of three ways: refused with a code that was declared for it, held (no error,
and nothing that the claim denies), or broken. Anything else is an error of the attack, so that no
attack can "fail" for a trivial reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from attacks.claims import CLAIMS
from twinlock.core.membership import NotAllowedError
from twinlock.errors import TwinlockError

if TYPE_CHECKING:
    from attacks.world import World


class AttackError(Exception):
    """An attack proves nothing: it met another refusal than it declared, or said no result."""


def refusal_of(error: TwinlockError) -> str:
    """Return ``code`` or ``code:detail``: the rule of a log, or the cause of a failed check."""
    if isinstance(error, NotAllowedError):
        return f"{error.code}:{error.reason.value}"
    notes = getattr(error, "__notes__", ())
    return f"{error.code}:{notes[0]}" if notes else error.code


def _fits(refusal: str, declared: Sequence[str]) -> bool:
    return any(
        refusal.startswith(wanted) if ":" in wanted else refusal.split(":")[0] == wanted
        for wanted in declared
    )


class Attempt:
    """One try. Say ``broke`` or ``held`` unless a refusal ends it."""

    def __init__(self) -> None:
        self.result: bool | None = None

    def broke(self) -> None:
        """The attacker got what the claim denies."""
        self.result = True

    def held(self) -> None:
        """No error, and the attacker got nothing that the claim denies."""
        self.result = False

    def says(self, broken: bool) -> None:
        """Broken or held, by a condition."""
        self.result = broken


@dataclass(slots=True)
class Trial:
    """Counts one run's attempts by kind.

    Every kind must break in some weakened build: an attempt that cannot succeed anywhere proves
    nothing.
    """

    weakened: bool
    attempts: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    measured: dict[str, str] = field(default_factory=dict)

    def measure(self, what: str, value: str) -> None:
        """Report a measurement with its unit. Machines differ, so that none decides anything."""
        self.measured[what] = value

    @contextmanager
    def attempt(self, kind: str, *refusals: str) -> Iterator[Attempt]:
        """Count one attempt of a kind. ``refusals``: ``code`` or ``code:beginning of detail``.

        In a weakened build another defence may refuse: any TwinlockError counts as a refusal there.
        """
        self.attempts[kind] += 1
        attempt = Attempt()
        try:
            yield attempt
        except TwinlockError as error:
            refusal = refusal_of(error)
            self.refused[kind, refusal] += 1
            if not self.weakened and not _fits(refusal, refusals):
                raise AttackError(f"{kind}: refused with {refusal}, not with {refusals}") from error
        else:
            if attempt.result is None:
                raise AttackError(f"{kind}: the attempt neither broke nor held nor was refused")
        if attempt.result:
            self.broken[kind] += 1

    def loot(self, kind: str, *, claimed: AbstractSet[Any], taken: AbstractSet[Any]) -> None:
        """Compare what an attacker took with what the claim concedes: it must be exactly that.

        More is broken. Less is an error in the real build: the claim would say too much, or the
        attacker is a poor one. In a weakened build it must be more.
        """
        self.attempts[kind] += 1
        if taken - claimed:
            self.broken[kind] += 1
        elif taken != claimed and not self.weakened:
            missing = len(claimed - taken)
            raise AttackError(
                f"{kind}: {missing} of {len(claimed)} that the claim concedes missing"
            )


@dataclass(frozen=True, slots=True)
class Mutation:
    """One defence weakened. ``rebuild``: the data must be made by the weakened build too."""

    text: str
    apply: Callable[[], AbstractContextManager[object]]
    rebuild: bool = False


@contextmanager
def weakened(*patches: tuple[object, str, object]) -> Iterator[None]:
    """Replace attributes (owner, name, replacement) for the time of the block.

    A function that several modules imported by name is one defence in several places.
    """
    with ExitStack() as stack:
        for owner, name, replacement in patches:
            stack.callback(setattr, owner, name, _raw_attribute(owner, name))
            setattr(owner, name, replacement)
        yield


def _raw_attribute(owner: object, name: str) -> object:
    # A class' static or class method must go back as what it was.
    if isinstance(owner, type):
        return owner.__dict__[name]
    return getattr(owner, name)


def nothing(*_: Any, **__: Any) -> None:
    """Check nothing: stands for a check that raises."""


Run = Callable[["World", Trial], None]


@dataclass(frozen=True, slots=True)
class Attack:
    """A registered attack. ``databases`` False: it touches no database, so one store is enough.

    ``fresh``: it changes the token, so no other attack may use its world. ``needs``: the tools
    (attacks/tools.py) without which it cannot be tried.
    """

    id: str
    claim: str
    attacks: tuple[int, ...]
    says: str
    mutations: tuple[Mutation, ...]
    run: Run
    databases: bool = True
    fresh: bool = False
    needs: tuple[str, ...] = ()


REGISTRY: Final[dict[str, Attack]] = {}


def attack(
    *,
    id: str,
    claim: str,
    attack: int | Sequence[int],
    says: str,
    mutations: Sequence[Mutation],
    databases: bool = True,
    fresh: bool = False,
    needs: Sequence[str] = (),
) -> Callable[[Run], Run]:
    """Register an attack.

    ``claim``: a key of CLAIMS. ``attack``: its numbers in the list of attacks; none when it
    measures a claim that the list does not name.
    """
    numbers = (attack,) if isinstance(attack, int) else tuple(attack)
    if claim not in CLAIMS:
        raise AttackError(f"{id}: there is no claim {claim!r}")
    if not mutations:
        raise AttackError(f"{id}: an attack without a weakened build proves nothing")

    def register(run: Run) -> Run:
        if id in REGISTRY:
            raise AttackError(f"{id}: registered twice")
        REGISTRY[id] = Attack(
            id, claim, numbers, says, tuple(mutations), run, databases, fresh, tuple(needs)
        )
        return run

    return register


@dataclass(frozen=True, slots=True)
class Result:
    """What one attack did on one store. It crosses processes, so it names its attack only."""

    id: str
    on: str
    attempts: int
    broken: int
    broken_when_mutated: int
    unproven: tuple[str, ...]
    refusals_when_mutated: tuple[tuple[str, str], ...]
    seconds: float
    error: str = ""
    not_run: str = ""
    measured: tuple[tuple[str, str], ...] = ()

    @classmethod
    def left_out(cls, id: str, on: str, why: str) -> Result:
        """An attack that could not be tried here, and why. It proves nothing."""
        return cls(id, on, 0, 0, 0, (), (), 0.0, not_run=why)

    @property
    def attack(self) -> Attack:
        """The attack."""
        return REGISTRY[self.id]

    @property
    def ok(self) -> bool:
        """True when nothing broke, and everything broke where it should."""
        proved = self.broken_when_mutated > 0 and not self.unproven
        return not self.error and self.attempts > 0 and self.broken == 0 and proved

    def report(self) -> dict[str, object]:
        """Return the object for report.json."""
        numbers = list(self.attack.attacks)
        return {
            "id": self.id,
            "claim": self.attack.claim,
            "attack": numbers[0] if len(numbers) == 1 else numbers,
            "attempts": self.attempts,
            "broken": self.broken,
            "broken_when_mutated": self.broken_when_mutated,
            "on": self.on,
            "mutation": "; ".join(mutation.text for mutation in self.attack.mutations),
            "seconds": round(self.seconds, 2),
            **({"not_run": self.not_run} if self.not_run else {}),
            **({"measured": dict(self.measured)} if self.measured else {}),
        }
