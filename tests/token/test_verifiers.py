"""Every token locks login verifiers with a verifier key, and unlocks what it locked."""

from __future__ import annotations

import dataclasses
import os

import pytest

from tests.token.rigs import PKCS11, Rig
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import gcm_seal
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError

on_pkcs11 = pytest.mark.parametrize("rig", sorted(PKCS11), indirect=True)
KEYS, BINDING = bytes(range(64)), b"whose verifier it is"


def locked(rig: Rig) -> bytes:
    return rig.token.seal_verifier(rig.verifier.kid, Secret(KEYS), BINDING)


def test_what_was_locked_is_unlocked_and_nothing_is_left_behind(rig: Rig) -> None:
    """R-SCRAM-6."""
    before = rig.count_objects()
    sealed = locked(rig)
    assert rig.token.open_verifier(rig.verifier.kid, sealed, BINDING).reveal() == KEYS
    assert len(sealed) == 12 + 64 + 16
    assert KEYS[:16] not in sealed
    assert locked(rig)[:12] != sealed[:12]
    assert rig.count_objects() == before


@pytest.mark.parametrize(
    "change", ["nonce", "text", "tag", "binding", "short", "empty", "key", "no-binding"]
)
def test_what_was_changed_or_moved_is_refused(rig: Rig, change: str) -> None:
    """R-SCRAM-6."""
    sealed, binding = bytearray(locked(rig)), BINDING
    if change in ("nonce", "text", "tag"):
        sealed[{"nonce": 0, "text": 20, "tag": -1}[change]] ^= 1
    changed = {
        "short": bytes(sealed[:27]),
        "empty": b"",
        "key": os.urandom(12) + gcm_seal(os.urandom(32), os.urandom(12), KEYS, BINDING),
    }.get(change, bytes(sealed))
    binding = {"binding": b"another account", "no-binding": b""}.get(change, BINDING)
    with pytest.raises(DataError) as caught:
        rig.token.open_verifier(rig.verifier.kid, changed, binding)
    assert caught.value.code == "data.not-authentic"
    assert rig.token.open_verifier(rig.verifier.kid, locked(rig), BINDING).reveal() == KEYS


def test_nothing_is_locked_without_a_binding(rig: Rig) -> None:
    """R-SCRAM-6."""
    with pytest.raises(CallerError) as caught:
        rig.token.seal_verifier(rig.verifier.kid, Secret(KEYS), b"")
    assert caught.value.code == "token.aad-missing"


def test_no_other_key_locks_verifiers_and_a_verifier_key_does_nothing_else(rig: Rig) -> None:
    """R-TOKEN-1: a wrapping key is not an oracle for verifiers, nor the other way round."""
    uses = [
        lambda kid: rig.token.seal_verifier(kid, Secret(KEYS), BINDING),
        lambda kid: rig.token.open_verifier(kid, bytes(92), BINDING),
    ]
    others = [
        lambda kid: rig.token.sign(kid, b"anything"),
        lambda kid: rig.token.evaluate(kid, []),
        lambda kid: rig.token.sealing(kid, Secret(bytes(32)), b"binding").__enter__(),
    ]
    keys = (rig.signing, rig.wrapping, rig.wrapping_aes, rig.hardening)
    refused = [(use, key.kid) for use in uses for key in keys]
    refused += [(use, rig.verifier.kid) for use in others]
    for use, kid in refused:
        with pytest.raises(CallerError) as caught:
            use(kid)
        assert caught.value.code == "token.key-not-loaded"


def test_a_verifier_key_is_found_again_and_has_no_suite_and_no_public_part(rig: Rig) -> None:
    """R-TOKEN-2."""
    assert (rig.verifier.suite, rig.verifier.public, rig.verifier.symmetric) == (None, b"", True)
    rig.token.load_keys([rig.verifier])
    wrong = {
        "token.key-malformed": dataclasses.replace(rig.verifier, public=rig.signing.public),
        "token.key-missing": dataclasses.replace(rig.verifier, kid=bytes(16)),
    }
    for code, key in wrong.items():
        with pytest.raises((CallerError, EnvError)) as caught:
            rig.token.load_keys([key])
        assert caught.value.code == code
    with pytest.raises(CallerError) as suite:
        rig.token.generate_key(KeyRole.VERIFIER, OuterSuite.TOKEN_AES)
    assert suite.value.code == "token.role-suite"


@on_pkcs11
def test_unlocking_costs_two_calls_and_its_session_two(rig: Rig) -> None:
    """R-SCRAM-6."""
    sealed = locked(rig)
    before = rig.token.pool.calls
    rig.token.open_verifier(rig.verifier.kid, sealed, BINDING)
    assert rig.token.pool.calls - before == 2 + 2
