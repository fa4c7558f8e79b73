"""The chain: order, heads, countersignatures, pins, and every byte of an entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.core.membership.world import (
    ANNA,
    BERND,
    CLARA,
    DEPLOYMENT,
    EMIL,
    FRITZ,
    LOG_KEY,
    NOW,
    OTHER_DEPLOYMENT,
    POLICY,
    Log,
    begin,
    countersigned,
    entry_of,
    every_op,
    every_own_op,
    founding,
    person,
    refused,
    rekey,
    signed,
    signed_found,
    ward,
)
from twinlock.core import cbor
from twinlock.core.membership import (
    Add,
    GroupState,
    NewEpoch,
    PinConflictError,
    PinnedHead,
    SetIdentity,
    SetPolicy,
    SignedEntry,
    add_signature,
    apply,
    check_against_pin,
    countersign_input,
    found_entry,
    next_entry,
    replay,
    sign_entry,
    with_countersignature,
)
from twinlock.core.membership.entry import NO_PREV
from twinlock.core.primitives import sha256
from twinlock.errors import DataError

SPARE = person("Spare").signing


def long_ward() -> Log:
    """At least one entry of every kind."""
    log = ward()
    for op in every_op(log.state).values():
        log.say(NewEpoch(log.next_key()) if isinstance(op, NewEpoch) else op, ANNA)
    new = person("Clara", 1)
    log.say(rekey(log.state, new), CLARA, new)
    for op in every_own_op().values():
        log.say(op, new)
    log.leave(BERND)
    return log


LOG = long_ward()


def play(entries: list[bytes], **more: Any) -> GroupState:
    return replay(entries, deployment_id=DEPLOYMENT, **more)


# --- Bytes ------------------------------------------------------------------------------------


def test_heads_hashes_and_ids_are_what_the_specification_says() -> None:
    """R-LOG-1, R-LOG-3, R-LOG-9: computed here from the decoded bytes alone."""
    _, first_entry, _, _ = cbor.decode(LOG.entries[0])
    prev = bytes(32)
    for seq, data in enumerate(LOG.entries):
        label, entry, signatures, countersignature = cbor.decode(data)
        items = cbor.decode(entry)
        assert (label, items[0]) == ("twinlock/v1/log-signed", "twinlock/v2/log")
        assert items[1:5] == [DEPLOYMENT, b"" if seq == 0 else sha256(first_entry), seq, prev]
        assert signatures[0][:2] == items[7:9]
        decoded = SignedEntry.decode(data)
        prev = sha256(entry + cbor.encode(signatures))
        assert (decoded.entry_hash, decoded.head) == (sha256(entry), prev)
        assert decoded.countersignature == countersignature
        assert decoded.encode() == data
        assert decoded.entry.encode() == entry
    assert (LOG.state.group_id, LOG.state.head) == (sha256(first_entry), prev)


def test_the_token_signs_the_digest_that_is_the_head() -> None:
    """R-LOG-8, R-LOG-9: so the head is known before, and the same after, the countersignature."""
    entry = signed(LOG.state, Add(FRITZ.member), ANNA)
    assert sha256(countersign_input(entry)) == entry.head == countersigned(entry).head


def leaves(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    if isinstance(value, list) and value:
        return [leaf for at, item in enumerate(value) for leaf in leaves(item, (*path, at))]
    return [path]


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"x" * 32
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, int):
        return value + 1
    return 7 if value is None else [7]


def tampered(value: Any, path: tuple[int, ...]) -> Any:
    if not path:
        return changed(value)
    return [tampered(v, path[1:]) if at == path[0] else v for at, v in enumerate(value)]


ALL_KINDS = [(seq, SignedEntry.decode(data).entry.op.NAME) for seq, data in enumerate(LOG.entries)]


@pytest.mark.parametrize(("seq", "name"), ALL_KINDS)
def test_no_field_of_an_entry_can_be_changed(seq: int, name: str) -> None:
    """R-LOG-4, R-LOG-5, R-LOG-6: every leaf of every entry is bound by signature and chain."""
    label, entry, signatures, countersignature = cbor.decode(LOG.entries[seq])
    items = cbor.decode(entry)
    paths = leaves(items)
    assert len(paths) > 9
    for path in paths:
        other = cbor.encode(tampered(items, path))
        assert other != entry
        forged = cbor.encode([label, other, signatures, countersignature])
        with pytest.raises(DataError) as caught:
            play([*LOG.entries[:seq], forged])
        assert caught.value.code.partition(".")[0] in {"log", "format", "key"}, path


@pytest.mark.parametrize(("seq", "name"), ALL_KINDS)
def test_no_field_of_the_signatures_can_be_changed(seq: int, name: str) -> None:
    """R-LOG-6, R-LOG-8: member, key, signature and countersignature."""
    label, entry, signatures, countersignature = cbor.decode(LOG.entries[seq])
    for path in leaves(signatures):
        forged = cbor.encode([label, entry, tampered(signatures, path), countersignature])
        # The second signature of a member-rekey is looked for by member and key.
        names_the_new_key = path in {(1, 0), (1, 1)}
        with refused("log.not-allowed" if names_the_new_key else "log.bad-signature"):
            play([*LOG.entries[:seq], forged])
        with refused("log.countersignature"):
            play([*LOG.entries[:seq], forged], log_key=LOG_KEY.public)
    forged = cbor.encode([label, entry, signatures, changed(countersignature)])
    with refused("log.countersignature"):
        play([*LOG.entries[:seq], forged], log_key=LOG_KEY.public)


@pytest.mark.parametrize("which", [0, 1])
def test_a_forged_signature_of_a_second_admin_is_found(which: int) -> None:
    """R-LOG-6: all signatures are verified, not the first one only."""
    state = ward(admin_k=2).state
    genuine = signed(state, Add(FRITZ.member), ANNA, BERND)
    forged = list(genuine.signatures)
    forged[which] = replace(forged[which], signature=SPARE.sign(genuine.entry_bytes))
    with refused("log.bad-signature"):
        apply(state, replace(genuine, signatures=tuple(forged)))


def test_a_forged_signature_of_a_new_key_is_found() -> None:
    """R-LOG-15: the new key's signature is verified as well."""
    state, new = ward().state, person("Clara", 1)
    genuine = signed(state, rekey(state, new), CLARA, new)
    forged = replace(genuine.signatures[1], signature=SPARE.sign(genuine.entry_bytes))
    with refused("log.bad-signature"):
        apply(state, replace(genuine, signatures=(genuine.signatures[0], forged)))


