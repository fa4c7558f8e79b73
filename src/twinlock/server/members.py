"""Members' ways in, as far as they are kept at the server (SPEC 28).

What is kept here tests no guess. What is handed out before somebody unlocked it looks the same for
names that are no member's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.enrolment_list import (
    MAX_LIST_SIZE,
    EnrolmentList,
    Listed,
    decode_enrolment_list,
    guessable,
    refused_traits,
    traits_of,
    verify_enrolment_list,
)
from twinlock.core.member_bundle import MemberBundle, decode_bundle_request
from twinlock.core.member_change import (
    LOGIN_KINDS,
    SPLIT_ANEW,
    Login,
    MemberChange,
    decode_member_change,
)
from twinlock.core.membership import GroupState, Member, MemberRekey, Restate, SignedEntry
from twinlock.core.ports import Clock, Token
from twinlock.core.primitives import p256_point, verify
from twinlock.core.release import MAX_SHARE_SIZE, split_signed
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement, identity_fingerprint
from twinlock.errors import CallerError, DataError, not_authentic
from twinlock.server.decoys import Decoys
from twinlock.server.groups import GroupBook
from twinlock.server.passkey_records import decode_passkey_record
from twinlock.server.verifiers import VerifierLocks
from twinlock.store.members import PutMember
from twinlock.store.sql import SqlStore
from twinlock.store.values import StoredMember

REQUEST_LIFE: Final = 120
SCRAM: Final = "scram"
SPLIT: Final = "split"
PASSKEY: Final = "passkey"
LOGIN_SIZE: Final = 32
MAX_LOGIN: Final = 4096
SINGLE: Final = frozenset({SCRAM, SPLIT})


class Members:
    """The enrolments of one vault's members (``Vault.members``). Safe for many threads."""

    def __init__(
        self,
        deployment_id: bytes,
        store: SqlStore,
        groups: GroupBook,
        token: Callable[[], Token],
        statements: Callable[[], tuple[bytes, Sequence[Statement]]],
        verifiers: VerifierLocks,
        decoys: Decoys,
        clock: Clock,
    ) -> None:
        self._deployment_id = deployment_id
        self._store = store
        self._groups = groups
        self._token = token
        self._statements = statements
        self._verifiers = verifiers
        self._decoys = decoys
        self._clock = clock

    def accept(self, change: bytes) -> EnrolmentList:
        """Take a member's new ways in, with the log entries that go with them: all or nothing.

        The member must be in a group that this server trusts. A sign-in of kind ``scram`` comes as
        a verifier's text and is stored locked by the token. Raises ``enrolment.*``,
        ``member.unknown``, ``data.not-authentic``, ``log.*`` or ``group.*``.
        """
        decoded, message, signature = decode_member_change(change)
        claimed = _claimed_member(decoded)
        _require_own_entries(decoded, claimed)
        # Before the token or anything dear: whoever can reach this can send anything.
        present = self._states()
        public = _key_of_change(decoded, _found(present, claimed))
        try:
            verify(public, message, signature)
        except DataError as error:
            raise _not_signed() from error
        prepared = [self._groups.prepare(p, self._token()) for p in decoded.proposals]
        states = {**present, **{after.group_id: after for after, _ in prepared}}
        member = _found(states, claimed, public)
        if member is None:
            raise _not_signed()
        _require_one_key(states, member)
        self._require_same_person(claimed, present)
        listed = self._verified_list(decoded, member)
        blobs, name = self._blobs(decoded, listed), self._name_of(member, states)
        _require_allowed(listed, states)
        self._store.members.put(
            PutMember(
                member_id=listed.member_id,
                name=name,
                counter=listed.counter,
                signed_list=decoded.signed_list,
                blobs=blobs,
                logins=self._logins(member.member_id, name, decoded.logins),
                single=SINGLE,
                appends=[append for _, append in prepared],
            )
        )
        self._groups.appended(after for after, _ in prepared)
        return listed

    def bundle(self, name: str, kinds: Iterable[str], enrolment_id: bytes | None = None) -> bytes:
        """Return one enrolment that opens with exactly these factors, for somebody to unlock.

        The newest, or the one with this id. Where there is none the answer has the same form and
        size, and is always the same for one name. Raises CallerError ``enrolment.no-such-kind``
        for factors that enrolments are not handed out by.
        """
        wanted = frozenset(kinds)
        member = self._store.members.member(name)
        decoy = self._decoys.enrolment(name, wanted, None if member is None else member.member_id)
        # Strangers are looked up like members, so that the time says little, too.
        found = self._find(decoy.member_id, wanted, enrolment_id)
        shown = decoy if found is None else found
        return self._bundle(shown.member_id, name, b"", [shown.raw])

    def full_bundle(self, request: bytes) -> bytes:
        """Return all of a member's enrolments and the signed list, for ``Agent.bundle_request``.

        Raises DataError ``data.not-authentic`` or ``request.expired``, CallerError
        ``member.unknown``.
        """
        return self.everything(self.asker(request))

    def asker(self, request: bytes) -> bytes:
        """Return the id of the member who signed an ``Agent.bundle_request`` just now.

        Raises ``format.*``, DataError ``data.not-authentic`` or ``request.expired``. Who is no
        member is refused like a forger, after the same work.
        """
        message, signature = split_signed(request, max_size=MAX_SHARE_SIZE)
        asked = decode_bundle_request(message)
        states = self._states()
        member = _found(states, asked.member_id)
        public = self._nobodys() if member is None else member.signing_public
        verify(public, message, signature)
        if member is None or asked.deployment_id != self._deployment_id:
            raise not_authentic("a request for another deployment")
        _require_one_key(states, member)
        self._require_same_person(asked.member_id, states)
        if abs(self._clock() - asked.time) > REQUEST_LIFE:
            raise DataError(
                "request.expired",
                "This request for a member's enrolments is too old, or from the future.",
                hint="Check the clock of the member's computer and ask again.",
            )
        return asked.member_id

    def everything(self, member_id: bytes) -> bytes:
        """Return the same to an operator who hands it to the member. Raises ``member.unknown``."""
        member = self._store.members.member_by_id(member_id)
        stored = self._store.members.enrolment_list(member_id)
        if member is None or stored is None:
            raise _unknown()
        blobs = list(self._store.members.enrolments(member_id).values())
        return self._bundle(member_id, member.name, stored.signed, blobs)

    def by_name(self, name: str) -> StoredMember | None:
        """Return the member of this name whose enrolments are kept here."""
        return self._store.members.member(name)

    def logins(self, name: str, kind: str) -> list[bytes]:
        """Return what a member's sign-ins of one kind are compared with; nothing for a stranger."""
        member = self._store.members.member(name)
        return [] if member is None else self._store.members.logins(member.member_id, kind)

    # --- inside ------------------------------------------------------------------------------

    def _nobodys(self) -> bytes:
        """Return a key that signs no member's request: the token's own."""
        return p256_point(self._statements()[0])

    def _states(self) -> dict[bytes, GroupState]:
        return self._groups.states(self._clock())

    def _verified_list(self, change: MemberChange, member: Member) -> EnrolmentList:
        listed = verify_enrolment_list(change.signed_list, member.signing_public)
        identity, _ = self._statements()
        of = (listed.deployment_id, listed.member_id, listed.identity)
        if of != (self._deployment_id, member.member_id, identity_fingerprint(identity)):
            raise _not_signed()
        return listed

    def is_present(self, member_id: bytes) -> bool:
        """Return whether a group that this server trusts has the member now."""
        return _found(self._states(), member_id) is not None

    def _require_same_person(self, member_id: bytes, states: dict[bytes, GroupState]) -> None:
        """Compare who has this id in the logs with whoever signed the list that is stored.

        An admin may give anybody's id to somebody else while no other trusted group has it.
        """
        stored = self._store.members.enrolment_list(member_id)
        if stored is None:
            return
        publics = {
            state.members[member_id].member.signing_public
            for state in states.values()
            if member_id in state.members
        }
        for public in publics:
            try:
                verify_enrolment_list(stored.signed, public)
            except DataError as error:
                raise _not_signed() from error

    def _name_of(self, member: Member, states: dict[bytes, GroupState]) -> str:
        """Return the name that a member's ways in are kept under: the first one, for good.

        Raises CallerError ``member.name-taken`` where somebody else in a trusted group is called
        the same, or nearly, before anything of this member is kept.
        """
        stored = self._store.members.member_by_id(member.member_id)
        if stored is not None:
            return stored.name
        names = {
            (m.member.member_id, _folded(m.member.name))
            for state in states.values()
            for m in state.members.values()
        }
        mine = {name for member_id, name in names if member_id == member.member_id}
        others = {name for member_id, name in names if member_id != member.member_id}
        others |= {_folded(m.name) for m in self._store.members.members()}
        if len(mine) > 1 or mine & others:
            raise CallerError(
                "member.name-taken",
                f"There is a member named {member.name!r} already.",
                hint="Choose another name.",
            )
        return member.name

    def _blobs(self, change: MemberChange, listed: EnrolmentList) -> dict[bytes, bytes]:
        stored = self._store.members.enrolments(listed.member_id)
        sent = {e.enrolment_id: e for e in (decode_enrolment(blob) for blob in change.blobs)}
        kept = {}
        for entry in listed.enrolments:
            if not entry.at_server:
                continue
            enrolment = sent.pop(entry.enrolment_id, None)
            if enrolment is None and entry.enrolment_id in stored:
                enrolment = decode_enrolment(stored[entry.enrolment_id])
            if enrolment is None or not _is_as_listed(enrolment, entry, listed):
                raise _unlike("an enrolment is missing, or is not as the list says")
            if guessable(enrolment.kinds):
                raise CallerError(
                    "enrolment.guessable",
                    "An enrolment on which a stolen database tests guesses is not kept here.",
                    hint="Keep it on the member's computer, or add a device key to it.",
                )
            kept[entry.enrolment_id] = enrolment.raw
        if sent:
            raise _unlike("an enrolment came that the list does not have")
        return kept

    def _logins(
        self, member_id: bytes, name: str, logins: Sequence[Login]
    ) -> list[tuple[str, bytes | None]]:
        put: list[tuple[str, bytes | None]] = []
        for login in logins:
            kind, value = login.kind, login.value
            if kind == SPLIT_ANEW:
                if not self._store.members.logins(member_id, SPLIT):
                    continue
                kind = SPLIT
            elif kind not in LOGIN_KINDS:
                raise _unlike("it has a sign-in of an unknown kind")
            if value is not None:
                _require_login(kind, value, member_id)
            if kind == SCRAM and value is not None:
                value = self._verifiers.lock(name, Secret(value))
            put.append((kind, value))
        return put

    def _find(
        self, member_id: bytes, kinds: frozenset[str], enrolment_id: bytes | None
    ) -> Enrolment | None:
        blobs = self._store.members.enrolments(member_id)
        enrolments = [decode_enrolment(blob) for blob in blobs.values()]
        fitting = [e for e in enrolments if set(e.kinds) == kinds]
        # An id that is not there is answered as none is: strangers' answers do not change with it.
        fitting = [e for e in fitting if e.enrolment_id == enrolment_id] or fitting
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        newest = self._order(member_id)
        return max(fitting, key=lambda e: newest.get(e.enrolment_id, -1))

    def _order(self, member_id: bytes) -> dict[bytes, int]:
        """Return each enrolment's place in the stored list; whoever unlocks one verifies it."""
        stored = self._store.members.enrolment_list(member_id)
        if stored is None:
            return {}
        message, _ = split_signed(stored.signed, max_size=MAX_SHARE_SIZE)
        listed = decode_enrolment_list(message)
        return {entry.enrolment_id: place for place, entry in enumerate(listed.enrolments)}

    def _bundle(
        self, member_id: bytes, name: str, signed_list: bytes, blobs: Sequence[bytes]
    ) -> bytes:
        _, statements = self._statements()
        return MemberBundle(
            self._deployment_id, member_id, name, signed_list, tuple(blobs), tuple(statements)
        ).encode()


