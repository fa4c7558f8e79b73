"""Contacts: k of n members open an enrolment together, and fewer learn nothing."""

from __future__ import annotations

import dataclasses
import functools
import hmac
import itertools
import json
import operator
import os
from hashlib import sha256
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlock.core import cbor
from twinlock.core.contacts.codes import (
    Transcript,
    nonce_commitment,
    normalize_code,
    open_share,
    seal_share,
    show_code,
)
from twinlock.core.contacts.letter import Contact, Letter, Terms, open_letter, share_commitment
from twinlock.core.contacts.messages import (
    Ask,
    Opening,
    RecoveryRequest,
    Reply,
    SealedShare,
    decode_ask,
    decode_opening,
    decode_reply,
    decode_request,
    peek_share,
    verify_share,
)
from twinlock.core.enrolment import Enrolment, decode_enrolment, enrol, member_keys, unlock
from twinlock.core.factors import Place
from twinlock.core.factors.contacts import (
    ChosenContacts,
    ContactsFactor,
    take_contacts_parameters,
)
from twinlock.core.primitives import Kem, hpke_seal, kem_key_from_seed, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, TwinlockError
from twinlock.sharing.shamir import Shamir

SEED = Secret(b"seed of a member, 32 bytes long.")
DEPLOYMENT, MEMBER, GROUP = b"d" * 16, b"m" * 16, b"g" * 32
SHARING = Shamir()


def code_of(call, *arguments, **more) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*arguments, **more)
    return caught.value.code


# --- a second implementation, from Shamir's paper and docs/spec.md alone -------------------------

POLYNOMIAL = (1 << 128) | 0b10000111


def times(a: int, b: int) -> int:
    product = 0
    for bit in range(128):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(255, 127, -1):
        if product >> bit & 1:
            product ^= POLYNOMIAL << (bit - 128)
    return product


def power(a: int, exponent: int) -> int:
    result = 1
    while exponent:
        if exponent & 1:
            result = times(result, a)
        a, exponent = times(a, a), exponent >> 1
    return result


def at_zero(points: dict[int, int]) -> int:
    """Lagrange's interpolation; a field of 2^128 elements inverts by a power."""
    total = 0
    for x, y in points.items():
        others = [o for o in points if o != x]
        above = functools.reduce(times, others, 1)
        below = functools.reduce(times, [o ^ x for o in others], 1)
        total ^= times(y, times(above, power(below, 2**128 - 2)))
    return total


def number(value: bytes) -> int:
    return int.from_bytes(value, "big")


PUBLISHED = json.loads((Path(__file__).parent / "published" / "ssss.json").read_text())["cases"]


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda c: f"{c['needed']} of {len(c['shares'])}")
def test_published_shares_give_their_secret(case):
    """R-CONTACTS-1: ssss adds index^needed to each share; without it they are ours."""
    needed = case["needed"]
    shares = {
        int(i): number(bytes.fromhex(s)) ^ power(int(i), needed) for i, s in case["shares"].items()
    }
    for chosen in list(itertools.combinations(shares, needed))[::50]:
        taken = {i: Secret(shares[i].to_bytes(16, "big")) for i in chosen}
        assert SHARING.combine(taken).reveal().hex() == case["secret"]


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=16, max_size=16), st.integers(2, 10), st.data())
def test_a_second_implementation_combines_what_was_split(secret, count, data):
    """R-CONTACTS-1."""
    needed = data.draw(st.integers(2, count))
    shares = SHARING.split(Secret(secret), needed, count)
    assert sorted(shares) == list(range(1, count + 1))
    chosen = data.draw(st.permutations(sorted(shares)))[:needed]
    points = {i: number(shares[i].reveal()) for i in chosen}
    assert at_zero(points).to_bytes(16, "big") == secret
    assert SHARING.combine({i: shares[i] for i in chosen}).reveal() == secret


def test_with_one_share_too_few_every_secret_is_equally_possible():
    """R-CONTACTS-1: for each secret there is one missing share that leads to it."""
    shares = SHARING.split(Secret(os.urandom(16)), 3, 5)
    known = {i: number(shares[i].reveal()) for i in (2, 4)}
    for wanted in (0, 1, 2**127, number(os.urandom(16))):
        # The missing share at 5 is linear in the secret: solve for it, then combine.
        without = at_zero({**known, 5: 0})
        weight = at_zero({2: 0, 4: 0, 5: 1})
        missing = times(wanted ^ without, power(weight, 2**128 - 2))
        together = {**known, 5: missing}
        combined = SHARING.combine({i: Secret(s.to_bytes(16, "big")) for i, s in together.items()})
        assert number(combined.reveal()) == wanted


