"""Members' agents in the server, and somebody who takes the server over while some are logged in.

He reads every secret that the process has then, and whatever passes through afterwards. What it is
worth is measured with the HSM interface and the database, past every policy.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from attacks.building import group
from attacks.factor_accounts import NEW_PASSWORD, PASSWORDS, SOURCE, free_hashes
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.ways_scene import Scene
from attacks.ways_stolen import SEED_KEPT
from twinlock.agent.agent import Agent
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import MemberKeys, member_keys
from twinlock.core.factors import EnrollableFactor
from twinlock.core.membership import AgentPlacement, Policy
from twinlock.core.secret import Secret
from twinlock.server import agents as server_agents
from twinlock.server.agents import IDLE_LIFE, ServerAgents
from twinlock.server.vault import Vault

if TYPE_CHECKING:
    from attacks.world import World

DESK, STRICT, ELSEWHERE = "desk", "ward", "emergency"
_GROUPS: Final = (DESK, STRICT, ELSEWHERE, "data-office")
_NAMES: Final = ("ada", "ben", "cleo", "dan", "gil")
_BEGUN, _UNLOCK = ServerAgents.__init__, ServerAgents._unlock
_SEED_SIZE: Final = 32


def _begun_anyway(agents: ServerAgents, vault: Vault, **more: Any) -> None:
    vault._config = replace(vault.config, agent_in_server=True)
    _BEGUN(agents, vault, **more)


def _everywhere(_: Policy, __: AgentPlacement) -> bool:
    return True


@attack(
    id="ways-in-server",
    claim="live-server-agent",
    attack=19,
    says="a server that runs members' agents is taken over while some of them are logged in",
    mutations=[
        Mutation(
            "logging out leaves the agent where it is",
            lambda: weakened((ServerAgents, "end", nothing)),
        ),
        Mutation(
            "a forgotten login ends when somebody calls, and not before",
            lambda: weakened((ServerAgents, "_look_later", nothing)),
        ),
        SEED_KEPT,
        Mutation(
            "the server runs agents whatever its configuration says",
            lambda: weakened((ServerAgents, "__init__", _begun_anyway)),
        ),
        Mutation(
            "agents do not look where they may run",
            lambda: weakened((Policy, "allows_agent", _everywhere)),
        ),
    ],
    databases=False,
)
def ways_in_server(world: World, trial: Trial) -> None:
    """Loot is exact: all of whoever is logged in meanwhile, of strict groups too, until revoked."""
    scene = Scene(world)
    with trial.attempt("not turned on", "agent.in-server-off") as attempt:
        ServerAgents(world.vault)
        attempt.broke()
    _turn_on(scene)
    with free_hashes(), _Timers() as timers:
        clinic = _Clinic(scene, timers)
        clinic.before(trial)
        clinic.taken_over()
        claimed = clinic.afterwards()
        trial.loot("the members who are logged in", claimed=claimed, taken=clinic.loot())


def _turn_on(scene: Scene) -> None:
    """Have the configuration say so, and found a group whose policy does."""
    world = scene.world
    world.config = replace(world.config, agent_in_server=True)
    world.restart()
    policy = Policy(outer_suites=world.config.accept, agent_placement=AgentPlacement.SERVER)
    group(world, DESK, policy, "weber", "kim")


class _Timers:
    """Stands for ``threading.Timer``: runs what waits when the world's clock says so."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._stack = ExitStack()

    def __enter__(self) -> _Timers:
        timers = self

        class Waiting:
            daemon = False

            def __init__(self, _: float, then: Callable[[], None]) -> None:
                self._then = then

            def start(self) -> None:
                timers._waiting.append(self._then)

            def cancel(self) -> None:
                timers._waiting.remove(self._then)

        self._stack.enter_context(weakened((server_agents, "Timer", Waiting)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ring(self) -> None:
        """Run everything that waits."""
        due, self._waiting = self._waiting, []
        for then in due:
            then()


@dataclass
class _Takeover:
    """Seeds of members, as whoever has the process finds and hears them.

    ``publics``: the members' signing keys, as the logs have them.
    """

    publics: dict[bytes, str]
    seeds: dict[str, Secret] = field(default_factory=dict)

    def read_memory(self) -> None:
        """Try every secret of the process as a member's seed."""
        gc.collect()
        held = [o for o in gc.get_objects() if isinstance(o, Secret) and len(o) == _SEED_SIZE]
        for value in {secret.reveal() for secret in held}:
            self.hear(member_keys(Secret(value)))

    def hear(self, keys: MemberKeys) -> None:
        """Keep a seed, if it is a member's."""
        name = self.publics.get(keys.signing.public)
        if name is not None:
            self.seeds[name] = Secret(keys.seed.reveal())

    def login(self, agents: ServerAgents, name: str, factors: Sequence[EnrollableFactor]) -> Agent:
        """Log what passes through the login form."""
        agent = _UNLOCK(agents, name, factors)
        self.hear(agent._unlocked())
        return agent


class _Clinic:
    """People who log in by a form; each is in a strict group as well."""

    def __init__(self, scene: Scene, timers: _Timers) -> None:
        self.scene, self.world, self.timers = scene, scene.world, timers
        self.agents = ServerAgents(scene.world.vault)
        for name in _NAMES:
            groups = [DESK, ELSEWHERE] if name == "ben" else [DESK]
            scene.enter(name, scene.kept.accounts.password(name), groups=groups)
        self.thieves = {name: scene.thief(name) for name in _NAMES}
        members = scene.kept.agents.items()
        self.takeover = _Takeover({a.ways.keys.signing.public: name for name, a in members})
        # Their own computers are other machines, and stand still.
        scene.kept.agents.clear()
        self.sealed = scene.seal("at first", *_GROUPS)

    def before(self, trial: Trial) -> None:
        """Ada logs out, Dan forgets to, Cleo stays."""
        ended = self._begin("ada")
        with self._once("ada") as agent:
            self._works(agent)
        self._begin("dan")
        login = self._begin("cleo")
        strict = [name for name in self.sealed if name.endswith(STRICT)]
        with trial.attempt("a record of a strict group", "release.placement") as attempt:
            attempt.says(bool(self.scene.opened_by(self.agents.agent(login), strict)))
        self.world.clock.later += IDLE_LIFE - 60
        self._works(self.agents.agent(login))
        self._works(self.agents.agent(ended))
        self.agents.end(ended)
        self.world.clock.later += 120
        self.timers.ring()

    def taken_over(self) -> None:
        """Ben logs in meanwhile; he and Cleo log out when it is over."""
        self.takeover.read_memory()
        with (
            weakened((ServerAgents, "_unlock", _hooked(self.takeover))),
            self._once("ben") as agent,
        ):
            self._works(agent)
        self.agents.close()

    def afterwards(self) -> set[tuple[str, str]]:
        """Cleo revokes, Ben does not. Returns what the claim concedes."""
        for thief in self.thieves.values():
            thief.copy()
        until = self.sealed | self.scene.seal("before a revocation", *_GROUPS)
        cleo = self.scene.kept.accounts.unlock("cleo")
        self.scene.follow(cleo)
        password = self.scene.kept.accounts.password("cleo", NEW_PASSWORD)
        self.scene.accept(cleo.ways.revoke([NewWay([password])]))
        always = until | self.scene.seal("after a revocation", *_GROUPS)
        for thief in self.thieves.values():
            thief.copy()
        may = {"cleo": (until, (DESK, STRICT)), "ben": (always, (DESK, STRICT, ELSEWHERE))}
        return {
            (name, record)
            for name, (records, groups) in may.items()
            for record in records
            if record.endswith(groups)
        }

    def loot(self) -> set[tuple[str, str]]:
        """Return (member, record) for all that the seeds open that were heard."""
        return {
            (name, record)
            for name, seed in self.takeover.seeds.items()
            for record in self.thieves[name].opens(member_keys(seed))
        }

    # --- what the application does ---------------------------------------------------------------

    def _begin(self, name: str) -> Secret:
        return self.agents.begin(name, [self._typed(name)])

    def _once(self, name: str) -> AbstractContextManager[Agent]:
        return self.agents.once(name, [self._typed(name)])

    def _typed(self, name: str) -> EnrollableFactor:
        return self.agents.password(name, PASSWORDS[name], source=SOURCE)

    def _works(self, agent: Agent) -> None:
        (record,) = (name for name in self.sealed if name.endswith(DESK))
        if not self.scene.opened_by(agent, [record]):
            raise LookupError("an agent in the server opens nothing: the attack proves nothing")


def _hooked(takeover: _Takeover) -> Callable[..., Agent]:
    def login(agents: ServerAgents, name: str, factors: Sequence[EnrollableFactor]) -> Agent:
        return takeover.login(agents, name, factors)

    return login
