"""What a lying server may ask the browser's agent for: of whom, how much, after which log."""

from __future__ import annotations

from contextlib import closing

from attacks.browser_agent import BrowserAgent, in_browsers, weaker_source
from attacks.harness import Trial, attack
from attacks.hsm_loot import targets
from attacks.live_budget import tighten, unwatched
from attacks.live_forger import Forger, changed, hello_of, lost
from attacks.node_peer import Patch
from attacks.row_rollback import LOG, newcomer, taken_server, whole_log
from attacks.tools import NODE
from attacks.world import World


@attack(
    id="browser-unwatched",
    attack=19,
    says="browser agent: records beyond its budget; groups that want a click for each",
    mutations=[
        weaker_source(
            "the agent has no budget",
            Patch("core/limits.ts", "if (used + count <= limit) return null;", "return null;"),
        ),
        weaker_source(
            "the agent asks for no click",
            Patch("core/limits.ts", "if (policy.clickEach)", "if (false)"),
        ),
        weaker_source(
            "the agent counts no records",
            Patch("core/agent.ts", "state.ledger.spend(counts, now);", ""),
        ),
    ],
    claim="live-own-agent",
    databases=False,
    needs=[NODE],
)
def browser_unwatched(world: World, trial: Trial) -> None:
    """The ward's budget is three records an hour; the data office wants a click for each."""
    tighten(world)
    with in_browsers(world, "kim", "olga"):
        unwatched(world, trial)


@attack(
    id="browser-foreign-request",
    attack=19,
    says="browser agent: requests for another member, deployment or session, or of yesterday",
    mutations=[
        weaker_source(
            "the agent answers requests for anybody",
            Patch(
                "core/examine.ts",
                "!equal(memberId, state.memberId) || !equal(deploymentId, state.deploymentId)",
                "false",
            ),
        ),
        weaker_source(
            "the agent answers in any session",
            Patch("core/examine.ts", "equal(sessionHash, message.sessionHash)", "true"),
        ),
        weaker_source(
            "requests do not expire",
            Patch(
                "core/examine.ts",
                "notAfter < now - CLOCK_SKEW || notAfter > now + MAX_REQUEST_LIFE + CLOCK_SKEW",
                "false",
            ),
        ),
    ],
    claim="live-own-agent",
    databases=False,
    needs=[NODE],
)
def browser_foreign_request(world: World, trial: Trial) -> None:
    """Everything else about them is in order, and the release would go to the attacker's key."""
    place, weber = world.place("first-rsa-oaep"), world.agents["weber"].member_id
    with in_browsers(world, "kim"):
        forger = Forger(world)
        raw, _ = hello_of(world, "kim")
        bundle = forger.redirected(raw, forger.hsm_signs, place)
        now = world.clock()
        for kind, refusal, fields in (
            ("another member's", "request.not-mine", {"member_id": weber}),
            ("another deployment's", "request.not-mine", {"deployment_id": bytes(16)}),
            ("another session's", "request.session", {"session_hash": bytes(32)}),
            ("yesterday's", "request.expired", {"not_after": now - 86400}),
            ("for ever", "request.expired", {"not_after": now + 86400}),
        ):
            with trial.attempt(kind, refusal) as attempt:
                forged = changed(bundle, **fields)
                release = world.agents["kim"].release(forged.encode())
                attempt.says(bool(lost(forger.keys_in(release.raw), targets(world, [place]))))


@attack(
    id="browser-rolled-back",
    attack=(4, 19),
    says="browser agent: the log of a group as it was before a removal, or forked",
    mutations=[
        weaker_source(
            "the agent does not compare the server's heads with its own",
            Patch("core/examine.ts", "checkHeads(followed.groups, message.heads);", ""),
        ),
        weaker_source(
            "the agent forgets the head that its invitation names",
            Patch("core/membership/log.ts", "pin === undefined || pin.seq <= group.seq", "true"),
        ),
    ],
    claim="live-own-agent",
    databases=False,
    needs=[NODE],
)
def browser_rolled_back(world: World, trial: Trial) -> None:
    """Database and server are taken: to Kim, who followed the log, and to Nora, who was invited."""
    group_id = world.groups["ward"].group_id
    place = world.place("tom-time-rsa-oaep")
    newcomer(world).card(world.agents["weber"].admin.invite(group_id))
    world.database.restore(world.removed.snapshot, LOG)
    with (
        in_browsers(world, "kim"),
        closing(taken_server(world)) as vault,
        closing(BrowserAgent(world, "nora")) as nora,
    ):
        with trial.attempt("a member who followed the log", "log.fork") as attempt:
            kim = world.agents["kim"]
            kim.release(vault.request([(place.context, world.stored(place))]))
            attempt.broke()
        with trial.attempt("an invited newcomer", "log.rollback") as attempt:
            nora.follow(whole_log(world.database, group_id))
            attempt.broke()
