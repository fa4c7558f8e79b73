"""What no signature makes possible: the rules that keep a group alive and its keys apart."""

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
    PQ,
    STRANGER,
    Log,
    Person,
    begin,
    epoch_key,
    every_op,
    founding,
    next_key,
    person,
    pq_person,
    refused,
    rekey,
    signed,
    signed_found,
    ward,
    writer,
)
from twinlock.core.membership import (
    Add,
    EpochKey,
    Leave,
    Member,
    MemberRekey,
    NewEpoch,
    Op,
    Policy,
    Reason,
    Remove,
    Role,
    SetAdmins,
    SetIdentity,
    SetPolicy,
    SetWriters,
    add_signature,
    apply,
    replay,
)
from twinlock.core.membership.ops import decode_op
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import Kem

BOTH = frozenset({ANNA.id, BERND.id})


# --- Admins -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("admins", "admin_k", "code", "reason"),
    [
        ({ANNA}, 1, None, None),
        ({CLARA, DORA}, 1, None, None),
        ({ANNA, BERND}, 2, None, None),
        (set(), 1, "log.last-admin", None),
        ({ANNA}, 2, "log.last-admin", None),
        ({ANNA, STRANGER}, 1, "log.not-allowed", Reason.UNKNOWN_MEMBER),
        ({ANNA, EMIL}, 1, "log.not-allowed", Reason.UNKNOWN_MEMBER),
    ],
    ids=["fewer", "others", "k-raised", "none", "fewer-than-k", "stranger", "removed"],
)
def test_set_admins(
    admins: set[Person], admin_k: int, code: str | None, reason: Reason | None
) -> None:
    """R-LOG-12, R-LOG-16: admins are members, and at least admin_k of them."""
    log = ward()
    op = SetAdmins(frozenset(one.id for one in admins), admin_k)
    if code is not None:
        with refused(code, reason):
            log.say(op, ANNA)
        return
    state = log.say(op, ANNA)
    assert (state.admins, state.admin_k) == (op.admins, admin_k)
    roles = {member_id for member_id, m in state.members.items() if m.role is Role.ADMIN}
    assert roles == op.admins


def test_admin_k_is_never_lowered() -> None:
    """R-LOG-12: not even by every admin together."""
    log = ward(admin_k=2)
    with refused("log.not-allowed", Reason.ADMIN_K_LOWERED):
        log.say(SetAdmins(BOTH, 1), ANNA, BERND)


@pytest.mark.parametrize(
    ("how", "admins", "admin_k", "code"),
    [
        ("leaves", [ANNA], 1, "log.last-admin"),
        ("leaves", [ANNA, BERND], 1, None),
        ("leaves", [ANNA, BERND], 2, "log.last-admin"),
        ("leaves", [ANNA, BERND, DORA], 2, None),
        ("is-removed", [ANNA, BERND], 1, None),
        ("is-removed", [ANNA, BERND], 2, "log.last-admin"),
        ("is-removed", [ANNA, BERND, DORA], 2, None),
    ],
)
def test_as_many_admins_stay_as_must_sign(
    how: str, admins: list[Person], admin_k: int, code: str | None
) -> None:
    """R-LOG-16: the last admin cannot go, nor one of the last admin_k."""
    log = begin(founding(admins, [CLARA, EMIL], admin_k=admin_k))

    def go() -> None:
        if how == "leaves":
            log.leave(ANNA)
        else:
            log.remove(ANNA, BERND, *(one for one in admins if one is not BERND))

    if code is None:
        go()
        assert ANNA.id not in log.state.admins
    else:
        with refused(code):
            go()


@pytest.mark.parametrize("admin_k", [2, 3])
def test_a_group_is_founded_with_as_many_admins_as_must_sign(admin_k: int) -> None:
    """R-LOG-16: else nobody could ever change it."""
    entry = signed_found(founding([ANNA], [BERND, CLARA], admin_k=admin_k)).encode()
    with refused("log.last-admin"):
        replay([entry], deployment_id=DEPLOYMENT)


def test_nobody_removes_himself() -> None:
    """R-LOG-24: whoever goes by himself says leave."""
    with refused("log.not-allowed", Reason.USE_LEAVE):
        ward().remove(ANNA, ANNA)


