"""First contact: invitations, member cards, fingerprints."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from tests.core.membership.world import (
    ANNA,
    CLARA,
    DEPLOYMENT,
    FRITZ,
    IDENTITY,
    NOW,
    OTHER_DEPLOYMENT,
    PQ,
    STRANGER,
    person,
    refused,
    ward,
)
from twinlock.core import cbor
from twinlock.core.membership import (
    Invitation,
    MemberCard,
    PinnedHead,
    join_tag,
    key_fingerprint,
    log_fingerprint,
    parse_invitation,
)
from twinlock.core.membership.invitation import PREFIX
from twinlock.core.primitives import hmac_sha256, sha256
from twinlock.core.secret import Secret

SECRET = bytes(range(16))
PIN = ward().state.pin
INVITATION = Invitation(
    deployment_id=DEPLOYMENT,
    group_name="Cardiology – Grüße",
    pin=PIN,
    identity_fingerprint=IDENTITY,
    invitation_id=b"invitation-00001",
    secret=Secret(SECRET),
    expires=NOW + 3600,
)
TEXT = INVITATION.to_text().reveal()


# --- Invitations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "disturb",
    [
        lambda t: t,
        lambda t: t.upper(),
        lambda t: f"  {t}\n",
        lambda t: "\r\n".join(t[at : at + 40] for at in range(0, len(t), 40)),
    ],
    ids=["as-it-is", "upper-case", "white-space-around", "wrapped"],
)
def test_an_invitation_survives_mail_and_paper(disturb: Any) -> None:
    """R-LOG-29: case and white space do not matter."""
    assert parse_invitation(disturb(TEXT)) == INVITATION
    assert INVITATION.group_id == PIN.group_id


def test_the_text_of_an_invitation_is_what_the_specification_says() -> None:
    """R-LOG-29: prefix, base32, CBOR, checksum."""
    coded = TEXT.removeprefix("twinlock-invite1:").upper()
    data = base64.b32decode(coded + "=" * (-len(coded) % 8))
    assert cbor.decode(data[:-8]) == [
        "twinlock/v1/invitation",
        DEPLOYMENT,
        "Cardiology – Grüße",
        PIN.group_id,
        PIN.seq,
        PIN.head,
        IDENTITY,
        b"invitation-00001",
        SECRET,
        NOW + 3600,
    ]
    assert data[-8:] == sha256(data[:-8])[:8]


def test_every_slip_in_an_invitation_is_found() -> None:
    """R-LOG-29: a letter exchanged, dropped or doubled."""
    for at in range(len(PREFIX), len(TEXT)):
        letter = "a" if TEXT[at] != "a" else "b"
        for slip in (letter, "", TEXT[at] * 2):
            wrong = TEXT[:at] + slip + TEXT[at + 1 :]
            # The last letter also carries bits that say nothing.
            if at == len(TEXT) - 1 and slip == letter:
                continue
            with refused("invitation.malformed"):
                parse_invitation(wrong)


def with_checksum(items: list[Any]) -> str:
    payload = cbor.encode(items)
    coded = base64.b32encode(payload + sha256(payload)[:8]).decode()
    return PREFIX + coded.rstrip("=").lower()


GOOD = ["twinlock/v1/invitation", b"d" * 16, "n", b"g" * 32, 0, b"h" * 32, b"i" * 32, b"j" * 16]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        PREFIX,
        PREFIX + "0189",
        PREFIX + "ä",
        PREFIX + "=" * 8,
        TEXT.removeprefix("twinlock-"),
        TEXT.replace("invite1", "invite2"),
        TEXT[:-9],
        TEXT + TEXT,
        TEXT + "a" * 5000,
        with_checksum([*GOOD, b"s" * 15, 1]),
        with_checksum([*GOOD, b"s" * 16, -1]),
        with_checksum([*GOOD, b"s" * 16]),
        with_checksum(["twinlock/v2/invitation", *GOOD[1:], b"s" * 16, 1]),
        with_checksum([*GOOD[:2], "bad\nname", *GOOD[3:], b"s" * 16, 1]),
        with_checksum([*GOOD[:3], b"g" * 31, *GOOD[4:], b"s" * 16, 1]),
    ],
)
def test_what_is_no_invitation_is_refused(text: str) -> None:
    """R-LOG-29: with one clear error."""
    with refused("invitation.malformed"):
        parse_invitation(text)


def test_the_smallest_good_invitation_is_read() -> None:
    """R-LOG-29: the table above is refused for its faults, not for its making."""
    assert parse_invitation(with_checksum([*GOOD, b"s" * 16, 1])).group_name == "n"


@pytest.mark.parametrize(("now", "fresh"), [(NOW, True), (NOW + 3600, True), (NOW + 3601, False)])
def test_an_invitation_expires(now: int, fresh: bool) -> None:
    """R-LOG-29: by the newcomer's clock, which is a parameter."""
    if fresh:
        INVITATION.require_fresh(now)
    else:
        with refused("invitation.expired"):
            INVITATION.require_fresh(now)


