"""The envelope's bytes: round trips, caps, and nothing but DataError for what is foreign."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core import cbor, envelope
from twinlock.core.envelope import AllLock, Field, GroupLock, Head, Layout, ShareLock
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import Kem
from twinlock.errors import DataError

B16, B32, B7, B64 = (st.binary(min_size=n, max_size=n) for n in (16, 32, 7, 64))
EPOCHS = st.integers(0, 2**63 - 1)
KEMS = st.sampled_from(list(Kem))
SEALED = st.binary(min_size=64, max_size=150)
GROUP_LOCKS = st.builds(GroupLock, B32, EPOCHS, KEMS, SEALED)
SHARES = st.builds(ShareLock, B32, EPOCHS, KEMS, SEALED, B32)
ALL_LOCKS = st.builds(AllLock, st.lists(SHARES, min_size=2, max_size=3).map(tuple))
LOCKS = st.lists(GROUP_LOCKS | ALL_LOCKS, min_size=1, max_size=3).map(tuple)
HEADERS = st.builds(envelope.new_header, B32, st.sampled_from(list(OuterSuite)), B16, LOCKS)
OUTERS = st.binary(min_size=60, max_size=1024)
FIELDS = st.builds(Field, B7, st.binary(max_size=300), B64)


def heads(layout: Layout) -> st.SearchStrategy[Head]:
    cores = st.builds(envelope.new_core, B16, st.just(layout), B16)
    return st.builds(Head, cores, HEADERS, OUTERS)


@given(heads(Layout.VALUE), FIELDS)
def test_a_value_comes_back_as_it_was(head, field):
    """R-ENV-1, R-ENV-2, R-ENV-3: round trip."""
    raw = envelope.encode_value(head, field)
    assert envelope.decode_value(raw) == (head, field)


@given(heads(Layout.ROW), FIELDS)
def test_a_row_comes_back_as_it_was(head, field):
    """R-ENV-4: wrapped DEK and cell."""
    assert envelope.decode_row_head(envelope.encode_row_head(head)) == head
    assert envelope.decode_cell(envelope.encode_cell(head, field), head) == field


@given(heads(Layout.FILE), B7)
def test_a_files_head_comes_back_as_it_was(head, prefix):
    """R-ENV-5: head and prefix."""
    assert envelope.decode_file_head(envelope.encode_file_head(head, prefix)) == (head, prefix)


def test_a_cell_of_another_row_is_refused():
    """R-ENV-4: it names its DEK."""
    one, other = (
        Head(envelope.new_core(dek_id, Layout.ROW, bytes(16)), HEAD.header, HEAD.outer)
        for dek_id in (b"1" * 16, b"2" * 16)
    )
    cell = envelope.encode_cell(one, FIELD)
    assert envelope.decode_cell(cell, one) == FIELD
    assert _code(envelope.decode_cell, cell, other) == "format.malformed"


def _example() -> tuple[Head, Field]:
    lock = GroupLock(bytes(32), 0, Kem.DHKEM_P256, bytes(113))
    share = ShareLock(bytes(32), 0, Kem.DHKEM_P256, bytes(113), bytes(32))
    header = envelope.new_header(
        bytes(32), OuterSuite.RSA_OAEP_SHA256, bytes(16), (lock, AllLock((share, share)))
    )
    core = envelope.new_core(bytes(16), Layout.VALUE, bytes(16))
    return Head(core, header, bytes(256)), Field(bytes(7), bytes(48), bytes(64))


HEAD, FIELD = _example()
RAW = envelope.encode_value(HEAD, FIELD)
DECODERS = (
    envelope.decode_value,
    envelope.decode_row_head,
    envelope.decode_file_head,
    envelope.decode_header,
    envelope.decode_core,
    lambda data: envelope.decode_cell(data, HEAD),
)


def _code(call, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return caught.value.code


def attempt(decode, data: bytes):
    """What was decoded, or the code of the DataError; anything else is raised on."""
    try:
        return decode(data)
    except DataError as error:
        return error.code


ANY_ITEM = st.recursive(
    st.integers(-2, 2**64 - 1) | st.binary(max_size=70) | st.text(max_size=5) | st.booleans()
    | st.none() | st.sampled_from(["group", "all", "share", "twinlock/v1/core", 16, 0x647A]),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@given(
    st.sampled_from([b"", b"TWL\x01", b"TWH\x01", b"TWC\x01"]),
    st.binary(max_size=100) | st.lists(ANY_ITEM, max_size=6).map(cbor.encode),
)
def test_the_decoders_raise_nothing_but_data_errors_on_arbitrary_bytes(magic, body):
    """R-ENV-9: also on well-formed CBOR of any shape."""
    for decode in DECODERS:
        outcome = attempt(decode, magic + body)
        assert not isinstance(outcome, str) or outcome.startswith(("format.", "suite."))


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255), st.integers(0, 3))
def test_the_decoders_raise_nothing_but_data_errors_on_mutated_values(at, change, cut):
    """R-ENV-9: a changed, cut or extended value is refused or decodes to something else."""
    raw = bytearray(RAW)
    raw[at] ^= change
    data = bytes(raw[:-cut] if cut == 1 else raw) + (b"\x00" if cut == 2 else b"")
    outcome = attempt(envelope.decode_value, data)
    if isinstance(outcome, str):
        assert outcome in ("format.malformed", "format.version", "suite.unknown")
    else:
        assert outcome != (HEAD, FIELD)
        assert envelope.encode_value(*outcome) == data


def core_of(*items) -> bytes:
    return cbor.encode(list(items))


C = "twinlock/v1/core"
CORES = {
    "content suite 3": ([C, 3, bytes(16), 1, bytes(16)], "suite.unknown"),
    "content suite 2": ([C, 2, bytes(16), 1, bytes(16)], "format.malformed"),
    "content suite true": ([C, True, bytes(16), 1, bytes(16)], "format.malformed"),
    "layout 0": ([C, 1, bytes(16), 0, bytes(16)], "suite.unknown"),
    "layout 4": ([C, 1, bytes(16), 4, bytes(16)], "format.malformed"),
    "layout 5": ([C, 1, bytes(16), 5, bytes(16)], "suite.unknown"),
    "layout true": ([C, 1, bytes(16), True, bytes(16)], "format.malformed"),
    "layout text": ([C, 1, bytes(16), "1", bytes(16)], "format.malformed"),
    "version 2": (["twinlock/v2/core", 1, bytes(16), 1, bytes(16)], "format.version"),
    "a short DEK id": ([C, 1, bytes(15), 1, bytes(16)], "format.malformed"),
    "a long writer id": ([C, 1, bytes(16), 1, bytes(17)], "format.malformed"),
    "one item more": ([C, 1, bytes(16), 1, bytes(16), 0], "format.malformed"),
    "over the cap": ([C, 1, bytes(300), 1, bytes(16)], "format.too-large"),
}


@pytest.mark.parametrize(("items", "code"), CORES.values(), ids=CORES)
def test_a_foreign_core_is_refused(items, code):
    """R-ENV-1, R-ENV-6, R-ENV-7: each with its own reason."""
    assert _code(envelope.decode_core, core_of(*items)) == code
    raw = b"TWL\x01" + cbor.encode([core_of(*items), *cbor.decode(RAW[4:])[1:]])
    assert _code(envelope.decode_value, raw) == code


L = ["group", bytes(32), 0, 16, bytes(113)]
S = ["share", bytes(32), 0, 16, bytes(113), bytes(32)]
LOCKS_REFUSED = {
    "no lock": ([], "format.malformed"),
    "17 locks": ([L] * 17, "format.malformed"),
    "a quorum lock": ([["quorum", bytes(32), 0, bytes(200)]], "suite.unknown"),
    "an unknown kind": ([["x" * 1000]], "suite.unknown"),
    "an empty lock": ([[]], "format.malformed"),
    "a lock of bytes": ([bytes(32)], "format.malformed"),
    "a kind of bytes": ([[b"group", *L[1:]]], "format.malformed"),
    "an unknown KEM": ([["group", bytes(32), 0, 32, bytes(113)]], "suite.unknown"),
    "a KEM of true": ([["group", bytes(32), 0, True, bytes(113)]], "format.malformed"),
    "a negative epoch": ([["group", bytes(32), -1, 16, bytes(113)]], "format.malformed"),
    "a short group id": ([["group", bytes(31), 0, 16, bytes(113)]], "format.malformed"),
    "63 sealed bytes": ([["group", bytes(32), 0, 16, bytes(63)]], "format.malformed"),
    "2049 sealed bytes": ([["group", bytes(32), 0, 16, bytes(2049)]], "format.malformed"),
    "a group lock with a commitment": ([[*L, bytes(32)]], "format.malformed"),
    "one share": ([["all", [S]]], "format.malformed"),
    "nine shares": ([["all", [S] * 9]], "format.malformed"),
    "a share without commitment": ([["all", [S, S[:5]]]], "format.malformed"),
    "a group lock as a share": ([["all", [S, L]]], "format.malformed"),
    "an all lock in an all lock": ([["all", [S, ["all", [S, S]]]]], "format.malformed"),
    "shares that are no array": ([["all", b"xx"]], "format.malformed"),
}


@pytest.mark.parametrize(("locks", "code"), LOCKS_REFUSED.values(), ids=LOCKS_REFUSED)
def test_a_foreign_lock_is_refused(locks, code):
    """R-ENV-2, R-ENV-6, R-LOCK-3, R-LOCK-4: shapes, counts and sizes."""
    raw = cbor.encode([bytes(32), 2, bytes(16), locks])
    with pytest.raises(DataError) as caught:
        envelope.decode_header(raw)
    assert caught.value.code == code
    assert len(str(caught.value)) < 300, "a message never repeats foreign text at length"


HEADERS_REFUSED = {
    "outer suite 0": ([bytes(32), 0, bytes(16), [L]], "suite.unknown"),
    "outer suite 4": ([bytes(32), 4, bytes(16), [L]], "suite.unknown"),
    "outer suite true": ([bytes(32), True, bytes(16), [L]], "format.malformed"),
    "a short commitment": ([bytes(31), 2, bytes(16), [L]], "format.malformed"),
    "a long wrapping id": ([bytes(32), 2, bytes(17), [L]], "format.malformed"),
    "three items": ([bytes(32), 2, bytes(16)], "format.malformed"),
    "five items": ([bytes(32), 2, bytes(16), [L], 0], "format.malformed"),
}


@pytest.mark.parametrize(("items", "code"), HEADERS_REFUSED.values(), ids=HEADERS_REFUSED)
def test_a_foreign_header_is_refused(items, code):
    """R-ENV-2, R-ENV-6: suites and lengths."""
    assert _code(envelope.decode_header, cbor.encode(items)) == code


ITEMS = cbor2.loads(RAW[4:])
VALUES = {
    "nothing": (b"", "format.malformed"),
    "half a magic": (b"TW", "format.malformed"),
    "a magic without version": (b"TWL", "suite.unknown"),
    "version 2": (b"TWL\x02" + RAW[4:], "suite.unknown"),
    "the magic of a row": (b"TWH\x01" + RAW[4:], "format.malformed"),
    "plain CBOR": (RAW[4:], "format.malformed"),
    "text": (b"I48.0 atrial fibrillation", "format.malformed"),
    "a row's core": (
        b"TWL\x01" + cbor.encode([core_of(C, 1, bytes(16), 2, bytes(16)), *ITEMS[1:]]),
        "format.malformed",
    ),
    "a prefix of 8": (b"TWL\x01" + cbor.encode([*ITEMS[:3], bytes(8), *ITEMS[4:]]),
                      "format.malformed"),
    "a signature of 63": (b"TWL\x01" + cbor.encode([*ITEMS[:5], bytes(63)]), "format.malformed"),
    "O of 59": (b"TWL\x01" + cbor.encode([*ITEMS[:2], bytes(59), *ITEMS[3:]]), "format.malformed"),
    "O of 1025": (b"TWL\x01" + cbor.encode([*ITEMS[:2], bytes(1025), *ITEMS[3:]]),
                  "format.malformed"),
    "a trailing byte": (RAW + b"\x00", "format.malformed"),
    "over the cap": (b"TWL\x01" + bytes((16 << 20) + (192 << 10) + 1), "format.too-large"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "code"), VALUES.values(), ids=VALUES)
def test_a_foreign_value_is_refused(raw, code):
    """R-ENV-3, R-ENV-6, R-ENV-7, R-ENV-10: magic, version, lengths and caps."""
    assert _code(envelope.decode_value, raw) == code


def test_a_locks_encoding_is_its_place_in_the_header():
    """R-REL-4: a release names a lock by the hash of exactly these bytes."""
    for lock in HEAD.header.locks:
        assert envelope.encode_lock(lock) in HEAD.header.raw
