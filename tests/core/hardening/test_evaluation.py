"""A server that answers with another scalar is found out, and each check is needed for that."""

from __future__ import annotations

import itertools
import os
import sys
import types
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from twinlock.core.hardening import evaluation
from twinlock.core.hardening.curve import (
    add,
    decode_point,
    encode_coordinate,
    encode_point,
    lift,
    negative,
)
from twinlock.core.hardening.evaluation import blind
from twinlock.core.hardening.hash_to_curve import hash_to_curve
from twinlock.core.primitives import (
    P256_ORDER,
    AgreementKey,
    agreement_key,
    agreement_key_from_seed,
)
from twinlock.core.secret import Secret
from twinlock.errors import DataError

PASSWORD = hash_to_curve(b"a password", b"twinlock test")
KEY = agreement_key_from_seed(Secret(b"k" * 32))
OTHER = agreement_key_from_seed(Secret(b"another k" + bytes(23)))
X_OF_RESULT = KEY.x_of(encode_point(PASSWORD))
Answers = tuple[bytes, bytes]


def answered(key: AgreementKey, points: Answers) -> Answers:
    return key.x_of(points[0]), key.x_of(points[1])


@pytest.mark.parametrize("attempt", range(10))
def test_the_tokens_own_key_is_accepted_and_gives_the_same_each_time(attempt: int) -> None:
    """R-HARD-3."""
    blinded = blind(PASSWORD, os.urandom)
    assert blinded.accept(KEY.public, answered(KEY, blinded.sent)).reveal() == X_OF_RESULT


def of(scalar: int) -> Callable[[Answers], Answers]:
    return lambda points: answered(agreement_key(scalar), points)


def _no_square() -> bytes:
    x = 0
    while True:
        x += 1
        try:
            lift(encode_coordinate(x))
        except DataError:
            return encode_coordinate(x)


