"""Members whose ways in lie at the server, records of theirs, and a thief who has an old way in.

What a thief takes is measured record by record, as in ``row_members``: with the member's keys,
whatever snapshots there are, and the HSM interface, without any server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attacks.factor_accounts import Accounts
from attacks.factor_guessing import Guesser, Harden
from attacks.factor_kept import Kept
from attacks.people import Insider
from attacks.places import Place
from attacks.powers import Snapshot, directory_of
from attacks.row_members import loot
from twinlock.agent.agent import Agent
from twinlock.core.context import Context
from twinlock.core.enrolment import Enrolment, MemberKeys
from twinlock.core.factors import EnrollableFactor
from twinlock.core.member_change import Login
from twinlock.core.membership import GroupState
from twinlock.core.primitives import KemKey, kem_key_from_seed
from twinlock.errors import DataError

if TYPE_CHECKING:
    from attacks.world import World

TABLES: Final = ("twinlock_enrolments", "twinlock_enrolment_lists", "twinlock_logins")
"""Where a member's ways in lie."""
STORED: Final = (*TABLES, "twinlock_members", "twinlock_log_entries", "twinlock_sealed_group_keys")
"""All that one change of a member's may touch."""


class Scene:
    """Kept members in groups, and records that are sealed meanwhile."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kept = Kept(Accounts(world))
        self.places: dict[str, Place] = {}

    @property
    def accept(self) -> Callable[[bytes], object]:
        """The server's, as it runs now."""
        return self.world.vault.members.accept

    def enter(
        self,
        name: str,
        *factors: EnrollableFactor,
        groups: Iterable[str] = (),
        logins: Sequence[Login] = (),
    ) -> Agent:
        """Become a member of the ward and of these groups, with ways in at the server."""
        self.kept.enter(name, *factors, logins=logins)
        agent = self.kept.agents[name]
        for group in groups:
            self.join(agent, group)
        agent.ways.publish(send=self.accept)
        return agent

    def join(self, agent: Agent, group: str) -> None:
        """Have Weber take somebody into another group of hers."""
        weber, group_id = self.world.agents["weber"], self.world.groups[group].group_id
        card = agent.card(weber.admin.invite(group_id))
        self.world.vault.append(weber.admin.add(group_id, card))
        self.world.follow("weber")
        self.follow(agent)

    def follow(self, agent: Agent) -> None:
        """Let an agent take the news of its groups."""
        agent.follow(self.world.vault.group_bundle(agent.hello()))

    def seal(self, when: str, *groups: str) -> frozenset[str]:
        """Seal one record for each of these groups; returns the records' names."""
        made = set()
        for group in groups:
            number = len(self.places) + 1
            place = Place(
                f"{when}, {group}",
                "value",
                "rsa-oaep",
                group,
                Context(table="ways", record=number, column="text"),
                {"text": f"what {group} wrote {when}".encode()},
            )
            (text,) = place.content.values()
            sealed = self.world.vault.seal(
                text, to=self.world.groups[group], context=place.context, suite=place.suite
            )
            self.world.database.put(place, sealed)
            self.places[place.name] = place
            made.add(place.name)
        return frozenset(made)

    def opened_by(self, agent: Agent, names: Iterable[str]) -> frozenset[str]:
        """Return the records that an agent opens at the honest server."""
        opened = set()
        for name in names:
            place = self.places[name]
            request = self.world.vault.request([(place.context, self.world.stored(place))])
            (result,) = self.world.vault.open(request, agent.release(request))
            if result.error is None and result.data("text").reveal() == place.content["text"]:
                opened.add(name)
        return frozenset(opened)

    def thief(self, name: str) -> Thief:
        """Return somebody who copies everything from now on and wants to be a member."""
        return Thief(self, name, self.kept.agents[name].member_id)


class Thief:
    """Somebody with snapshots of every moment that he chose, and an old way in of one member."""

    def __init__(self, scene: Scene, name: str, member_id: bytes) -> None:
        self.name = name
        self.member_id = member_id
        self._scene = scene
        self.copies: list[Snapshot] = []
        self._states: list[dict[bytes, GroupState]] = []

    def copy(self) -> Snapshot:
        """Copy the database, logs included, as it is now."""
        snapshot = self._scene.world.database.snapshot()
        self.copies.append(snapshot)
        self._states.append(dict(self._scene.world.vault.group_states()))
        return snapshot

    def unlock(self, enrolments: Iterable[Enrolment], text: str, harden: Harden) -> MemberKeys:
        """Unlock an old enrolment with its password and the token's help."""
        guesser = Guesser(directory_of(self._scene.world.config), [], harden=harden)
        for enrolment in enrolments:
            if "password" in enrolment.kinds:
                keys = guesser.opens(enrolment, text)
                if keys is not None:
                    return keys
        raise LookupError("the old way in does not even open its own enrolment")

    def opens(self, keys: MemberKeys) -> frozenset[str]:
        """Return the scene's records that these member keys open, with all copies and the HSM."""
        insider = Insider(self.name, self.member_id, keys, self._group_keys(keys), self.copies[-1])
        return frozenset(loot(self._scene.world, insider, list(self._scene.places.values())))

    def _group_keys(self, keys: MemberKeys) -> dict[tuple[bytes, int], KemKey]:
        """Open whatever was ever sealed to these keys, by what the logs said at any time."""
        opened = {}
        for snapshot in self.copies:
            for row in snapshot.tables["twinlock_sealed_group_keys"]:
                for states in self._states if row["member_id"] == self.member_id else ():
                    state, epoch = states.get(row["group_id"]), row["epoch"]
                    if state is None or epoch not in state.epochs:
                        continue
                    with suppress(DataError):
                        info = state.group_key_info(self.member_id, epoch)
                        seed = keys.kem.open(row["sealed"], info)
                        key = kem_key_from_seed(state.epochs[epoch].kem, seed)
                        opened[row["group_id"], epoch] = key
        return opened
