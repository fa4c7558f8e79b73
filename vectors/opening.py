"""Values that must not open: one failure each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from twinlock.core import cbor
from twinlock.core.envelope import Layout
from twinlock.core.ports import OuterSuite
from vectors.content import OFFICER, PQ_WARD, WARD, given_value
from vectors.forge import CONTEXT, ELSEWHERE, ROW_CONTEXT, STRANGER, WRITER, Forge, Group, rebuilt
from vectors.form import Vector
from vectors.recording import Recording, expand

NOT_AUTHENTIC = "data.not-authentic"
MALFORMED = "format.malformed"
UNKNOWN = "suite.unknown"


def flip(at: int) -> Callable[[bytes], bytes]:
    """Change one byte."""

    def change(value: bytes) -> bytes:
        changed = bytearray(value)
        changed[at] ^= 1
        return bytes(changed)

    return change


def vectors(recording: Recording) -> Iterator[Vector]:
    """Yield the family's vectors."""
    for name, (requirement, why, forge, held) in {
        **_bad_locks(recording),
        **_bad_outer(recording),
        **_bad_content(recording),
    }.items():
        given = given_value(forge.value(), held, forge.suite)
        yield Vector(f"bad-{name}", "open-value", NOT_AUTHENTIC, requirement, why, given)
    yield from _moved(recording)
    yield from _long(recording)
    yield from _forms(recording)


Case = tuple[str, str, Forge, Sequence[Group]]


def _bad_locks(recording: Recording) -> dict[str, Case]:
    one = Forge(recording, [WARD], OuterSuite.TOKEN_AES)
    both = Forge(recording, [(WARD, OFFICER)], OuterSuite.TOKEN_AES)
    pq = Forge(recording, [PQ_WARD], OuterSuite.TOKEN_AES)
    return {
        "rc": (
            "R-LOCK-5", "rc commits to another release key", one.bend(rc=flip(0)), [WARD],
        ),
        "release-key": (
            "R-LOCK-5", "one of two groups is given another release key",
            Forge(recording, [WARD, OFFICER], OuterSuite.TOKEN_AES).bend(
                release_key_for_officer=flip(0)
            ),
            [OFFICER],
        ),
        "lock-enc": ("R-LOCK-7", "a byte of enc is changed", one.bend(sealed=flip(40)), [WARD]),
        "lock-tag": ("R-LOCK-7", "a byte of the tag is changed", one.bend(sealed=flip(-1)), [WARD]),
        "lock-tag-pq": (
            "R-LOCK-7", "a byte of ML-KEM's ciphertext is changed", pq.bend(sealed=flip(500)),
            [PQ_WARD],
        ),
        "lock-context": (
            "R-LOCK-7", "the lock was made for another record",
            one.bend(lock_context=lambda _: ELSEWHERE), [WARD],
        ),
        "lock-group": (
            "R-LOCK-7", "the lock was made under another group's id",
            one.bend(lock_target=lambda t: replace(t, group_id=expand("other", 32))), [WARD],
        ),
        "lock-epoch": (
            "R-LOCK-7", "the lock was made under another epoch",
            one.bend(lock_target=lambda t: replace(t, epoch=9)), [WARD],
        ),
        "lock-public": (
            "R-LOCK-7", "the lock names the hash of another public key",
            one.bend(lock_target=lambda t: replace(t, public=WRITER.public)), [WARD],
        ),
        "share-commitment": (
            "R-LOCK-6", "the second share does not match its commitment",
            both.bend(share_commitment_1=flip(0)), [WARD, OFFICER],
        ),
        "kem": (
            "R-LOCK-9", "the group's key of this epoch is of another KEM", one, [PQ_WARD],
        ),
    }  # fmt: skip


