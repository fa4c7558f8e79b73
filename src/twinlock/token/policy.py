"""The attribute policy as data (SPEC, attribute policy): which template each key is made with.

One usage per key. Sensitive, not extractable, private, and, last in every template because
SoftHSM 2.6.1 refuses what follows, not copyable and not modifiable: otherwise a usage is simply
switched on later. Every usage flag is named, since tokens have defaults of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core.ports import KeyRole, OuterSuite, is_symmetric
from twinlock.errors import CallerError
from twinlock.token.ck import Cka, Ckk, Ckm, Cko
from twinlock.token.profiles import KwValueLen, TokenProfile, UnwrapTemplate
from twinlock.token.structures import Attributes, Template

AES_KEY_BYTES: Final = 32
COORDINATE_BYTES: Final = 32
RSA_EXPONENT: Final = b"\x01\x00\x01"
P256_PARAMS: Final = bytes.fromhex("06082a8648ce3d030107")
"""DER of the object identifier of secp256r1."""

_SECRET_USAGES: Final = (
    *(Cka.ENCRYPT, Cka.DECRYPT, Cka.WRAP, Cka.UNWRAP),
    *(Cka.SIGN, Cka.VERIFY, Cka.DERIVE),
)
_PRIVATE_USAGES: Final = (Cka.DECRYPT, Cka.UNWRAP, Cka.SIGN, Cka.DERIVE)
_PUBLIC_USAGES: Final = (Cka.ENCRYPT, Cka.WRAP, Cka.VERIFY)


def _usages(possible: tuple[Cka, ...], used: tuple[Cka, ...]) -> dict[int, bool]:
    return {usage: usage in used for usage in possible}


def _locked(profile: TokenProfile) -> dict[int, bool]:
    """What ends a template."""
    copyable: dict[int, bool] = {Cka.COPYABLE: False} if profile.copyable else {}
    return {**copyable, Cka.MODIFIABLE: False}


def secret_key(*used: Cka, extractable: bool = False, token: bool = False) -> dict[int, bool | int]:
    """An AES key. ``extractable`` lets another key wrap it; it stays sensitive."""
    return {
        Cka.CLASS: Cko.SECRET_KEY,
        Cka.KEY_TYPE: Ckk.AES,
        Cka.TOKEN: token,
        Cka.PRIVATE: True,
        Cka.SENSITIVE: True,
        Cka.EXTRACTABLE: extractable,
        **_usages(_SECRET_USAGES, used),
    }


@dataclass(frozen=True, slots=True)
class SessionTemplates:
    """The templates of the AES keys that are unwrapped or generated as session objects.

    Opening: ``session_key`` is the release's AES key, ``release_key`` rk, ``dek`` the DEK, all
    unwrapped. Sealing: ``born_dek`` is generated and wrapped once, ``import_key`` and ``imported``
    (rk) are unwrapped. Adopting: ``legacy_dek`` is unwrapped from its old lock and can be wrapped,
    nothing else; ``rewrap_import`` and ``rewrap_key`` (rk, which wraps it and unwraps the result
    once more, to see that it decrypts) are unwrapped.
    """

    session_key: Template
    release_key: Template
    dek: Template
    born_dek: Template
    import_key: Template
    imported: Template
    legacy_dek: Template
    rewrap_import: Template
    rewrap_key: Template


def session_attributes(profile: TokenProfile) -> dict[str, Attributes]:
    """The three levels that are unwrapped, as data: session_key, release_key, dek."""
    end = _locked(profile)
    dek: Attributes = {**secret_key(Cka.DECRYPT), **end}
    plain_rk = secret_key(Cka.UNWRAP)
    plain_session = secret_key(Cka.UNWRAP)
    if profile.unwrap_template is not UnwrapTemplate.NESTED:
        return {
            "session_key": {**plain_session, **end},
            "release_key": {**plain_rk, **end},
            "dek": dek,
        }
    release_key: Attributes = {**plain_rk, Cka.UNWRAP_TEMPLATE: dek, **end}
    session_key: Attributes = {**plain_session, Cka.UNWRAP_TEMPLATE: release_key, **end}
    return {"session_key": session_key, "release_key": release_key, "dek": dek}


def import_attributes(profile: TokenProfile) -> dict[str, Attributes]:
    """The two levels that are unwrapped to seal: import_key, and imported, an rk that wraps."""
    end = _locked(profile)
    imported: Attributes = {**secret_key(Cka.WRAP), **end}
    nested: dict[int, Attributes] = (
        {Cka.UNWRAP_TEMPLATE: imported} if profile.unwrap_template is UnwrapTemplate.NESTED else {}
    )
    return {"import_key": {**secret_key(Cka.UNWRAP), **nested, **end}, "imported": imported}


def rewrap_attributes(profile: TokenProfile) -> dict[str, Attributes]:
    """What adopting unwraps: legacy_dek; rewrap_import, and rewrap_key, an rk, under that."""
    end = _locked(profile)
    dek = session_attributes(profile)["dek"]
    is_nested = profile.unwrap_template is UnwrapTemplate.NESTED
    into_dek: dict[int, Attributes] = {Cka.UNWRAP_TEMPLATE: dek} if is_nested else {}
    key: Attributes = {**secret_key(Cka.WRAP, Cka.UNWRAP), **into_dek, **end}
    into_key: dict[int, Attributes] = {Cka.UNWRAP_TEMPLATE: key} if is_nested else {}
    return {
        "legacy_dek": {**secret_key(extractable=True), **end},
        "rewrap_import": {**secret_key(Cka.UNWRAP), **into_key, **end},
        "rewrap_key": key,
    }


def session_templates(profile: TokenProfile) -> SessionTemplates:
    """Build the templates that a connection uses for every record."""
    levels = {
        **session_attributes(profile),
        **import_attributes(profile),
        **rewrap_attributes(profile),
    }
    length: dict[int, int] = (
        {Cka.VALUE_LEN: AES_KEY_BYTES} if profile.kw_value_len is KwValueLen.REQUIRED else {}
    )
    born: Attributes = {
        **secret_key(Cka.ENCRYPT, extractable=True),
        Cka.VALUE_LEN: AES_KEY_BYTES,
        **_locked(profile),
    }
    return SessionTemplates(
        session_key=Template({**length, **levels["session_key"]}),
        release_key=Template({**length, **levels["release_key"]}),
        dek=Template({**length, **levels["dek"]}),
        born_dek=Template(born),
        import_key=Template({**length, **levels["import_key"]}),
        imported=Template({**length, **levels["imported"]}),
        legacy_dek=Template({**length, **levels["legacy_dek"]}),
        rewrap_import=Template({**length, **levels["rewrap_import"]}),
        rewrap_key=Template({**length, **levels["rewrap_key"]}),
    )


def transport_private(profile: TokenProfile) -> Attributes:
    """The RSA private key that releases are encrypted to: UNWRAP only, into the first level."""
    return _unwrapping_private(profile, session_attributes(profile)["session_key"])


def import_private(profile: TokenProfile) -> Attributes:
    """The RSA private key that brings in one import key: UNWRAP only, into nothing else."""
    return _unwrapping_private(profile, import_attributes(profile)["import_key"])


def rewrap_private(profile: TokenProfile) -> Attributes:
    """The same for the import key of adopting."""
    return _unwrapping_private(profile, rewrap_attributes(profile)["rewrap_import"])


def _unwrapping_private(profile: TokenProfile, into: Attributes) -> Attributes:
    attributes: dict[int, bool | int | Attributes | list[int]] = {
        Cka.CLASS: Cko.PRIVATE_KEY,
        Cka.KEY_TYPE: Ckk.RSA,
        Cka.TOKEN: False,
        Cka.PRIVATE: True,
        Cka.SENSITIVE: True,
        Cka.EXTRACTABLE: False,
        **_usages(_PRIVATE_USAGES, (Cka.UNWRAP,)),
    }
    if profile.unwrap_template is not UnwrapTemplate.NONE:
        attributes[Cka.UNWRAP_TEMPLATE] = into
    if profile.allowed_mechanisms:
        attributes[Cka.ALLOWED_MECHANISMS] = [Ckm.RSA_PKCS_OAEP]
    return {**attributes, **_locked(profile)}


def transport_public() -> Attributes:
    """The public half of a key that unwraps, read once and destroyed: it may do nothing."""
    return {
        Cka.CLASS: Cko.PUBLIC_KEY,
        Cka.KEY_TYPE: Ckk.RSA,
        Cka.TOKEN: False,
        Cka.PRIVATE: False,
        **_usages(_PUBLIC_USAGES, ()),
    }


def evaluated_point() -> Attributes:
    """What a hardening key derives: an x-coordinate that is read at once, and does nothing."""
    return {
        Cka.CLASS: Cko.SECRET_KEY,
        Cka.KEY_TYPE: Ckk.GENERIC_SECRET,
        Cka.TOKEN: False,
        Cka.PRIVATE: True,
        Cka.SENSITIVE: False,
        Cka.EXTRACTABLE: True,
        **_usages(_SECRET_USAGES, ()),
        Cka.VALUE_LEN: COORDINATE_BYTES,
    }


def long_lived_public(
    suite: OuterSuite | None, kid: bytes, label: str, role: KeyRole | None = None
) -> Attributes:
    """The public half of a persistent key pair.

    It has its private half's counterpart usage, which NSS needs for its check of a new pair. That
    of a hardening key has none.
    """
    is_rsa = suite is not None
    usage = () if role is KeyRole.HARDENING else (Cka.ENCRYPT if is_rsa else Cka.VERIFY,)
    return {
        Cka.CLASS: Cko.PUBLIC_KEY,
        Cka.KEY_TYPE: Ckk.RSA if is_rsa else Ckk.EC,
        Cka.TOKEN: True,
        Cka.PRIVATE: False,
        Cka.ID: kid,
        Cka.LABEL: label.encode(),
        **_usages(_PUBLIC_USAGES, usage),
    }


def _use_of(role: KeyRole) -> tuple[Cka, Ckm]:
    """The one usage and the one mechanism of a private key."""
    if role is KeyRole.WRAPPING:
        return Cka.DECRYPT, Ckm.RSA_PKCS_OAEP
    if role is KeyRole.HARDENING:
        return Cka.DERIVE, Ckm.ECDH1_DERIVE
    return Cka.SIGN, Ckm.ECDSA


def long_lived(
    profile: TokenProfile, role: KeyRole, suite: OuterSuite | None, kid: bytes, label: str
) -> Attributes:
    """The private or secret half of a persistent key of ``role``.

    Raises CallerError ``token.role-suite``: a suite belongs to wrapping keys, and to all of them.
    """
    if (role is KeyRole.WRAPPING) != (suite is not None):
        raise CallerError(
            "token.role-suite",
            f"A {role.value} key {'needs a' if suite is None else 'has no'} suite.",
            hint="Give a suite exactly when the role is `wrapping`.",
        )
    named: dict[int, bytes] = {Cka.ID: kid, Cka.LABEL: label.encode()}
    if is_symmetric(role, suite):
        base: Attributes = secret_key(Cka.ENCRYPT, Cka.DECRYPT, token=True)
        mechanism = Ckm.AES_GCM
    else:
        is_rsa = suite is not None
        usage, mechanism = _use_of(role)
        base = {
            Cka.CLASS: Cko.PRIVATE_KEY,
            Cka.KEY_TYPE: Ckk.RSA if is_rsa else Ckk.EC,
            Cka.TOKEN: True,
            Cka.PRIVATE: True,
            Cka.SENSITIVE: True,
            Cka.EXTRACTABLE: False,
            **_usages(_PRIVATE_USAGES, (usage,)),
        }
    allowed: dict[int, list[int]] = (
        {Cka.ALLOWED_MECHANISMS: [mechanism]} if profile.allowed_mechanisms else {}
    )
    return {**base, **named, **allowed, **_locked(profile)}
