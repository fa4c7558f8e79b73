"""Puts envelopes together from their parts, so that one part at a time can be wrong.

Deliberately not ``Sealer``: it seals right, and never the same twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from twinlock.core import cbor, envelope, locks, segments
from twinlock.core.context import Context
from twinlock.core.envelope import AllLock, Field, GroupLock, Head, Layout, Lock, ShareLock
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import (
    Kem,
    aes_key_wrap,
    gcm_seal,
    kem_key_from_seed,
    sha256,
)
from twinlock.core.sealing import OAEP_HASH, outer_binding
from twinlock.core.secret import Secret
from vectors.recording import Recording, Signer, expand, rsa_key

DEPLOYMENT: Final = expand("deployment", 16)
CONTEXT: Final = Context(table="patient", column="diagnosis", record="4711", version=3).encode(
    DEPLOYMENT
)
ROW_CONTEXT: Final = Context(table="patient", record="4711", version=3).encode(DEPLOYMENT)
ELSEWHERE: Final = Context(table="patient", column="diagnosis", record="4712", version=3).encode(
    DEPLOYMENT
)
WRITER: Final = Signer("writer")
STRANGER: Final = Signer("stranger")
COLUMN: Final = "diagnosis"


@dataclass(frozen=True)
class Group:
    """A group's key of one epoch."""

    name: str
    kem: Kem = Kem.DHKEM_P256
    epoch: int = 0

    @property
    def seed(self) -> bytes:
        """The seed that its key is derived from."""
        return expand(f"group key {self.name} {self.epoch}", 32)

    @property
    def target(self) -> GroupTarget:
        """What a writer seals to."""
        public = kem_key_from_seed(self.kem, Secret(self.seed)).public
        return GroupTarget(expand(f"group {self.name}", 32), self.epoch, self.kem, public)

    def held(self) -> dict[str, Any]:
        """What a member of it holds, as a vector says it."""
        return {
            "group_id": self.target.group_id.hex(),
            "epoch": self.epoch,
            "kem": int(self.kem),
            "seed": self.seed.hex(),
        }


Way = Group | tuple[Group, ...]


def unchanged(value: Any) -> Any:
    """The change that changes nothing."""
    return value


@dataclass(frozen=True)
class Forge:
    """Makes one DEK and what is sealed under it. ``changes`` names parts to bend while making."""

    recording: Recording
    ways: Sequence[Way]
    suite: OuterSuite = OuterSuite.RSA_OAEP_SHA256
    layout: Layout = Layout.VALUE
    context: bytes = CONTEXT
    seed: str = "dek"
    changes: dict[str, Callable[[Any], Any]] = field(default_factory=dict)

    def _bent(self, part: str, value: Any) -> Any:
        return self.changes.get(part, unchanged)(value)

    @property
    def dek_id(self) -> bytes:
        """16 bytes."""
        return expand(self.seed + " id", 16)

    @property
    def release_key(self) -> bytes:
        """32 bytes."""
        return expand(self.seed + " release key", 32)

    @property
    def dek(self) -> bytes:
        """32 bytes."""
        return expand(self.seed + " dek", 32)

    def head(self) -> Head:
        """Core, lock header and O."""
        core = envelope.new_core(self.dek_id, self.layout, WRITER.kid)
        rc = self._bent("rc", locks.commit(Secret(self.release_key), self.dek_id))
        made = tuple(self._lock(core.raw, way, rc) for way in self.ways)
        header = envelope.new_header(rc, self.suite, expand("wrapping", 16), made)
        binding = self._bent("binding", outer_binding(core.raw, self.context, header))
        wrapped = aes_key_wrap(self._bent("wrapped under", self.release_key), self.dek)
        return Head(core, header, self._bent("outer", self._outer(wrapped, binding)))

    def _outer(self, wrapped: bytes, binding: bytes) -> bytes:
        if self.suite is OuterSuite.TOKEN_AES:
            nonce = expand(self.seed + " outer nonce", 12)
            return nonce + gcm_seal(expand("token wrapping", 32), nonce, wrapped, binding)
        plaintext = self._bent("oaep plaintext", wrapped + sha256(binding))
        return self.recording.oaep(rsa_key("wrapping"), OAEP_HASH[self.suite], plaintext)

    def _lock(self, core: bytes, way: Way, rc: bytes) -> Lock:
        if isinstance(way, Group):
            key = self._bent(f"release key for {way.name}", self.release_key)
            target = way.target
            return GroupLock(
                target.group_id, way.epoch, way.kem, self._sealed(core, way, 0, 1, rc, key)
            )
        shares = [expand(f"{self.seed} share {i}", 32) for i in range(len(way) - 1)]
        last = self.release_key
        for share in shares:
            last = bytes(a ^ b for a, b in zip(last, share, strict=True))
        made = []
        for index, (group, share) in enumerate(zip(way, [*shares, last], strict=True)):
            sealed = self._sealed(core, group, index, len(way), rc, share)
            sc = locks.commit_share(Secret(share), self.dek_id, index)
            made.append(
                ShareLock(
                    group.target.group_id,
                    group.epoch,
                    group.kem,
                    sealed,
                    self._bent(f"share commitment {index}", sc),
                )
            )
        return AllLock(tuple(made))

    def _sealed(
        self, core: bytes, group: Group, index: int, count: int, rc: bytes, secret: bytes
    ) -> bytes:
        target = self._bent("lock target", group.target)
        context = self._bent("lock context", self.context)
        info = locks.lock_info(core, context, target, index, count, rc)
        sealed = self.recording.hpke(group.kem, group.seed, info, secret)
        return bytes(self._bent("sealed", sealed))

    def field(self, plaintext: bytes, column: str = COLUMN) -> Field:
        """Encrypt and sign one value."""
        core = self.head().core.raw
        prefix = expand(f"{self.seed} prefix {column}", 7)
        zeros = self._bent("zeros", bytes(32))
        whole = zeros + plaintext
        cut = [whole[at : at + 16384] for at in range(0, len(whole), 16384)]
        parts = [
            gcm_seal(
                self.dek,
                segments.nonce(prefix, part, self._last(part, len(cut))),
                piece,
                segments.additional_data(
                    core,
                    self.context,
                    self._bent("aad column", column),
                    part,
                    self._last(part, len(cut)),
                ),
            )
            for part, piece in enumerate(cut)
        ]
        ciphertext = b"".join(self._bent("parts", parts))
        count = max(1, -(-len(ciphertext) // 16400))
        message = segments.signed_data(
            WRITER.kid, core, self.context, column, count, sha256(prefix, ciphertext)
        )
        return Field(prefix, ciphertext, self._bent("sign", WRITER.sign)(message))

    def _last(self, part: int, count: int) -> bool:
        return bool(self._bent("last", part == count - 1))

    def value(self, plaintext: bytes = b"I48.0 atrial fibrillation") -> bytes:
        """A self-contained value."""
        return envelope.encode_value(self.head(), self.field(plaintext))

    def bend(self, **changes: Callable[[Any], Any]) -> Forge:
        """The same with these parts bent; underscores stand for spaces."""
        named = {name.replace("_", " "): change for name, change in changes.items()}
        return replace(self, changes={**self.changes, **named})


def rebuilt(value: bytes, at: int, item: Any) -> bytes:
    """A value with one of its six items replaced."""
    items = cbor.decode(value[4:])
    items[at] = item
    return value[:4] + cbor.encode(items)
