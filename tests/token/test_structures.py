"""Templates, public keys and profiles as bytes and tables."""

from __future__ import annotations

import ctypes

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.errors import CallerError
from twinlock.token.ck import Cka, Ckm, code_name
from twinlock.token.policy import (
    import_private,
    long_lived,
    session_attributes,
    session_templates,
    transport_private,
)
from twinlock.token.profiles import PROFILES, detect_profile, profile_named
from twinlock.token.spki import p256_spki, rsa_spki
from twinlock.token.structures import CkAttribute, Template

_DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_back(address: int, count: int) -> dict[int, bytes]:
    array = (CkAttribute * count).from_address(address)
    return {a.type: ctypes.string_at(a.value, a.length) for a in array}


def test_a_template_holds_its_attributes_in_order_and_nests() -> None:
    inner = {Cka.SIGN: False}
    template = Template(
        {
            Cka.TOKEN: True,
            Cka.VALUE_LEN: 32,
            Cka.ID: b"\x00id",
            Cka.ALLOWED_MECHANISMS: [Ckm.AES_GCM, Ckm.ECDSA],
            Cka.UNWRAP_TEMPLATE: inner,
        }
    )
    found = read_back(template.address, template.count)
    assert list(found) == [0x001, 0x161, 0x102, 0x40000600, 0x40000212]
    nested = found.pop(0x40000212)
    assert list(found.values()) == [
        b"\x01",
        (32).to_bytes(8, "little"),
        b"\x00id",
        (0x1087).to_bytes(8, "little") + (0x1041).to_bytes(8, "little"),
    ]
    attribute = CkAttribute.from_buffer_copy(nested)
    assert (attribute.type, ctypes.string_at(attribute.value, attribute.length)) == (
        0x108,
        b"\x00",
    )


