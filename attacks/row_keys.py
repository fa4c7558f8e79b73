"""Public keys substituted: in a newcomer's card, in sealed group keys, in the token directory."""

from __future__ import annotations

import os
from dataclasses import replace

from attacks.forge import fresh_signing_key
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.powers import DatabaseWriter, OwnToken, directory_of, random_secret
from attacks.row_rollback import newcomer
from attacks.world import World
from twinlock.agent import keys as agent_keys
from twinlock.core import statements
from twinlock.core.membership import Member, MemberCard
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import KemKey, hpke_seal, kem_key_from_seed
from twinlock.core.statements import Statement
from twinlock.server.groups import Group, GroupBook


@attack(
    id="substituted-card",
    claim="database-write",
    attack=3,
    says="a newcomer's card exchanged on its way to the admin, for one with the attacker's keys",
    mutations=[
        Mutation(
            "the proof that the card's maker held the invitation is not checked",
            lambda: weakened((MemberCard, "check_invited", nothing)),
        )
    ],
)
def substituted_card(world: World, trial: Trial) -> None:
    """Same name, same id, same invitation; only the invitation's secret is not his."""
    weber, ward = world.agents["weber"], world.groups["ward"]
    world.follow("weber")
    invitation = weber.admin.invite(ward.group_id)
    shown = MemberCard.decode(newcomer(world).card(invitation))
    signing = fresh_signing_key()
    kem = kem_key_from_seed(shown.member.kem, random_secret())
    member = replace(shown.member, kem_public=kem.public, signing_public=signing.public)
    with trial.attempt("his keys under another's name", "member.card-invalid") as attempt:
        forged = replace(shown, member=member)
        world.vault.append(weber.admin.add(ward.group_id, forged.encode(signing)))
        attempt.says(_opens_group_key(world, member, kem))


def _opens_group_key(world: World, member: Member, kem: KemKey) -> bool:
    """Whether the key in the log can be had with the attacker's private key."""
    state = world.vault.group_states()[world.groups["ward"].group_id]
    epoch = state.current_epoch
    where = {"member_id": member.member_id, "epoch": epoch.number}
    (row,) = world.database.rows("twinlock_sealed_group_keys", **where)
    seed = kem.open(row["sealed"], state.group_key_info(member.member_id, epoch.number))
    return kem_key_from_seed(epoch.kem, seed).public == epoch.public


@attack(
    id="substituted-group-key",
    claim="database-write",
    attack=3,
    says="the group key sealed to an admin replaced, so that she hands on the attacker's",
    mutations=[
        Mutation(
            "an opened group key is not compared with the log",
            lambda: weakened((agent_keys, "equal", lambda *_: True)),
        )
    ],
)
def substituted_group_key(world: World, trial: Trial) -> None:
    """HPKE base mode seals for anybody; the log's public key decides."""
    ward = world.groups["ward"]
    state = world.vault.group_states()[ward.group_id]
    weber = world.agents["weber"] = world.unlock("weber")
    mine = state.members[weber.member_id].member
    seed, epoch = random_secret(), state.current_epoch.number
    info = state.group_key_info(weber.member_id, epoch)
    sealed = hpke_seal(mine.kem, mine.kem_public, info, seed.reveal())
    where = {"member_id": weber.member_id, "group_id": ward.group_id, "epoch": epoch}
    world.database.update("twinlock_sealed_group_keys", where, sealed=sealed)
    world.follow("weber")
    nora = newcomer(world)
    with trial.attempt("a key of his own", "group.key-replaced") as attempt:
        card = nora.card(weber.admin.invite(ward.group_id))
        world.vault.append(weber.admin.add(ward.group_id, card))
        known = next(g for g in weber.groups if g.state.group_id == ward.group_id)
        attempt.says(weber.admin.group_keys.seed(known, epoch) == seed)


def _by_name_in_store(book: GroupBook, name: str, now: int) -> Group:
    group_id = book._store.log.group_by_name(name)
    assert group_id is not None
    return Group(name, group_id)


@attack(
    id="substituted-group",
    claim="database-write",
    attack=3,
    says="another group takes a group's name, so that writers seal to the wrong one",
    mutations=[
        Mutation(
            "the server finds groups by their name in the database",
            lambda: weakened((GroupBook, "by_name", _by_name_in_store)),
        )
    ],
)
def substituted_group(world: World, trial: Trial) -> None:
    """The data office is renamed to ward, and the ward to something else."""
    ward, office = world.groups["ward"].group_id, world.groups["data-office"].group_id
    world.database.update("twinlock_groups", {"group_id": ward}, name="old ward")
    world.database.update("twinlock_groups", {"group_id": office}, name="ward")
    for kind in ("running server", "after a restart"):
        with trial.attempt(kind) as attempt:
            attempt.says(world.vault.group("ward").group_id != ward)
        world.restart()


_SIGNATURES_UNCHECKED = Mutation(
    "statements of the token directory need no signature",
    lambda: weakened((statements, "verify", nothing)),
)
_ANY_IDENTITY = Mutation(
    "the identity key is not compared with the pinned fingerprint",
    lambda: weakened((statements, "equal", lambda *_: True)),
)


@attack(
    id="replaced-token-keys",
    claim="database-write",
    attack=36,
    says="wrapping, log, audit or identity key replaced; a new identity stated by the old",
    mutations=[_SIGNATURES_UNCHECKED, _ANY_IDENTITY],
)
def replaced_token_keys(world: World, trial: Trial) -> None:
    """Judged by a server that starts anew: whose key does it use?"""
    own = OwnToken(world.config.deployment_id)
    suite = world.vault.token.rsa_oaep_suite
    identity = directory_of(world.config).identity
    for role in (KeyRole.WRAPPING, KeyRole.LOG, KeyRole.AUDIT):
        key = own.key(role, suite if role is KeyRole.WRAPPING else None)
        with trial.attempt(f"the {role.value} key", "data.not-authentic:signature") as attempt:
            add_statement(world.database, own.state(key))
            world.restart()
            attempt.says(world.vault.directory.current(role, key.suite).public == key.public)
        world.rewind()
    with trial.attempt("the whole directory, identity included", "directory.identity") as attempt:
        world.database.delete("twinlock_statements")
        for statement in own.directory():
            add_statement(world.database, statement)
        world.restart()
        attempt.says(world.vault.directory.current(KeyRole.LOG).kid == own.kid(KeyRole.LOG))
    world.rewind()
    token = world.vault.token
    with trial.attempt("a new identity by the old one", "data.not-authentic:signature") as attempt:
        heir = own.state(own.key(KeyRole.IDENTITY), lambda raw: token.sign(identity.kid, raw))
        for statement in (heir, own.state(own.key(KeyRole.LOG))):
            add_statement(world.database, statement)
        world.restart()
        attempt.says(world.vault.directory.current(KeyRole.LOG).kid == own.kid(KeyRole.LOG))


def add_statement(database: DatabaseWriter, statement: Statement) -> None:
    """Put a statement into the token directory as the newest."""
    last = max((row["position"] for row in database.rows("twinlock_statements")), default=0)
    database.insert(
        "twinlock_statements",
        position=last + 1,
        kid=os.urandom(16),
        role="any",
        statement=statement.raw,
        signature=statement.signature,
    )
