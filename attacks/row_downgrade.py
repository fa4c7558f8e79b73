"""Downgrades by row: another suite, another key id, fewer groups, no group at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from attacks.forge import Taken, take, target_of
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.places import Place
from attacks.weak import authors_unchecked
from attacks.world import World
from twinlock.core import cbor, locks, opening, sealing
from twinlock.core.envelope import (
    AllLock,
    GroupLock,
    Head,
    Lock,
    LockHeader,
    ShareLock,
    new_header,
)
from twinlock.core.locks import GroupTarget
from twinlock.core.membership import Policy
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import hpke_seal
from twinlock.core.secret import Secret
from twinlock.server.records import RecordReader
from twinlock.token.keys import HeldKey, KeyRing


def _with_header(taken: Taken, header: LockHeader) -> Taken:
    return replace(taken, head=replace(taken.head, header=header))


def _reads(world: World, place: Place, taken: Taken) -> bool:
    world.database.put(place, taken.together())
    return world.read(place) == dict(place.content)


def _accepts_everything(_: RecordReader) -> frozenset[OuterSuite]:
    return frozenset(OuterSuite)


def _ignored(_: RecordReader, value: object) -> None:
    """Stands for setting what ``_accepts_everything`` answers."""


def _any_policy(_: RecordReader, head: Head, lock: Lock) -> bool:
    return True


@attack(
    id="forbidden-suite",
    claim="database-write",
    attack=(4, 5),
    says="a genuine record of a suite that the deployment or the group does not accept any more",
    mutations=[
        Mutation(
            "the deployment's list of accepted suites is not looked at",
            lambda: weakened((RecordReader, "accept", property(_accepts_everything, _ignored))),
        ),
        Mutation(
            "the group's policy on suites is not looked at",
            lambda: weakened((RecordReader, "_names_writer", _any_policy)),
        ),
    ],
)
def forbidden_suite(world: World, trial: Trial) -> None:
    """The row says which suite it uses; whether that is allowed is said elsewhere."""
    aes_only = Policy(outer_suites=frozenset({OuterSuite.TOKEN_AES}))
    place = world.place("ward-only-rsa-oaep")
    config = world.config
    world.config = replace(config, accept=aes_only.outer_suites)
    world.restart()
    with trial.attempt("not accepted by the deployment", "suite.not-accepted") as attempt:
        attempt.says(world.read(place) == dict(place.content))
    world.config = config
    world.rewind()
    ward = world.groups["ward"].group_id
    world.vault.append(world.agents["weber"].admin.set_policy(ward, aes_only))
    with trial.attempt("not accepted by the group", "data.not-authentic:author") as attempt:
        attempt.says(world.read(place) == dict(place.content))


def _binding_without_header(core: bytes, context: bytes, header: LockHeader) -> bytes:
    return _BINDING(core, context, new_header(header.commitment, OuterSuite.TOKEN_AES, b"", ()))


def _the_rsa_key(ring: KeyRing, kid: bytes) -> HeldKey | None:
    rsa = [held for held in ring._held.values() if held.outer is not None]
    return _FIND(ring, kid) or rsa[-1]


_BINDING, _FIND = sealing.outer_binding, KeyRing.find


@attack(
    id="edited-header",
    claim="database-write",
    attack=5,
    says="the lock header's suite or key id edited, all else genuine",
    mutations=[
        Mutation(
            "the header is not bound to the outer lock, and an unknown key id means the usual key",
            lambda: weakened(
                (sealing, "outer_binding", _binding_without_header),
                (opening, "outer_binding", _binding_without_header),
                (KeyRing, "find", _the_rsa_key),
            ),
            rebuild=True,
        )
    ],
)
def edited_header(world: World, trial: Trial) -> None:
    """It must not open as if nothing had happened."""
    kids = [row["kid"] for row in world.database.rows("twinlock_statements")]
    for place in world.places:
        if place.layout == "file" or place.helper:
            continue
        taken, stored = take(world, place), world.stored(place)
        header = taken.head.header
        others = [kid for kid in (*kids, os.urandom(16)) if kid != header.wrapping_kid]
        suites = [suite for suite in OuterSuite if suite is not header.outer_suite]
        edited = [(header.outer_suite, kid) for kid in others]
        edited += [(suite, kid) for suite in suites for kid in (header.wrapping_kid, others[-1])]
        for suite, kid in edited:
            changed = new_header(header.commitment, suite, kid, header.locks)
            with trial.attempt(
                "suite or key id", "data.wrapping-key-unknown", "data.not-authentic:outer"
            ) as attempt:
                attempt.says(_reads(world, place, _with_header(taken, changed)))
        world.database.put(place, stored)


def _no_shares(secret: Secret, count: int, _: object) -> list[Secret]:
    return [secret] * count


def _info_without_place(
    core: bytes, context: bytes, target: GroupTarget, index: int, count: int, commitment: bytes
) -> bytes:
    return _INFO(core, context, target, 0, 1, commitment)


_INFO = locks.lock_info


@attack(
    id="and-becomes-or",
    claim="database-write",
    attack=5,
    says="a record that needs two groups, edited so that one might do",
    mutations=[
        Mutation(
            "an AND lock gives every group the key itself, in a form that a plain lock has too",
            lambda: weakened(
                (locks, "split", _no_shares), (locks, "lock_info", _info_without_place)
            ),
            rebuild=True,
        )
    ],
)
def and_becomes_or(world: World, trial: Trial) -> None:
    """The ward alone: its share as a whole lock, and a second share that the attacker chose."""
    for place in world.places:
        if place.locks != "ward and data-office":
            continue
        alone = replace(place, helper=None)
        taken = take(world, place)
        header, context = taken.head.header, place.context.encode(world.config.deployment_id)
        (lock,) = header.locks
        assert isinstance(lock, AllLock)
        mine, other = lock.shares
        ward, chosen = target_of(world, "ward"), Secret(os.urandom(32))
        info = _INFO(taken.head.core.raw, context, ward, 1, 2, header.commitment)
        forged = ShareLock(
            ward.group_id,
            ward.epoch,
            ward.kem,
            hpke_seal(ward.kem, ward.public, info, chosen.reveal()),
            locks.commit_share(chosen, taken.head.core.dek_id, 1),
        )
        tries: list[tuple[Lock, str]] = [
            (
                GroupLock(mine.group_id, mine.epoch, mine.kem, mine.sealed),
                "data.not-authentic:HPKE",
            ),
            (AllLock((mine, forged)), "release.share-missing"),
            (AllLock((mine, mine)), "data.not-authentic:HPKE"),
            (AllLock((mine, other)), "release.share-missing"),
        ]
        for changed, refusal in tries:
            edited = new_header(
                header.commitment, header.outer_suite, header.wrapping_kid, (changed,)
            )
            with trial.attempt("one group of two", refusal) as attempt:
                attempt.says(_reads(world, alone, _with_header(taken, edited)))


def _whole(share: ShareLock) -> GroupLock:
    return GroupLock(share.group_id, share.epoch, share.kem, share.sealed)


_TAKE_LIST = cbor.take_list


def _none_is_enough(value: object, minimum: int = 0, maximum: int = 100_000) -> list[Any]:
    return _TAKE_LIST(value, 0, maximum)


@contextmanager
def _no_lock_needed() -> Iterator[None]:
    with (
        authors_unchecked(),
        weakened((cbor, "take_list", _none_is_enough)),
    ):
        yield


@attack(
    id="no-group-lock",
    claim="database-write",
    attack=5,
    says="a record without any group's lock",
    mutations=[Mutation("a record needs neither a lock nor an author", _no_lock_needed)],
)
def no_group_lock(world: World, trial: Trial) -> None:
    """The server must not even ask for it."""
    for place in world.places:
        if place.layout == "file":
            continue
        taken = take(world, place)
        header = taken.head.header
        bare = new_header(header.commitment, header.outer_suite, header.wrapping_kid, ())
        with trial.attempt("no lock", "format.malformed") as attempt:
            (asked,) = world.vault.request(
                [(place.context, _with_header(taken, bare).together())]
            ).asked
            if asked.error is not None:
                raise asked.error
            attempt.broke()