def _found(
    states: dict[bytes, GroupState], member_id: bytes, public: bytes | None = None
) -> Member | None:
    """Return the member of this id, with this signing key if one is given."""
    for state in states.values():
        membership = state.members.get(member_id)
        if membership is not None and public in (None, membership.member.signing_public):
            return membership.member
    return None


def _require_login(kind: str, value: bytes, member_id: bytes) -> None:
    """Refuse what no sign-in of this member could be compared with."""
    fits = len(value) == LOGIN_SIZE if kind == SPLIT else len(value) <= MAX_LOGIN
    if kind == PASSKEY and fits:
        try:
            fits = decode_passkey_record(value).member_id == member_id
        except DataError:
            fits = False
    if not fits:
        raise _unlike("a sign-in is not as its kind has it")


def _folded(name: str) -> str:
    """Return what names have in common that people would take for one."""
    return unicodedata.normalize("NFKC", name).casefold()


def _key_of_change(change: MemberChange, member: Member | None) -> bytes:
    """Return the key that a change must be signed with: the new one, where it brings one."""
    ops = [SignedEntry.decode(p.signed_entry).entry.op for p in change.proposals]
    renewed = {op.signing_public for op in ops if isinstance(op, MemberRekey)}
    if len(renewed) > 1:
        raise _unlike("it brings several new keys")
    if renewed:
        return renewed.pop()
    if member is None:
        raise _not_signed()
    return member.signing_public


