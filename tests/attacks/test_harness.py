"""The harness: only a declared refusal counts, and an attack that never succeeds proves nothing."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from attacks import harness
from attacks.claims import CLAIMS
from attacks.harness import Attack, AttackError, Mutation, Result, Trial, attack, weakened
from twinlock.core.membership import NotAllowedError, Reason
from twinlock.errors import DataError, not_authentic

ANY = Mutation("anything", nullcontext)


def made(run: harness.Run = lambda world, trial: None) -> Attack:
    return Attack("any", "database", (1,), "", (ANY,), run)


def result(**changed: object) -> Result:
    said = {
        "id": "any",
        "on": "softhsm+sqlite",
        "attempts": 3,
        "broken": 0,
        "broken_when_mutated": 3,
        "unproven": (),
        "refusals_when_mutated": (),
        "seconds": 0.5,
    }
    return Result(**{**said, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "declared"),
    [
        (DataError("log.fork", ""), ("log.fork",)),
        (DataError("log.fork", ""), ("log.rollback", "log.fork")),
        (not_authentic("signature: does not match"), ("data.not-authentic:signature",)),
        (not_authentic("signature: does not match"), ("data.not-authentic",)),
        (NotAllowedError(Reason.OTHER_KEY), ("log.not-allowed:other-key",)),
    ],
)
def test_a_declared_refusal_is_an_attempt_that_did_not_break(
    error: DataError, declared: tuple[str, ...]
) -> None:
    trial = Trial(weakened=False)
    with trial.attempt("kind", *declared):
        raise error
    assert (trial.attempts.total(), trial.broken.total()) == (1, 0)


@pytest.mark.parametrize(
    ("error", "declared"),
    [
        (DataError("log.fork", ""), ()),
        (DataError("log.fork", ""), ("log.rollback",)),
        (not_authentic("lock: wrong length"), ("data.not-authentic:signature",)),
        (NotAllowedError(Reason.NOT_AN_ADMIN), ("log.not-allowed:other-key",)),
    ],
)
def test_another_refusal_is_an_error_of_the_attack(
    error: DataError, declared: tuple[str, ...]
) -> None:
    with pytest.raises(AttackError), Trial(weakened=False).attempt("kind", *declared):
        raise error


def test_a_weakened_build_may_refuse_for_any_reason() -> None:
    with Trial(weakened=True).attempt("kind", "log.fork"):
        raise DataError("log.rollback", "")


def test_what_is_no_refusal_ends_the_attack_in_both_builds() -> None:
    for weak in (False, True):
        with pytest.raises(KeyError), Trial(weakened=weak).attempt("kind", "log.fork"):
            raise KeyError


def test_an_attempt_must_say_how_it_ended() -> None:
    with pytest.raises(AttackError), Trial(weakened=False).attempt("kind"):
        pass


def test_attempts_and_breaks_are_counted_by_kind() -> None:
    trial = Trial(weakened=False)
    for kind, broken in (("a", True), ("a", False), ("b", True)):
        with trial.attempt(kind) as attempt:
            attempt.says(broken)
    assert trial.attempts == {"a": 2, "b": 1}
    assert trial.broken == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("taken", "broken"), [({1, 2}, 0), ({1, 2, 3}, 1), ({3}, 1)], ids=["exact", "more", "other"]
)
def test_loot_beyond_the_claim_is_broken(taken: set[int], broken: int) -> None:
    trial = Trial(weakened=False)
    trial.loot("kind", claimed={1, 2}, taken=taken)
    assert trial.broken.total() == broken


def test_less_loot_than_the_claim_concedes_is_an_error() -> None:
    with pytest.raises(AttackError):
        Trial(weakened=False).loot("kind", claimed={1, 2}, taken={1})


@pytest.mark.parametrize(
    ("changed", "ok"),
    [
        ({}, True),
        ({"broken": 1}, False),
        ({"broken_when_mutated": 0}, False),
        ({"unproven": ("a kind",)}, False),
        ({"attempts": 0}, False),
        ({"error": "Traceback"}, False),
    ],
)
def test_an_attack_passes_when_it_breaks_where_it_should_and_nowhere_else(
    changed: dict[str, object], ok: bool
) -> None:
    assert result(**changed).ok is ok


def test_a_report_names_claim_attack_and_mutation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(harness.REGISTRY, "any", made())
    assert result().report() == {
        "id": "any",
        "claim": "database",
        "attack": 1,
        "attempts": 3,
        "broken": 0,
        "broken_when_mutated": 3,
        "on": "softhsm+sqlite",
        "mutation": "anything",
        "seconds": 0.5,
    }


def test_measurements_are_reported_and_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(harness.REGISTRY, "any", made())
    trial = Trial(weakened=False)
    trial.measure("guesses", "12 a second")
    measured = result(measured=tuple(trial.measured.items()))
    assert measured.report()["measured"] == {"guesses": "12 a second"}
    assert measured.ok


class Defended:
    @staticmethod
    def check() -> str:
        return "checked"

    def answer(self) -> str:
        return "genuine"


def test_a_weakened_build_ends_with_its_block() -> None:
    before = dict(Defended.__dict__)
    with weakened(
        (Defended, "check", staticmethod(lambda: "unchecked")),
        (Defended, "answer", lambda self: "forged"),
    ):
        assert (Defended.check(), Defended().answer()) == ("unchecked", "forged")
    assert dict(Defended.__dict__) == before


@pytest.mark.parametrize("changed", [{"claim": "no such claim"}, {"mutations": []}])
def test_an_attack_needs_a_claim_and_a_weakened_build(changed: dict[str, object]) -> None:
    said: dict[str, object] = {
        "id": "unregistered",
        "claim": next(iter(CLAIMS)),
        "attack": 1,
        "says": "",
        "mutations": [ANY],
    }
    with pytest.raises(AttackError):
        attack(**{**said, **changed})(lambda world, trial: None)  # type: ignore[arg-type]
    assert "unregistered" not in harness.REGISTRY
