"""Keys of the deployment replaced in the token, under the same id and label.

Broken is an attempt after which the server takes up a key that is the attacker's: one whose value
he knows, or whose public half is not the one that the directory states.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import (
    ECB_ENCRYPT_DATA,
    Interface,
    by_id,
    encrypt_data,
    gcm,
    interface,
    live_token,
)
from attacks.hsm_loot import half_open, targets
from attacks.world import World
from twinlock.core.ports import TokenKey
from twinlock.core.primitives import gcm_seal
from twinlock.server.sealing import Sealing
from twinlock.token import keys
from twinlock.token.ck import Cka, Ckm, Cko
from twinlock.token.keys import HeldKey, KeyRing, read_modulus
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.policy import (
    P256_PARAMS,
    RSA_EXPONENT,
    long_lived,
    long_lived_public,
    secret_key,
)
from twinlock.token.pool import Login
from twinlock.token.spki import rsa_spki
from twinlock.token.structures import Attributes

_REFUSALS: Final = ("token.key-replaced", "token.key-policy")
_DATA: Final = bytes(range(32))


def _by_id_alone(_: KeyRing, login: Login, key: TokenKey) -> HeldKey:
    found = login.session.find({Cka.TOKEN: True, Cka.ID: key.kid})
    return HeldKey(key, found[-1])


_ID_ALONE: Final = Mutation(
    "keys are taken by their id alone",
    lambda: weakened((KeyRing, "_checked", _by_id_alone)),
)
_NOT_BORN: Final = Mutation(
    "keys need not be born in the token",
    lambda: weakened((keys, "_BORN_HERE", {}), (keys, "_GENERATED", {})),
)


_OF_DIRECTORY: Final = Sealing._wrapping_key
_attacked: list[Pkcs11Token] = []


def _of_token(sealing: Sealing, name: str) -> TokenKey:
    key = _OF_DIRECTORY(sealing, name)
    with _attacked[0].pool.main() as login:
        (public,) = login.session.find({Cka.CLASS: Cko.PUBLIC_KEY, Cka.ID: key.kid})
        return replace(key, public=rsa_spki(read_modulus(login.calls, public), RSA_EXPONENT))


_FROM_TOKEN: Final = Mutation(
    "writers take public keys from the token",
    lambda: weakened((Sealing, "_wrapping_key", _of_token)),
)


@attack(
    id="hsm-replace-keys",
    claim="hsm",
    attack=9,
    says="a second key under the same id and label; the key destroyed and made anew or brought in",
    mutations=[_ID_ALONE, _NOT_BORN, _FROM_TOKEN],
    databases=False,
    fresh=True,
)
def hsm_replace_keys(world: World, trial: Trial) -> None:
    """Each key by itself: first one more beside it, then others in its place."""
    token = live_token(world)
    entries = world.vault.directory.entries
    with interface(world) as api:
        for entry in entries:
            with (
                trial.attempt("a second key with the same id", *_REFUSALS) as attempt,
                _made(token, api, entry.key),
            ):
                attempt.says(_taken_up(token, entry.key))
        for entry in entries:
            for old in api.objects({Cka.ID: entry.key.kid}):
                api.destroy(old)
            _in_its_place(token, api, trial, entry.key)
            if entry.key.suite is token.rsa_oaep_suite:
                with (
                    trial.attempt("sealed to the attacker's key") as attempt,
                    _made(token, api, entry.key),
                ):
                    attempt.says(_sealed_to(world, token, api))


def _in_its_place(token: Pkcs11Token, api: Interface, trial: Trial, key: TokenKey) -> None:
    with (
        trial.attempt("a key brought in from outside", *_REFUSALS) as attempt,
        _gone_after(api, key),
    ):
        if api.create(_outside(token, key)) is None:
            raise LookupError("the token takes no key from outside")
        attempt.says(_taken_up(token, key))
    if not key.symmetric:
        with (
            trial.attempt("a key made anew in the token", *_REFUSALS) as attempt,
            _made(token, api, key),
        ):
            attempt.says(_taken_up(token, key))
        return
    # Nothing public tells an AES key made anew with a value that nobody knows: what it sealed
    # does not open any more, new things are as safe as before. A known value must be refused.
    with (
        trial.attempt("the AES key made anew or derived in the token", *_REFUSALS) as attempt,
        _gone_after(api, key),
    ):
        value = _derived(token, api, key)
        attempt.says(_taken_up(token, key) and _seals_under(api, key, value))
    with (
        trial.attempt("the AES key made anew or derived in the token") as attempt,
        _made(token, api, key),
    ):
        attempt.says(not _taken_up(token, key) or _seals_under(api, key, value))


def _sealed_to(world: World, token: Pkcs11Token, api: Interface) -> bool:
    """Seal a record now, and tell whether O decrypts with what lies in the token now."""
    _attacked[:] = [token]
    place = world.place("first-rsa-oaep")
    world.database.put(place, world.seal(place))
    (target,) = targets(world, [place])
    try:
        return half_open(api, target) is not None
    except LookupError:
        return False


def _taken_up(token: Pkcs11Token, key: TokenKey) -> bool:
    token.load_keys([key])
    return True


@contextmanager
def _gone_after(api: Interface, key: TokenKey) -> Iterator[None]:
    """What was put under the key's id is taken away again."""
    before = set(api.objects({Cka.ID: key.kid}))
    try:
        yield
    finally:
        for handle in set(api.objects({Cka.ID: key.kid})) - before:
            api.destroy(handle)


