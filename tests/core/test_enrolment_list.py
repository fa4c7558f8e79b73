"""The signed list of a member's ways in, and the change that brings it to the server."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core import cbor
from twinlock.core.enrolment_list import (
    EnrolmentList,
    Listed,
    decode_enrolment_list,
    guessable,
    refused_traits,
    traits_of,
    verify_enrolment_list,
)
from twinlock.core.member_bundle import (
    BundleRequest,
    MemberBundle,
    decode_bundle_request,
    decode_member_bundle,
)
from twinlock.core.member_change import Login, MemberChange, decode_member_change
from twinlock.core.membership import PinnedHead, Policy
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import signing_key_from_seed, verify
from twinlock.core.proposal import Proposal
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement
from twinlock.errors import DataError

DEPLOYMENT, MEMBER = b"d" * 16, b"m" * 16
KEY, OTHER = signing_key_from_seed(Secret(b"k" * 32)), signing_key_from_seed(Secret(b"o" * 32))
LAPTOP = Listed(b"1" * 16, ("device-key", "password"), "laptop", 1_700_000_000, True)
PAPER = Listed(b"2" * 16, ("recovery-code",), "", 1_700_000_001, False)
WARD, CLINIC = PinnedHead(b"w" * 32, 7, b"h" * 32), PinnedHead(b"c" * 32, 0, b"i" * 32)
LIST = EnrolmentList(DEPLOYMENT, MEMBER, 3, (LAPTOP, PAPER), b"f" * 32, (CLINIC, WARD))

texts = st.text(st.characters(categories=["L", "N", "P"]), max_size=20).map(
    lambda text: unicodedata.normalize("NFC", text)[:60]
)
entries = st.builds(
    Listed,
    st.binary(min_size=16, max_size=16),
    st.lists(st.sampled_from(["password", "passkey", "scram"]), min_size=1, max_size=3).map(tuple),
    texts,
    st.integers(0, 2**63 - 1),
    st.booleans(),
)


@given(
    st.lists(entries, min_size=1, max_size=32, unique_by=lambda e: e.enrolment_id),
    st.integers(0, 2**63 - 1),
)
def test_a_list_comes_back_as_it_was_signed(listed: list[Listed], counter: int) -> None:
    """R-FACTOR-6: what the member signs."""
    made = replace(LIST, counter=counter, enrolments=tuple(listed))
    assert verify_enrolment_list(made.signed(KEY), KEY.public) == made


@pytest.mark.parametrize("damage", ["nobody", "somebody", "a byte"])
def test_a_list_that_the_member_did_not_sign_is_refused(damage: str) -> None:
    """R-WAYS-1: the signature is the member's."""
    signed = LIST.signed(OTHER if damage == "somebody" else KEY)
    if damage == "nobody":
        signed = LIST.encode()
    if damage == "a byte":
        at = signed.index(b"laptop")
        signed = signed[:at] + b"L" + signed[at + 1 :]
    with pytest.raises(DataError) as caught:
        verify_enrolment_list(signed, KEY.public)
    assert caught.value.code == "enrolment.list-damaged"


@pytest.mark.parametrize(
    "wrong",
    [
        replace(LIST, enrolments=()),
        replace(LIST, enrolments=(LAPTOP, LAPTOP)),
        replace(LIST, enrolments=(replace(LAPTOP, kinds=()),)),
        replace(LIST, enrolments=(replace(LAPTOP, label="x" * 61),)),
        replace(LIST, enrolments=(replace(LAPTOP, label="a\nb"),)),
        replace(
            LIST, enrolments=tuple(replace(PAPER, enrolment_id=bytes([i]) * 16) for i in range(33))
        ),
        replace(LIST, enrolments=(replace(LAPTOP, at_server=1),)),  # type: ignore[arg-type]
        replace(LIST, groups=(WARD, WARD)),
        replace(LIST, identity=b"short"),
    ],
)
def test_a_list_that_is_none_is_malformed(wrong: EnrolmentList) -> None:
    """R-FACTOR-6: 1 to 32 enrolments, each once, groups in order."""
    with pytest.raises(DataError) as caught:
        decode_enrolment_list(wrong.encode())
    assert caught.value.code == "format.malformed"


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"passphrase"}, True),
        ({"scram"}, True),
        ({"passphrase", "scram"}, True),
        ({"password"}, False),
        ({"passphrase", "device-key"}, False),
        ({"scram", "passkey"}, False),
        ({"recovery-code"}, False),
        ({"smart-card"}, False),
    ],
)
def test_what_a_stolen_database_could_guess_at(kinds: set[str], expected: bool) -> None:
    """R-WAYS-3: neither passphrases nor SCRAM passwords alone are kept at the server."""
    assert guessable(kinds) is expected


