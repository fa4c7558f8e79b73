"""One bit changed at every byte of logs, the directory, enrolments, state files, cards, texts."""

from __future__ import annotations

import os

from attacks.flip_messages import every, flipped
from attacks.forge import fresh_signing_key
from attacks.gcm import unauthenticated
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.people import Insider
from attacks.powers import random_secret, statements_of
from attacks.world import World
from twinlock.agent import state as agent_state
from twinlock.agent.factors import DeviceKey
from twinlock.agent.keys import GroupKeys
from twinlock.agent.state import decode_locked, load_state, state_path
from twinlock.core import deployment, enrolment, primitives, statements
from twinlock.core.deployment import parse_deployment_card
from twinlock.core.enrolment import MemberKeys, decode_enrolment, unlock
from twinlock.core.membership import Invitation, Member, MemberCard, invitation, parse_invitation
from twinlock.core.membership import log as log_module
from twinlock.core.primitives import Kem, kem_key_from_seed
from twinlock.core.request import SealedGroupKey
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement, verify_directory
from twinlock.server import setup
from twinlock.server.groups import GroupBook
from twinlock.server.pins import MemoryPins

_LOG = (
    "format.malformed",
    "format.version",
    "key.malformed",
    "log.bad-signature",
    "log.broken-chain",
    "log.countersignature",
    "log.fork",
    "log.not-allowed",
    "log.rollback",
    "log.unknown-op",
    "log.wrong-group",
)


@attack(
    id="flipped-log",
    claim="boundaries",
    attack=(3, 21),
    says="one bit at every byte of the stored entries of a group's log",
    mutations=[
        Mutation(
            "countersignatures of the token are not checked",
            lambda: weakened((log_module, "_check_countersignature", nothing)),
        )
    ],
)
def flipped_log(world: World, trial: Trial) -> None:
    """A server that starts anew reads the log; any change is seen."""
    group_id = world.groups["ward"].group_id
    state = world.vault.group_states()[group_id]
    directory = world.vault.directory
    for row in world.database.rows("twinlock_log_entries", group_id=group_id):
        where = {"group_id": group_id, "seq": row["seq"]}
        entry = row["signed_entry"]
        for at in every(trial, len(entry)):
            pins = MemoryPins()
            pins.advance(state.pin)
            store = world.vault.store
            book = GroupBook(world.config.deployment_id, store, pins, lambda: directory)
            with trial.attempt("log entry", *_LOG) as attempt:
                world.database.update(
                    "twinlock_log_entries", where, signed_entry=flipped(entry, at)
                )
                book.states(world.clock())
                attempt.broke()
        world.database.update("twinlock_log_entries", where, signed_entry=entry)


@attack(
    id="flipped-directory",
    claim="boundaries",
    attack=(21, 36),
    says="one bit at every byte of the token directory's statements and signatures",
    mutations=[
        Mutation(
            "statements of the token directory need no signature",
            lambda: weakened((statements, "verify", nothing)),
        )
    ],
    databases=False,
)
def flipped_directory(world: World, trial: Trial) -> None:
    """Each statement alone, as server and agents verify it."""
    whole = statements_of(world.database)
    refusals = ("data.not-authentic", "directory.identity", "key.malformed")
    for number, statement in enumerate(whole):
        both = statement.raw + statement.signature
        for at in every(trial, len(both)):
            changed, size = flipped(both, at), len(statement.raw)
            damaged = list(whole)
            damaged[number] = Statement(changed[:size], changed[size:])
            with trial.attempt(
                "statement", *refusals, "format.malformed", "format.version"
            ) as attempt:
                verify_directory(
                    damaged,
                    deployment_id=world.config.deployment_id,
                    fingerprint=world.config.identity,
                    now=world.clock(),
                )
                attempt.broke()


