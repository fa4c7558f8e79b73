"""CBOR, contexts, keys from seeds, signatures, HPKE: what every other format stands on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twinlock.core import cbor
from twinlock.core.primitives import (
    Kem,
    aes_key_wrap,
    kem_key_from_seed,
    key_id,
    signing_key_from_seed,
)
from twinlock.core.secret import Secret
from vectors.forge import DEPLOYMENT, STRANGER, WRITER
from vectors.form import OK, Vector
from vectors.recording import Recording, expand

MALFORMED = "format.malformed"

CBOR: dict[str, tuple[str, str, str, str]] = {
    "all-types": (
        OK, "R-CBOR-1", "every type that is used",
        "87 00 20 1bffffffffffffffff 4100 6161 80 83f4f5f6",
    ),
    "six-deep": (OK, "R-CBOR-4", "the deepest nesting that is accepted", "818181818180"),
    "empty": (MALFORMED, "R-CBOR-2", "nothing at all", ""),
    "not-an-array": (MALFORMED, "R-CBOR-2", "a number outside an array", "01"),
    "trailing": (MALFORMED, "R-CBOR-2", "a byte after the end", "8000"),
    "truncated": (MALFORMED, "R-CBOR-2", "a text that ends too early", "816261"),
    "long-number": (MALFORMED, "R-CBOR-2", "23 in two bytes", "811817"),
    "long-number-2": (MALFORMED, "R-CBOR-2", "255 in three bytes", "811900ff"),
    "long-number-4": (MALFORMED, "R-CBOR-2", "65535 in five bytes", "811a0000ffff"),
    "long-number-8": (MALFORMED, "R-CBOR-2", "2^32-1 in nine bytes", "811b00000000ffffffff"),
    "long-length": (MALFORMED, "R-CBOR-2", "a length of 1 in two bytes", "81580100"),
    "long-true": (MALFORMED, "R-CBOR-2", "true in two bytes", "81f815"),
    "indefinite-array": (MALFORMED, "R-CBOR-3", "an indefinite array", "9fff"),
    "indefinite-bytes": (MALFORMED, "R-CBOR-3", "an indefinite byte string", "815f4100ff"),
    "map": (MALFORMED, "R-CBOR-3", "a map", "81a0"),
    "tag": (MALFORMED, "R-CBOR-3", "a tagged text", "81c06161"),
    "bignum": (MALFORMED, "R-CBOR-3", "2^64 as a bignum", "81c249010000000000000000"),
    "float": (MALFORMED, "R-CBOR-3", "1.0 in half precision", "81f93c00"),
    "undefined": (MALFORMED, "R-CBOR-3", "undefined", "81f7"),
    "seven-deep": (MALFORMED, "R-CBOR-4", "seven arrays deep", "81818181818180"),
    "not-utf8": (MALFORMED, "R-CBOR-2", "text that is not UTF-8", "8162c328"),
    "surrogate": (MALFORMED, "R-CBOR-2", "text that encodes a lone surrogate", "8163eda080"),
    "claimed-array": (MALFORMED, "R-CBOR-4", "2^63 claimed items", "9b8000000000000000"),
    "claimed-bytes": (MALFORMED, "R-CBOR-4", "2^64-1 claimed bytes", "815bffffffffffffffff"),
}  # fmt: skip

CONTEXTS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "number": (OK, "R-CTX-2", "a number is 8 bytes, big-endian", {"record": {"number": 4711}}),
    "uuid": (
        OK, "R-CTX-2", "a UUID is its 16 bytes",
        {"record": {"uuid": "00112233-4455-6677-8899-aabbccddeeff"}},
    ),
    "text": (OK, "R-CTX-2", "text is UTF-8 of NFC", {"record": {"text": "Zürich 7"}}),
    "bytes": (OK, "R-CTX-2", "bytes are as they are", {"record": {"bytes": "00ff"}}),
    "tuple": (
        OK, "R-CTX-2", "a composite key is an array of canonical bytes",
        {"record": {"tuple": [{"number": 7}, {"text": "a"}]}},
    ),
    "row": (OK, "R-CTX-4", "no column stands for the whole row", {"column": None}),
    "version-zero": (OK, "R-CTX-6", "version 0 is not the absence of one", {"version": 0}),
    "version-largest": (OK, "R-CTX-6", "the largest version", {"version": 2**63 - 1}),
    "tenant-and-purpose": (
        OK, "R-CTX-1", "every field is used", {"tenant": "nord", "purpose": "mail", "version": 3},
    ),
    "not-nfc": ("context.not-nfc", "R-CTX-3", "a decomposed letter", {"table": "Zu\u0308rich"}),
    "record-not-nfc": (
        "context.not-nfc", "R-CTX-3", "a decomposed letter in the record id",
        {"record": {"text": "Zu\u0308rich"}},
    ),
    "no-table": ("context.incomplete", "R-CTX-1", "an empty table", {"table": ""}),
    "reserved": ("context.reserved", "R-CTX-4", "a column called *row", {"column": "*row"}),
    "negative": ("context.record", "R-CTX-2", "a negative number", {"record": {"number": -1}}),
    "empty-record": ("context.record", "R-CTX-2", "an empty text", {"record": {"text": ""}}),
    "negative-version": ("context.version", "R-CTX-6", "a negative version", {"version": -1}),
}  # fmt: skip


def vectors(recording: Recording) -> Iterator[Vector]:
    """Yield the family's vectors."""
    for name, (expect, requirement, why, message) in CBOR.items():
        raw = bytes.fromhex(message)
        yield Vector(
            f"cbor-{name}", "decode-cbor", expect, requirement, why, {"message": raw.hex()},
            {"message": raw.hex()} if expect == OK else None,
        )  # fmt: skip
    yield from _contexts()
    yield from _keys()
    yield from _signatures()
    yield from _hpke(recording)
    yield from _key_wrap()


