"""A recovery by contacts as programs take part in it, over an application's mailbox (SPEC 31)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from twinlock.integrations.member_answers import decoded, encoded, unreadable
from twinlock.integrations.member_posts import Posts


class PassedOn(NamedTuple):
    """One message of a recovery: whom it is for or from, and which step it is."""

    contact_id: bytes
    step: str
    message: bytes


@dataclass(frozen=True, slots=True)
class RecoveryService:
    """The mailbox as one account reaches it: ``MemberService.recoveries``.

    A new device uses ``letters``, ``begin``, ``open`` and ``messages``; the application decides
    whether it may. A contact who is signed in uses the others. Raises like ``MemberService``.
    """

    account: str
    posts: Posts

    def letters(self) -> bytes:
        """Fetch the account's enrolment with contacts, for ``NewDevice.begin``."""
        return self.posts.post("recovery/letters", {"name": self.account}).octets("bundle")

    def begin(self, ask: bytes) -> bytes:
        """Lay an ask out for all contacts; returns the recovery's digest."""
        return self.posts.post("recovery/begin", {"ask": encoded(ask)}).octets("digest")

    def open(self, message: bytes) -> None:
        """Send the device's opening for one contact."""
        self.posts.post("recovery/open", {"message": encoded(message)})

    def messages(self, digest: bytes) -> list[PassedOn]:
        """Fetch all messages of a recovery."""
        said = self.posts.post("recovery/messages", {"digest": encoded(digest)})
        return [_message(row) for row in said.rows("messages")]

    def waiting(self) -> list[bytes]:
        """Fetch the asks that wait for the contact who is signed in."""
        return self.posts.post("recovery/waiting", {}).octets_list("asks")

    def reply(self, message: bytes) -> None:
        """Send a contact's reply."""
        self.posts.post("recovery/reply", {"message": encoded(message)})

    def notice(self, proposal: bytes) -> None:
        """Have a recovery announced, or cancelled, in the group's log."""
        self.posts.post("recovery/notice", {"proposal": encoded(proposal)})

    def share(self, message: bytes) -> None:
        """Send a contact's sealed share."""
        self.posts.post("recovery/share", {"message": encoded(message)})


def _message(row: object) -> PassedOn:
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[1], str):
        raise unreadable("it has a message of another form")
    return PassedOn(decoded(row[0]), row[1], decoded(row[2]))
