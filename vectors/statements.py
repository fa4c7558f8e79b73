"""Statements of the identity key, the messages of the ceremony, and the audit chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twinlock.core import audit, cbor
from twinlock.core.ports import KeyRole, OuterSuite, TokenKey, TransportKey
from twinlock.core.primitives import sha256
from twinlock.core.release import (
    ReleaseItem,
    ReleaseMessage,
    ShareItem,
    ShareMessage,
    release_digest,
    share_info,
)
from twinlock.core.request import GroupHead, RequestItem, RequestMessage
from twinlock.core.statements import token_key_statement, transport_statement
from vectors.content import WARD
from vectors.forge import CONTEXT, DEPLOYMENT, STRANGER, Forge
from vectors.form import OK, Vector
from vectors.recording import Recording, Signer, expand, rsa_key, spki

NOW = 1_800_000_000
IDENTITY = Signer("identity")
LOG = Signer("log")
MEMBER = Signer("member")
NONCE = expand("agent nonce", 32)
NOT_AUTHENTIC = "data.not-authentic"


def vectors(recording: Recording) -> Iterator[Vector]:
    """Yield the family's vectors."""
    yield from _transport()
    yield from _directory()
    yield from _messages(recording)
    yield from _audit()


def _transport() -> Iterator[Vector]:
    key = TransportKey(expand("transport", 16), spki(rsa_key("transport")), "sha256")

    def stated(begin: int = NOW, end: int = NOW + 3600, nonce: bytes = NONCE,
               deployment: bytes = DEPLOYMENT, public: bytes = key.public) -> bytes:  # fmt: skip
        shown = TransportKey(key.kid, public, key.oaep_hash)
        return transport_statement(deployment, shown, begin, end, nonce)

    cases: dict[str, tuple[str, str, str, bytes, Signer, Signer]] = {
        "good": (OK, "R-STMT-2", "a transport key for this agent", stated(), IDENTITY, IDENTITY),
        "stranger": (NOT_AUTHENTIC, "R-STMT-2", "signed by another key", stated(), STRANGER,
                     IDENTITY),
        "identity": ("transport.identity", "R-STMT-2", "another token than the pinned one",
                     stated(), STRANGER, STRANGER),
        "nonce": ("transport.nonce", "R-STMT-2", "stated for another session",
                  stated(nonce=bytes(32)), IDENTITY, IDENTITY),
        "deployment": (NOT_AUTHENTIC, "R-STMT-2", "of another deployment",
                       stated(deployment=bytes(16)), IDENTITY, IDENTITY),
        "skew": (OK, "R-STMT-3", "a clock 2 minutes behind", stated(begin=NOW + 120), IDENTITY,
                 IDENTITY),
        "early": ("transport.expired", "R-STMT-3", "signed in advance", stated(begin=NOW + 121),
                  IDENTITY, IDENTITY),
        "late": ("transport.expired", "R-STMT-3", "expired",
                 stated(begin=NOW - 3600, end=NOW - 121), IDENTITY, IDENTITY),
        "long": ("transport.expired", "R-STMT-3", "living longer than 2 hours",
                 stated(end=NOW + 7201), IDENTITY, IDENTITY),
        "ec": ("key.malformed", "R-KEY-7", "a P-256 key in place of RSA",
               stated(public=LOG.spki), IDENTITY, IDENTITY),
        "token-key": ("format.version", "R-CBOR-5", "a statement about another kind of key",
                      token_key_statement(DEPLOYMENT, TokenKey(KeyRole.LOG, bytes(16), LOG.spki),
                                          "1", NOW, NOW), IDENTITY, IDENTITY),
    }  # fmt: skip
    for name, (expect, requirement, why, raw, signer, sent) in cases.items():
        given = {
            "statement": raw.hex(),
            "signature": signer.sign(raw).hex(),
            "identity": sent.spki.hex(),
            "fingerprint": sha256(IDENTITY.spki).hex(),
            "deployment": DEPLOYMENT.hex(),
            "agent_nonce": NONCE.hex(),
            "now": NOW,
        }
        output = {"kid": key.kid.hex(), "public": key.public.hex(), "oaep_hash": "sha256"}
        yield Vector(
            f"transport-{name}", "verify-transport", expect, requirement, why, given,
            output if expect == OK else None,
        )  # fmt: skip


