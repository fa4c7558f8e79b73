"""The core's parts played together against the token in memory: seal, ask, release, open."""

from __future__ import annotations

import dataclasses
import os

import pytest

from twinlock.core import locks, release
from twinlock.core.envelope import Field, Layout, encode_lock
from twinlock.core.opening import prepare_record, verify_author
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import sha256
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret
from twinlock.core.segments import strip_commitment
from twinlock.errors import DataError
from twinlock.testing.memory_token import MemoryToken

from .scenes import CONTEXT, WRITER, group

WARD = group("ward")
PLAIN = [b"one", b"two", b"x" * 20_000]


@pytest.fixture(scope="module")
def token() -> MemoryToken:
    return MemoryToken()


@pytest.fixture(scope="module", params=[OuterSuite.TOKEN_AES, None], ids=["token-aes", "rsa-oaep"])
def sealed(request, token):
    """Three records, sealed under a wrapping key of the token."""
    suite = request.param or token.rsa_oaep_suite
    wrapping = token.generate_key(KeyRole.WRAPPING, suite, rsa_bits=2048)
    token.load_keys([wrapping])
    sealer = Sealer(WRITER, wrapping, os.urandom, token)
    return [
        sealer.seal_fields(CONTEXT, Layout.VALUE, {"c": plain}, [WARD.target]) for plain in PLAIN
    ]


def member_releases(token, records):
    """The agent's part: open each lock, check rc, wrap for the transport key."""
    transport = token.generate_transport_key()
    keys = []
    for head, _ in records:
        (lock,) = head.header.locks
        key = locks.open_sealed(
            lock, WARD.key, core=head.core.raw, context=CONTEXT, index=0, count=1,
            commitment=head.header.commitment,
        )  # fmt: skip
        locks.check_release_key(key, head.core.dek_id, head.header.commitment)
        keys.append(key)
    block, wrapped = release.wrap_release_keys(transport, keys, os.urandom)
    return transport, block, wrapped


def open_all(token, records, *, swap: bool = False, strip: bool = True):
    transport, block, wrapped = member_releases(token, records)
    if swap:
        wrapped[0], wrapped[1] = wrapped[1], wrapped[0]
    tasks = [
        prepare_record(head, CONTEXT, fields).opening(key)
        for (head, fields), key in zip(records, wrapped, strict=True)
    ]
    with token.opening(transport.kid, block) as opening:
        results = opening.open_many(tasks)
    token.destroy_transport_key(transport.kid)
    return [
        result if isinstance(result, DataError) else strip_commitment(result[0])
        for result in results
    ]


def test_what_was_sealed_opens_with_member_and_token(token, sealed):
    """R-OUTER-3, R-OUTER-4, R-REL-2: the whole way, with every suite of the token."""
    for head, fields in sealed:
        verify_author(head, CONTEXT, "c", fields["c"], WRITER.public)
    assert open_all(token, sealed) == PLAIN


DAMAGE = {
    "ciphertext": lambda head, field: (
        head,
        dataclasses.replace(
            field, ciphertext=bytes([field.ciphertext[0] ^ 1]) + field.ciphertext[1:]
        ),
    ),
    "prefix": lambda head, field: (head, dataclasses.replace(field, prefix=bytes(7))),
    "outer": lambda head, field: (
        dataclasses.replace(head, outer=head.outer[:-1] + bytes([head.outer[-1] ^ 1])),
        field,
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_one_damaged_record_does_not_hide_the_others(token, sealed, damage):
    """R-OPEN-1, R-OUTER-5: its place holds the one error, the others their plaintext."""
    head, fields = sealed[1]
    bad_head, bad_field = damage(head, fields["c"])
    assert isinstance(bad_field, Field)
    first, second, third = open_all(token, [sealed[0], (bad_head, {"c": bad_field}), sealed[2]])
    assert (first, third) == (PLAIN[0], PLAIN[2])
    assert isinstance(second, DataError)
    assert second.code == "data.not-authentic"


def test_release_keys_given_to_each_others_records_open_neither(token, sealed):
    """R-OPEN-1, R-OUTER-1: W does not unwrap under another record's release key."""
    first, second, third = open_all(token, sealed, swap=True)
    assert [r.code for r in (first, second)] == ["data.not-authentic"] * 2
    assert third == PLAIN[2]


def test_a_release_to_another_transport_key_opens_nothing(token, sealed):
    """R-REL-2: the block is for one transport key."""
    _, block, _ = member_releases(token, sealed)
    other = token.generate_transport_key()
    with pytest.raises(DataError) as caught, token.opening(other.kid, block):
        pass
    assert caught.value.code == "data.not-authentic"


def test_a_lock_is_named_by_the_hash_of_its_own_bytes(sealed):
    """R-REL-4: so that the server sees which way in was used."""
    digests = {sha256(encode_lock(head.header.locks[0])) for head, _ in sealed}
    assert len(digests) == 3


def test_a_second_members_share_travels_sealed_to_the_requester():
    """R-SHARE-2, R-LOCK-6: only the requester opens it, for this request and place only."""
    requester = group("requester").key
    share, digest = Secret(b"s" * 32), bytes(32)
    info = release.share_info(digest, requester.kid, (0, 0, 1))
    from twinlock.core.primitives import hpke_seal

    sent = hpke_seal(requester.kem, requester.public, info, share.reveal())
    assert requester.open(sent, info) == share
    for other in (
        release.share_info(b"\x01" * 32, requester.kid, (0, 0, 1)),
        release.share_info(digest, bytes(16), (0, 0, 1)),
        release.share_info(digest, requester.kid, (1, 0, 1)),
        release.share_info(digest, requester.kid, (0, 1, 1)),
        release.share_info(digest, requester.kid, (0, 0, 0)),
    ):
        with pytest.raises(DataError):
            requester.open(sent, other)
    with pytest.raises(DataError):
        group("stranger").key.open(sent, info)
