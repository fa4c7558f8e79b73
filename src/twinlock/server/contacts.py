"""A mailbox for recoveries by contacts (SPEC 31). It decides nothing: the agents do.

A new device is nobody that this server knows, so the application says who may begin, for example
after a link in a letter or a call to the help desk: ``letters`` shows who a member's contacts are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final, Self

from twinlock.agent.aiding import SHARE_LIFE
from twinlock.agent.new_device import contacts_enrolment, no_contacts
from twinlock.core.contacts.codes import Transcript, other_ceremony
from twinlock.core.contacts.letter import MAX_WAIT
from twinlock.core.contacts.messages import (
    Ask,
    decode_ask,
    decode_opening,
    decode_reply,
    peek_share,
)
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.factors.contacts import KIND
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.ports import Clock
from twinlock.errors import CallerError
from twinlock.server.members import Members
from twinlock.server.vault import Vault
from twinlock.store.recoveries import RecoveryMessage
from twinlock.store.sql import SqlStore

MAX_OPEN: Final = 8
"""Recoveries of one member at a time."""

LIFE: Final = MAX_WAIT + SHARE_LIFE
ASK, REPLY, OPENING, SHARE = "ask", "reply", "opening", "share"


@dataclass(frozen=True, slots=True)
class Recoveries:
    """The recoveries that pass through one vault's server. Safe for many threads."""

    deployment_id: bytes
    store: SqlStore
    members: Members
    clock: Clock

    @classmethod
    def of(cls, vault: Vault, *, clock: Clock = lambda: int(time.time())) -> Self:
        """Return the mailbox of a vault."""
        return cls(vault.config.deployment_id, vault.store, vault.members, clock)

    def letters(self, name: str) -> bytes:
        """Return a member's enrolment with contacts, as a member bundle, for ``NewDevice.begin``.

        Raises CallerError ``contacts.none``, alike for members without contacts and for strangers.
        """
        member = self.store.members.member(name)
        if member is None:
            raise no_contacts()
        everything = decode_member_bundle(self.members.everything(member.member_id))
        blob = contacts_enrolment(everything)
        return replace(everything, signed_list=b"", blobs=(blob,), statements=()).encode()

    def begin(self, ask: bytes) -> bytes:
        """Take a new device's ask, and lay it out for each of the contacts; return its digest.

        Raises ``format.*``, ``factor.parameters``, CallerError ``recovery.unlike-enrolment`` or
        ``recovery.too-many``.
        """
        asked = decode_ask(ask)
        self._require_stored(asked)
        now = self.clock()
        self.store.recoveries.forget_before(max(now - LIFE, 0))
        request = asked.request
        self.store.recoveries.begin(
            request.digest,
            request.place.member_id,
            [RecoveryMessage(contact, ASK, ask) for contact in request.commitments],
            now=now,
            limit=MAX_OPEN,
        )
        return request.digest

    def waiting(self, contact_id: bytes) -> list[bytes]:
        """Return the asks that lie here for a signed-in contact, oldest first."""
        return self.store.recoveries.for_contact(contact_id, ASK)

    def reply(self, contact_id: bytes, message: bytes) -> None:
        """Take the reply of a signed-in contact.

        Raises ``format.*``, ``recovery.other-ceremony``, CallerError ``recovery.unknown`` or
        ``recovery.message-exists``; so do ``open`` and ``share``.
        """
        said = decode_reply(message)
        self._require(contact_id == said.contact_id)
        self._put(said.digest, contact_id, REPLY, message)

    def open(self, message: bytes) -> None:
        """Take a new device's opening for a contact, if it is the committed one.

        Raises ``recovery.commitment`` too: anybody may send one, and only the device's is kept.
        """
        opening = decode_opening(message)
        ask, found = self._of(opening.digest, opening.contact_id)
        self._require(REPLY in found)
        Transcript(ask.request, decode_reply(found[REPLY]), opening).check()
        self._put(opening.digest, opening.contact_id, OPENING, message)

    def share(self, contact_id: bytes, message: bytes) -> None:
        """Take the sealed share of a signed-in contact."""
        said = peek_share(message)
        self._require(contact_id == said.contact_id)
        _, found = self._of(said.digest, contact_id)
        self._require(OPENING in found)
        self._put(said.digest, contact_id, SHARE, message)

    def messages(self, digest: bytes) -> list[RecoveryMessage]:
        """Return all of a recovery: for its device, and for its contacts."""
        return self.store.recoveries.messages(digest)

    # --- inside ------------------------------------------------------------------------------

    def _of(self, digest: bytes, contact_id: bytes) -> tuple[Ask, dict[str, bytes]]:
        found = {m.step: m.message for m in self.messages(digest) if m.contact_id == contact_id}
        if ASK not in found:
            raise CallerError(
                "recovery.unknown",
                "No such recovery lies here for this contact.",
                hint="The person begins it, and names the contacts whom the member had chosen.",
            )
        return decode_ask(found[ASK]), found

    def _put(self, digest: bytes, contact_id: bytes, step: str, message: bytes) -> None:
        ask, _ = self._of(digest, contact_id)
        self.store.recoveries.put(
            digest,
            ask.request.place.member_id,
            RecoveryMessage(contact_id, step, message),
            now=self.clock(),
        )

    def _require_stored(self, asked: Ask) -> None:
        place = asked.request.place
        blob = self.store.members.enrolments(place.member_id).get(place.enrolment_id)
        stored = None if blob is None else dict(decode_enrolment(blob).factors).get(KIND)
        if place.deployment_id != self.deployment_id or stored != asked.parameters:
            raise CallerError(
                "recovery.unlike-enrolment",
                "This asks for letters that the server does not keep so.",
                hint="Begin with the enrolment that the server hands out now.",
            )

    @staticmethod
    def _require(in_order: bool) -> None:
        if not in_order:
            raise other_ceremony()