def _claimed_member(change: MemberChange) -> bytes:
    """Return whose change it says to be; nothing has verified that yet."""
    message, _ = split_signed(change.signed_list, max_size=MAX_LIST_SIZE)
    return decode_enrolment_list(message).member_id


def _require_own_entries(change: MemberChange, member_id: bytes) -> None:
    """Let a change bring what its member says of the own ways in and keys, once a group, no more.

    Founding a group here, say, would have this server trust it.
    """
    groups = set()
    for proposal in change.proposals:
        entry = SignedEntry.decode(proposal.signed_entry).entry
        own = isinstance(entry.op, Restate | MemberRekey) and entry.actor_id == member_id
        if not own or entry.group_id in groups:
            raise DataError(
                "enrolment.foreign-entry",
                "This change brings a log entry that is not about its member's ways in.",
                hint="Hand such entries in by themselves; see `twinlock group`.",
            )
        groups.add(entry.group_id)


def _require_one_key(states: dict[bytes, GroupState], member: Member) -> None:
    """Refuse a revocation that leaves the old keys in a group: they would go on opening there."""
    for state in states.values():
        found = state.members.get(member.member_id)
        if found is not None and found.member.signing_public != member.signing_public:
            raise CallerError(
                "enrolment.keys-differ",
                f"In group {state.name} this member would keep other keys than this change has.",
                hint="Follow all groups of the member, then revoke again.",
            )


