"""Contacts: a fresh secret, shared k of n among other members (SPEC 31).

The secret is forgotten as soon as the enrolment is made. It comes back only when k contacts each
hand their share to a new device of the member's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.contacts.letter import Contact, Letter, Terms, share_commitment
from twinlock.core.contacts.sharing import (
    MAX_CONTACTS,
    MIN_NEEDED,
    SECRET_SIZE,
    SecretSharing,
)
from twinlock.core.factors import Parameters, Place
from twinlock.core.ports import Randomness
from twinlock.core.primitives import Kem, hkdf_extract, sha256
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError

KIND: Final = "contacts"
_OUTPUT: Final = "twinlock/v1/contacts-out"


@dataclass(frozen=True, slots=True)
class ContactRow:
    """What an enrolment shows of one contact: whose it is, and the sealed letter."""

    contact_id: bytes
    kem: Kem
    kem_kid: bytes
    index: int
    sealed: bytes
    commitment: bytes

    def items(self) -> list[Any]:
        """Return the array that stands for this row."""
        return [
            self.contact_id,
            int(self.kem),
            self.kem_kid,
            self.index,
            self.sealed,
            self.commitment,
        ]


@dataclass(frozen=True, slots=True)
class ContactsParameters:
    """``terms.needed`` of these contacts give the secret back. Authentic only once it has opened;
    contacts go by their letters."""

    terms: Terms
    rows: tuple[ContactRow, ...]

    def row_of(self, contact_id: bytes) -> ContactRow | None:
        """Return a contact's row, or None for somebody who is no contact."""
        return next((row for row in self.rows if row.contact_id == contact_id), None)


class ContactsFactor:
    """The secret, put together from shares."""

    def __init__(self, read: Callable[[], Secret]) -> None:
        self._read = read

    @property
    def kind(self) -> str:
        """``contacts``."""
        return KIND

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """Return HKDF-Extract(SHA-256 of the place, secret). Raises ``factor.parameters``."""
        take_contacts_parameters(parameters)
        return contacts_output(place, self._read())


class ChosenContacts:
    """Contacts for new enrolments: each gets a secret of its own, shared anew.

    ``terms.count`` is the number of ``contacts``, who are different members. Raises CallerError
    ``contacts.terms``.
    """

    def __init__(self, contacts: Sequence[Contact], terms: Terms, sharing: SecretSharing) -> None:
        if len({contact.member_id for contact in contacts}) != terms.count:
            raise CallerError(
                "contacts.terms",
                "Each share goes to another member.",
                hint="Name each contact once.",
            )
        self._contacts = tuple(contacts)
        self._terms = terms
        self._sharing = sharing
        self._drawn: dict[bytes, Secret] = {}

    @property
    def kind(self) -> str:
        """``contacts``."""
        return KIND

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:
        """Draw a secret; return [k, waiting time, group id, a row for each contact].

        Raises CallerError ``contacts.self``.
        """
        if place.member_id in {contact.member_id for contact in self._contacts}:
            raise CallerError(
                "contacts.self",
                "A member is not among the own contacts.",
                hint="Name other members of the group.",
            )
        secret = Secret(randomness(SECRET_SIZE))
        shares = self._sharing.split(secret, self._terms.needed, self._terms.count)
        rows = [
            self._row(contact, index, share, place)
            for contact, (index, share) in zip(self._contacts, sorted(shares.items()), strict=True)
        ]
        self._drawn[place.enrolment_id] = secret
        terms = self._terms
        return [terms.needed, terms.wait, terms.group_id, [row.items() for row in rows]]

    def output(self, parameters: Parameters, place: Place) -> Secret:  # noqa: ARG002
        """Return the output for an enrolment that is being made.

        The secret is dropped with it: afterwards only contacts can open. Raises CallerError
        ``contacts.not-here``.
        """
        secret = self._drawn.pop(place.enrolment_id, None)
        if secret is None:
            raise CallerError(
                "contacts.not-here",
                "Only the contacts can open this enrolment, each with a share.",
                hint="Use another way in, or begin a recovery.",
            )
        return contacts_output(place, secret)

    def _row(self, contact: Contact, index: int, share: Secret, place: Place) -> ContactRow:
        ids = Place(place.deployment_id, place.member_id, place.enrolment_id)
        letter = Letter(ids, place.signing_kid, contact.member_id, index, self._terms, share)
        return ContactRow(
            contact.member_id,
            contact.kem,
            contact.kem_kid,
            index,
            letter.seal(contact),
            share_commitment(ids, contact.member_id, index, share),
        )


def take_contacts_parameters(parameters: Parameters) -> ContactsParameters:
    """Take parameters apart. Raises DataError ``factor.parameters`` or ``format.malformed``."""
    needed, wait, group_id, rows = cbor.take_list(parameters, 4, 4)
    taken = tuple(_take_row(row) for row in cbor.take_list(rows, MIN_NEEDED, MAX_CONTACTS))
    indexes = {row.index for row in taken}
    whole = indexes == set(range(1, len(taken) + 1))
    if not whole or len({row.contact_id for row in taken}) != len(taken):
        raise _never_made()
    numbers = (cbor.take_uint(needed), len(taken), cbor.take_uint(wait))
    group_id = cbor.take_bytes(group_id, 32)
    try:
        return ContactsParameters(Terms(*numbers, group_id), taken)
    except CallerError as error:
        raise _never_made() from error


def _never_made() -> DataError:
    return DataError(
        "factor.parameters",
        "This enrolment names contacts in a way that nobody's agent makes.",
        hint="It was changed where it is kept. Compare with a backup.",
    )


def contacts_output(place: Place, secret: Secret) -> Secret:
    """Return the factor's 32 bytes."""
    ids = [place.deployment_id, place.member_id, place.enrolment_id]
    return Secret(hkdf_extract(sha256(cbor.encode([_OUTPUT, *ids])), secret.reveal()))


def _take_row(value: Any) -> ContactRow:
    contact_id, kem, kid, index, sealed, commitment = cbor.take_list(value, 6, 6)
    if kem not in list(Kem):
        raise cbor.malformed("it names an unknown KEM")
    return ContactRow(
        cbor.take_bytes(contact_id, 16),
        Kem(kem),
        cbor.take_bytes(kid, 16),
        cbor.take_uint(index, MAX_CONTACTS),
        cbor.take_bytes(sealed),
        cbor.take_bytes(commitment, 32),
    )
