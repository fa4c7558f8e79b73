"""Who may say what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.membership.world import (
    ANNA,
    BERND,
    CLARA,
    DEPLOYMENT,
    DORA,
    EMIL,
    FRITZ,
    POLICY,
    STRANGER,
    Person,
    begin,
    every_op,
    founding,
    next_key,
    person,
    refused,
    rekey,
    signed,
    signed_found,
    ward,
)
from twinlock.core.membership import (
    Add,
    AgentPlacement,
    Leave,
    Policy,
    Reason,
    Role,
    SetAdmins,
    SetPolicy,
    add_signature,
    apply,
    replay,
    required_admins,
    sign_entry,
)
from twinlock.core.ports import OuterSuite

ADMIN_OPS = sorted(every_op(ward().state))
NEW_CLARA = person("Clara", 1)


@pytest.mark.parametrize("name", ADMIN_OPS)
def test_an_admin_alone_changes_a_group_with_admin_k_1(name: str) -> None:
    """R-LOG-11: an admin operation needs admin_k distinct admins."""
    log = ward()
    before = log.state
    log.say(every_op(before)[name], ANNA)
    assert log.state.seq == before.seq + 1
    assert replace(log.state, seq=before.seq, head=before.head) != before


@pytest.mark.parametrize("name", ADMIN_OPS)
@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        (CLARA, Reason.NOT_AN_ADMIN),
        (DORA, Reason.NOT_AN_ADMIN),
        (EMIL, Reason.REMOVED_MEMBER),
        (STRANGER, Reason.NOT_A_MEMBER),
        (person("Anna", 1), Reason.OTHER_KEY),
    ],
    ids=["member", "the-member-concerned", "removed", "stranger", "admin-with-another-key"],
)
def test_nobody_but_an_admin_says_an_admin_operation(
    name: str, actor: Person, reason: Reason
) -> None:
    """R-LOG-11, R-LOG-18: members, removed members and strangers are refused."""
    state = ward().state
    with refused("log.not-allowed", reason):
        apply(state, signed(state, every_op(state)[name], actor))


@pytest.mark.parametrize("name", ADMIN_OPS)
@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], Reason.TOO_FEW_ADMINS),
        ([BERND], None),
        ([CLARA], Reason.STRAY_SIGNATURE),
        ([EMIL], Reason.STRAY_SIGNATURE),
        ([STRANGER], Reason.STRAY_SIGNATURE),
        ([BERND, CLARA], Reason.STRAY_SIGNATURE),
        ([person("Bernd", 1)], Reason.OTHER_KEY),
        ([person("Anna", 1)], Reason.STRAY_SIGNATURE),
    ],
    ids=[
        "alone",
        "second-admin",
        "member",
        "removed",
        "stranger",
        "second-admin-and-member",
        "second-admin-with-another-key",
        "the-same-admin-twice",
    ],
)
def test_with_admin_k_2_two_distinct_admins_sign(
    name: str, others: list[Person], reason: Reason | None
) -> None:
    """R-LOG-7, R-LOG-11: exactly admins sign, each counts once."""
    state = ward(admin_k=2).state
    entry = signed(state, every_op(state)[name], ANNA, *others)
    if reason is None:
        assert apply(state, entry).seq == state.seq + 1
    else:
        with refused("log.not-allowed", reason):
            apply(state, entry)


def test_two_admins_may_sign_what_one_may() -> None:
    """R-LOG-7: further admins' signatures are welcome in a group with admin_k 1."""
    state = ward().state
    assert FRITZ.id in apply(state, signed(state, Add(FRITZ.member), ANNA, BERND)).members


@pytest.mark.parametrize("admin_k", [1, 2])
@pytest.mark.parametrize("actor", [ANNA, CLARA], ids=["admin", "member"])
def test_a_member_renews_his_own_keys_alone(admin_k: int, actor: Person) -> None:
    """R-LOG-14: a member-rekey needs no admin, whatever admin_k is."""
    state = ward(admin_k).state
    new = person(actor.member.name, 1)
    membership = apply(state, signed(state, rekey(state, new), actor, new)).members[actor.id]
    assert membership.member == new.member
    assert membership.role is state.members[actor.id].role