def test_the_first_signature_is_the_actors() -> None:
    """R-LOG-6: another admin's signature in front does not make him the actor."""
    state = ward(admin_k=2).state
    genuine = signed(state, Add(FRITZ.member), ANNA, BERND)
    with refused("log.bad-signature"):
        apply(state, replace(genuine, signatures=genuine.signatures[::-1]))


@pytest.mark.parametrize("order", [(1, 0), (0, 0)], ids=["descending", "twice"])
def test_further_signatures_have_one_order(order: tuple[int, ...]) -> None:
    """R-LOG-7: so one set of signatures has one head."""
    state = begin(founding([ANNA, BERND, CLARA], admin_k=3)).state
    genuine = signed(state, Add(FRITZ.member), ANNA, BERND, CLARA)
    first, *others = genuine.signatures
    other_order = replace(genuine, signatures=(first, *(others[at] for at in order)))
    with refused("format.malformed"):
        SignedEntry.decode(other_order.encode())


def test_the_order_in_which_admins_sign_does_not_matter() -> None:
    """R-LOG-7: add_signature puts them in order."""
    state = begin(founding([ANNA, BERND, CLARA], admin_k=3)).state
    entry = signed(state, Add(FRITZ.member), ANNA)
    kids = {
        tuple(s.kid for s in add_signature(add_signature(entry, *one), *two).signatures)
        for one, two in [
            ((BERND.signing, BERND.id), (CLARA.signing, CLARA.id)),
            ((CLARA.signing, CLARA.id), (BERND.signing, BERND.id)),
        ]
    }
    assert len(kids) == 1


