"""What ``doctor`` tries: known answers that must come out, and acts that must be refused.

Each probe is a function of a ``Lab``. It returns what it found, or raises NotHeldError; a token's
refusal of something that should work is a finding too. Nothing is concluded from a flag.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twinlock.core.primitives import (
    aes_key_unwrap,
    aes_key_wrap,
    agreement_key_from_seed,
    gcm_open,
    gcm_seal,
    p256_point,
    rsa_oaep_encrypt,
    verify,
)
from twinlock.core.secret import Secret
from twinlock.errors import DataError
from twinlock.token.ck import Cka, Ckm, code_name
from twinlock.token.keys import multiply, sign_with
from twinlock.token.lab import Lab
from twinlock.token.policy import secret_key
from twinlock.token.returns import CallError, refuses_data
from twinlock.token.spki import p256_spki
from twinlock.token.structures import AES_KEY_WRAP, RSA_OAEP, FixedMechanism, Template
from twinlock.token.verifiers import lock_verifier, unlock_verifier

_AAD: Final = b"twinlock doctor"
_NONCE: Final = bytes(range(12))
_PLAINTEXT: Final = b"known to software"

RFC3394_KEK: Final = bytes(range(32))
RFC3394_KEY: Final = bytes.fromhex(
    "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"
)
RFC3394_WRAPPED: Final = bytes.fromhex(
    "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
)
"""RFC 3394 section 4.6: 256 bits of key data with a 256-bit KEK."""


class NotHeldError(Exception):
    """The probe's expectation does not hold; the message says what was found."""


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One probe: its name, what needs it, and what it does.

    ``refusal``: it tries what must be refused, so it says nothing where the act's genuine form
    does not work either.
    """

    name: str
    needed_for: str
    run: Callable[[Lab], str]
    refusal: bool = False


# --- Known answers ---------------------------------------------------------------------------


def transport_key(lab: Lab) -> str:
    """An RSA key pair is made in the session, with the attribute policy."""
    return (
        f"RSA-2048 session key pair, UNWRAP only; public key of {len(lab.transport.public)} bytes"
    )


def session_key_unwrap(lab: Lab) -> str:
    """RSA-OAEP unwraps an AES key to the value that software encrypted."""
    value, release_key = os.urandom(32), os.urandom(32)
    session_key = lab.unwrap_session_key(value, lab.levels()["session_key"])
    wrapped = aes_key_wrap(value, release_key)
    lab.calls.unwrap(AES_KEY_WRAP, session_key, wrapped, Template(lab.levels()["release_key"]))
    return f"RSA-OAEP with {lab.profile.oaep_hash} unwraps an AES key that unwraps further"


def key_wrap_vector(lab: Lab) -> str:
    """C_UnwrapKey agrees with the vector of RFC 3394 section 4.6."""
    kek = lab.aes_key(RFC3394_KEK, Cka.UNWRAP)
    template = Template(lab.levels()["dek"])
    key = lab.calls.unwrap(AES_KEY_WRAP, kek, RFC3394_WRAPPED, template)
    _expect_decrypts(lab, key, RFC3394_KEY)
    return "AES key wrap agrees with RFC 3394 section 4.6"


def gcm_decrypt(lab: Lab) -> str:
    """C_Decrypt opens what software sealed with AES-256-GCM."""
    value = os.urandom(32)
    _expect_decrypts(lab, lab.aes_key(value, Cka.DECRYPT), value)
    return "AES-256-GCM with additional data agrees with software"


def ecdsa_sign(lab: Lab) -> str:
    """A signature made in the token verifies in software."""
    public, private = lab.signing_pair()
    spki = p256_spki(lab.calls.attribute(public, Cka.EC_POINT) or b"")
    if spki is None:
        raise NotHeldError("the public point cannot be read")
    try:
        verify(p256_point(spki), _AAD, sign_with(lab.calls, private, _AAD))
    except DataError as error:
        raise NotHeldError("the signature does not verify in software") from error
    return "ECDSA P-256 verifies in software"


def hardening(lab: Lab) -> str:
    """ECDH1 without a KDF gives the x-coordinate that software computes, to be read."""
    spki, private = lab.hardening_pair()
    drawn = agreement_key_from_seed(Secret(os.urandom(32)))
    if multiply(lab.calls, private, drawn.public) != drawn.x_of(p256_point(spki)):
        raise NotHeldError("the coordinate is another than software's")
    return "ECDH1 without a KDF gives the x-coordinate, to be read"


def hardening_key_signs_nothing(lab: Lab) -> str:
    """The hardening key, made to derive, does not sign."""
    _, private = lab.hardening_pair()
    return _refuses(lambda: sign_with(lab.calls, private, _AAD), "the hardening key also signs")


def verifiers(lab: Lab) -> str:
    """A verifier key locks with a nonce of software's, unlocks, and refuses other bindings."""
    key, secret = lab.verifier_key(), Secret(_PLAINTEXT)
    sealed = lock_verifier(lab.calls, key, secret, _AAD, os.urandom)
    if unlock_verifier(lab.calls, key, sealed, _AAD, lab.profile) != secret:
        raise NotHeldError("what comes out is not what went in")
    try:
        unlock_verifier(lab.calls, key, sealed, _AAD + b"x", lab.profile)
    except DataError:
        return "AES-GCM with a given nonce; another account's binding is refused"
    raise NotHeldError("a verifier opens under another account's binding")