def _directory() -> Iterator[Vector]:
    def stated(role: KeyRole, public: bytes, suite: OuterSuite | None = None, age: int = 10,
               by: Signer = IDENTITY, kid: str = "") -> tuple[bytes, bytes]:  # fmt: skip
        key = TokenKey(role, expand(f"kid {role.value} {suite} {kid}", 16), public, suite)
        raw = token_key_statement(DEPLOYMENT, key, "4711", NOW - age, NOW + 1000)
        return raw, by.sign(raw)

    root = stated(KeyRole.IDENTITY, IDENTITY.spki)
    log = stated(KeyRole.LOG, LOG.spki)
    wrapping = stated(KeyRole.WRAPPING, spki(rsa_key("wrapping")), OuterSuite.RSA_OAEP_SHA256)
    newer = stated(KeyRole.LOG, STRANGER.spki, age=5, kid="newer")
    replaced = (log[0].replace(LOG.spki, STRANGER.spki), log[1])
    cases: dict[str, tuple[str, str, list[tuple[bytes, bytes]]]] = {
        "good": (OK, "the key of each role", [root, log, wrapping]),
        "newest": (OK, "the newest key of a role is current", [root, log, newer, wrapping]),
        "verifier": (OK, "a symmetric key that is no wrapping key",
                     [root, log, wrapping, stated(KeyRole.VERIFIER, b"")]),
        "foreign": ("directory.identity", "no statement of the pinned identity", [log, wrapping]),
        "replaced": (NOT_AUTHENTIC, "a key was replaced", [root, replaced, wrapping]),
        "stranger": (NOT_AUTHENTIC, "a stranger stated the log key",
                     [root, stated(KeyRole.LOG, LOG.spki, by=STRANGER), wrapping]),
    }  # fmt: skip
    for name, (expect, why, rows) in cases.items():
        current = newer if newer in rows else log
        output = {
            "log": cbor.decode(current[0])[3].hex(),
            "wrapping/2": cbor.decode(wrapping[0])[3].hex(),
        }
        yield Vector(
            f"directory-{name}", "verify-directory", expect,
            "R-STMT-6" if name == "newest" else "R-STMT-5", why,
            {
                "statements": [
                    {"statement": raw.hex(), "signature": signature.hex()}
                    for raw, signature in rows
                ],
                "fingerprint": sha256(IDENTITY.spki).hex(),
                "deployment": DEPLOYMENT.hex(),
                "now": NOW,
            },
            output if expect == OK else None,
        )  # fmt: skip