# --- Order ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda e: [],
        lambda e: e[1:],
        lambda e: [*e[:3], *e[4:]],
        lambda e: [*e[:4], e[3], *e[4:]],
        lambda e: [*e[:3], e[4], e[3], *e[5:]],
        lambda e: [e[0], *e],
        lambda e: [*e, e[0]],
    ],
    ids=["empty", "headless", "missing", "twice", "exchanged", "founded-twice", "founded-again"],
)
def test_a_log_with_other_entries_or_another_order_is_refused(
    change: Callable[[list[bytes]], list[bytes]],
) -> None:
    """R-LOG-4: entries come in order, each once, from entry 0."""
    with refused("log.broken-chain"):
        play(change(LOG.entries))


def test_an_entry_does_not_fit_on_another_entry_of_the_same_seq() -> None:
    """R-LOG-4: prev names the head, not only the place."""
    log, other = ward(), ward()
    other.say(SetIdentity(b"i" * 32), ANNA)
    log.say(Add(FRITZ.member), ANNA)
    other.say(Add(FRITZ.member), ANNA)
    with refused("log.broken-chain"):
        play([*log.entries, other.entries[-1]])


def test_an_admin_cannot_chain_to_an_entry_that_is_not_there() -> None:
    """R-LOG-4: a genuine signature does not mend prev or seq."""
    state = ward().state
    for other in (replace(state, head=b"h" * 32), replace(state, seq=state.seq + 1)):
        with refused("log.broken-chain"):
            apply(state, signed(other, Add(FRITZ.member), ANNA))


@pytest.mark.parametrize("change", [{"deployment_id": OTHER_DEPLOYMENT}, {"group_id": b"g" * 32}])
def test_an_entry_of_another_group_or_deployment_is_refused(change: dict[str, Any]) -> None:
    """R-LOG-5: although an admin of this group signed it."""
    state = ward().state
    with refused("log.wrong-group"):
        apply(state, signed(replace(state, **change), Add(FRITZ.member), ANNA))


def test_a_log_of_another_deployment_is_refused() -> None:
    """R-LOG-5: from its first entry, and from a state to start from."""
    with refused("log.wrong-group"):
        replay(LOG.entries, deployment_id=OTHER_DEPLOYMENT)
    with refused("log.wrong-group"):
        replay([], deployment_id=OTHER_DEPLOYMENT, start=LOG.state)


def test_entry_0_names_nothing_before_it() -> None:
    """R-LOG-3: its prev is 32 zero bytes."""
    entry = signed_found(founding()).entry
    assert entry.prev == NO_PREV == bytes(32)
    other = replace(entry, prev=b"p" * 32).encode()
    with refused("log.broken-chain"):
        play([sign_entry(other, ANNA.signing, ANNA.id).encode()])


@pytest.mark.parametrize(
    "change",
    [{"seq": 1}, {"group_id": b"g" * 32}, {"op": Add(FRITZ.member)}],
    ids=["seq", "group-id", "op"],
)
def test_exactly_entry_0_founds_a_group(change: dict[str, Any]) -> None:
    """R-LOG-3: found has seq 0 and an empty group id, and nothing else has."""
    with refused("format.malformed"):
        sign_entry(
            replace(signed_found(founding()).entry, **change).encode(), ANNA.signing, ANNA.id
        )


def test_the_nonce_tells_two_equal_groups_apart() -> None:
    """R-LOG-3: same founder, name and keys; another group."""
    one, two = (signed_found(founding(nonce=n * 16)).entry_hash for n in (b"1", b"2"))
    assert one != two


def test_an_unknown_operation_is_refused_and_never_skipped() -> None:
    """R-LOG-2: what a reader does not know might be the removal that matters."""
    state = ward().state
    items = cbor.decode(entry_of(state, Add(FRITZ.member), ANNA))
    entry = cbor.encode([*items[:5], "appoint-deputy", [], *items[7:]])
    signature = [ANNA.id, ANNA.member.signing_kid, ANNA.signing.sign(entry)]
    data = cbor.encode(["twinlock/v1/log-signed", entry, [signature], b""])
    with refused("log.unknown-op"):
        SignedEntry.decode(data)
    with refused("log.unknown-op"):
        replay([data], deployment_id=DEPLOYMENT, start=state)


# --- Countersignatures --------------------------------------------------------------------------


