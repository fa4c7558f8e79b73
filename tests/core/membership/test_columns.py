"""How far a column's adoption has come, as the group's admins sign it."""

from __future__ import annotations

import pytest

from tests.core.membership.world import (
    ANNA,
    BERND,
    CLARA,
    DORA,
    Person,
    begin,
    founding,
    refused,
    signed,
    ward,
)
from twinlock.core.membership import ColumnState, SetColumn, apply, required_admins
from twinlock.core.membership.ops import decode_op

LEGACY, CUT_OVER = ColumnState
DIAGNOSIS = ("patient", "diagnosis")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([], None),
        ([LEGACY], LEGACY),
        ([LEGACY, CUT_OVER], CUT_OVER),
        ([CUT_OVER], CUT_OVER),
        ([LEGACY, LEGACY], LEGACY),
        ([CUT_OVER, CUT_OVER], CUT_OVER),
    ],
    ids=["never", "allowed", "cut-over", "at-once", "twice", "cut-over-twice"],
)
def test_one_admin_takes_a_column_forward(
    said: list[ColumnState], found: ColumnState | None
) -> None:
    """R-LOG-35: a column has the state that was set last, or none."""
    log = ward()
    for state in said:
        log.say(SetColumn(*DIAGNOSIS, state), ANNA)
    assert log.state.columns.get(DIAGNOSIS) == found


def test_a_column_is_set_alone() -> None:
    """R-LOG-35: neither the table's other columns nor the same name elsewhere move with it."""
    log = ward()
    log.say(SetColumn(*DIAGNOSIS, LEGACY), ANNA)
    log.say(SetColumn("patient", "note", LEGACY), ANNA)
    log.say(SetColumn("visit", "diagnosis", CUT_OVER), ANNA)
    assert dict(log.state.columns) == {
        DIAGNOSIS: LEGACY,
        ("patient", "note"): LEGACY,
        ("visit", "diagnosis"): CUT_OVER,
    }


@pytest.mark.parametrize(
    ("admins", "admin_k", "signers", "code"),
    [
        ([ANNA], 1, [ANNA], None),
        ([ANNA, BERND], 1, [ANNA], "log.policy-lowered"),
        ([ANNA, BERND], 1, [ANNA, BERND], None),
        ([ANNA, BERND, DORA], 2, [ANNA], "log.policy-lowered"),
        ([ANNA, BERND, DORA], 2, [DORA, ANNA], None),
    ],
)
def test_going_back_behind_a_cut_over_lowers_a_floor(
    admins: list[Person], admin_k: int, signers: list[Person], code: str | None
) -> None:
    """R-LOG-13: every admin, or admin_k of them where that is 2 or more."""
    log = begin(founding(admins, [CLARA], admin_k=admin_k))
    log.say(SetColumn(*DIAGNOSIS, CUT_OVER), *admins[:admin_k])
    back = SetColumn(*DIAGNOSIS, LEGACY)
    assert required_admins(log.state, back) == (admin_k if admin_k > 1 else len(admins))
    entry = signed(log.state, back, *signers)
    if code is None:
        assert apply(log.state, entry).columns[DIAGNOSIS] is LEGACY
    else:
        with refused(code):
            apply(log.state, entry)


@pytest.mark.parametrize(
    "body",
    [
        ["patient", "diagnosis", 0],
        ["patient", "diagnosis", 3],
        ["patient", "diagnosis", True],
        ["patient", "diagnosis", "legacy"],
        ["patient", "diagnosis"],
        ["patient", "diagnosis", 1, 1],
        ["", "diagnosis", 1],
        ["patient", "", 1],
        ["patient", "dia\ngnosis", 1],
        ["patient", "e\u0301tat", 1],
        [b"patient", "diagnosis", 1],
        ["p" * 201, "diagnosis", 1],
    ],
)
def test_a_body_that_does_not_read_strictly_is_malformed(body: list[object]) -> None:
    """R-LOG-1, R-LOG-33: two names and a known state."""
    with refused("format.malformed"):
        decode_op("set-column", body)


def test_a_name_that_nobody_could_read_is_refused_when_it_is_made() -> None:
    """R-LOG-33: what could not be decoded is not encoded."""
    with refused("member.name"):
        SetColumn("patient", "dia\u202egnosis", LEGACY)
