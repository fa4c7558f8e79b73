"""A member's ways in: enrolling, changing, dropping and revoking them (SPEC 28).

``change`` is routine and keeps the member's keys. ``revoke`` is for a factor that somebody else may
have: it makes new keys, so that neither the factor nor an old snapshot opens anything of later.
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from twinlock.agent.admin import GroupAdmin
from twinlock.agent.home import StateHome
from twinlock.agent.state import MemberState
from twinlock.core.enrolment import Enrolment, MemberKeys, decode_enrolment, enrol, member_keys
from twinlock.core.enrolment_list import (
    MAX_ENROLMENTS,
    MAX_LABEL,
    EnrolmentList,
    Listed,
    guessable,
    refused_traits,
    traits_of,
    verify_enrolment_list,
)
from twinlock.core.factors import EnrollableFactor
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.member_change import LOGIN_KINDS, Login, MemberChange
from twinlock.core.membership import GroupState
from twinlock.core.ports import Clock, Randomness
from twinlock.core.proposal import Proposal
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError

_MAX_UNLISTED: Final = 8
MIN_GROUP_DIGITS: Final = 8
SHOWN_GROUP_DIGITS: Final = 16
Send = Callable[[bytes], object]
"""Hands a change to the server, and raises if it was not accepted."""


@dataclass(frozen=True, slots=True)
class NewWay:
    """A way in to be made: its factors, all of them needed, and what the member calls it.

    ``at_server``: whether it is kept there too; None does so wherever a stolen database could not
    be used to test guesses.
    """

    factors: Sequence[EnrollableFactor]
    label: str = ""
    at_server: bool | None = None


@dataclass(frozen=True, slots=True)
class WayIn:
    """One valid way in. ``here``: this agent has its enrolment."""

    listed: Listed
    here: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of the server's list. ``gone``: ways in that were here and no longer count."""

    listed: EnrolmentList
    gone: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Ways:
    """The verbs on one unlocked member's ways in. Get it from ``Agent.ways``."""

    state: MemberState
    keys: MemberKeys
    home: StateHome
    admin: GroupAdmin
    reload: Callable[[], None]
    clock: Clock
    randomness: Randomness

    def all(self) -> list[WayIn]:
        """Return the valid ways in, oldest first."""
        here = {enrolment.enrolment_id for enrolment in self.state.enrolments}
        return [WayIn(e, e.enrolment_id in here) for e in self._listed()]

    def enrol(
        self,
        way: NewWay,
        *,
        instead_of: bytes | None = None,
        logins: Sequence[Login] = (),
        logins_of: Callable[[Enrolment], Sequence[Login]] = lambda _: (),
        scram_alone: bool = False,
        sole_passkey: bool = False,
        send: Send | None = None,
    ) -> bytes:
        """Make a way in; ``instead_of`` (an enrolment id) makes it a change. Keys stay.

        Where it changes what the member states in the groups' logs, those entries go with it: the
        agent should have followed its groups just before.
        Returns the change for the server. With ``send`` it is handed over first, and nothing
        happened here if that was refused. ``logins`` is what the server compares sign-ins with;
        ``logins_of`` makes more of it from the new enrolment, as split login needs it.
        Raises ``factor.*``, ``enrolment.*``, and whatever ``send`` raises.
        """
        made, listed = self._make(self.keys.seed, way, scram_alone)
        with self.home.locked():
            self.reload()
            kept = self._without(instead_of)
            compared = [*logins, *logins_of(made)]
            return self._put([*kept, listed], [made], compared, sole_passkey, send)

    def publish(
        self,
        *,
        logins: Sequence[Login] = (),
        sole_passkey: bool = False,
        send: Send | None = None,
    ) -> bytes:
        """Sign the list again as it is, with the present pins, and hand in what is kept there.

        For a member who has just got into a group: a new computer follows the groups that the list
        names. ``logins``: what the server is to compare sign-ins by these ways in with. Returns the
        change. Raises like ``enrol``.
        """
        with self.home.locked():
            self.reload()
            return self._put(self._listed(), [], logins, sole_passkey, send)

    def drop(
        self, enrolment_id: bytes, *, sole_passkey: bool = False, send: Send | None = None
    ) -> bytes:
        """Let a way in no longer count, without a new one. The last one stays.

        Whoever has its factors and a copy of its enrolment still has the member's keys: after a
        loss or theft, ``revoke``. Raises ``enrolment.unknown`` or ``enrolment.last``.
        """
        with self.home.locked():
            self.reload()
            return self._put(self._without(enrolment_id), [], (), sole_passkey, send)

    def revoke(
        self,
        ways: Sequence[NewWay],
        *,
        logins: Sequence[Login] = (),
        logins_of: Callable[[Enrolment], Sequence[Login]] = lambda _: (),
        scram_alone: bool = False,
        sole_passkey: bool = False,
        without: Collection[str] = (),
    ) -> bytes:
        """Make new member keys, and ``ways`` as the only ways in.

        The agent must have followed its groups in this run. The new state is staged: it takes the
        place of the present one in ``finish_revocation``, once the groups' logs show the new keys.
        ``logins``, and what ``logins_of`` makes of each new enrolment, are the only ones that sign
        in from then on.
        ``without``: groups that the member is in no more by an admin's word, and that the server
        tells nothing of, by their ids in hexadecimal or their first 8 digits and more.
        Returns the change for the server, which appends and stores all of it or nothing. Called
        again before that, it returns the same change. Raises ``factor.*``, ``enrolment.*``,
        ``group.key-missing``, ``revocation.group-missing`` or ``log.*``.
        """
        staged = self.home.staged()
        if staged is not None:
            return staged[1]
        gone = self._missing_groups(without)
        seed = Secret(self.randomness(32))
        keys = member_keys(seed, self.keys.kem.kem)
        made = [self._make(seed, way, scram_alone) for way in ways]
        with self.home.locked():
            self.reload()
            after = copy.copy(self.state)
            listed = self._list([entry for _, entry in made], sole_passkey)
            pins = tuple(pin for pin in listed.groups if pin.group_id not in gone)
            listed = replace(listed, groups=pins)
            after.enrolments = []
            after.take_list(listed.signed(keys.signing), listed, [blob for blob, _ in made])
            traits = traits_of(after.ways)
            proposals = [self.admin.rekey(g.group_id, keys, traits) for g in self._own_groups()]
            forgotten = [Login(kind, None) for kind in LOGIN_KINDS]
            compared = [*forgotten, *logins, *(x for blob, _ in made for x in logins_of(blob))]
            change = self._change(after, compared, proposals).signed(keys.signing)
            self.home.stage(after, keys, change)
            return change

    def _missing_groups(self, without: Collection[str]) -> frozenset[bytes]:
        """Return the member's listed groups that this agent does not follow, all named in
        ``without``.

        One that the server merely kept back would stay sealed to the seed that is given up. Raises
        CallerError ``revocation.group-missing``.
        """
        pinned = () if self.state.listed is None else self.state.listed.groups
        followed = {g for g, known in self.state.groups.items() if known.verified}
        missing = frozenset(pin.group_id for pin in pinned) - followed
        named = tuple(text.lower() for text in without if len(text) >= MIN_GROUP_DIGITS)
        if unnamed := sorted(g.hex() for g in missing if not g.hex().startswith(named)):
            raise CallerError(
                "revocation.group-missing",
                f"The server told nothing of {len(unnamed)} of this member's groups: "
                + ", ".join(group_id[:SHOWN_GROUP_DIGITS] for group_id in unnamed)
                + ".",
                hint="Follow them first. Of one that you are in no more by an admin's word, say "
                "--without-group and its id.",
            )
        return missing

    def take(self, bundle: bytes) -> Taken:
        """Take the server's list of this member's ways in, with the enrolments that are kept there.

        Raises DataError ``enrolment.list-damaged``, ``enrolment.list-rolled-back`` for one that is
        older than what this agent knows, ``enrolment.list-forked`` for another one of the same age,
        CallerError ``enrolment.none-here`` where none of the ways in would be on this computer.
        """
        shown = decode_member_bundle(bundle)
        listed = verify_enrolment_list(shown.signed_list, self.keys.signing.public)
        require_mine(listed, self.state.deployment_id, self.state.member_id)
        with self.home.locked():
            self.reload()
            before = {entry.enrolment_id: entry for entry in self._listed()}
            self._require_newer(listed)
            if listed.counter > self.state.list_counter:
                blobs = [decode_enrolment(blob) for blob in shown.blobs]
                after = copy.copy(self.state)
                after.take_list(shown.signed_list, listed, blobs)
                _require_one_here(after)
                self.state.take_list(shown.signed_list, listed, blobs)
                self.home.save(self.state, self.keys)
        return Taken(listed, tuple(e for i, e in before.items() if i not in listed.ids))

    # --- building ----------------------------------------------------------------------------

    def _make(self, seed: Secret, way: NewWay, scram_alone: bool) -> tuple[Enrolment, Listed]:
        label = unicodedata.normalize("NFC", way.label)
        if len(label) > MAX_LABEL or not label.isprintable():
            raise CallerError(
                "enrolment.label",
                f"A label has at most {MAX_LABEL} printable characters.",
                hint="Call it what you will know it by, such as 'laptop'.",
            )
        made = enrol(
            seed,
            way.factors,
            deployment_id=self.state.deployment_id,
            member_id=self.state.member_id,
            kem=self.keys.kem.kem,
            randomness=self.randomness,
            scram_alone=scram_alone,
        )
        return made, listed_for(made, replace(way, label=label), self.clock())

    def _without(self, enrolment_id: bytes | None) -> list[Listed]:
        listed = self._listed()
        if enrolment_id is None:
            return listed
        kept = [entry for entry in listed if entry.enrolment_id != enrolment_id]
        if len(kept) == len(listed):
            raise CallerError(
                "enrolment.unknown",
                "This member has no such way in.",
                hint="`twinlock member factors` lists them.",
            )
        return kept

    def _put(
        self,
        entries: Sequence[Listed],
        made: Sequence[Enrolment],
        logins: Sequence[Login],
        sole_passkey: bool,
        send: Send | None,
    ) -> bytes:
        listed = self._list(entries, sole_passkey)
        after = copy.copy(self.state)
        after.take_list(listed.signed(self.keys.signing), listed, made)
        traits = traits_of(after.ways)
        proposals = [
            self.admin.restate(group.group_id, traits)
            for group in self._own_groups()
            if group.members[self.state.member_id].member.traits != traits
        ]
        change = self._change(after, logins, proposals).signed(self.keys.signing)
        _require_one_here(after)
        if send is not None:
            self._send(change, made, send)
        self.state.take_list(after.signed_list, listed, made)
        self.home.save(self.state, self.keys)
        return change

    def _send(self, change: bytes, made: Sequence[Enrolment], send: Send) -> None:
        """Hand a change over, with what it makes on disk already.

        If the answer gets lost, the list that ``take`` finds may name it, and perhaps nothing else
        that is here.
        """
        before, listed = self.state.enrolments, {entry.enrolment_id for entry in self._listed()}
        unlisted = [e for e in before if e.enrolment_id not in listed][-_MAX_UNLISTED:]
        self.state.enrolments = [
            *(e for e in before if e.enrolment_id in listed),
            *unlisted,
            *made,
        ]
        self.home.save(self.state, self.keys)
        try:
            send(change)
        except (CallerError, DataError):
            self.state.enrolments = before
            self.home.save(self.state, self.keys)
            raise

    def _list(self, entries: Sequence[Listed], sole_passkey: bool) -> EnrolmentList:
        check_ways(entries, sole_passkey=sole_passkey)
        traits = traits_of(entry.kinds for entry in entries)
        for group in self._own_groups():
            if refused := refused_traits(group.policy, traits):
                raise _refused(group.name, refused)
        return own_list(self.state, entries)

    @staticmethod
    def _change(
        after: MemberState, logins: Sequence[Login], proposals: Sequence[Proposal]
    ) -> MemberChange:
        kept = () if after.listed is None else after.listed.enrolments
        there = {entry.enrolment_id for entry in kept if entry.at_server}
        blobs = tuple(e.raw for e in after.enrolments if e.enrolment_id in there)
        return MemberChange(after.signed_list, blobs, tuple(logins), tuple(proposals))

    def _listed(self) -> list[Listed]:
        if self.state.listed is not None:
            return list(self.state.listed.enrolments)
        return [Listed(e.enrolment_id, e.kinds, "", 0, False) for e in self.state.enrolments]

    def _own_groups(self) -> list[GroupState]:
        """Return the followed groups that this member is in, by id."""
        mine = self.state.member_id
        known = (g.state for g in self.state.groups.values() if g.verified)
        return sorted((g for g in known if mine in g.members), key=lambda g: g.group_id)

    def _require_newer(self, listed: EnrolmentList) -> None:
        if listed.counter < self.state.list_counter:
            raise DataError(
                "enrolment.list-rolled-back",
                "The server shows an older list of this member's ways in than this agent knows.",
                hint="Do not sign in; tell an admin. The server's database may have been set back.",
            )
        if listed.counter == self.state.list_counter and listed != self.state.listed:
            raise DataError(
                "enrolment.list-forked",
                "This agent and the server know two lists of this member's ways in, equally old.",
                hint="Two devices changed them at once: repeat one device's change.",
            )


