"""People with keys, group keys, and a log that grows by signed entries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache

import pytest

from twinlock.core.membership import (
    Add,
    ColumnState,
    Entry,
    EpochKey,
    Found,
    GroupState,
    Leave,
    Member,
    MemberRekey,
    NewEpoch,
    NotAllowedError,
    Op,
    Policy,
    Reason,
    RecoveryBegin,
    RecoveryCancel,
    Remove,
    Restate,
    Role,
    SetAdmins,
    SetColumn,
    SetIdentity,
    SetPolicy,
    SetWriters,
    SignedEntry,
    Writer,
    add_signature,
    apply,
    found_entry,
    replay,
    sign_entry,
    with_countersignature,
)
from twinlock.core.membership.entry import countersign_input
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import (
    Kem,
    KemKey,
    SigningKey,
    kem_key_from_seed,
    signing_key_from_seed,
)
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError

DEPLOYMENT = b"deployment-0001."
OTHER_DEPLOYMENT = b"deployment-0002."
IDENTITY = hashlib.sha256(b"identity key").digest()
NOW = 1_790_000_000
POLICY = Policy(outer_suites=frozenset({OuterSuite.RSA_OAEP_SHA256}))
PQ = Kem.MLKEM768_X25519


def seed(words: str) -> Secret:
    return Secret(hashlib.sha256(words.encode()).digest())


@dataclass(frozen=True)
class Person:
    """A member with the private keys; ``generation`` tells one person's successive keys apart."""

    member: Member
    signing: SigningKey
    kem: KemKey

    @property
    def id(self) -> bytes:
        return self.member.member_id


@cache
def person(name: str, generation: int = 0, kem: Kem = Kem.DHKEM_P256) -> Person:
    signing = signing_key_from_seed(seed(f"signing {name} {generation}"))
    kem_key = kem_key_from_seed(kem, seed(f"kem {name} {generation}"))
    member_id = hashlib.sha256(name.encode()).digest()[:16]
    return Person(Member(member_id, name, kem, kem_key.public, signing.public), signing, kem_key)


@cache
def pq_person(name: str, generation: int = 0) -> Person:
    return stating(person(name, generation, PQ), "pq-at-rest")


def stating(one: Person, *traits: str) -> Person:
    """The same person, who states this about the ways in."""
    return replace(one, member=replace(one.member, traits=frozenset(traits)))


@cache
def epoch_key(number: int, kem: Kem = Kem.DHKEM_P256, tag: str = "") -> EpochKey:
    return EpochKey(number, kem, kem_key_from_seed(kem, seed(f"group {number} {tag}")).public)


def writer(name: str) -> Writer:
    return Writer(name, signing_key_from_seed(seed(f"writer {name}")).public)


LOG_KEY = signing_key_from_seed(seed("the token's log key"))

ANNA, BERND, CLARA = person("Anna"), person("Bernd"), person("Clara")
DORA, EMIL, FRITZ = person("Dora"), person("Emil"), person("Fritz")
STRANGER = person("Stranger")


def founding(
    admins: Iterable[Person] = (ANNA,),
    members: Iterable[Person] = (),
    *,
    admin_k: int = 1,
    policy: Policy = POLICY,
    recovery: bytes | None = None,
    kem: Kem = Kem.DHKEM_P256,
    nonce: bytes = b"n" * 16,
) -> Found:
    founders = [(one.member, Role.ADMIN) for one in admins]
    founders += [(one.member, Role.MEMBER) for one in members]
    return Found(
        nonce=nonce,
        name="Cardiology",
        policy=policy,
        kem=kem,
        public=epoch_key(1, kem).public,
        members=tuple(founders),
        admin_k=admin_k,
        identity_fingerprint=IDENTITY,
        recovery=recovery,
    )


def signed_found(op: Found, by: Person = ANNA, deployment_id: bytes = DEPLOYMENT) -> SignedEntry:
    entry = found_entry(op, deployment_id=deployment_id, actor_id=by.id, time=NOW)
    return sign_entry(entry, by.signing, by.id)