# --- Openers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("recovery", [None, b"r" * 32], ids=["no-recovery", "recovery"])
@pytest.mark.parametrize("how", ["remove", "leave"])
def test_two_openers_stay_unless_a_recovery_group_is_named(
    recovery: bytes | None, how: str
) -> None:
    """R-LOG-17: a group that had two members never falls to one by itself."""
    log = begin(founding([ANNA], [CLARA], recovery=recovery))

    def go() -> None:
        log.remove(CLARA, ANNA) if how == "remove" else log.leave(CLARA)

    if recovery is None:
        with refused("log.last-opener"):
            go()
    else:
        go()
        assert set(log.state.members) == {ANNA.id}


def test_the_two_openers_may_be_exchanged() -> None:
    """R-LOG-17: three may become two, and the second may be another one."""
    log = begin(founding([ANNA], [CLARA]))
    log.say(Add(DORA.member), ANNA)
    log.remove(CLARA, ANNA)
    assert set(log.state.members) == {ANNA.id, DORA.id}
    with refused("log.last-opener"):
        log.remove(DORA, ANNA)


def test_a_group_may_begin_with_one_member() -> None:
    """R-LOG-17: the rule begins with the second member."""
    log = begin()
    log.say(NewEpoch(log.next_key()), ANNA)
    log.say(Add(CLARA.member), ANNA)
    with refused("log.last-opener"):
        log.remove(CLARA, ANNA)


# --- Keys -------------------------------------------------------------------------------------


def mixed(name: str, kem_of: Person, signing_of: Person) -> Member:
    other = person(name).member
    kem, signing = kem_of.member, signing_of.member
    return Member(other.member_id, name, kem.kem, kem.kem_public, signing.signing_public)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (FRITZ.member, None),
        (person("Emil", 1).member, None),
        (CLARA.member, Reason.ALREADY_MEMBER),
        (person("Clara", 1).member, Reason.ALREADY_MEMBER),
        (mixed("Fritz", CLARA, FRITZ), Reason.KEY_IN_USE),
        (mixed("Fritz", FRITZ, CLARA), Reason.KEY_IN_USE),
        (EMIL.member, Reason.KEY_RETIRED),
        (mixed("Fritz", EMIL, FRITZ), Reason.KEY_RETIRED),
        (mixed("Fritz", FRITZ, EMIL), Reason.KEY_RETIRED),
        (
            Member(
                FRITZ.id,
                "Fritz",
                Kem.DHKEM_P256,
                FRITZ.member.signing_public,
                FRITZ.member.signing_public,
            ),
            Reason.KEY_IN_USE,
        ),
    ],
    ids=[
        "new",
        "back-with-other-keys",
        "already-in",
        "already-in-with-other-keys",
        "kem-key-of-another",
        "signing-key-of-another",
        "back-with-old-keys",
        "kem-key-of-one-removed",
        "signing-key-of-one-removed",
        "one-key-for-both-uses",
    ],
)
def test_a_key_has_one_member_once_and_one_use(member: Member, reason: Reason | None) -> None:
    """R-LOG-18, R-LOG-19: nobody counts twice, and no retired key comes back."""
    log = ward()
    if reason is not None:
        with refused("log.not-allowed", reason):
            log.say(Add(member), ANNA)
        return
    state = log.say(Add(member), ANNA)
    assert state.members[member.member_id].member == member
    assert member.member_id not in state.removed


@pytest.mark.parametrize("field", ["kem_public", "signing_public"])
@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (DORA, Reason.KEY_IN_USE),
        (EMIL, Reason.KEY_RETIRED),
        (CLARA, Reason.KEY_RETIRED),
    ],
    ids=["of-another", "of-one-removed", "of-his-own-again"],
)
def test_a_member_rekey_brings_two_fresh_keys(field: str, other: Person, reason: Reason) -> None:
    """R-LOG-15, R-LOG-19: keys of others, of the removed and one's own old ones are refused."""
    state = ward().state
    new = person("Clara", 1)
    op = replace(rekey(state, new), **{field: getattr(other.member, field)})
    second = other if field == "signing_public" else new
    entry = signed(state, op, CLARA)
    if second is CLARA:
        # The old key stands for both, and one key signs once.
        with refused("log.not-allowed", Reason.NEW_KEY_SIGNATURE):
            apply(state, entry)
        return
    with refused("log.not-allowed", reason):
        apply(state, add_signature(entry, second.signing, CLARA.id))


