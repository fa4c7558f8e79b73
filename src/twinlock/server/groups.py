"""The server's view of groups: verified logs of pinned groups, kept up to date, and appending."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from twinlock.core.membership import (
    GroupState,
    PinnedHead,
    SignedEntry,
    apply,
    check_against_pin,
    countersign_input,
    replay,
    with_countersignature,
)
from twinlock.core.ports import KeyRole, Token
from twinlock.core.proposal import Proposal
from twinlock.core.request import GroupBundle, GroupNews, SealedGroupKey
from twinlock.core.statements import Directory, Statement, identity_fingerprint
from twinlock.errors import CallerError, DataError
from twinlock.server.pins import Pins
from twinlock.store.log import Append
from twinlock.store.sql import SqlStore
from twinlock.store.values import LogHead

FRESH_FOR: Final = 1
"""Seconds for which sealing trusts the last look at the logs; opening looks every time."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group by name and id, as the application refers to it."""

    name: str
    group_id: bytes


class GroupBook:
    """Verified states of the groups that this server trusts."""

    def __init__(
        self,
        deployment_id: bytes,
        store: SqlStore,
        pins: Pins,
        directory: Callable[[], Directory],
    ) -> None:
        self._deployment_id = deployment_id
        self._store = store
        self._pins = pins
        self._directory = directory
        self._states: dict[bytes, GroupState] = {}
        self._heads: dict[bytes, LogHead] | None = None
        self._looked_at = -1
        self._lock = threading.Lock()

    def states(self, now: int, *, fresh: bool = True) -> dict[bytes, GroupState]:
        """Return every trusted group's state, verified against pins and countersignatures.

        ``fresh`` looks at the store now; else a look within the last second counts. Raises
        DataError ``log.*`` when the store's logs do not continue the pinned heads.
        """
        with self._lock:
            if fresh or now - self._looked_at >= FRESH_FOR or now < self._looked_at:
                self._refresh()
                self._looked_at = now
            return self._states

    def by_name(self, name: str, now: int) -> Group:
        """Find a trusted group. Raises CallerError ``group.unknown``."""
        for state in self.states(now, fresh=False).values():
            if state.name == name:
                return Group(name, state.group_id)
        with self._lock:
            self._heads = None
        for state in self.states(now).values():
            if state.name == name:
                return Group(name, state.group_id)
        raise CallerError(
            "group.unknown",
            f"This server trusts no group named {name!r}.",
            hint="See `twinlock group list`; trust one with `twinlock group trust`.",
        )

    def trust(self, pin: PinnedHead) -> GroupState:
        """Begin to trust a group, from a head that was compared with one of its admins.

        Raises ``group.unknown`` or ``log.*``; nothing is pinned then.
        """
        entries = [entry.signed_entry for entry in self._store.log.entries(pin.group_id)]
        if not entries:
            raise CallerError(
                "group.unknown", "The store has no such group.", hint="Check the group's id."
            )
        state = replay(
            entries,
            deployment_id=self._deployment_id,
            log_key=self._directory().log_point,
            pins=[pin],
        )
        self._pins.advance(state.pin)
        self._look_again()
        return state

    def append(self, proposal: Proposal, token: Token) -> GroupState:
        """Verify a proposal, have the token countersign it, and append it with its keys.

        A founding is trusted from here on. Raises ``log.*``, ``group.keys-missing`` or
        ``group.log-moved`` (somebody else was faster: follow, and propose again).
        """
        after, append = self.prepare(proposal, token)
        self._store.log.append(append)
        self.appended([after])
        return after

    def prepare(self, proposal: Proposal, token: Token) -> tuple[GroupState, Append]:
        """Verify and countersign a proposal; nothing is kept. Raises like ``append``."""
        signed = SignedEntry.decode(proposal.signed_entry)
        founding = signed.entry.seq == 0
        gone: set[bytes] = set()
        if founding:
            after = replay([signed.encode()], deployment_id=self._deployment_id)
        else:
            before = self._trusted(signed.entry.group_id)
            if signed.entry.seq <= before.seq:
                raise CallerError(
                    "group.log-moved",
                    "Somebody else changed the group since this proposal was signed.",
                    hint="Follow the group, look at the new entries, and propose the change again.",
                )
            after = apply(before, signed)
            gone = set(before.members) - set(after.members)
        self._check_identity(after)
        self._check_keys(signed, after, proposal)
        log_key = self._directory().current(KeyRole.LOG)
        countersigned = with_countersignature(
            signed, token.sign(log_key.kid, countersign_input(signed))
        )
        append = Append(
            group_id=after.group_id,
            seq=after.seq,
            signed_entry=countersigned.encode(),
            entry_hash=after.head,
            name=after.name if founding else None,
            sealed_keys=[(k.epoch, k.member_id, k.sealed) for k in proposal.keys],
            drop_keys_of=sorted(gone),
        )
        return after, append

    def appended(self, states: Iterable[GroupState]) -> None:
        """Pin what was just appended."""
        for state in states:
            self._pins.advance(state.pin)
        self._look_again()

    def bundle(
        self, member_id: bytes, since: dict[bytes, int], statements: Sequence[Statement]
    ) -> GroupBundle:
        """Return what a member needs to follow its groups.

        ``since``: the last entry that its agent knows, by group; the member's other groups are sent
        whole. Groups that it never was in are left out.
        """
        with self._lock:
            self._refresh()
            states = self._states
        was_in = {g for g in since if g in states and _was_in(states[g], member_id)}
        groups = set(self._store.log.groups_of(member_id)) | was_in
        news = [self.news(group_id, since) for group_id in sorted(groups)]
        keys = self.sealed_keys(member_id, groups)
        return GroupBundle(tuple(statements), tuple(news), keys)

    def sealed_keys(self, member_id: bytes, groups: Iterable[bytes]) -> tuple[SealedGroupKey, ...]:
        """Return the group keys that are sealed to a member, of all epochs."""
        return tuple(
            SealedGroupKey(group_id, epoch, sealed)
            for group_id in sorted(groups)
            for epoch, sealed in self._store.log.sealed_keys(group_id, member_id).items()
        )

    def news(self, group_id: bytes, since: dict[bytes, int]) -> GroupNews:
        """Return a group's entries after the one that an agent knows."""
        first = since.get(group_id, -1) + 1
        entries = self._store.log.entries(group_id, first)
        return GroupNews(group_id, tuple(entry.signed_entry for entry in entries))

    def _look_again(self) -> None:
        """What this process changed itself counts for it at once, for sealing too."""
        with self._lock:
            self._heads, self._looked_at = None, -1

    def _trusted(self, group_id: bytes) -> GroupState:
        with self._lock:
            self._refresh()
            state = self._states.get(group_id)
        if state is None:
            raise CallerError(
                "group.unknown",
                "This server does not trust that group.",
                hint="Trust it with `twinlock group trust`.",
            )
        return state

    def _refresh(self) -> None:
        heads = self._store.log.heads()
        if heads == self._heads:
            return
        for group_id, pin in self._pins.all().items():
            known, head = self._states.get(group_id), heads.get(group_id)
            if known is not None and head is not None and head.entry_hash == known.head:
                continue
            state = self._replayed(group_id, known, head, pin)
            self._check_identity(state)
            self._pins.advance(state.pin)
            self._states = {**self._states, group_id: state}
        self._heads = heads

    def _replayed(
        self, group_id: bytes, known: GroupState | None, head: LogHead | None, pin: PinnedHead
    ) -> GroupState:
        """Replay what is new, or, where the log did not simply grow, everything against all pins.

        Then it shows as a rollback or a fork instead of as nothing new.
        """
        grew = known is not None and head is not None and known.seq < head.seq
        start = known if known is not None and grew and known.seq <= pin.seq else None
        since = 0 if start is None else start.seq + 1
        entries = [entry.signed_entry for entry in self._store.log.entries(group_id, since)]
        state = replay(
            entries,
            deployment_id=self._deployment_id,
            start=start,
            log_key=self._directory().log_point,
            pins=[pin] if known is None else [pin, known.pin],
        )
        if head is not None and state.seq <= head.seq:
            claimed = PinnedHead(group_id, head.seq, head.entry_hash)
            check_against_pin(claimed, state.seq, lambda _: state.head)
        return state

    def _check_identity(self, state: GroupState) -> None:
        identity = self._directory().identity.public
        if state.identity_fingerprint != identity_fingerprint(identity):
            raise DataError(
                "group.identity",
                f"Group {state.name} trusts another token than the one configured here.",
                hint="An admin has to sign `twinlock group set-identity`, or the wrong token runs.",
            )

    @staticmethod
    def _check_keys(signed: SignedEntry, after: GroupState, proposal: Proposal) -> None:
        """Every member whom an entry gives a key must get it, or records would be lost to them."""
        wanted = {
            (number, member_id)
            for member_id in after.members
            for number in after.epochs
            if after.grant_hash(member_id, number) == signed.entry_hash
        }
        given = {(key.epoch, key.member_id) for key in proposal.keys}
        if wanted != given:
            raise DataError(
                "group.keys-missing",
                "The entry comes without a sealed group key for each member that needs one.",
                hint="Propose it again with the same version of Twinlock.",
            )


def _was_in(state: GroupState, member_id: bytes) -> bool:
    return member_id in state.members or member_id in state.removed