def own_list(state: MemberState, entries: Sequence[Listed]) -> EnrolmentList:
    """Return the list that follows a state's, with the member's pins of now.

    Raises CallerError ``agent.no-identity``.
    """
    if state.identity is None:
        raise CallerError(
            "agent.no-identity",
            "This member has pinned no token yet.",
            hint="Create the member with the deployment's card.",
        )
    pins = {pin.group_id: pin for pin in (() if state.listed is None else state.listed.groups)}
    for group_id, known in state.groups.items():
        if known.verified and state.member_id in known.state.members:
            pins[group_id] = known.state.pin
        elif known.verified:
            pins.pop(group_id, None)
    return EnrolmentList(
        state.deployment_id,
        state.member_id,
        state.list_counter + 1,
        tuple(entries),
        state.identity,
        tuple(pins[group_id] for group_id in sorted(pins)),
    )


def listed_for(made: Enrolment, way: NewWay, now: int) -> Listed:
    """Return the list's line for an enrolment. Raises CallerError ``enrolment.guessable``."""
    weak = guessable(made.kinds)
    if weak and way.at_server:
        raise CallerError(
            "enrolment.guessable",
            f"Whoever stole the database could test guesses of {' and '.join(made.kinds)}.",
            hint="Keep it on this computer alone, or add a device key or a hardened password.",
        )
    at_server = not weak if way.at_server is None else way.at_server
    return Listed(made.enrolment_id, made.kinds, way.label, now, at_server)


