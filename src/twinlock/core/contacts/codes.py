"""What two people read to each other, and what a share is bound to (SPEC 31).

    commitment = SHA-256(["twinlock/v1/recovery-commitment", deployment_id, member_id,
                          enrolment_id, contact_id, KEM, device public key, nonce])
    transcript = SHA-256(["twinlock/v1/recovery-transcript", request, reply, opening])
    codes      = SHA-256("twinlock/v1/recovery-codes" || transcript): the first 8 bytes and the
                 next 8, big-endian, each modulo 10^8, as 8 decimal digits

The device commits itself first (Vaudenay, CRYPTO 2005): whoever sits between has to choose each
nonce before knowing the other, and meets both codes with a chance of 10^-16 a ceremony, or one of
them with 10^-8. A nonce is for one contact: once it is open, its code could be searched for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.contacts.letter import Terms
from twinlock.core.contacts.messages import Opening, RecoveryRequest, Reply
from twinlock.core.contacts.sharing import MAX_CONTACTS, SECRET_SIZE
from twinlock.core.factors import Place
from twinlock.core.primitives import Kem, KemKey, equal, hpke_seal, sha256
from twinlock.core.secret import Secret
from twinlock.errors import DataError

DIGITS: Final = 8
NONCE_SIZE: Final = 32
_COMMITMENT: Final = "twinlock/v1/recovery-commitment"
_TRANSCRIPT: Final = "twinlock/v1/recovery-transcript"
_CODES: Final = b"twinlock/v1/recovery-codes"
_SHARE: Final = "twinlock/v1/recovery-share-content"
_SHARE_INFO: Final = "twinlock/v1/recovery-share-info"


def nonce_commitment(
    place: Place, contact_id: bytes, kem: Kem, device_public: bytes, nonce: bytes
) -> bytes:
    """Return what the device publishes of the nonce for one contact."""
    ids = [place.deployment_id, place.member_id, place.enrolment_id]
    return sha256(cbor.encode([_COMMITMENT, *ids, contact_id, int(kem), device_public, nonce]))


@dataclass(frozen=True, slots=True)
class Codes:
    """Two numbers of 8 digits: the person at the device reads one out, the contact the other."""

    of_person: str
    of_contact: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that one device and one contact said before any share."""

    request: RecoveryRequest
    reply: Reply
    opening: Opening

    def check(self) -> None:
        """Check that the three belong together, and that the nonce is the committed one.

        Raises DataError ``recovery.other-ceremony`` or ``recovery.commitment``.
        """
        digest, contact = self.request.digest, self.reply.contact_id
        same = {(self.reply.digest, contact), (self.opening.digest, self.opening.contact_id)}
        if same != {(digest, contact)} or contact not in self.request.commitments:
            raise other_ceremony()
        request = self.request
        made = nonce_commitment(
            request.place, contact, request.kem, request.device_public, self.opening.nonce
        )
        if not equal(made, request.commitments[contact]):
            raise DataError(
                "recovery.commitment",
                "The device opened another number than the one that it had committed itself to.",
                hint="Somebody sits between. Do not go on; tell the person and an admin.",
            )

    @property
    def digest(self) -> bytes:
        """The transcript's hash, which codes and share are made of."""
        parts = [self.request.encode(), self.reply.encode(), self.opening.encode()]
        return sha256(cbor.encode([_TRANSCRIPT, *parts]))

    @property
    def codes(self) -> Codes:
        """The two codes; they differ between two sides that somebody sits between."""
        raw = sha256(_CODES, self.digest)
        return Codes(_digits(raw[:8]), _digits(raw[8:16]))


def normalize_code(text: str) -> str:
    """Return the digits of a code as it was typed, with spaces or dashes between."""
    return "".join(c for c in text if not c.isspace() and c != "-")


def show_code(code: str) -> str:
    """Return a code as it is read out: ``1234 5678``."""
    return f"{code[:4]} {code[4:]}"


@dataclass(frozen=True, slots=True)
class GivenShare:
    """A share as the device gets it, with the terms of its letter."""

    index: int
    needed: int
    count: int
    share: Secret


def seal_share(transcript: Transcript, index: int, terms: Terms, share: Secret) -> bytes:
    """Seal a share to the device of a transcript."""
    request = transcript.request
    content = cbor.encode([_SHARE, index, terms.needed, terms.count, share.reveal()])
    return hpke_seal(request.kem, request.device_public, share_info(transcript), content)


def open_share(sealed: bytes, key: KemKey, transcript: Transcript) -> GivenShare:
    """Open a share with the device's key. Raises ``data.not-authentic`` or ``format.*``."""
    raw = key.open(sealed, share_info(transcript)).reveal()
    _, index, needed, count, share = cbor.decode_labelled(raw, _SHARE, 5)
    return GivenShare(
        cbor.take_uint(index, MAX_CONTACTS),
        cbor.take_uint(needed, MAX_CONTACTS),
        cbor.take_uint(count, MAX_CONTACTS),
        Secret(cbor.take_bytes(share, SECRET_SIZE)),
    )


def share_info(transcript: Transcript) -> bytes:
    """Return the HPKE info of a share: it opens in this ceremony only."""
    return cbor.encode([_SHARE_INFO, transcript.digest])


def other_ceremony() -> DataError:
    """Return the error for a message of another recovery, contact or device."""
    return DataError(
        "recovery.other-ceremony",
        "This message belongs to another recovery, or to another contact's part of it.",
        hint="Take the files of one recovery; each contact has its own.",
    )


def _digits(raw: bytes) -> str:
    return str(int.from_bytes(raw, "big") % 10**DIGITS).zfill(DIGITS)
