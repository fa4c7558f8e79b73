"""A new device of a member who lost every other way in: it asks contacts, and collects shares.

What it keeps between runs holds a private key and the shares: a file of mode 0600, to be deleted
when the recovery is over (SPEC 31).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from twinlock.core import cbor
from twinlock.core.contacts.codes import (
    NONCE_SIZE,
    GivenShare,
    Transcript,
    nonce_commitment,
    normalize_code,
    open_share,
    other_ceremony,
)
from twinlock.core.contacts.letter import share_commitment
from twinlock.core.contacts.messages import (
    Ask,
    Opening,
    RecoveryRequest,
    Reply,
    decode_ask,
    decode_reply,
    peek_share,
    verify_share,
)
from twinlock.core.contacts.sharing import MAX_CONTACTS, SecretSharing
from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.enrolment_list import MAX_LIST_SIZE, decode_enrolment_list
from twinlock.core.factors import Parameters
from twinlock.core.factors.contacts import KIND, ContactsFactor, take_contacts_parameters
from twinlock.core.member_bundle import MemberBundle
from twinlock.core.ports import Clock, Randomness
from twinlock.core.primitives import KemKey, equal, kem_key_from_seed
from twinlock.core.release import split_signed
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError

_KEPT: Final = "twinlock/v1/new-device"
_SEED_SIZE: Final = 32
MAX_KEPT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """How far it is with one contact. ``share`` is empty until it came and was checked."""

    contact_id: bytes
    nonce: bytes = field(repr=False)
    reply: bytes = b""
    share: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """What goes back to a contact, and the code to read out to nobody else."""

    contact_id: bytes
    opening: bytes
    code: str


class NewDevice:
    """One recovery, on the new device.

    ``save`` gets what is to be kept, before anything of it is sent.
    """

    def __init__(
        self,
        ask: Ask,
        seed: Secret,
        asked: Sequence[Asked],
        save: Callable[[bytes], None],
    ) -> None:
        self.ask = ask
        self._seed = seed
        self._asked = {one.contact_id: one for one in asked}
        self._save = save

    @classmethod
    def begin(
        cls,
        name: str,
        enrolment: bytes,
        save: Callable[[bytes], None],
        *,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> Self:
        """Make a key and a nonce for each contact of an enrolment, and keep them.

        Raises ``format.*``, ``factor.parameters`` or CallerError ``contacts.none``.
        """
        opened = decode_enrolment(enrolment)
        parameters = _parameters(opened)
        seed = Secret(randomness(_SEED_SIZE))
        key = kem_key_from_seed(opened.kem, seed)
        rows = take_contacts_parameters(parameters).rows
        asked = [Asked(row.contact_id, randomness(NONCE_SIZE)) for row in rows]
        place = opened.place
        request = RecoveryRequest(
            place,
            key.kem,
            key.public,
            clock(),
            {
                one.contact_id: nonce_commitment(
                    place, one.contact_id, key.kem, key.public, one.nonce
                )
                for one in asked
            },
        )
        device = cls(Ask(request, name, parameters), seed, asked, save)
        device._keep()
        return device

    @classmethod
    def resume(cls, kept: bytes, save: Callable[[bytes], None]) -> Self:
        """Go on with what ``save`` got. Raises ``format.*``."""
        _, ask, seed, rows = cbor.decode_labelled(kept, _KEPT, 4, max_size=MAX_KEPT)
        asked = [_take_asked(row) for row in cbor.take_list(rows, 2, MAX_CONTACTS)]
        return cls(
            decode_ask(cbor.take_bytes(ask)),
            Secret(cbor.take_bytes(seed, _SEED_SIZE)),
            asked,
            save,
        )

    @property
    def digest(self) -> bytes:
        """The name of this recovery, as in the log."""
        return self.ask.request.digest

    @property
    def asked(self) -> tuple[Asked, ...]:
        """All contacts, and how far it is with each."""
        return tuple(self._asked.values())

    @property
    def missing(self) -> int:
        """How many shares are still needed."""
        have = sum(1 for one in self._asked.values() if one.share)
        return max(self.ask.letters.terms.needed - have, 0)

    def open(self, reply: bytes) -> Opened:
        """Take a contact's reply, the first and only one; return the opening and the code.

        Raises ``format.*``, DataError ``recovery.other-ceremony`` or ``recovery.second-reply``.
        """
        said = decode_reply(reply)
        asked = self._of(said.digest, said.contact_id)
        if asked.reply not in (b"", reply):
            raise DataError(
                "recovery.second-reply",
                "This contact has replied before, in other words.",
                hint="Somebody may be guessing at the code. Begin again, by another way.",
            )
        # Kept before the nonce goes out: another reply could be searched for once it is known.
        self._put(replace(asked, reply=reply))
        transcript = self._transcript(asked, said)
        return Opened(said.contact_id, transcript.opening.encode(), transcript.codes.of_person)

    def accept(self, share: bytes, code: str) -> int:
        """Take a contact's share, with the code that the contact read back; return how many lack.

        Raises ``format.*``, DataError ``recovery.other-ceremony``, ``data.not-authentic``,
        ``recovery.share-wrong``, ``recovery.rewritten``, CallerError ``recovery.code-differs``.
        """
        shown = peek_share(share)
        asked = self._of(shown.digest, shown.contact_id)
        if not asked.reply:
            raise other_ceremony()
        reply = decode_reply(asked.reply)
        codes = self._transcript(asked, reply).codes
        if not equal(normalize_code(code).encode(), codes.of_contact.encode()):
            raise CallerError(
                "recovery.code-differs",
                "This is not the code that the contact's agent showed.",
                hint="Ask for the digits again. If they stay different, somebody sits between.",
            )
        self._check(asked, reply, share)
        self._put(replace(asked, share=share))
        return self.missing

    def factor(self, sharing: SecretSharing) -> ContactsFactor:
        """Return the factor that the shares make. Raises CallerError ``recovery.too-few``."""
        terms = self.ask.letters.terms
        given = [
            self._check(one, decode_reply(one.reply), one.share)
            for one in self._asked.values()
            if one.share
        ]
        if len(given) < terms.needed:
            raise too_few(len(given), terms.needed)
        chosen = {share.index: share.share for share in given[: terms.needed]}
        secret = sharing.combine(chosen)
        return ContactsFactor(lambda: secret)

    @property
    def said(self) -> tuple[Reply, ...]:
        """What the contacts said whose shares are here: two people compared it by voice."""
        return tuple(decode_reply(one.reply) for one in self._asked.values() if one.share)

    # --- inside ------------------------------------------------------------------------------

    def _check(self, asked: Asked, reply: Reply, share: bytes) -> GivenShare:
        row = self.ask.letters.row_of(asked.contact_id)
        message = verify_share(share, reply.contact_signing)
        given = open_share(message.sealed, self._key, self._transcript(asked, reply))
        place, terms = self.ask.request.place, self.ask.letters.terms
        made = share_commitment(place, asked.contact_id, given.index, given.share)
        if row is None or given.index != row.index or not equal(made, row.commitment):
            raise DataError(
                "recovery.share-wrong",
                f"The share of contact {asked.contact_id.hex()} is not the one that was made.",
                hint="Ask other contacts, and tell an admin: that one, or the server, is wrong.",
            )
        if (given.needed, given.count) != (terms.needed, terms.count):
            raise DataError(
                "recovery.rewritten",
                f"{given.needed} of {given.count} contacts are needed, not what the server says.",
                hint="The enrolment was changed where it is kept. Begin again from a backup.",
            )
        return given

    def _transcript(self, asked: Asked, reply: Reply) -> Transcript:
        opening = Opening(self.digest, asked.contact_id, asked.nonce)
        transcript = Transcript(self.ask.request, reply, opening)
        transcript.check()
        return transcript

    @property
    def _key(self) -> KemKey:
        return kem_key_from_seed(self.ask.request.kem, self._seed)

    def _of(self, digest: bytes, contact_id: bytes) -> Asked:
        found = self._asked.get(contact_id)
        if found is None or digest != self.digest:
            raise other_ceremony()
        return found

    def _put(self, asked: Asked) -> None:
        self._asked[asked.contact_id] = asked
        self._keep()

    def _keep(self) -> None:
        rows = [[a.contact_id, a.nonce, a.reply, a.share] for a in self._asked.values()]
        self._save(cbor.encode([_KEPT, self.ask.encode(), self._seed.reveal(), rows]))


def contacts_enrolment(bundle: MemberBundle) -> bytes:
    """Return a bundle's newest enrolment with contacts, as far as its list tells, which is
    verified only after it has opened. Raises ``format.*`` or CallerError ``contacts.none``.
    """
    with_contacts = [raw for raw in bundle.blobs if KIND in decode_enrolment(raw).kinds]
    if not with_contacts:
        raise no_contacts()
    order: list[bytes] = []
    if bundle.signed_list:
        message, _ = split_signed(bundle.signed_list, max_size=MAX_LIST_SIZE)
        order = [listed.enrolment_id for listed in decode_enrolment_list(message).enrolments]
    ids = {raw: decode_enrolment(raw).enrolment_id for raw in with_contacts}
    return max(with_contacts, key=lambda raw: order.index(ids[raw]) if ids[raw] in order else -1)


def _parameters(enrolment: Enrolment) -> Parameters:
    parameters = dict(enrolment.factors).get(KIND)
    if parameters is None:
        raise no_contacts()
    return parameters


def too_few(have: int, needed: int) -> CallerError:
    """Return the error for a recovery that lacks shares."""
    return CallerError(
        "recovery.too-few",
        f"{have} of {needed} shares are here.",
        hint="Wait for other contacts; each gives one after the waiting time.",
    )


def no_contacts() -> CallerError:
    """Return the error for a member without contacts."""
    return CallerError(
        "contacts.none",
        "This member has chosen no contacts.",
        hint="Use another way in, such as a recovery code; without one an admin adds a new member.",
    )


def _take_asked(row: Any) -> Asked:
    contact_id, nonce, reply, share = cbor.take_list(row, 4, 4)
    return Asked(
        cbor.take_bytes(contact_id, 16),
        cbor.take_bytes(nonce, NONCE_SIZE),
        cbor.take_bytes(reply),
        cbor.take_bytes(share),
    )