# --- enrolments ----------------------------------------------------------------------------------


def contact_key(name: str, kem: Kem = Kem.DHKEM_P256):
    return kem_key_from_seed(kem, Secret(sha256(name.encode()).digest()))


def contact_id(name: str) -> bytes:
    return sha256(name.encode()).digest()[:16]


def contact(name: str, kem: Kem = Kem.DHKEM_P256) -> Contact:
    return Contact(contact_id(name), kem, contact_key(name, kem).public)


NAMES = ("anna", "berta", "carl")


def made(needed: int = 2, names=NAMES, wait: int = 86400, kem: Kem = Kem.DHKEM_P256) -> Enrolment:
    terms = Terms(needed, len(names), wait, GROUP)
    factor = ChosenContacts([contact(n, kem) for n in names], terms, SHARING)
    return enrol(
        SEED,
        [factor],
        deployment_id=DEPLOYMENT,
        member_id=MEMBER,
        kem=Kem.DHKEM_P256,
        randomness=os.urandom,
    )


def letters(enrolment: Enrolment, kem: Kem = Kem.DHKEM_P256) -> dict[str, Letter]:
    rows = take_contacts_parameters(enrolment.factors[0][1]).rows
    names = {contact_id(name): name for name in ("anna", "berta", "carl", *map(str, range(10)))}
    return {
        names[row.contact_id]: open_letter(
            row.sealed,
            contact_key(names[row.contact_id], kem),
            enrolment.place,
            row.contact_id,
            row.index,
        )
        for row in rows
    }


def unlocked(enrolment: Enrolment, given: list[Letter]):
    secret = SHARING.combine({letter.index: letter.share for letter in given})
    return unlock(enrolment, [ContactsFactor(lambda: secret)])


@pytest.mark.parametrize("kem", list(Kem), ids=lambda k: k.name)
def test_any_k_contacts_open_it_and_one_less_do_not(kem):
    """R-CONTACTS-1, R-CONTACTS-4."""
    enrolment = made(2, kem=kem)
    held = letters(enrolment, kem)
    for pair in itertools.combinations(held.values(), 2):
        assert unlocked(enrolment, list(pair)).seed == SEED
    for letter in held.values():
        assert code_of(unlocked, enrolment, [letter]) == "factor.wrong"


def test_ten_contacts_with_quantum_safe_keys_fit_into_an_enrolment():
    """R-CONTACTS-2."""
    enrolment = made(10, tuple(map(str, range(10))), kem=Kem.MLKEM768_X25519)
    held = letters(enrolment, Kem.MLKEM768_X25519)
    assert unlocked(decode_enrolment(enrolment.raw), list(held.values())).seed == SEED


def test_parameters_letters_and_output_have_these_bytes():
    """R-CONTACTS-2, R-CONTACTS-3, R-CONTACTS-4: opened by hand, from the specification."""
    enrolment = made(2, wait=7200)
    ((kind, (needed, wait, group_id, rows)),) = enrolment.factors
    assert (kind, needed, wait, group_id) == ("contacts", 2, 7200, GROUP)
    assert len(rows) == 3
    ids = [DEPLOYMENT, MEMBER, enrolment.enrolment_id]
    shares = {}
    for name, row in zip(NAMES, rows, strict=True):
        whose, kem, kid, index, sealed, commitment = row
        key = contact_key(name)
        assert (whose, kem, kid) == (contact_id(name), 16, sha256(key.public).digest()[:16])
        info = cbor2.dumps(["twinlock/v1/contact-letter-info", *ids, whose, kid, index])
        letter = cbor2.loads(key.open(sealed, info).reveal())
        share = letter.pop()
        signing = member_keys(SEED).signing.kid
        head = ["twinlock/v1/contact-letter", *ids, signing, GROUP, whose, index, 2, 3, 7200]
        assert letter == head
        bound = cbor2.dumps(["twinlock/v1/contact-commitment", *ids, whose, index, share])
        assert commitment == sha256(bound).digest()
        shares[index] = number(share)
    secret = at_zero({i: shares[i] for i in (1, 3)}).to_bytes(16, "big")
    salt = sha256(cbor2.dumps(["twinlock/v1/contacts-out", *ids])).digest()
    output = ContactsFactor(lambda: Secret(secret)).output(enrolment.factors[0][1], enrolment.place)
    assert output.reveal() == hmac.digest(salt, secret, "sha256")