def _contexts() -> Iterator[Vector]:
    usual = {
        "deployment": DEPLOYMENT.hex(), "tenant": "", "table": "patient",
        "record": {"text": "4711"}, "column": "diagnosis", "purpose": "", "version": None,
    }  # fmt: skip
    for name, (expect, requirement, why, change) in CONTEXTS.items():
        given = {**usual, **change}
        output = {"context": _context(given).hex()} if expect == OK else None
        yield Vector(f"context-{name}", "encode-context", expect, requirement, why, given, output)


def _context(given: dict[str, Any]) -> bytes:
    return cbor.encode(
        [
            "twinlock/v1/ctx",
            bytes.fromhex(given["deployment"]),
            given["tenant"],
            given["table"],
            _record(given["record"]),
            "*row" if given["column"] is None else given["column"],
            given["purpose"],
            given["version"],
        ]
    )


def _record(record: dict[str, Any]) -> bytes:
    ((kind, value),) = record.items()
    match kind:
        case "number":
            return int(value).to_bytes(8, "big")
        case "text":
            return str(value).encode()
        case "tuple":
            return cbor.encode([_record(part) for part in value])
        case _:
            return bytes.fromhex(value.replace("-", ""))


def _keys() -> Iterator[Vector]:
    for kem in Kem:
        for number in range(2):
            seed = expand(f"key {number}", 32)
            public = kem_key_from_seed(kem, Secret(seed)).public
            yield Vector(
                f"key-kem-{int(kem):04x}-{number}", "derive-kem-key", OK, "R-KEY-4",
                f"a key of KEM {int(kem):#06x} comes from its seed",
                {"kem": int(kem), "seed": seed.hex()},
                {"public": public.hex(), "kid": key_id(public).hex()},
            )  # fmt: skip
    seed = expand("key signing", 32)
    public = signing_key_from_seed(Secret(seed)).public
    yield Vector(
        "key-signing", "derive-signing-key", OK, "R-SIG-1",
        "a signing key comes from its seed as a P-256 KEM key does",
        {"seed": seed.hex()}, {"public": public.hex(), "kid": key_id(public).hex()},
    )  # fmt: skip


def _signatures() -> Iterator[Vector]:
    message = b"signed"
    good = WRITER.sign(message)
    cases = {
        "good": (OK, "r || s with s in the lower half", message, good),
        "high-s": ("data.not-authentic", "s in the upper half", message, WRITER.sign_high(message)),
        "other-message": ("data.not-authentic", "another message", b"Signed", good),
        "other-key": ("data.not-authentic", "another key", message, STRANGER.sign(message)),
        "zero-r": ("data.not-authentic", "r is zero", message, bytes(32) + good[32:]),
        "zero-s": ("data.not-authentic", "s is zero", message, good[:32] + bytes(32)),
        "short": ("data.not-authentic", "63 bytes", message, good[:63]),
    }
    for name, (expect, why, signed, signature) in cases.items():
        yield Vector(
            f"signature-{name}", "verify-signature", expect, "R-SIG-1", why,
            {
                "public": WRITER.public.hex(),
                "message": signed.hex(),
                "signature": signature.hex(),
            },
            {} if expect == OK else None,
        )  # fmt: skip


def _hpke(recording: Recording) -> Iterator[Vector]:
    for kem in Kem:
        seed = expand("hpke", 32)
        sealed = recording.hpke(kem, seed, b"info", b"plaintext")
        changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        cases = {
            "good": (OK, "enc || ct opens", sealed, b"info"),
            "other-info": ("data.not-authentic", "another info", sealed, b"other"),
            "changed-tag": ("data.not-authentic", "a changed tag", changed, b"info"),
            "changed-enc": (
                "data.not-authentic",
                "a changed enc",
                sealed[:5] + bytes([sealed[5] ^ 1]) + sealed[6:],
                b"info",
            ),
            "short": ("data.not-authentic", "shorter than enc", sealed[:40], b"info"),
        }  # fmt: skip
        for name, (expect, why, block, info) in cases.items():
            yield Vector(
                f"hpke-{int(kem):04x}-{name}", "open-hpke", expect, "R-KEY-3", why,
                {"kem": int(kem), "seed": seed.hex(), "info": info.hex(), "sealed": block.hex()},
                {"plaintext": b"plaintext".hex()} if expect == OK else None,
            )  # fmt: skip


def _key_wrap() -> Iterator[Vector]:
    kek, key = expand("kek", 32), expand("wrapped key", 32)
    wrapped = aes_key_wrap(kek, key)
    cases = {
        "good": (OK, "32 bytes under 32 bytes are 40", wrapped),
        "changed": ("data.not-authentic", "a changed byte", bytes([wrapped[0] ^ 1]) + wrapped[1:]),
        "short": ("data.not-authentic", "32 bytes", wrapped[:32]),
    }
    for name, (expect, why, block) in cases.items():
        yield Vector(
            f"key-wrap-{name}", "unwrap-key", expect, "R-KEY-1", why,
            {"kek": kek.hex(), "wrapped": block.hex()},
            {"key": key.hex()} if expect == OK else None,
        )  # fmt: skip
