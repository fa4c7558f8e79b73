"""A lying server against the agent in the browser: the attacks on the program's agent, once more.

The weakened builds take a check out of web/src; the attacker is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from attacks.browser_agent import in_browsers, source_changed, weaker_source
from attacks.harness import Mutation, Trial, attack
from attacks.live_server import (
    LOCKS_WITHOUT_CONTEXT,
    live_other_context,
    live_other_group,
    live_own_transport_key,
    live_unasked_records,
)
from attacks.live_statements import live_statements_in_advance
from attacks.live_template import ONE_KEY
from attacks.node_peer import Patch
from attacks.tools import NODE
from attacks.world import World

STATEMENT_UNSIGNED: Final = Patch(
    "core/statements.ts",
    "await verify(await p256PointOf(known.identity), statement.raw, statement.signature);",
    "",
)
_KEY_UNCOMPARED: Final = Patch(
    "core/examine.ts",
    "!equal(message.transportKid, kid) || !equal(message.transportDigest, digest)",
    "false",
)


@attack(
    id="browser-own-transport-key",
    says="browser agent: the attacker's own transport key, not stated, or by another identity",
    mutations=[
        weaker_source(
            "the agent does not check the transport key's statement",
            STATEMENT_UNSIGNED,
            _KEY_UNCOMPARED,
        ),
        weaker_source(
            "the agent compares no identity",
            Patch("core/statements.ts", "equal(await sha256(key.public), fingerprint)", "true"),
            Patch(
                "core/statements.ts",
                "!equal(await sha256(known.identity), known.fingerprint)",
                "false",
            ),
        ),
        ONE_KEY,
    ],
    claim="live-own-agent",
    attack=19,
    databases=False,
    needs=[NODE],
)
def browser_own_transport_key(world: World, trial: Trial) -> None:
    """With the HSM interface he has the real identity key sign; then he gets what is released."""
    with in_browsers(world, "kim"):
        live_own_transport_key(world, trial)


@attack(
    id="browser-unasked-records",
    says="browser agent: records that the user did not open, among one that he did",
    mutations=[
        weaker_source(
            "the agent releases whatever is asked for",
            Patch("core/agent.ts", "checkExpected(examined.records, expected);", ""),
        ),
        weaker_source(
            "the agent shows no records",
            Patch(
                "core/shown.ts",
                "request.records.map((record) => shownAsked(request, record))",
                "[]",
            ),
        ),
        weaker_source(
            "the agent counts no records",
            Patch("core/agent.ts", "state.ledger.spend(counts, now);", ""),
        ),
        ONE_KEY,
    ],
    claim="live-own-agent",
    attack=19,
    databases=False,
    needs=[NODE],
)
def browser_unasked_records(world: World, trial: Trial) -> None:
    """With ``expect`` they are refused. Without, they are shown, counted, lost, and no others."""
    with in_browsers(world, "kim"):
        live_unasked_records(world, trial)


@attack(
    id="browser-other-group",
    says="browser agent: a lock shown as another group's, whose budget it would count against",
    mutations=[
        weaker_source(
            "the agent opens a lock with whatever key fits",
            Patch(
                "core/answer.ts",
                "request.groups.get(hex(lock.groupId))!.state;",
                """request.groups.get(hex(lock.groupId))!.state;
      for (const { state } of request.groups.values()) {
        for (const { number } of state.epochs.values()) {
          const renamed = { ...lock, groupId: state.groupId, epoch: number };
          const found = await groupKeys.key(state, number).then((key) => openLock(renamed, key, {
            core: record.core, context: record.contextRaw, commitment: record.header.commitment,
          })).catch(() => null);
          if (found) return {
            releaseKey: found, dekId: record.core.dekId, lockDigest: await sha256(lock.raw),
          };
        }
      }""",
            ),
        )
    ],
    claim="live-own-agent",
    attack=19,
    databases=False,
    needs=[NODE],
)
def browser_other_group(world: World, trial: Trial) -> None:
    """Ward and emergency are both Kim's; the record's lock of the ward is called emergency's."""
    with in_browsers(world, "kim"):
        live_other_group(world, trial)


@contextmanager
def _locks_without_context() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(LOCKS_WITHOUT_CONTEXT.apply())
        patch = Patch(
            "core/locks.ts",
            "const { core, context, commitment } = bound;",
            "const { core, commitment } = bound, context = new Uint8Array(0);",
        )
        stack.enter_context(source_changed(patch))
        yield


@attack(
    id="browser-other-context",
    says="browser agent: a harmless context shown while another record is asked for",
    mutations=[Mutation(LOCKS_WITHOUT_CONTEXT.text, _locks_without_context, rebuild=True)],
    claim="live-own-agent",
    attack=19,
    databases=False,
    needs=[NODE],
)
def browser_other_context(world: World, trial: Trial) -> None:
    """Every other record of the reader's under the context that the user opened."""
    with in_browsers(world, "kim"):
        live_other_context(world, trial)


@attack(
    id="browser-statements",
    says="browser agent: statements for the attacker's key, signed while he had the HSM interface",
    mutations=[
        weaker_source(
            "the agent does not check the nonce",
            Patch("core/statements.ts", "!equal(takeBytes(nonce, 32), known.agentNonce)", "false"),
        ),
        weaker_source(
            "the agent keeps sessions, and takes statements, of any age",
            Patch(
                "core/statements.ts",
                "MAX_TRANSPORT_LIFE = 2 * 3600",
                "MAX_TRANSPORT_LIFE = 2 ** 40",
            ),
        ),
    ],
    claim="live-own-agent",
    attack=(19, 34),
    databases=False,
    needs=[NODE],
)
def browser_statements(world: World, trial: Trial) -> None:
    """Afterwards he has the database and the line to the agents, but signs nothing more."""
    with in_browsers(world, "kim", "weber"):
        live_statements_in_advance(world, trial)