def verifier_key_wraps_nothing(lab: Lab) -> str:
    """The verifier key, made for GCM, wraps no key."""
    key, other = lab.verifier_key(), lab.readable_aes()
    return _refuses(lambda: lab.calls.wrap(AES_KEY_WRAP, key, other), "the verifier key also wraps")


def oaep_decrypt(oaep_hash: str) -> Callable[[Lab], str]:
    """C_Decrypt opens the 72 bytes of an outer lock that software encrypted."""

    def run(lab: Lab) -> str:
        block = os.urandom(72)
        sealed = rsa_oaep_encrypt(lab.wrapping.public, oaep_hash, block)
        if lab.calls.decrypt(RSA_OAEP[oaep_hash], lab.wrapping.private, sealed) != block:
            raise NotHeldError("the decrypted block is another")
        return f"72 bytes through RSA-OAEP with {oaep_hash} come back"

    return run


def token_aes(lab: Lab) -> str:
    """A DEK born in the token, wrapped and locked there, and all of it agreed by software."""
    if lab.profile.gcm_iv_by_token:
        raise NotHeldError("the token makes its own GCM nonces, so it cannot seal")
    calls, release_key = lab.calls, os.urandom(32)
    wrapping = lab.wrapping_aes()
    born = {**secret_key(Cka.ENCRYPT, extractable=True), Cka.VALUE_LEN: 32}
    dek = lab.generate_aes(born)
    wrapped = calls.wrap(AES_KEY_WRAP, lab.aes_key(release_key, Cka.WRAP), dek)
    outer = calls.encrypt_gcm(wrapping, _NONCE, wrapped, _AAD)
    content = calls.encrypt_gcm(dek, _NONCE, _PLAINTEXT, _AAD)
    opened = calls.decrypt_gcm(wrapping, _NONCE, outer, _AAD)
    try:
        value = aes_key_unwrap(release_key, opened)
        agreed = gcm_open(value, _NONCE, content, _AAD) == _PLAINTEXT
    except DataError:
        agreed = False
    if not agreed:
        raise NotHeldError("software does not open what the token sealed")
    return "a DEK born in the token is wrapped, locked and used as software expects"


def other_sessions_see(lab: Lab) -> str:
    """A session object is visible to another session: openings are shared out over sessions."""
    key = lab.aes_key(bytes(32), Cka.DECRYPT)
    with lab.second_session() as other:
        if other.attribute(key, Cka.CLASS) is None:
            raise NotHeldError("a session object is hidden from other sessions")
    return "a session object serves the other sessions of the process"


def objects_die(lab: Lab) -> str:
    """A session object is gone when its session is closed."""
    with lab.second_session() as other:
        key = other.generate_key(
            FixedMechanism(Ckm.AES_KEY_GEN),
            Template({**secret_key(Cka.DECRYPT), Cka.VALUE_LEN: 32}),
        )
    try:
        alive = lab.calls.attribute(key, Cka.CLASS) is not None
    except CallError:
        alive = False
    if alive:
        raise NotHeldError("an object of a closed session is still there")
    return "session objects die with their session"


