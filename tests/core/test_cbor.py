"""Strict deterministic CBOR: one value, one encoding, and nothing else accepted."""

from __future__ import annotations

import tracemalloc

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core import cbor
from twinlock.errors import DataError

SCALARS = (
    st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
    | st.booleans()
    | st.none()
)


def nested(depth: int) -> st.SearchStrategy[list[object]]:
    """Arrays of arrays, at most ``depth`` deep."""
    inner = SCALARS if depth == 1 else SCALARS | nested(depth - 1)
    return st.lists(inner, max_size=5)


def refusal(data: bytes, **options: int) -> str:
    with pytest.raises(DataError) as caught:
        cbor.decode(data, **options)
    return caught.value.code


@given(nested(6))
def test_every_value_comes_back_as_it_was(value):
    """R-CBOR-1: round trip."""
    decoded = cbor.decode(cbor.encode(value))
    assert decoded == value
    assert repr(decoded) == repr(value), "True is not 1"


@given(nested(4))
def test_a_general_encoder_in_canonical_mode_writes_the_same_bytes(value):
    """R-CBOR-1: another implementation of RFC 8949 section 4.2.1 agrees."""
    assert cbor.decode(cbor2.dumps(value, canonical=True)) == value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_are_the_only_encoding_of_their_value(data):
    """R-CBOR-2: bijective on what is accepted."""
    try:
        value = cbor.decode(data)
    except DataError:
        return
    assert cbor.encode(value) == data


@given(nested(4), st.data())
def test_a_changed_byte_is_refused_or_is_another_value(value, data):
    """R-CBOR-2: no two encodings mean the same."""
    raw = bytearray(cbor.encode(value))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = cbor.decode(bytes(raw))
    except DataError:
        return
    assert repr(changed) != repr(value)
    assert cbor.encode(changed) == bytes(raw)


@given(nested(3), st.integers(0, 40))
def test_a_cut_message_is_refused(value, keep):
    """R-CBOR-2: every proper prefix is incomplete."""
    raw = cbor.encode(value)
    if keep < len(raw):
        assert refusal(raw[:keep]) == "format.malformed"