@attack(
    id="flipped-enrolment",
    claim="boundaries",
    attack=21,
    says="one bit at every byte of an enrolment, a state file, group keys sealed to a member",
    mutations=[
        Mutation(
            "an enrolment's seed is encrypted but not authenticated",
            lambda: weakened((enrolment, "gcm_open", unauthenticated)),
        ),
        Mutation(
            "a state file is not authenticated",
            lambda: weakened((agent_state, "equal", lambda *_: True)),
        ),
    ],
    databases=False,
)
def flipped_enrolment(world: World, trial: Trial) -> None:
    """The member's own files: a wrong seed or a forged pin is never taken for the right one."""
    home = world.folder / "devices" / "kim"
    path, key = state_path(home, "kim"), DeviceKey(home / "device.key")
    raw = load_state(path).enrolments[0].raw
    refusals = ("format.malformed", "format.version", "factor.wrong", "factor.missing")
    for at in every(trial, len(raw)):
        with trial.attempt("enrolment", *refusals, "factor.parameters") as attempt:
            unlock(decode_enrolment(flipped(raw, at)), [key])
            attempt.broke()
    keys, whole = Insider.of(world, "kim").keys, path.read_bytes()
    for at in every(trial, len(whole)):
        with trial.attempt("what a member keeps", "agent.state-damaged", *refusals) as attempt:
            attempt.says(_taken(flipped(whole, at), keys, trial))
    _flip_sealed_keys(world, trial, keys)


def _taken(raw: bytes, keys: MemberKeys, trial: Trial) -> bool:
    """Whether a state file is taken for genuine; its shape is looked at after its tag alone."""
    try:
        decode_locked(raw).unlocked(keys)
    except TypeError:
        if not trial.weakened:
            raise
        return False
    return True


def _flip_sealed_keys(world: World, trial: Trial, keys: MemberKeys) -> None:
    kim = world.agents["kim"]
    for row in world.database.rows("twinlock_sealed_group_keys", member_id=kim.member_id):
        known = next(g for g in kim.groups if g.state.group_id == row["group_id"])
        for at in every(trial, len(row["sealed"])):
            ring = GroupKeys(kim.member_id, keys)
            with trial.attempt("what a member keeps", "data.not-authentic:HPKE") as attempt:
                sealed = flipped(row["sealed"], at)
                ring.receive([SealedGroupKey(row["group_id"], row["epoch"], sealed)])
                ring.key(known, row["epoch"])
                attempt.broke()


@attack(
    id="flipped-cards",
    claim="boundaries",
    attack=21,
    says="one bit at every byte of a member card, an invitation, a deployment card",
    mutations=[
        Mutation(
            "a member card's signature and an invitation's proof are not checked",
            lambda: weakened(
                (primitives, "verify", nothing), (MemberCard, "check_invited", nothing)
            ),
        ),
        Mutation(
            "texts to be copied by hand have no checksum",
            lambda: weakened(
                (invitation, "_checksum", lambda _: bytes(8)),
                (deployment, "sha256", lambda *_: bytes(32)),
            ),
        ),
    ],
    databases=False,
)
def flipped_cards(world: World, trial: Trial) -> None:
    """What goes from hand to hand. Only the case of a letter may change."""
    invited = _invitation(world)
    signing, kem = fresh_signing_key(), kem_key_from_seed(Kem.DHKEM_P256, random_secret())
    nora = Member(os.urandom(16), "nora", kem.kem, kem.public, signing.public)
    card = MemberCard.answering(invited, nora).encode(signing)
    refusals = ("format.malformed", "format.version", "key.malformed", "member.card-invalid")
    for at in every(trial, len(card)):
        with trial.attempt("member card", *refusals) as attempt:
            MemberCard.decode(flipped(card, at)).check_invited(invited)
            attempt.broke()
    text = invited.to_text().reveal().encode()
    for at in every(trial, len(text)):
        with trial.attempt("invitation", "invitation.malformed") as attempt:
            changed = flipped(text, at).decode("latin-1")
            attempt.says(parse_invitation(changed).to_text().reveal() != text.decode())
    pinned = setup.deployment_card(world.config)
    text = pinned.to_text().encode()
    for at in every(trial, len(text)):
        with trial.attempt("deployment card", "deployment.card-malformed") as attempt:
            attempt.says(parse_deployment_card(flipped(text, at).decode("latin-1")) != pinned)


def _invitation(world: World) -> Invitation:
    state = world.vault.group_states()[world.groups["ward"].group_id]
    return Invitation(
        deployment_id=world.config.deployment_id,
        group_name=state.name,
        pin=state.pin,
        identity_fingerprint=world.config.identity,
        invitation_id=os.urandom(16),
        secret=Secret(os.urandom(16)),
        expires=world.clock() + 3600,
    )