def shown(value: Any) -> Any:
    """A message's fields as JSON: bytes as hex, tuples as arrays, dataclasses as objects."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [shown(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: shown(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def _messages(recording: Recording) -> Iterator[Vector]:
    head = Forge(recording, [WARD]).head()
    request = RequestMessage(
        DEPLOYMENT, expand("request", 16), expand("weber", 16), expand("session", 32),
        "ward round", NOW + 60, expand("transport", 16), sha256(spki(rsa_key("transport"))),
        (GroupHead(WARD.target.group_id, 3, expand("head", 32)),),
        (RequestItem(head.core.raw, CONTEXT, head.header.raw),),
    )  # fmt: skip
    digest = sha256(request.encode())
    release = ReleaseMessage(
        DEPLOYMENT, digest, request.member_id, MEMBER.kid, request.transport_kid,
        request.transport_digest, NOW, 8, expand("previous", 32), expand("audit", 32),
        expand("block", 256),
        (ReleaseItem(0, head.core.dek_id, expand("lock", 32), expand("wrapped", 40)),),
    )  # fmt: skip
    share = ShareMessage(
        DEPLOYMENT, digest, request.member_id, expand("requester", 16), expand("helper", 16),
        MEMBER.kid, NOW, (ShareItem(0, 1, 1, expand("share", 113)),),
    )  # fmt: skip
    yield Vector(
        "message-request", "encode-request", OK, "R-REQ-2", "a request, and its hash",
        shown(request), {"message": request.encode().hex(), "digest": digest.hex()},
    )  # fmt: skip
    yield from _signed("release", "R-REL-1", release)
    yield from _signed("share", "R-SHARE-1", share)
    yield Vector(
        "message-share-info", "encode-share-info", OK, "R-SHARE-2", "the HPKE info of one share",
        {"request_digest": digest.hex(), "requester_kid": share.requester_kid.hex(),
         "position": 0, "lock": 1, "index": 1},
        {"info": share_info(digest, share.requester_kid, (0, 1, 1)).hex()},
    )  # fmt: skip


def _signed(
    kind: str, requirement: str, message: ReleaseMessage | ShareMessage
) -> Iterator[Vector]:
    raw = message.encode()
    signature = MEMBER.sign(raw)
    good = cbor.encode(["twinlock/v1/signed", raw, signature])
    yield Vector(
        f"message-{kind}", f"verify-{kind}", OK, requirement, f"a signed {kind}",
        {"signed": good.hex(), "public": MEMBER.public.hex()},
        {"fields": shown(message), "digest": release_digest(good).hex()},
    )  # fmt: skip
    items = cbor.decode(raw)
    over = [*items[:-1], [[1000, *items[-1][0][1:]]]]
    bad: Mapping[str, tuple[str, str, bytes, bytes]] = {
        "stranger": (NOT_AUTHENTIC, "signed by somebody else", raw, STRANGER.sign(raw)),
        "garbage": (NOT_AUTHENTIC, "not signed, and no message: the signature is checked first",
                    b"\xff", signature),
        "version": ("format.version", "signed, of version 2",
                    cbor.encode(["twinlock/v2/x", *items[1:]]), b""),
        "position": ("format.malformed", "signed, with a position of 1000", cbor.encode(over),
                     b""),
    }  # fmt: skip
    for name, (expect, why, content, made) in bad.items():
        signed = cbor.encode(["twinlock/v1/signed", content, made or MEMBER.sign(content)])
        yield Vector(
            f"message-{kind}-{name}", f"verify-{kind}", expect,
            "R-REL-3" if expect == NOT_AUTHENTIC else "R-REL-4", why,
            {"signed": signed.hex(), "public": MEMBER.public.hex()},
        )  # fmt: skip


def _audit() -> Iterator[Vector]:
    lines: list[bytes] = []
    previous = audit.GENESIS
    for seq in range(4):
        line = audit.AuditLine(
            seq, previous, NOW + seq, expand(f"digest {seq}", 32), b"r", "opened"
        )
        lines.append(line.encode())
        previous = sha256(lines[-1])
    heads = {3: previous}
    edited = cbor.decode(lines[1])
    edited[6] = "refused"
    cases: dict[str, tuple[str, str, list[bytes], int]] = {
        "good": (OK, "four lines and a signed head", lines, 0),
        "deleted": ("audit.broken", "the second line is missing", [lines[0], *lines[2:]], 1),
        "edited": ("audit.broken", "the second line was edited: the third does not follow",
                   [lines[0], cbor.encode(edited), *lines[2:]], 2),
        "swapped": ("audit.broken", "two lines are swapped",
                    [lines[0], lines[2], lines[1], lines[3]], 1),
        "damaged": ("audit.broken", "the second line is cut short",
                    [lines[0], lines[1][:-1], *lines[2:]], 1),
        "truncated": ("audit.truncated", "the last line is cut off", lines[:3], 3),
    }  # fmt: skip
    for name, (expect, why, given, named) in cases.items():
        yield Vector(
            f"audit-{name}", "walk-audit", expect,
            "R-AUDIT-2" if expect == OK else "R-AUDIT-4", why,
            {
                "lines": [raw.hex() for raw in given],
                "heads": {str(seq): digest.hex() for seq, digest in heads.items()},
                **({} if expect == OK else {"named_line": named}),
            },
            {"hashes": [sha256(raw).hex() for raw in given]} if expect == OK else None,
        )  # fmt: skip