def test_founders_have_keys_and_ids_of_their_own() -> None:
    """R-LOG-19: one person is not two founding admins."""
    twice = Member(BERND.id, "Bernd", *_keys(ANNA))
    for second, reason in ((twice, Reason.KEY_IN_USE), (ANNA.member, Reason.ALREADY_MEMBER)):
        op = replace(
            founding(), members=((ANNA.member, Role.ADMIN), (second, Role.ADMIN)), admin_k=2
        )
        with refused("log.not-allowed", reason):
            replay([signed_found(op).encode()], deployment_id=DEPLOYMENT)


def _keys(one: Person) -> tuple[Kem, bytes, bytes]:
    return one.member.kem, one.member.kem_public, one.member.signing_public


# --- Epochs -----------------------------------------------------------------------------------


def epoch_ops(key: EpochKey) -> dict[str, tuple[Op, Person, list[Person]]]:
    new = person("Clara", 1)
    member = new.member
    renewed = MemberRekey(member.kem, member.kem_public, member.signing_public, key)
    return {
        "remove": (Remove(DORA.id, key), ANNA, []),
        "leave": (Leave(key), CLARA, []),
        "new-epoch": (NewEpoch(key), ANNA, []),
        "member-rekey": (renewed, CLARA, [new]),
    }


@pytest.mark.parametrize("name", ["remove", "leave", "new-epoch", "member-rekey"])
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (epoch_key(3), None),
        (epoch_key(3, PQ), None),
        (epoch_key(4), Reason.EPOCH_NUMBER),
        (epoch_key(2, tag="again"), Reason.EPOCH_NUMBER),
        (EpochKey(3, Kem.DHKEM_P256, epoch_key(2).public), Reason.EPOCH_KEY_REUSED),
        (EpochKey(3, Kem.DHKEM_P256, epoch_key(1).public), Reason.EPOCH_KEY_REUSED),
    ],
    ids=["next", "next-other-kem", "skipped", "same", "current-key", "older-key"],
)
def test_an_epoch_is_the_next_one_with_a_new_key(
    name: str, key: EpochKey, reason: Reason | None
) -> None:
    """R-LOG-20: epochs are numbered without gaps and never share a key."""
    state = ward().state
    op, by, others = epoch_ops(key)[name]
    entry = signed(state, op, by, *others)
    if reason is not None:
        with refused("log.not-allowed", reason):
            apply(state, entry)
        return
    epoch = apply(state, entry).current_epoch
    assert epoch.key == key
    assert (epoch.seq, epoch.entry_hash, epoch.made_by) == (state.seq + 1, entry.entry_hash, by.id)


def test_a_removal_and_its_epoch_are_one_entry() -> None:
    """R-LOG-20: no moment lies between being out and the key being another one."""
    log = ward()
    state = log.remove(DORA, ANNA)
    assert DORA.id not in state.members
    assert state.removed[DORA.id] == state.current_epoch.seq == state.seq


def test_a_member_who_is_not_there_cannot_be_removed() -> None:
    """R-LOG-20: neither a stranger nor somebody removed before."""
    for one in (STRANGER, EMIL):
        with refused("log.not-allowed", Reason.UNKNOWN_MEMBER):
            ward().remove(one, ANNA)


def test_after_a_leave_the_group_wants_a_new_epoch_of_somebody_who_stayed() -> None:
    """R-LOG-24: the one who left made the key of the epoch that began with it."""
    log = ward()
    assert not log.state.needs_new_epoch
    assert log.leave(CLARA).needs_new_epoch
    assert not log.say(NewEpoch(log.next_key()), ANNA).needs_new_epoch


def test_a_removal_of_the_maker_of_the_key_makes_another_one() -> None:
    """R-LOG-20: removing is done by somebody who stays."""
    log = ward()
    log.say(NewEpoch(log.next_key()), BERND)
    assert not log.remove(BERND, ANNA).needs_new_epoch


# --- Post-quantum keys at rest ------------------------------------------------------------------

PQ_POLICY = Policy(outer_suites=frozenset({OuterSuite.TOKEN_AES}), pq_at_rest=True)
PQ_ANNA, PQ_BERND, PQ_FRITZ = (pq_person(name) for name in ("Anna", "Bernd", "Fritz"))


def pq_ward() -> Log:
    return begin(founding([PQ_ANNA, PQ_BERND], policy=PQ_POLICY, kem=PQ), PQ_ANNA)


