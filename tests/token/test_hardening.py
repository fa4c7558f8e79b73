"""Every token multiplies as software does, for hardening keys alone, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.token.rigs import PKCS11, Rig
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import AgreementKey, agreement_key, p256_point
from twinlock.errors import CallerError, EnvError

on_pkcs11 = pytest.mark.parametrize("rig", sorted(PKCS11), indirect=True)


def drawn() -> AgreementKey:
    return agreement_key(int.from_bytes(os.urandom(31), "big") + 1)


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_the_coordinates_are_those_that_software_computes(rig: Rig, count: int) -> None:
    """R-HARD-4: k tG and t kG are one point."""
    before = rig.count_objects()
    keys = [drawn() for _ in range(count)]
    found = rig.token.evaluate(rig.hardening.kid, [key.public for key in keys])
    public = p256_point(rig.hardening.public)
    assert found == [key.x_of(public) for key in keys]
    assert rig.count_objects() == before


def test_a_coordinate_that_begins_with_zero_keeps_its_32_bytes(rig: Rig) -> None:
    """R-HARD-4: some tokens strip leading zeros of shared secrets elsewhere."""
    public, scalar = p256_point(rig.hardening.public), 1
    while agreement_key(scalar).x_of(public)[0]:
        scalar += 1
    [found] = rig.token.evaluate(rig.hardening.kid, [agreement_key(scalar).public])
    assert found == agreement_key(scalar).x_of(public)
    assert (len(found), found[0]) == (32, 0)


def test_many_threads_evaluate_at_once(rig: Rig) -> None:
    public = p256_point(rig.hardening.public)

    def one(_: int) -> bool:
        key = drawn()
        return rig.token.evaluate(rig.hardening.kid, [key.public]) == [key.x_of(public)]

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(one, range(40)))


def test_no_other_key_evaluates_and_a_hardening_key_does_nothing_else(rig: Rig) -> None:
    """R-TOKEN-1."""
    for key in (rig.signing, rig.wrapping, rig.wrapping_aes):
        with pytest.raises(CallerError) as caught:
            rig.token.evaluate(key.kid, [agreement_key(1).public])
        assert caught.value.code == "token.key-not-loaded"
    with pytest.raises(CallerError) as caught:
        rig.token.sign(rig.hardening.kid, b"anything")
    assert caught.value.code == "token.key-not-loaded"


def test_a_hardening_key_has_no_suite_and_is_found_again(rig: Rig) -> None:
    """R-TOKEN-2."""
    assert rig.hardening.suite is None
    rig.token.load_keys([rig.hardening])
    with pytest.raises(EnvError) as caught:
        rig.token.load_keys([dataclasses.replace(rig.hardening, public=rig.signing.public)])
    assert caught.value.code == "token.key-replaced"
    with pytest.raises(CallerError) as suite:
        rig.token.generate_key(KeyRole.HARDENING, rig.token.rsa_oaep_suite)
    assert suite.value.code == "token.role-suite"


def test_a_hardening_key_is_none_of_the_signing_keys(rig: Rig) -> None:
    """R-TOKEN-1."""
    for role in (KeyRole.IDENTITY, KeyRole.LOG, KeyRole.AUDIT):
        with pytest.raises(EnvError) as caught:
            rig.token.load_keys([dataclasses.replace(rig.hardening, role=role)])
        assert caught.value.code == "token.key-policy"
    rig.token.load_keys([rig.hardening])


@on_pkcs11
def test_a_point_costs_three_calls_and_its_session_two(rig: Rig) -> None:
    """R-HARD-4."""
    rig.token.evaluate(rig.hardening.kid, [])
    before = rig.token.pool.calls
    rig.token.evaluate(rig.hardening.kid, [drawn().public for _ in range(5)])
    assert rig.token.pool.calls - before == 3 * 5 + 2
