"""Following groups: replaying what the server sends against what this agent has pinned."""

from __future__ import annotations

from collections.abc import Iterable

from twinlock.agent.state import KnownGroup, MemberState
from twinlock.core.membership import GroupState, PinnedHead, SignedEntry, replay
from twinlock.core.request import GroupHead, GroupNews
from twinlock.core.statements import Directory, Statement, verify_directory
from twinlock.errors import CallerError, DataError


def follow(
    state: MemberState,
    directory: Iterable[Statement],
    news: Iterable[GroupNews],
    *,
    now: int,
    also: frozenset[bytes] = frozenset(),
) -> tuple[Directory, dict[bytes, KnownGroup]]:
    """Verify new log entries; return the token directory and every group that is now known.

    Groups are known through an invitation, the member's own list, or from before. Those in ``also``
    are taken on first use, marked as not verified. ``state`` is not changed. Raises
    ``group.not-invited``, ``log.*``, ``directory.identity`` or ``data.not-authentic``.
    """
    statements, logs = tuple(directory), tuple(news)
    stated = _directory(state, statements, logs, now, also)
    groups = dict(state.groups)
    for log in logs:
        groups[log.group_id] = _advance(state, log, stated.log_point, also)
    return stated, groups


def check_heads(groups: dict[bytes, KnownGroup], heads: Iterable[GroupHead]) -> None:
    """Check that the heads a request names are the ones that this agent replayed.

    Raises DataError ``log.fork``: the server shows this agent another log than it works with.
    """
    for head in heads:
        known = groups.get(head.group_id)
        if known is None or (known.state.seq, known.state.head) != (head.seq, head.head):
            raise _fork()


def require_present_keys(groups: Iterable[KnownGroup], member_id: bytes, public: bytes) -> None:
    """Raise CallerError ``member.keys-retired`` where a log gives this member another signing key.

    So it is after the member revoked a factor on another device.
    """
    for known in groups:
        membership = known.state.members.get(member_id)
        if membership is not None and membership.member.signing_public != public:
            raise CallerError(
                "member.keys-retired",
                "This member has made new keys since; what was unlocked here are the old ones.",
                hint="Unlock with a present way in; `twinlock member recover` sets it up here.",
            )


def _directory(
    state: MemberState,
    statements: tuple[Statement, ...],
    logs: tuple[GroupNews, ...],
    now: int,
    also: frozenset[bytes],
) -> Directory:
    fingerprint = state.identity
    if fingerprint is None:
        raise CallerError(
            "agent.no-identity",
            "This member has pinned no token yet.",
            hint="Accept an invitation, or create the member with the deployment's card.",
        )
    try:
        return verify_directory(
            statements, deployment_id=state.deployment_id, fingerprint=fingerprint, now=now
        )
    except DataError as error:
        if error.code != "directory.identity":
            raise
        # SPEC Membership: a new identity key counts when the group's admins signed it into the
        # log that this agent already follows, never because the old identity key vouches for it.
        successor = _successor(state, logs, also)
        if successor is None:
            raise
        return verify_directory(
            statements, deployment_id=state.deployment_id, fingerprint=successor, now=now
        )


def _successor(
    state: MemberState, logs: tuple[GroupNews, ...], also: frozenset[bytes]
) -> bytes | None:
    verified = [
        _advance(state, log, None, also)
        for log in logs
        if log.group_id in state.groups and state.groups[log.group_id].verified
    ]
    fingerprints = {known.state.identity_fingerprint for known in verified}
    return fingerprints.pop() if len(fingerprints) == 1 else None


def _advance(
    state: MemberState, log: GroupNews, log_key: bytes | None, also: frozenset[bytes]
) -> KnownGroup:
    known = state.groups.get(log.group_id)
    if known is not None:
        unseen = _unseen(known.state, log)
        if not unseen.entries:
            return known
        replayed = _replay(state, unseen, known.state, log_key, ())
        return KnownGroup(replayed, known.verified)
    pin = state.pin_of(log.group_id)
    if pin is not None:
        return KnownGroup(_replay(state, log, None, log_key, (pin,)), verified=True)
    if log.group_id not in also:
        raise CallerError(
            "group.not-invited",
            "This request concerns a group that this member was never invited to.",
            hint="Ask an admin of the group for an invitation, outside the server.",
        )
    return KnownGroup(_replay(state, log, None, log_key, ()), verified=False)


def _unseen(state: GroupState, log: GroupNews) -> GroupNews:
    """Leave out what this agent followed since it said how far it is: a request seen twice, or
    news that came by another way. Raises ``log.fork`` if that is not what it followed.
    """
    unseen = []
    for raw in log.entries:
        signed = SignedEntry.decode(raw)
        if signed.entry.seq > state.seq:
            unseen.append(raw)
        elif signed.entry.seq == state.seq and signed.head != state.head:
            raise _fork()
    return GroupNews(log.group_id, tuple(unseen))


def _replay(
    state: MemberState,
    log: GroupNews,
    start: GroupState | None,
    log_key: bytes | None,
    pins: tuple[PinnedHead, ...],
) -> GroupState:
    replayed = replay(
        log.entries,
        deployment_id=state.deployment_id,
        start=start,
        log_key=log_key,
        pins=pins,
    )
    if replayed.group_id != log.group_id:
        raise DataError(
            "log.wrong-group",
            "The server sent the log of another group.",
            hint="Ask for a new request; if it happens again, tell an admin.",
        )
    return replayed


def _fork() -> DataError:
    return DataError(
        "log.fork",
        "The server works with another state of a group than the log that it sent.",
        hint="Do not release anything. Compare the group's fingerprint with an admin.",
    )