def _bad_outer(recording: Recording) -> dict[str, Case]:
    oaep = Forge(recording, [WARD])
    aes = Forge(recording, [WARD], OuterSuite.TOKEN_AES)
    cases: dict[str, Case] = {}
    for name, forge in {"oaep": oaep, "aes": aes}.items():
        cases[f"{name}-binding"] = (
            "R-OUTER-2", "O is bound to something else", forge.bend(binding=lambda b: b + b"x"),
            [WARD],
        )  # fmt: skip
        cases[f"{name}-byte"] = (
            "R-OUTER-5", "a byte of O is changed", forge.bend(outer=flip(20)), [WARD],
        )  # fmt: skip
        cases[f"{name}-wrapped"] = (
            "R-OUTER-1", "W is wrapped under another release key",
            forge.bend(wrapped_under=flip(0)), [WARD],
        )  # fmt: skip
    cases["oaep-long"] = (
        "R-OUTER-3", "the OAEP plaintext has 73 bytes",
        oaep.bend(oaep_plaintext=lambda p: p + b"\x00"), [WARD],
    )  # fmt: skip
    cases["oaep-short"] = (
        "R-OUTER-3", "the OAEP plaintext is W alone", oaep.bend(oaep_plaintext=lambda p: p[:40]),
        [WARD],
    )  # fmt: skip
    return cases


def _bad_content(recording: Recording) -> dict[str, Case]:
    one = Forge(recording, [WARD], OuterSuite.TOKEN_AES)
    return {
        "zeros": (
            "R-SEG-5", "the zero bytes in front are not zero", one.bend(zeros=flip(31)), [WARD],
        ),
        "last": (
            "R-SEG-2", "the only segment is not marked as the last",
            one.bend(last=lambda _: False), [WARD],
        ),
        "column": (
            "R-SEG-3", "the segment was made for another column",
            one.bend(aad_column=lambda _: "name"), [WARD],
        ),
        "tag": (
            "R-SEG-6", "a byte of the tag is changed and the writer signed it so",
            one.bend(parts=lambda p: [flip(-1)(p[0])]), [WARD],
        ),
        "signature": (
            "R-SIG-2", "the signature is over another message",
            one.bend(sign=lambda sign: lambda m: sign(m + b"x")), [WARD],
        ),
        "signature-high": (
            "R-SIG-1", "the signature is in its other form",
            one.bend(sign=lambda _: WRITER.sign_high), [WARD],
        ),
        "author": (
            "R-SIG-3", "somebody else signed", one.bend(sign=lambda _: STRANGER.sign), [WARD],
        ),
    }  # fmt: skip


def _moved(recording: Recording) -> Iterator[Vector]:
    forge = Forge(recording, [WARD], OuterSuite.TOKEN_AES)
    sealed = forge.value()
    moved: dict[str, tuple[str, str, dict[str, Any]]] = {
        "record": ("R-CTX-4", "asked for another record", {"context": ELSEWHERE}),
        "row-scope": ("R-CTX-4", "asked for the whole row", {"context": ROW_CONTEXT}),
        "column": ("R-SIG-2", "asked for another column", {"column": "name"}),
    }
    for name, (requirement, why, change) in moved.items():
        yield Vector(
            f"moved-{name}", "open-value", NOT_AUTHENTIC, requirement, why,
            given_value(sealed, [WARD], forge.suite, **change),
        )  # fmt: skip
    other = Forge(recording, [WARD], OuterSuite.TOKEN_AES, seed="other dek").value()
    items = cbor.decode(other[4:])
    for at, part in enumerate(["core", "header", "outer", "prefix", "ciphertext", "signature"]):
        yield Vector(
            f"mixed-{part}", "open-value", NOT_AUTHENTIC, "R-OUTER-2",
            f"the {part} comes from another value of the same record",
            given_value(rebuilt(sealed, at, items[at]), [WARD], forge.suite),
        )  # fmt: skip


def _long(recording: Recording) -> Iterator[Vector]:
    forge = Forge(recording, [WARD], OuterSuite.TOKEN_AES, seed="long")
    plaintext = expand("long", 16352 + 16384 + 10)
    rearranged: dict[str, tuple[str, Callable[[list[bytes]], list[bytes]]]] = {
        "swapped": ("two segments are swapped", lambda p: [p[1], p[0], p[2]]),
        "dropped": ("the middle segment is dropped", lambda p: [p[0], p[2]]),
        "truncated": ("the last segment is dropped", lambda p: p[:2]),
        "repeated": ("the first segment is repeated", lambda p: [p[0], *p]),
    }
    for name, (why, change) in rearranged.items():
        sealed = forge.bend(parts=change).value(plaintext)
        yield Vector(
            f"segments-{name}", "open-value", NOT_AUTHENTIC, "R-SEG-6",
            why + ", and the writer signed it so", given_value(sealed, [WARD], forge.suite),
        )  # fmt: skip
    for name, size in {"no-commitment": 47, "empty-last": 16400 + 16}.items():
        sealed = rebuilt(forge.value(b""), 4, bytes(size))
        yield Vector(
            f"segments-{name}", "open-value", MALFORMED, "R-SEG-4",
            f"no content has a ciphertext of {size} bytes",
            given_value(sealed, [WARD], forge.suite),
        )  # fmt: skip


