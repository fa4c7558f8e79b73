"""Recovery by contacts: enrolments that shares open, codes that two people read, sealed shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.contacts.codes import Transcript, nonce_commitment, share_info
from twinlock.core.contacts.letter import Terms, letter_info, share_commitment
from twinlock.core.contacts.messages import Opening, RecoveryRequest, Reply
from twinlock.core.enrolment import Enrolment, enrol, member_keys
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.contacts import contacts_output
from twinlock.core.ports import Randomness
from twinlock.core.primitives import Kem, kem_key_from_seed, key_id
from twinlock.core.secret import Secret
from vectors.factors import SEED, drawn
from vectors.forge import DEPLOYMENT
from vectors.form import OK, Vector
from vectors.recording import Recording, Signer, expand
from vectors.rewriting import rewriting

_MEMBER: Final = expand("weber", 16)
_GROUP: Final = expand("recovery group", 32)
_NAMES: Final = ("anna", "berta", "carl")
_TERMS: Final = Terms(2, 3, 86400, _GROUP)
_SECRET: Final = expand("recovery secret", 16)
_DEVICE_SEED: Final = expand("new device", 32)
_POLYNOMIAL: Final = (1 << 128) | 0b10000111


def vectors(recording: Recording) -> Iterator[Vector]:
    """Yield the family's vectors."""
    yield from _enrolments(recording)
    yield from _ceremonies()
    yield from _shares(recording)


def contact_id(name: str) -> bytes:
    """A contact's member id."""
    return expand(f"contact {name}", 16)


def contact_seed(name: str) -> bytes:
    """The seed of a contact's KEM key."""
    return expand(f"contact key {name}", 32)


def _share(index: int) -> bytes:
    """The secret + index * coefficient in GF(2^128): two of them are needed."""
    coefficient, product = int.from_bytes(expand("recovery coefficient", 16), "big"), 0
    for bit in range(index.bit_length()):
        if index >> bit & 1:
            product ^= coefficient << bit
    for bit in range(product.bit_length() - 1, 127, -1):
        if product >> bit & 1:
            product ^= _POLYNOMIAL << (bit - 128)
    return (int.from_bytes(_SECRET, "big") ^ product).to_bytes(16, "big")


