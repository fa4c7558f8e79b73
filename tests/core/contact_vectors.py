"""The operations of the vectors on recovery by contacts, by this implementation."""

from __future__ import annotations

from typing import Any

from twinlock.core.contacts.codes import Transcript, open_share
from twinlock.core.contacts.letter import open_letter
from twinlock.core.contacts.messages import (
    decode_opening,
    decode_reply,
    decode_request,
    verify_share,
)
from twinlock.core.enrolment import MemberKeys, decode_enrolment, unlock
from twinlock.core.factors.contacts import ContactsFactor, take_contacts_parameters
from twinlock.core.primitives import Kem, kem_key_from_seed
from twinlock.core.secret import Secret
from twinlock.sharing.shamir import Shamir

Given = dict[str, Any]


def unlock_with_contacts(given: Given) -> MemberKeys:
    """Open the letters of the contacts that are given, combine as many as are needed, unlock."""
    enrolment = decode_enrolment(bytes.fromhex(given["enrolment"]))
    parameters = take_contacts_parameters(dict(enrolment.factors)["contacts"])
    shares = {}
    for contact in given["contacts"]:
        row = parameters.row_of(bytes.fromhex(contact["id"]))
        assert row is not None
        key = kem_key_from_seed(Kem(contact["kem"]), Secret(bytes.fromhex(contact["seed"])))
        letter = open_letter(row.sealed, key, enrolment.place, row.contact_id, row.index)
        shares[letter.index] = letter.share
    secret = Shamir().combine(dict(list(shares.items())[: parameters.terms.needed]))
    return unlock(enrolment, [ContactsFactor(lambda: secret)])


def compare_recovery(given: Given) -> Given:
    """Check what was said, and return what both sides compute of it."""
    said = _transcript(given)
    return {
        "digest": said.request.digest.hex(),
        "transcript": said.digest.hex(),
        "of_person": said.codes.of_person,
        "of_contact": said.codes.of_contact,
    }


def open_recovery_share(given: Given) -> Given:
    """Verify a share with the key of the contact's reply, and open it with the device's."""
    said = _transcript(given)
    message = verify_share(bytes.fromhex(given["share"]), said.reply.contact_signing)
    key = kem_key_from_seed(said.request.kem, Secret(bytes.fromhex(given["device_seed"])))
    share = open_share(message.sealed, key, said)
    return {
        "index": share.index,
        "needed": share.needed,
        "count": share.count,
        "share": share.share.reveal().hex(),
    }


def _transcript(given: Given) -> Transcript:
    said = Transcript(
        decode_request(bytes.fromhex(given["request"])),
        decode_reply(bytes.fromhex(given["reply"])),
        decode_opening(bytes.fromhex(given["opening"])),
    )
    said.check()
    return said