MALFORMED = {
    "nothing": "",
    "a number outside an array": "01",
    "bytes outside an array": "4101",
    "a trailing byte": "8000",
    "a second message": "8080",
    "a number in one byte too many": "811817",
    "a number in two bytes that fits one": "8119 00ff",
    "a number in four bytes that fits two": "811a 0000ffff",
    "a number in eight bytes that fits four": "811b 00000000ffffffff",
    "a length that is not minimal": "8158 01 00",
    "an array length that is not minimal": "9801 00",
    "an indefinite array": "9f00ff",
    "an indefinite byte string": "815f4100ff",
    "an indefinite text": "817f6161ff",
    "a break alone": "81ff",
    "a half float": "81f93c00",
    "a single float": "81fa3f800000",
    "a double": "81fb3ff0000000000000",
    "undefined": "81f7",
    "an unassigned simple value": "81e0",
    "a simple value in two bytes": "81f820",
    "true in two bytes": "81f815",
    "an empty map": "81a0",
    "a map": "81a10102",
    "a map with a key twice": "81a201020103",
    "a date tag": "81c06a323031332d30332d3231",
    "a positive bignum": "81c249010000000000000000",
    "a negative bignum": "81c349010000000000000000",
    "a decimal fraction": "81c482010a",
    "a bigfloat": "81c5820103",
    "a regular expression": "81d8236161",
    "a shared value": "81d81c80",
    "a reference to itself": "d81c81d81d00",
    "a self-described message": "d9d9f780",
    "a reserved length 28": "811c",
    "a reserved length 29": "815d",
    "a reserved length 30": "819e",
    "text that is not UTF-8": "8162c328",
    "text that is a lone surrogate": "8163eda080",
    "text that is an overlong NUL": "8162c080",
    "seven arrays deep": "81818181818181",
    "a text that ends too early": "8165616263",
    "an array that ends too early": "8201",
    "a length that ends too early": "8159ff",
    "2^64-1 bytes": "815bffffffffffffffff",
    "2^63 items": "9b8000000000000000",
    "2^28 items": "9a10000000",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_deterministic_cbor_of_our_kind_is_malformed(data):
    """R-CBOR-2, R-CBOR-3, R-CBOR-4: refused before it is interpreted."""
    assert refusal(bytes.fromhex(data)) == "format.malformed"


def test_six_arrays_deep_is_accepted():
    """R-CBOR-4: the deepest that is accepted."""
    assert cbor.decode(bytes.fromhex("818181818180")) == [[[[[[]]]]]]


def test_a_message_over_its_cap_is_too_large():
    """R-CBOR-4: the caller's cap counts bytes, inclusive."""
    raw = cbor.encode([bytes(96)])
    assert len(raw) == 99
    assert cbor.decode(raw, max_size=99)
    assert refusal(raw, max_size=98) == "format.too-large"


MEMORY = {
    "half a million empty arrays": b"\x9a\x00\x07\xff\xfb" + b"\x80" * 0x7FFFB,
    "half a million numbers": b"\x9a\x00\x07\xff\xfb" + b"\x00" * 0x7FFFB,
    "arrays of arrays": (b"\x9a\x00\x07\xff\xfb" + b"\x81\x80" * 0x40000)[: 1 << 19],
    "a claimed length of 16 MiB": b"\x81\x5a\x01\x00\x00\x00" + bytes(1 << 19),
    "many short claims": b"\x9a\x00\x00\xff\xff" + b"\x9a\x00\x00\xff\xff" * 1000,
    "a decimal fraction over a large number": b"\x81\xc4\x82\x01\xc2\x5a\x00\x07\x00\x00"
    + b"\xff" * 0x70000,
}


@pytest.mark.parametrize("data", MEMORY.values(), ids=MEMORY)
def test_a_hostile_message_costs_little_memory(data):
    """R-CBOR-3, R-CBOR-4: refused, within a small multiple of its size."""
    tracemalloc.start()
    try:
        assert refusal(data, max_size=1 << 20) == "format.malformed"
        assert tracemalloc.get_traced_memory()[1] < 4 * (1 << 19)
    finally:
        tracemalloc.stop()


def test_the_accepted_message_with_most_items_costs_a_small_multiple():
    """R-CBOR-4: at most one item per 16 bytes, beyond the first 65,536."""
    fits = [b"0123456789abcde"] * 100_000
    tracemalloc.start()
    try:
        raw = cbor.encode(fits)
        assert cbor.decode(raw, max_size=1 << 21) == fits
        assert tracemalloc.get_traced_memory()[1] < 8 * len(raw)
    finally:
        tracemalloc.stop()
    crowded = cbor.encode([b"0123456789abcd"] * 100_000)
    assert refusal(crowded, max_size=1 << 21) == "format.malformed"
    assert len(cbor.decode(cbor.encode([0] * 65_535))) == 65_535


LABELLED = {
    "another label": (["b", 1], "format.version"),
    "another version": (["twinlock/v2/a", 1], "format.version"),
    "no label": ([], "format.version"),
    "a label of bytes": ([b"a", 1], "format.version"),
    "too short": (["a"], "format.malformed"),
    "too long": (["a", 1, 2], "format.malformed"),
}


@pytest.mark.parametrize(("value", "code"), LABELLED.values(), ids=LABELLED)
def test_a_labelled_message_has_its_label_and_length(value, code):
    """R-CBOR-5: a reader never guesses at a version."""
    with pytest.raises(DataError) as caught:
        cbor.decode_labelled(cbor.encode(value), "a", 2)
    assert caught.value.code == code
    assert cbor.decode_labelled(cbor.encode(["a", 1]), "a", 2) == ["a", 1]


TAKES = {
    "bytes: text": (cbor.take_bytes, ["x"]),
    "bytes: too short": (cbor.take_bytes, [b"x", 2]),
    "bytes: none": (cbor.take_bytes, [None]),
    "text: bytes": (cbor.take_text, [b"x"]),
    "text: not NFC": (cbor.take_text, ["e\u0301"]),
    "uint: negative": (cbor.take_uint, [-1]),
    "uint: true": (cbor.take_uint, [True]),
    "uint: over the maximum": (cbor.take_uint, [8, 7]),
    "uint: 2^63": (cbor.take_uint, [2**63]),
    "uint: text": (cbor.take_uint, ["1"]),
    "list: bytes": (cbor.take_list, [b"xx"]),
    "list: too short": (cbor.take_list, [[], 1]),
    "list: too long": (cbor.take_list, [[1, 2], 0, 1]),
}


@pytest.mark.parametrize(("take", "arguments"), TAKES.values(), ids=TAKES)
def test_a_field_of_another_type_is_malformed(take, arguments):
    """R-CBOR-6: types, lengths and ranges of fields."""
    with pytest.raises(DataError) as caught:
        take(*arguments)
    assert caught.value.code == "format.malformed"