def test_an_invitation_does_not_show_its_secret() -> None:
    """R-LOG-29: neither the value nor its text form."""
    shown = f"{INVITATION!r} {INVITATION.to_text()!r} {INVITATION.to_text()}"
    assert TEXT not in shown
    assert str(SECRET)[2:-1] not in shown
    assert SECRET.hex() not in shown


# --- Member cards -----------------------------------------------------------------------------


def card_bytes(card: MemberCard, one: Any = FRITZ) -> bytes:
    return card.encode(one.signing)


CARD = MemberCard.answering(INVITATION, FRITZ.member)


def test_a_join_tag_is_what_the_specification_says() -> None:
    """R-LOG-30: HMAC-SHA-256 over group and both keys."""
    message = cbor.encode(["twinlock/v1/join", b"g" * 32, b"kem", b"signing"])
    assert join_tag(Secret(SECRET), b"g" * 32, b"kem", b"signing") == hmac_sha256(SECRET, message)


@pytest.mark.parametrize("one", [FRITZ, person("Quentin", 0, PQ)], ids=["classical", "pq"])
def test_a_card_that_answers_an_invitation_is_accepted(one: Any) -> None:
    """R-LOG-30, R-LOG-31: signed by the key it shows, tagged by the secret."""
    card = MemberCard.decode(card_bytes(MemberCard.answering(INVITATION, one.member), one))
    assert card.member == one.member
    card.check_invited(INVITATION)


def test_a_card_is_what_the_specification_says() -> None:
    """R-LOG-31: a signed array."""
    label, card, signature = cbor.decode(card_bytes(CARD))
    assert label == "twinlock/v1/member-card-signed"
    assert len(signature) == 64
    assert cbor.decode(card) == [
        "twinlock/v2/member-card",
        DEPLOYMENT,
        *FRITZ.member.items(),
        b"invitation-00001",
        CARD.join_tag,
    ]


@pytest.mark.parametrize("at", range(1, 10))
def test_no_field_of_a_card_can_be_changed(at: int) -> None:
    """R-LOG-31: the server cannot put another key or name into it."""
    label, card, signature = cbor.decode(card_bytes(CARD))
    items = cbor.decode(card)
    other = {
        1: OTHER_DEPLOYMENT,
        2: b"another-member..",
        3: "Fritzi",
        4: int(PQ),
        5: STRANGER.member.kem_public,
        6: STRANGER.member.signing_public,
        7: ["pq-at-rest"],
        8: b"invitation-00002",
        9: b"t" * 32,
    }
    items[at] = other[at]
    with refused("key.malformed" if at == 4 else "member.card-invalid"):
        MemberCard.decode(cbor.encode([label, cbor.encode(items), signature]))


