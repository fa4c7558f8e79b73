"""Rolling back: old logs, cut logs, forks, a removed member's slot, weaker parameters."""

from __future__ import annotations

from contextlib import closing

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.people import Insider
from attacks.powers import DatabaseWriter, statements_of
from attacks.row_log import Forger
from attacks.weak import SIGNER_UNCHECKED
from attacks.world import PASSPHRASE, World
from twinlock.agent import examine
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.member import create_member
from twinlock.agent.state import load_state, state_path
from twinlock.core import cbor
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.factors import stretching
from twinlock.core.membership import NewEpoch, PinnedHead
from twinlock.core.membership.draft import Draft
from twinlock.core.membership.pins import PinWatch
from twinlock.core.request import GroupBundle, GroupNews
from twinlock.server import setup
from twinlock.server.pins import MemoryPins
from twinlock.server.vault import Vault
from twinlock.store.sql import SqlStore

LOG = ("twinlock_groups", "twinlock_log_entries", "twinlock_sealed_group_keys")

PINS_IGNORED = Mutation(
    "pinned heads are not compared with the log",
    lambda: weakened((PinWatch, "passing", nothing), (PinWatch, "ended", nothing)),
)


@attack(
    id="rolled-back-log",
    claim="database-write",
    attack=4,
    says="a group's log as it was before a removal, cut off, cut out, or continued another way",
    mutations=[PINS_IGNORED],
)
def rolled_back_log(world: World, trial: Trial) -> None:
    """Whether Tom is a member again: for a server that starts anew, and for one that runs."""
    forger, database = Forger(world, "ward"), world.database
    group_id, seq = forger.state.group_id, forger.state.seq
    weber = Insider.of(world, "weber")
    before = Forger(world, "ward", without_last=True)
    other = before.entry(NewEpoch(before.epoch_key), weber.member_id, weber.keys.signing)
    other = before.countersigned(other)

    def old_snapshot() -> None:
        database.restore(world.removed.snapshot, LOG)

    def cut_off() -> None:
        database.delete("twinlock_log_entries", group_id=group_id, seq=seq)
        database.update(
            "twinlock_groups", {"group_id": group_id}, head_seq=seq - 1, head_hash=before.state.head
        )

    def forked() -> None:
        cut_off()
        before.write(other)

    for kind, change, refusal in (
        ("an old snapshot", old_snapshot, "log.rollback"),
        ("the last entry cut off", cut_off, "log.rollback"),
        ("another genuine entry in its place", forked, "log.fork"),
    ):
        for running in (False, True):
            world.vault.group_states()
            with trial.attempt(kind, refusal) as attempt:
                change()
                if not running:
                    world.restart()
                states = world.vault.group_states()
                attempt.says(world.removed.member_id in states[group_id].members)
            world.rewind()


@attack(
    id="rolled-back-to-members",
    claim="database-write",
    attack=4,
    says="the old log shown to members by a server without pins (database and server taken)",
    mutations=[
        PINS_IGNORED,
        Mutation(
            "agents do not compare the server's heads with their own",
            lambda: weakened((examine, "check_heads", nothing)),
        ),
    ],
)
def rolled_back_to_members(world: World, trial: Trial) -> None:
    """To Kim, who followed the log to its end, and to Nora, who holds a fresh invitation."""
    group_id = world.groups["ward"].group_id
    place = world.place("tom-time-rsa-oaep")
    nora = newcomer(world)
    nora.card(world.agents["weber"].admin.invite(group_id))
    world.database.restore(world.removed.snapshot, LOG)
    with closing(taken_server(world)) as vault:
        with trial.attempt("a member who followed the log", "log.fork") as attempt:
            kim = world.agents["kim"]
            kim.release(vault.request([(place.context, world.stored(place))]))
            attempt.broke()
        with trial.attempt("an invited newcomer", "log.rollback") as attempt:
            nora.follow(whole_log(world.database, group_id))
            attempt.broke()


