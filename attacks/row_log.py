"""The membership log attacked in the database: entries forged, cut off, forked, rolled back."""

from __future__ import annotations

from attacks.forge import fresh_signing_key
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.people import Insider
from attacks.powers import directory_of, random_secret
from attacks.world import World
from twinlock.core.membership import (
    Add,
    Entry,
    GroupState,
    Member,
    NewEpoch,
    Op,
    Role,
    SetWriters,
    SignedEntry,
    Writer,
    countersign_input,
    replay,
    sign_entry,
    with_countersignature,
)
from twinlock.core.membership import log as log_module
from twinlock.core.membership.ops import EpochKey
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import Kem, SigningKey, kem_key_from_seed


class Forger:
    """Writes entries into the log of one group, and looks at what a writer then seals to."""

    def __init__(self, world: World, group: str, *, without_last: bool = False) -> None:
        self.world = world
        self.state = world.vault.group_states()[world.groups[group].group_id]
        if without_last:
            self.state = self._before()
        self.group_key = kem_key_from_seed(Kem.DHKEM_P256, random_secret())
        self.signing = fresh_signing_key()
        kem = kem_key_from_seed(Kem.DHKEM_P256, random_secret())
        self.member = Member(
            b"mallory's id 16.", "mallory", kem.kem, kem.public, self.signing.public
        )

    def _before(self) -> GroupState:
        rows = self.world.database.rows("twinlock_log_entries", group_id=self.state.group_id)
        entries = [row["signed_entry"] for row in rows[:-1]]
        return replay(entries, deployment_id=self.state.deployment_id)

    @property
    def epoch_key(self) -> EpochKey:
        """The next epoch's key, whose private half the attacker has."""
        number = self.state.current_epoch.number + 1
        return EpochKey(number, self.group_key.kem, self.group_key.public)

    def ops(self) -> tuple[Op, ...]:
        """What a thief wants a log to say: a member, a group key or a writer of his own."""
        own = Writer("mallory", self.signing.public)
        return (
            Add(self.member, Role.ADMIN),
            NewEpoch(self.epoch_key),
            SetWriters((*self.state.writers.values(), own)),
        )

    def entry(self, op: Op, actor_id: bytes, key: SigningKey) -> SignedEntry:
        """Sign an entry after the newest, as this actor with this key."""
        entry = Entry(
            deployment_id=self.state.deployment_id,
            group_id=self.state.group_id,
            seq=self.state.seq + 1,
            prev=self.state.head,
            op=op,
            actor_id=actor_id,
            actor_kid=key.kid,
            time=self.world.clock(),
        ).encode()
        return sign_entry(entry, key, actor_id)

    def write(self, signed: SignedEntry) -> None:
        """Put an entry into the database, as the newest."""
        database = self.world.database
        database.insert(
            "twinlock_log_entries",
            group_id=self.state.group_id,
            seq=signed.entry.seq,
            signed_entry=signed.encode(),
            entry_hash=signed.head,
        )
        database.update(
            "twinlock_groups",
            {"group_id": self.state.group_id},
            head_seq=signed.entry.seq,
            head_hash=signed.head,
        )

    def countersigned(self, signed: SignedEntry) -> SignedEntry:
        """Have the token countersign: for an attacker who has the HSM interface too."""
        kid = directory_of(self.world.config).current(KeyRole.LOG).kid
        signature = self.world.vault.token.sign(kid, countersign_input(signed))
        return with_countersignature(signed, signature)

    def succeeded(self) -> bool:
        """Whether the server now believes in the attacker's member, key or writer."""
        self.world.restart()
        state = self.world.vault.group_states()[self.state.group_id]
        return (
            self.member.member_id in state.members
            or state.current_epoch.public == self.group_key.public
            or self.signing.kid in state.writers
        )


@attack(
    id="forged-entries",
    claim="database-write",
    attack=3,
    says="log entries that add a member, a group key or a writer: signed by nobody who may",
    mutations=[
        Mutation(
            "signatures of log entries are not checked",
            lambda: weakened((log_module, "check_authority", nothing)),
        ),
        Mutation(
            "countersignatures of the token are not checked",
            lambda: weakened((log_module, "_check_countersignature", nothing)),
        ),
    ],
)
def forged_entries(world: World, trial: Trial) -> None:
    """Each stopped by one check alone: the others are met honestly."""
    forger, eve = Forger(world, "ward"), Insider.of(world, "eve")
    weber = Insider.of(world, "weber")
    removed = world.removed
    tries: list[tuple[str, SignedEntry, str]] = []
    for op in forger.ops():
        for who, actor, key, rule in (
            ("a stranger", forger.member.member_id, forger.signing, "not-a-member"),
            ("an admin's name", weber.member_id, forger.signing, "other-key"),
            ("a member who is no admin", eve.member_id, eve.keys.signing, "not-an-admin"),
            ("a removed member", removed.member_id, removed.keys.signing, "removed-member"),
        ):
            signed = forger.countersigned(forger.entry(op, actor, key))
            tries.append((f"{who}, with the HSM interface", signed, f"log.not-allowed:{rule}"))
        # An admin signed it and thought better of it; it was never accepted.
        withdrawn = forger.entry(op, weber.member_id, weber.keys.signing)
        tries.append(("withdrawn by its admin", withdrawn, "log.countersignature"))
    for who, signed, refusal in tries:
        with trial.attempt(who, refusal) as attempt:
            forger.write(signed)
            attempt.says(forger.succeeded())
        world.rewind()