@pytest.mark.parametrize(
    ("ways", "traits"),
    [
        ([], set()),
        ([{"password"}], set()),
        ([{"device-key"}], {"pq-at-rest"}),
        ([{"device-key", "password"}, {"recovery-code"}], {"pq-at-rest"}),
        ([{"device-key"}, {"password"}], set()),
        ([{"smart-card"}], set()),
        ([{"smart-card", "device-key"}], {"pq-at-rest"}),
        ([{"scram"}], {"scram-alone"}),
        ([{"scram", "password"}], {"scram-alone"}),
        ([{"scram", "device-key"}], {"pq-at-rest"}),
        ([{"passkey"}], {"pq-at-rest", "sole-passkey"}),
        ([{"passkey"}, {"passkey", "password"}], {"pq-at-rest", "sole-passkey"}),
        ([{"passkey"}, {"recovery-code"}], {"pq-at-rest"}),
    ],
)
def test_what_a_member_has_to_state_follows_from_the_ways_in(
    ways: list[set[str]], traits: set[str]
) -> None:
    """R-WAYS-4: traits are computed, not chosen."""
    assert traits_of(ways) == traits


def test_a_policy_refuses_traits_and_their_absence() -> None:
    """R-WAYS-4: what groups make of them."""
    plain = Policy(outer_suites=frozenset({OuterSuite.TOKEN_AES}))
    strict = replace(plain, pq_at_rest=True)
    lax = replace(plain, exceptions=frozenset({"scram-alone"}))
    assert refused_traits(plain, frozenset({"scram-alone", "pq-at-rest"})) == {"scram-alone"}
    assert refused_traits(lax, frozenset({"scram-alone"})) == set()
    assert refused_traits(strict, frozenset()) == {"pq-at-rest"}
    assert refused_traits(strict, frozenset({"pq-at-rest"})) == set()


@pytest.mark.parametrize(
    "logins", [(), (Login("split", b"v" * 32), Login("passkey", None), Login("passkey", b"p"))]
)
def test_a_change_comes_back_as_it_was_signed(logins: tuple[Login, ...]) -> None:
    """R-WAYS-5: list, enrolments, sign-ins and log entries, signed as one."""
    made = MemberChange(LIST.signed(KEY), (b"blob",), logins, (Proposal(b"entry"),))
    change, message, signature = decode_member_change(made.signed(KEY))
    assert change == made
    verify(KEY.public, message, signature)


def test_a_bundle_and_the_request_for_it_come_back() -> None:
    """R-WAYS-6: the bytes between server and agent."""
    bundle = MemberBundle(
        DEPLOYMENT, MEMBER, "weber", b"list", (b"one", b"two"), (Statement(b"raw", b"s" * 64),)
    )
    assert decode_member_bundle(bundle.encode()) == bundle
    asked = BundleRequest(DEPLOYMENT, MEMBER, 1_700_000_000)
    assert decode_bundle_request(asked.encode()) == asked
    kept_elsewhere = replace(bundle, blobs=())
    assert decode_member_bundle(kept_elsewhere.encode()) == kept_elsewhere
    with pytest.raises(DataError):
        decode_member_bundle(replace(kept_elsewhere, signed_list=b"").encode())
    with pytest.raises(DataError):
        decode_bundle_request(
            cbor.encode(["twinlock/v1/member-bundle-request", DEPLOYMENT, MEMBER])
        )
