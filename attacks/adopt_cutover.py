"""After the cut-over of an adopted column: old rows from a backup, the signed end taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.legacy import PLACES, TABLE, OldApplication, adopted
from attacks.people import Insider
from attacks.powers import Snapshot
from attacks.row_log import Forger
from attacks.row_rollback import LOG, PINS_IGNORED
from attacks.world import World
from twinlock.core.membership import ColumnState, GroupState, SetColumn, SignedEntry, authority
from twinlock.core.membership import log as log_module
from twinlock.server import legacy
from twinlock.server.legacy import LegacyData, LegacyRow

PLACE = PLACES[0]
_COLUMN = "diagnosis"
_WHOLE = "the database set back"
_OP = SetColumn(TABLE, _COLUMN, ColumnState.LEGACY)


def _any_group(data: LegacyData) -> GroupState:
    """The state of whichever group says that the old rows count."""
    states = list(data._states().values())
    saying = [s for s in states if s.columns.get(_OP.key) is ColumnState.LEGACY]
    return next(iter(saying or states))


@attack(
    id="adopted-cut-over",
    claim="adopted",
    attack=40,
    says="after the cut-over an old row from a backup, and the signed end set back or overruled",
    mutations=[
        Mutation(
            "legacy rows are read whatever the log says",
            lambda: weakened((legacy, "_require_allowed", nothing)),
        ),
        PINS_IGNORED,
        Mutation(
            "any group's log may say that old rows count",
            lambda: weakened((LegacyData, "_authority", _any_group)),
        ),
        Mutation(
            "signatures of log entries are not checked",
            lambda: weakened((log_module, "check_authority", nothing)),
        ),
        Mutation(
            "countersignatures of the token are not checked",
            lambda: weakened((log_module, "_check_countersignature", nothing)),
        ),
        Mutation(
            "to go back to legacy reading lowers no floor",
            lambda: weakened((authority, "_lowered", lambda *_: frozenset())),
        ),
    ],
)
def adopted_cut_over(world: World, trial: Trial) -> None:
    """The old key is still in the token, the worst case: what refuses is the log alone."""
    with adopted(world) as old:
        row = old.rows[PLACE.name]
        strange = replace(row, cells={"address": row.cells[_COLUMN]})
        with trial.attempt("a column that was never allowed", "legacy.not-allowed") as attempt:
            attempt.says(bool(old.open(PLACE, strange)))
        before = _Moment.now(world)
        # A genuine entry of the admin's that could have stood where the cut-over will stand.
        other = _signed(world, "weber", SetColumn(TABLE, "remarks", ColumnState.LEGACY))
        old.set_column(_COLUMN, ColumnState.CUT_OVER)
        after = _Moment.now(world)
        with trial.attempt("an old row from a backup", "legacy.cut-over") as attempt:
            attempt.says(_opens(old))
        with trial.attempt("an old row given new locks", "legacy.cut-over") as attempt:
            attempt.says(bool(old.rewrap(PLACE, _one_column(old))))
        for kind, change, refusal in _ways_back(world, before, other):
            for running in (False,) if trial.weakened else (False, True):
                _try(trial, old, after, kind, change, refusal, running=running)
        for kind, change, refusal in _ways_to_overrule(world):
            _try(trial, old, after, kind, change, refusal)
        _with_two_admins(old, trial)


def _opens(old: OldApplication) -> bool:
    row = _one_column(old)
    return old.open(PLACE, row)[_COLUMN] == PLACE.content[_COLUMN]


def _one_column(old: OldApplication) -> LegacyRow:
    row = old.rows[PLACE.name]
    return replace(row, cells={_COLUMN: row.cells[_COLUMN]})


def _try(
    trial: Trial,
    old: OldApplication,
    after: _Moment,
    kind: str,
    change: Callable[[], None],
    refusal: str,
    *,
    running: bool = False,
) -> None:
    """Change the database, and read the old row: with a server that starts anew or that runs."""
    old.world.vault.group_states()
    with trial.attempt(kind, refusal) as attempt:
        change()
        if not running:
            old.world.restart()
            old.use()
        attempt.says(_opens(old))
    after.put_back(old, whole=kind == _WHOLE)


class _Moment:
    """Database and pins at one time. An attacker has the database alone."""

    def __init__(self, world: World, database: Snapshot, pins: bytes) -> None:
        self.database, self._world, self._pins = database, world, pins

    @classmethod
    def now(cls, world: World) -> _Moment:
        return cls(world, world.database.snapshot(), world.config.pins.read_bytes())

    def put_back(self, old: OldApplication, *, whole: bool) -> None:
        """Undo an attempt on the log, or the whole database: with a server that starts anew."""
        self._world.database.restore(self.database, None if whole else LOG)
        self._world.config.pins.write_bytes(self._pins)
        self._world.restart()
        old.use()


Way = tuple[str, Callable[[], None], str]


def _signed(world: World, who: str, op: SetColumn) -> SignedEntry:
    forger, insider = Forger(world, "ward"), Insider.of(world, who)
    return forger.countersigned(forger.entry(op, insider.member_id, insider.keys.signing))


def _ways_back(world: World, before: _Moment, other: SignedEntry) -> Iterator[Way]:
    database, group_id = world.database, world.groups["ward"].group_id
    (head,) = (
        row for row in before.database.tables["twinlock_groups"] if row["group_id"] == group_id
    )

    def cut_off() -> None:
        seq = head["head_seq"]
        database.delete("twinlock_log_entries", group_id=group_id, seq=seq + 1)
        database.update(
            "twinlock_groups", {"group_id": group_id}, head_seq=seq, head_hash=head["head_hash"]
        )

    def forked() -> None:
        forger = Forger(world, "ward")
        cut_off()
        forger.write(other)

    yield _WHOLE, lambda: database.restore(before.database), "log.rollback"
    yield "the log set back", lambda: database.restore(before.database, LOG), "log.rollback"
    yield "the cut-over deleted", cut_off, "log.rollback"
    yield "another entry in its place", forked, "log.fork"


def _ways_to_overrule(world: World) -> Iterator[Way]:
    """Each stopped by one check alone: the others are met honestly."""
    forger, removed = Forger(world, "ward"), world.removed
    weber, eve = Insider.of(world, "weber"), Insider.of(world, "eve")
    for who, actor, key, rule in (
        ("a stranger", forger.member.member_id, forger.signing, "not-a-member"),
        ("an admin's name", weber.member_id, forger.signing, "other-key"),
        ("a member who is no admin", eve.member_id, eve.keys.signing, "not-an-admin"),
        ("a removed member", removed.member_id, removed.keys.signing, "removed-member"),
    ):
        signed = forger.countersigned(forger.entry(_OP, actor, key))
        yield f"signed by {who}", partial(forger.write, signed), f"log.not-allowed:{rule}"
    withdrawn = forger.entry(_OP, weber.member_id, weber.keys.signing)
    yield "withdrawn by its admin", partial(forger.write, withdrawn), "log.countersignature"

    def by_another_group() -> None:
        admin, group = world.agents["weber"].admin, world.groups["emergency"]
        world.vault.append(admin.set_column(group.group_id, TABLE, _COLUMN, ColumnState.LEGACY))

    yield "said by another group", by_another_group, "legacy.cut-over"


def _with_two_admins(old: OldApplication, trial: Trial) -> None:
    """Kim becomes an admin too; admin_k stays 1. To lower a floor takes both."""
    world = old.world
    weber, kim = world.agents["weber"], world.agents["kim"]
    group_id = world.groups["ward"].group_id
    world.vault.append(weber.admin.set_admins(group_id, [weber.member_id, kim.member_id], 1))
    world.follow("weber", "kim")
    after = _Moment.now(world)
    for who in ("weber", "kim"):
        signed = _signed(world, who, _OP)
        write = partial(Forger(world, "ward").write, signed)
        _try(trial, old, after, "one admin of two", write, "log.policy-lowered")
