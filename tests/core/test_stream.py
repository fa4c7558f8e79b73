"""Sealed files: constant memory, and never twice."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from twinlock.core import envelope
from twinlock.core.ports import OuterSuite
from twinlock.errors import CallerError

from . import reference
from .scenes import CONTEXT, Stream, group, keys, sealer

WARD = group("ward")
MIB = 1 << 20


@pytest.mark.parametrize("suite", list(OuterSuite), ids=lambda s: s.name)
@pytest.mark.parametrize("size", [0, 1, 16352, 16353, 100_000])
def test_a_sealed_file_opens_in_the_reference(suite, size):
    """R-ENV-5, R-SEG-1: head, segments, signature."""
    plaintext = Stream("file")(size)
    chunks = [plaintext[at : at + 5000] for at in range(0, size, 5000)]
    with sealer(suite).seal_stream(CONTEXT, "scan", [WARD.target]) as stream:
        head = envelope.encode_file_head(stream.head, stream.prefix)
        body = b"".join(stream.segments(chunks))
    held = keys(WARD, suite=suite)
    assert reference.open_file(head, body, CONTEXT, "scan", held) == plaintext
    full = 16384 + 16
    if size == 100_000:
        for damaged in (body[full:], body[: -64 - full] + body[-64:], body[:-1] + b"\x00"):
            with pytest.raises(reference.RefusedError):
                reference.open_file(head, damaged, CONTEXT, "scan", held)


def test_a_sealed_file_is_made_once():
    """R-SEG-9: a second run would repeat every nonce under the same DEK."""
    with sealer().seal_stream(CONTEXT, "scan", [WARD.target]) as stream:
        assert list(stream.segments([b"first"]))
        with pytest.raises(CallerError) as caught:
            list(stream.segments([b"second"]))
        assert caught.value.code == "seal.spent"


def test_a_large_file_is_sealed_in_constant_memory():
    """R-SEG-8: 256 MiB of chunks that are made as they are asked for."""

    def chunks() -> Iterator[bytes]:
        for number in range(256):
            yield bytes([number]) * MIB

    sealed = 0
    tracemalloc.start()
    try:
        with sealer().seal_stream(CONTEXT, "scan", [WARD.target]) as stream:
            for piece in stream.segments(chunks()):
                sealed += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sealed == 256 * MIB + 32 + 16 * 16385 + 64
    assert peak < 8 * MIB
