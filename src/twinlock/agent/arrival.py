"""Arriving on a computer that knows nothing of a member yet (SPEC 28).

The deployment's card pins the token; the member's own signed list pins the groups. The server adds
nothing that is believed by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twinlock.agent.agent import Agent
from twinlock.agent.home import MemoryHome, StateHome, find_home
from twinlock.agent.state import MemberState, save_state, state_path
from twinlock.agent.ways import require_mine
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import Enrolment, MemberKeys, decode_enrolment, unlock_first
from twinlock.core.enrolment_list import verify_enrolment_list
from twinlock.core.factors import Factor
from twinlock.core.member_bundle import BundleRequest, MemberBundle, decode_member_bundle
from twinlock.core.membership import AgentPlacement
from twinlock.core.ports import Clock, Randomness
from twinlock.core.release import sign_message
from twinlock.errors import CallerError, DataError


@dataclass(frozen=True, slots=True)
class Arrival:
    """A member whose enrolment was just unlocked on a new computer; nothing is kept yet."""

    deployment: DeploymentCard
    member_id: bytes
    name: str
    unlocked_by: bytes
    keys: MemberKeys
    clock: Clock

    @classmethod
    def begin(
        cls,
        bundle: bytes,
        factors: Sequence[Factor],
        *,
        deployment: DeploymentCard,
        clock: Clock = lambda: int(time.time()),
    ) -> Arrival:
        """Unlock one of a bundle's enrolments with all of its factors.

        Raises ``format.*``, ``factor.*``, CallerError ``member.other-deployment`` or
        ``enrolment.none-kept``.
        """
        shown = decode_member_bundle(bundle)
        enrolments = [decode_enrolment(blob) for blob in shown.blobs]
        if not enrolments:
            raise CallerError(
                "enrolment.none-kept",
                "The server keeps no way in of this member.",
                hint="Use a computer that has the member's file, or copy NAME.member from there.",
            )
        _require_of(shown, enrolments, deployment)
        if not enrolments:
            raise none_kept(shown.name)
        opened, keys = unlock_first(enrolments, factors)
        return cls(deployment, shown.member_id, shown.name, opened.enrolment_id, keys, clock)

    def ask(self) -> bytes:
        """Return what proves to the server that the member asks for the whole bundle."""
        asked = BundleRequest(self.deployment.deployment_id, self.member_id, self.clock())
        return sign_message(asked.encode(), self.keys.signing)

    def state(self, bundle: bytes) -> MemberState:
        """Verify the whole bundle with the member's own key, and return the state to begin with.

        Raises DataError ``enrolment.list-damaged``, ``enrolment.not-listed`` for a way in that the
        member ended, ``directory.identity`` for a list that names another token.
        """
        shown = decode_member_bundle(bundle)
        listed = verify_enrolment_list(shown.signed_list, self.keys.signing.public)
        require_mine(listed, self.deployment.deployment_id, self.member_id)
        if listed.identity != self.deployment.identity_fingerprint:
            raise DataError(
                "directory.identity",
                "The member's own list names another token than the deployment's card.",
                hint="Compare the token's fingerprint with an admin before you go on.",
            )
        if self.unlocked_by not in listed.ids:
            raise DataError(
                "enrolment.not-listed",
                "This way in does not count any more: the member ended it.",
                hint="Use a present one. If you did not end it, tell an admin: it was put back.",
            )
        state = MemberState(
            self.deployment.deployment_id,
            self.member_id,
            self.name,
            [],
            identity=self.deployment.identity_fingerprint,
        )
        state.take_list(shown.signed_list, listed, [decode_enrolment(b) for b in shown.blobs])
        return state

    def settle(
        self, bundle: bytes, *, factors: Sequence[Factor] = (), home: str | Path | None = None
    ) -> Path:
        """Keep the member on this computer, as ``NAME.member``; returns that file.

        Raises ``file.exists``, and like ``state``.
        """
        path = state_path(find_home(factors, home), self.name)
        save_state(path, self.state(bundle), self.keys, new=True)
        return path

    def agent(
        self,
        bundle: bytes,
        *,
        kept: StateHome | None = None,
        placement: AgentPlacement = AgentPlacement.OWN_ORIGIN_OR_PROGRAM,
        randomness: Randomness = os.urandom,
    ) -> Agent:
        """Return the unlocked agent; without ``kept`` nothing of it outlives the process."""
        return Agent(
            kept or MemoryHome(),
            self.state(bundle),
            self.keys,
            placement=placement,
            clock=self.clock,
            randomness=randomness,
        )


def none_kept(name: str) -> CallerError:
    """Say that a member's ways in are all elsewhere."""
    return CallerError(
        "enrolment.none-kept",
        f"There is no way in of {name}.",
        hint="Use a computer that has the member's file, or copy NAME.member from there.",
    )


def _require_of(
    shown: MemberBundle, enrolments: Sequence[Enrolment], deployment: DeploymentCard
) -> None:
    ids = {(shown.deployment_id, shown.member_id)}
    ids |= {(e.deployment_id, e.member_id) for e in enrolments}
    if ids != {(deployment.deployment_id, shown.member_id)}:
        raise CallerError(
            "member.other-deployment",
            "The server sent enrolments of another deployment, or of several members.",
            hint="Check that the deployment's card is the right one.",
        )
