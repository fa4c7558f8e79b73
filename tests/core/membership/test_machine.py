"""Random histories of a group, compared with a model of a few lines."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.core.membership.world import (
    DEPLOYMENT,
    POLICY,
    Log,
    Person,
    begin,
    epoch_key,
    founding,
    person,
    rekey,
    writer,
)
from twinlock.core.membership import (
    Add,
    ColumnState,
    Leave,
    NewEpoch,
    Op,
    RecoveryBegin,
    Remove,
    Restate,
    Role,
    SetAdmins,
    SetColumn,
    SetPolicy,
    SetWriters,
    decode_state,
    encode_state,
    replay,
)
from twinlock.core.membership.traits import EXCEPTIONS, TRAITS
from twinlock.errors import DataError

NAMES = ("Anna", "Bernd", "Clara", "Dora", "Emil")
GENERATIONS = 6

names = st.sampled_from(NAMES)
some_names = st.lists(names, unique=True, max_size=4)
signers = st.none() | some_names
generations = st.integers(0, GENERATIONS - 1)
excepted = st.frozensets(st.sampled_from(sorted(EXCEPTIONS)))
stated = st.frozensets(st.sampled_from(sorted(TRAITS)))


@dataclass
class Model:
    """What the rules of the specification say, in sets and numbers.

    ``keys``: each present member's generation of keys; ``spent``: (name, generation) given up;
    ``traits``: what members stated since they took their keys.
    """

    keys: dict[str, int]
    admins: set[str]
    admin_k: int
    recovery: bool
    epochs: int = 1
    budget: int = 10
    writers: int = 0
    columns: dict[str, ColumnState] = field(default_factory=dict)
    spent: set[tuple[str, int]] = field(default_factory=set)
    exceptions: frozenset[str] = frozenset()
    traits: dict[str, frozenset[str]] = field(default_factory=dict)

    def admins_say(self, by: str, others: list[str], needed: int | None = None) -> bool:
        signers = {by, *others}
        enough = len(signers) >= (needed or self.admin_k)
        return signers <= self.admins and by not in others and enough

    def alive_without(self, name: str) -> bool:
        openers = len(self.keys) - (name in self.keys)
        enough_admins = len(self.admins - {name}) >= self.admin_k
        return enough_admins and (openers >= 2 or self.recovery)

    def drop(self, name: str) -> None:
        self.spent.add((name, self.keys.pop(name)))
        self.admins.discard(name)
        self.traits.pop(name, None)
        self.epochs += 1

    def fresh(self, name: str, generation: int) -> bool:
        return (name, generation) not in self.spent and self.keys.get(name) != generation


class GroupHistory(RuleBasedStateMachine):
    """R-LOG-11 to R-LOG-20, R-LOG-27, R-LOG-36 to R-LOG-42: every operation, signed by anybody.

    What the model allows succeeds, everything else is refused and changes nothing.
    """

    log: Log
    model: Model

    @initialize(order=st.permutations(NAMES), data=st.data(), recovery=st.booleans())
    def found(self, order: list[str], data: st.DataObject, recovery: bool) -> None:
        count = data.draw(st.integers(1, len(NAMES)), "members")
        admin_count = data.draw(st.integers(1, count), "admins")
        admin_k = data.draw(st.integers(1, min(admin_count, 2)), "admin_k")
        admins, members = order[:admin_count], order[admin_count:count]
        op = founding(
            [person(name) for name in admins],
            [person(name) for name in members],
            admin_k=admin_k,
            policy=replace(POLICY, budget_per_hour=10),
            recovery=b"r" * 32 if recovery else None,
        )
        self.log = begin(op, person(admins[0]))
        keys = dict.fromkeys(order[:count], 0)
        self.model = Model(keys, set(admins), admin_k, recovery)

    def holder(self, name: str) -> Person:
        """Return the person with the newest keys that the log could know."""
        return person(name, self.model.keys.get(name, 0))

    def who_signs(self, by: str, others: list[str] | None) -> tuple[str, list[str]]:
        """Return who signs; None stands for every admin, so that histories get somewhere."""
        if others is None:
            by, *others = sorted(self.model.admins)
        return by, [one for one in others if one != by]

    def attempt(self, op: Op, by: Person, others: list[Person], allowed: bool) -> bool:
        """Say it, and check that it succeeds exactly if the model allows it."""
        before, refusal = self.log.state, None
        try:
            self.log.say(op, by, *others)
        except DataError as error:
            refusal = error
        assert allowed == (refusal is None), refusal
        assert allowed != (self.log.state is before)
        return allowed

    def attempt_signed(self, op: Op, by: str, others: list[str], allowed: bool) -> bool:
        return self.attempt(op, self.holder(by), [self.holder(one) for one in others], allowed)

    @rule(by=names, others=signers, name=names, generation=generations, role=st.sampled_from(Role))
    def add(
        self, by: str, others: list[str] | None, name: str, generation: int, role: Role
    ) -> None:
        by, others = self.who_signs(by, others)
        model = self.model
        fresh = name not in model.keys and model.fresh(name, generation)
        op = Add(person(name, generation).member, role)
        if self.attempt_signed(op, by, others, model.admins_say(by, others) and fresh):
            model.keys[name] = generation
            if role is Role.ADMIN:
                model.admins.add(name)

    @rule(by=names, others=signers, name=names)
    def remove(self, by: str, others: list[str] | None, name: str) -> None:
        by, others = self.who_signs(by, others)
        model = self.model
        possible = name in model.keys and name != by and model.alive_without(name)
        op = Remove(person(name).id, self.log.next_key())
        if self.attempt_signed(op, by, others, model.admins_say(by, others) and possible):
            model.drop(name)

    @rule(name=names)
    def leave(self, name: str) -> None:
        allowed = name in self.model.keys and self.model.alive_without(name)
        if self.attempt_signed(Leave(self.log.next_key()), name, [], allowed):
            self.model.drop(name)

    @rule(name=names, generation=generations)
    def renew_keys(self, name: str, generation: int) -> None:
        model, new = self.model, person(name, generation)
        if model.keys.get(name, 0) == generation:
            return  # One key signs an entry once; test_rules.py has this case.
        allowed = name in model.keys and model.fresh(name, generation)
        if self.attempt(rekey(self.log.state, new), self.holder(name), [new], allowed):
            model.spent.add((name, model.keys[name]))
            model.keys[name] = generation
            model.traits.pop(name, None)
            model.epochs += 1

    @rule(name=names, traits=stated)
    def restate(self, name: str, traits: frozenset[str]) -> None:
        model = self.model
        allowed = name in model.keys and traits & EXCEPTIONS <= model.exceptions
        if self.attempt_signed(Restate(traits), name, [], allowed):
            model.traits[name] = traits

    @rule(name=names, about=names)
    def notify(self, name: str, about: str) -> None:
        op = RecoveryBegin(person(about).id, b"d" * 32)
        self.attempt_signed(op, name, [], name in self.model.keys)

    @rule(by=names, others=signers, number=st.sampled_from([0, 0, -1, 1]))
    def new_epoch(self, by: str, others: list[str] | None, number: int) -> None:
        by, others = self.who_signs(by, others)
        model = self.model
        op = NewEpoch(epoch_key(model.epochs + 1 + number, tag="" if number == 0 else "wrong"))
        if self.attempt_signed(op, by, others, number == 0 and model.admins_say(by, others)):
            model.epochs += 1

    @rule(by=names, others=signers, admins=some_names, admin_k=st.integers(1, 2))
    def set_admins(
        self, by: str, others: list[str] | None, admins: list[str], admin_k: int
    ) -> None:
        by, others = self.who_signs(by, others)
        model = self.model
        enough = model.admin_k <= admin_k <= len(admins)
        possible = enough and set(admins) <= model.keys.keys()
        op = SetAdmins(frozenset(person(name).id for name in admins), admin_k)
        if self.attempt_signed(op, by, others, model.admins_say(by, others) and possible):
            model.admins, model.admin_k = set(admins), admin_k

    @rule(by=names, others=signers, budget=st.integers(8, 12), exceptions=excepted)
    def set_policy(
        self, by: str, others: list[str] | None, budget: int, exceptions: frozenset[str]
    ) -> None:
        by, others = self.who_signs(by, others)
        model = self.model
        lowers = budget > model.budget or bool(exceptions - model.exceptions)
        needed = len(model.admins) if lowers and model.admin_k == 1 else model.admin_k
        possible = all(traits & EXCEPTIONS <= exceptions for traits in model.traits.values())
        op = SetPolicy(replace(POLICY, budget_per_hour=budget, exceptions=exceptions))
        if self.attempt_signed(op, by, others, model.admins_say(by, others, needed) and possible):
            model.budget, model.exceptions = budget, exceptions

    @rule(by=names, others=signers, count=st.integers(0, 3))
    def set_writers(self, by: str, others: list[str] | None, count: int) -> None:
        by, others = self.who_signs(by, others)
        op = SetWriters(tuple(writer(f"writer {n}") for n in range(count)))
        if self.attempt_signed(op, by, others, self.model.admins_say(by, others)):
            self.model.writers = count

    @rule(
        by=names,
        others=signers,
        column=st.sampled_from(["diagnosis", "note"]),
        state=st.sampled_from(ColumnState),
    )
    def set_column(
        self, by: str, others: list[str] | None, column: str, state: ColumnState
    ) -> None:
        by, others = self.who_signs(by, others)
        model = self.model
        lowers = (model.columns.get(column), state) == (ColumnState.CUT_OVER, ColumnState.LEGACY)
        needed = len(model.admins) if lowers and model.admin_k == 1 else model.admin_k
        op = SetColumn("patient", column, state)
        if self.attempt_signed(op, by, others, model.admins_say(by, others, needed)):
            model.columns[column] = state

    @invariant()
    def the_state_is_the_model(self) -> None:
        state, model = self.log.state, self.model
        assert {m.member.name for m in state.members.values()} == model.keys.keys()
        for name, generation in model.keys.items():
            member = replace(
                person(name, generation).member, traits=model.traits.get(name, frozenset())
            )
            assert state.members[person(name).id].member == member
        assert state.admins == {person(name).id for name in model.admins}
        assert state.admin_k == model.admin_k
        assert list(state.epochs) == list(range(1, model.epochs + 1))
        assert state.policy.budget_per_hour == model.budget
        assert state.policy.exceptions == model.exceptions
        assert len(state.writers) == model.writers
        assert {column: s for (_, column), s in state.columns.items()} == model.columns
        gone = {name for name, _ in model.spent} - model.keys.keys()
        assert state.removed.keys() == {person(name).id for name in gone}

    @invariant()
    def a_snapshot_is_the_state(self) -> None:
        assert decode_state(encode_state(self.log.state)) == self.log.state

    def teardown(self) -> None:
        if hasattr(self, "log"):
            assert replay(self.log.entries, deployment_id=DEPLOYMENT) == self.log.state


GroupHistory.TestCase.settings = settings(
    deadline=None,
    max_examples=80,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)


TestGroupHistory = GroupHistory.TestCase
