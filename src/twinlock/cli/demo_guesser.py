"""The demo's thief, once more: what stolen ways in come to.

He has a copy of the database and this code, and computes whatever a password can be tested on.
"""

from __future__ import annotations

import shutil
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from twinlock.core.enrolment import Enrolment, MemberKeys, unlock
from twinlock.core.envelope import GroupLock, decode_row_head
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.password import (
    password_output,
    password_point,
    take_password_parameters,
)
from twinlock.core.factors.stretching import stretch
from twinlock.core.hardening.curve import encode_point
from twinlock.core.locks import check_release_key, open_sealed
from twinlock.core.login import login_secret, login_verifier
from twinlock.core.membership import GroupState
from twinlock.core.primitives import KemKey, hmac_sha256, kem_key_from_seed, sha256
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.store.sql import SqlStore

Harden = Callable[[bytes], bytes]
"""Multiplies a point (65 bytes) with the hardening key, and returns the x-coordinate."""


def steal(database: Path, loot: Path) -> SqlStore:
    """Copy an SQLite database as it lies there, and open the copy."""
    loot.mkdir()
    for file in database.parent.glob(f"{database.name}*"):
        shutil.copy(file, loot)
    return SqlStore.connect(f"sqlite:///{loot / database.name}")


@dataclass(frozen=True, slots=True)
class Had:
    """A factor whose output somebody has, or guesses."""

    kind: str
    value: Secret

    def output(self, parameters: Parameters, place: Place) -> Secret:  # noqa: ARG002
        """Return it, whatever the parameters."""
        return self.value


def opens(enrolment: Enrolment, outputs: Mapping[str, bytes]) -> bool:
    """Tell whether these outputs, by kind, unlock an enrolment."""
    try:
        unlock(enrolment, [Had(kind, Secret(value)) for kind, value in outputs.items()])
    except TwinlockError:
        return False
    return True


@dataclass(slots=True)
class Guesser:
    """Tests words on a member's way in by password. ``public`` is the hardening key's point.

    ``stolen`` is the whole database as bytes. ``tests`` counts what was tried.
    """

    enrolment: Enrolment
    public: bytes
    stolen: bytes
    tests: int = 0
    _hashes: dict[str, Secret] = field(default_factory=dict, repr=False)

    @property
    def kid(self) -> bytes:
        """The id of the hardening key."""
        return take_password_parameters(dict(self.enrolment.factors)["password"])[0]

    def without_token(self, words: Iterable[str]) -> list[str]:
        """Return the words that anything stolen tells from a wrong one: there is no x(kP)."""
        return [word for word in words if any(map(self._fits, self._made_up(word)))]

    def with_token(self, words: Sequence[str], harden: Harden) -> int:
        """Return the number, from 1, of the first word that the token confirms; 0 for none."""
        for number, word in enumerate(words, 1):
            point = encode_point(password_point(self.enrolment.place, self.kid, self._hash(word)))
            if self._fits(self._output(word, harden(point))):
                return number
        return 0

    def _fits(self, output: bytes) -> bool:
        """Try a value on the enrolment, and look for what comes of it in the database."""
        secret = login_secret(Secret(output))
        seen = (output, sha256(output), secret.reveal(), self._verifier(secret))
        self.tests += 1 + len(seen)
        return opens(self.enrolment, {"password": output}) or any(s in self.stolen for s in seen)

    def _made_up(self, word: str) -> Iterator[bytes]:
        """Everything that can be computed of a word with what is public."""
        stretched = self._hash(word).reveal()
        point = encode_point(password_point(self.enrolment.place, self.kid, Secret(stretched)))
        yield stretched
        for stand_in in (b"", bytes(32), point[1:33], self.public[1:33], stretched):
            yield self._output(word, stand_in)

    def _output(self, word: str, hardened: bytes) -> bytes:
        place, stretched = self.enrolment.place, self._hash(word)
        made = password_output(place, self.kid, self.public, Secret(hardened), stretched)
        return made.reveal()

    def _verifier(self, secret: Secret) -> bytes:
        return login_verifier(self.enrolment.member_id, secret)

    def _hash(self, word: str) -> Secret:
        """Argon2id, paid for once per word."""
        if word not in self._hashes:
            _, by = take_password_parameters(dict(self.enrolment.factors)["password"])
            self._hashes[word] = stretch(word, by)
        return self._hashes[word]


def client_key(messages: Sequence[str], stored_key: bytes) -> bytes:
    """Return ClientKey as the server that ended an exchange can compute it (RFC 5802 section 3).

    ``messages`` are client-first, server-first and client-final.
    """
    first, answer, final = messages
    unproved, proof = final.rsplit(",p=", 1)
    signed = ",".join((first.split(",", 2)[2], answer, unproved)).encode()
    signature = hmac_sha256(stored_key, signed)
    return bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))


def group_keys(
    member_id: bytes, keys: MemberKeys, states: Iterable[GroupState], stores: Sequence[SqlStore]
) -> list[KemKey]:
    """Return all group keys that a member's keys get out of databases, by every known state."""
    found = {}
    for state in states:
        for store in stores:
            for epoch, sealed in store.log.sealed_keys(state.group_id, member_id).items():
                try:
                    seed = keys.kem.open(sealed, state.group_key_info(member_id, epoch))
                except TwinlockError:
                    continue
                key = kem_key_from_seed(state.epochs[epoch].kem, seed)
                found[key.public] = key
    return list(found.values())


def opens_lock(head: bytes, context: bytes, keys: Sequence[KemKey]) -> bool:
    """Tell whether any of the keys opens any of a row's inner locks."""
    row = decode_row_head(head)
    commitment = row.header.commitment
    locks = [lock for lock in row.header.locks if isinstance(lock, GroupLock)]
    for lock, key in product(locks, keys):
        try:
            release_key = open_sealed(
                lock,
                key,
                core=row.core.raw,
                context=context,
                index=0,
                count=1,
                commitment=commitment,
            )
            check_release_key(release_key, row.core.dek_id, commitment)
        except TwinlockError:
            continue
        return True
    return False
