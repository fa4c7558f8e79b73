"""A large file is sealed and opened in constant memory, on a real token."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.server.world import SUITES, World
from twinlock import Context, SealedFile

SIZE: Final = 256 << 20
CHUNK: Final = 1 << 20
MOST_MEMORY: Final = 16 << 20
SCAN: Final = Context(table="scan", column="image", record="4711")


def _chunks() -> Iterator[bytes]:
    for number in range(SIZE // CHUNK):
        yield number.to_bytes(4, "big") * (CHUNK // 4)


def _digest(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@pytest.mark.parametrize("suite", SUITES)
def test_256_mib_are_sealed_and_opened_in_little_memory(
    softhsm: World, suite: str, tmp_path: Path
) -> None:
    """R-SRV-7, R-SEG-1."""
    vault, sealed, plain = softhsm.vault, tmp_path / "scan.twl", tmp_path / "scan"
    tracemalloc.start()
    try:
        vault.seal_file(_chunks(), sealed, to=softhsm.ward, context=SCAN, suite=suite)
        request = softhsm.asked((SCAN, SealedFile(sealed)))
        vault.open_file(request, softhsm.kim.release(request), plain)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sealed.stat().st_size > SIZE
    with plain.open("rb") as file:
        assert _digest(iter(lambda: file.read(CHUNK), b"")) == _digest(_chunks())
    assert peak < MOST_MEMORY
