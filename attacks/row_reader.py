"""The database alone, any mix of snapshots: is anything in it a content or a key?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from attacks.forge import Taken, take
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.people import Insider
from attacks.powers import Snapshot
from attacks.world import PASSPHRASE, PIN, World
from twinlock.agent import admin
from twinlock.core import cbor, locks, sealing, segments
from twinlock.core.primitives import Kem, KemKey, gcm_open, hpke_seal, kem_key_from_seed
from twinlock.core.secret import Secret
from twinlock.errors import DataError


def _plain(_: bytes, __: bytes, plaintext: bytes, ___: bytes) -> bytes:
    return plaintext + bytes(16)


def _key_itself(release_key: Secret, _: bytes) -> bytes:
    return release_key.reveal()


def _with_seed(kem: Kem, public: bytes, info: bytes, plaintext: bytes) -> bytes:
    return _SEAL(kem, public, info, plaintext) + plaintext


def _without_seed(key: KemKey, sealed: bytes, info: bytes) -> Secret:
    grown = len(sealed) > 65 + 32 + 16
    return _OPEN(key, sealed[:-32] if grown else sealed, info)


_SEAL, _OPEN = hpke_seal, KemKey.open


@attack(
    id="database-only",
    claim="database",
    attack=(),
    says="canaries and keys looked for in an old and the present snapshot, files included",
    mutations=[
        Mutation(
            "content is stored as it is",
            lambda: weakened((sealing, "gcm_seal", _plain)),
            rebuild=True,
        ),
        Mutation(
            "the commitment is the release key itself, not its HMAC",
            lambda: weakened((locks, "commit", _key_itself), (sealing, "commit", _key_itself)),
            rebuild=True,
        ),
        Mutation(
            "a group key stands in clear behind its sealed copy",
            lambda: weakened((admin, "hpke_seal", _with_seed), (KemKey, "open", _without_seed)),
            rebuild=True,
        ),
    ],
)
def database_only(world: World, trial: Trial) -> None:
    """Every 32-byte string in the database is tried as DEK, release key and private key."""
    kim = Insider.of(world, "kim")
    snapshots = [world.removed.snapshot, kim.snapshot]
    haystack = [value for snapshot in snapshots for value in _values(snapshot)]
    canaries = [PIN.encode(), PASSPHRASE.encode(), kim.keys.seed.reveal()]
    for place in world.places:
        canaries += place.content.values()
    for canary in canaries:
        with trial.attempt("a content, PIN, passphrase or seed") as attempt:
            attempt.says(any(canary in value for value in haystack))
    keys = {key for value in haystack for key in _strings(value) if len(key) == 32}
    public = {e.public for s in world.vault.group_states().values() for e in s.epochs.values()}
    for key in keys:
        with trial.attempt("a string that is a group's private key") as attempt:
            attempt.says(kem_key_from_seed(Kem.DHKEM_P256, Secret(key)).public in public)
    for place in world.places:
        taken = take(world, place)
        context = place.context.encode(world.config.deployment_id)
        with trial.attempt("a string that is a release key or a DEK") as attempt:
            attempt.says(any(_opens(taken, context, key) for key in keys))


def _opens(taken: Taken, context: bytes, key: bytes) -> bool:
    core, header = taken.head.core, taken.head.header
    if locks.commit(Secret(key), core.dek_id) == header.commitment:
        return True
    (column, field), *_ = taken.fields.items()
    part = segments.cut_ciphertext(core.raw, context, column, field.prefix, field.ciphertext)[0]
    with suppress(DataError):
        gcm_open(key, part.nonce, part.ciphertext, part.aad)
        return True
    return False


def _values(snapshot: Snapshot) -> Iterator[bytes]:
    for rows in snapshot.tables.values():
        for row in rows:
            for value in row.values():
                if isinstance(value, bytes):
                    yield value
                elif isinstance(value, str):
                    yield value.encode()
    yield from snapshot.files.values()


def _strings(value: bytes) -> Iterator[bytes]:
    """Every byte string inside, through all levels of CBOR and the magic in front of it."""
    yield value
    yield value[-32:]
    for start in (0, 4, 8):
        with suppress(DataError):
            yield from _inside(cbor.decode(value[start:]))


def _inside(items: list[object]) -> Iterator[bytes]:
    for item in items:
        if isinstance(item, bytes):
            yield from _strings(item)
        elif isinstance(item, list):
            yield from _inside(item)
