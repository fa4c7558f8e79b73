"""Changes of ways in that nobody should take: replayed, forged, of two halves, on rows exchanged.

Each is handed to the honest server. Whatever it answers, nothing may be half done: the tables are
compared with those of before.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from attacks.factor_accounts import free_hashes
from attacks.forge import fresh_signing_key
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.ways_scene import STORED, Scene
from twinlock.agent.agent import Agent
from twinlock.agent.home import FileHome
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import MemberKeys, unlock_any
from twinlock.core.enrolment_list import EnrolmentList, decode_enrolment_list
from twinlock.core.member_change import MemberChange, decode_member_change
from twinlock.core.membership import Role, authority
from twinlock.core.release import split_signed
from twinlock.errors import CallerError, TwinlockError
from twinlock.server import members
from twinlock.store import members as stored_members
from twinlock.store.members import MemberStore, PutMember
from twinlock.store.schema import enrolment_lists

if TYPE_CHECKING:
    from attacks.world import World

_PUT: Final = MemberStore.put


def _put_any_list(connection: Connection, new: PutMember) -> None:
    """Take a list of whatever age."""
    insert = insert_postgresql if connection.dialect.name == "postgresql" else insert_sqlite
    values = {"counter": new.counter, "signed": new.signed_list}
    row = insert(enrolment_lists).values(member_id=new.member_id, **values)
    connection.execute(row.on_conflict_do_update(index_elements=["member_id"], set_=values))


def _put_equal_list(connection: Connection, new: PutMember) -> None:
    """Take a list of the same age too."""
    table = enrolment_lists.c
    same = (table.member_id == new.member_id) & (table.counter == new.counter)
    connection.execute(update(enrolment_lists).where(same).values(counter=new.counter - 1))
    _PUT_LIST(connection, new)


_PUT_LIST: Final = stored_members._put_list


def _put_in_pieces(store: MemberStore, new: PutMember) -> None:
    with store._database.write() as connection:
        for append in new.appends:
            append.run(connection)
    _PUT(store, replace(new, appends=()))


def _list_unverified(signed: bytes, _: bytes) -> EnrolmentList:
    return decode_enrolment_list(split_signed(signed)[0])


def _yes(*_: object) -> bool:
    return True


def _any_member_changes() -> AbstractContextManager[None]:
    return weakened((authority, "_check_admins", nothing))


_ANY_ENTRY: Final = Mutation(
    "a change brings any log entry, and any member may change a group",
    lambda: weakened(
        (members, "_require_own_entries", nothing), (authority, "_check_admins", nothing)
    ),
)


@attack(
    id="ways-changes",
    claim="old-way-in",
    attack=(35, 3),
    says="changes replayed, of another, by retired keys, of two halves, over exchanged rows",
    mutations=[
        Mutation(
            "the server takes a list of any age",
            lambda: weakened((stored_members, "_put_list", _put_any_list)),
        ),
        Mutation(
            "the server takes a list of the same age",
            lambda: weakened((stored_members, "_put_list", _put_equal_list)),
        ),
        Mutation(
            "nobody verifies who signed a change",
            lambda: weakened(
                (members, "verify", nothing),
                (members, "verify_enrolment_list", _list_unverified),
            ),
        ),
        Mutation(
            "a member may have several keys",
            lambda: weakened((members, "_require_one_key", nothing)),
        ),
        _ANY_ENTRY,
        Mutation(
            "what is stored is not compared with the list",
            lambda: weakened((members, "_is_as_listed", _yes)),
        ),
        Mutation(
            "log entries are written before the rest",
            lambda: weakened((MemberStore, "put", _put_in_pieces)),
        ),
    ],
)
def ways_changes(world: World, trial: Trial) -> None:
    """Broken is one that is taken, or that leaves anything behind."""
    with free_hashes():
        round = _Round(Scene(world))
        round.replayed(trial)
        round.forged(trial)
        round.exchanged(trial)
        round.in_halves(trial)


class _Round:
    """Ada, Ben and what they signed so far, in the hands of whoever forwards it."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.world = scene, scene.world
        accounts = scene.kept.accounts
        self.ada = scene.enter("ada", accounts.password("ada"), groups=["emergency"])
        self.ben = scene.enter("ben", accounts.password("ben"))
        self.ben_keys, self.ben_listed = self.ben.ways.keys, self.ben.ways.state.listed
        self.sent: list[bytes] = []

    def refused(self, trial: Trial, kind: str, change: bytes, *codes: str) -> None:
        """Hand a change in, and set back whatever it did."""
        pins = (self.world.folder / "pins").read_bytes()
        before = self.world.database.snapshot()
        with trial.attempt(kind, *codes) as attempt:
            try:
                self.scene.accept(change)
            except TwinlockError:
                after = self.world.database.snapshot()
                attempt.says(any(before.tables[t] != after.tables[t] for t in STORED))
                raise
            attempt.broke()
        if kind in trial.broken:
            self.world.database.restore(before)
            (self.world.folder / "pins").write_bytes(pins)
            self.world.restart()

    # --- what was signed before ------------------------------------------------------------------

    def replayed(self, trial: Trial) -> None:
        """An accepted change again, and one that its member gave up since it was never answered."""
        first, given_up = (NewWay([RecoveryCode.create()[0]]) for _ in range(2))
        self.ada.ways.enrol(first, send=self._send)

        def lost(change: bytes) -> None:
            self.sent.append(change)
            raise CallerError("service.unreachable", "The server did not answer.", hint="Retry.")

        with suppress(CallerError):
            self.ada.ways.enrol(given_up, send=lost)
        self.ada.ways.enrol(NewWay([RecoveryCode.create()[0]]), send=self._send)
        accepted, withdrawn, _ = self.sent
        self.refused(trial, "an accepted change again", accepted, "enrolment.list-stale")
        self.refused(trial, "a change that was given up", withdrawn, "enrolment.list-stale")

    def _send(self, change: bytes) -> None:
        self.sent.append(change)
        self.scene.accept(change)

    # --- what nobody signed ----------------------------------------------------------------------

    def forged(self, trial: Trial) -> None:
        """Another member's list, a stranger's key, and Ben's key of before his revocation."""
        newer = self._newer(self.ben)
        signed = newer.signed(self.ben_keys.signing)
        by_ada = self._change(signed).signed(self.ada.ways.keys.signing)
        self.refused(trial, "another member's list", by_ada, "data.not-authentic")
        stranger = fresh_signing_key()
        own = self._change(newer.signed(stranger)).signed(stranger)
        self.refused(trial, "a stranger's key", own, "data.not-authentic")
        password = self.scene.kept.accounts.password("ben")
        self.scene.follow(self.ben)
        self.scene.accept(self.ben.ways.revoke([NewWay([password])]))
        listed = replace(newer, counter=newer.counter + 10)
        retired = self._change(listed.signed(self.ben_keys.signing), kept=self.ben)
        self.refused(
            trial, "a retired key", retired.signed(self.ben_keys.signing), "data.not-authentic"
        )

    # --- rows of somebody who writes the database ------------------------------------------------

    def exchanged(self, trial: Trial) -> None:
        """A listed row holds a decoy, or an enrolment that the member ended: a change blesses none.

        The device that makes the change has not these enrolments, so that the stored ones count.
        """
        database, member_id = self.world.database, self.ada.member_id
        rows = database.rows("twinlock_enrolments", member_id=member_id)
        listed = self.ada.ways.state.listed
        if listed is None:
            raise LookupError("the member has no list")
        ways = {e.enrolment_id: e for e in listed.enrolments}
        codes = [r for r in rows if ways[r["enrolment_id"]].kinds == ("recovery-code",)]
        change = self._change(self._newer(self.ada).signed(self.ada.ways.keys.signing))
        kinds = frozenset({"recovery-code"})
        decoy = self.world.vault._decoys.enrolment("ada", kinds, member_id).raw
        where = {"member_id": member_id, "enrolment_id": codes[0]["enrolment_id"]}
        for what, blob in (("a decoy", decoy), ("another enrolment", codes[1]["blob"])):
            database.update("twinlock_enrolments", where, blob=blob)
            signed = change.signed(self.ada.ways.keys.signing)
            self.refused(trial, f"{what} in a listed row", signed, "enrolment.unlike-list")
        database.update("twinlock_enrolments", where, blob=codes[0]["blob"])

    # --- with log entries ------------------------------------------------------------------------

    def in_halves(self, trial: Trial) -> None:
        """A revocation in one group alone, one that fails late, and one that removes another."""
        with _any_member_changes():
            # Ada's agent is her own, and does not mind that she is no admin.
            self.scene.follow(self.ada)
            kim, ward = self.world.agents["kim"].member_id, self.world.groups["ward"].group_id
            removing = self.ada.admin.remove(ward, kim)
        policy = self.world.vault.group_state(self.world.groups["ward"]).policy
        card = self.world.agents["kim"].card(), Role.MEMBER
        (founding, *_) = self.world.agents["eve"].admin.found("hers", policy, others=[card])
        listed = self._newer(self.ada).signed(self.ada.ways.keys.signing)
        for what, entry in (("another member removed", removing), ("a group founded", founding)):
            change = replace(self._change(listed), proposals=(entry,))
            signed = change.signed(self.ada.ways.keys.signing)
            self.refused(trial, f"{what} with it", signed, "enrolment.foreign-entry")
        password = self.scene.kept.accounts.password("ada")
        whole = self.ada.ways.revoke([NewWay([password])])
        keys = self._staged_keys(password)
        decoded, *_ = decode_member_change(whole)
        for number in range(len(decoded.proposals)):
            half = replace(decoded, proposals=decoded.proposals[number : number + 1])
            signed = half.signed(keys.signing)
            self.refused(trial, "a revocation in one group", signed, "enrolment.keys-differ")
        database, where = self.world.database, {"member_id": self.ada.member_id}
        (stored,) = database.rows("twinlock_enrolment_lists", **where)
        database.update("twinlock_enrolment_lists", where, counter=2**40)
        self.refused(trial, "one that fails late", whole, "enrolment.list-stale")
        database.update("twinlock_enrolment_lists", where, counter=stored["counter"])
        self.scene.accept(whole)

    def _staged_keys(self, password: Any) -> MemberKeys:
        home = FileHome(state_path(self.scene.kept.accounts.home("ada"), "ada"))
        staged = home.staged()
        if staged is None:
            raise LookupError("no revocation is under way")
        return unlock_any(staged[0].enrolments, [password])

    # --- building --------------------------------------------------------------------------------

    @staticmethod
    def _newer(agent: Agent) -> EnrolmentList:
        listed = agent.ways.state.listed
        if listed is None:
            raise LookupError("the member has no list")
        return replace(listed, counter=listed.counter + 1)

    @staticmethod
    def _change(signed_list: bytes, kept: Agent | None = None) -> MemberChange:
        """Whatever is kept at the server stays as it is there, or comes from an agent."""
        blobs = () if kept is None else tuple(e.raw for e in kept.ways.state.enrolments)
        return MemberChange(signed_list, blobs)
