"""Small words for the tests: a refusal by its code, ids of the right length, a chained line."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twinlock.errors import TwinlockError
from twinlock.store import AuditLine, StoredLine

GROUP, OTHER_GROUP = b"G" * 32, b"H" * 32
ALICE, BOB = b"a" * 16, b"b" * 16

_TESTS = Path(__file__).resolve().parents[__name__.count(".")]
SUBPROCESS_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_TESTS), *sys.path])}
"""Lets a Python subprocess import Twinlock and, under its full name, this module."""


@contextmanager
def refused(code: str, kind: type[TwinlockError] = TwinlockError) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.hint


def entry_hash(seq: int) -> bytes:
    return hashlib.sha256(b"entry %d" % seq).digest()


def chained(seq: int, previous: bytes) -> AuditLine:
    line = b"%d after %s" % (seq, previous.hex().encode())
    return AuditLine(line, hashlib.sha256(line).digest())


def is_one_chain(lines: Iterable[StoredLine]) -> bool:
    """Whether the lines are numbered without gaps and each was built on the one before it."""
    previous = bytes(32)
    for place, line in enumerate(lines):
        built = chained(place, previous)
        if (line.seq, line.line, line.line_hash) != (place, built.line, built.line_hash):
            return False
        previous = line.line_hash
    return True
