"""Long-lived keys: made with the policy, found by CKA_ID, checked before they are used.

A key is what its pinned public part says, proved by using it once, never what a label says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from twinlock.core.ports import KeyRole, OuterSuite, Randomness, TokenKey, is_symmetric
from twinlock.core.primitives import (
    agreement_key_from_seed,
    equal,
    normalize_signature,
    p256_point,
    rsa_oaep_encrypt,
)
from twinlock.core.primitives import verify as verify_signature
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError
from twinlock.token.binding import KeySession
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Cka, Cko, Ckr
from twinlock.token.policy import (
    AES_KEY_BYTES,
    COORDINATE_BYTES,
    RSA_EXPONENT,
    evaluated_point,
    long_lived,
    long_lived_public,
)
from twinlock.token.pool import Login
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import CallError
from twinlock.token.spki import p256_spki, rsa_spki
from twinlock.token.structures import AES_KEY_GEN, ECDSA, RSA_OAEP, FixedMechanism, Template, ecdh1

KID_SIZE: Final = 16
_EVALUATED_POINT: Final = Template(evaluated_point())
OAEP_HASH: Final = {
    OuterSuite.RSA_OAEP_SHA1: "sha1",
    OuterSuite.RSA_OAEP_SHA256: "sha256",
}
_SIGNING: Final = (KeyRole.IDENTITY, KeyRole.LOG, KeyRole.AUDIT)
_RSA_SIZES: Final = (2048, 3072, 4096)
_UNCHECKED: Final = frozenset({Cka.LABEL, Cka.ID, Cka.CLASS})
"""Attributes that are no policy: the label is for people, the others found the object."""
_BORN_HERE: Final[dict[int, bool]] = {
    Cka.ALWAYS_SENSITIVE: True,
    Cka.NEVER_EXTRACTABLE: True,
}
"""False for a key that was created from a known value or unwrapped (PKCS#11 v3.1, 4.9)."""
_GENERATED: Final[dict[int, bool]] = {Cka.LOCAL: True}
"""False for a derived key too. On SoftHSM those inherit the attributes above, and whoever derived
one knows its value: the key that it was derived from encrypts the same data."""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A checked key and its object handle, valid since the last login."""

    key: TokenKey
    handle: int
    outer: FixedMechanism | None = None
    modulus: bytes = b""
    """For RSA wrapping keys: C_Decrypt's mechanism, and the modulus to check blocks against."""

    def takes(self, block: bytes) -> bool:
        """Tell whether a block is a number below the modulus, of its length."""
        return is_residue(block, self.modulus)


class KeyRing:
    """The long-lived keys that a token holds ready."""

    def __init__(self, profile: TokenProfile, randomness: Randomness) -> None:
        self._profile = profile
        self._randomness = randomness
        self._held: dict[bytes, HeldKey] = {}

    def hold(self, login: Login, key: TokenKey) -> None:
        """Find and check one key. Raises ``token.key-missing``, ``-replaced``, ``-policy``."""
        self._held[key.kid] = self._checked(login, key)

    def refresh(self, login: Login) -> None:
        """Find and check all held keys again after a new login."""
        self._held = {kid: self._checked(login, held.key) for kid, held in self._held.items()}

    def find(self, kid: bytes) -> HeldKey | None:
        """The held key with this CKA_ID."""
        return self._held.get(kid)

    def signing(self, kid: bytes) -> HeldKey:
        """A held key that signs. Raises ``token.key-not-loaded``."""
        held = self._held.get(kid)
        if held is None or held.key.role not in _SIGNING:
            raise _not_loaded(kid, "signing")
        return held

    def hardening(self, kid: bytes) -> HeldKey:
        """A held hardening key. Raises ``token.key-not-loaded``."""
        held = self._held.get(kid)
        if held is None or held.key.role is not KeyRole.HARDENING:
            raise _not_loaded(kid, "hardening")
        return held

    def verifier(self, kid: bytes) -> HeldKey:
        """A held verifier key. Raises ``token.key-not-loaded``."""
        held = self._held.get(kid)
        if held is None or held.key.role is not KeyRole.VERIFIER:
            raise _not_loaded(kid, "verifier")
        return held

    def wrapping_aes(self, kid: bytes) -> HeldKey:
        """A held wrapping key of suite TOKEN_AES. Raises ``token.key-not-loaded``."""
        held = self._held.get(kid)
        if held is None or held.key.suite is not OuterSuite.TOKEN_AES:
            raise _not_loaded(kid, "token-aes wrapping")
        return held

    def generate(
        self, login: Login, role: KeyRole, suite: OuterSuite | None, rsa_bits: int
    ) -> TokenKey:
        """Make, check and hold a persistent key; what does not pass the check is destroyed."""
        kid = self._randomness(KID_SIZE)
        label = f"twinlock {role.value} {kid.hex()}"
        private = long_lived(self._profile, role, suite, kid, label)
        public = long_lived_public(suite, kid, label, role)
        if is_symmetric(role, suite):
            length: dict[int, int] = {Cka.VALUE_LEN: AES_KEY_BYTES}
            made = [login.calls.generate_key(AES_KEY_GEN, Template({**length, **private}))]
            spki = b""
        elif suite is not None:
            if rsa_bits not in _RSA_SIZES:
                raise CallerError(
                    "token.rsa-size",
                    f"RSA keys of {rsa_bits} bits are not made.",
                    hint=f"Use one of {', '.join(map(str, _RSA_SIZES))}.",
                )
            made = list(login.session.generate_rsa(rsa_bits, public, private))
            spki = rsa_spki(read_modulus(login.calls, made[0]), RSA_EXPONENT)
        else:
            made = list(login.session.generate_p256(public, private))
            spki = read_p256(login.calls, made[0]) or b""
        key = TokenKey(role, kid, spki, suite)
        try:
            self.hold(login, key)
        except BaseException:
            for handle in made:
                with suppress(CallError):
                    login.calls.destroy(handle)
            raise
        return key

    def destroy(self, login: Login, kid: bytes) -> None:
        """Destroy a held key and its public half. Raises ``token.key-not-loaded``."""
        held = self._held.get(kid)
        if held is None:
            raise _not_loaded(kid, "long-lived")
        halves = [Cko.SECRET_KEY] if held.key.symmetric else [Cko.PRIVATE_KEY, Cko.PUBLIC_KEY]
        for kind in halves:
            for handle in login.session.find({Cka.CLASS: kind, Cka.TOKEN: True, Cka.ID: kid}):
                login.calls.destroy(handle)
        del self._held[kid]

    def _checked(self, login: Login, key: TokenKey) -> HeldKey:
        if len(key.kid) != KID_SIZE or (key.public == b"") is not key.symmetric:
            raise CallerError(
                "token.key-malformed",
                "A token key has a 16-byte id, and a public part unless it is an AES key.",
                hint="Take keys from the token directory.",
            )
        handle = self._found(login.session, key)
        _check_policy(login.calls, handle, key, self._profile)
        if key.symmetric:
            return HeldKey(key, handle)
        if key.suite is None:
            return self._proved(login, HeldKey(key, handle))
        modulus = read_modulus(login.calls, handle)
        if rsa_spki(modulus, RSA_EXPONENT) != key.public:
            _replaced(key, "its modulus is another")
        mechanism = RSA_OAEP[OAEP_HASH[key.suite]]
        return self._proved(login, HeldKey(key, handle, mechanism, modulus))

    def _found(self, session: KeySession, key: TokenKey) -> int:
        kind = Cko.SECRET_KEY if key.symmetric else Cko.PRIVATE_KEY
        found = session.find({Cka.CLASS: kind, Cka.TOKEN: True, Cka.ID: key.kid})
        if not found:
            raise EnvError(
                "token.key-missing",
                f"The token has no {key.role.value} key with the id {key.kid.hex()}.",
                hint="Check that this is the right token, or restore the key from its backup.",
            )
        if len(found) > 1:
            _replaced(key, "the token holds more than one key with this id")
        return found[0]

    def _proved(self, login: Login, held: HeldKey) -> HeldKey:
        """Use the private key once and check the result with the pinned public key."""
        challenge = self._randomness(32)
        try:
            if held.outer is not None and held.key.suite is not None:
                oaep_hash = OAEP_HASH[held.key.suite]
                block = rsa_oaep_encrypt(held.key.public, oaep_hash, challenge)
                proved = equal(login.calls.decrypt(held.outer, held.handle, block), challenge)
            elif held.key.role is KeyRole.HARDENING:
                drawn = agreement_key_from_seed(Secret(challenge))
                multiplied = multiply(login.calls, held.handle, drawn.public)
                proved = equal(multiplied, drawn.x_of(p256_point(held.key.public)))
            else:
                signature = sign_with(login.calls, held.handle, challenge)
                verify_signature(p256_point(held.key.public), challenge, signature)
                proved = True
        except (CallError, DataError) as error:
            if isinstance(error, CallError) and error.function != "C_Decrypt":
                raise
            proved = False
        if not proved:
            _replaced(held.key, "it does not fit the pinned public key")
        return held


def multiply(calls: SessionCalls, handle: int, point: bytes) -> bytes:
    """The x-coordinate of a hardening key times an uncompressed point, 32 bytes. Three calls."""
    derived = calls.derive(ecdh1(point), handle, _EVALUATED_POINT)
    try:
        return calls.value(derived, COORDINATE_BYTES)
    finally:
        calls.destroy(derived)


def sign_with(calls: SessionCalls, handle: int, message: bytes) -> bytes:
    """ECDSA P-256 over SHA-256 of ``message``; r || s, 64 bytes, low s."""
    raw = calls.sign(ECDSA, handle, hashlib.sha256(message).digest())
    if len(raw) != 64:
        raise CallError(Ckr.FUNCTION_FAILED, "C_Sign")
    return normalize_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def is_residue(block: bytes, modulus: bytes) -> bool:
    """Tell whether ``block`` has the modulus' length and is less; both big-endian, public.

    What is not would be answered with a different CKR by every token.
    """
    return len(block) == len(modulus) and block < modulus


def read_modulus(calls: SessionCalls, handle: int) -> bytes:
    """CKA_MODULUS of an RSA key object, without leading zeros."""
    modulus = (calls.attribute(handle, Cka.MODULUS) or b"").lstrip(b"\x00")
    if not modulus:
        raise CallError(Ckr.ATTRIBUTE_TYPE_INVALID, "C_GetAttributeValue")
    return modulus


def read_p256(calls: SessionCalls, handle: int) -> bytes:
    """SubjectPublicKeyInfo of a P-256 public key object, empty if it is none."""
    point = calls.attribute(handle, Cka.EC_POINT)
    return (p256_spki(point) if point else None) or b""


def _check_policy(calls: SessionCalls, handle: int, key: TokenKey, profile: TokenProfile) -> None:
    expected: dict[int, object] = {
        **long_lived(profile, key.role, key.suite, key.kid, ""),
        **_BORN_HERE,
        **(_GENERATED if profile.local else {}),
    }
    for kind, value in expected.items():
        if kind in _UNCHECKED:
            continue
        actual = calls.attribute(handle, kind)
        if actual is None or not _same(actual, value):
            raise EnvError(
                "token.key-policy",
                f"The {key.role.value} key {key.kid.hex()} breaks the policy: "
                f"CKA_{Cka(kind).name} is not as it must be.",
                hint="Make a new key with `twinlock token generate-key` and rotate to it.",
            )


def _same(actual: bytes, expected: object) -> bool:
    if isinstance(expected, bool):
        return actual == bytes([expected])
    if isinstance(expected, int):
        return actual == expected.to_bytes(8, "little")
    if isinstance(expected, Sequence) and not isinstance(expected, bytes):
        return actual == b"".join(int(item).to_bytes(8, "little") for item in expected)
    return actual == expected


def _replaced(key: TokenKey, why: str) -> NoReturn:
    raise EnvError(
        "token.key-replaced",
        f"The {key.role.value} key {key.kid.hex()} is not the one that was pinned: {why}.",
        hint="Treat this as an intrusion: somebody with the PIN has changed the token's keys.",
    )


def _not_loaded(kid: bytes, what: str) -> CallerError:
    return CallerError(
        "token.key-not-loaded",
        f"No {what} key with the id {kid.hex()} was loaded.",
        hint="Load it from the token directory first.",
    )
