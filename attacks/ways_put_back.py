"""Old rows of a member's ways in put back: what agents, a new computer and the server make of it.

The thief writes the database and knows the old password. Whoever changed it has agents with a
state: one that changed it, and one that only hears of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from attacks.factor_accounts import NEW_PASSWORD, free_hashes
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.row_rollback import PINS_IGNORED
from attacks.ways_scene import TABLES, Scene
from twinlock.agent import agent as agents
from twinlock.agent.agent import Agent
from twinlock.agent.arrival import Arrival
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.state import MemberState
from twinlock.agent.ways import NewWay, Ways
from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.enrolment_list import EnrolmentList, Listed, verify_enrolment_list
from twinlock.core.factors import Factor
from twinlock.core.member_bundle import decode_bundle_request, decode_member_bundle
from twinlock.core.release import split_signed
from twinlock.server.members import Members
from twinlock.server.setup import deployment_card

if TYPE_CHECKING:
    from attacks.world import World

NAME: Final = "ada"
_ROWS, _LISTS = TABLES[:2]


class _Everything(frozenset[bytes]):
    """A set that nothing is missing from."""

    def __contains__(self, _: object) -> bool:
        return True


def _all_ids(_: EnrolmentList) -> frozenset[bytes]:
    return _Everything()


def _take_any(ways: Ways, bundle: bytes) -> None:
    shown = decode_member_bundle(bundle)
    listed = verify_enrolment_list(shown.signed_list, ways.keys.signing.public)
    ways.state.take_list(shown.signed_list, listed, map(decode_enrolment, shown.blobs))


def _keep_all(
    state: MemberState, signed: bytes, listed: EnrolmentList, known: Iterable[Enrolment]
) -> None:
    state.enrolments = [*known, *state.enrolments]
    state.signed_list, state.listed = signed, listed


def _asker_unverified(_: Members, request: bytes) -> bytes:
    message, _signature = split_signed(request)
    return decode_bundle_request(message).member_id


@attack(
    id="ways-put-back",
    claim="old-way-in",
    attack=35,
    says="an old enrolment put back in the database: alone, with its list, after a revocation",
    mutations=[
        Mutation(
            "agents do not compare the list's counter", lambda: weakened((Ways, "take", _take_any))
        ),
        Mutation(
            "whatever opened counts, listed or not",
            lambda: weakened((EnrolmentList, "ids", property(_all_ids))),
        ),
        Mutation(
            "agents keep whatever enrolments come with a list",
            lambda: weakened((MemberState, "take_list", _keep_all)),
        ),
        Mutation(
            "agents do not look whether the log has their keys",
            lambda: weakened((agents, "require_present_keys", nothing)),
        ),
        Mutation(
            "the server hands out a member's ways in to whoever asks",
            lambda: weakened((Members, "asker", _asker_unverified)),
        ),
        PINS_IGNORED,
    ],
)
def ways_put_back(world: World, trial: Trial) -> None:
    """The old way in counts for nobody who knows better, and after a revocation for nobody."""
    with free_hashes():
        _Round(Scene(world)).run(trial)


class _Round:
    """Ada with a desktop and a laptop, and a thief who copied her rows and has her password."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.world = scene, scene.world
        self.old_password, self.password = (
            scene.kept.accounts.password(NAME, text) for text in ("", NEW_PASSWORD)
        )
        self.desktop = scene.enter(NAME, self.old_password)
        self.code, _ = RecoveryCode.create()
        self.desktop.ways.enrol(NewWay([self.code], "paper too"), send=scene.accept)
        self.laptop = self.arrived([self.code])
        self.thief = scene.thief(NAME)
        self.old = self.thief.copy()
        self.old_bundle = whole_bundle(self.desktop, scene.world)
        (self.old_way,) = (
            e for e in scene.kept.enrolments_in(self.old, NAME) if "password" in e.kinds
        )
        scene.kept.change(NAME, self.password)
        self.new = self.thief.copy()

    def run(self, trial: Trial) -> None:
        """Put back whatever there is, after the change and after the revocation."""
        self.agents_that_know(trial)
        self.new_computers(trial)
        self.world.database.restore(self.new, TABLES)
        self.after_revoking(trial)

    # --- after a change --------------------------------------------------------------------------

    def agents_that_know(self, trial: Trial) -> None:
        """A blob alone, an old list with it, and a list that the thief signs himself."""
        self.put_back(beside=True)
        for what, agent in (("that hears of it", self.laptop), ("that made it", self.desktop)):
            with trial.attempt(f"an old enrolment for an agent {what}") as attempt:
                agent.ways.take(whole_bundle(agent, self.world))
                attempt.says(self.old_way.enrolment_id in _known(agent))
        forked = self.forged_list()
        with trial.attempt(
            "a list of the thief's own, of the same age", "enrolment.list-forked"
        ) as attempt:
            self.desktop.ways.take(forked)
            attempt.says(self.old_way.enrolment_id in _known(self.desktop))
        self.world.database.restore(self.old, TABLES)
        with trial.attempt("an old list", "enrolment.list-rolled-back") as attempt:
            self.desktop.ways.take(whole_bundle(self.desktop, self.world))
            attempt.broke()

    def new_computers(self, trial: Trial) -> None:
        """The old password with the newest list, and the present one with the old list."""
        self.world.database.restore(self.new, TABLES)
        self.put_back(beside=False)
        unlisted = "enrolment.not-listed"
        with trial.attempt("the old way in, on a new computer", unlisted) as attempt:
            self.arrived([self.old_password])
            attempt.broke()
        self.world.database.restore(self.new, TABLES)
        (row,) = (r for r in self.old.tables[_LISTS] if r["member_id"] == self.desktop.member_id)
        self.world.database.update(
            _LISTS, {"member_id": row["member_id"]}, counter=row["counter"], signed=row["signed"]
        )
        with trial.attempt("an old list, on a new computer", unlisted) as attempt:
            self.arrived([self.password])
            attempt.broke()

    # --- after a revocation ----------------------------------------------------------------------

    def after_revoking(self, trial: Trial) -> None:
        """The whole old snapshot of her ways in, at an honest server and at one that lies."""
        revoked = self.scene.kept.accounts.password(NAME, "autumn geese 1909")
        self.scene.follow(self.desktop)
        self.scene.accept(self.desktop.ways.revoke([NewWay([revoked], "after")]))
        self.world.database.restore(self.old, TABLES)
        arrival = self.begun([self.old_password])
        retired = "member.keys-retired"
        with trial.attempt("the server, asked by old keys", "data.not-authentic") as attempt:
            self.world.vault.members.full_bundle(arrival.ask())
            attempt.broke()
        lied_to = arrival.agent(self.old_bundle)
        for what, agent in (("a new computer", lied_to), ("an agent", self.laptop)):
            with trial.attempt(f"old keys at {what}", retired) as attempt:
                self.scene.follow(agent)
                attempt.broke()
        self.world.database.restore(self.old)
        self.world.restart()
        with trial.attempt("everything set back, the logs too", "log.rollback") as attempt:
            self.world.vault.members.full_bundle(arrival.ask())
            attempt.broke()

    # --- what the thief does ---------------------------------------------------------------------

    def put_back(self, *, beside: bool) -> None:
        """Put the old enrolment back, beside the present one or in its place."""
        database, member_id = self.world.database, self.desktop.member_id
        for row in database.rows(_ROWS, member_id=member_id):
            if not beside and "password" in decode_enrolment(row["blob"]).kinds:
                database.delete(_ROWS, member_id=member_id, enrolment_id=row["enrolment_id"])
        if not database.rows(_ROWS, enrolment_id=self.old_way.enrolment_id):
            enrolment_id, blob = self.old_way.enrolment_id, self.old_way.raw
            database.insert(_ROWS, member_id=member_id, enrolment_id=enrolment_id, blob=blob)

    def forged_list(self) -> bytes:
        """What the old way in can sign, since a change keeps the keys: it counts again."""
        listed, keys = self.desktop.ways.state.listed, self.desktop.ways.keys
        if listed is None:
            raise LookupError("the member has no list")
        old = Listed(self.old_way.enrolment_id, self.old_way.kinds, "", 0, at_server=True)
        forged = replace(listed, enrolments=(*listed.enrolments, old))
        whole = decode_member_bundle(whole_bundle(self.desktop, self.world))
        return replace(whole, signed_list=forged.signed(keys.signing)).encode()

    # --- computers -------------------------------------------------------------------------------

    def begun(self, factors: Sequence[Factor]) -> Arrival:
        """Unlock on a computer that knows nothing."""
        return Arrival.begin(
            self.world.vault.members.bundle(NAME, {factor.kind for factor in factors}),
            factors,
            deployment=deployment_card(self.world.config),
            clock=self.world.clock,
        )

    def arrived(self, factors: Sequence[Factor]) -> Agent:
        """Arrive there, and follow the groups."""
        arrival = self.begun(factors)
        agent = arrival.agent(self.world.vault.members.full_bundle(arrival.ask()))
        self.scene.follow(agent)
        return agent


def whole_bundle(agent: Agent, world: World) -> bytes:
    """Return all of a member's ways in, as the server hands them out now."""
    return world.vault.members.full_bundle(agent.bundle_request())


def _known(agent: Agent) -> set[bytes]:
    return {enrolment.enrolment_id for enrolment in agent.ways.state.enrolments}