def check_ways(entries: Sequence[Listed], *, sole_passkey: bool) -> None:
    """Check what would be a member's ways in.

    Raises CallerError ``enrolment.last``, ``enrolment.too-many`` or ``enrolment.sole-passkey``.
    """
    if not entries:
        raise CallerError(
            "enrolment.last",
            "This is the last way in: without it everything sealed for this member alone is lost.",
            hint="Enrol another way in first.",
        )
    if len(entries) > MAX_ENROLMENTS:
        raise CallerError(
            "enrolment.too-many",
            f"A member has at most {MAX_ENROLMENTS} ways in.",
            hint="Drop one that is not used any more.",
        )
    if not sole_passkey and "sole-passkey" in traits_of(entry.kinds for entry in entries):
        raise CallerError(
            "enrolment.sole-passkey",
            "Every way in would need a passkey, and passkeys get lost with an account or a phone.",
            hint="Make another way in with it: a recovery code, a device key or a password.",
        )


def require_mine(listed: EnrolmentList, deployment_id: bytes, member_id: bytes) -> None:
    """Raise DataError ``enrolment.list-damaged`` for another member's or deployment's list."""
    if (listed.deployment_id, listed.member_id) != (deployment_id, member_id):
        raise DataError(
            "enrolment.list-damaged",
            "The list of ways in is another member's.",
            hint="Do not go on with what the server sent; tell an admin.",
        )


def _require_one_here(state: MemberState) -> None:
    """A state that nothing on this computer opens would be lost with the process."""
    if not state.enrolments:
        raise CallerError(
            "enrolment.none-here",
            "None of the ways in that count would be kept on this computer.",
            hint="Make one here first, or set it up again with `twinlock member recover`.",
        )


def _refused(group: str, traits: frozenset[str]) -> CallerError:
    return CallerError(
        "enrolment.policy",
        f"The policy of group {group} does not allow this: {', '.join(sorted(traits))}.",
        hint="Add a device key or recovery code to it, or ask the group's admins.",
    )
