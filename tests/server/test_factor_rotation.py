"""Every way in with a password when the hardening key rotates, on a real token."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.factor_life import (
    DAY,
    Life,
    code_of,
    factors_of,
    logins_of,
    sign_in,
)
from tests.server.factor_matrix import (
    ROWS,
)
from tests.server.factor_scene import deployment
from tests.server.factor_things import TEXT, THINGS
from twinlock.agent.renewal import renew
from twinlock.core.ports import KeyRole
from twinlock.core.statements import DirectoryEntry
from twinlock.server.rotation import dependents, destroy, retire
from twinlock.server.setup import add_hardening_key
from twinlock.server.vault import Vault

WITHOUT_A_DESKTOP = set(THINGS) - {"device-key in keyring"}


@pytest.mark.usefixtures("softhsm_folder")
def test_every_way_in_with_a_password_is_hardened_anew(tmp_path: Path) -> None:
    """R-ROTATE-1, R-ROTATE-2, R-ROTATE-4, R-LOGIN-2: what stands beside the password stays."""
    with deployment(tmp_path) as scene:
        world, vault = scene.world, scene.world.vault
        rows = [row for row in ROWS if {"password"} <= set(row.things) <= WITHOUT_A_DESKTOP]
        lives = [Life(scene, row, tmp_path) for row in rows]
        for life in lives:
            life.enrol()
        (old,) = [e.key.kid for e in dependents_of(vault) if e.key.role is KeyRole.HARDENING]
        world.clock.forward(1)
        add_hardening_key(vault.store, vault.token, world.config, now=world.clock())
        vault.read_directory_again()
        retire(vault, old, until=world.clock() + DAY)
        by_contacts, others = (
            [life for life in lives if ("contacts" in life.row.things) is found]
            for found in (True, False)
        )
        for life in others:
            renewed(life)
        lost = frozenset(life.name for life in by_contacts)
        assert code_of(destroy, vault, old) == "directory.in-use"
        destroy(vault, old, losing=lost)
        for life in others:
            agent = life.unlocked(life.have)
            assert life.opens(agent) == TEXT
            assert set(sign_in(life.have, life.enrolment_of(agent, "first"))) == {""}


def dependents_of(vault: Vault) -> list[DirectoryEntry]:
    return [needed.entry for needed in dependents(vault)]


def renewed(life: Life) -> None:
    """Unlock as on any day; the agent makes the way in anew, and sign-ins follow."""
    factors = factors_of(life.have)
    agent = life.unlocked_by(factors)
    before = life.enrolment_of(agent, "first")
    life.scene.follow(agent)
    agent.ways.publish(logins=logins_of(life.have, before), send=life.accept)
    assert renew(agent, factors, send=life.accept)
    after = life.enrolment_of(agent, "first")
    assert after.enrolment_id != before.enrolment_id
    for (kind, was), (_, now) in zip(before.factors, after.factors, strict=True):
        if kind in ("passkey", "smart-card"):
            assert now[:-1] == was[:-1]
            assert now[-1] != was[-1]
