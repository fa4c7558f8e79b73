"""Adopted rows: the old application's ciphertexts under locks of Twinlock's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from twinlock.core import cbor, envelope
from twinlock.core.adopted import Adopted, LegacyCell, encode_adopted, sign_cells
from twinlock.core.context import Context
from twinlock.core.envelope import Layout
from twinlock.core.ports import DekOrigin, OuterSuite
from twinlock.core.primitives import gcm_seal
from vectors.content import OFFICER, PQ_WARD, WARD, wrapping
from vectors.forge import DEPLOYMENT, ROW_CONTEXT, STRANGER, WRITER, Forge, Group
from vectors.form import OK, Vector
from vectors.recording import Recording, Signer, expand

NOT_AUTHENTIC = "data.not-authentic"
MALFORMED = "format.malformed"
UNKNOWN = "suite.unknown"
PLAIN = {"name": b"Weber", "diagnosis": b"", "letter": expand("old letter", 20_000)}
ELSEWHERE = Context(table="patient", record="4712", version=3).encode(DEPLOYMENT)


def vectors(recording: Recording) -> Iterator[Vector]:
    """Yield the family's vectors."""
    for suite in OuterSuite:
        forge = _forge(recording, suite, seed=f"adopted {int(suite)}")
        yield _opens(f"suite-{int(suite)}", f"three columns, outer suite {int(suite)}", forge)
    shared = _forge(recording, ways=[(WARD, OFFICER)], seed="adopted and")
    yield _opens("and", "two groups together", shared, groups=(WARD, OFFICER))
    yield _opens("pq", "KEM 0x647a", _forge(recording, ways=[PQ_WARD], seed="adopted pq"),
                 groups=(PQ_WARD,))  # fmt: skip
    forge = _forge(recording)
    yield _opens("host", "the DEK was in host memory", forge, origin=DekOrigin.HOST)
    yield _opens("one-column", "asked for one column of three", forge, asked=("name",))
    yield from _refused(forge)
    yield from _forms(forge)
    yield from _mixed(recording, forge)


def _forge(
    recording: Recording,
    suite: OuterSuite = OuterSuite.TOKEN_AES,
    ways: Any = (WARD,),
    seed: str = "adopted",
) -> Forge:
    return Forge(recording, ways, suite, Layout.ADOPTED, ROW_CONTEXT, seed)


def old_cells(dek: bytes) -> dict[str, LegacyCell]:
    """What the old application wrote; it bound the letter to the row, and nothing else."""
    aads = {"letter": b"patient|4711|letter"}
    cells = {}
    for column, plaintext in PLAIN.items():
        nonce, aad = expand(f"old nonce {column}", 12), aads.get(column, b"")
        cells[column] = LegacyCell(nonce, gcm_seal(dek, nonce, plaintext, aad), aad)
    return cells


def _adopted(
    forge: Forge,
    origin: DekOrigin = DekOrigin.TOKEN,
    cells: dict[str, LegacyCell] | None = None,
    writer: Signer = WRITER,
    context: bytes = ROW_CONTEXT,
) -> Adopted:
    signed = old_cells(forge.dek) if cells is None else cells
    # A Signer signs as a SigningKey does, but deterministically.
    return sign_cells(forge.head(), origin, context, signed, writer)  # type: ignore[arg-type]


def _given(
    forge: Forge, head: bytes, cells: dict[str, LegacyCell], groups: tuple[Group, ...] = (WARD,)
) -> dict[str, Any]:
    return {
        "context": ROW_CONTEXT.hex(),
        "groups": [group.held() for group in groups],
        "wrapping": wrapping(forge.suite),
        "writer": WRITER.public.hex(),
        "head": head.hex(),
        "cells": {
            column: {
                "nonce": cell.nonce.hex(),
                "aad": cell.aad.hex(),
                "ciphertext": cell.ciphertext.hex(),
            }
            for column, cell in cells.items()
        },
    }


def _opens(
    name: str,
    why: str,
    forge: Forge,
    *,
    groups: tuple[Group, ...] = (WARD,),
    origin: DekOrigin = DekOrigin.TOKEN,
    asked: tuple[str, ...] = tuple(PLAIN),
) -> Vector:
    cells = {column: cell for column, cell in old_cells(forge.dek).items() if column in asked}
    head = encode_adopted(_adopted(forge, origin))
    output = {"plaintexts": {column: PLAIN[column].hex() for column in cells}}
    given = _given(forge, head, cells, groups)
    return Vector(f"adopted-{name}", "open-adopted", OK, "R-ADOPT-1", why, given, output)


