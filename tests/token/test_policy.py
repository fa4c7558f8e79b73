"""Keys that break the policy, or are not the pinned ones, are refused before their first use."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.token.rigs import MAKERS, PKCS11, Rig, count_objects
from twinlock.core.ports import KeyRole, OuterSuite, TokenKey
from twinlock.errors import CallerError, EnvError
from twinlock.token.ck import Cka, Ckm, Cko
from twinlock.token.keys import read_modulus
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.policy import AES_KEY_BYTES, RSA_EXPONENT, long_lived, long_lived_public
from twinlock.token.pool import Login
from twinlock.token.spki import p256_spki, rsa_spki
from twinlock.token.structures import AES_KEY_GEN, Template


def made(
    token: Pkcs11Token,
    role: KeyRole,
    suite: OuterSuite | None,
    change: Callable[[dict[int, Any]], None],
    kid: bytes | None = None,
) -> TokenKey:
    """Make a persistent key with a changed policy, as somebody with the PIN could."""
    kid = kid or os.urandom(16)
    private = dict(long_lived(token.profile, role, suite, kid, "changed"))
    change(private)
    public = dict(long_lived_public(suite, kid, "changed", role))
    public[Cka.VERIFY] = private.get(Cka.SIGN, False)
    with token.pool.main() as login:
        return TokenKey(role, kid, _made(login, suite, public, private), suite)


def _made(login: Login, suite: OuterSuite | None, public: Any, private: dict[int, Any]) -> bytes:
    if private[Cka.CLASS] == Cko.SECRET_KEY:
        template = Template({Cka.VALUE_LEN: AES_KEY_BYTES, **private})
        login.calls.generate_key(AES_KEY_GEN, template)
        return b""
    if suite is None:
        handle, _ = login.session.generate_p256(public, private)
        return p256_spki(login.calls.attribute(handle, Cka.EC_POINT) or b"") or b""
    handle, _ = login.session.generate_rsa(2048, public, private)
    return rsa_spki(read_modulus(login.calls, handle), RSA_EXPONENT)


def setting(**attributes: Any) -> Callable[[dict[int, Any]], None]:
    return lambda private: private.update({Cka[name]: value for name, value in attributes.items()})


def without(name: str) -> Callable[[dict[int, Any]], None]:
    return lambda private: private.pop(Cka[name])


on_pkcs11 = pytest.mark.parametrize("rig", sorted(PKCS11), indirect=True)

RSA = "rsa"
VIOLATIONS = {
    "an identity key that may derive": (KeyRole.IDENTITY, None, setting(DERIVE=True)),
    "an audit key that is extractable": (KeyRole.AUDIT, None, setting(EXTRACTABLE=True)),
    "a log key that is modifiable": (KeyRole.LOG, None, without("MODIFIABLE")),
    "a wrapping key that unwraps too": (KeyRole.WRAPPING, RSA, setting(UNWRAP=True)),
    "a wrapping key that signs too": (KeyRole.WRAPPING, RSA, setting(SIGN=True)),
    "an extractable wrapping key": (KeyRole.WRAPPING, RSA, setting(EXTRACTABLE=True)),
    "a hardening key that signs too": (KeyRole.HARDENING, None, setting(SIGN=True)),
    "a hardening key that unwraps too": (KeyRole.HARDENING, None, setting(UNWRAP=True)),
    "a hardening key that is extractable": (KeyRole.HARDENING, None, setting(EXTRACTABLE=True)),
    "a hardening key that may not derive": (
        KeyRole.HARDENING,
        None,
        setting(DERIVE=False, SIGN=True),
    ),
    "a verifier key that wraps too": (KeyRole.VERIFIER, None, setting(WRAP=True)),
    "a verifier key that derives too": (KeyRole.VERIFIER, None, setting(DERIVE=True)),
    "a verifier key that may be read": (
        KeyRole.VERIFIER,
        None,
        setting(SENSITIVE=False, EXTRACTABLE=True),
    ),
    "an AES key that wraps too": (KeyRole.WRAPPING, OuterSuite.TOKEN_AES, setting(WRAP=True)),
    "an AES key that unwraps too": (KeyRole.WRAPPING, OuterSuite.TOKEN_AES, setting(UNWRAP=True)),
    "an AES key that may be read": (
        KeyRole.WRAPPING,
        OuterSuite.TOKEN_AES,
        setting(SENSITIVE=False, EXTRACTABLE=True),
    ),
}
SOFTHSM_VIOLATIONS = {
    "a key that may be copied": (KeyRole.IDENTITY, None, without("COPYABLE")),
    "a hardening key open to every mechanism": (
        KeyRole.HARDENING,
        None,
        without("ALLOWED_MECHANISMS"),
    ),
    "a wrapping key open to every mechanism": (
        KeyRole.WRAPPING,
        RSA,
        without("ALLOWED_MECHANISMS"),
    ),
    "a wrapping key open to raw RSA": (
        KeyRole.WRAPPING,
        RSA,
        setting(ALLOWED_MECHANISMS=[Ckm.RSA_PKCS_OAEP, Ckm.RSA_X_509]),
    ),
}


@pytest.mark.parametrize("violation", sorted(VIOLATIONS | SOFTHSM_VIOLATIONS))
@on_pkcs11
def test_a_key_that_breaks_the_policy_is_refused(rig: Rig, violation: str) -> None:
    """R-TOKEN-1."""
    token = rig.token
    if violation in SOFTHSM_VIOLATIONS and not token.profile.allowed_mechanisms:
        pytest.skip(f"{token.name} has no such attribute")
    role, suite, change = (VIOLATIONS | SOFTHSM_VIOLATIONS)[violation]
    suite = token.rsa_oaep_suite if suite == RSA else suite
    key = made(token, role, suite, change)
    with pytest.raises(EnvError) as caught:
        token.load_keys([key])
    assert caught.value.code == "token.key-policy"


@pytest.mark.parametrize(
    ("role", "suite"),
    [
        (KeyRole.IDENTITY, None),
        (KeyRole.HARDENING, None),
        (KeyRole.VERIFIER, None),
        (KeyRole.WRAPPING, RSA),
        (KeyRole.WRAPPING, OuterSuite.TOKEN_AES),
    ],
)
@on_pkcs11
def test_the_policy_itself_is_kept(rig: Rig, role: KeyRole, suite: Any) -> None:
    """R-TOKEN-1."""
    suite = rig.token.rsa_oaep_suite if suite == RSA else suite
    rig.token.load_keys([made(rig.token, role, suite, lambda private: None)])


@pytest.mark.parametrize(
    ("role", "suite"),
    [(KeyRole.LOG, None), (KeyRole.HARDENING, None), (KeyRole.WRAPPING, RSA)],
)
@on_pkcs11
def test_a_key_put_under_the_same_id_and_label_is_noticed(
    rig: Rig, role: KeyRole, suite: Any
) -> None:
    """R-TOKEN-2."""
    suite = rig.token.rsa_oaep_suite if suite else None
    key = made(rig.token, role, suite, lambda private: None)
    rig.token.load_keys([key])
    with rig.token.pool.main() as login:
        for handle in login.session.find({Cka.ID: key.kid}):
            login.calls.destroy(handle)
    made(rig.token, role, suite, lambda private: None, kid=key.kid)
    with pytest.raises(EnvError) as caught:
        rig.token.load_keys([key])
    assert caught.value.code == "token.key-replaced"


@on_pkcs11
def test_two_keys_under_one_id_are_refused(rig: Rig) -> None:
    """R-TOKEN-2."""
    key = made(rig.token, KeyRole.LOG, None, lambda private: None)
    made(rig.token, KeyRole.LOG, None, lambda private: None, kid=key.kid)
    with pytest.raises(EnvError) as caught:
        rig.token.load_keys([key])
    assert caught.value.code == "token.key-replaced"


@on_pkcs11
def test_an_aes_key_whose_value_somebody_knows_is_refused(rig: Rig) -> None:
    kid, suite = os.urandom(16), OuterSuite.TOKEN_AES
    policy = long_lived(rig.token.profile, KeyRole.WRAPPING, suite, kid, "planted")
    with rig.token.pool.main() as login:
        login.calls.create_object(Template({Cka.VALUE: os.urandom(32), **policy}))
    with pytest.raises(EnvError) as caught:
        rig.token.load_keys([TokenKey(KeyRole.WRAPPING, kid, b"", suite)])
    assert caught.value.code == "token.key-policy"


@pytest.mark.parametrize(
    "change", [{"kid": b"short"}, {"public": b""}, {"suite": OuterSuite.TOKEN_AES}]
)
@on_pkcs11
def test_a_malformed_key_is_a_callers_mistake(rig: Rig, change: dict) -> None:
    with pytest.raises(CallerError) as caught:
        rig.token.load_keys([dataclasses.replace(rig.wrapping, **change)])
    assert caught.value.code == "token.key-malformed"


def test_a_suite_that_the_token_lacks_leaves_no_key_behind(tmp_path, softhsm_folder) -> None:
    rig = MAKERS["softhsm"](tmp_path)
    before = count_objects(rig.token)
    with pytest.raises(EnvError) as caught:
        rig.token.generate_key(KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA256, rsa_bits=2048)
    assert caught.value.code == "token.unsupported"
    assert count_objects(rig.token) == before
    rig.token.close()
