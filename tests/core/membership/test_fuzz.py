"""Decoders meet bytes of all kinds: they return a value that encodes to them, or a DataError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.core.membership.test_chain import LOG
from tests.core.membership.test_contact import CARD, TEXT
from tests.core.membership.world import DEPLOYMENT, FRITZ
from twinlock.core import cbor
from twinlock.core.membership import (
    Entry,
    MemberCard,
    SignedEntry,
    decode_state,
    encode_state,
    parse_invitation,
    replay,
)
from twinlock.core.membership.ops import decode_op
from twinlock.errors import DataError

CARD_BYTES = CARD.encode(FRITZ.signing)
STATE_BYTES = encode_state(LOG.state)
ENTRIES = [SignedEntry.decode(data) for data in LOG.entries]
OP_NAMES = sorted({entry.entry.op.NAME for entry in ENTRIES})

DECODERS: dict[str, tuple[Callable[[bytes], Any], list[bytes]]] = {
    "entry": (lambda data: Entry.decode(data).encode(), [e.entry_bytes for e in ENTRIES]),
    "signed-entry": (lambda data: SignedEntry.decode(data).encode(), LOG.entries),
    "state": (lambda data: encode_state(decode_state(data)), [STATE_BYTES]),
}

fuzzing = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

junk: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=70)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=10),
    max_leaves=12,
)


def assert_strict(decode: Callable[[bytes], Any], data: bytes) -> None:
    """What is accepted has this one encoding; everything else is a DataError."""
    try:
        encoded = decode(data)
    except DataError:
        return
    assert encoded == data


def replaced(draw: st.DrawFn, value: Any) -> Any:
    """Return ``value`` with one item, anywhere in it, exchanged, dropped or doubled."""
    if not isinstance(value, list) or not value or draw(st.integers(0, 5)) == 0:
        return draw(junk)
    at = draw(st.integers(0, len(value) - 1))
    kept = draw(st.sampled_from(["exchange", "drop", "double"]))
    if kept == "drop":
        return [*value[:at], *value[at + 1 :]]
    if kept == "double":
        return [*value[: at + 1], *value[at:]]
    return [*value[:at], replaced(draw, value[at]), *value[at + 1 :]]


@st.composite
def mutated_bytes(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """Return bytes near a valid message: some exchanged, cut out, or put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 8))
        data[at : at + length] = draw(st.binary(max_size=8))
    return bytes(data)


@st.composite
def mutated_items(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """Return well-formed CBOR near a valid message; entries inside are mutated as well."""
    items = cbor.decode(draw(st.sampled_from(originals)))
    inside = isinstance(items[1], bytes) and len(items[1]) > 64
    if inside and draw(st.booleans()):
        items[1] = cbor.encode(replaced(draw, cbor.decode(items[1])))
        return cbor.encode(items)
    return cbor.encode(replaced(draw, items))


@st.composite
def mutated_body(draw: st.DrawFn, bodies: list[Any]) -> Any:
    """Return something near an operation's body."""
    return replaced(draw, draw(st.sampled_from(bodies)))


@pytest.mark.parametrize("name", DECODERS)
@fuzzing
@given(data=st.data())
def test_a_decoder_refuses_or_gives_back_the_bytes(name: str, data: st.DataObject) -> None:
    """R-LOG-28: random bytes, damaged messages, and foreign values in well-formed ones."""
    decode, originals = DECODERS[name]
    strategies = [st.binary(max_size=200), mutated_bytes(originals), mutated_items(originals)]
    assert_strict(decode, data.draw(st.one_of(strategies)))


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_gives_back_what_is_valid(name: str) -> None:
    """R-LOG-28: else the test above would pass for a decoder that refuses everything."""
    decode, originals = DECODERS[name]
    for data in originals:
        assert decode(data) == data


@fuzzing
@given(mutated_bytes([CARD_BYTES]) | mutated_items([CARD_BYTES]) | st.binary(max_size=200))
def test_a_damaged_card_is_refused(data: bytes) -> None:
    """R-LOG-28, R-LOG-31: nothing but the very bytes is accepted."""
    try:
        MemberCard.decode(data)
    except DataError:
        return
    assert data == CARD_BYTES


@fuzzing
@given(st.text(max_size=80) | st.text(alphabet="abcz27=\u212a\u0130 ", max_size=80))
@example(TEXT + "\ud800")
def test_a_text_that_is_no_invitation_is_refused(text: str) -> None:
    """R-LOG-28, R-LOG-29: with and without the prefix."""
    for candidate in (text, "twinlock-invite1:" + text):
        with pytest.raises(DataError) as caught:
            parse_invitation(candidate)
        assert caught.value.code == "invitation.malformed"


@pytest.mark.parametrize("name", OP_NAMES)
@fuzzing
@given(data=st.data())
def test_a_body_that_is_none_of_an_operation_is_refused(name: str, data: st.DataObject) -> None:
    """R-LOG-28: every operation's body, near and far from valid ones."""
    bodies = [e.entry.op.body() for e in ENTRIES if name == e.entry.op.NAME]
    body = data.draw(mutated_body(bodies))
    try:
        op = decode_op(name, body)
    except DataError:
        return
    assert op.body() == body


@fuzzing
@given(data=st.data())
def test_a_log_with_one_damaged_entry_is_refused(data: st.DataObject) -> None:
    """R-LOG-4, R-LOG-28: by a DataError, wherever the damage is."""
    at = data.draw(st.integers(0, len(LOG.entries) - 1))
    original = [LOG.entries[at]]
    damaged = data.draw(mutated_bytes(original) | mutated_items(original))
    items = cbor.decode(LOG.entries[at])
    try:
        replay([*LOG.entries[:at], damaged], deployment_id=DEPLOYMENT)
    except DataError:
        return
    # Without a log key the countersignature, and it alone, is not looked at.
    assert cbor.decode(damaged)[:3] == items[:3]


@pytest.mark.parametrize("name", DECODERS)
def test_every_truncation_is_refused(name: str) -> None:
    """R-LOG-28: no prefix of a message is a message."""
    decode, originals = DECODERS[name]
    for data in originals[:1]:
        for length in range(len(data)):
            with pytest.raises(DataError):
                decode(data[:length])


def test_a_huge_entry_is_refused_before_it_is_read() -> None:
    """R-LOG-28: sizes are bounded."""
    for decode in (Entry.decode, SignedEntry.decode, MemberCard.decode):
        with pytest.raises(DataError) as caught:
            decode(b"\x8a" * (1 << 21))
        assert caught.value.code == "format.too-large"