def _refused(forge: Forge) -> Iterator[Vector]:
    cells = old_cells(forge.dek)
    genuine = _adopted(forge)
    name, letter = cells["name"], cells["letter"]
    other_dek = expand("another old dek", 32)
    other = replace(name, ciphertext=gcm_seal(other_dek, name.nonce, b"Kim", b""))
    swapped = {"name": letter, "letter": name}
    head = forge.head()
    moved = replace(genuine, signatures={**genuine.signatures, "note": genuine.signatures["name"]})
    cases: dict[str, tuple[str, str, Adopted, dict[str, LegacyCell]]] = {
        "ciphertext": ("R-ADOPT-2", "a byte of the ciphertext is changed", genuine,
                       {"letter": replace(letter, ciphertext=_flip(letter.ciphertext))}),
        "nonce": ("R-ADOPT-2", "a byte of the nonce is changed", genuine,
                  {"name": replace(name, nonce=_flip(name.nonce))}),
        "aad": ("R-ADOPT-2", "the old additional data is left out", genuine,
                {"letter": replace(letter, aad=b"")}),
        "other-content": ("R-ADOPT-2", "another ciphertext of the old application", genuine,
                          {"name": other}),
        "swapped": ("R-ADOPT-2", "two columns are swapped", genuine, swapped),
        "renamed": ("R-ADOPT-2", "a signature stands under another column's name", moved,
                    {"note": name}),
        "unsigned": ("R-ADOPT-2", "a column that was not signed", genuine, {"note": name}),
        "context": ("R-ADOPT-2", "signed for another row", _adopted(forge, context=ELSEWHERE),
                    {"name": name}),
        "foreign": ("R-ADOPT-2", "somebody else signed", _adopted(forge, writer=STRANGER),
                    {"name": name}),
        "origin": ("R-ADOPT-2", "the origin is another than the signed one",
                   replace(genuine, origin=DekOrigin.HOST), {"name": name}),
        "dek": ("R-ADOPT-3", "signed, but under another DEK than O's",
                _adopted(forge, cells={"name": other}), {"name": other}),
        "outer": ("R-ADOPT-3", "a byte of O is changed",
                  replace(genuine, head=replace(head, outer=_flip(head.outer))), {"name": name}),
    }  # fmt: skip
    for case, (requirement, why, adopted, asked) in cases.items():
        given = _given(forge, encode_adopted(adopted), asked)
        yield Vector(f"adopted-bad-{case}", "open-adopted", NOT_AUTHENTIC, requirement, why, given)


def _forms(forge: Forge) -> Iterator[Vector]:
    cells = old_cells(forge.dek)
    raw = encode_adopted(_adopted(forge))
    items = cbor.decode(raw[4:])
    signed = items[4]

    def with_item(at: int, item: Any) -> bytes:
        return raw[:4] + cbor.encode([*items[:at], item, *items[at + 1 :]])

    cases: dict[str, tuple[str, str, bytes]] = {
        "version": (UNKNOWN, "version 2", b"TWA\x02" + raw[4:]),
        "magic": (MALFORMED, "the magic of a row", b"TWH\x01" + raw[4:]),
        "truncated": (MALFORMED, "the last byte is missing", raw[:-1]),
        "no-origin": (MALFORMED, "origin 0", with_item(3, 0)),
        "origin-3": (MALFORMED, "origin 3", with_item(3, 3)),
        "no-column": (MALFORMED, "no column at all", with_item(4, [])),
        "order": (MALFORMED, "columns in another order", with_item(4, signed[::-1])),
        "twice": (MALFORMED, "a column twice", with_item(4, [signed[0], *signed])),
        "nameless": (MALFORMED, "a column without a name", with_item(4, [["", signed[0][1]]])),
        "signature": (MALFORMED, "a signature of 63 bytes", with_item(4, [["name", bytes(63)]])),
        "items": (MALFORMED, "an item too many", raw[:4] + cbor.encode([*items, 0])),
    }
    for case, (expect, why, head) in cases.items():
        given = _given(forge, head, {"name": cells["name"]})
        yield Vector(f"adopted-form-{case}", "open-adopted", expect, "R-ADOPT-1", why, given)


def _mixed(recording: Recording, forge: Forge) -> Iterator[Vector]:
    """Native content and adopted content do not pass for each other."""
    cells = {"name": old_cells(forge.dek)["name"]}
    genuine = _adopted(forge)
    native = replace(forge, layout=Layout.ROW).head()

    def with_core(suite: int, layout: int) -> Adopted:
        raw = cbor.encode(["twinlock/v1/core", suite, forge.dek_id, layout, WRITER.kid])
        head = replace(genuine.head, core=replace(genuine.head.core, raw=raw))
        return replace(genuine, head=head)

    adopted_cases = {
        "native-row": ("a head whose core says row", replace(genuine, head=native)),
        "native-suite": ("content suite 1 in the layout of adopted rows", with_core(1, 4)),
        "native-layout": ("content suite 2 in the layout of rows", with_core(2, 2)),
    }
    for case, (why, adopted) in adopted_cases.items():
        given = _given(forge, encode_adopted(adopted), cells)
        yield Vector(f"adopted-{case}", "open-adopted", MALFORMED, "R-ADOPT-4", why, given)
    row = Forge(recording, [WARD], OuterSuite.TOKEN_AES, Layout.ROW, ROW_CONTEXT, "row or adopted")
    cell = envelope.encode_cell(row.head(), row.field(b"Weber", "name"))
    for case, why, head in (
        ("core", "a row whose core says adopted", replace(row, layout=Layout.ADOPTED).head()),
        ("suite", "a row with content suite 2", with_core(2, 2).head),
    ):
        given = {
            **_given(forge, envelope.encode_row_head(head), {}),
            "cells": {"name": cell.hex()},
        }
        yield Vector(f"row-adopted-{case}", "open-row", MALFORMED, "R-ADOPT-4", why, given)


def _flip(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]