def entry_of(state: GroupState, op: Op, by: Person, time: int = NOW) -> bytes:
    """The bytes that ``by`` would sign, whether or not the group knows him."""
    return Entry(
        deployment_id=state.deployment_id,
        group_id=state.group_id,
        seq=state.seq + 1,
        prev=state.head,
        op=op,
        actor_id=by.id,
        actor_kid=by.member.signing_kid,
        time=time,
    ).encode()


def signed(state: GroupState, op: Op, by: Person, *others: Person) -> SignedEntry:
    entry = sign_entry(entry_of(state, op, by), by.signing, by.id)
    for other in others:
        entry = add_signature(entry, other.signing, other.id)
    return entry


def countersigned(entry: SignedEntry, key: SigningKey = LOG_KEY) -> SignedEntry:
    return with_countersignature(entry, key.sign(countersign_input(entry)))


@dataclass
class Log:
    """A log whose every entry was accepted, and its state."""

    state: GroupState
    entries: list[bytes] = field(default_factory=list)

    def say(self, op: Op, by: Person, *others: Person) -> GroupState:
        entry = countersigned(signed(self.state, op, by, *others))
        self.state = apply(self.state, entry)
        self.entries.append(entry.encode())
        return self.state

    def remove(self, gone: Person, by: Person, *others: Person) -> GroupState:
        return self.say(Remove(gone.id, self.next_key()), by, *others)

    def leave(self, by: Person) -> GroupState:
        return self.say(Leave(self.next_key()), by)

    def next_key(self) -> EpochKey:
        return next_key(self.state)


def next_key(state: GroupState, kem: Kem = Kem.DHKEM_P256) -> EpochKey:
    return epoch_key(len(state.epochs) + 1, kem)


def begin(op: Found | None = None, by: Person = ANNA) -> Log:
    entry = countersigned(signed_found(op or founding(), by)).encode()
    return Log(replay([entry], deployment_id=DEPLOYMENT), [entry])


def ward(admin_k: int = 1) -> Log:
    """Admins Anna and Bernd, members Clara and Dora; Emil was removed."""
    log = begin(founding([ANNA, BERND], [CLARA, DORA, EMIL], admin_k=admin_k))
    log.remove(EMIL, ANNA, *([BERND] if admin_k > 1 else []))
    return log


def rekey(state: GroupState, new: Person) -> MemberRekey:
    member = new.member
    keys = member.kem, member.kem_public, member.signing_public
    return MemberRekey(*keys, next_key(state), member.traits)


def every_op(state: GroupState) -> dict[str, Op]:
    """One harmless operation of each kind that admins say in ``ward``."""
    stricter = Policy(outer_suites=POLICY.outer_suites, click_each=True)
    return {
        "add": Add(FRITZ.member),
        "remove": Remove(DORA.id, next_key(state)),
        "set-writers": SetWriters((writer("lab"),)),
        "set-identity": SetIdentity(hashlib.sha256(b"new identity").digest()),
        "set-policy": SetPolicy(stricter),
        "set-column": SetColumn("patient", "diagnosis", ColumnState.LEGACY),
        "set-admins": SetAdmins(frozenset({ANNA.id, BERND.id, CLARA.id}), state.admin_k),
        "new-epoch": NewEpoch(next_key(state)),
    }


def every_own_op() -> dict[str, Op]:
    """One operation of each kind that a member says alone and that brings no key."""
    digest = hashlib.sha256(b"recovery request").digest()
    return {
        "restate": Restate(frozenset({"pq-at-rest"})),
        "recovery-begin": RecoveryBegin(CLARA.id, digest),
        "recovery-cancel": RecoveryCancel(digest),
    }


@contextmanager
def refused(code: str, reason: Reason | None = None) -> Iterator[None]:
    with pytest.raises(TwinlockError) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.hint
    if reason is not None:
        assert isinstance(caught.value, NotAllowedError)
        assert caught.value.reason is reason
