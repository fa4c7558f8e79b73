"""The end of a recovery: unlock with the shares, check who it is, and make new keys at once.

The old keys are used for nothing else: whoever had the lost ways in may have them too, and the
contacts together could open what they led to (SPEC 31).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from twinlock.agent.agent import Agent
from twinlock.agent.arrival import Arrival
from twinlock.agent.home import StateHome
from twinlock.agent.new_device import NewDevice
from twinlock.agent.state import LockedState, MemberState
from twinlock.agent.ways import NewWay
from twinlock.core.contacts.sharing import SecretSharing
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import Enrolment, MemberKeys, decode_enrolment
from twinlock.core.factors import Factor, Place
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.member_change import Login
from twinlock.core.ports import Clock, Randomness
from twinlock.errors import CallerError, DataError


@dataclass(frozen=True, slots=True)
class FromServer:
    """What the server hands out for a recovery: all of a member's enrolments with the signed list,
    and the groups with their sealed keys. Nothing in it is believed by itself."""

    member: bytes
    groups: bytes


def recover(
    device: NewDevice,
    server: FromServer,
    ways: Sequence[NewWay],
    kept: StateHome,
    *,
    sharing: SecretSharing,
    factors: Sequence[Factor] = (),
    logins: Sequence[Login] = (),
    logins_of: Callable[[Enrolment], Sequence[Login]] = lambda _: (),
    scram_alone: bool = False,
    sole_passkey: bool = False,
    without: Collection[str] = (),
    clock: Clock = lambda: int(time.time()),
    randomness: Randomness = os.urandom,
) -> bytes:
    """Put the shares together, and make new member keys with ``ways`` as the only ways in.

    ``factors``: further ones that the enrolment needs beside its contacts. The new state is staged
    in ``kept`` and takes its place by ``finish_revocation``; returns the change for the server.
    Called again after a change that was not accepted, it makes another one. ``without``: see
    ``Ways.revoke``.

    Raises CallerError ``recovery.too-few``, ``recovery.other-member-here``, ``recovery.over``
    (the change was accepted: then finish it), DataError ``recovery.other-member``, and like
    ``Arrival.state``, ``Agent.follow`` and ``Ways.revoke``.
    """
    shared = device.factor(sharing)
    place = device.ask.request.place
    here = kept.load()
    if here is not None and here.member_id != place.member_id:
        raise CallerError(
            "recovery.other-member-here",
            "Another member of this name is kept here.",
            hint="Recover in another folder.",
        )
    _require_kept(server, place)
    card = DeploymentCard(place.deployment_id, _identity(device))
    arrival = Arrival.begin(server.member, [shared, *factors], deployment=card, clock=clock)
    _require_who_was_asked_for(device, arrival.keys)
    agent = Agent(
        _OnlyStaging(kept),
        arrival.state(server.member),
        arrival.keys,
        clock=clock,
        randomness=randomness,
    )
    with agent:
        agent.follow(server.groups)
        kept.drop_staged()
        return agent.ways.revoke(
            ways,
            logins=logins,
            logins_of=logins_of,
            scram_alone=scram_alone,
            sole_passkey=sole_passkey,
            without=without,
        )


def _require_kept(server: FromServer, place: Place) -> None:
    blobs = decode_member_bundle(server.member).blobs
    if place.enrolment_id not in {decode_enrolment(blob).enrolment_id for blob in blobs}:
        raise CallerError(
            "recovery.over",
            "The server keeps this enrolment no more: the member has new ways in.",
            hint="If they came from here, finish with a new bundle of the groups.",
        )


def _identity(device: NewDevice) -> bytes:
    """The token that the contacts' verified logs name."""
    named = {reply.identity for reply in device.said}
    if len(named) != 1:
        raise _other_member()
    return named.pop()


def _require_who_was_asked_for(device: NewDevice, keys: MemberKeys) -> None:
    """What the contacts' logs say of the member must be what opened.

    Else a server could hand out an enrolment of its own, with contacts of its own.
    """
    opened = (keys.signing.kid, keys.kem.kid)
    if {(reply.member_signing_kid, reply.member_kem_kid) for reply in device.said} != {opened}:
        raise _other_member()


def _other_member() -> DataError:
    return DataError(
        "recovery.other-member",
        "What opened is not the member whom the contacts' logs know.",
        hint="The server changed something, or the member has new keys since. Tell an admin.",
    )


class _OnlyStaging:
    """Keeps nothing but what follows the recovery: the old keys never reach the disk."""

    def __init__(self, kept: StateHome) -> None:
        self._kept = kept

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._kept.locked():
            yield

    def load(self) -> LockedState | None:
        return None

    def save(self, state: MemberState, keys: MemberKeys) -> None:  # noqa: ARG002
        state.note_written()

    def stage(self, state: MemberState, keys: MemberKeys, change: bytes) -> None:
        self._kept.stage(state, keys, change)

    def staged(self) -> tuple[LockedState, bytes] | None:
        return None

    def promote(self) -> None:
        self._kept.promote()

    def drop_staged(self) -> None:
        self._kept.drop_staged()