def test_the_secret_is_fresh_in_each_enrolment_and_stays_with_nobody():
    """R-CONTACTS-1."""
    factor = ChosenContacts([contact(n) for n in NAMES], Terms(2, 3, 86400, GROUP), SHARING)
    place = [Place(DEPLOYMENT, MEMBER, bytes([i]) * 16) for i in (1, 2)]
    parameters = [factor.new_parameters(os.urandom, p) for p in place]
    outputs = [factor.output(p, at) for p, at in zip(parameters, place, strict=True)]
    assert outputs[0] != outputs[1]
    assert code_of(factor.output, parameters[0], place[0]) == "contacts.not-here"


@pytest.mark.parametrize(
    ("needed", "count", "wait"),
    [(1, 3, 3600), (4, 3, 3600), (2, 11, 3600), (0, 0, 3600), (2, 3, -1), (2, 3, 61 * 86400)],
)
def test_terms_that_protect_nobody_are_refused(needed, count, wait):
    """R-CONTACTS-1."""
    assert code_of(Terms, needed, count, wait, GROUP) == "contacts.terms"


def test_a_contact_is_named_once_and_is_somebody_else():
    """R-CONTACTS-1."""
    terms = Terms(2, 2, 86400, GROUP)
    twice = [contact("anna"), contact("anna")]
    assert code_of(ChosenContacts, twice, terms, SHARING) == "contacts.terms"
    own = Contact(MEMBER, Kem.DHKEM_P256, contact_key("own").public)
    factor = ChosenContacts([contact("anna"), own], terms, SHARING)
    place = Place(DEPLOYMENT, MEMBER, b"e" * 16)
    assert code_of(factor.new_parameters, os.urandom, place) == "contacts.self"


def with_rows(change):
    return lambda *items: [*items[:3], change(*items[3])]


