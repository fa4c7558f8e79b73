"""The inner lock: what a member's agent opens and checks."""

from __future__ import annotations

import dataclasses

import pytest

from twinlock.core import locks
from twinlock.core.envelope import AllLock, Layout, new_core
from twinlock.core.locks import AllTarget, GroupTarget, LockSealer
from twinlock.core.primitives import Kem, hpke_seal
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError

from .scenes import CONTEXT, WRITER, Stream, group

DEK_ID = bytes(range(16))
CORE = new_core(DEK_ID, Layout.VALUE, WRITER.kid).raw
RELEASE_KEY = Secret(b"k" * 32)
RC = locks.commit(RELEASE_KEY, DEK_ID)
KEMS = list(Kem)


def seal(*targets, release_key=RELEASE_KEY, context=CONTEXT, core=CORE, dek_id=DEK_ID):
    return LockSealer(core, context, dek_id, release_key, Stream("locks")).seal(targets)


def open_lock(lock, key, *, index=0, count=1, rc=RC, context=CONTEXT, core=CORE):
    return locks.open_sealed(
        lock, key, core=core, context=context, index=index, count=count, commitment=rc
    )


def reason(call, *arguments, **named) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **named)
    assert caught.value.code == "data.not-authentic"
    return str(caught.value.__notes__[0])


@pytest.mark.parametrize("kem", KEMS, ids=lambda k: k.name)
def test_a_group_opens_its_lock_to_the_committed_release_key(kem):
    """R-LOCK-1, R-LOCK-3: and rc holds."""
    ward = group("ward", kem)
    (lock,) = seal(ward.target)
    opened = open_lock(lock, ward.key)
    assert opened == RELEASE_KEY
    locks.check_release_key(opened, DEK_ID, RC)


@pytest.mark.parametrize("kem", KEMS, ids=lambda k: k.name)
@pytest.mark.parametrize("count", [2, 3, 8])
def test_shares_combine_to_the_release_key_and_only_all_of_them(kem, count):
    """R-LOCK-4: XOR over all."""
    groups = [group(f"g{i}", kem) for i in range(count)]
    (lock,) = seal(AllTarget(tuple(g.target for g in groups)))
    shares = [
        open_lock(share, g.key, index=i, count=count)
        for i, (share, g) in enumerate(zip(lock.shares, groups, strict=True))
    ]
    for index, (share, sealed) in enumerate(zip(shares, lock.shares, strict=True)):
        locks.check_share(share, DEK_ID, index, sealed.commitment)
    combined = locks.combine(shares)
    assert combined == RELEASE_KEY
    locks.check_release_key(combined, DEK_ID, RC)
    for missing in range(count):
        partial = locks.combine(shares[:missing] + shares[missing + 1 :])
        assert "commitment" in reason(locks.check_release_key, partial, DEK_ID, RC)


def test_a_wrong_share_is_named():
    """R-LOCK-6: so whoever sent it can be asked."""
    groups = [group(f"g{i}") for i in range(3)]
    (lock,) = seal(AllTarget(tuple(g.target for g in groups)))
    for index, share in enumerate(lock.shares):
        wrong = Secret(bytes(32))
        assert f"share {index} " in reason(
            locks.check_share, wrong, DEK_ID, index, share.commitment
        )


def test_a_share_in_another_place_does_not_pass():
    """R-LOCK-6, R-LOCK-7: its index is bound into sc and into the HPKE info."""
    groups = [group("a"), group("b")]
    (lock,) = seal(AllTarget(tuple(g.target for g in groups)))
    first = open_lock(lock.shares[0], groups[0].key, index=0, count=2)
    reason(locks.check_share, first, DEK_ID, 1, lock.shares[0].commitment)
    reason(open_lock, lock.shares[0], groups[0].key, index=1, count=2)
    reason(open_lock, lock.shares[0], groups[0].key, index=0, count=3)
    reason(open_lock, lock.shares[0], groups[0].key, index=0, count=1)


def test_two_groups_cannot_be_given_different_release_keys():
    """R-LOCK-5: an insider seals another key to one of two groups; its members see it at once."""
    ward, officer = group("ward"), group("officer")
    honest = seal(ward.target)
    info = locks.lock_info(CORE, CONTEXT, officer.target, 0, 1, RC)
    other = hpke_seal(officer.target.kem, officer.target.public, info, b"another key".ljust(32))
    forged = dataclasses.replace(honest[0], group_id=officer.target.group_id, sealed=other)
    locks.check_release_key(open_lock(honest[0], ward.key), DEK_ID, RC)
    opened = open_lock(forged, officer.key)
    assert "commitment" in reason(locks.check_release_key, opened, DEK_ID, RC)


