"""An old password with every snapshot and the HSM interface: what is lost once it was revoked.

``change`` keeps the member's keys, so that the old way in goes on opening what the member may
open: that is conceded, and measured. ``revoke`` ends it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attacks.factor_accounts import NEW_PASSWORD, PASSWORDS, free_hashes
from attacks.factor_hsm import hardening
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.hsm_interface import interface
from attacks.ways_scene import TABLES, Scene
from twinlock.agent.agent import Agent
from twinlock.agent.arrival import Arrival
from twinlock.agent.home import FileHome
from twinlock.agent.revocation import finish_revocation
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay, Ways
from twinlock.core.locks import GroupTarget
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.membership import GroupState
from twinlock.core.ports import OuterSuite
from twinlock.server import members
from twinlock.server.groups import Group
from twinlock.server.sealing import Sealing
from twinlock.server.setup import deployment_card

if TYPE_CHECKING:
    from attacks.world import World

NAME: Final = "ada"
GROUPS: Final = ("ward", "emergency")
_LATEST: Final = "autumn geese 1909"
_OWN_GROUPS, _TARGET = Ways._own_groups, Sealing._group


def _revoke_keeping(ways: Ways, new: Sequence[NewWay], **_: Any) -> bytes:
    """Make every way in anew and leave the member's keys as they are."""
    made = [ways._make(ways.keys.seed, way, False) for way in new]
    after = copy.copy(ways.state)
    listed = ways._list([entry for _, entry in made], False)
    after.enrolments = []
    after.take_list(listed.signed(ways.keys.signing), listed, [blob for blob, _ in made])
    change = ways._change(after, (), ()).signed(ways.keys.signing)
    ways.home.stage(after, ways.keys, change)
    return change


def _to_the_epoch_before(
    sealing: Sealing,
    group: Group,
    states: Mapping[bytes, GroupState],
    outer: OuterSuite | None,
) -> GroupTarget:
    target, state = _TARGET(sealing, group, states, outer), states[group.group_id]
    epoch = state.epochs[max(target.epoch - 1, 1)]
    return GroupTarget(state.group_id, epoch.number, epoch.kem, epoch.public)


def _all_groups_but_one(ways: Ways) -> list[GroupState]:
    return _OWN_GROUPS(ways)[1:]


SEED_KEPT: Final = Mutation(
    "revoking keeps the member's seed",
    lambda: weakened((Ways, "revoke", _revoke_keeping)),
)
_EPOCH_KEPT: Final = Mutation(
    "what is sealed after a revocation is sealed to the epoch before it",
    lambda: weakened((Sealing, "_group", _to_the_epoch_before)),
)
_GROUP_LEFT_OUT: Final = Mutation(
    "revoking leaves one group out, and the server takes it",
    lambda: weakened(
        (Ways, "_own_groups", _all_groups_but_one),
        (members, "_require_one_key", nothing),
    ),
)


@attack(
    id="ways-stolen",
    claim="old-way-in",
    attack=35,
    says="an old password, every snapshot and the HSM interface, after a change and a revocation",
    mutations=[SEED_KEPT, _EPOCH_KEPT, _GROUP_LEFT_OUT],
)
def ways_stolen(world: World, trial: Trial) -> None:
    """Loot is exact: all that the member may open until the revocation, nothing sealed after it."""
    scene = Scene(world)
    with free_hashes(), interface(world) as api:
        scene.enter(NAME, scene.kept.accounts.password(NAME), groups=GROUPS[1:])
        thief = scene.thief(NAME)
        claimed = scene.seal("at first", *GROUPS)
        old = thief.copy()
        enrolments = scene.kept.enrolments_in(old, NAME)
        scene.kept.change(NAME, scene.kept.accounts.password(NAME, NEW_PASSWORD))
        claimed |= scene.seal("after the change", *GROUPS)
        thief.copy()
        world.database.restore(old, TABLES)
        # A computer that knows nothing takes the old list for the newest: SPEC 28 says so.
        taken = {("a new computer", name) for name in scene.opened_by(_arrived(scene), claimed)}
        world.database.restore(thief.copies[-1], TABLES)
        _revoke(scene, trial)
        scene.seal("after the revocation", *GROUPS, "data-office")
        thief.copy()
        keys = thief.unlock(enrolments, PASSWORDS[NAME], hardening(api))
        taken |= {("the old keys", name) for name in thief.opens(keys)}
    who = ("a new computer", "the old keys")
    trial.loot(
        "an old password", claimed={(by, name) for by in who for name in claimed}, taken=taken
    )


def _arrived(scene: Scene) -> Agent:
    """The thief's own computer, with the old password, at the honest server."""
    world = scene.world
    arrival = Arrival.begin(
        world.vault.members.bundle(NAME, ["password"]),
        [scene.kept.accounts.password(NAME)],
        deployment=deployment_card(world.config),
        clock=world.clock,
    )
    agent = arrival.agent(world.vault.members.full_bundle(arrival.ask()))
    scene.follow(agent)
    return agent


def _revoke(scene: Scene, trial: Trial) -> None:
    """Have the member revoke, and prove in the real build that nothing is lost by it."""
    agent, world = scene.kept.agents[NAME], scene.world
    scene.follow(agent)
    password = scene.kept.accounts.password(NAME, _LATEST)
    scene.accept(agent.ways.revoke([NewWay([password], "after")]))
    if trial.weakened:
        return
    home = FileHome(state_path(scene.kept.accounts.home(NAME), NAME))
    news = world.vault.group_bundle(agent.hello())
    renewed = finish_revocation(home, [password], news, clock=world.clock)
    if scene.opened_by(renewed, scene.places) != set(scene.places):
        raise LookupError("whoever revokes loses records: the attack proves nothing")
    shown = decode_member_bundle(world.vault.members.full_bundle(renewed.bundle_request()))
    if len(shown.blobs) != 1:
        raise LookupError("a revoked way in stays at the server")
