"""The inner lock: the release key, sealed to groups (OR) or XOR-shared over several (AND).

Every lock seals the same release key under one commitment rc, so no two groups can be given
different keys. HPKE base mode, RFC 9180; its info binds the lock to core, context and group key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.envelope import AllLock, GroupLock, Lock, ShareLock
from twinlock.core.ports import Randomness
from twinlock.core.primitives import Kem, KemKey, equal, hmac_sha256, hpke_seal, sha256
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, not_authentic

_INFO: Final = "twinlock/v1/lock"
_COMMIT: Final = b"twinlock/v1/rk-commit"
_SHARE_COMMIT: Final = b"twinlock/v1/share-commit"


@dataclass(frozen=True, slots=True)
class GroupTarget:
    """A group's current key, from its verified log."""

    group_id: bytes
    epoch: int
    kem: Kem
    public: bytes


@dataclass(frozen=True, slots=True)
class AllTarget:
    """Several groups of which every one is needed."""

    groups: tuple[GroupTarget, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.groups) <= 8:
            raise CallerError(
                "lock.groups",
                "An AND lock takes 2 to 8 groups.",
                hint="For one group, pass it alone.",
            )
        if len({group.group_id for group in self.groups}) != len(self.groups):
            raise CallerError(
                "lock.groups",
                "An AND lock names a group twice.",
                hint="Name each group once; a quorum within one group is another kind of lock.",
            )


Target = GroupTarget | AllTarget


def commit(release_key: Secret, dek_id: bytes) -> bytes:
    """Return rc, the commitment to a release key."""
    return hmac_sha256(release_key.reveal(), _COMMIT + dek_id)


def commit_share(share: Secret, dek_id: bytes, index: int) -> bytes:
    """Return sc, the commitment to one share (``index`` 0..7)."""
    return hmac_sha256(share.reveal(), _SHARE_COMMIT + dek_id + bytes([index]))


def lock_info(
    core: bytes, context: bytes, target: GroupTarget, index: int, count: int, commitment: bytes
) -> bytes:
    """Return info_lock, the HPKE info of one lock or share."""
    return cbor.encode(
        [
            _INFO,
            core,
            context,
            target.group_id,
            target.epoch,
            int(target.kem),
            sha256(target.public),
            index,
            count,
            commitment,
        ]
    )


@dataclass(frozen=True, slots=True)
class LockSealer:
    """Seals one record's release key to any number of targets."""

    core: bytes
    context: bytes
    dek_id: bytes
    release_key: Secret
    randomness: Randomness

    def seal(self, targets: Sequence[Target]) -> tuple[Lock, ...]:
        """Return one lock per target (1..16)."""
        if not 1 <= len(targets) <= 16:
            raise CallerError(
                "lock.targets",
                "A record has 1 to 16 locks.",
                hint="Name at least one group; many people belong in one group.",
            )
        commitment = commit(self.release_key, self.dek_id)
        return tuple(self._seal(target, commitment) for target in targets)

    def _seal(self, target: Target, commitment: bytes) -> Lock:
        if isinstance(target, GroupTarget):
            sealed = self._hpke(target, 0, 1, self.release_key, commitment)
            return GroupLock(target.group_id, target.epoch, target.kem, sealed)
        count = len(target.groups)
        shares = split(self.release_key, count, self.randomness)
        return AllLock(
            tuple(
                ShareLock(
                    group.group_id,
                    group.epoch,
                    group.kem,
                    self._hpke(group, index, count, shares[index], commitment),
                    commit_share(shares[index], self.dek_id, index),
                )
                for index, group in enumerate(target.groups)
            )
        )

    def _hpke(
        self, group: GroupTarget, index: int, count: int, secret: Secret, commitment: bytes
    ) -> bytes:
        info = lock_info(self.core, self.context, group, index, count, commitment)
        return hpke_seal(group.kem, group.public, info, secret.reveal())


def split(secret: Secret, count: int, randomness: Randomness) -> list[Secret]:
    """Split a 32-byte secret into ``count`` XOR shares, all of which are needed."""
    shares = [randomness(32) for _ in range(count - 1)]
    shares.append(_xor([secret.reveal(), *shares]))
    return [Secret(share) for share in shares]


def combine(shares: Sequence[Secret]) -> Secret:
    """Reverse ``split``. The result is checked against rc by ``check_release_key``.

    Raises ``data.not-authentic`` for a share that has not 32 bytes.
    """
    if any(len(share) != 32 for share in shares):
        raise not_authentic("lock: a share has a wrong length")
    return Secret(_xor([share.reveal() for share in shares]))


def open_sealed(
    lock: GroupLock | ShareLock,
    key: KemKey,
    *,
    core: bytes,
    context: bytes,
    index: int,
    count: int,
    commitment: bytes,
) -> Secret:
    """Open one group's lock or share with its private key. Raises ``data.not-authentic``."""
    target = GroupTarget(lock.group_id, lock.epoch, lock.kem, key.public)
    if key.kem is not lock.kem:
        raise not_authentic("lock: its KEM is not the one of this group's epoch")
    secret = key.open(lock.sealed, lock_info(core, context, target, index, count, commitment))
    if len(secret) != 32:
        raise not_authentic("lock: its content has a wrong length")
    return secret


def check_release_key(release_key: Secret, dek_id: bytes, commitment: bytes) -> None:
    """Check rc, so that a damaged lock is seen at once. Raises ``data.not-authentic``."""
    if not equal(commit(release_key, dek_id), commitment):
        raise not_authentic("lock: the release key does not match its commitment")


def check_share(share: Secret, dek_id: bytes, index: int, commitment: bytes) -> None:
    """Check sc of one share. Raises ``data.not-authentic``."""
    if not equal(commit_share(share, dek_id, index), commitment):
        raise not_authentic(f"lock: share {index} does not match its commitment")


def _xor(values: Sequence[bytes]) -> bytes:
    result = 0
    for value in values:
        result ^= int.from_bytes(value, "big")
    return result.to_bytes(32, "big")