BAD_ROWS = {
    "k of 1": (lambda k, wait, group, rows: [1, wait, group, rows], "factor.parameters"),
    "k above n": (lambda k, wait, group, rows: [4, wait, group, rows], "factor.parameters"),
    "a wait of a year": (lambda k, w, group, rows: [k, 1 << 25, group, rows], "factor.parameters"),
    "no group": (lambda k, wait, group, rows: [k, wait, b"", rows], "format.malformed"),
    "an item more": (lambda *items: [*items, b""], "format.malformed"),
    "an index twice": (with_rows(lambda a, b, c: [a, b, [*c[:3], 1, *c[4:]]]), "factor.parameters"),
    "an index left out": (with_rows(lambda a, b, c: [a, c]), "factor.parameters"),
    "a contact twice": (with_rows(lambda a, b, c: [a, b, [a[0], *c[1:]]]), "factor.parameters"),
    "one contact": (with_rows(lambda a, b, c: [a]), "format.malformed"),
    "an unknown KEM": (with_rows(lambda a, b, c: [[a[0], 17, *a[2:]], b, c]), "format.malformed"),
    "a short commitment": (with_rows(lambda a, b, c: [[*a[:5], b"c"], b, c]), "format.malformed"),
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_parameters_that_no_agent_makes_are_refused(bad):
    """R-CONTACTS-2."""
    change, code = BAD_ROWS[bad]
    assert code_of(take_contacts_parameters, change(*made().factors[0][1])) == code


def test_fewer_needed_contacts_than_were_sealed_open_nothing():
    """R-CONTACTS-3: a rewritten k is not what the shares were made for."""
    enrolment = made(3)
    label, aad, nonce, sealed = cbor.decode(enrolment.raw)
    items = cbor.decode(aad)
    items[5][0][1][0] = 2
    lowered = decode_enrolment(cbor.encode([label, cbor.encode(items), nonce, sealed]))
    held = list(letters(enrolment).values())
    assert code_of(unlocked, lowered, held[:2]) == "factor.wrong"
    assert {letter.terms.needed for letter in letters(lowered).values()} == {3}


@pytest.mark.parametrize(
    "what", ["deployment_id", "member_id", "enrolment_id", "key", "contact", "index"]
)
def test_a_letter_opens_only_for_its_contact_and_enrolment(what):
    """R-CONTACTS-3."""
    enrolment = made()
    row = take_contacts_parameters(enrolment.factors[0][1]).rows[0]
    key, place, whose, index = contact_key("anna"), enrolment.place, row.contact_id, row.index
    if what == "key":
        key = contact_key("berta")
    elif what == "contact":
        whose = contact_id("berta")
    elif what == "index":
        index = 2
    else:
        place = dataclasses.replace(place, **{what: bytes(16)})
    assert code_of(open_letter, row.sealed, key, place, whose, index) == "recovery.letter"


def test_a_letter_that_speaks_of_something_else_inside_is_refused():
    """R-CONTACTS-3: whoever seals can choose the outside and the inside."""
    place = Place(DEPLOYMENT, MEMBER, b"e" * 16)
    other = Place(DEPLOYMENT, MEMBER, b"f" * 16)
    terms, share, anna = Terms(2, 3, 3600, GROUP), Secret(b"s" * 16), contact("anna")
    honest = Letter(other, b"k" * 16, anna.member_id, 1, terms, share)
    key = contact_key("anna")
    assert open_letter(honest.seal(anna), key, other, anna.member_id, 1) == honest
    lying = cbor.decode(key.open(honest.seal(anna), _info(other)).reveal())
    sealed = hpke_seal(Kem.DHKEM_P256, key.public, _info(place), cbor.encode(lying))
    assert code_of(open_letter, sealed, key, place, anna.member_id, 1) == "recovery.letter"


def _info(place: Place) -> bytes:
    anna = contact("anna")
    ids = [DEPLOYMENT, MEMBER, place.enrolment_id]
    return cbor2.dumps(["twinlock/v1/contact-letter-info", *ids, anna.member_id, anna.kem_kid, 1])


# --- the ceremony --------------------------------------------------------------------------------

DEVICE = kem_key_from_seed(Kem.DHKEM_P256, Secret(b"D" * 32))
SIGNING = signing_key_from_seed(Secret(b"A" * 32))
PLACE = Place(DEPLOYMENT, MEMBER, b"e" * 16)


def ceremony(name: str = "anna", nonce: bytes = b"n" * 32, device=DEVICE) -> Transcript:
    whose = contact_id(name)
    commitments = {
        contact_id(n): nonce_commitment(PLACE, contact_id(n), device.kem, device.public, nonce)
        for n in NAMES
    }
    request = RecoveryRequest(PLACE, device.kem, device.public, 1000, commitments)
    reply = Reply(
        request.digest, whose, b"h" * 32, SIGNING.public, b"1" * 16, b"2" * 16, b"3" * 32, GROUP
    )
    return Transcript(request, reply, Opening(request.digest, whose, nonce))


def test_codes_commitments_and_messages_have_these_bytes():
    """R-CONTACTS-5, R-CONTACTS-6, R-CONTACTS-8: built by hand, from the specification."""
    said = ceremony()
    said.check()
    ids, public, whose = [DEPLOYMENT, MEMBER, b"e" * 16], DEVICE.public, contact_id("anna")
    rows = [
        [
            contact_id(n),
            sha256(
                cbor2.dumps(
                    [
                        "twinlock/v1/recovery-commitment",
                        *ids,
                        contact_id(n),
                        16,
                        public,
                        b"n" * 32,
                    ]
                )
            ).digest(),
        ]
        for n in NAMES
    ]
    request = cbor2.dumps(["twinlock/v1/recovery-request", *ids, 16, public, 1000, sorted(rows)])
    assert said.request.encode() == request
    digest = sha256(request).digest()
    reply = cbor2.dumps(
        [
            "twinlock/v1/recovery-reply",
            digest,
            whose,
            b"h" * 32,
            SIGNING.public,
            b"1" * 16,
            b"2" * 16,
            b"3" * 32,
            GROUP,
        ]
    )
    opening = cbor2.dumps(["twinlock/v1/recovery-opening", digest, whose, b"n" * 32])
    assert (said.reply.encode(), said.opening.encode()) == (reply, opening)
    transcript = sha256(
        cbor2.dumps(["twinlock/v1/recovery-transcript", request, reply, opening])
    ).digest()
    raw = sha256(b"twinlock/v1/recovery-codes" + transcript).digest()
    first, second = (f"{number(raw[at : at + 8]) % 100_000_000:08}" for at in (0, 8))
    assert (said.codes.of_person, said.codes.of_contact) == (first, second)
    assert (show_code(first), normalize_code(f" {first[:4]}-{first[4:]} ")) == (
        f"{first[:4]} {first[4:]}",
        first,
    )
    terms = Terms(2, 3, 86400, GROUP)
    sealed = seal_share(said, 1, terms, Secret(b"s" * 16))
    info = cbor2.dumps(["twinlock/v1/recovery-share-info", transcript])
    content = cbor2.loads(DEVICE.open(sealed, info).reveal())
    assert content == ["twinlock/v1/recovery-share-content", 1, 2, 3, b"s" * 16]
    given = open_share(sealed, DEVICE, said)
    assert (given.index, given.needed, given.count, given.share.reveal()) == (1, 2, 3, b"s" * 16)


def test_what_was_encoded_is_decoded():
    """R-CONTACTS-5."""
    said, enrolment = ceremony(), made()
    assert decode_request(said.request.encode()) == said.request
    assert decode_reply(said.reply.encode()) == said.reply
    assert decode_opening(said.opening.encode()) == said.opening
    ask = Ask(said.request, "weber", enrolment.factors[0][1])
    assert decode_ask(ask.encode()) == ask
    share = SealedShare(said.request.digest, contact_id("anna"), b"sealed")
    signed = share.signed(SIGNING)
    assert peek_share(signed) == verify_share(signed, SIGNING.public) == share
    other = signing_key_from_seed(Secret(b"B" * 32))
    assert code_of(verify_share, signed, other.public) == "data.not-authentic"


def test_an_ask_names_exactly_the_contacts_of_its_letters():
    """R-CONTACTS-5."""
    ask = Ask(ceremony().request, "weber", made(2, ("anna", "berta")).factors[0][1])
    assert code_of(decode_ask, ask.encode()) == "format.malformed"


REPLACED = {
    "another nonce": ("opening", {"nonce": bytes(32)}, "recovery.commitment"),
    "an opening for another contact": (
        "opening",
        {"contact_id": contact_id("berta")},
        "recovery.other-ceremony",
    ),
    "an opening of another recovery": ("opening", {"digest": bytes(32)}, "recovery.other-ceremony"),
    "a reply of another recovery": ("reply", {"digest": bytes(32)}, "recovery.other-ceremony"),
    "another device key": (
        "request",
        {"device_public": contact_key("x").public},
        "recovery.other-ceremony",
    ),
}


@pytest.mark.parametrize("what", REPLACED)
def test_messages_that_do_not_belong_together_are_refused(what):
    """R-CONTACTS-5."""
    part, change, code = REPLACED[what]
    said = ceremony()
    changed = dataclasses.replace(
        said, **{part: dataclasses.replace(getattr(said, part), **change)}
    )
    assert code_of(changed.check) == code


def test_a_contact_who_was_not_asked_is_refused():
    """R-CONTACTS-5."""
    said = ceremony("dora")
    assert code_of(said.check) == "recovery.other-ceremony"


def test_a_device_in_the_middle_has_its_own_codes():
    """R-CONTACTS-6: another key, nonce or word of the contact gives other codes, both of them."""
    said = ceremony()
    device = kem_key_from_seed(Kem.DHKEM_P256, Secret(b"E" * 32))
    others = [
        ceremony(device=device),
        ceremony(nonce=b"o" * 32),
        ceremony("berta"),
        *(
            dataclasses.replace(said, reply=dataclasses.replace(said.reply, **{field: changed}))
            for field, changed in {
                "nonce": bytes(32),
                "member_signing_kid": bytes(16),
                "member_kem_kid": bytes(16),
                "identity": bytes(32),
                "group_id": bytes(32),
                "contact_signing": DEVICE.public,
            }.items()
        ),
    ]
    codes = [t.codes for t in [said, *others]]
    for part in ("of_person", "of_contact"):
        assert len({operator.attrgetter(part)(c) for c in codes}) == len(codes)


def test_a_share_opens_in_its_own_ceremony_only():
    """R-CONTACTS-8."""
    said = ceremony()
    sealed = seal_share(said, 1, Terms(2, 3, 3600, GROUP), Secret(b"s" * 16))
    assert code_of(open_share, sealed, DEVICE, ceremony("berta")) == "data.not-authentic"
    other = kem_key_from_seed(Kem.DHKEM_P256, Secret(b"E" * 32))
    assert code_of(open_share, sealed, other, said) == "data.not-authentic"


def test_a_wrong_share_is_known_by_its_commitment():
    """R-CONTACTS-9."""
    enrolment = made()
    for row in take_contacts_parameters(enrolment.factors[0][1]).rows:
        name = NAMES[row.index - 1]
        share = letters(enrolment)[name].share
        wrong = Secret(bytes([share.reveal()[0] ^ 1]) + share.reveal()[1:])
        whose, index = row.contact_id, row.index
        assert share_commitment(enrolment.place, whose, index, share) == row.commitment
        assert share_commitment(enrolment.place, whose, index, wrong) != row.commitment


def test_nothing_secret_shows():
    """R-CONTACTS-3."""
    enrolment = made()
    held = letters(enrolment)
    text = repr(held) + repr(ceremony()) + repr(ContactsFactor(lambda: Secret(b"s" * 16)))
    for letter in held.values():
        share = letter.share.reveal()
        assert share.hex() not in text
        assert repr(share) not in text
    with pytest.raises(CallerError) as refused:
        Terms(1, 1, 1, GROUP)
    assert refused.value.hint
