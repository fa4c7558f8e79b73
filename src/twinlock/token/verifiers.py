"""Login verifiers under a verifier key: AES-256-GCM in the token; the key does nothing else."""

from __future__ import annotations

from twinlock.core.ports import Randomness
from twinlock.core.primitives import NONCE_SIZE, TAG_SIZE
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, not_authentic
from twinlock.token.calls import SessionCalls
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import CallError, refuses_data


def lock_verifier(
    work: SessionCalls, key: int, plaintext: Secret, binding: bytes, randomness: Randomness
) -> bytes:
    """Return 12-byte nonce || AES-256-GCM output. Two calls. Raises ``token.aad-missing``."""
    if not binding:
        raise CallerError(
            "token.aad-missing",
            "A verifier has additional data.",
            hint="Bind every verifier to its account.",
        )
    nonce = randomness(NONCE_SIZE)
    return nonce + work.encrypt_gcm(key, nonce, plaintext.reveal(), binding)


def unlock_verifier(
    work: SessionCalls, key: int, sealed: bytes, binding: bytes, profile: TokenProfile
) -> Secret:
    """Reverse ``lock_verifier``. Two calls. Raises ``data.not-authentic``."""
    if len(sealed) < NONCE_SIZE + TAG_SIZE or not binding:
        raise not_authentic("verifier: too short, or without additional data")
    nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
    try:
        return Secret(work.decrypt_gcm(key, nonce, ciphertext, binding))
    except CallError as failed:
        if refuses_data(failed, profile.refusals):
            raise not_authentic(str(failed)) from failed
        raise
