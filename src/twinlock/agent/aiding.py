"""A contact's side of a recovery: reply, compare the codes, give the notice, hand over the share.

The agent goes by its own letter, its own verified log and its own clock. What the server or the
device say decides nothing (SPEC 31).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

from twinlock.agent.admin import GroupAdmin
from twinlock.agent.agent import Agent
from twinlock.agent.recovery_book import Aid, SeenNotice
from twinlock.agent.state import MemberState
from twinlock.core.contacts.codes import (
    NONCE_SIZE,
    Transcript,
    normalize_code,
    seal_share,
)
from twinlock.core.contacts.letter import MIN_WAIT, Letter, open_letter
from twinlock.core.contacts.messages import (
    Ask,
    Reply,
    SealedShare,
    decode_ask,
    decode_opening,
    decode_reply,
)
from twinlock.core.enrolment import MemberKeys
from twinlock.core.membership import GroupState, Member, RecoveryBegin
from twinlock.core.primitives import equal
from twinlock.core.proposal import Proposal
from twinlock.core.request import decode_group_bundle
from twinlock.errors import CallerError, DataError

MAX_WRONG_CODES: Final = 3
SHARE_LIFE: Final = 14 * 86400
"""Seconds after the waiting time for which a share can still be had."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a contact should know before replying: whose recovery, and on which terms.

    ``name`` is the one in the verified log. ``reply``: the message for the device.
    """

    digest: bytes
    name: str
    group: str
    needed: int
    count: int
    wait: int
    reply: bytes


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The code that the contact reads back, and the notice for the log; None if it is there."""

    code: str
    notice: Proposal | None


