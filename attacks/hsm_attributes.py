"""The deployment's own keys: other templates, changed attributes, copies, one key under another.

Broken is an attempt after which a key has a use that it was not made with, or its value has left
the token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import (
    AES_CBC,
    AES_KEY_WRAP_PAD,
    Interface,
    by_id,
    interface,
    live_token,
    oaep,
    parameters,
)
from attacks.world import World
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.token import keys, pkcs11_token, policy
from twinlock.token.ck import Cka, Ckk, Ckm, Cko
from twinlock.token.profiles import TokenProfile
from twinlock.token.structures import Attributes

_AES_CBC_PAD: Final = 0x1085
_VALUES: Final = (Cka.VALUE, 0x123, 0x124, 0x125, 0x126, 0x127, 0x128)
"""CKA_VALUE, and an RSA private key's exponent, primes and CRT values."""
_USAGES: Final = (
    *(Cka.ENCRYPT, Cka.DECRYPT, Cka.WRAP, Cka.UNWRAP),
    *(Cka.SIGN, Cka.VERIFY, Cka.DERIVE),
)
_OTHER_FLAGS: Final[dict[int, bool]] = {Cka.EXTRACTABLE: True, Cka.SENSITIVE: False}
_LOCKED: Final[dict[int, bool]] = {Cka.MODIFIABLE: True, Cka.COPYABLE: True}
_LONG_LIVED: Final = policy.long_lived
_TRANSPORT: Final = policy.transport_private


def _readable_key(
    profile: TokenProfile, role: KeyRole, suite: OuterSuite | None, kid: bytes, label: str
) -> Attributes:
    made = _LONG_LIVED(profile, role, suite, kid, label)
    return {**made, Cka.SENSITIVE: False, Cka.EXTRACTABLE: True}


def _readable_transport(profile: TokenProfile) -> Attributes:
    return {**_TRANSPORT(profile), Cka.SENSITIVE: False, Cka.EXTRACTABLE: True}


_LAX: Final = Mutation(
    "keys may be modified and copied",
    lambda: weakened((policy, "_locked", lambda profile: {})),
    rebuild=True,
)
_EXTRACTABLE: Final = Mutation(
    "keys are made extractable and not sensitive",
    lambda: weakened(
        (keys, "long_lived", _readable_key),
        (keys, "_BORN_HERE", {}),
        (pkcs11_token, "transport_private", _readable_transport),
    ),
    rebuild=True,
)
_MORE_USAGES: Final = Mutation(
    "keys are made with every usage",
    lambda: weakened((policy, "_usages", lambda possible, used: dict.fromkeys(possible, True))),
    rebuild=True,
)


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    handle: int
    usages: frozenset[int]


@attack(
    id="hsm-change-keys",
    claim="hsm",
    attack=8,
    says="change, copy, read and wrap out every key; unwrap and derive with keys made to decrypt",
    mutations=[_LAX, _EXTRACTABLE, _MORE_USAGES],
    databases=False,
)
def hsm_change_keys(world: World, trial: Trial) -> None:
    """Every long-lived key of the deployment, and a live transport key."""
    live_token(world).generate_transport_key()
    with interface(world) as api:
        own = _own_wrapping_keys(api)
        for key in list(_keys(world, api)):
            _change(api, trial, key)
            _copy(api, trial, key)
            with trial.attempt("a key's value is read") as attempt:
                attempt.says(any(api.attribute(key.handle, kind) for kind in _VALUES))
            for wrapping_key, mechanism in own:
                with trial.attempt("a key is wrapped under the attacker's") as attempt:
                    attempt.says(_wrapped(api, mechanism, wrapping_key, key) is not None)
            _other_uses(api, trial, key)
    world.restart()


