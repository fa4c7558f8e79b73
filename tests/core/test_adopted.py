"""Adopted content: bytes, signatures, and what may not pass for what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.core import reference
from tests.core.scenes import ROW_CONTEXT, WRITER, group, keys, sealer
from tests.core.test_envelope import attempt
from twinlock.core import cbor, envelope
from twinlock.core.adopted import (
    Adopted,
    LegacyCell,
    decode_adopted,
    encode_adopted,
    prepare_adopted,
    sign_cells,
    verify_cell,
)
from twinlock.core.envelope import Head, Layout
from twinlock.core.ports import DekOrigin, LegacyPart, OuterSuite
from twinlock.core.primitives import aes_key_wrap, signing_key_from_seed
from twinlock.core.sealing import rsa_outer
from twinlock.core.secret import Secret
from twinlock.errors import DataError, TwinlockError

DEK = bytes(range(32))
TOKEN, HOST = DekOrigin


def cell(plaintext: bytes, aad: bytes = b"", nonce: bytes = b"n" * 12) -> LegacyCell:
    return LegacyCell(nonce, AESGCM(DEK).encrypt(nonce, plaintext, aad), aad)


CELLS = {"diagnosis": cell(b"I48.0"), "name": cell(b"Weber", b"patient|4711", b"m" * 12)}


def adopted(
    cells: dict[str, LegacyCell] | None = None, origin: DekOrigin = TOKEN, seed: str = "adopted"
) -> Adopted:
    one = sealer(seed=seed)
    new = one.new_locks(ROW_CONTEXT, Layout.ADOPTED, [group("ward").target])
    wrapped = aes_key_wrap(new.release_key.reveal(), DEK)
    outer = rsa_outer(one.wrapping, OuterSuite.RSA_OAEP_SHA256, wrapped, new.binding)
    head = Head(new.core, new.header, outer)
    return sign_cells(head, origin, ROW_CONTEXT, CELLS if cells is None else cells, WRITER)


ROW = adopted()


def code(call, *arguments) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize("origin", list(DekOrigin))
def test_what_is_adopted_opens_in_the_second_implementation(origin: DekOrigin) -> None:
    """R-ADOPT-1, R-ADOPT-3: with its old nonce and additional data, and no zero bytes."""
    raw = encode_adopted(adopted(origin=origin))
    old = {column: (c.nonce, c.aad, c.ciphertext) for column, c in CELLS.items()}
    opened = reference.open_adopted(raw, old, ROW_CONTEXT, keys(group("ward")))
    assert opened == {"diagnosis": b"I48.0", "name": b"Weber"}


@given(
    st.dictionaries(st.text(min_size=1, max_size=5).filter(str.isascii), st.binary(min_size=64,
                    max_size=64), min_size=1, max_size=5),
    st.sampled_from(DekOrigin),
)  # fmt: skip
def test_an_adopted_value_comes_back_as_it_was(signatures: dict[str, bytes], origin) -> None:
    """R-ADOPT-1: round trip, whatever the order of the columns was."""
    made = Adopted(ROW.head, origin, signatures)
    assert decode_adopted(encode_adopted(made)) == made


def test_columns_ascend_by_their_utf8() -> None:
    """R-ADOPT-1: not by UTF-16, in which U+10000 comes before U+FFFD."""
    made = Adopted(ROW.head, TOKEN, {"\U00010000": bytes(64), "\ufffd": bytes(64)})
    signed = cbor.decode(encode_adopted(made)[4:])[4]
    assert [column for column, _ in signed] == ["\ufffd", "\U00010000"]


@given(st.integers(0, len(encode_adopted(ROW)) - 1), st.integers(1, 255), st.integers(0, 2))
def test_the_decoder_raises_nothing_but_data_errors(at: int, change: int, cut: int) -> None:
    """R-ADOPT-1, R-ENV-9: what was changed, cut or extended is refused or is another value."""
    raw = bytearray(encode_adopted(ROW))
    raw[at] ^= change
    data = bytes(raw[:-cut] if cut == 1 else raw) + (b"\x00" if cut == 2 else b"")
    outcome = attempt(decode_adopted, data)
    if isinstance(outcome, str):
        assert outcome.startswith(("format.", "suite."))
    else:
        assert outcome != ROW
        assert encode_adopted(outcome) == data


def test_a_row_of_more_columns_than_a_reader_takes_is_not_made() -> None:
    """R-ADOPT-1: 256 are the most."""
    many = {f"column {number}": CELLS["name"] for number in range(257)}
    assert code(adopted, many) == "legacy.columns"
    with pytest.raises(DataError) as caught:
        decode_adopted(encode_adopted(Adopted(ROW.head, TOKEN, dict.fromkeys(many, bytes(64)))))
    assert caught.value.code == "format.malformed"


@pytest.mark.parametrize(
    ("column", "changed", "context"),
    [
        ("name", replace(CELLS["name"], ciphertext=CELLS["name"].ciphertext[:-1]), ROW_CONTEXT),
        ("name", replace(CELLS["name"], nonce=b"o" * 12), ROW_CONTEXT),
        ("name", replace(CELLS["name"], aad=b""), ROW_CONTEXT),
        ("name", CELLS["diagnosis"], ROW_CONTEXT),
        ("diagnosis", CELLS["name"], ROW_CONTEXT),
        ("note", CELLS["name"], ROW_CONTEXT),
        ("name", CELLS["name"], ROW_CONTEXT + b"!"),
    ],
    ids=["content", "nonce", "aad", "other-cell", "other-column", "unsigned", "context"],
)
def test_a_column_that_is_not_as_it_was_signed_is_refused(
    column: str, changed: LegacyCell, context: bytes
) -> None:
    """R-ADOPT-2: signatures cover nonce, additional data, ciphertext, column and context."""
    verify_cell(ROW, ROW_CONTEXT, "name", CELLS["name"], WRITER.public)
    assert code(verify_cell, ROW, context, column, changed, WRITER.public) == "data.not-authentic"


def test_neither_another_writer_nor_another_origin_verifies() -> None:
    """R-ADOPT-2: nobody makes an old row look as if its DEK never was in the host."""
    stranger = signing_key_from_seed(Secret(b"stranger".ljust(32, b".")))
    arguments = (ROW_CONTEXT, "name", CELLS["name"])
    assert code(verify_cell, ROW, *arguments, stranger.public) == "data.not-authentic"
    other = replace(ROW, origin=HOST)
    assert code(verify_cell, other, *arguments, WRITER.public) == "data.not-authentic"


def test_nothing_moves_between_nonce_additional_data_and_ciphertext() -> None:
    """R-ADOPT-2: their boundaries are signed too."""
    one = LegacyCell(b"n" * 12, b"c" * 20, b"aad")
    other = LegacyCell(b"n" * 12, b"d" + b"c" * 19, b"aa")
    assert one.aad + one.ciphertext != other.aad + other.ciphertext
    moved = LegacyCell(b"n" * 12, b"d" * 20 + b"c" * 20, b"")
    same = LegacyCell(b"n" * 12, b"c" * 20, b"d" * 20)
    assert moved.aad + moved.ciphertext == same.aad + same.ciphertext
    assert moved.digest() != same.digest()


@pytest.mark.parametrize(
    "wrong",
    [
        LegacyCell(b"n" * 16, bytes(20)),
        LegacyCell(b"n" * 11, bytes(20)),
        LegacyCell(b"", bytes(20)),
        LegacyCell(b"n" * 12, bytes(15)),
        LegacyCell(b"n" * 12, bytes((16 << 20) + 1)),
    ],
    ids=["nonce-16", "nonce-11", "no-nonce", "less-than-a-tag", "too-large"],
)
def test_what_is_no_aes_256_gcm_with_a_12_byte_nonce_is_not_adopted(wrong: LegacyCell) -> None:
    """R-ADOPT-3: it is for resealing."""
    assert code(wrong.part) == "legacy.cell"
    assert code(prepare_adopted, ROW, ROW_CONTEXT, {"name": wrong}) == "legacy.cell"


def test_only_adopted_content_goes_without_additional_data_and_zero_bytes() -> None:
    """R-ADOPT-3, R-ADOPT-10: native content keeps both rules."""
    prepared = prepare_adopted(ROW, ROW_CONTEXT, CELLS)
    parts = [part for (part,) in prepared.fields]
    assert all(isinstance(part, LegacyPart) for part in parts)
    assert prepared.content(b"I48.0") == b"I48.0"
    native = replace(prepared, head=replace(ROW.head, core=core(Layout.ROW)))
    assert code(native.content, b"I48.0") == "data.not-authentic"
    assert native.content(bytes(32) + b"I48.0") == b"I48.0"


def core(layout: Layout) -> envelope.Core:
    return envelope.new_core(bytes(16), layout, WRITER.kid)


@pytest.mark.parametrize("layout", [Layout.VALUE, Layout.ROW, Layout.FILE])
def test_an_adopted_value_takes_no_native_head(layout: Layout) -> None:
    """R-ADOPT-4: and no native value an adopted head."""
    native = replace(ROW.head, core=core(layout))
    raw = encode_adopted(Adopted(native, TOKEN, {"name": bytes(64)}))
    assert code(decode_adopted, raw) == "format.malformed"
    assert code(envelope.decode_row_head, envelope.encode_row_head(ROW.head)) == "format.malformed"
    head = envelope.encode_file_head(ROW.head, bytes(7))
    assert code(envelope.decode_file_head, head) == "format.malformed"
    field = envelope.Field(bytes(7), bytes(48), bytes(64))
    assert code(envelope.decode_value, envelope.encode_value(ROW.head, field)) == "format.malformed"
