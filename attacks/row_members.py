"""What people's own secrets open: measured record by record, and compared with the claim."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

from attacks.forge import Taken, open_lock, take
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.people import Insider
from attacks.places import Place
from attacks.world import World
from twinlock.core import locks, sealing
from twinlock.core.envelope import AllLock, Head
from twinlock.core.locks import open_sealed
from twinlock.core.membership import Epoch, GroupState
from twinlock.core.opening import prepare_record
from twinlock.core.primitives import aes_key_unwrap
from twinlock.core.release import wrap_release_keys
from twinlock.core.secret import Secret
from twinlock.core.segments import strip_commitment
from twinlock.errors import DataError


def loot(world: World, insider: Insider, places: Sequence[Place]) -> set[str]:
    """Open whatever an insider can with the HSM interface and the database, without any server.

    Returns the names of the places whose content came out.
    """
    found = list(_found(world, insider, places))
    opened = set()
    with world.hsm.connected() as token:
        transport = token.generate_transport_key()
        block, wrapped = wrap_release_keys(transport, [key for *_, key in found], os.urandom)
        tasks = [
            prepare_record(taken.head, context, taken.fields).opening(one)
            for (_, taken, context, _), one in zip(found, wrapped, strict=True)
        ]
        with token.opening(transport.kid, block) as opening:
            results = opening.open_many(tasks)
        token.destroy_transport_key(transport.kid)
    for (place, *_), result in zip(found, results, strict=True):
        if not isinstance(result, DataError):
            shown = [strip_commitment(value) for value in result]
            if shown == list(place.content.values()):
                opened.add(place.name)
    return opened


def _found(
    world: World, insider: Insider, places: Sequence[Place]
) -> Iterator[tuple[Place, Taken, bytes, Secret]]:
    for place in places:
        taken = take(world, place)
        context = place.context.encode(world.config.deployment_id)
        for release_key in release_keys(insider, taken.head, context):
            yield place, taken, context, release_key


def release_keys(insider: Insider, head: Head, context: bytes) -> Iterator[Secret]:
    """Yield what an insider's group keys give for a record: the key itself, or a share of it."""
    with suppress(DataError):
        whole = open_lock(insider, head, context)
        if whole is not None:
            yield whole
    for lock in head.header.locks:
        if isinstance(lock, AllLock):
            for index, share in enumerate(lock.shares):
                key = insider.group_keys.get((share.group_id, share.epoch))
                if key is not None:
                    yield open_sealed(
                        share,
                        key,
                        core=head.core.raw,
                        context=context,
                        index=index,
                        count=len(lock.shares),
                        commitment=head.header.commitment,
                    )


def _first_epoch(state: GroupState) -> Epoch:
    return state.epochs[1]


@attack(
    id="removed-member",
    claim="removed-member",
    attack=27,
    says="a removed member's keys, the current database and the HSM interface",
    mutations=[
        Mutation(
            "writers go on sealing to the epoch before the removal",
            lambda: weakened((GroupState, "current_epoch", property(_first_epoch))),
            rebuild=True,
        )
    ],
)
def removed_member(world: World, trial: Trial) -> None:
    """Tom opens what was sealed in his time and is not re-sealed yet, and nothing else."""
    claimed = {place.name for place in world.places if place.while_tom}
    taken = loot(world, world.removed, world.places)
    trial.loot("his own keys", claimed=claimed, taken=taken)


def _no_shares(secret: Secret, count: int, randomness: object) -> list[Secret]:
    return [secret] * count


@attack(
    id="member-device",
    claim="device",
    attack=(),
    says="a member's unlocked device, the database and the HSM interface",
    mutations=[
        Mutation(
            "an AND lock seals the release key itself to every group, not shares of it",
            lambda: weakened((locks, "split", _no_shares)),
            rebuild=True,
        )
    ],
)
def member_device(world: World, trial: Trial) -> None:
    """Each member's loot is what the member alone may open: for AND records, nothing."""
    for name, groups in {
        "kim": ("ward", "ward or emergency"),
        "eve": ("ward", "ward or emergency"),
        "olga": ("data-office",),
    }.items():
        claimed = {place.name for place in world.places if place.locks in groups}
        taken = loot(world, Insider.of(world, name), world.places)
        trial.loot("a member's device", claimed=claimed, taken=taken)


def _in_clear(_: bytes, __: str, plaintext: bytes) -> bytes:
    return plaintext.ljust(256, b"\0")


@attack(
    id="factor-without-hsm",
    claim="factor-no-hsm",
    attack=(),
    says="a member's keys and every snapshot, without the token",
    mutations=[
        Mutation(
            "the outer lock is not encrypted",
            lambda: weakened((sealing, "rsa_oaep_encrypt", _in_clear)),
            rebuild=True,
        )
    ],
)
def factor_without_hsm(world: World, trial: Trial) -> None:
    """Release keys are his; what they unwrap is behind the token's lock."""
    for name in ("kim", "tom", "olga"):
        insider = world.removed if name == "tom" else Insider.of(world, name)
        for _, taken, _, release_key in _found(world, insider, world.places):
            with trial.attempt("a DEK out of O without the token") as attempt:
                attempt.says(_unwraps_somewhere(release_key, taken.head.outer))


def _unwraps_somewhere(release_key: Secret, outer: bytes) -> bool:
    for at in range(len(outer) - 39):
        with suppress(DataError):
            aes_key_unwrap(release_key.reveal(), outer[at : at + 40])
            return True
    return False