@pytest.mark.parametrize("admin_k", [1, 2])
def test_a_member_leaves_alone(admin_k: int) -> None:
    """R-LOG-14: a leave needs no admin, whatever admin_k is."""
    state = ward(admin_k).state
    after = apply(state, signed(state, Leave(next_key(state)), CLARA))
    assert CLARA.id not in after.members
    assert after.removed[CLARA.id] == after.seq


@pytest.mark.parametrize("actor", [EMIL, STRANGER], ids=["removed", "stranger"])
def test_only_a_member_leaves_or_renews_keys(actor: Person) -> None:
    """R-LOG-14, R-LOG-18: someone outside the group says nothing in it."""
    state = ward().state
    reason = Reason.REMOVED_MEMBER if actor is EMIL else Reason.NOT_A_MEMBER
    new = person(actor.member.name, 1)
    with refused("log.not-allowed", reason):
        apply(state, signed(state, Leave(next_key(state)), actor))
    with refused("log.not-allowed", reason):
        apply(state, signed(state, rekey(state, new), actor, new))


def test_a_leave_bears_one_signature() -> None:
    """R-LOG-7: an admin's signature under somebody's leave is refused."""
    state = ward().state
    with refused("log.not-allowed", Reason.STRAY_SIGNATURE):
        apply(state, signed(state, Leave(next_key(state)), CLARA, ANNA))


@pytest.mark.parametrize(
    "others",
    [[], [STRANGER], [ANNA], [NEW_CLARA, ANNA], [person("Clara", 2)]],
    ids=["missing", "stranger", "admin", "new-key-and-admin", "another-new-key"],
)
def test_a_member_rekey_is_signed_by_the_new_key_too_and_by_nobody_else(
    others: list[Person],
) -> None:
    """R-LOG-15: the new signing key proves that it is held."""
    state = ward().state
    with refused("log.not-allowed", Reason.NEW_KEY_SIGNATURE):
        apply(state, signed(state, rekey(state, NEW_CLARA), CLARA, *others))


def test_a_member_rekey_cannot_be_signed_with_the_new_key_alone() -> None:
    """R-LOG-15: the old key is what the log knows."""
    state = ward().state
    with refused("log.not-allowed", Reason.OTHER_KEY):
        apply(state, signed(state, rekey(state, NEW_CLARA), NEW_CLARA, CLARA))


def test_after_a_member_rekey_the_old_key_signs_nothing() -> None:
    """R-LOG-15: the old keys are retired by the entry."""
    state = ward().state
    new = person("Anna", 1)
    after = apply(state, signed(state, rekey(state, new), ANNA, new))
    with refused("log.not-allowed", Reason.OTHER_KEY):
        apply(after, signed(after, Add(FRITZ.member), ANNA))
    assert FRITZ.id in apply(after, signed(after, Add(FRITZ.member), new)).members


@pytest.mark.parametrize(
    ("founder", "others", "reason"),
    [
        (ANNA, [], None),
        (BERND, [], None),
        (CLARA, [], Reason.NOT_AN_ADMIN),
        (ANNA, [BERND], Reason.STRAY_SIGNATURE),
        (ANNA, [person("Anna", 1)], Reason.STRAY_SIGNATURE),
    ],
    ids=["admin", "another-admin", "member", "two-admins", "two-keys"],
)
def test_a_group_is_founded_by_one_of_its_admins(
    founder: Person, others: list[Person], reason: Reason | None
) -> None:
    """R-LOG-10: exactly one founding admin signs entry 0."""
    entry = signed_found(founding([ANNA, BERND], [CLARA]), founder)
    for other in others:
        entry = add_signature(entry, other.signing, other.id)
    if reason is None:
        assert replay([entry.encode()], deployment_id=DEPLOYMENT).admins == {ANNA.id, BERND.id}
    else:
        with refused("log.not-allowed", reason):
            replay([entry.encode()], deployment_id=DEPLOYMENT)


