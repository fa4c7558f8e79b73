"""Becoming a member: the seed, the state file, and the first ways in."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from twinlock.agent.home import find_home
from twinlock.agent.state import MemberState, save_state, state_path
from twinlock.agent.ways import NewWay, check_ways, listed_for, own_list
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import enrol, member_keys
from twinlock.core.factors import EnrollableFactor
from twinlock.core.membership import Invitation, Member
from twinlock.core.ports import Clock, Randomness
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret


def create_member(
    name: str,
    factors: Sequence[EnrollableFactor],
    *,
    deployment: DeploymentCard | Invitation,
    home: str | Path | None = None,
    kem: Kem = Kem.DHKEM_P256,
    also: Sequence[NewWay] = (),
    label: str = "",
    at_server: bool | None = None,
    clock: Clock = lambda: int(time.time()),
    randomness: Randomness = os.urandom,
    scram_alone: bool = False,
    sole_passkey: bool = False,
) -> Path:
    """Make a member that opens with ``factors``, and write ``NAME.member``.

    ``also``: further ways in, each of which opens by itself. ``label`` and ``at_server`` are the
    first one's, as in ``NewWay``. ``deployment`` comes from outside the
    server: it pins the deployment and its token. ``scram_alone``: see ``core.enrolment.enrol``;
    ``sole_passkey`` lets every way in need a passkey. Returns the state file's path. Raises
    ``file.exists``, ``factor.*``, ``enrolment.*`` or ``member.name``.
    """
    member_id, seed = randomness(16), Secret(randomness(32))
    keys = member_keys(seed, kem)
    Member(member_id, name, kem, keys.kem.public, keys.signing.public)
    state = MemberState(
        deployment.deployment_id, member_id, name, [], identity=deployment.identity_fingerprint
    )
    made, entries = [], []
    for way in (NewWay(factors, label, at_server), *also):
        enrolment = enrol(
            seed,
            way.factors,
            deployment_id=state.deployment_id,
            member_id=member_id,
            kem=kem,
            randomness=randomness,
            scram_alone=scram_alone,
        )
        made.append(enrolment)
        entries.append(listed_for(enrolment, way, clock()))
    check_ways(entries, sole_passkey=sole_passkey)
    listed = own_list(state, entries)
    state.take_list(listed.signed(keys.signing), listed, made)
    if isinstance(deployment, Invitation):
        state.accepted[deployment.group_id] = deployment
    path = state_path(find_home(factors, home), name)
    save_state(path, state, keys, new=True)
    return path