@pytest.mark.parametrize(
    ("op", "allowed"),
    [
        (Add(PQ_FRITZ.member), True),
        (Add(FRITZ.member), False),
        (NewEpoch(epoch_key(2, PQ)), True),
        (NewEpoch(epoch_key(2)), False),
    ],
    ids=["pq-member", "classical-member", "pq-epoch", "classical-epoch"],
)
def test_a_group_with_pq_at_rest_takes_only_pq_keys(op: Op, allowed: bool) -> None:
    """R-LOG-21: members' KEM keys and group keys are MLKEM768-X25519."""
    log = pq_ward()
    if allowed:
        assert log.say(op, PQ_ANNA).seq == 1
    else:
        with refused("log.not-allowed", Reason.PQ_REQUIRED):
            log.say(op, PQ_ANNA)


def test_a_member_rekey_does_not_lead_back_to_classical_keys() -> None:
    """R-LOG-21: not for the member's key."""
    state = pq_ward().state
    classical = person("Bernd", 1)
    key = next_key(state, PQ)
    op = MemberRekey(*_keys(classical), key)
    with refused("log.not-allowed", Reason.PQ_REQUIRED):
        apply(state, signed(state, op, PQ_BERND, classical))


def test_pq_at_rest_begins_when_every_member_and_the_epoch_have_pq_keys() -> None:
    """R-LOG-21: the policy says nothing that the keys do not keep."""
    log = begin(founding([ANNA], [CLARA]))
    want = SetPolicy(replace(log.state.policy, pq_at_rest=True))
    new_anna, new_clara = pq_person("Anna", 1), pq_person("Clara", 1)
    log.say(rekey(log.state, new_anna), ANNA, new_anna)
    with refused("log.not-allowed", Reason.PQ_REQUIRED):
        log.say(want, new_anna)
    log.say(rekey(log.state, new_clara), CLARA, new_clara)
    with refused("log.not-allowed", Reason.PQ_REQUIRED):
        log.say(want, new_anna)
    log.say(NewEpoch(next_key(log.state, PQ)), new_anna)
    assert log.say(want, new_anna).policy.pq_at_rest


def test_a_group_with_pq_at_rest_is_founded_with_pq_keys() -> None:
    """R-LOG-21: from the first entry."""
    for admin, kem in ((ANNA, PQ), (PQ_ANNA, Kem.DHKEM_P256)):
        entry = signed_found(founding([admin], policy=PQ_POLICY, kem=kem), admin).encode()
        with refused("log.not-allowed", Reason.PQ_REQUIRED):
            replay([entry], deployment_id=DEPLOYMENT)


# --- Settings -----------------------------------------------------------------------------------


def test_set_writers_is_the_complete_list() -> None:
    """R-LOG-22: a writer who is not in the newest list is none."""
    log = ward()
    log.say(SetWriters((writer("lab"), writer("intake"))), ANNA)
    assert set(log.state.writers) == {writer("lab").kid, writer("intake").kid}
    log.say(SetWriters((writer("intake"),)), ANNA)
    assert dict(log.state.writers) == {writer("intake").kid: writer("intake")}
    assert not log.say(SetWriters(()), ANNA).writers


def test_the_list_of_admins_has_one_order() -> None:
    """R-LOG-1: ascending, each once."""
    ids = sorted(BOTH)
    assert SetAdmins.from_body([ids, 1]) == SetAdmins(BOTH, 1)
    for wrong in (ids[::-1], [ids[0], *ids]):
        with refused("format.malformed"):
            decode_op("set-admins", [wrong, 1])


def test_one_key_is_not_two_writers() -> None:
    """R-LOG-22: a signature names its writer."""
    one = writer("lab")
    with refused("log.writer-twice"):
        SetWriters((one, replace(one, name="intake")))


def test_set_identity_names_the_token_that_members_vouch_for() -> None:
    """R-LOG-23: it replaces the fingerprint of the founding entry."""
    log = ward()
    assert log.say(SetIdentity(b"i" * 32), ANNA).identity_fingerprint == b"i" * 32


@pytest.mark.parametrize("name", sorted(every_op(ward().state)))
def test_a_refused_entry_changes_nothing(name: str) -> None:
    """R-LOG-27: apply leaves its argument as it was, whether it accepts or refuses."""
    log = ward()
    before, kept = log.state, ward_snapshot(log)
    op = every_op(before)[name]
    apply(before, signed(before, op, ANNA))
    with refused("log.not-allowed", Reason.NOT_AN_ADMIN):
        apply(before, signed(before, op, CLARA))
    assert ward_snapshot(log) == kept


def ward_snapshot(log: Log) -> tuple[object, ...]:
    state = log.state
    return (dict(state.members), state.admins, dict(state.epochs), dict(state.writers), state.head)