class _Contacts:
    """The factor, with recorded letters and a polynomial that does not change."""

    kind = "contacts"

    def __init__(self, recording: Recording, kem: Kem) -> None:
        self._recording = recording
        self._kem = kem

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return the parameters."""
        rows = [self._row(name, index, place) for index, name in enumerate(_NAMES, 1)]
        return [_TERMS.needed, _TERMS.wait, _GROUP, rows]

    def output(self, parameters: Parameters, place: Place) -> Secret:  # noqa: ARG002
        """Return the output."""
        return contacts_output(place, Secret(_SECRET))

    def _row(self, name: str, index: int, place: Place) -> list[Any]:
        ids = [place.deployment_id, place.member_id, place.enrolment_id]
        whose, seed, share = contact_id(name), contact_seed(name), _share(index)
        letter = cbor.encode(
            [
                "twinlock/v1/contact-letter", *ids, place.signing_kid, _GROUP, whose, index,
                _TERMS.needed, _TERMS.count, _TERMS.wait, share,
            ]
        )  # fmt: skip
        kid = key_id(kem_key_from_seed(self._kem, Secret(seed)).public)
        info = letter_info(place, whose, kid, index)
        sealed = self._recording.hpke(self._kem, seed, info, letter)
        commitment = share_commitment(place, whose, index, Secret(share))
        return [whose, int(self._kem), kid, index, sealed, commitment]


def _made(recording: Recording, kem: Kem = Kem.DHKEM_P256) -> Enrolment:
    return enrol(
        SEED,
        [_Contacts(recording, kem)],
        deployment_id=DEPLOYMENT,
        member_id=_MEMBER,
        kem=Kem.DHKEM_P256,
        randomness=drawn(f"contacts enrolment {kem.name}"),
    )


def _enrolments(recording: Recording) -> Iterator[Vector]:
    made, pq = _made(recording), _made(recording, Kem.MLKEM768_X25519)
    parameters, rewritten = rewriting(made.raw)
    needed, wait, group_id, (anna, berta, carl) = parameters

    twice = [*berta[:3], 1, *berta[4:]]
    swapped = [[*anna[:4], berta[4], anna[5]], berta, carl]
    cases: dict[str, tuple[str, str, str, bytes, tuple[str, ...]]] = {
        "first": (OK, "R-CONTACTS-4", "the first two contacts", made.raw, _NAMES[:2]),
        "last": (OK, "R-CONTACTS-4", "the last two contacts", made.raw, _NAMES[1:]),
        "turned": (OK, "R-CONTACTS-4", "the later one first", made.raw, ("carl", "anna")),
        "pq": (OK, "R-CONTACTS-3", "with quantum-safe letters", pq.raw, ("anna", "carl")),
        "few": ("factor.wrong", "R-CONTACTS-1", "one contact alone", made.raw, ("anna",)),
        "many": (OK, "R-CONTACTS-1", "all three: two suffice", made.raw, _NAMES),
        "waits": (
            "factor.wrong", "R-FACTOR-1", "another waiting time beside the letters",
            rewritten(needed, 0, group_id, [anna, berta, carl]), _NAMES[:2],
        ),
        "letter": (
            "recovery.letter", "R-CONTACTS-3", "a letter to somebody else",
            rewritten(needed, wait, group_id, swapped), _NAMES[:2],
        ),
        "k": (
            "factor.parameters", "R-CONTACTS-2", "one contact is needed, it says",
            rewritten(1, wait, group_id, [anna, berta, carl]), _NAMES[:2],
        ),
        "index": (
            "factor.parameters", "R-CONTACTS-2", "an index twice",
            rewritten(needed, wait, group_id, [anna, twice, carl]), _NAMES[:2],
        ),
        "items": (
            "format.malformed", "R-CONTACTS-2", "no group",
            rewritten(needed, wait, [anna, berta, carl]), _NAMES[:2],
        ),
    }  # fmt: skip
    keys = member_keys(SEED)
    output = {
        "kem_public": keys.kem.public.hex(),
        "signing_public": keys.signing.public.hex(),
        "state_key": keys.state_key.reveal().hex(),
    }
    for name, (expect, requirement, why, raw, given) in cases.items():
        kem = Kem.MLKEM768_X25519 if raw == pq.raw else Kem.DHKEM_P256
        contacts = [
            {"id": contact_id(x).hex(), "kem": int(kem), "seed": contact_seed(x).hex()}
            for x in given
        ]
        yield Vector(
            f"contacts-{name}", "unlock-contacts", expect, requirement, why,
            {"enrolment": raw.hex(), "contacts": contacts}, output if expect == OK else None,
        )  # fmt: skip


def _said(name: str = "anna") -> Transcript:
    """What the new device and a contact said."""
    device = kem_key_from_seed(Kem.DHKEM_P256, Secret(_DEVICE_SEED))
    place = Place(DEPLOYMENT, _MEMBER, expand("recovered enrolment", 16))
    nonces = {contact_id(x): expand(f"nonce for {x}", 32) for x in _NAMES}
    commitments = {
        whose: nonce_commitment(place, whose, device.kem, device.public, nonce)
        for whose, nonce in nonces.items()
    }
    request = RecoveryRequest(place, device.kem, device.public, 1_700_000_000, commitments)
    whose, keys = contact_id(name), member_keys(SEED)
    reply = Reply(
        request.digest,
        whose,
        expand(f"nonce of {name}", 32),
        Signer(f"contact {name}").public,
        keys.signing.kid,
        keys.kem.kid,
        expand("identity fingerprint", 32),
        _GROUP,
    )
    return Transcript(request, reply, Opening(request.digest, whose, nonces[whose]))


def _given(said: Transcript) -> dict[str, str]:
    return {
        "request": said.request.encode().hex(),
        "reply": said.reply.encode().hex(),
        "opening": said.opening.encode().hex(),
    }


def _ceremonies() -> Iterator[Vector]:
    said = _said()
    other_key = kem_key_from_seed(Kem.DHKEM_P256, Secret(expand("device between", 32)))
    swapped = replace(said.request, device_public=other_key.public)
    turned = cbor.decode(said.request.encode())
    turned[7].reverse()
    cases: dict[str, tuple[str, str, str, dict[str, str], Transcript | None]] = {
        "good": (OK, "R-CONTACTS-6", "what two people read to each other", _given(said), said),
        "second": (OK, "R-CONTACTS-5", "another contact", _given(_said("berta")), _said("berta")),
        "nonce": (
            "recovery.commitment", "R-CONTACTS-5", "another nonce than the committed one",
            _given(replace(said, opening=replace(said.opening, nonce=bytes(32)))), None,
        ),
        "key": (
            "recovery.other-ceremony", "R-CONTACTS-5", "another device's key in the request",
            _given(replace(said, request=swapped)), None,
        ),
        "contact": (
            "recovery.other-ceremony", "R-CONTACTS-5", "an opening for another contact",
            {**_given(said), "opening": _given(_said("berta"))["opening"]}, None,
        ),
        "order": (
            "format.malformed", "R-CONTACTS-5", "contacts in descending order",
            {**_given(said), "request": cbor.encode(turned).hex()}, None,
        ),
        "version": (
            "format.version", "R-CBOR-5", "a reply of version 2",
            {**_given(said), "reply": _second_version(said.reply.encode()).hex()}, None,
        ),
    }  # fmt: skip
    for name, (expect, requirement, why, given, result) in cases.items():
        output = None
        if result is not None:
            output = {
                "digest": result.request.digest.hex(),
                "transcript": result.digest.hex(),
                "of_person": result.codes.of_person,
                "of_contact": result.codes.of_contact,
            }
        yield Vector(
            f"recovery-codes-{name}", "compare-recovery", expect, requirement, why, given, output
        )


def _second_version(raw: bytes) -> bytes:
    label, *items = cbor.decode(raw)
    return cbor.encode([label.replace("/v1/", "/v2/"), *items])


def _shares(recording: Recording) -> Iterator[Vector]:
    said = _said()
    content = ["twinlock/v1/recovery-share-content", 1, 2, 3, _share(1)]

    def signed(transcript: Transcript, signer: str = "contact anna", said: Any = said) -> bytes:
        sealed = recording.hpke(
            Kem.DHKEM_P256, _DEVICE_SEED, share_info(transcript), cbor.encode(content)
        )
        message = cbor.encode(
            ["twinlock/v1/recovery-share", said.request.digest, said.reply.contact_id, sealed]
        )
        return cbor.encode(["twinlock/v1/signed", message, Signer(signer).sign(message)])

    good = signed(said)
    cases = {
        "good": (OK, "R-CONTACTS-8", "a contact's share", good, _DEVICE_SEED),
        "signer": (
            "data.not-authentic", "R-CONTACTS-9", "signed by another contact",
            signed(said, "contact berta"), _DEVICE_SEED,
        ),
        "ceremony": (
            "data.not-authentic", "R-CONTACTS-8", "sealed in another contact's ceremony",
            signed(_said("berta")), _DEVICE_SEED,
        ),
        "device": (
            "data.not-authentic", "R-CONTACTS-8", "for another device", good,
            expand("device between", 32),
        ),
        "damaged": (
            "data.not-authentic", "R-CONTACTS-9", "a byte of the signature is changed",
            good[:-1] + bytes([good[-1] ^ 1]), _DEVICE_SEED,
        ),
    }  # fmt: skip
    for name, (expect, requirement, why, share, seed) in cases.items():
        output = {"index": 1, "needed": 2, "count": 3, "share": _share(1).hex()}
        given = {**_given(said), "share": share.hex(), "device_seed": seed.hex()}
        yield Vector(
            f"recovery-share-{name}", "open-recovery-share", expect, requirement, why, given,
            output if expect == OK else None,
        )  # fmt: skip