@pytest.mark.parametrize("bits", [2048, 3072])
def test_an_rsa_public_key_is_encoded_as_everybody_does(bits: int) -> None:
    key = rsa.generate_private_key(65537, bits).public_key()
    modulus = key.public_numbers().n.to_bytes(bits // 8, "big")
    assert rsa_spki(modulus, b"\x01\x00\x01") == key.public_bytes(*_DER)
    assert rsa_spki(b"\x00" + modulus, b"\x01\x00\x01") == key.public_bytes(*_DER)


@given(st.integers(1, 2**512), st.integers(1, 2**64))
def test_any_numbers_make_one_encoding(modulus: int, exponent: int) -> None:
    encoded = rsa_spki(modulus.to_bytes(72, "big"), exponent.to_bytes(9, "big"))
    assert encoded == rsa_spki(modulus.to_bytes(80, "big"), exponent.to_bytes(9, "big"))


def test_a_p256_public_key_is_encoded_as_everybody_does() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    assert p256_spki(b"\x04\x41" + point) == key.public_bytes(*_DER)
    assert p256_spki(point) == key.public_bytes(*_DER)


def test_a_bare_point_that_begins_like_an_octet_string_is_still_a_point() -> None:
    point = b"\x04\x41" + bytes(63)
    assert (p256_spki(point) or b"")[-65:] == point
    assert p256_spki(b"\x04\x41" + point) == p256_spki(point)


@pytest.mark.parametrize("value", [b"", b"\x04", bytes(65), b"\x02" + bytes(32), b"\x04" * 97])
def test_what_is_no_p256_point_has_no_encoding(value: bytes) -> None:
    assert p256_spki(value) is None


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_template_locks_itself_at_its_end(name: str) -> None:
    profile = PROFILES[name]
    templates = [*session_attributes(profile).values(), transport_private(profile)]
    templates += [
        long_lived(profile, role, suite, bytes(16), "label")
        for role, suite in [
            (KeyRole.IDENTITY, None),
            (KeyRole.WRAPPING, profile.rsa_oaep_suite),
            (KeyRole.WRAPPING, OuterSuite.TOKEN_AES),
        ]
    ]
    for template in templates:
        assert list(template)[-1] == Cka.MODIFIABLE
        assert template[Cka.MODIFIABLE] is False
        assert (template[Cka.SENSITIVE], template[Cka.EXTRACTABLE]) == (True, False)
        assert template[Cka.PRIVATE] is True


USAGES = [Cka.ENCRYPT, Cka.DECRYPT, Cka.WRAP, Cka.UNWRAP, Cka.SIGN, Cka.VERIFY, Cka.DERIVE]


@pytest.mark.parametrize(
    ("level", "usage"),
    [("session_key", Cka.UNWRAP), ("release_key", Cka.UNWRAP), ("dek", Cka.DECRYPT)],
)
def test_each_level_has_exactly_one_usage(level: str, usage: Cka) -> None:
    template = session_attributes(PROFILES["softhsm"])[level]
    assert [kind for kind in USAGES if template[kind]] == [usage]


def test_templates_nest_where_the_token_takes_it() -> None:
    nested = transport_private(PROFILES["opencryptoki"])
    first = nested[Cka.UNWRAP_TEMPLATE]
    second = first[Cka.UNWRAP_TEMPLATE]
    third = second[Cka.UNWRAP_TEMPLATE]
    assert (first[Cka.UNWRAP], second[Cka.UNWRAP], third[Cka.DECRYPT]) == (True, True, True)
    flat = transport_private(PROFILES["softhsm"])[Cka.UNWRAP_TEMPLATE]
    assert Cka.UNWRAP_TEMPLATE not in flat
    assert Cka.UNWRAP_TEMPLATE not in transport_private(PROFILES["nss"])


@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize(("field", "usage"), [("import_key", Cka.UNWRAP), ("imported", Cka.WRAP)])
def test_what_is_imported_to_seal_has_one_usage_and_never_comes_out(
    name: str, field: str, usage: Cka
) -> None:
    template = getattr(session_templates(PROFILES[name]), field)
    found = read_back(template.address, template.count)
    assert [kind for kind in USAGES if found[kind] == b"\x01"] == [usage]
    assert (found[Cka.SENSITIVE], found[Cka.EXTRACTABLE]) == (b"\x01", b"\x00")
    assert list(found.items())[-1] == (Cka.MODIFIABLE, b"\x00")


def test_an_import_key_unwraps_only_into_what_wraps_where_the_token_takes_it() -> None:
    first = import_private(PROFILES["opencryptoki"])[Cka.UNWRAP_TEMPLATE]
    second = first[Cka.UNWRAP_TEMPLATE]
    assert [kind for kind in USAGES if first[kind]] == [Cka.UNWRAP]
    assert [kind for kind in USAGES if second[kind]] == [Cka.WRAP]
    assert Cka.UNWRAP_TEMPLATE not in import_private(PROFILES["softhsm"])[Cka.UNWRAP_TEMPLATE]


@pytest.mark.parametrize(
    ("manufacturer", "model", "name"),
    [
        ("SoftHSM project", "SoftHSM v2", "softhsm"),
        ("Mozilla Foundation", "NSS 3", "nss"),
        ("SafeNet", "Luna G7", "luna"),
        ("Somebody", "Something", "generic"),
        ("", "", "generic"),
    ],
)
def test_a_profile_is_chosen_by_what_the_token_calls_itself(
    manufacturer: str, model: str, name: str
) -> None:
    assert detect_profile(manufacturer, model).name == name


def test_only_measured_profiles_say_so() -> None:
    assert {name for name, profile in PROFILES.items() if profile.tried} == {"softhsm", "nss"}


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(CallerError) as caught:
        profile_named("hsm-of-tomorrow")
    assert caught.value.code == "token.profile-unknown"


@pytest.mark.parametrize(
    ("value", "name"), [(0xA0, "CKR_PIN_INCORRECT"), (0x80000005, "CKR 0x80000005")]
)
def test_return_values_have_names(value: int, name: str) -> None:
    assert code_name(value) == name
