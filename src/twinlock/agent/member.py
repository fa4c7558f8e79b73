"""Becoming a member: the seed, the state file, and further enrolments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from twinlock.agent.agent import find_home
from twinlock.agent.state import MemberState, load_state, save_state, state_path
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import enrol, member_keys, unlock_any
from twinlock.core.factors import EnrollableFactor, Factor
from twinlock.core.membership import Invitation, Member
from twinlock.core.ports import Randomness
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from twinlock.files import locked


def create_member(
    name: str,
    factors: Sequence[EnrollableFactor],
    *,
    deployment: DeploymentCard | Invitation,
    home: str | Path | None = None,
    kem: Kem = Kem.DHKEM_P256,
    randomness: Randomness = os.urandom,
    scram_alone: bool = False,
) -> Path:
    """Make a member with one enrolment of ``factors`` and write ``NAME.member``.

    ``deployment`` comes from outside the server: it pins the deployment and its token. Returns the
    state file's path. ``scram_alone``: see ``core.enrolment.enrol``. Raises ``file.exists``,
    ``factor.*`` or ``member.name``.
    """
    member_id, seed = randomness(16), Secret(randomness(32))
    keys = member_keys(seed, kem)
    Member(member_id, name, kem, keys.kem.public, keys.signing.public)
    enrolment = enrol(
        seed,
        factors,
        deployment_id=deployment.deployment_id,
        member_id=member_id,
        kem=kem,
        randomness=randomness,
        scram_alone=scram_alone,
    )
    state = MemberState(
        deployment.deployment_id,
        member_id,
        name,
        [enrolment],
        identity=deployment.identity_fingerprint,
    )
    if isinstance(deployment, Invitation):
        state.accepted[deployment.group_id] = deployment
    path = state_path(find_home(factors, home), name)
    save_state(path, state, keys, new=True)
    return path


def add_enrolment(
    name: str,
    unlock_with: Sequence[Factor],
    new_factors: Sequence[EnrollableFactor],
    *,
    home: str | Path | None = None,
    randomness: Randomness = os.urandom,
    scram_alone: bool = False,
) -> None:
    """Give a member a second way in, such as another device key, with all of ``new_factors``.

    Member keys stay the same, so nobody else is needed. ``scram_alone``: see
    ``core.enrolment.enrol``. Raises ``factor.*``.
    """
    path = state_path(find_home(unlock_with, home), name)
    stored = load_state(path)
    keys = unlock_any(stored.enrolments, unlock_with)
    added = enrol(
        keys.seed,
        new_factors,
        deployment_id=stored.deployment_id,
        member_id=stored.member_id,
        kem=keys.kem.kem,
        randomness=randomness,
        scram_alone=scram_alone,
    )
    with locked(path):
        state = load_state(path).unlocked(keys)
        state.enrolments.append(added)
        save_state(path, state, keys)