def test_a_card_signed_by_somebody_else_is_refused() -> None:
    """R-LOG-31: when it is read, and when it is made."""
    label, card, _ = cbor.decode(card_bytes(CARD))
    with refused("member.card-invalid"):
        MemberCard.decode(cbor.encode([label, card, STRANGER.signing.sign(card)]))
    with refused("member.card-key"):
        CARD.encode(STRANGER.signing)


@pytest.mark.parametrize(
    "change",
    [
        {"secret": Secret(b"another secret..")},
        {"pin": PinnedHead(b"g" * 32, PIN.seq, PIN.head)},
        {"invitation_id": b"invitation-00002"},
        {"deployment_id": OTHER_DEPLOYMENT},
    ],
    ids=["secret", "group", "invitation", "deployment"],
)
def test_a_card_answers_one_invitation(change: dict[str, Any]) -> None:
    """R-LOG-30: of one group, with one secret."""
    with refused("member.card-invalid"):
        CARD.check_invited(replace(INVITATION, **change))


@pytest.mark.parametrize("field", ["kem_public", "signing_public"])
def test_a_tag_does_not_cover_other_keys(field: str) -> None:
    """R-LOG-30: whoever saw a tag cannot use it for keys of his own."""
    member = replace(FRITZ.member, **{field: getattr(STRANGER.member, field)})
    with refused("member.card-invalid"):
        replace(CARD, member=member).check_invited(INVITATION)


def test_a_card_without_an_invitation_is_readable_and_not_invited() -> None:
    """R-LOG-31: such a member is compared by fingerprint."""
    card = MemberCard.decode(card_bytes(MemberCard(deployment_id=DEPLOYMENT, member=FRITZ.member)))
    assert card.invitation_id == card.join_tag == b""
    with refused("member.card-invalid"):
        card.check_invited(INVITATION)


@pytest.mark.parametrize(
    ("invitation_id", "tag"), [(b"invitation-00001", b""), (b"", b"t" * 32), (b"short", b"t" * 32)]
)
def test_invitation_and_tag_come_together(invitation_id: bytes, tag: bytes) -> None:
    """R-LOG-31: one without the other is a slip."""
    with refused("log.size"):
        replace(CARD, invitation_id=invitation_id, join_tag=tag)
    label, card, signature = cbor.decode(card_bytes(CARD))
    items = [*cbor.decode(card)[:8], invitation_id, tag]
    with refused("format.malformed"):
        MemberCard.decode(cbor.encode([label, cbor.encode(items), signature]))


# --- Fingerprints -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "labelled"),
    [
        (log_fingerprint(PIN), ["twinlock/v1/fingerprint", "log", PIN.group_id, PIN.seq, PIN.head]),
        (key_fingerprint(b"key"), ["twinlock/v1/fingerprint", "key", b"key"]),
    ],
    ids=["log", "key"],
)
def test_a_fingerprint_is_what_the_specification_says(got: str, labelled: list[Any]) -> None:
    """R-LOG-32: 40 digits of the hash in 8 groups of 5."""
    number = int.from_bytes(sha256(cbor.encode(labelled)), "big") % 10**40
    assert got.replace(" ", "") == str(number).zfill(40)
    assert [len(group) for group in got.split(" ")] == [5] * 8


def test_a_fingerprint_is_stable() -> None:
    """R-LOG-32: people wrote it down."""
    assert key_fingerprint(b"") == "90228 13715 76651 58968 29739 58975 95363 52176"


def test_fingerprints_tell_logs_and_keys_apart() -> None:
    """R-LOG-32: seq, head, group, and key against log."""
    pins = [PIN, replace(PIN, seq=PIN.seq + 1), replace(PIN, head=b"h" * 32)]
    pins.append(replace(PIN, group_id=b"g" * 32))
    keys = [ANNA.member.signing_public, ANNA.member.kem_public, CLARA.member.signing_public]
    shown = [log_fingerprint(pin) for pin in pins] + [key_fingerprint(key) for key in keys]
    assert len(set(shown)) == len(shown)
