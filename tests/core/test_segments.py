"""Segments: one cutting per size, no segment dropped, repeated, moved or cut off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core import segments
from twinlock.core.envelope import Field, Layout
from twinlock.core.opening import prepare_record, verify_author
from twinlock.core.primitives import gcm_open, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.errors import DataError

from .scenes import CONTEXT, WRITER, Stream, group, sealer

FULL = segments.SEGMENT_SIZE + 16
DEK = bytes(range(32))
PREFIX = b"1234567"
CORE = b"core"


def encrypt(plaintext: bytes, *, prefix: bytes = PREFIX, core: bytes = CORE) -> bytes:
    from twinlock.core.primitives import gcm_seal

    return b"".join(
        gcm_seal(
            DEK,
            segments.nonce(prefix, part, last),
            piece,
            segments.additional_data(core, CONTEXT, "c", part, last),
        )
        for part, (piece, last) in enumerate(segments.cut_plaintext([plaintext]))
    )


def decrypt(ciphertext: bytes, *, prefix: bytes = PREFIX, column: str = "c") -> bytes:
    parts = segments.cut_ciphertext(CORE, CONTEXT, column, prefix, ciphertext)
    return segments.strip_commitment(
        b"".join(gcm_open(DEK, p.nonce, p.ciphertext, p.aad) for p in parts)
    )


def code_of(ciphertext: bytes, **named) -> str:
    with pytest.raises(DataError) as caught:
        decrypt(ciphertext, **named)
    return caught.value.code


@given(st.lists(st.binary(max_size=40_000), max_size=5))
def test_how_chunks_arrive_does_not_matter(chunks):
    """R-SEG-4: one cutting per content."""
    whole = b"".join(chunks)
    pieces = list(segments.cut_plaintext(chunks))
    assert pieces == list(segments.cut_plaintext([whole]))
    assert b"".join(piece for piece, _ in pieces) == bytes(32) + whole
    assert [last for _, last in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(len(piece) == segments.SEGMENT_SIZE for piece, _ in pieces[:-1])
    assert len(pieces) == 1 or 1 <= len(pieces[-1][0]) <= segments.SEGMENT_SIZE


SIZES = {0: 1, 1: 1, 16351: 1, 16352: 1, 16353: 2, 32736: 2, 32737: 3, 100_000: 7}


@pytest.mark.parametrize(("size", "parts"), SIZES.items())
def test_a_size_has_this_many_segments(size, parts):
    """R-SEG-1, R-SEG-4: boundaries."""
    plaintext = Stream("s")(size)
    ciphertext = encrypt(plaintext)
    assert len(ciphertext) == size + 32 + 16 * parts
    assert segments.count_parts(len(ciphertext)) == parts
    assert decrypt(ciphertext) == plaintext


IMPOSSIBLE = [0, 1, 16, 47, FULL + 1, FULL + 16, 2 * FULL + 16, 5 * FULL + 1]


@pytest.mark.parametrize("size", IMPOSSIBLE)
def test_a_ciphertext_of_an_impossible_length_is_malformed(size):
    """R-SEG-4: no empty last segment, no first one without its zero bytes."""
    assert code_of(bytes(size)) == "format.malformed"


def test_more_segments_than_numbers_is_malformed():
    """R-SEG-4: the number has 32 bits."""
    assert segments.count_parts((2**32 - 1) * FULL) == 2**32 - 1
    with pytest.raises(DataError):
        segments.count_parts((2**32 - 1) * FULL + 17)


def test_nonce_and_additional_data_have_these_bytes():
    """R-SEG-2, R-SEG-3: byte for byte."""
    assert segments.nonce(b"abcdefg", 258, True).hex() == "61626364656667" + "00000102" + "01"
    assert segments.nonce(b"abcdefg", 0, False).hex() == "61626364656667" + "00000000" + "00"
    aad = segments.additional_data(b"C", b"X", "col", 258, False)
    assert aad.hex() == "8670" + b"twinlock/v1/data".hex() + "4143415863636f6c190102f4"


THREE = encrypt(Stream("three")(40_000))
A, B, C = THREE[:FULL], THREE[FULL : 2 * FULL], THREE[2 * FULL :]
OTHER = encrypt(Stream("other")(40_000), prefix=b"7654321")
FIRST_AS_LAST = encrypt(Stream("three")(16352))

REARRANGED = {
    "the first is dropped": B + C,
    "one in the middle is dropped": A + C,
    "the last is dropped": A + B,
    "two are dropped": A,
    "only the last": C,
    "two are swapped": B + A + C,
    "one is repeated": A + A + C,
    "one is appended": A + B + B + C,
    "a full one is appended at the end": A + B + C[:-1],
    "the last is cut": THREE[:-1],
    "the last is extended": THREE + b"\x00",
    "one comes from another value": A + OTHER[FULL : 2 * FULL] + C,
    "a middle one made last": A + B[:1000],
    "a last one made first": FIRST_AS_LAST + C,
}


@pytest.mark.parametrize("ciphertext", REARRANGED.values(), ids=REARRANGED)
def test_no_segment_can_be_dropped_repeated_moved_or_cut(ciphertext):
    """R-SEG-6: by anybody who does not know the DEK."""
    assert code_of(ciphertext) in ("data.not-authentic", "format.malformed")


def test_the_control_of_the_rearranged_value_opens():
    """R-SEG-6: so the refusals above mean something."""
    assert decrypt(A + B + C) == Stream("three")(40_000)


def test_another_prefix_or_column_does_not_open():
    """R-SEG-2, R-SEG-3: both are bound to every segment."""
    assert code_of(THREE, prefix=b"1234568") == "data.not-authentic"
    assert code_of(THREE, column="d") == "data.not-authentic"


@given(st.integers(0, len(A) + 200 - 1), st.integers(1, 255))
def test_every_byte_is_covered(at, change):
    """R-SEG-6: a flipped byte anywhere."""
    short = bytearray(encrypt(Stream("short")(FULL - 16 - 32 + 200 - 16)))
    short[at % len(short)] ^= change
    assert code_of(bytes(short)) == "data.not-authentic"


@pytest.mark.parametrize("at", [0, 15, 31])
def test_content_without_its_zero_bytes_is_refused(at):
    """R-SEG-5: what decrypts under a second key does not pass."""
    zeros = bytearray(32)
    zeros[at] = 1
    with pytest.raises(DataError) as caught:
        segments.strip_commitment(bytes(zeros) + b"content")
    assert caught.value.code == "data.not-authentic"
    with pytest.raises(DataError):
        segments.strip_commitment(bytes(31))
    assert segments.strip_commitment(bytes(32)) == b""


class TestAuthor:
    """R-SIG-2, R-SIG-3: the writer's signature, checked before a release is asked for."""

    def sealed(self):
        head, fields = sealer().seal_fields(
            CONTEXT, Layout.VALUE, {"c": b"content", "d": b"content"}, [group("ward").target]
        )
        return head, fields["c"]

    def test_the_writers_signature_holds(self):
        head, field = self.sealed()
        verify_author(head, CONTEXT, "c", field, WRITER.public)

    @pytest.mark.parametrize(
        "change",
        ["context", "column", "prefix", "ciphertext", "signature", "core", "writer", "length"],
    )
    def test_anything_else_is_not_the_writers(self, change):
        head, field = self.sealed()
        other_head, other = self.sealed_elsewhere()
        arguments = {
            "head": head, "context": CONTEXT, "column": "c", "field": field,
            "writer_public": WRITER.public,
        }  # fmt: skip
        changed = bytes([field.ciphertext[0] ^ 1]) + field.ciphertext[1:]
        arguments.update(
            {
                "context": {"context": CONTEXT + b"x"},
                "column": {"column": "d"},
                "prefix": {"field": Field(bytes(7), field.ciphertext, field.signature)},
                "ciphertext": {"field": Field(field.prefix, changed, field.signature)},
                "signature": {"field": Field(field.prefix, field.ciphertext, other.signature)},
                "core": {"head": other_head},
                "writer": {"writer_public": signing_key_from_seed(Secret(bytes(32))).public},
                "length": {"field": Field(field.prefix, bytes(3), field.signature)},
            }[change]
        )
        with pytest.raises(DataError):
            verify_author(**arguments)

    def sealed_elsewhere(self):
        head, fields = sealer(seed="elsewhere").seal_fields(
            CONTEXT, Layout.VALUE, {"c": b"content"}, [group("ward").target]
        )
        return head, fields["c"]

    def test_what_the_writer_signs_has_these_bytes(self):
        """R-SIG-2: byte for byte."""
        raw = segments.signed_data(bytes(16), b"C", b"X", "c", 2, bytes(32))
        assert raw.hex() == (
            "87" "74" + b"twinlock/v1/data-sig".hex() + "50" + "00" * 16
            + "4143" "4158" "6163" "02" "5820" + "00" * 32
        )  # fmt: skip


def test_a_prepared_record_has_every_segment_and_the_binding():
    """R-OUTER-2, R-OUTER-6: what the token is given, also after the locks were changed."""
    import dataclasses

    from twinlock.core import envelope
    from twinlock.core.sealing import outer_binding

    ward, other = group("ward"), group("other")
    head, fields = sealer().seal_fields(
        CONTEXT, Layout.VALUE, {"c": bytes(20_000)}, [ward.target, other.target]
    )
    prepared = prepare_record(head, CONTEXT, fields)
    assert [len(cut) for cut in prepared.fields] == [2]
    assert prepared.outer.binding == outer_binding(head.core.raw, CONTEXT, head.header)
    reduced = envelope.new_header(
        head.header.commitment, head.header.outer_suite, head.header.wrapping_kid,
        head.header.locks[:1],
    )  # fmt: skip
    again = prepare_record(dataclasses.replace(head, header=reduced), CONTEXT, fields)
    assert again.outer == prepared.outer
    task = prepared.opening(bytes(40))
    assert task.wrapped_release_key == bytes(40)
    assert task.fields == prepared.fields