@pytest.mark.parametrize(
    ("claimed", "reason"),
    [(STRANGER, Reason.NOT_A_MEMBER), (person("Anna", 1), Reason.OTHER_KEY)],
    ids=["not-in-it", "with-a-key-that-is-not-in-it"],
)
def test_nobody_else_founds_a_group(claimed: Person, reason: Reason) -> None:
    """R-LOG-10: the founder and his key stand in entry 0."""
    genuine = signed_found(founding([ANNA, BERND])).entry
    entry = replace(genuine, actor_id=claimed.id, actor_kid=claimed.member.signing_kid)
    signed_entry = sign_entry(entry.encode(), claimed.signing, claimed.id)
    with refused("log.not-allowed", reason):
        replay([signed_entry.encode()], deployment_id=DEPLOYMENT)


LAX = Policy(
    outer_suites=frozenset(OuterSuite),
    agent_placement=AgentPlacement.SERVER,
)


@pytest.mark.parametrize(
    ("admins", "admin_k", "signers", "code"),
    [
        ([ANNA], 1, [ANNA], None),
        ([ANNA, BERND], 1, [ANNA], "log.policy-lowered"),
        ([ANNA, BERND], 1, [ANNA, BERND], None),
        ([ANNA, BERND, DORA], 1, [ANNA, BERND], "log.policy-lowered"),
        ([ANNA, BERND, DORA], 1, [ANNA, BERND, DORA], None),
        ([ANNA, BERND, DORA], 2, [ANNA], "log.policy-lowered"),
        ([ANNA, BERND, DORA], 2, [DORA, ANNA], None),
        ([ANNA, BERND, DORA], 3, [ANNA, BERND], "log.policy-lowered"),
    ],
)
def test_lowering_a_floor_takes_every_admin_or_admin_k_of_them(
    admins: list[Person], admin_k: int, signers: list[Person], code: str | None
) -> None:
    """R-LOG-13: a single admin of several lowers nothing."""
    state = begin(founding(admins, [CLARA], admin_k=admin_k)).state
    entry = signed(state, SetPolicy(LAX), *signers)
    assert required_admins(state, SetPolicy(LAX)) == (admin_k if admin_k > 1 else len(admins))
    if code is None:
        assert apply(state, entry).policy == LAX
    else:
        with refused(code):
            apply(state, entry)


def test_raising_a_floor_takes_one_admin() -> None:
    """R-LOG-13: only lowering is hard."""
    stricter = replace(POLICY, budget_per_hour=10, click_each=True)
    assert ward().say(SetPolicy(stricter), BERND).policy == stricter


def test_required_admins_is_zero_for_what_a_member_says_for_himself() -> None:
    """R-LOG-14: neither leave nor member-rekey waits for an admin."""
    state = ward(admin_k=2).state
    assert required_admins(state, Leave(next_key(state))) == 0
    assert required_admins(state, rekey(state, NEW_CLARA)) == 0
    assert required_admins(state, Add(FRITZ.member)) == 2


@pytest.mark.parametrize("admin_k", [1, 2])
def test_a_new_admin_acts_and_a_former_one_does_not(admin_k: int) -> None:
    """R-LOG-11: being an admin is decided by the log before the entry."""
    log = ward(admin_k)
    log.say(SetAdmins(frozenset({BERND.id, CLARA.id}), admin_k), ANNA, BERND)
    assert log.state.members[ANNA.id].role is Role.MEMBER
    with refused("log.not-allowed", Reason.NOT_AN_ADMIN):
        log.say(Add(FRITZ.member), ANNA, BERND)
    log.say(Add(FRITZ.member), CLARA, BERND)
