"""Records taken apart, and what an attacker's bytes open of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from attacks.hsm_interface import Interface, by_id, gcm, oaep
from twinlock.core.locks import commit
from twinlock.core.ports import OuterLock, OuterSuite, Part
from twinlock.core.primitives import aes_key_unwrap, gcm_open
from twinlock.core.secret import Secret
from twinlock.errors import DataError
from twinlock.server.records import RecordReader, Stored
from twinlock.token.ck import Ckm

if TYPE_CHECKING:
    from attacks.places import Place
    from attacks.world import World

_WINDOWS: Final = 2048
"""Longer bytes are searched for content, not for keys."""


@dataclass(frozen=True, slots=True)
class Target:
    """One stored record as a thief takes it apart. ``wrapped_dek`` is W, once O was decrypted."""

    place: Place
    dek_id: bytes
    commitment: bytes
    outer: OuterLock
    part: Part
    stored: bytes = field(repr=False)
    wrapped_dek: bytes = b""

    def opened_by(self, dek: bytes) -> bool:
        """Tell whether these 32 bytes decrypt the content."""
        try:
            gcm_open(dek, self.part.nonce, self.part.ciphertext, self.part.aad)
        except DataError:
            return False
        return True

    def dek_under(self, release_key: bytes) -> bytes | None:
        """The DEK, if these 32 bytes are the release key."""
        try:
            return aes_key_unwrap(release_key, self.wrapped_dek)
        except DataError:
            return None

    def released_by(self, release_key: bytes) -> bool:
        """Tell by rc alone, without the HSM, whether these 32 bytes are the release key."""
        return commit(Secret(release_key), self.dek_id) == self.commitment

    def lost_by(self, key: bytes) -> bool:
        """Tell whether these 32 bytes, as DEK or as release key, open the content."""
        dek = self.dek_under(key)
        return self.opened_by(key) or (dek is not None and self.opened_by(dek))

    def lost_in(self, found: bytes) -> bool:
        """Tell whether bytes hold the content, or anywhere a key that opens it."""
        if any(content[:64] in found for content in self.place.content.values()):
            return True
        return any(self.lost_by(key) for key in windows(found[:_WINDOWS]))


def windows(found: bytes) -> Iterator[bytes]:
    """Yield every 32 bytes in a row."""
    for at in range(len(found) - 31):
        yield found[at : at + 32]


def targets(world: World, places: Iterable[Place] | None = None) -> list[Target]:
    """Take stored records apart, by the package's own reader."""
    reader = RecordReader(
        world.config.deployment_id, world.config.accept, world.vault.group_states()
    )
    return [_target(reader, place, world.stored(place)) for place in places or world.places]


def target_of(world: World, place: Place, stored: Stored) -> Target:
    """Take a record apart that lies elsewhere than in the world's own tables."""
    states = world.vault.group_states()
    reader = RecordReader(world.config.deployment_id, world.config.accept, states)
    return _target(reader, place, stored)


def _target(reader: RecordReader, place: Place, stored_as: Stored) -> Target:
    read = reader.read(place.context, stored_as)
    prepared, head = read.prepared, read.head
    if read.file is None:
        part = prepared.fields[0][0]
    else:
        column = str(place.context.column)
        part = next(read.file.parts(head, prepared.context, column))
    stored = head.core.raw + head.header.raw + head.outer + part.ciphertext[:512]
    return Target(place, head.core.dek_id, head.header.commitment, prepared.outer, part, stored)


def half_open(api: Interface, target: Target) -> Target:
    """Decrypt O, as whoever has the PIN can: what is left is W, still locked to the groups."""
    outer = target.outer
    (key,) = by_id(api, outer.wrapping_kid)
    if outer.suite is OuterSuite.TOKEN_AES:
        how = gcm(outer.sealed[:12], outer.binding)
        block = api.decrypt(Ckm.AES_GCM, how, key, outer.sealed[12:])
    else:
        sha256 = outer.suite is OuterSuite.RSA_OAEP_SHA256
        block = api.decrypt(Ckm.RSA_PKCS_OAEP, oaep(sha256), key, outer.sealed)
    if block is None:
        raise LookupError("the wrapping key does not decrypt O")
    return Target(
        target.place,
        target.dek_id,
        target.commitment,
        outer,
        target.part,
        target.stored,
        block[:40],
    )
