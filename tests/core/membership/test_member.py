"""Names and keys of members and writers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.membership.world import ANNA, CLARA, PQ, epoch_key, founding, refused, writer
from twinlock.core.membership import (
    EpochKey,
    Found,
    Invitation,
    Member,
    PinnedHead,
    Remove,
    SetAdmins,
    SetIdentity,
    SetWriters,
    Writer,
)
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret

NAMES = [
    ("Anna Weber", True),
    ("Grüß Gott", True),
    ("李", True),
    ("x" * 200, True),
    ("", False),
    ("x" * 201, False),
    (" Anna", False),
    ("Anna ", False),
    ("Anna\nWeber", False),
    ("Anna\x00", False),
    ("Anna\u202eWeber", False),
    ("Anna\u200bWeber", False),
    ("Gru\u0308ße", False),
]


@pytest.mark.parametrize(("name", "good"), NAMES)
def test_a_name_is_printable_short_and_normalized(name: str, good: bool) -> None:
    """R-LOG-33: what people read is what is signed."""
    for make in (
        lambda: replace(ANNA.member, name=name),
        lambda: replace(writer("lab"), name=name),
        lambda: replace(founding(), name=name),
    ):
        if good:
            assert make().name == name
        else:
            with refused("member.name"):
                make()


@pytest.mark.parametrize(
    ("kem", "kem_public", "signing_public"),
    [
        (Kem.DHKEM_P256, b"\x04" + bytes(64), ANNA.member.signing_public),
        (Kem.DHKEM_P256, b"", ANNA.member.signing_public),
        (PQ, ANNA.member.kem_public, ANNA.member.signing_public),
        (PQ, b"\xff" * 1216, ANNA.member.signing_public),
        (Kem.DHKEM_P256, ANNA.member.kem_public, b"\x04" + bytes(64)),
        (Kem.DHKEM_P256, ANNA.member.kem_public, ANNA.member.signing_public[:-1]),
        (Kem.DHKEM_P256, ANNA.member.kem_public, b"\x02" + ANNA.member.signing_public[1:33]),
    ],
)
def test_a_key_that_is_no_key_is_refused(
    kem: Kem, kem_public: bytes, signing_public: bytes
) -> None:
    """R-LOG-1: points are on the curve and have one form."""
    items = [ANNA.id, "Anna", int(kem), kem_public, signing_public, []]
    with refused("key.malformed"):
        Member.from_items(items)


@pytest.mark.parametrize(
    ("at", "value"), [(0, b"short"), (0, "text"), (1, 1), (1, "a\nb"), (2, 7), (2, True), (3, None)]
)
def test_a_member_that_does_not_read_strictly_is_malformed(at: int, value: Any) -> None:
    """R-LOG-1: every item has its type and size."""
    items = ANNA.member.items()
    items[at] = value
    with refused("format.malformed"):
        Member.from_items(items)
    with refused("format.malformed"):
        Member.from_items(ANNA.member.items()[:5])


def invitation(**change: Any) -> Invitation:
    values: dict[str, Any] = {
        "deployment_id": b"d" * 16,
        "group_name": "Cardiology",
        "pin": PinnedHead(b"g" * 32, 0, b"h" * 32),
        "identity_fingerprint": b"i" * 32,
        "invitation_id": b"n" * 16,
        "secret": Secret(b"s" * 16),
        "expires": 1,
    }
    return Invitation(**(values | change))


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(ANNA.member, member_id=b"short"),
        lambda: replace(founding(), nonce=b"short"),
        lambda: replace(founding(), identity_fingerprint=b"short"),
        lambda: replace(founding(), recovery=b"short"),
        lambda: Remove(b"short", epoch_key(2)),
        lambda: SetAdmins(frozenset({b"short"}), 1),
        lambda: SetIdentity(b"short"),
        lambda: PinnedHead(b"short", 0, b"h" * 32),
        lambda: PinnedHead(b"g" * 32, 0, b"short"),
        lambda: invitation(deployment_id=b"short"),
        lambda: invitation(identity_fingerprint=b"short"),
        lambda: invitation(invitation_id=b"short"),
        lambda: invitation(secret=Secret(b"short")),
    ],
)
def test_a_value_of_another_size_is_refused_when_it_is_made(make: Any) -> None:
    """R-LOG-1: ids have 16 bytes, hashes 32."""
    with refused("log.size"):
        make()


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: replace(founding(), members=()), "log.count"),
        (lambda: replace(founding(), admin_k=0), "log.count"),
        (lambda: SetAdmins(frozenset({ANNA.id}), 0), "log.count"),
        (lambda: SetWriters((writer("lab"),) * 4097), "log.count"),
        (lambda: EpochKey(0, Kem.DHKEM_P256, CLARA.member.kem_public), "log.epoch-number"),
        (lambda: EpochKey(2**32, Kem.DHKEM_P256, CLARA.member.kem_public), "log.epoch-number"),
    ],
)
def test_a_count_out_of_range_is_refused_when_it_is_made(make: Any, code: str) -> None:
    """R-LOG-1: what could not be decoded is not encoded."""
    with refused(code):
        make()


@pytest.mark.parametrize("one", [ANNA.member, writer("lab"), epoch_key(7), epoch_key(8, PQ)])
def test_what_stands_in_entries_survives_its_encoding(one: Member | Writer | EpochKey) -> None:
    """R-LOG-1: items and from_items are inverse."""
    assert type(one).from_items(one.items()) == one


def test_the_bodies_of_the_founding_entry_survive_their_encoding() -> None:
    """R-LOG-1: with and without a recovery group."""
    for op in (founding([ANNA], [CLARA]), founding(recovery=b"r" * 32)):
        assert Found.from_body(op.body()) == op
