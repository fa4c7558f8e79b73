"""The letter to a contact: a share of the secret, and all that the contact's agent goes by.

    letter     = ["twinlock/v1/contact-letter", deployment_id, member_id, enrolment_id, kid of the
                  member's signing key, group_id, contact_id, index, k, n, waiting time, share]
    sealed     = HPKE to the contact's member KEM key, with
                 info ["twinlock/v1/contact-letter-info", deployment_id, member_id, enrolment_id,
                       contact_id, kid of the contact's KEM key, index]
    commitment = SHA-256(["twinlock/v1/contact-commitment", deployment_id, member_id, enrolment_id,
                          contact_id, index, share])

Whoever stores an enrolment may rewrite what stands beside the letter, but not what is in it: a
letter of somebody else's holds no share of this secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.contacts.sharing import MAX_CONTACTS, MIN_NEEDED, SECRET_SIZE
from twinlock.core.factors import Place
from twinlock.core.primitives import Kem, KemKey, hpke_seal, key_id, sha256
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError

HOUR: Final = 3600
MIN_WAIT: Final = HOUR
DEFAULT_WAIT: Final = 24 * HOUR
MAX_WAIT: Final = 60 * 24 * HOUR
"""Seconds between the notice and a share, at least and at most."""

_LETTER: Final = "twinlock/v1/contact-letter"
_INFO: Final = "twinlock/v1/contact-letter-info"
_COMMITMENT: Final = "twinlock/v1/contact-commitment"


@dataclass(frozen=True, slots=True)
class Contact:
    """A member who is asked to keep a share, with the KEM key that the verified log gives."""

    member_id: bytes
    kem: Kem
    kem_public: bytes

    @property
    def kem_kid(self) -> bytes:
        """The id of that key, 16 bytes."""
        return key_id(self.kem_public)


@dataclass(frozen=True, slots=True)
class Terms:
    """What contacts hold a recovery to.

    ``needed`` of ``count`` contacts; ``wait``: seconds between the notice in the log of
    ``group_id`` and the share. Raises CallerError ``contacts.terms``.
    """

    needed: int
    count: int
    wait: int
    group_id: bytes

    def __post_init__(self) -> None:
        if not MIN_NEEDED <= self.needed <= self.count <= MAX_CONTACTS:
            raise CallerError(
                "contacts.terms",
                "A secret is shared among 2 to 10 contacts, and at least 2 of them are needed.",
                hint="Take a number of contacts that will be there, and fewer that are needed.",
            )
        if not 0 <= self.wait <= MAX_WAIT:
            raise CallerError(
                "contacts.terms",
                "The waiting time of a recovery is at most 60 days.",
                hint="A day is usual; the member should look into the group within it.",
            )


@dataclass(frozen=True, slots=True)
class Letter:
    """What one contact's agent reads. ``signing_kid``: of the keys that the secret leads to."""

    place: Place
    signing_kid: bytes
    contact_id: bytes
    index: int
    terms: Terms
    share: Secret

    def seal(self, contact: Contact) -> bytes:
        """Seal to a contact's key. Raises ``key.malformed``."""
        ids = [self.place.deployment_id, self.place.member_id, self.place.enrolment_id]
        message = cbor.encode(
            [
                _LETTER,
                *ids,
                self.signing_kid,
                self.terms.group_id,
                self.contact_id,
                self.index,
                self.terms.needed,
                self.terms.count,
                self.terms.wait,
                self.share.reveal(),
            ]
        )
        info = letter_info(self.place, contact.member_id, contact.kem_kid, self.index)
        return hpke_seal(contact.kem, contact.kem_public, info, message)


def letter_info(place: Place, contact_id: bytes, kem_kid: bytes, index: int) -> bytes:
    """Return the HPKE info of a letter."""
    ids = [place.deployment_id, place.member_id, place.enrolment_id]
    return cbor.encode([_INFO, *ids, contact_id, kem_kid, index])


def open_letter(sealed: bytes, key: KemKey, place: Place, contact_id: bytes, index: int) -> Letter:
    """Open a letter with the contact's own key.

    Raises DataError ``recovery.letter`` for one that is damaged, of another enrolment, to somebody
    else, or sealed to a key that the contact has given up.
    """
    try:
        raw = key.open(sealed, letter_info(place, contact_id, key.kid, index))
        letter = _decode(raw.reveal())
    except (DataError, CallerError) as error:
        raise _not_ours() from error
    if (letter.place, letter.contact_id, letter.index) != (place, contact_id, index):
        raise _not_ours()
    return letter


def share_commitment(place: Place, contact_id: bytes, index: int, share: Secret) -> bytes:
    """Return the public 32 bytes by which a wrong share is known; a share has 128 random bits."""
    ids = [place.deployment_id, place.member_id, place.enrolment_id]
    return sha256(cbor.encode([_COMMITMENT, *ids, contact_id, index, share.reveal()]))


def _decode(raw: bytes) -> Letter:
    items = cbor.decode_labelled(raw, _LETTER, 12)
    _, deployment, member, enrolment, kid, group, contact, index, needed, count, wait, share = items
    return Letter(
        Place(
            cbor.take_bytes(deployment, 16),
            cbor.take_bytes(member, 16),
            cbor.take_bytes(enrolment, 16),
        ),
        cbor.take_bytes(kid, 16),
        cbor.take_bytes(contact, 16),
        cbor.take_uint(index, MAX_CONTACTS),
        Terms(
            cbor.take_uint(needed),
            cbor.take_uint(count),
            cbor.take_uint(wait),
            cbor.take_bytes(group, 32),
        ),
        Secret(cbor.take_bytes(share, SECRET_SIZE)),
    )


def _not_ours() -> DataError:
    return DataError(
        "recovery.letter",
        "This enrolment holds no letter that this contact can open.",
        hint="Ask other contacts; this one's key may have changed since the contacts were chosen.",
    )