def _require_allowed(listed: EnrolmentList, states: dict[bytes, GroupState]) -> None:
    traits = traits_of(entry.kinds for entry in listed.enrolments)
    for state in states.values():
        membership = state.members.get(listed.member_id)
        if membership is None:
            continue
        refused = refused_traits(state.policy, traits) | (membership.member.traits ^ traits)
        if refused:
            raise CallerError(
                "enrolment.policy",
                f"Group {state.name} does not allow these ways in: {', '.join(sorted(refused))}.",
                hint="State them in the group's log first, or add a device key or recovery code.",
            )


def _is_as_listed(enrolment: Enrolment, entry: Listed, listed: EnrolmentList) -> bool:
    """Compare the id too: a stored row can hold another enrolment than its key says."""
    return (
        enrolment.deployment_id == listed.deployment_id
        and enrolment.member_id == listed.member_id
        and enrolment.enrolment_id == entry.enrolment_id
        and enrolment.kinds == entry.kinds
    )


def _not_signed() -> DataError:
    return DataError(
        "data.not-authentic",
        "This change is signed by no present key of a member.",
        hint="Follow the groups and make the change again; see `twinlock member factors`.",
    )


def _unlike(why: str) -> DataError:
    return DataError(
        "enrolment.unlike-list",
        f"The change does not hold together: {why}.",
        hint="Make the change again with the same version of Twinlock.",
    )


def _unknown() -> CallerError:
    return CallerError(
        "member.unknown",
        "This server keeps no enrolments of that member.",
        hint="The member has to be in a group that this server trusts, and hand in a change.",
    )
