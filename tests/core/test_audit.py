"""The audit chain: whatever is done to it, the line is named."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core import audit, cbor
from twinlock.errors import DataError

from .scenes import DEPLOYMENT


def chain(count: int) -> list[bytes]:
    lines: list[bytes] = []
    previous = audit.GENESIS
    for seq in range(count):
        line = audit.AuditLine(seq, previous, 1000 + seq, bytes([seq]) * 32, b"release", "opened")
        lines.append(line.encode())
        previous = audit.line_hash(lines[-1])
    return lines


TEN = chain(10)
HEADS = {4: audit.line_hash(TEN[4]), 9: audit.line_hash(TEN[9])}


def edited(raw: bytes, **changes) -> bytes:
    return dataclasses.replace(audit.decode_line(raw), **changes).encode()


def rechained(lines: list[bytes], start: int) -> list[bytes]:
    """What an attacker does who recomputes every link after a change."""
    result = lines[:start]
    previous = audit.line_hash(lines[start - 1]) if start else audit.GENESIS
    for seq, raw in enumerate(lines[start:], start):
        result.append(edited(raw, seq=seq, previous=previous))
        previous = audit.line_hash(result[-1])
    return result


def walk(lines, **named) -> list[int]:
    return [line.seq for line, _ in audit.walk_chain(lines, **named)]


def test_an_untouched_chain_is_walked():
    """R-AUDIT-1, R-AUDIT-2: the control of what follows."""
    assert walk(TEN) == list(range(10))
    assert walk(TEN, heads=HEADS) == list(range(10))
    assert walk([]) == []
    assert walk(TEN[5:], first_seq=5, previous=audit.line_hash(TEN[4])) == list(range(5, 10))


BROKEN = {
    "the first is deleted": (TEN[1:], 0),
    "one is deleted": (TEN[:3] + TEN[4:], 3),
    "one is edited": ([*TEN[:3], edited(TEN[3], outcome="refused"), *TEN[4:]], 4),
    "its time is edited": ([*TEN[:3], edited(TEN[3], time=0), *TEN[4:]], 4),
    "its number is edited": ([*TEN[:3], edited(TEN[3], seq=4), *TEN[4:]], 3),
    "its link is edited": ([*TEN[:3], edited(TEN[3], previous=bytes(32)), *TEN[4:]], 3),
    "two are swapped": ([*TEN[:3], TEN[4], TEN[3], *TEN[5:]], 3),
    "one is repeated": (TEN[:4] + TEN[3:], 4),
    "one is inserted": ([*TEN[:3], edited(TEN[3], outcome="x"), *TEN[3:]], 4),
    "one is cut short": ([*TEN[:3], TEN[3][:-1], *TEN[4:]], 3),
    "one is emptied": ([*TEN[:3], b"", *TEN[4:]], 3),
    "one is of another kind": ([*TEN[:3], cbor.encode(["twinlock/v2/audit"]), *TEN[4:]], 3),
}


@pytest.mark.parametrize(("lines", "named"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("heads", [{}, HEADS], ids=["without heads", "with heads"])
def test_a_changed_chain_names_the_line(lines, named, heads):
    """R-AUDIT-2, R-AUDIT-4: the changed line or the one after."""
    with pytest.raises(DataError) as caught:
        walk(lines, heads=heads)
    assert caught.value.code == "audit.broken"
    assert f"line {named} " in caught.value.message


REWRITTEN = {
    "one is edited and all links are recomputed": (
        rechained([*TEN[:3], edited(TEN[3], outcome="x"), *TEN[4:]], 3), "audit.broken", 4,
    ),
    "one is deleted and all links are recomputed": (
        rechained(TEN[:3] + TEN[4:], 3), "audit.broken", 4,
    ),
    "the last is edited": ([*TEN[:9], edited(TEN[9], outcome="x")], "audit.broken", 9),
    "the last is cut off": (TEN[:9], "audit.truncated", 9),
    "all are cut off": ([], "audit.truncated", 0),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "code", "named"), REWRITTEN.values(), ids=REWRITTEN)
def test_a_chain_that_was_made_anew_does_not_meet_a_signed_head(lines, code, named):
    """R-AUDIT-3, R-AUDIT-4: what the chain alone cannot show."""
    with pytest.raises(DataError) as caught:
        walk(lines, heads=HEADS)
    assert caught.value.code == code
    assert f"line {named}" in caught.value.message
    walk(lines)


@given(st.integers(0, 9), st.data())
def test_any_changed_byte_is_noticed(at, data):
    """R-AUDIT-2: in any line, with a head over the last."""
    raw = bytearray(TEN[at])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DataError) as caught:
        walk([*TEN[:at], bytes(raw), *TEN[at + 1 :]], heads=HEADS)
    assert caught.value.code == "audit.broken"


def test_a_line_and_a_head_have_these_bytes():
    """R-AUDIT-1, R-AUDIT-3: byte for byte."""
    line = audit.AuditLine(1, bytes(32), 2, bytes(32), b"R", "ok").encode()
    assert line.hex() == (
        "87" "71" + b"twinlock/v1/audit".hex() + "01" "5820" + "00" * 32 + "02" "5820" + "00" * 32
        + "4152" "626f6b"
    )  # fmt: skip
    head = audit.head_statement(bytes(16), 1, bytes(32), 2)
    assert head.hex() == (
        "85" "76" + b"twinlock/v1/audit-head".hex() + "50" + "00" * 16 + "01" "5820" + "00" * 32
        + "02"
    )  # fmt: skip


def test_a_head_is_read_back():
    """R-AUDIT-3: and a foreign one is refused."""
    raw = audit.head_statement(DEPLOYMENT, 9, HEADS[9], 5)
    assert audit.decode_head(raw) == audit.AuditHead(DEPLOYMENT, 9, HEADS[9], 5)
    with pytest.raises(DataError) as caught:
        audit.decode_head(TEN[0][:200])
    assert caught.value.code.startswith("format.")