def test_with_a_log_key_every_entry_must_be_countersigned() -> None:
    """R-LOG-8: by that key, over entry and signatures."""
    assert play(LOG.entries, log_key=LOG_KEY.public) == play(LOG.entries) == LOG.state
    with refused("log.countersignature"):
        play(LOG.entries, log_key=SPARE.public)
    state, entry = LOG.state, signed(LOG.state, SetIdentity(b"i" * 32), ANNA)
    assert apply(state, entry).seq == state.seq + 1
    for bad in (entry, with_countersignature(entry, LOG_KEY.sign(entry.entry_bytes))):
        with refused("log.countersignature"):
            apply(state, bad, log_key=LOG_KEY.public)
    assert apply(state, countersigned(entry), log_key=LOG_KEY.public).seq == state.seq + 1


def test_a_signature_cannot_be_added_after_the_countersignature() -> None:
    """R-LOG-8: the head that the token signed stays."""
    entry = countersigned(signed(LOG.state, Add(FRITZ.member), ANNA))
    with refused("log.countersigned"):
        add_signature(entry, BERND.signing, BERND.id)


def test_a_member_signs_an_entry_once() -> None:
    """R-LOG-7: a second signature of one key is refused when it is made."""
    entry = signed(LOG.state, Add(FRITZ.member), ANNA)
    with refused("log.signed-twice"):
        add_signature(entry, ANNA.signing, ANNA.id)


@pytest.mark.parametrize("other", [BERND, person("Anna", 1)], ids=["member", "key"])
def test_the_actor_signs_first(other: Any) -> None:
    """R-LOG-6: the entry names who says it, and with which key."""
    with refused("log.actor"):
        sign_entry(entry_of(LOG.state, Add(FRITZ.member), ANNA), other.signing, other.id)


def test_an_entry_is_built_for_a_member_at_the_head_of_the_log() -> None:
    """R-LOG-4, R-LOG-6: next_entry fills in place, head and the actor's present key."""
    state, op = LOG.state, SetIdentity(b"i" * 32)
    built = next_entry(state, op, actor_id=ANNA.id, time=NOW)
    assert built == entry_of(state, op, ANNA)
    new = person("Clara", 1)
    assert next_entry(state, op, actor_id=new.id, time=NOW) == entry_of(state, op, new)
    with refused("log.unknown-member"):
        next_entry(state, op, actor_id=EMIL.id, time=NOW)


def test_entry_0_is_built_for_a_founding_member() -> None:
    """R-LOG-10: for nobody else."""
    with refused("log.actor"):
        found_entry(founding(), deployment_id=DEPLOYMENT, actor_id=BERND.id, time=NOW)
    with refused("log.size"):
        found_entry(founding(), deployment_id=b"short", actor_id=ANNA.id, time=NOW)


def test_time_is_a_statement_and_not_a_rule() -> None:
    """R-LOG-34: an admin whose clock is wrong does not lock the group."""
    state = ward().state
    for time in (0, NOW - 10**6, 2**62):
        data = entry_of(state, SetIdentity(b"i" * 32), ANNA, time=time)
        assert apply(state, sign_entry(data, ANNA.signing, ANNA.id)).seq == state.seq + 1


# --- Starting in the middle, pins -----------------------------------------------------------------


@pytest.mark.parametrize("at", range(len(LOG.entries)))
def test_replaying_in_two_parts_is_replaying_in_one(at: int) -> None:
    """R-LOG-27: a state is as good as the entries that made it."""
    start = play(LOG.entries[: at + 1])
    assert play(LOG.entries[at + 1 :], start=start) == LOG.state
    assert start.seq == at


@pytest.mark.parametrize("at", range(len(LOG.entries)))
def test_a_pinned_head_is_found_again_while_passing(at: int) -> None:
    """R-LOG-26: wherever it lies; and the end may be pinned too."""
    pin = play(LOG.entries[: at + 1]).pin
    assert play(LOG.entries, pins=[pin, LOG.state.pin]).pin == LOG.state.pin