@dataclass(frozen=True, slots=True)
class Aiding:
    """The verbs of one contact's unlocked agent.

    ``min_wait``: the floor of the waiting time in seconds, whatever a letter says.
    """

    admin: GroupAdmin
    follow: Callable[[bytes], None]
    min_wait: int = MIN_WAIT

    @classmethod
    def of(cls, agent: Agent) -> Self:
        """Return the verbs of an unlocked agent. Raises ``agent.locked``."""
        return cls(agent.admin, agent.follow)

    @property
    def state(self) -> MemberState:
        """What the agent remembers."""
        return self.admin.state

    @property
    def keys(self) -> MemberKeys:
        """The contact's own keys."""
        return self.admin.keys

    def reply(self, ask: bytes) -> Asked:
        """Answer a device that asks for help with a recovery; nothing is given away.

        Asked again, the reply is the same. Raises ``format.*``, ``factor.parameters``,
        CallerError ``recovery.not-a-contact``, DataError ``recovery.letter``, and
        ``group.not-followed``, ``recovery.not-a-member`` or ``recovery.retired`` where the log
        knows no such member, or knows it with other keys.
        """
        asked = decode_ask(ask)
        letter, group, member = self._examine(asked)
        digest = asked.request.digest
        if digest not in self.state.recoveries.aids:
            reply = Reply(
                digest,
                self.state.member_id,
                self.admin.randomness(NONCE_SIZE),
                self.keys.signing.public,
                member.signing_kid,
                member.kem_kid,
                group.identity_fingerprint,
                group.group_id,
            )
            # On disk before it goes out: a second nonce would be a second chance to search.
            self.state.recoveries.add_aid(digest, Aid(ask, reply.encode(), self.admin.clock()))
            self.admin.save()
        terms = letter.terms
        kept = self.state.recoveries.aids[digest].reply
        return Asked(digest, member.name, group.name, terms.needed, terms.count, terms.wait, kept)

    def confirm(self, opening: bytes, code: str) -> Confirmed:
        """Compare the code that the person read out, by voice, with this agent's own.

        Returns the code to read back, and the notice that must go into the group's log. Raises
        CallerError ``recovery.unknown``, ``recovery.code-differs``, ``recovery.code-tries``;
        DataError ``recovery.commitment``, ``recovery.other-ceremony``; and like ``reply``.
        """
        opened = decode_opening(opening)
        aid = self._aid(opened.digest)
        asked, reply = decode_ask(aid.ask), decode_reply(aid.reply)
        transcript = Transcript(asked.request, reply, opened)
        transcript.check()
        letter, group, _ = self._examine(asked)
        self._compare(aid, transcript, code)
        self._keep(transcript, replace(aid, opening=opening, confirmed=True))
        digest, member_id = asked.request.digest, asked.request.place.member_id
        notice = None
        if (group.group_id, digest, member_id) not in self.state.recoveries.notices:
            notice = self.admin.notify(letter.terms.group_id, RecoveryBegin(member_id, digest))
        return Confirmed(transcript.codes.of_contact, notice)

    def share(self, digest: bytes, news: bytes) -> bytes:
        """Hand over the share, sealed to the device whose code was confirmed.

        ``news``: the newest group bundle, which is followed first, so that a cancellation counts.
        Returns the signed message. Raises CallerError ``recovery.unknown``,
        ``recovery.unconfirmed``, ``recovery.no-news``, ``recovery.no-notice``,
        ``recovery.waiting``, ``recovery.cancelled``, ``recovery.expired``; like ``reply``, and
        like ``Agent.follow``.
        """
        aid = self._aid(digest)
        if not aid.confirmed:
            raise CallerError(
                "recovery.unconfirmed",
                "Nobody has compared the codes of this recovery yet.",
                hint="Call the person, and run `twinlock member contacts confirm` first.",
            )
        asked = decode_ask(aid.ask)
        self.follow(news)
        letter, group, _ = self._examine(asked)
        if group.group_id not in {log.group_id for log in decode_group_bundle(news).news}:
            raise CallerError(
                "recovery.no-news",
                f"This bundle says nothing of the group {group.name}.",
                hint="Ask the server for a new one: `twinlock group bundle --for HELLO`.",
            )
        self._require_due(asked, letter)
        transcript = Transcript(asked.request, decode_reply(aid.reply), decode_opening(aid.opening))
        transcript.check()
        sealed = seal_share(transcript, letter.index, letter.terms, letter.share)
        return SealedShare(digest, self.state.member_id, sealed).signed(self.keys.signing)

    def due(self, digest: bytes) -> int | None:
        """Return when the share may be given, in seconds since the epoch; None before the notice.

        Raises like ``reply``.
        """
        asked = decode_ask(self._aid(digest).ask)
        letter, _, _ = self._examine(asked)
        seen = self._notice(asked, letter)
        return None if seen is None else seen.first_seen + self._wait(letter)

    # --- inside ------------------------------------------------------------------------------

    def _examine(self, asked: Ask) -> tuple[Letter, GroupState, Member]:
        """Open the own letter, and check it against the group's verified log."""
        place = asked.request.place
        row = asked.letters.row_of(self.state.member_id)
        if row is None or place.deployment_id != self.state.deployment_id:
            raise CallerError(
                "recovery.not-a-contact",
                "This recovery does not ask this member.",
                hint="It is for other contacts; nothing is to be done here.",
            )
        letter = open_letter(row.sealed, self.keys.kem, place, row.contact_id, row.index)
        known = self.state.groups.get(letter.terms.group_id)
        if known is None or not known.verified:
            raise CallerError(
                "group.not-followed",
                "This agent does not follow the group in which the recovery must be announced.",
                hint="Follow the group again, or ask other contacts.",
            )
        return letter, known.state, _member_of(known.state, letter)

    def _compare(self, aid: Aid, transcript: Transcript, code: str) -> None:
        if aid.wrong_codes >= MAX_WRONG_CODES:
            raise CallerError(
                "recovery.code-tries",
                "Another code was typed three times: this recovery ends here.",
                hint="Have the person begin again, and call on a line that you trust.",
            )
        if not equal(normalize_code(code).encode(), transcript.codes.of_person.encode()):
            self._keep(transcript, replace(aid, wrong_codes=aid.wrong_codes + 1))
            raise CallerError(
                "recovery.code-differs",
                "This is not the code that the person's device shows to a contact who talks to it.",
                hint="Ask for the digits again. If they stay different, somebody sits between.",
            )

    def _require_due(self, asked: Ask, letter: Letter) -> None:
        seen, now = self._notice(asked, letter), self.admin.clock()
        if seen is None:
            raise CallerError(
                "recovery.no-notice",
                "The group's log does not announce this recovery.",
                hint="Have the notice appended with `twinlock group append`, then follow.",
            )
        if seen.ended:
            raise CallerError(
                "recovery.cancelled",
                "This recovery was cancelled in the group's log.",
                hint="Somebody may pass for the member: ask the member in person.",
            )
        left = seen.first_seen + self._wait(letter) - now
        if left > 0:
            raise CallerError(
                "recovery.waiting",
                f"The waiting time of this recovery is not over: {left} seconds are left.",
                hint="The member has this time to cancel. Run the command again afterwards.",
            )
        if left < -SHARE_LIFE:
            raise CallerError(
                "recovery.expired",
                "This recovery was announced too long ago.",
                hint="If it is still wanted, the person begins again.",
            )

    def _notice(self, asked: Ask, letter: Letter) -> SeenNotice | None:
        place = asked.request.place
        key = (letter.terms.group_id, asked.request.digest, place.member_id)
        return self.state.recoveries.notices.get(key)

    def _wait(self, letter: Letter) -> int:
        return max(letter.terms.wait, self.min_wait)

    def _aid(self, digest: bytes) -> Aid:
        aid = self.state.recoveries.aids.get(digest)
        if aid is None:
            raise CallerError(
                "recovery.unknown",
                "This agent has not replied to that recovery.",
                hint="Reply first: `twinlock member contacts reply`.",
            )
        return aid

    def _keep(self, transcript: Transcript, aid: Aid) -> None:
        self.state.recoveries.aids[transcript.request.digest] = aid
        self.admin.save()


def _member_of(group: GroupState, letter: Letter) -> Member:
    """The member whom a letter leads to, as the log shows him now."""
    membership = group.members.get(letter.place.member_id)
    if membership is None or letter.contact_id not in group.members:
        raise CallerError(
            "recovery.not-a-member",
            "The member, or this contact, is not in the group that the letter names.",
            hint="A removed member is not recovered; an admin may add the person again.",
        )
    if membership.member.signing_kid != letter.signing_kid:
        raise DataError(
            "recovery.retired",
            "The member has made new keys since this contact was chosen.",
            hint="What the letter leads to counts no more. Do not go on; ask the member.",
        )
    return membership.member
