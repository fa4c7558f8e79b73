"""What members state about their ways in, and what a group's policy makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    PQ,
    STRANGER,
    Log,
    Person,
    begin,
    every_own_op,
    founding,
    next_key,
    person,
    pq_person,
    refused,
    rekey,
    signed,
    signed_found,
    stating,
    ward,
)
from twinlock.core.membership import (
    Add,
    MemberCard,
    MemberRekey,
    Policy,
    Reason,
    RecoveryBegin,
    RecoveryCancel,
    Restate,
    SetPolicy,
    apply,
    decode_state,
    encode_state,
    replay,
    required_admins,
)
from twinlock.core.membership.ops import decode_op
from twinlock.core.ports import OuterSuite

EXCEPTED = ("scram-alone", "sole-passkey")
BOTH = frozenset(EXCEPTED)
OWN_OPS = sorted(every_own_op())


def lenient(*exceptions: str) -> Policy:
    return replace(POLICY, exceptions=frozenset(exceptions))


def lenient_ward(*exceptions: str) -> Log:
    return begin(founding([ANNA, BERND], [CLARA, DORA], policy=lenient(*exceptions)))


def traits(log: Log, one: Person) -> frozenset[str]:
    return log.state.members[one.id].member.traits


# --- The words ----------------------------------------------------------------------------------

KNOWN = ["pq-at-rest", "scram-alone", "sole-passkey"]


@pytest.mark.parametrize("said", [[], KNOWN, *([word] for word in KNOWN), KNOWN[::2]])
def test_known_traits_survive_the_encoding_of_all_that_carries_them(said: list[str]) -> None:
    """R-LOG-36: members, cards, new keys and restatements."""
    one = stating(FRITZ, *said)
    assert one.member.items()[5] == said
    assert type(one.member).from_items(one.member.items()) == one.member
    card = MemberCard(deployment_id=DEPLOYMENT, member=one.member).encode(one.signing)
    assert MemberCard.decode(card).member.traits == frozenset(said)
    for op in (Restate(frozenset(said)), rekey(ward().state, one)):
        assert decode_op(op.NAME, op.body()) == op


@pytest.mark.parametrize(
    "said",
    [
        ["no-factor"],
        ["pq-at-rest", "no-factor"],
        ["sole-passkey", "scram-alone"],
        ["scram-alone", "scram-alone"],
        [""],
        [b"scram-alone"],
        [None],
        "scram-alone",
        None,
    ],
)
def test_traits_are_known_words_in_one_order(said: Any) -> None:
    """R-LOG-36: ascending, each once, none that this version does not know."""
    member = FRITZ.member.items()
    with refused("format.malformed"):
        decode_op("restate", [said])
    with refused("format.malformed"):
        decode_op("add", [[*member[:5], said], "member"])
    with refused("format.malformed"):
        decode_op("member-rekey", [*member[2:5], said, *next_key(ward().state).items()])


@pytest.mark.parametrize(
    "make",
    [
        lambda: stating(FRITZ, "no-factor"),
        lambda: Restate(frozenset({"no-factor"})),
        lambda: replace(rekey(ward().state, FRITZ), traits=frozenset({"no-factor"})),
    ],
)
def test_an_unknown_trait_is_refused_when_it_is_made(make: Any) -> None:
    """R-LOG-36: what could not be decoded is not encoded."""
    with refused("log.trait"):
        make()


# --- Restating ----------------------------------------------------------------------------------


@pytest.mark.parametrize("admin_k", [1, 2])
@pytest.mark.parametrize("actor", [ANNA, CLARA], ids=["admin", "member"])
def test_a_member_restates_alone_and_nothing_else_changes(admin_k: int, actor: Person) -> None:
    """R-LOG-37: keys, role and epoch stay, and so does what sealed group keys are bound to."""
    log = ward(admin_k)
    before = log.state
    op = Restate(frozenset({"pq-at-rest"}))
    assert required_admins(before, op) == 0
    log.say(op, actor)
    assert traits(log, actor) == {"pq-at-rest"}
    old = before.members[actor.id]
    member = replace(old.member, traits=op.traits)
    members = {**before.members, actor.id: replace(old, member=member)}
    assert log.state == replace(before, members=members, seq=log.state.seq, head=log.state.head)
    assert decode_state(encode_state(log.state)) == log.state
    log.say(Restate(frozenset()), actor)
    assert traits(log, actor) == frozenset()


@pytest.mark.parametrize("name", OWN_OPS)
@pytest.mark.parametrize(
    ("actor", "others", "reason"),
    [
        (EMIL, [], Reason.REMOVED_MEMBER),
        (STRANGER, [], Reason.NOT_A_MEMBER),
        (person("Clara", 1), [], Reason.OTHER_KEY),
        (CLARA, [ANNA], Reason.STRAY_SIGNATURE),
    ],
    ids=["removed", "stranger", "another-key", "with-an-admin"],
)
def test_what_a_member_says_alone_is_signed_by_one_present_member(
    name: str, actor: Person, others: list[Person], reason: Reason
) -> None:
    """R-LOG-37, R-LOG-42."""
    state = ward().state
    with refused("log.not-allowed", reason):
        apply(state, signed(state, every_own_op()[name], actor, *others))


def test_new_keys_bring_what_their_owner_states_now() -> None:
    """R-LOG-36: what was stated about the old enrolments is forgotten."""
    log = lenient_ward(*EXCEPTED)
    log.say(Restate(BOTH), CLARA)
    new = stating(person("Clara", 1), "sole-passkey")
    log.say(rekey(log.state, new), CLARA, new)
    assert traits(log, CLARA) == {"sole-passkey"}
    newer = person("Clara", 2)
    log.say(rekey(log.state, newer), new, newer)
    assert traits(log, CLARA) == frozenset()


# --- Exceptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("exceptions", [(), ("scram-alone",), ("sole-passkey",), EXCEPTED])
@pytest.mark.parametrize("trait", EXCEPTED)
def test_a_trait_that_needs_an_exception_needs_it_everywhere(
    trait: str, exceptions: tuple[str, ...]
) -> None:
    """R-LOG-39: in found, add, member-rekey and restate."""
    state = lenient_ward(*exceptions).state
    policy, newcomer = lenient(*exceptions), stating(FRITZ, trait)
    new = stating(person("Clara", 1), trait)
    founded = signed_found(founding([ANNA], [newcomer], policy=policy))
    entries = [
        signed(state, Add(newcomer.member), ANNA),
        signed(state, rekey(state, new), CLARA, new),
        signed(state, Restate(frozenset({trait})), CLARA),
    ]
    if trait in exceptions:
        assert replay([founded.encode()], deployment_id=DEPLOYMENT).seq == 0
        for entry in entries:
            assert apply(state, entry).seq == state.seq + 1
        return
    with refused("log.not-allowed", Reason.NOT_EXCEPTED):
        replay([founded.encode()], deployment_id=DEPLOYMENT)
    for entry in entries:
        with refused("log.not-allowed", Reason.NOT_EXCEPTED):
            apply(state, entry)


@pytest.mark.parametrize("kept", [(), ("scram-alone",), ("sole-passkey",)])
def test_an_exception_stays_while_a_member_needs_it(kept: tuple[str, ...]) -> None:
    """R-LOG-40: it can be dropped when the member restated or went."""
    log = lenient_ward(*EXCEPTED)
    log.say(Restate(frozenset({"sole-passkey"})), CLARA)
    want = SetPolicy(lenient(*kept))
    if "sole-passkey" in kept:
        assert log.say(want, ANNA).policy == lenient(*kept)
        return
    with refused("log.not-allowed", Reason.NOT_EXCEPTED):
        log.say(want, ANNA)
    gone = Log(log.state, list(log.entries))
    gone.remove(CLARA, ANNA)
    assert gone.say(want, ANNA).policy == lenient(*kept)
    log.say(Restate(frozenset()), CLARA)
    assert log.say(want, ANNA).policy == lenient(*kept)


@pytest.mark.parametrize(
    ("admin_k", "signers", "code"),
    [
        (1, [ANNA], "log.policy-lowered"),
        (1, [ANNA, BERND], None),
        (2, [ANNA], "log.policy-lowered"),
        (2, [ANNA, BERND], None),
    ],
)
def test_an_exception_lowers_a_floor(admin_k: int, signers: list[Person], code: str | None) -> None:
    """R-LOG-41: it takes every admin, or admin_k of them; to drop it takes no more than others."""
    log = begin(founding([ANNA, BERND], [CLARA], admin_k=admin_k))
    want = SetPolicy(lenient("scram-alone"))
    if code is not None:
        with refused(code):
            log.say(want, *signers)
        return
    log.say(want, *signers)
    assert log.say(SetPolicy(POLICY), *signers[:admin_k]).policy == POLICY


# --- Quantum-safe at rest -----------------------------------------------------------------------

PQ_POLICY = Policy(outer_suites=frozenset({OuterSuite.TOKEN_AES}), pq_at_rest=True)
PQ_ANNA, PQ_BERND, PQ_FRITZ = (pq_person(name) for name in ("Anna", "Bernd", "Fritz"))
SILENT = person("Fritz", 0, PQ)


def test_a_group_with_pq_at_rest_takes_nobody_who_does_not_state_it() -> None:
    """R-LOG-38: in found, add, member-rekey and restate, with keys that would do."""
    op = founding([PQ_ANNA, PQ_BERND], policy=PQ_POLICY, kem=PQ)
    log = begin(op, PQ_ANNA)
    silent = founding([PQ_ANNA], [SILENT], policy=PQ_POLICY, kem=PQ)
    with refused("log.not-allowed", Reason.PQ_NOT_STATED):
        replay([signed_found(silent, PQ_ANNA).encode()], deployment_id=DEPLOYMENT)
    new = person("Bernd", 1, PQ)
    renewed = MemberRekey(PQ, new.member.kem_public, new.member.signing_public, next_pq(log))
    for said, by in (
        (Add(SILENT.member), PQ_ANNA),
        (renewed, PQ_BERND),
        (Restate(frozenset()), PQ_BERND),
    ):
        others = [new] if said is renewed else []
        with refused("log.not-allowed", Reason.PQ_NOT_STATED):
            log.say(said, by, *others)
    log.say(Add(PQ_FRITZ.member), PQ_ANNA)
    log.say(replace(renewed, traits=frozenset({"pq-at-rest"})), PQ_BERND, new)
    assert traits(log, PQ_BERND) == {"pq-at-rest"}


def next_pq(log: Log) -> Any:
    return next_key(log.state, PQ)


def test_pq_at_rest_begins_when_every_member_states_it() -> None:
    """R-LOG-38: keys alone do not withstand what a classical way in gives away."""
    log = begin(founding([PQ_ANNA], [SILENT], kem=PQ), PQ_ANNA)
    want = SetPolicy(replace(POLICY, pq_at_rest=True))
    with refused("log.not-allowed", Reason.PQ_NOT_STATED):
        log.say(want, PQ_ANNA)
    log.say(Restate(frozenset({"pq-at-rest"})), SILENT)
    assert log.say(want, PQ_ANNA).policy.pq_at_rest


def test_pq_at_rest_and_exceptions_are_asked_for_together() -> None:
    """R-LOG-38, R-LOG-39: one does not stand for the other."""
    op = founding([PQ_ANNA, PQ_BERND], policy=PQ_POLICY, kem=PQ)
    log = begin(op, PQ_ANNA)
    with refused("log.not-allowed", Reason.NOT_EXCEPTED):
        log.say(Restate(frozenset(KNOWN)), PQ_BERND)
    log.say(SetPolicy(replace(PQ_POLICY, exceptions=BOTH)), PQ_ANNA, PQ_BERND)
    log.say(Restate(frozenset(KNOWN)), PQ_BERND)
    assert traits(log, PQ_BERND) == frozenset(KNOWN)


# --- Notices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", [CLARA, DORA, STRANGER], ids=["own", "another", "stranger"])
@pytest.mark.parametrize("admin_k", [1, 2])
def test_a_notice_changes_nothing_but_the_head(about: Person, admin_k: int) -> None:
    """R-LOG-42: whoever it is about; what follows from it is for agents to decide."""
    log = ward(admin_k)
    for op in (RecoveryBegin(about.id, b"d" * 32), RecoveryCancel(b"d" * 32)):
        before = log.state
        assert required_admins(before, op) == 0
        log.say(op, CLARA)
        assert log.state == replace(before, seq=before.seq + 1, head=log.state.head)
        assert log.state.head != before.head


@pytest.mark.parametrize(
    "make",
    [
        lambda: RecoveryBegin(b"short", b"d" * 32),
        lambda: RecoveryBegin(CLARA.id, b"short"),
        lambda: RecoveryCancel(b"short"),
    ],
)
def test_a_notice_of_another_size_is_refused_when_it_is_made(make: Any) -> None:
    """R-LOG-1."""
    with refused("log.size"):
        make()