@contextmanager
def _made(token: Pkcs11Token, api: Interface, key: TokenKey) -> Iterator[None]:
    """A key of one's own, generated in the token with the policy, under the key's id and label."""
    private = _policy(token, key)
    public = long_lived_public(key.suite, key.kid, _label(key), key.role)
    with _gone_after(api, key):
        if key.symmetric:
            api.generate(Ckm.AES_KEY_GEN, {Cka.VALUE_LEN: 32, **private})
        else:
            with token.pool.main() as login:
                if key.suite is not None:
                    login.session.generate_rsa(2048, public, private)
                else:
                    login.session.generate_p256(public, private)
        yield


def _outside(token: Pkcs11Token, key: TokenKey) -> Attributes:
    """A key of known value, with the policy's attributes."""
    if key.symmetric:
        return {Cka.VALUE: _DATA, **_policy(token, key)}
    if key.suite is None:
        scalar = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        value = scalar.to_bytes(32, "big")
        return {Cka.EC_PARAMS: P256_PARAMS, Cka.VALUE: value, **_policy(token, key)}
    made = rsa.generate_private_key(65537, 2048).private_numbers()
    parts = [made.public_numbers.n, made.public_numbers.e, made.d, made.p, made.q]
    parts += [made.dmp1, made.dmq1, made.iqmp]
    kinds = (Cka.MODULUS, Cka.PUBLIC_EXPONENT, 0x123, 0x124, 0x125, 0x126, 0x127, 0x128)
    values: dict[int, bytes] = {
        kind: part.to_bytes((part.bit_length() + 7) // 8, "big")
        for kind, part in zip(kinds, parts, strict=True)
    }
    return {**values, **_policy(token, key)}


def _derived(token: Pkcs11Token, api: Interface, key: TokenKey) -> bytes:
    """Derive a key by encrypting known data; the base key tells what came out."""
    usages = secret_key(Cka.ENCRYPT, Cka.DERIVE)
    base = api.generate(Ckm.AES_KEY_GEN, {**usages, Cka.VALUE_LEN: 32})
    if base is None:
        raise LookupError("the token makes no key to derive from")
    attributes = {Cka.VALUE_LEN: 32, **_policy(token, key)}
    made = api.derive(ECB_ENCRYPT_DATA, encrypt_data(_DATA), base, attributes)
    value = api.encrypt(Ckm.AES_ECB, None, base, _DATA)
    if made is None or value is None:
        raise LookupError("the token derives no key")
    return value


def _seals_under(api: Interface, key: TokenKey, value: bytes) -> bool:
    """Tell whether what the token seals under the key's id opens with a value known outside."""
    (handle,) = by_id(api, key.kid)
    nonce, binding = bytes(12), b"binding"
    sealed = api.encrypt(Ckm.AES_GCM, gcm(nonce, binding), handle, _DATA)
    return sealed == gcm_seal(value, nonce, _DATA, binding)


def _policy(token: Pkcs11Token, key: TokenKey) -> Attributes:
    return long_lived(token.profile, key.role, key.suite, key.kid, _label(key))


def _label(key: TokenKey) -> str:
    return f"twinlock {key.role.value} {key.kid.hex()}"
