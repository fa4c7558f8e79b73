"""Values, rows and files that open, with every suite, KEM, layout and kind of lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives import serialization

from twinlock.core import envelope
from twinlock.core.envelope import Layout
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import Kem
from vectors.forge import COLUMN, CONTEXT, ROW_CONTEXT, WRITER, Forge, Group, Way
from vectors.form import OK, Vector
from vectors.recording import Recording, expand, rsa_key

WARD, OFFICER = Group("ward"), Group("officer")
PQ_WARD, PQ_OFFICER = Group("ward", Kem.MLKEM768_X25519), Group("officer", Kem.MLKEM768_X25519)


def wrapping(suite: OuterSuite) -> dict[str, str]:
    """The wrapping key, as a vector says it."""
    if suite is OuterSuite.TOKEN_AES:
        return {"aes": expand("token wrapping", 32).hex()}
    private = rsa_key("wrapping").private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {"rsa_pkcs8": private.hex()}


def given_value(
    sealed: bytes, groups: Sequence[Group], suite: OuterSuite = OuterSuite.RSA_OAEP_SHA256,
    context: bytes = CONTEXT, column: str = COLUMN,
) -> dict[str, Any]:  # fmt: skip
    """The input of ``open-value``."""
    return {
        "context": context.hex(),
        "column": column,
        "groups": [group.held() for group in groups],
        "wrapping": wrapping(suite),
        "writer": WRITER.public.hex(),
        "sealed": sealed.hex(),
    }


def vectors(recording: Recording) -> Iterator[Vector]:
    """Yield the family's vectors."""
    for suite in OuterSuite:
        for ward in (WARD, PQ_WARD):
            name = f"value-{suite.name.lower().replace('_', '-')}-{int(ward.kem):04x}"
            why = f"a value with outer suite {int(suite)} and KEM {int(ward.kem):#06x}"
            forge = Forge(recording, [ward], suite, seed=name)
            yield _value(name, "R-ENV-3", why, forge, b"I48.0 atrial fibrillation", [ward])
    yield from _sizes(recording)
    yield from _locks(recording)
    yield from _rows(recording)
    yield from _files(recording)


def _value(
    name: str, requirement: str, why: str, forge: Forge, plaintext: bytes, held: Sequence[Group]
) -> Vector:
    given = given_value(forge.value(plaintext), held, forge.suite)
    return Vector(name, "open-value", OK, requirement, why, given, {"plaintext": plaintext.hex()})


def _sizes(recording: Recording) -> Iterator[Vector]:
    for size in (0, 1, 16352, 16353):
        forge = Forge(recording, [WARD], OuterSuite.TOKEN_AES, seed=f"size {size}")
        plaintext = expand("plaintext", size)
        why = f"{size} bytes: {'one segment' if size <= 16352 else 'two segments'}"
        yield _value(f"size-{size}", "R-SEG-1", why, forge, plaintext, [WARD])


def _locks(recording: Recording) -> Iterator[Vector]:
    both: dict[str, tuple[str, Sequence[Way], Sequence[Group]]] = {
        "or-first": ("the first of two locks", [WARD, OFFICER], [WARD]),
        "or-second": ("the second of two locks", [WARD, OFFICER], [OFFICER]),
        "and": ("two groups together", [(WARD, OFFICER)], [WARD, OFFICER]),
        "and-mixed-kems": ("two groups of different KEMs", [(WARD, PQ_OFFICER)],
                           [WARD, PQ_OFFICER]),
        "or-and": ("one group, or two together", [Group("er"), (WARD, OFFICER)], [WARD, OFFICER]),
        "epoch": ("a lock of a later epoch", [Group("ward", epoch=7)], [Group("ward", epoch=7)]),
    }  # fmt: skip
    for name, (why, ways, held) in both.items():
        forge = Forge(recording, ways, OuterSuite.TOKEN_AES, seed=name)
        yield _value(f"lock-{name}", "R-LOCK-5", why, forge, b"x", held)


def _rows(recording: Recording) -> Iterator[Vector]:
    plain = {"name": b"Weber", "diagnosis": b"", "letter": expand("letter", 300)}
    forge = Forge(recording, [WARD], layout=Layout.ROW, context=ROW_CONTEXT, seed="row")
    head = forge.head()
    cells = {
        column: envelope.encode_cell(head, forge.field(value, column))
        for column, value in plain.items()
    }
    given = {
        "context": ROW_CONTEXT.hex(),
        "groups": [WARD.held()],
        "wrapping": wrapping(forge.suite),
        "writer": WRITER.public.hex(),
        "head": envelope.encode_row_head(head).hex(),
        "cells": {column: cell.hex() for column, cell in cells.items()},
    }
    yield Vector(
        "row", "open-row", OK, "R-ENV-4", "three columns under one DEK", given,
        {"plaintexts": {column: value.hex() for column, value in plain.items()}},
    )  # fmt: skip
    swapped = {**cells, "name": cells["letter"], "letter": cells["name"]}
    yield Vector(
        "row-swapped-columns", "open-row", "data.not-authentic", "R-SEG-3",
        "two columns of one row are swapped",
        {**given, "cells": {column: cell.hex() for column, cell in swapped.items()}},
    )  # fmt: skip
    other = Forge(recording, [WARD], layout=Layout.ROW, context=ROW_CONTEXT, seed="other row")
    foreign = envelope.encode_cell(other.head(), other.field(b"Weber", "name"))
    yield Vector(
        "row-foreign-cell", "open-row", "format.malformed", "R-ENV-4",
        "a cell names another DEK than the row's",
        {**given, "cells": {"name": foreign.hex()}},
    )  # fmt: skip


def _files(recording: Recording) -> Iterator[Vector]:
    forge = Forge(recording, [WARD], layout=Layout.FILE, seed="file")
    plaintext = expand("scan", 17_000)
    field = forge.field(plaintext)
    encoded = envelope.encode_file_head(forge.head(), field.prefix)
    sealed = (
        b"TWF\x01" + len(encoded).to_bytes(4, "big") + encoded + field.ciphertext + field.signature
    )
    given = given_value(sealed, [WARD])
    yield Vector(
        "file", "open-file", OK, "R-ENV-5", "a sealed file of two segments", given,
        {"plaintext": plaintext.hex()},
    )  # fmt: skip
    cut = sealed[: -64 - 680] + sealed[-64:]
    yield Vector(
        "file-cut", "open-file", "data.not-authentic", "R-SEG-6", "the last segment is cut off",
        given_value(cut, [WARD]),
    )  # fmt: skip
    yield Vector(
        "file-version", "open-file", "suite.unknown", "R-ENV-6", "a file of version 2",
        given_value(sealed[:3] + b"\x02" + sealed[4:], [WARD]),
    )  # fmt: skip