def _forms(recording: Recording) -> Iterator[Vector]:
    forge = Forge(recording, [WARD], OuterSuite.TOKEN_AES)
    sealed = forge.value()
    core = cbor.decode(forge.head().core.raw)
    header = cbor.decode(forge.head().header.raw)
    lock = header[3][0]

    def with_core(at: int, item: Any) -> bytes:
        return rebuilt(sealed, 0, cbor.encode([*core[:at], item, *core[at + 1 :]]))

    def with_header(at: int, item: Any) -> bytes:
        return rebuilt(sealed, 1, cbor.encode([*header[:at], item, *header[at + 1 :]]))

    def with_lock(at: int, item: Any) -> bytes:
        return with_header(3, [[*lock[:at], item, *lock[at + 1 :]]])

    row = Forge(recording, [WARD], OuterSuite.TOKEN_AES, layout=Layout.ROW)
    cases: dict[str, tuple[str, str, str, bytes]] = {
        "version": (UNKNOWN, "R-ENV-6", "version 2", b"TWL\x02" + sealed[4:]),
        "magic": (MALFORMED, "R-ENV-3", "another magic", b"TWX\x01" + sealed[4:]),
        "bare": (MALFORMED, "R-ENV-3", "no magic", sealed[4:]),
        "trailing": (MALFORMED, "R-CBOR-2", "a byte after the end", sealed + b"\x00"),
        "truncated": (MALFORMED, "R-CBOR-2", "the last byte is missing", sealed[:-1]),
        "content-suite": (UNKNOWN, "R-ENV-6", "content suite 3", with_core(1, 3)),
        "content-suite-true": (MALFORMED, "R-CBOR-6", "content suite true", with_core(1, True)),
        "layout": (UNKNOWN, "R-ENV-6", "layout 5", with_core(3, 5)),
        "layout-row": (
            MALFORMED, "R-ENV-3", "a value whose core says row",
            rebuilt(sealed, 0, row.head().core.raw),
        ),
        "core-label": ("format.version", "R-CBOR-5", "a core of version 2",
                       with_core(0, "twinlock/v2/core")),
        "dek-id": (MALFORMED, "R-ENV-1", "a DEK id of 15 bytes", with_core(2, bytes(15))),
        "outer-suite": (UNKNOWN, "R-ENV-6", "outer suite 4", with_header(1, 4)),
        "no-lock": (MALFORMED, "R-ENV-2", "no lock at all", with_header(3, [])),
        "17-locks": (MALFORMED, "R-ENV-2", "17 locks", with_header(3, [lock] * 17)),
        "lock-kind": (UNKNOWN, "R-ENV-6", "an unknown kind of lock", with_lock(0, "quorum")),
        "kem": (UNKNOWN, "R-ENV-6", "an unknown KEM", with_lock(3, 0x0020)),
        "epoch": (MALFORMED, "R-CBOR-6", "a negative epoch", with_lock(2, -1)),
        "one-share": (
            MALFORMED, "R-LOCK-4", "an AND lock of one group",
            with_header(3, [["all", [["share", *lock[1:], bytes(32)]]]]),
        ),
        "outer-short": (MALFORMED, "R-ENV-10", "O of 59 bytes", rebuilt(sealed, 2, bytes(59))),
        "prefix": (MALFORMED, "R-ENV-10", "a prefix of 8 bytes", rebuilt(sealed, 3, bytes(8))),
        "signature": (MALFORMED, "R-ENV-10", "a signature of 65 bytes",
                      rebuilt(sealed, 5, bytes(65))),
    }  # fmt: skip
    for name, (expect, requirement, why, raw) in cases.items():
        yield Vector(
            f"form-{name}", "open-value", expect, requirement, why,
            given_value(raw, [WARD], forge.suite, CONTEXT),
        )  # fmt: skip
