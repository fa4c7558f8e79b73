"""A live server's requests: other members', other sessions', too old, too many, false logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.hsm_interface import live_token
from attacks.hsm_loot import targets
from attacks.live_forger import Forger, changed, hello_of, lost, request_of
from attacks.people import Insider
from attacks.places import Place
from attacks.world import World
from twinlock.agent import agent, examine
from twinlock.agent.agent import Agent
from twinlock.core.context import Context
from twinlock.core.membership import (
    Add,
    Member,
    SignedEntry,
    authority,
    next_entry,
    sign_entry,
    with_countersignature,
)
from twinlock.core.membership.entry import countersign_input
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import Kem, kem_key_from_seed, signing_key_from_seed
from twinlock.core.release import decode_share, split_signed
from twinlock.core.request import GroupHead, GroupNews, RequestBundle
from twinlock.core.secret import Secret
from twinlock.core.statements import MAX_TRANSPORT_LIFE

_BUDGET: Final = 5
_LONG: Final = 1 << 40


@attack(
    id="live-false-requests",
    claim="live-own-agent",
    attack=19,
    says="another member's request, an ended session, an expired request, a false group log",
    mutations=[
        Mutation(
            "agents answer anybody's request",
            lambda: weakened((examine, "_check_addressed", nothing)),
        ),
        Mutation(
            "sessions never end",
            lambda: weakened((examine, "SESSION_LIFE", _LONG), (agent, "SESSION_LIFE", _LONG)),
        ),
        Mutation("requests never expire", lambda: weakened((examine, "_check_fresh", nothing))),
        Mutation(
            "any member changes a group",
            lambda: weakened((authority, "_check_admins", nothing)),
        ),
        Mutation(
            "agents do not compare heads", lambda: weakened((examine, "check_heads", nothing))
        ),
    ],
    databases=False,
)
def live_false_requests(world: World, trial: Trial) -> None:
    """The attacker has the HSM interface, so that each transport key is stated as it must be."""
    forger, place = Forger(world), world.place("first-rsa-oaep")
    raw, hello = hello_of(world, "kim")
    weber = world.agents["weber"].member_id

    def released(kind: str, bundle: RequestBundle, *refused: str) -> None:
        with trial.attempt(kind, *refused) as attempt:
            release = world.agents["kim"].release(bundle.encode())
            attempt.says(bool(lost(forger.keys_in(release.raw), targets(world, [place]))))

    genuine = forger.redirected(raw, forger.hsm_signs, place)
    released("another member's request", changed(genuine, member_id=weber), "request.not-mine")
    now = world.clock()
    for not_after in (now - 3600, now + 86400, _LONG):
        late = changed(genuine, not_after=not_after)
        released("a request of another time", late, "request.expired")
    other = changed(genuine, session_hash=hello_of(world, "weber")[1].session_hash)
    released("another session", other, "request.session")

    heads = request_of(genuine).heads
    old_heads = tuple(replace(head, seq=head.seq - 1, head=bytes(32)) for head in heads)
    released("other heads than the log's", changed(genuine, heads=old_heads), "log.fork")
    _false_log(world, trial, place)

    world.clock.later += MAX_TRANSPORT_LIFE + 600
    fresh_raw, fresh = hello_of(world, "kim")
    bundle = forger.bundle(fresh_raw, place)
    for nonce in (hello.agent_nonce, fresh.agent_nonce):
        statement = forger.statement(nonce, forger.hsm_signs)
        ended = changed(bundle, session_hash=hello.session_hash)
        released("another session", forger.with_statement(ended, statement), "request.session")


def _false_log(world: World, trial: Trial, place: Place) -> None:
    """Eve, no admin, adds Mallory; the attacker has the real log key countersign it."""
    eve, state = Insider.of(world, "eve"), world.vault.group_state(world.groups["ward"])
    seeds = Secret(b"\1" * 32), Secret(b"\2" * 32)
    kem = kem_key_from_seed(Kem.DHKEM_P256, seeds[0])
    signing = signing_key_from_seed(seeds[1])
    mallory = Member(b"mallory".ljust(16), "mallory", kem.kem, kem.public, signing.public)
    raw = next_entry(state, Add(mallory), actor_id=eve.member_id, time=world.clock())
    signed = sign_entry(raw, eve.keys.signing, eve.member_id)
    with trial.attempt("a false group log", "log.not-allowed") as attempt:
        news = (GroupNews(state.group_id, (_countersigned(world, signed).encode(),)),)
        kim, forger = world.unlock("kim"), Forger(world)
        bundle = forger.redirected(kim.hello(), forger.hsm_signs, place)
        heads = tuple(
            GroupHead(head.group_id, state.seq + 1, signed.head)
            if head.group_id == state.group_id
            else head
            for head in request_of(bundle).heads
        )
        try:
            kim.release(changed(replace(bundle, news=news), heads=heads).encode())
        finally:
            known = {g.state.group_id: g.state for g in kim.groups}
            followed = mallory.member_id in known[state.group_id].members
        attempt.says(followed)


def _countersigned(world: World, signed: SignedEntry) -> SignedEntry:
    key = world.vault.directory.current(KeyRole.LOG)
    return with_countersignature(signed, live_token(world).sign(key.kid, countersign_input(signed)))


@attack(
    id="live-budget",
    claim="live-own-agent",
    attack=19,
    says="more records than the member's budget: at once, one by one, over several agents",
    mutations=[
        Mutation("agents have no budget", lambda: weakened((Agent, "_check_budget", nothing))),
        Mutation(
            "each agent process counts for itself",
            lambda: weakened((Agent, "_reload", nothing)),
        ),
    ],
    databases=False,
)
def live_budget(world: World, trial: Trial) -> None:
    """Kim's agents release five DEKs an hour by themselves, and Olga's help with five."""
    forger = Forger(world)
    everything = _sealed_like(world, "ward-only-rsa-oaep", 2 * _BUDGET)

    def ask(answering: Agent, places: list[Place]) -> int:
        bundle = forger.redirected(answering.hello(), forger.hsm_signs, *places)
        return len(forger.keys_in(answering.release(bundle.encode()).raw))

    refused = "release.needs-approval"
    with trial.attempt("one large request", refused) as attempt:
        attempt.says(ask(_agent(world), everything) > _BUDGET)
    _spend(trial, "many small requests", refused, [_agent(world)], everything, ask)
    world.clock.later += 2 * 3600
    several = [_agent(world) for _ in range(3)]
    _spend(trial, "several agents", refused, several, everything, ask)
    both = _sealed_like(world, "both-rsa-oaep", 2 * _BUDGET)
    olga = [_agent(world, "olga")]
    _spend(trial, "help with AND locks", refused, olga, both, partial(_help, world))


def _help(world: World, helper: Agent, places: list[Place]) -> int:
    """Have a helper open its shares of records that Kim would be asked for; returns how many."""
    items = [(place.context, world.stored(place)) for place in places]
    request = world.vault.request(items)
    bundle = request.bind(world.agents["kim"].hello())
    signed = helper.help_with(request.assist(helper.hello(), bundle))
    return len(decode_share(split_signed(signed)[0]).items)


def _spend(
    trial: Trial,
    kind: str,
    refused: str,
    agents: list[Agent],
    everything: list[Place],
    ask: Callable[[Agent, list[Place]], int],
) -> None:
    """Ask one by one, in turn; the first one beyond the budget must be refused, and all after."""
    released = 0
    for number, place in enumerate(everything):
        with trial.attempt(kind, refused) as attempt:
            attempt.held()
            released += ask(agents[number % len(agents)], [place])
            attempt.says(released > _BUDGET)
    if released < _BUDGET:
        raise LookupError("the budget itself was not released: the attack proves nothing")


def _agent(world: World, name: str = "kim") -> Agent:
    return world.unlock(name, budget_per_hour=_BUDGET)


def _sealed_like(world: World, name: str, count: int) -> list[Place]:
    """More records with the locks of a place, in the database."""
    model = world.place(name)
    made = []
    for number in range(count):
        context = Context(table=name, record=number, column="diagnosis")
        place = replace(model, name=f"{name}-{number}", context=context)
        world.database.put(place, world.seal(place))
        made.append(place)
    return made