@pytest.mark.parametrize("at", range(len(LOG.entries) - 1))
def test_a_log_that_ends_before_a_pin_is_a_rollback(at: int) -> None:
    """R-LOG-26: the evidence is the pin and the end that was shown."""
    shown = play(LOG.entries[: at + 1]).pin
    with refused("log.rollback"):
        play(LOG.entries[: at + 1], pins=[LOG.state.pin])
    with pytest.raises(PinConflictError) as caught:
        play(LOG.entries[: at + 1], pins=[LOG.state.pin])
    assert (caught.value.pinned, caught.value.shown) == (LOG.state.pin, shown)


def test_another_valid_log_with_the_same_beginning_is_a_fork() -> None:
    """R-LOG-26: the evidence is two heads of one seq."""
    mine = ward()
    theirs = Log(mine.state, list(mine.entries))
    mine.say(Add(FRITZ.member), ANNA)
    pin = mine.state.pin
    theirs.say(SetPolicy(replace(POLICY, click_each=True)), BERND)
    for more in range(2):
        with refused("log.fork"):
            play(theirs.entries, pins=[pin])
        theirs.say(SetIdentity(bytes([more]) * 32), BERND)
    with pytest.raises(PinConflictError) as caught:
        play(theirs.entries, pins=[pin])
    assert caught.value.pinned == pin
    assert caught.value.shown.seq == pin.seq
    assert caught.value.shown.head == play(theirs.entries[: pin.seq + 1]).head


def test_the_same_entry_under_another_signature_is_a_fork() -> None:
    """R-LOG-9, R-LOG-26: the head covers the signatures, of which ECDSA makes many."""
    state = ward().state
    entry = entry_of(state, Add(FRITZ.member), ANNA)
    one, two = (sign_entry(entry, ANNA.signing, ANNA.id) for _ in range(2))
    assert one.head != two.head
    pin = PinnedHead(state.group_id, state.seq + 1, one.head)
    with refused("log.fork"):
        play([two.encode()], start=state, pins=[pin])


def test_a_start_is_compared_with_a_pin_at_its_own_seq() -> None:
    """R-LOG-26: and pins before it, which it cannot answer, are refused."""
    assert play([], start=LOG.state, pins=[LOG.state.pin]) == LOG.state
    start = play(LOG.entries[:3])
    assert play(LOG.entries[3:], start=start, pins=[start.pin, LOG.state.pin]) == LOG.state
    with refused("log.fork"):
        play(LOG.entries[3:], start=start, pins=[replace(start.pin, head=b"h" * 32)])
    with refused("log.fork"):
        play([], start=LOG.state, pins=[replace(LOG.state.pin, head=b"h" * 32)])
    with refused("log.rollback"):
        play([], start=LOG.state, pins=[replace(LOG.state.pin, seq=LOG.state.seq + 1)])
    with refused("log.pin-before-start"):
        play([], start=LOG.state, pins=[replace(LOG.state.pin, seq=1)])


@pytest.mark.parametrize("seq", [2, LOG.state.seq, LOG.state.seq + 5])
def test_a_pin_of_another_group_is_no_pin_of_this_one(seq: int) -> None:
    """R-LOG-5, R-LOG-26: a whole log of another group does not pass for a pinned one."""
    with refused("log.wrong-group"):
        play(LOG.entries, pins=[PinnedHead(b"g" * 32, seq, b"h" * 32)])


def test_heads_that_others_report_are_checked_without_a_replay() -> None:
    """R-LOG-26: check_against_pin takes heads by seq."""
    heads = {seq: SignedEntry.decode(data).head for seq, data in enumerate(LOG.entries)}
    last = LOG.state.seq
    for seq, head in heads.items():
        check_against_pin(PinnedHead(LOG.state.group_id, seq, head), last, heads.__getitem__)
    with refused("log.fork"):
        check_against_pin(replace(LOG.state.pin, head=heads[0]), last, heads.__getitem__)
    with refused("log.rollback"):
        check_against_pin(LOG.state.pin, last - 1, heads.__getitem__)


def test_a_removed_member_is_refused_wherever_the_log_goes_on() -> None:
    """R-LOG-18: not only in the next entry."""
    log = ward()
    for op in (SetIdentity(b"1" * 32), SetIdentity(b"2" * 32)):
        log.say(op, ANNA)
        with refused("log.not-allowed"):
            apply(log.state, signed(log.state, SetIdentity(b"3" * 32), EMIL))
