"""The group keys that a member opened: in memory only, for as long as the agent is unlocked."""

from __future__ import annotations

from collections.abc import Iterable

from twinlock.agent.state import KnownGroup
from twinlock.core.enrolment import MemberKeys
from twinlock.core.membership import GroupState
from twinlock.core.primitives import KemKey, equal, kem_key_from_seed
from twinlock.core.request import SealedGroupKey
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError


class GroupKeys:
    """Opens group keys sealed to the member and keeps them by group and epoch."""

    def __init__(self, member_id: bytes, keys: MemberKeys) -> None:
        self._member_id = member_id
        self._keys: MemberKeys | None = keys
        self._sealed: dict[tuple[bytes, int], bytes] = {}
        self._seeds: dict[tuple[bytes, int], Secret] = {}
        self._opened: dict[tuple[bytes, int], KemKey] = {}

    def forget(self) -> None:
        """Drop every key; nothing can be opened afterwards."""
        self._keys = None
        self._seeds.clear()
        self._opened.clear()

    def receive(self, sealed: Iterable[SealedGroupKey]) -> None:
        """Take sealed keys from a bundle; they are opened when they are needed."""
        for key in sealed:
            self._sealed[key.group_id, key.epoch] = key.sealed

    def key(self, group: KnownGroup, epoch: int) -> KemKey:
        """Return a group's private key of one epoch.

        Raises DataError ``group.key-missing``, or ``group.key-replaced`` when the opened key is
        not the one whose public half the log names.
        """
        place = (group.state.group_id, epoch)
        found = self._opened.get(place)
        if found is None:
            found = self._open(group.state, epoch)
            self._opened[place] = found
        return found

    def seed(self, group: KnownGroup, epoch: int) -> Secret:
        """Return the seed of a group key, for sealing it to a new member."""
        self.key(group, epoch)
        return self._seeds[group.state.group_id, epoch]

    def _open(self, state: GroupState, epoch: int) -> KemKey:
        place = (state.group_id, epoch)
        began, sealed = state.epochs.get(epoch), self._sealed.get(place)
        if began is None or sealed is None:
            raise DataError(
                "group.key-missing",
                f"The server sent no key of group {state.name} for epoch {epoch}.",
                hint="Ask for the request again; if it stays so, an admin has to add you anew.",
            )
        if self._keys is None:
            raise CallerError("agent.locked", "This agent is locked.", hint="Unlock it again.")
        seed = self._keys.kem.open(sealed, state.group_key_info(self._member_id, epoch))
        key = kem_key_from_seed(began.kem, seed)
        if not equal(key.public, began.public):
            raise DataError(
                "group.key-replaced",
                f"The key of group {state.name} is not the one that its log names.",
                hint="Do not use the group until its admins have compared fingerprints.",
            )
        self._seeds[place] = seed
        return key
