"""People who turned: what a removed member or a present one knows, as bytes and keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attacks.powers import Snapshot
from twinlock.agent.factors import DeviceKey
from twinlock.agent.state import load_state, state_path
from twinlock.core.enrolment import MemberKeys, unlock
from twinlock.core.primitives import KemKey, kem_key_from_seed

if TYPE_CHECKING:
    from attacks.world import World


@dataclass(frozen=True, slots=True)
class Insider:
    """A member's secrets: his keys, and every group key that was sealed to him by now.

    ``snapshot`` is the database as it was when he copied it.
    """

    name: str
    member_id: bytes
    keys: MemberKeys = field(repr=False)
    group_keys: dict[tuple[bytes, int], KemKey] = field(repr=False)
    snapshot: Snapshot = field(repr=False)

    @classmethod
    def of(cls, world: World, name: str) -> Insider:
        """Take a present member's secrets from his device and the database."""
        agent, home = world.agents[name], world.folder / "devices" / name
        (enrolment, *_) = load_state(state_path(home, name)).enrolments
        keys = unlock(enrolment, [DeviceKey(home / "device.key")])
        states = world.vault.group_states()
        opened = {}
        for row in world.database.rows("twinlock_sealed_group_keys", member_id=agent.member_id):
            state, epoch = states[row["group_id"]], row["epoch"]
            seed = keys.kem.open(row["sealed"], state.group_key_info(agent.member_id, epoch))
            opened[row["group_id"], epoch] = kem_key_from_seed(state.epochs[epoch].kem, seed)
        return cls(name, agent.member_id, keys, opened, world.database.snapshot())