def test_an_insider_cannot_choose_one_commitment_for_two_deks():
    """R-LOCK-1: the DEK's id is in it."""
    assert locks.commit(RELEASE_KEY, bytes(16)) != RC
    reason(locks.check_release_key, RELEASE_KEY, bytes(16), RC)


OTHER_CORE = new_core(bytes(16), Layout.VALUE, WRITER.kid).raw
MOVED = {
    "another record": {"context": CONTEXT + b"x"},
    "another core": {"core": OTHER_CORE},
    "another commitment": {"rc": bytes(32)},
}


@pytest.mark.parametrize("kem", KEMS, ids=lambda k: k.name)
@pytest.mark.parametrize("elsewhere", MOVED.values(), ids=MOVED)
def test_a_lock_that_was_moved_does_not_open(kem, elsewhere):
    """R-LOCK-7: bound to core, context and commitment."""
    ward = group("ward", kem)
    (lock,) = seal(ward.target)
    assert "HPKE" in reason(open_lock, lock, ward.key, **elsewhere)


CHANGED = {
    "another group": {"group_id": bytes(32)},
    "another epoch": {"epoch": 7},
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_lock_under_another_name_does_not_open(change):
    """R-LOCK-7: group and epoch are bound."""
    ward = group("ward")
    (lock,) = seal(ward.target)
    assert "HPKE" in reason(open_lock, dataclasses.replace(lock, **change), ward.key)


def test_the_key_of_another_epoch_or_kem_does_not_open():
    """R-LOCK-9: the KEM is the epoch's."""
    ward = group("ward")
    (lock,) = seal(ward.target)
    assert "HPKE" in reason(open_lock, lock, group("ward", epoch=1).key)
    assert "KEM" in reason(open_lock, lock, group("ward", Kem.MLKEM768_X25519).key)
    other = dataclasses.replace(lock, kem=Kem.MLKEM768_X25519)
    assert "KEM" in reason(open_lock, other, ward.key)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_sealed_key_of_another_length_is_refused(size):
    """R-LOCK-8: 32 bytes."""
    ward = group("ward")
    (lock,) = seal(ward.target)
    info = locks.lock_info(CORE, CONTEXT, ward.target, 0, 1, RC)
    short = hpke_seal(ward.target.kem, ward.target.public, info, bytes(size))
    assert "length" in reason(open_lock, dataclasses.replace(lock, sealed=short), ward.key)
    assert "length" in reason(locks.combine, [Secret(bytes(32)), Secret(bytes(size))])


def test_rc_sc_and_info_have_these_bytes():
    """R-LOCK-1, R-LOCK-2, R-LOCK-6: byte for byte."""
    import hashlib
    import hmac

    assert hmac.digest(b"k" * 32, b"twinlock/v1/rk-commit" + DEK_ID, "sha256") == RC
    assert locks.commit_share(RELEASE_KEY, DEK_ID, 3) == hmac.digest(
        b"k" * 32, b"twinlock/v1/share-commit" + DEK_ID + b"\x03", "sha256"
    )
    target = GroupTarget(bytes(32), 5, Kem.MLKEM768_X25519, b"public")
    info = locks.lock_info(b"C", b"X", target, 1, 2, bytes(32))
    assert info.hex() == (
        "8a" "70" + b"twinlock/v1/lock".hex() + "4143" "4158" "5820" + "00" * 32 + "05"
        "19647a" "5820" + hashlib.sha256(b"public").hexdigest() + "01" "02" "5820" + "00" * 32
    )  # fmt: skip


A, B = group("a").target, group("b").target
AND_REFUSED = {
    "one group": (A,),
    "nine groups": tuple(group(f"n{i}").target for i in range(9)),
    "a group twice": (A, B, A),
    "a group twice in two epochs": (A, group("a", epoch=1).target),
}


@pytest.mark.parametrize("groups", AND_REFUSED.values(), ids=AND_REFUSED)
def test_an_and_lock_takes_2_to_8_different_groups(groups):
    """R-LOCK-4: one group twice would be one person twice."""
    with pytest.raises(CallerError) as caught:
        AllTarget(groups)
    assert caught.value.code == "lock.groups"


def test_every_share_looks_random():
    """R-LOCK-4: no share but the last depends on the release key, and none repeats."""
    one = locks.split(Secret(bytes(32)), 3, Stream("x"))
    two = locks.split(Secret(b"\xff" * 32), 3, Stream("x"))
    assert one[:2] == two[:2]
    assert len({s.reveal() for s in one}) == 3
    (lock,) = seal(AllTarget((A, B)))
    assert isinstance(lock, AllLock)
    assert len({s.commitment for s in lock.shares}) == 2