LIES: dict[str, Callable[[Answers], Answers]] = {
    "k = 1": of(1),
    "k = -1": of(P256_ORDER - 1),
    "k = 2": of(2),
    "another key": lambda points: answered(OTHER, points),
    "the answers swapped": lambda points: answered(KEY, points)[::-1],
    "the points sent back": lambda points: (points[0][1:33], points[1][1:33]),
    "one answer twice": lambda points: (KEY.x_of(points[0]),) * 2,
    "the first of another key": lambda points: (OTHER.x_of(points[0]), KEY.x_of(points[1])),
    "the second of another key": lambda points: (KEY.x_of(points[0]), OTHER.x_of(points[1])),
    "the first of another point": lambda points: (X_OF_RESULT, KEY.x_of(points[1])),
    "the second of another point": lambda points: (KEY.x_of(points[0]), X_OF_RESULT),
    "no point's coordinate": lambda points: (_no_square(), _no_square()),
    "too large a number": lambda points: (b"\xff" * 32, b"\xff" * 32),
    "whole points": lambda points: points,
    "nothing": lambda points: (b"", b""),
    "zero": lambda points: (bytes(32), bytes(32)),
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_every_other_answer_is_refused_with_one_code(lie: str) -> None:
    """R-HARD-5: also with the two points in either order."""
    for order in (0, 1):
        blinded = blind(PASSWORD, drawn(11, 13, 17, order))
        with pytest.raises(DataError) as caught:
            blinded.accept(KEY.public, LIES[lie](blinded.sent))
        assert caught.value.code == "factor.hardening"


def test_the_right_answers_are_refused_where_another_key_is_pinned() -> None:
    """R-HARD-6."""
    blinded = blind(PASSWORD, os.urandom)
    with pytest.raises(DataError) as caught:
        blinded.accept(OTHER.public, answered(KEY, blinded.sent))
    assert caught.value.code == "factor.hardening"


# --- what is sent ----------------------------------------------------------------------------


def drawn(r: int, t: int, s: int, order: int) -> Callable[[int], bytes]:
    values = iter([*(value.to_bytes(32, "big") for value in (r, t, s)), bytes([order])])
    return lambda size: next(values)


def test_the_points_are_fresh_each_time_and_both_have_an_even_y() -> None:
    """R-HARD-2: nothing tells the two apart, or two evaluations of one password together."""
    sent = [blind(PASSWORD, os.urandom).sent for _ in range(8)]
    points = [decode_point(raw) for pair in sent for raw in pair]
    assert all(y % 2 == 0 for _, y in points)
    assert len({x for x, _ in points}) == len(points)
    assert PASSWORD[0] not in {x for x, _ in points}


def test_the_order_is_drawn() -> None:
    """R-HARD-2."""
    straight, swapped = (blind(PASSWORD, drawn(3, 5, 7, order)) for order in (0, 1))
    assert straight.sent == swapped.sent[::-1]
    for blinded in (straight, swapped):
        assert blinded.accept(KEY.public, answered(KEY, blinded.sent)).reveal() == X_OF_RESULT


def test_scalars_outside_of_the_group_are_drawn_again() -> None:
    """R-HARD-2."""
    values = [bytes(32), b"\xff" * 32, P256_ORDER.to_bytes(32, "big")]
    values += [(3).to_bytes(32, "big"), (5).to_bytes(32, "big"), bytes(32), (7).to_bytes(32, "big")]
    queue = iter([*values, b"\x00"])
    assert blind(PASSWORD, lambda size: next(queue)).sent == blind(PASSWORD, drawn(3, 5, 7, 0)).sent


def test_points_that_cancel_out_are_refused() -> None:
    three = decode_point(agreement_key(3).public)
    five_times = lift(agreement_key(5).x_of(agreement_key(3).public))
    sign = 1 if five_times == decode_point(agreement_key(15).public) else -1
    with pytest.raises(DataError) as caught:
        blind(three, drawn(2, 5, -sign * 15 % P256_ORDER, 0))
    assert caught.value.code == "factor.hardening"


def test_nothing_secret_shows_in_what_is_under_way() -> None:
    shown = repr(blind(PASSWORD, drawn(0x1234567, 5, 7, 0)))
    assert str(0x1234567) not in shown
    assert "_t" not in shown
    assert "_s" not in shown


# --- each check is needed --------------------------------------------------------------------


def mutated(old: str, new: str) -> Any:
    """The module with one check switched off."""
    source = Path(evaluation.__file__).read_text(encoding="utf-8")
    assert source.count(old) == 1, old
    module = types.ModuleType("mutated_evaluation")
    module.__dict__["__name__"] = "mutated_evaluation"
    sys.modules[module.__name__] = module
    exec(compile(source.replace(old, new), "mutated_evaluation", "exec"), module.__dict__)
    return module


def knows_s(scalar: int, s: int, points: Answers) -> Iterator[Answers]:
    """The liar knows s, and in which order the points come: it makes the second answer fit."""
    liar, masking = agreement_key(scalar), decode_point(agreement_key(s).public)
    for side in (decode_point(points[1]), negative(decode_point(points[1]))):
        multiplied = add(side, negative(masking))
        assert multiplied is not None
        image = lift(liar.x_of(encode_point(multiplied)))
        fitting = add(image, lift(agreement_key(s).x_of(KEY.public)))
        assert fitting is not None
        yield liar.x_of(points[0]), encode_coordinate(fitting[0])


MUTATIONS = {
    "the second answer is not compared": (
        "if not self._fits(encode_point(lift(unblinded)), public, second):",
        "if False:",
    ),
    "any answer fits": ("return point is not None and equal(", "return True or equal("),
    "K is not used": ("lift(self._s.x_of(public))", "lift(self._s.x_of(agreement_key(1).public))"),
}


@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
def test_without_this_check_the_scalar_one_passes(mutation: str) -> None:
    """R-HARD-5: the client would take x(P) itself, which anybody computes from a password."""
    module = mutated(*MUTATIONS[mutation])
    blinded = module.blind(PASSWORD, os.urandom)
    accepted = blinded.accept(KEY.public, of(1)(blinded.sent))
    assert accepted.reveal() == encode_coordinate(PASSWORD[0])


def test_where_the_server_knows_s_the_scalar_one_passes() -> None:
    """R-HARD-2: s is drawn anew and kept; this is what it keeps away."""
    module = mutated(
        "r, t, s = (_scalar(randomness) for _ in range(3))",
        "r, t, s = _scalar(randomness), _scalar(randomness), 7",
    )
    taken = []
    for _ in range(3):
        blinded = module.blind(PASSWORD, lambda size: os.urandom(size) if size > 1 else b"\x00")
        for answers in knows_s(1, 7, blinded.sent):
            try:
                taken.append(blinded.accept(KEY.public, answers).reveal())
            except DataError:
                continue
    assert encode_coordinate(PASSWORD[0]) in taken


# --- the bound, in groups that are small enough to count ---------------------------------------


@pytest.mark.parametrize("n", [7, 11, 13])
def test_in_a_small_group_the_best_liar_is_accepted_as_often_as_the_proof_allows(n: int) -> None:
    """R-HARD-5: every k, p, answer and pair (s, t), with points as their logarithms."""
    half = set(range(1, n, 2))  # one of each pair {w, -w}: stands for "y is even"
    best = Fraction(0)
    for p, k, m in itertools.product(range(1, n), repeat=3):
        if m in (p * k % n, -p * k % n):
            continue
        accepted: dict[tuple[int, int], int] = {}
        seen: dict[int, int] = {}
        for t, s in itertools.product(range(1, n), repeat=2):
            multiplied = t * p % n
            b = ((multiplied if multiplied in half else -multiplied) + s) % n
            if b == 0:
                continue
            sent = b if b in half else n - b
            seen[sent] = seen.get(sent, 0) + 1
            sums = {(t * m + s * k) % n, (t * m - s * k) % n}
            for answer in {min(v, n - v) for v in sums if v}:
                accepted[sent, answer] = accepted.get((sent, answer), 0) + 1
        best = max([best, *(Fraction(hits, seen[sent]) for (sent, _), hits in accepted.items())])
    assert 0 < best <= Fraction(4, n - 2)
