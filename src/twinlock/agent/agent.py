"""The agent: a member's side of every ceremony. It needs no token, no PIN and no database."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from twinlock.agent.admin import GroupAdmin
from twinlock.agent.answer import Answerer, OpenedLock
from twinlock.agent.budget import Allowance
from twinlock.agent.examine import (
    SESSION_LIFE,
    ExaminedRequest,
    check_expected,
    examine,
    require_ways,
)
from twinlock.agent.follow import follow, require_present_keys
from twinlock.agent.home import FileHome, StateHome, find_home
from twinlock.agent.keys import GroupKeys
from twinlock.agent.recovery_book import SeenNotice
from twinlock.agent.state import (
    AgentSession,
    KnownGroup,
    MemberState,
    load_state,
    own_member,
    state_path,
)
from twinlock.agent.ways import Ways
from twinlock.core.context import Context
from twinlock.core.enrolment import MemberKeys, unlock_any
from twinlock.core.factors import Factor
from twinlock.core.member_bundle import BundleRequest
from twinlock.core.membership import AgentPlacement, Invitation, MemberCard
from twinlock.core.ports import Clock, Randomness
from twinlock.core.primitives import sha256
from twinlock.core.release import (
    ReleaseItem,
    ReleaseMessage,
    ShareMessage,
    release_digest,
    sign_message,
    wrap_release_keys,
)
from twinlock.core.request import (
    GroupHead,
    GroupNews,
    Hello,
    RequestBundle,
    decode_bundle,
    decode_group_bundle,
)
from twinlock.errors import CallerError

SESSION_RENEWAL: Final = SESSION_LIFE // 2
DEFAULT_BUDGET_PER_HOUR: Final = 10_000


class AsksMembers(Protocol):
    """A live request of the same process; it is bound to the agent that will answer it."""

    def bind(self, hello: bytes) -> bytes:
        """Return the request bundle for the agent that said ``hello``."""
        ...


Approve = Callable[[ExaminedRequest, str], bool]
"""Asks the member: gets the examined request and the reason why a click is needed."""


@dataclass(frozen=True, slots=True)
class Release:
    """A member's signed answer to one request."""

    raw: bytes

    def to_bytes(self) -> bytes:
        """Return the bytes to send to the server."""
        return self.raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Take a release as it was received; the server verifies it when it opens."""
        return cls(bytes(raw))


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """What an agent counts: all releases so far; per group id, DEKs in the last hour and budget."""

    releases: int
    released_this_hour: Mapping[bytes, int]
    budget_per_hour: Mapping[bytes, int]


class Agent:
    """A member's unlocked agent. Use it as a context manager: the keys go when it ends."""

    def __init__(
        self,
        kept: StateHome,
        state: MemberState,
        keys: MemberKeys,
        *,
        placement: AgentPlacement = AgentPlacement.OWN_ORIGIN_OR_PROGRAM,
        budget_per_hour: int = DEFAULT_BUDGET_PER_HOUR,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> None:
        self._kept = kept
        self._state = state
        self._keys: MemberKeys | None = keys
        self._group_keys = GroupKeys(state.member_id, keys)
        self._placement = placement
        self._budget = budget_per_hour
        self._clock = clock
        self._randomness = randomness

    @classmethod
    def unlock(
        cls,
        name: str,
        *factors: Factor,
        home: str | Path | None = None,
        placement: AgentPlacement = AgentPlacement.OWN_ORIGIN_OR_PROGRAM,
        budget_per_hour: int = DEFAULT_BUDGET_PER_HOUR,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> Self:
        """Unlock a member with all factors of one enrolment.

        ``home`` holds ``NAME.member``; by default the folder of the device key file, else the
        current one. Raises ``file.*``, ``factor.*`` or ``agent.state-damaged``.
        """
        path = state_path(find_home(factors, home), name)
        stored = load_state(path)
        keys = unlock_any(stored.enrolments, factors)
        return cls(
            FileHome(path),
            stored.unlocked(keys),
            keys,
            placement=placement,
            budget_per_hour=budget_per_hour,
            clock=clock,
            randomness=randomness,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.lock()

    def lock(self) -> None:
        """Forget the keys. Python cannot promise to wipe them (docs/limitations.md)."""
        self._keys = None
        self._group_keys.forget()

    @property
    def name(self) -> str:
        """The member's name."""
        return self._state.name

    @property
    def member_id(self) -> bytes:
        """The member's 16-byte id."""
        return self._state.member_id

    @property
    def groups(self) -> tuple[KnownGroup, ...]:
        """The groups that this agent follows."""
        return tuple(self._state.groups.values())

    def status(self) -> AgentStatus:
        """Return this agent's counters and, per followed group, its budget."""
        now = self._clock()
        policies = {g.state.group_id: g.state.policy for g in self.groups}
        return AgentStatus(
            self._state.counter,
            {g: self._state.ledger.within_hour(g, now) for g in policies},
            {g: self._allowance.limit(policy) for g, policy in policies.items()},
        )

    @property
    def admin(self) -> GroupAdmin:
        """What this member may do to groups."""
        return GroupAdmin(
            self._state,
            self._unlocked(),
            self._group_keys,
            self._save,
            self._clock,
            self._randomness,
        )

    @property
    def ways(self) -> Ways:
        """This member's ways in: enrolling, changing, dropping and revoking them."""
        return Ways(
            self._state,
            self._unlocked(),
            self._kept,
            self.admin,
            self._reload,
            self._clock,
            self._randomness,
        )

    @property
    def notices(self) -> tuple[SeenNotice, ...]:
        """The recoveries that the followed groups' logs announce (SPEC 31)."""
        return tuple(self._state.recoveries.notices.values())

    def bundle_request(self) -> bytes:
        """Return what proves to the server that this member asks for all of its enrolments."""
        state = self._state
        asked = BundleRequest(state.deployment_id, state.member_id, self._clock())
        return sign_message(asked.encode(), self._unlocked().signing)

    def card(self, invitation: Invitation | None = None) -> bytes:
        """Return this member's signed card for an admin; with an invitation, accept it too.

        Raises ``invitation.expired`` or ``member.other-deployment``.
        """
        keys, state = self._unlocked(), self._state
        member = own_member(state, keys)
        if invitation is None:
            card = MemberCard(deployment_id=state.deployment_id, member=member)
            return card.encode(keys.signing)
        invitation.require_fresh(self._clock())
        pinned = (state.deployment_id, state.identity)
        if (invitation.deployment_id, invitation.identity_fingerprint) != pinned:
            raise CallerError(
                "member.other-deployment",
                "This invitation is to another deployment, or names another token.",
                hint="Compare the token's fingerprint with the admin who sent it.",
            )
        if invitation.group_id not in state.groups:
            state.accepted[invitation.group_id] = invitation
            self._save()
        return MemberCard.answering(invitation, member).encode(keys.signing)

    # --- sessions and groups -----------------------------------------------------------------

    def hello(self, *, session: bytes | None = None, keep: bool = False) -> bytes:
        """Open a session, or continue it, and return what the server needs to ask this agent.

        ``session`` is the application's login session, if there is one. ``keep`` stores the
        session, so that another run of this agent can answer.
        """
        now = self._clock()
        wanted = None if session is None else sha256(session)
        found = next(
            (
                s
                for s in self._state.sessions
                if s.begun <= now < s.begun + SESSION_RENEWAL and wanted in (None, s.session_hash)
            ),
            None,
        )
        if found is None:
            nonce = self._randomness(32)
            found = AgentSession(nonce, wanted or sha256(nonce), now)
            # One begun in the future is left from before the clock was set back: none could use it.
            alive = [s for s in self._state.sessions if s.begun <= now <= s.begun + SESSION_LIFE]
            self._state.sessions = [*alive[-7:], found]
        if keep:
            self._save()
        heads = tuple(GroupHead(g.state.group_id, g.state.seq, g.state.head) for g in self.groups)
        return Hello(
            self._state.deployment_id,
            self._state.member_id,
            found.nonce,
            found.session_hash,
            heads,
            self._placement.value,
        ).encode()

    def follow(self, bundle: bytes) -> None:
        """Take group news from the server: verify them, pin the new heads, keep the sealed keys.

        Raises ``log.*``, ``group.not-invited``, ``directory.*``, and CallerError
        ``member.keys-retired`` where this member has other keys by now: nothing is kept then.
        """
        news = decode_group_bundle(bundle)
        directory, groups = follow(self._state, news.directory, news.news, now=self._clock())
        require_present_keys(groups.values(), self.member_id, self._unlocked().signing.public)
        self._keep(groups, sha256(directory.identity.public), news.news)
        self._group_keys.receive(news.keys)
        self._save()

    def require_group_keys(self) -> None:
        """Open every epoch's key of every group that this member is in, as the server sent them.

        Raises DataError ``group.key-missing`` or ``group.key-replaced``, and whatever opening one
        that was sealed to other keys raises.
        """
        for known in self.groups:
            if known.verified and self.member_id in known.state.members:
                for epoch in known.state.epochs:
                    self._group_keys.key(known, epoch)

    # --- requests ----------------------------------------------------------------------------

    def examine(self, request: bytes | AsksMembers, *, helping: bool = False) -> ExaminedRequest:
        """Check a request and return what it asks for. Opens nothing. Raises like ``release``.

        ``helping``: it is another member's, as for ``help_with``.
        """
        return self._examine(self._bundle(request), helping=helping)

    def describe(self, request: bytes | AsksMembers) -> str:
        """Say what a request asks, checked, in words for the member."""
        return self.examine(request).describe()

    def release(
        self,
        request: bytes | AsksMembers,
        *,
        shares: Iterable[bytes] = (),
        expect: Sequence[Context] | None = None,
        approve: Approve | None = None,
    ) -> Release:
        """Answer a request: open each record's lock and send its release key to the token.

        ``expect``: the contexts that the user opened; anything else is refused. ``shares``: other
        members' help with AND locks. ``approve``: asked when the budget or a group's policy needs
        the member's own decision; without it such requests are refused.

        Raises ``request.*``, ``transport.*``, ``log.*``, ``release.*``, ``share.*`` or
        ``data.not-authentic``. Nothing is counted or sent unless everything succeeds.
        """
        bundle = self._bundle(request)
        examined = self._examine(bundle)
        if expect is not None:
            deployment = self._state.deployment_id
            check_expected(examined.records, [c.encode(deployment) for c in expect])
        require_ways(examined.records)
        keys = self._unlocked()
        answerer = Answerer(examined, self._group_keys, keys)
        answerer.receive(shares)
        opened = answerer.open_all()
        with self._kept.locked():
            self._reload()
            self._check_budget(examined, _count_by_group(opened), approve)
            return self._sign(examined, opened, keys)

    def help_with(self, request: bytes, *, approve: Approve | None = None) -> bytes:
        """Open this member's shares of another member's AND locks, sealed to that member.

        Shares count against the budgets like releases, and ``approve`` is asked as there. Returns
        the signed share message. Raises like ``release``, and ``share.requester-unknown``.
        """
        examined = self._examine(decode_bundle(request), helping=True)
        keys = self._unlocked()
        requester_kid, items = Answerer(examined, self._group_keys, keys).seal_shares()
        if not items:
            raise CallerError(
                "share.nothing",
                "No lock of this request needs a share of this member's groups.",
                hint="Check that it is the right request.",
            )
        message = ShareMessage(
            self._state.deployment_id,
            examined.digest,
            examined.message.member_id,
            requester_kid,
            self._state.member_id,
            keys.signing.kid,
            self._clock(),
            tuple(items),
        )
        with self._kept.locked():
            self._reload()
            counts = Counter(examined.group_of_share(i.position, i.lock, i.index) for i in items)
            self._check_budget(examined, counts, approve)
            self._state.ledger.spend(counts, self._clock())
            self._kept.save(self._state, keys)
        return sign_message(message.encode(), keys.signing)

    def _bundle(self, request: bytes | AsksMembers) -> RequestBundle:
        raw = request if isinstance(request, bytes) else request.bind(self.hello())
        return decode_bundle(raw)

    def _examine(self, bundle: RequestBundle, *, helping: bool = False) -> ExaminedRequest:
        examined = examine(self._state, bundle, now=self._clock(), helping=helping)
        # Of other groups this agent may know what was before the member took new keys.
        told = [examined.groups[n.group_id] for n in bundle.news]
        require_present_keys(told, self.member_id, self._unlocked().signing.public)
        verified = {g: k for g, k in examined.groups.items() if k.verified}
        self._keep(verified, examined.identity, bundle.news)
        self._group_keys.receive(bundle.keys)
        return examined

    def _check_budget(
        self, examined: ExaminedRequest, counts: Mapping[bytes, int], approve: Approve | None
    ) -> None:
        now = self._clock()
        for group_id, count in counts.items():
            group = examined.groups[group_id].state
            reason = self._allowance.reason_to_ask(group, count, now)
            if reason is not None and not (approve and approve(examined, reason)):
                raise CallerError(
                    "release.needs-approval",
                    f"This release needs the member's own decision: {reason}.",
                    hint="Look at what is asked, then approve it explicitly.",
                )

    @property
    def _allowance(self) -> Allowance:
        return Allowance(self._placement, self._budget, self._state.ledger)

    def _sign(
        self, examined: ExaminedRequest, opened: Sequence[OpenedLock], keys: MemberKeys
    ) -> Release:
        state, message, now = self._state, examined.message, self._clock()
        if examined.transport is None:
            raise CallerError(
                "release.helping",
                "This request is another member's: it can only be helped with.",
                hint="Use help_with(), or ask the server for a request of your own.",
            )
        block, wrapped = wrap_release_keys(
            examined.transport, [o.release_key for o in opened], self._randomness
        )
        items = tuple(
            ReleaseItem(at, record.core.dek_id, lock.lock_digest, key)
            for at, (record, lock, key) in enumerate(
                zip(examined.records, opened, wrapped, strict=True)
            )
        )
        release = ReleaseMessage(
            state.deployment_id,
            examined.digest,
            state.member_id,
            keys.signing.kid,
            message.transport_kid,
            message.transport_digest,
            now,
            state.counter + 1,
            state.previous,
            examined.audit_head,
            block,
            items,
        )
        signed = sign_message(release.encode(), keys.signing)
        # Booked and on disk before it is handed out: a crash can only count too much.
        state.counter += 1
        state.previous = release_digest(signed)
        state.audit_head = examined.audit_head
        state.ledger.spend(_count_by_group(opened), now)
        self._kept.save(state, keys)
        return Release(signed)

    # --- state -------------------------------------------------------------------------------

    def _keep(
        self, groups: dict[bytes, KnownGroup], identity: bytes, news: Iterable[GroupNews]
    ) -> None:
        before = {group_id: known.state for group_id, known in self._state.groups.items()}
        after = {group_id: known.state for group_id, known in groups.items()}
        self._state.recoveries.read(news, before, after, self._clock())
        self._state.groups.update(groups)
        self._state.identity = identity
        for group_id in groups:
            self._state.accepted.pop(group_id, None)

    def _reload(self) -> None:
        """Another run of this agent may have released or followed meanwhile: all of it counts."""
        stored = self._kept.load()
        if stored is not None:
            stored.merge_into(self._state, self._unlocked())

    def _save(self) -> None:
        with self._kept.locked():
            self._reload()
            self._kept.save(self._state, self._unlocked())

    def _unlocked(self) -> MemberKeys:
        if self._keys is None:
            raise CallerError(
                "agent.locked", "This agent is locked.", hint="Unlock it again to go on."
            )
        return self._keys


def _count_by_group(opened: Iterable[OpenedLock]) -> Counter[bytes]:
    return Counter(lock.group_id for lock in opened)