# --- Damaged data ----------------------------------------------------------------------------


def damaged_gcm(lab: Lab) -> str:
    """A changed GCM ciphertext is refused, as data."""
    value = os.urandom(32)
    key = lab.aes_key(value, Cka.DECRYPT)
    sealed = gcm_seal(value, _NONCE, _PLAINTEXT, _AAD)
    return _refused_as_data(
        lab, sealed, lambda data: lab.calls.decrypt_gcm(key, _NONCE, data, _AAD)
    )


def damaged_key_wrap(lab: Lab) -> str:
    """A changed wrapped key is refused, as data."""
    kek = lab.aes_key(RFC3394_KEK, Cka.UNWRAP)
    template = Template(lab.levels()["dek"])
    return _refused_as_data(
        lab, RFC3394_WRAPPED, lambda data: lab.calls.unwrap(AES_KEY_WRAP, kek, data, template)
    )


def damaged_oaep(lab: Lab) -> str:
    """A changed RSA-OAEP block is refused, as data."""
    block = rsa_oaep_encrypt(lab.wrapping.public, lab.profile.oaep_hash, bytes(72))
    mechanism = RSA_OAEP[lab.profile.oaep_hash]
    return _refused_as_data(
        lab, block, lambda data: lab.calls.decrypt(mechanism, lab.wrapping.private, data)
    )


def _refused_as_data(lab: Lab, genuine: bytes, act: Callable[[bytes], object]) -> str:
    """The genuine bytes are taken, the same with one bit changed refused as data.

    The bit is in the middle: an RSA block stays below its modulus.
    """
    act(genuine)
    middle = len(genuine) // 2
    damaged = genuine[:middle] + bytes([genuine[middle] ^ 1]) + genuine[middle + 1 :]
    try:
        act(damaged)
    except CallError as failed:
        said = code_name(failed.value)
        if refuses_data(failed, lab.profile.refusals):
            return f"refused with {said}"
        raise NotHeldError(
            f"refused with {said}, which the profile {lab.profile.name} takes for a failing token"
        ) from failed
    raise NotHeldError("damaged data were accepted")


def _expect_decrypts(lab: Lab, key: int, value: bytes) -> None:
    sealed = gcm_seal(value, _NONCE, _PLAINTEXT, _AAD)
    if lab.calls.decrypt_gcm(key, _NONCE, sealed, _AAD) != _PLAINTEXT:
        raise NotHeldError("the plaintext is another than software's")


# --- Other uses of the wrapping keys -----------------------------------------------------------


def only_oaep(mechanism: Ckm) -> Callable[[Lab], str]:
    """The RSA wrapping key does not answer another RSA mechanism."""

    def run(lab: Lab) -> str:
        block = rsa_oaep_encrypt(lab.wrapping.public, lab.profile.oaep_hash, bytes(72))
        return _refuses(
            lambda: lab.calls.decrypt(FixedMechanism(mechanism), lab.wrapping.private, block),
            f"the wrapping key also answers CKM_{mechanism.name}",
        )

    return run


def only_gcm(lab: Lab) -> str:
    """The AES wrapping key does not answer ECB."""
    wrapping = lab.wrapping_aes()
    return _refuses(
        lambda: lab.calls.decrypt(FixedMechanism(Ckm.AES_ECB), wrapping, bytes(16)),
        "the AES wrapping key also answers CKM_AES_ECB",
    )


def wrapping_key_unwraps_nothing(lab: Lab) -> str:
    """The RSA wrapping key, made to decrypt, does not unwrap."""
    block = rsa_oaep_encrypt(lab.wrapping.public, lab.profile.oaep_hash, bytes(32))
    mechanism, template = RSA_OAEP[lab.profile.oaep_hash], Template(secret_key(Cka.DECRYPT))
    return _refuses(
        lambda: lab.calls.unwrap(mechanism, lab.wrapping.private, block, template),
        "the wrapping key also unwraps",
    )


def _refuses(act: Callable[[], object], otherwise: str) -> str:
    try:
        act()
    except CallError as failed:
        return f"refused with {code_name(failed.value)}"
    raise NotHeldError(otherwise)
