"""The messages of the ceremony: hello, request, bundle, release, share."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinlock.core import cbor, proposal, release, request
from twinlock.core.ports import TransportKey
from twinlock.core.primitives import aes_key_unwrap, sha256, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement
from twinlock.errors import DataError

from .scenes import CONTEXT, DEPLOYMENT, Stream, rsa_key, spki

B16, B32, B40, B64 = (st.binary(min_size=n, max_size=n) for n in (16, 32, 40, 64))
ANY = st.binary(max_size=60)
UINT = st.integers(0, 2**63 - 1)
TEXT = st.sampled_from(["", "ward round", "Visite Zürich", "起"])
HEADS = st.lists(st.builds(request.GroupHead, B32, UINT, B32), max_size=3).map(tuple)
HELLOS = st.builds(request.Hello, B16, B16, B32, B32, HEADS, TEXT)
ITEMS = st.builds(request.RequestItem, ANY, ANY, ANY)
REQUESTS = st.builds(
    request.RequestMessage, B16, B16, B16, B32, TEXT, UINT, B16, B32, HEADS,
    st.lists(ITEMS, min_size=1, max_size=3).map(tuple),
)  # fmt: skip
STATEMENTS = st.builds(Statement, ANY, B64)
NEWS = st.builds(request.GroupNews, B32, st.lists(ANY, max_size=3).map(tuple))
KEYS = st.builds(request.SealedGroupKey, B32, UINT, ANY)


def few(items):
    return st.lists(items, max_size=3).map(tuple)


BUNDLES = st.builds(
    request.RequestBundle, ANY, STATEMENTS, few(STATEMENTS), few(NEWS), few(KEYS), B32
)
GROUP_BUNDLES = st.builds(request.GroupBundle, few(STATEMENTS), few(NEWS), few(KEYS))
PROPOSALS = st.builds(proposal.Proposal, ANY, few(st.builds(proposal.SealedKeyFor, UINT, B16, ANY)))
POSITIONS = st.integers(0, 999)
RELEASES = st.builds(
    release.ReleaseMessage, B16, B32, B16, B16, B16, B32, UINT, UINT, B32, B32, ANY,
    few(st.builds(release.ReleaseItem, POSITIONS, B16, B32, B40)),
)  # fmt: skip
SHARES = st.builds(
    release.ShareMessage, B16, B32, B16, B16, B16, B16, UINT,
    st.lists(
        st.builds(release.ShareItem, POSITIONS, st.integers(0, 15), st.integers(0, 7), ANY),
        min_size=1, max_size=3,
    ).map(tuple),
)  # fmt: skip

CODECS = {
    "hello": (HELLOS, request.decode_hello),
    "request": (REQUESTS, request.decode_request),
    "bundle": (BUNDLES, request.decode_bundle),
    "group bundle": (GROUP_BUNDLES, request.decode_group_bundle),
    "proposal": (PROPOSALS, proposal.decode_proposal),
    "release": (RELEASES, release.decode_release),
    "share": (SHARES, release.decode_share),
}


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_a_message_comes_back_as_it_was(name, data):
    """R-REQ-1, R-REQ-2, R-REQ-3, R-REQ-6, R-REQ-7, R-REL-1, R-SHARE-1: round trip."""
    messages, decode = CODECS[name]
    message = data.draw(messages)
    assert decode(message.encode()) == message


@pytest.mark.parametrize("name", CODECS)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_mutated_message_is_refused_or_is_another_message(name, data):
    """R-REQ-5, R-REL-4: nothing but DataError, and never the same message again."""
    messages, decode = CODECS[name]
    message = data.draw(messages)
    raw = bytearray(message.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode(bytes(raw))
    except DataError:
        return
    assert changed.encode() == bytes(raw)
    assert changed == message or bytes(raw) != message.encode()


@pytest.mark.parametrize("name", CODECS)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_no_message(name, data):
    """R-REQ-5: without a label there is nothing to decode."""
    with pytest.raises(DataError):
        CODECS[name][1](data)


NOISE = st.recursive(
    st.integers(-1, 2000) | st.binary(max_size=64) | st.text(max_size=3) | st.booleans()
    | st.none() | B16 | B32 | B64,
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=15,
)  # fmt: skip
LABELS = {
    "hello": ("twinlock/v1/hello", 6),
    "request": ("twinlock/v1/request", 10),
    "bundle": ("twinlock/v1/request-bundle", 6),
    "group bundle": ("twinlock/v1/group-bundle", 3),
    "proposal": ("twinlock/v2/proposal", 2),
    "release": ("twinlock/v1/release", 12),
    "share": ("twinlock/v1/share", 8),
}


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_a_labelled_message_of_any_shape_raises_data_errors_only(name, data):
    """R-REQ-5, R-REL-4: fields of every wrong type and length."""
    label, count = LABELS[name]
    fields = data.draw(st.lists(NOISE, min_size=count, max_size=count))
    try:
        CODECS[name][1](cbor.encode([label, *fields]))
    except DataError:
        return


REQUEST = request.RequestMessage(
    DEPLOYMENT, b"r" * 16, b"m" * 16, b"s" * 32, "ward round", 1_800_000_060, b"t" * 16,
    b"d" * 32, (request.GroupHead(b"g" * 32, 3, b"h" * 32),),
    (request.RequestItem(b"core", CONTEXT, b"header"),),
)  # fmt: skip
RELEASE = release.ReleaseMessage(
    DEPLOYMENT, b"q" * 32, b"m" * 16, b"k" * 16, b"t" * 16, b"d" * 32, 1_800_000_000, 7,
    b"p" * 32, b"a" * 32, bytes(256), (release.ReleaseItem(0, b"i" * 16, b"l" * 32, bytes(40)),),
)  # fmt: skip
SHARE = release.ShareMessage(
    DEPLOYMENT, b"q" * 32, b"m" * 16, b"k" * 16, b"n" * 16, b"o" * 16, 1_800_000_000,
    (release.ShareItem(0, 1, 1, bytes(113)),),
)  # fmt: skip


def _with(message, **changes) -> bytes:
    return dataclasses.replace(message, **changes).encode()


ITEM, RITEM, SITEM = REQUEST.items[0], RELEASE.items[0], SHARE.items[0]
REFUSED = {
    "a request for nothing": (request.decode_request, _with(REQUEST, items=())),
    "a request for 1001 DEKs": (request.decode_request, _with(REQUEST, items=(ITEM,) * 1001)),
    "a purpose that is not NFC": (request.decode_request, _with(REQUEST, purpose="e\u0301")),
    "a request id of 15 bytes": (request.decode_request, _with(REQUEST, request_id=bytes(15))),
    "an expiry before 1970": (request.decode_request, _with(REQUEST, not_after=-1)),
    "a release of 1001 keys": (release.decode_release, _with(RELEASE, items=(RITEM,) * 1001)),
    "a position of 1000": (
        release.decode_release,
        _with(RELEASE, items=(dataclasses.replace(RITEM, position=1000),)),
    ),
    "a wrapped key of 39 bytes": (
        release.decode_release,
        _with(RELEASE, items=(dataclasses.replace(RITEM, wrapped_release_key=bytes(39)),)),
    ),
    "a negative counter": (release.decode_release, _with(RELEASE, counter=-1)),
    "a share of nothing": (release.decode_share, _with(SHARE, items=())),
    "a lock number of 16": (
        release.decode_share, _with(SHARE, items=(dataclasses.replace(SITEM, lock=16),)),
    ),
    "a share index of 8": (
        release.decode_share, _with(SHARE, items=(dataclasses.replace(SITEM, index=8),)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("decode", "raw"), REFUSED.values(), ids=REFUSED)
def test_a_message_out_of_range_is_malformed(decode, raw):
    """R-REQ-4, R-REL-4, R-SHARE-1: counts, positions, lengths."""
    with pytest.raises(DataError) as caught:
        decode(raw)
    assert caught.value.code == "format.malformed"


def test_the_largest_messages_stay_under_their_caps():
    """R-REQ-4, R-REL-4, R-SHARE-1: what is made can be read."""
    items = tuple(dataclasses.replace(RITEM, position=i) for i in range(1000))
    raw = _with(RELEASE, items=items)
    assert len(release.decode_release(raw).items) == 1000
    large = tuple(release.ShareItem(i, 0, 0, bytes(1168)) for i in range(1000))
    signed = release.sign_message(_with(SHARE, items=large), MEMBER)
    assert len(release.decode_share(release.verify_message(signed, MEMBER.public)).items) == 1000
    many = tuple(request.RequestItem(bytes(60), bytes(300), bytes(1400)) for _ in range(1000))
    assert len(request.decode_request(_with(REQUEST, items=many)).items) == 1000


def test_a_message_over_its_cap_is_too_large():
    """R-REL-4: before anything is parsed."""
    with pytest.raises(DataError) as caught:
        release.split_signed(bytes((4 << 20) + 1))
    assert caught.value.code == "format.too-large"
    with pytest.raises(DataError) as caught:
        release.decode_release(bytes((1 << 20) + 1))
    assert caught.value.code == "format.too-large"


MEMBER = signing_key_from_seed(Secret(b"m" * 32))
STRANGER = signing_key_from_seed(Secret(b"x" * 32))


def test_a_signed_message_gives_out_what_was_signed():
    """R-REL-3: the control of the refusals below."""
    signed = release.sign_message(RELEASE.encode(), MEMBER)
    assert release.verify_message(signed, MEMBER.public) == RELEASE.encode()
    assert release.split_signed(signed)[0] == RELEASE.encode()
    assert release.release_digest(signed) == sha256(signed)


SIGNED = cbor.decode(release.sign_message(RELEASE.encode(), MEMBER))
UNSIGNED = {
    "by somebody else": release.sign_message(RELEASE.encode(), STRANGER),
    "with another message": cbor.encode([SIGNED[0], _with(RELEASE, counter=8), SIGNED[2]]),
    "with zeros": cbor.encode([SIGNED[0], SIGNED[1], bytes(64)]),
    "over bytes that no decoder takes": cbor.encode([SIGNED[0], b"\xff" * 100, SIGNED[2]]),
}


@pytest.mark.parametrize("data", UNSIGNED.values(), ids=UNSIGNED)
def test_a_message_is_verified_before_it_is_parsed(data):
    """R-REL-3: a wrong signature is what is reported, whatever the message is."""
    with pytest.raises(DataError) as caught:
        release.verify_message(data, MEMBER.public)
    assert caught.value.code == "data.not-authentic"


@pytest.mark.parametrize(
    "items",
    [
        ["twinlock/v1/signed", b"", b""],
        ["twinlock/v1/signed", "text", bytes(64)],
        ["twinlock/v1/signed", b"", bytes(65)],
        ["twinlock/v1/signed", b""],
    ],
)
def test_a_signed_message_of_another_shape_is_malformed(items):
    """R-REL-3: three items, a signature of 64 bytes."""
    with pytest.raises(DataError) as caught:
        release.verify_message(cbor.encode(items), MEMBER.public)
    assert caught.value.code == "format.malformed"


@pytest.mark.parametrize(
    ("name", "algorithm"), [("sha1", hashes.SHA1()), ("sha256", hashes.SHA256())]
)
def test_release_keys_travel_under_one_aes_key(name, algorithm):
    """R-REL-2, R-KEY-8: one RSA-OAEP block, 40 bytes per release key."""
    private = rsa_key("transport")
    keys = [Secret(bytes([n]) * 32) for n in range(3)]
    block, wrapped = release.wrap_release_keys(
        TransportKey(b"t" * 16, spki(private), name), keys, Stream("release")
    )
    session_key = private.decrypt(block, padding.OAEP(padding.MGF1(algorithm), algorithm, None))
    assert session_key == Stream("release")(32)
    assert [aes_key_unwrap(session_key, w) for w in wrapped] == [k.reveal() for k in keys]


def test_a_shares_info_has_these_bytes():
    """R-SHARE-2: byte for byte."""
    raw = release.share_info(bytes(32), bytes(16), (999, 1, 7))
    assert raw.hex() == (
        "86" "76" + b"twinlock/v1/share-info".hex() + "5820" + "00" * 32 + "50" + "00" * 16
        + "1903e7" "01" "07"
    )  # fmt: skip


def test_a_request_is_named_by_its_hash():
    """R-REQ-2: over exactly the bytes that were sent."""
    assert request.request_digest(REQUEST.encode()) == sha256(REQUEST.encode())
