"""Transport statements signed in advance, used after the attacker lost the HSM interface."""

from __future__ import annotations

from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_loot import targets
from attacks.live_forger import Forger, changed, hello_of, lost
from attacks.world import World
from twinlock.agent import agent, examine
from twinlock.core import statements
from twinlock.core.statements import CLOCK_SKEW, MAX_TRANSPORT_LIFE, Statement

_LONG: Final = 1 << 40


@attack(
    id="live-statements-in-advance",
    claim="live-own-agent",
    attack=34,
    says="statements for the attacker's transport key, signed while he had the HSM interface",
    mutations=[
        Mutation(
            "agents do not check the nonce",
            lambda: weakened((statements, "equal", lambda *_: True)),
        ),
        Mutation(
            "agents keep sessions, and take statements, of any age",
            lambda: weakened(
                (statements, "MAX_TRANSPORT_LIFE", _LONG),
                (examine, "SESSION_LIFE", _LONG),
                (agent, "SESSION_LIFE", _LONG),
            ),
        ),
    ],
    databases=False,
)
def live_statements_in_advance(world: World, trial: Trial) -> None:
    """Afterwards he has the database and the line to the agents, but signs nothing more."""
    forger, now = Forger(world), world.clock()
    _, old = hello_of(world, "kim")
    sign = forger.hsm_signs
    guesses = [bytes(32), b"\xff" * 32, old.member_id * 2, old.session_hash]
    ahead = [
        forger.statement(nonce, sign, begin=begin)
        for nonce in guesses
        for begin in (now, now + 3600)
    ]
    this_session = forger.statement(old.agent_nonce, sign)
    next_window = forger.statement(old.agent_nonce, sign, begin=now + MAX_TRANSPORT_LIFE)
    long = forger.statement(old.agent_nonce, sign, life=_LONG >> 8)
    other_member = forger.statement(hello_of(world, "weber")[1].agent_nonce, sign)

    refused = ("transport.nonce", "transport.expired")
    for statement in (*ahead, other_member):
        _try(world, trial, forger, "a statement for another nonce", statement, *refused)
    for statement in (long, next_window):
        _try(world, trial, forger, "a statement for too long or too late", statement, *refused)
    # Evicted; the agent's session ends, and with it what was signed for its nonce.
    world.clock.later += MAX_TRANSPORT_LIFE + CLOCK_SKEW + 60
    for statement in (this_session, next_window, *ahead):
        _try(world, trial, forger, "a statement for another nonce", statement, *refused)
    for statement in (long, next_window):
        with trial.attempt(
            "the ended session itself", "request.session", "transport.expired"
        ) as attempt:
            place = world.place("first-rsa-oaep")
            bundle = forger.bundle(hello_of(world, "kim")[0], place)
            forged = forger.with_statement(
                changed(bundle, session_hash=old.session_hash), statement
            )
            release = world.agents["kim"].release(forged.encode())
            attempt.says(bool(lost(forger.keys_in(release.raw), targets(world, [place]))))


def _try(
    world: World, trial: Trial, forger: Forger, kind: str, statement: Statement, *refused: str
) -> None:
    place = world.place("first-rsa-oaep")
    with trial.attempt(kind, *refused) as attempt:
        bundle = forger.bundle(hello_of(world, "kim")[0], place)
        forged = forger.with_statement(bundle, statement)
        release = world.agents["kim"].release(forged.encode())
        attempt.says(bool(lost(forger.keys_in(release.raw), targets(world, [place]))))
