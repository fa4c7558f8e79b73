"""A group of ten thousand members, made fast: opening must not depend on how many they are."""

from __future__ import annotations

import os

from sqlalchemy import create_engine, insert, update

from bench.world import World
from twinlock.core.membership import (
    Add,
    Member,
    SignedEntry,
    countersign_input,
    sign_entry,
    with_countersignature,
)
from twinlock.core.membership.entry import Entry
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import Kem, kem_key_from_seed, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.server.groups import Group
from twinlock.store.schema import groups, log_entries


def fill_group(world: World, group: Group, count: int) -> None:
    """Append ``count`` members to a group, with genuine signatures.

    They get no group keys: nobody of them opens anything here. Entries go into the store directly,
    since ``Vault.append`` replays nothing but writes each one by itself.
    """
    state = world.vault.group_state(group)
    seq, prev = state.seq, state.head
    signing = world.agent._unlocked().signing
    log_key = world.vault.directory.current(KeyRole.LOG).kid
    rows = []
    for number in range(count):
        seq += 1
        entry = Entry(
            deployment_id=state.deployment_id,
            group_id=state.group_id,
            seq=seq,
            prev=prev,
            op=Add(_member(number)),
            actor_id=world.agent.member_id,
            actor_kid=signing.kid,
            time=1_700_000_000 + number,
        )
        signed: SignedEntry = sign_entry(entry.encode(), signing, world.agent.member_id)
        countersigned = with_countersignature(
            signed, world.token.sign(log_key, countersign_input(signed))
        )
        prev = signed.head
        rows.append(
            {
                "group_id": state.group_id,
                "seq": seq,
                "signed_entry": countersigned.encode(),
                "entry_hash": signed.head,
            }
        )
    _insert(world, rows)
    world.vault.group_states()
    world.agent.follow(world.vault.group_bundle(world.agent.hello()))


def _insert(world: World, rows: list[dict[str, object]]) -> None:
    engine = create_engine(world.config.store_url)
    with engine.begin() as connection:
        connection.execute(insert(log_entries), rows)
        last = rows[-1]
        connection.execute(
            update(groups)
            .where(groups.c.group_id == last["group_id"])
            .values(head_seq=last["seq"], head_hash=last["entry_hash"])
        )
    engine.dispose()


def _member(number: int) -> Member:
    kem = kem_key_from_seed(Kem.DHKEM_P256, Secret(os.urandom(32)))
    signing = signing_key_from_seed(Secret(os.urandom(32)))
    return Member(os.urandom(16), f"member {number}", kem.kem, kem.public, signing.public)