def newcomer(world: World) -> Agent:
    """Return the agent of somebody who is in no group yet."""
    home = world.folder / "devices" / "nora"
    key = DeviceKey.create(home / "device.key")
    create_member("nora", [key], deployment=setup.deployment_card(world.config), home=home)
    return Agent.unlock("nora", key, home=home, clock=world.clock)


def whole_log(database: DatabaseWriter, group_id: bytes) -> bytes:
    """Return a bundle with everything that the database has of a group's log."""
    rows = database.rows("twinlock_log_entries", group_id=group_id)
    news = GroupNews(group_id, tuple(row["signed_entry"] for row in rows))
    return GroupBundle(tuple(statements_of(database)), (news,), ()).encode()


def taken_server(world: World) -> Vault:
    """Return a server that believes whatever log the database holds now."""
    pins = MemoryPins()
    for row in world.database.rows("twinlock_groups"):
        pins.advance(PinnedHead(row["group_id"], row["head_seq"], row["head_hash"]))
    return Vault(
        world.config,
        SqlStore.connect(world.config.store_url),
        lambda: setup.connect_token(world.config),
        pins=pins,
        writer=setup.read_writer_key(world.config.writer_key),
        clock=world.clock,
    )


_REMOVAL_VOID = Mutation(
    "a removal takes nobody out of the group",
    lambda: weakened((Draft, "drop_member", nothing)),
)


@attack(
    id="removed-member-slot",
    claim="database-write",
    attack=4,
    says="a removed member's sealed keys put back; a release after the removal",
    mutations=[_REMOVAL_VOID, SIGNER_UNCHECKED],
)
def removed_member_slot(world: World, trial: Trial) -> None:
    """Tom asks with his slot back; Eve is removed between request and release."""
    place = world.place("tom-time-rsa-oaep")
    tom = world.agents["tom"]
    world.restart()
    world.database.restore(world.removed.snapshot, ["twinlock_sealed_group_keys"])
    with trial.attempt("slot put back", "record.no-lock") as attempt:
        request = world.vault.request([(place.context, world.stored(place))])
        release = tom.release(request)
        attempt.says(world.open(request, release.raw, place) == dict(place.content))
    world.rewind()
    weber, eve = world.agents["weber"].admin, world.agents["eve"]
    request = world.vault.request([(place.context, world.stored(place))])
    release = eve.release(request)
    with trial.attempt("released before, sent after the removal", "release.not-authentic") as a:
        world.vault.append(weber.remove(world.groups["ward"].group_id, eve.member_id))
        a.says(world.open(request, release.raw, place) == dict(place.content))


@attack(
    id="weaker-password-hash",
    claim="database-write",
    attack=4,
    says="an enrolment put back or edited so that the passphrase is hashed with less",
    mutations=[
        Mutation(
            "no compiled-in floor under Argon2id's parameters",
            lambda: weakened((stretching, "MIN_MEMORY_KIB", 8), (stretching, "MIN_ITERATIONS", 1)),
        )
    ],
    databases=False,
)
def weaker_password_hash(world: World, trial: Trial) -> None:
    """The client would compute a hash that is a thousand times easier to guess."""
    home = world.folder / "devices" / "pia"
    (stored, *_) = load_state(state_path(home, "pia")).enrolments
    (salt, memory, iterations, lanes) = dict(stored.factors)["passphrase"]
    for parameters in (
        [salt, 8, iterations, lanes],
        [salt, memory // 2, iterations, lanes],
        [salt, memory - 1, iterations, lanes],
        [salt, memory, 1, lanes],
        [salt, memory, iterations - 1, lanes],
    ):
        with trial.attempt("less memory or fewer passes", "factor.parameters") as attempt:
            weak = decode_enrolment(_with_parameters(stored.raw, parameters))
            Passphrase(PASSPHRASE).output(dict(weak.factors)["passphrase"], weak.place)
            attempt.broke()


def _with_parameters(raw: bytes, parameters: list[object]) -> bytes:
    label, aad, nonce, sealed = cbor.decode(raw)
    *head, factors = cbor.decode(aad)
    changed = [[kind, parameters if kind == "passphrase" else own] for kind, own in factors]
    return cbor.encode([label, cbor.encode([*head, changed]), nonce, sealed])
