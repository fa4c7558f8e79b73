"""Records made by the attacker: with public keys alone, with another DEK, with two contents."""

from __future__ import annotations

import os
from dataclasses import replace

from attacks.forge import (
    Taken,
    fresh_signing_key,
    lock_dek,
    sign_field,
    take,
    target_of,
    wrapping_key,
    writer_key,
)
from attacks.gcm import collide
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.places import Place
from attacks.weak import AUTHORS_UNCHECKED, CONTENT_UNAUTHENTICATED
from attacks.world import World
from twinlock.core import segments
from twinlock.core.envelope import Layout, new_core
from twinlock.core.locks import GroupTarget, Target
from twinlock.core.membership import Found, Member, Policy, Role, Writer, found_entry, sign_entry
from twinlock.core.primitives import Kem, SigningKey, kem_key_from_seed
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret
from twinlock.server.records import SealedFile, Stored, sealed_row, sealed_value, write_file_head

LIE = b"no allergies known"


@attack(
    id="planted-record",
    claim="database-write",
    attack=29,
    says="a record sealed with public keys alone under a real context, in every layout",
    mutations=[AUTHORS_UNCHECKED],
)
def planted_record(world: World, trial: Trial) -> None:
    """With a writer of his own, in the genuine writer's name, and with a group of his own."""
    own, genuine = fresh_signing_key(), writer_key(world).public
    impostor = SigningKey(genuine, fresh_signing_key()._private)
    ward, shadow = target_of(world, "ward"), _shadow_group(world, own)
    authors: list[tuple[str, SigningKey, list[Target], str]] = [
        ("a writer of his own", own, [ward], "data.not-authentic:author"),
        ("a writer's name", impostor, [ward], "data.not-authentic:signature"),
        (
            "a writer of a group of his own",
            own,
            [shadow, ward],
            "data.not-authentic:author",
        ),
    ]
    for name in ("first-rsa-oaep", "row-rsa-oaep", "scan-rsa-oaep", "ward-only-token-aes"):
        place = world.place(name)
        for kind, author, targets, refusal in authors:
            planted = sealed_by(world, place, author, targets)
            with trial.attempt(kind, refusal) as attempt:
                world.database.put(place, planted)
                attempt.says(LIE in world.read(place).values())


def sealed_by(world: World, place: Place, author: SigningKey, targets: list[Target]) -> Stored:
    sealer = Sealer(author, wrapping_key(world), os.urandom)
    context = place.context.encode(world.config.deployment_id)
    if place.layout == "file":
        path = world.folder / "planted"
        column = str(place.context.column)
        with sealer.seal_stream(context, column, targets) as sealing:
            start = write_file_head(sealing.head, sealing.prefix)
            path.write_bytes(start + b"".join(sealing.segments([LIE])))
        return SealedFile(path)
    layout = Layout.ROW if place.layout == "row" else Layout.VALUE
    head, fields = sealer.seal_fields(context, layout, dict.fromkeys(place.content, LIE), targets)
    if layout is Layout.ROW:
        return sealed_row(head, fields)
    return sealed_value(head, next(iter(fields.values())))


def _shadow_group(world: World, own: SigningKey) -> GroupTarget:
    """Found a group in the database, whose admin and writer the attacker is."""
    kem = kem_key_from_seed(Kem.DHKEM_P256, Secret(os.urandom(32)))
    mallory = Member(os.urandom(16), "mallory", kem.kem, kem.public, own.public)
    group_key = kem_key_from_seed(Kem.DHKEM_P256, Secret(os.urandom(32)))
    op = Found(
        nonce=os.urandom(16),
        name=f"shadow {os.urandom(4).hex()}",
        policy=Policy(outer_suites=world.config.accept),
        kem=group_key.kem,
        public=group_key.public,
        members=((mallory, Role.ADMIN),),
        admin_k=1,
        identity_fingerprint=world.config.identity,
    )
    entry = found_entry(
        op,
        deployment_id=world.config.deployment_id,
        actor_id=mallory.member_id,
        time=world.clock(),
    )
    signed = sign_entry(entry, own, mallory.member_id)
    group_id = signed.entry_hash
    world.database.insert(
        "twinlock_groups", group_id=group_id, name=op.name, head_seq=0, head_hash=signed.head
    )
    world.database.insert(
        "twinlock_log_entries",
        group_id=group_id,
        seq=0,
        signed_entry=signed.encode(),
        entry_hash=signed.head,
    )
    assert Writer("mallory", own.public).kid == own.kid
    return GroupTarget(group_id, 1, group_key.kem, group_key.public)


@attack(
    id="planted-dek",
    claim="database-write",
    attack=2,
    says="a new wrapped DEK beside genuine content, whose signature does not cover the locks",
    mutations=[CONTENT_UNAUTHENTICATED],
)
def planted_dek(world: World, trial: Trial) -> None:
    """Values, rows and files; the locks are made for the right groups and the right context."""
    ward = target_of(world, "ward")
    for place in world.places:
        if place.locks not in ("ward", "ward or emergency"):
            continue
        taken = take(world, place)
        context = place.context.encode(world.config.deployment_id)
        head = lock_dek(world, taken.head.core, context, os.urandom(32), [ward])
        planted = replace(taken, head=head)
        with trial.attempt("another DEK", "data.not-authentic:C_Decrypt") as attempt:
            if place.layout == "file":
                (field,) = taken.fields.values()
                raw = write_file_head(head, field.prefix) + field.ciphertext + field.signature
                world.database.path(place).write_bytes(raw)
            else:
                world.database.put(place, planted.together())
            attempt.says(world.read(place) != dict(place.content))


@attack(
    id="two-contents",
    claim="database-write",
    attack=2,
    says="one signed ciphertext with two DEKs, each giving another content (a writer colludes)",
    mutations=[
        Mutation(
            "AES-GCM alone, which commits to no key: the 32 zero bytes are not checked",
            lambda: weakened((segments, "strip_commitment", lambda plaintext: plaintext[32:])),
        )
    ],
)
def two_contents(world: World, trial: Trial) -> None:
    """The head decides what is read: this month this one, next month the other."""
    key, ward = writer_key(world), target_of(world, "ward")
    place = world.place("first-rsa-oaep")
    context, column = place.context.encode(world.config.deployment_id), "diagnosis"
    core = new_core(os.urandom(16), Layout.VALUE, key.kid)
    prefix = os.urandom(segments.PREFIX_SIZE)
    aad = segments.additional_data(core.raw, context, column, 0, True)
    deks = os.urandom(32), os.urandom(32)
    for size in (6, 9, 40):
        ciphertext = collide(deks, segments.nonce(prefix, 0, True), aad, blocks=size)
        field = sign_field(core, context, column, prefix, ciphertext, key)
        with trial.attempt("two DEKs", "data.not-authentic:content") as attempt:
            seen = set()
            for dek in deks:
                head = lock_dek(world, core, context, dek, [ward])
                world.database.put(place, Taken(head, {column: field}).together())
                seen.add(world.read(place)[column])
            attempt.says(len(seen) == 2)