def _keys(world: World, api: Interface) -> Iterator[_Key]:
    made_for: Mapping[KeyRole | OuterSuite | None, frozenset[int]] = {
        KeyRole.IDENTITY: frozenset({Cka.SIGN}),
        KeyRole.LOG: frozenset({Cka.SIGN}),
        KeyRole.AUDIT: frozenset({Cka.SIGN}),
        KeyRole.HARDENING: frozenset({Cka.DERIVE}),
        KeyRole.VERIFIER: frozenset({Cka.ENCRYPT, Cka.DECRYPT}),
        OuterSuite.TOKEN_AES: frozenset({Cka.ENCRYPT, Cka.DECRYPT}),
    }
    for entry in world.vault.directory.entries:
        (handle,) = by_id(api, entry.key.kid)
        usages = made_for.get(entry.key.suite or entry.key.role, frozenset({Cka.DECRYPT}))
        yield _Key(entry.key.role.value, handle, usages)
    live = api.objects({Cka.CLASS: Cko.PRIVATE_KEY, Cka.TOKEN: False})
    if not live:
        raise LookupError("there is no live transport key")
    for handle in live:
        yield _Key("transport", handle, frozenset({Cka.UNWRAP}))


def _change(api: Interface, trial: Trial, key: _Key) -> None:
    for kind, value in {**_more_usages(key), **_OTHER_FLAGS, **_LOCKED}.items():
        with trial.attempt("C_SetAttributeValue") as attempt:
            api.set(key.handle, {kind: value})
            attempt.says(_turned(api, key.handle, kind, value))


def _copy(api: Interface, trial: Trial, key: _Key) -> None:
    for kind, value in {**_more_usages(key), **_OTHER_FLAGS}.items():
        with trial.attempt("C_CopyObject") as attempt:
            copy = api.copy(key.handle, {Cka.TOKEN: False, kind: value})
            attempt.says(copy is not None and _turned(api, copy, kind, value))


def _more_usages(key: _Key) -> dict[int, bool]:
    return {usage: True for usage in _USAGES if usage not in key.usages}


def _turned(api: Interface, handle: int, kind: int, value: bool) -> bool:
    return api.attribute(handle, kind) == bytes([value])


def _own_wrapping_keys(api: Interface) -> list[tuple[int, int]]:
    """AES keys and an RSA key that the attacker knows, made to wrap, with each mechanism."""
    aes = api.create(
        {
            Cka.CLASS: Cko.SECRET_KEY,
            Cka.KEY_TYPE: Ckk.AES,
            Cka.TOKEN: False,
            Cka.VALUE: bytes(32),
            Cka.WRAP: True,
            Cka.ENCRYPT: True,
        }
    )
    rsa = api.create(
        {
            Cka.CLASS: Cko.PUBLIC_KEY,
            Cka.KEY_TYPE: Ckk.RSA,
            Cka.TOKEN: False,
            Cka.MODULUS: b"\xff" * 256,
            Cka.PUBLIC_EXPONENT: b"\x01\x00\x01",
            Cka.WRAP: True,
        }
    )
    if aes is None or rsa is None:
        raise LookupError("the token takes no keys of the attacker's")
    on_aes = (Ckm.AES_KEY_WRAP, AES_KEY_WRAP_PAD, AES_CBC, _AES_CBC_PAD)
    return [*((aes, how) for how in on_aes), (rsa, Ckm.RSA_PKCS_OAEP), (rsa, Ckm.RSA_PKCS)]


def _wrapped(api: Interface, mechanism: int, wrapping_key: int, key: _Key) -> bytes | None:
    how = oaep() if mechanism == Ckm.RSA_PKCS_OAEP else parameters(mechanism, b"", bytes(12), b"x")
    return api.wrap(mechanism, how[0] if isinstance(how, list) else how, wrapping_key, key.handle)


def _other_uses(api: Interface, trial: Trial, key: _Key) -> None:
    """Begin everything that the key was not made for, with every mechanism of the token."""
    uses = {"Encrypt": Cka.ENCRYPT, "Decrypt": Cka.DECRYPT, "Sign": Cka.SIGN}
    mechanisms = api.mechanisms()
    for name, usage in uses.items():
        if usage in key.usages:
            continue
        with trial.attempt("a use that the key was not made with") as attempt:
            attempt.says(
                any(
                    api.begins(name, mechanism, how, key.handle)
                    for mechanism in mechanisms
                    for how in parameters(mechanism, bytes(40), bytes(12), b"aad")
                )
            )
