"""Token profiles: what each vendor's token does differently, as data.

``softhsm`` and ``nss`` were measured; the others come from their manuals and say ``tried=False``.
``doctor`` probes what a profile claims; a deployment pins the profile's name in its configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from twinlock.core.ports import OuterSuite
from twinlock.errors import CallerError
from twinlock.token.ck import Ckr


class UnwrapTemplate(StrEnum):
    """What the token does with CKA_UNWRAP_TEMPLATE.

    FLAT: enforced for the key that is unwrapped, but a template inside a template is refused.
    NESTED: enforced at every level. NONE: not enforced, so it is not set.
    """

    NONE = "none"
    FLAT = "flat"
    NESTED = "nested"


class KwValueLen(StrEnum):
    """Whether CKA_VALUE_LEN belongs into the template of an AES key unwrap."""

    REQUIRED = "required"
    OMITTED = "omitted"


@dataclass(frozen=True, slots=True)
class TokenProfile:
    """One token's quirks.

    ``oaep_hash``: hash of OAEP and MGF1. ``gcm_max_bytes``: most ciphertext bytes in one call.
    ``gcm_iv_by_token``: the token makes its own GCM nonce, so it cannot seal. ``copyable``:
    CKA_COPYABLE exists. ``local``: CKA_LOCAL is true of keys that were generated in the token
    and of no others; NSS says false of all, and there a derived key is not CKA_ALWAYS_SENSITIVE.
    ``aad_marks``: text in the module's file that shows a build which aborts when GCM has no
    additional data: SoftHSM 2.6.1 reaches into an empty vector there, which the assertions of the
    C++ library (on in Fedora's and RHEL's builds, off in Debian's) answer with abort().
    ``refusals``: return values beyond the standard's that mean that the data are not genuine.
    ``manufacturer``, ``model``: how the token names itself (lower-case prefixes).
    """

    name: str
    manufacturer: str
    oaep_hash: str
    tried: bool
    unwrap_template: UnwrapTemplate = UnwrapTemplate.NESTED
    allowed_mechanisms: bool = True
    copyable: bool = True
    local: bool = True
    kw_value_len: KwValueLen = KwValueLen.OMITTED
    gcm_max_bytes: int | None = None
    gcm_iv_by_token: bool = False
    refusals: frozenset[int] = frozenset()
    aad_marks: tuple[bytes, ...] = ()
    model: str = ""

    @property
    def rsa_oaep_suite(self) -> OuterSuite:
        """The RSA-OAEP suite that the token carries."""
        if self.oaep_hash == "sha1":
            return OuterSuite.RSA_OAEP_SHA1
        return OuterSuite.RSA_OAEP_SHA256


_PROFILES = (
    TokenProfile(
        name="softhsm",
        manufacturer="softhsm",
        oaep_hash="sha1",
        tried=True,
        unwrap_template=UnwrapTemplate.FLAT,
        refusals=frozenset({Ckr.GENERAL_ERROR}),
        aad_marks=(b"__n < this->size()", b"vector[] index out of bounds"),
    ),
    TokenProfile(
        name="nss",
        manufacturer="mozilla",
        oaep_hash="sha256",
        tried=True,
        unwrap_template=UnwrapTemplate.NONE,
        allowed_mechanisms=False,
        copyable=False,
        local=False,
    ),
    TokenProfile(
        name="luna",
        manufacturer="safenet",
        oaep_hash="sha256",
        tried=False,
        unwrap_template=UnwrapTemplate.NONE,
        kw_value_len=KwValueLen.REQUIRED,
        gcm_iv_by_token=True,
    ),
    TokenProfile(
        name="cloudhsm",
        manufacturer="marvell",
        oaep_hash="sha256",
        tried=False,
        gcm_max_bytes=16 * 1024,
        gcm_iv_by_token=True,
    ),
    TokenProfile(
        name="nshield",
        manufacturer="ncipher",
        oaep_hash="sha256",
        tried=False,
        unwrap_template=UnwrapTemplate.FLAT,
    ),
    TokenProfile(
        name="opencryptoki",
        manufacturer="ibm",
        oaep_hash="sha256",
        tried=False,
    ),
)

GENERIC = TokenProfile(
    name="generic",
    manufacturer="",
    oaep_hash="sha256",
    tried=False,
    unwrap_template=UnwrapTemplate.NONE,
    allowed_mechanisms=False,
)
"""What is assumed of a token that no profile knows: nothing beyond the standard's core."""

PROFILES = {profile.name: profile for profile in (*_PROFILES, GENERIC)}


def profile_named(name: str) -> TokenProfile:
    """Return the profile that a configuration names. Raises ``token.profile-unknown``."""
    try:
        return PROFILES[name]
    except KeyError:
        raise CallerError(
            "token.profile-unknown",
            f"There is no token profile named {name!r}.",
            hint=f"Use one of: {', '.join(sorted(PROFILES))}.",
        ) from None


def detect_profile(manufacturer: str, model: str) -> TokenProfile:
    """Choose a profile by what the token calls itself, ``generic`` if nothing fits."""
    maker, kind = manufacturer.lower(), model.lower()
    for profile in _PROFILES:
        if maker.startswith(profile.manufacturer) and kind.startswith(profile.model):
            return profile
    return GENERIC
