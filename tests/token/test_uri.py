"""RFC 7512 URIs: strict, without PINs, and stable through a round trip."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.errors import CallerError
from twinlock.token.uri import TokenUri, parse_uri

_TEXT = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), min_size=1
)
_OPTIONAL = st.none() | _TEXT
_NAME = st.none() | st.from_regex(r"[A-Za-z0-9_.\-]+", fullmatch=True)


@given(
    st.builds(
        TokenUri,
        token=_OPTIONAL,
        serial=_OPTIONAL,
        manufacturer=_OPTIONAL,
        model=_OPTIONAL,
        slot_id=st.none() | st.integers(0, 2**63 - 1),
        module_path=_OPTIONAL,
        module_name=_NAME,
        pin_source=_OPTIONAL,
    )
)
def test_what_is_written_is_read_back(uri: TokenUri) -> None:
    assert parse_uri(str(uri)) == uri


class RefusedError(Exception):
    """The one refusal that a URI may meet."""


def parsed(text: str) -> TokenUri:
    try:
        return parse_uri(text)
    except CallerError as error:
        if error.code == "token.uri":
            raise RefusedError from error
        raise


@given(st.text())
def test_any_text_is_parsed_or_refused_with_the_code(text: str) -> None:
    for candidate in (text, f"pkcs11:{text}", f"pkcs11:token=a?{text}"):
        with contextlib.suppress(RefusedError):
            assert isinstance(parsed(candidate), TokenUri)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pkcs11:", TokenUri()),
        ("PKCS11:token=a", TokenUri(token="a")),
        (
            "pkcs11:token=The%20Software%20Token;slot-id=3",
            TokenUri("The Software Token", slot_id=3),
        ),
        ("pkcs11:token=%C3%A4%3B%3F", TokenUri(token="ä;?")),
        (
            "pkcs11:serial=4711;model=X?module-path=/usr/lib/hsm.so&pin-source=file:/etc/pin",
            TokenUri(
                serial="4711", model="X", module_path="/usr/lib/hsm.so", pin_source="file:/etc/pin"
            ),
        ),
    ],
)
def test_examples_of_the_rfc_are_understood(text: str, expected: TokenUri) -> None:
    assert parse_uri(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "token=a",
        "pkcs12:token=a",
        "pkcs11:token",
        "pkcs11:token=",
        "pkcs11:token=a;token=b",
        "pkcs11:token=a;",
        "pkcs11:id=%01",
        "pkcs11:token=a b",
        "pkcs11:token=%zz",
        "pkcs11:token=%ff",
        "pkcs11:token=a%00b",
        "pkcs11:token=ä",
        "pkcs11:slot-id=-1",
        "pkcs11:slot-id=٣",
        "pkcs11:slot-id=1e3",
        "pkcs11:token=a?module-name=../../tmp/evil",
        "pkcs11:token=a?unknown=1",
        "pkcs11:module-path=/usr/lib/hsm.so",
    ],
)
def test_what_is_not_meant_exactly_is_refused(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        parse_uri(text)
    assert caught.value.code == "token.uri"


@pytest.mark.parametrize("text", ["pkcs11:token=a?pin-value=1234", "pkcs11:pin-value=1234"])
def test_a_pin_in_a_uri_is_refused_and_not_repeated(text: str) -> None:
    """R-TOKEN-5."""
    with pytest.raises(CallerError) as caught:
        parse_uri(text)
    assert caught.value.code == "token.uri"
    assert "1234" not in str(caught.value)
    assert "pin-source" in caught.value.hint
