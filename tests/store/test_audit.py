"""The audit chain, and requests that are used once."""

from __future__ import annotations

import pytest

from twinlock.errors import CallerError, DataError
from twinlock.store import AuditHead, AuditLine, AuditTail, SqlStore
from twinlock.store.members import PutMember
from twinlock.store.paging import PAGE

from .expect import ALICE, chained, is_one_chain, refused

REQUEST, OTHER_REQUEST = b"r" * 16, b"s" * 16


class StoppedError(Exception):
    """Raised by the tests' own callbacks."""


def test_the_chain_starts_at_zero_on_zeros(store: SqlStore) -> None:
    assert store.audit.tail() == AuditTail(0, bytes(32))
    assert list(store.audit.lines()) == []


def test_each_line_is_built_on_the_one_before(store: SqlStore) -> None:
    lines = [store.audit.append_line(chained) for _ in range(3)]
    assert is_one_chain(lines)
    assert list(store.audit.lines()) == lines
    assert store.audit.tail() == AuditTail(3, lines[-1].line_hash)


@pytest.mark.parametrize(
    ("from_seq", "limit", "expected"),
    [
        (0, None, range(2 * PAGE + 1)),
        (PAGE - 1, None, range(PAGE - 1, 2 * PAGE + 1)),
        (0, PAGE, range(PAGE)),
        (1, PAGE + 1, range(1, PAGE + 2)),
        (2 * PAGE, 5, range(2 * PAGE, 2 * PAGE + 1)),
        (2 * PAGE + 1, None, range(0)),
        (0, 0, range(0)),
    ],
)
def test_lines_come_in_order_across_pages(
    store: SqlStore, from_seq: int, limit: int | None, expected: range
) -> None:
    for _ in range(2 * PAGE + 1):
        store.audit.append_line(chained)
    assert [line.seq for line in store.audit.lines(from_seq, limit)] == list(expected)


def test_lines_may_be_appended_while_lines_are_read(store: SqlStore) -> None:
    for _ in range(PAGE + 1):
        store.audit.append_line(chained)
    for line in store.audit.lines(limit=PAGE + 1):
        store.audit.append_line(chained)
        assert line.seq <= PAGE
    assert store.audit.tail().next_seq == 2 * (PAGE + 1)


def test_a_request_is_used_once(store: SqlStore) -> None:
    used = store.audit.consume_request(REQUEST, 100, chained)
    with refused("release.replayed", DataError):
        store.audit.consume_request(REQUEST, 200, chained)
    assert list(store.audit.lines()) == [used]
    assert store.audit.consume_request(OTHER_REQUEST, 100, chained).seq == 1
    assert is_one_chain(store.audit.lines())


def test_a_request_whose_line_fails_is_not_used(store: SqlStore) -> None:
    def fail(seq: int, previous: bytes) -> AuditLine:
        raise StoppedError

    with pytest.raises(StoppedError):
        store.audit.consume_request(REQUEST, 100, fail)
    assert store.audit.tail().next_seq == 0
    assert store.audit.consume_request(REQUEST, 100, chained).seq == 0


def test_a_line_with_a_hash_of_the_wrong_length_is_refused(store: SqlStore) -> None:
    with refused("store.value-invalid", CallerError):
        store.audit.append_line(lambda seq, previous: AuditLine(b"line", b"short"))
    assert store.audit.append_line(chained).seq == 0


def test_building_a_line_may_read_and_not_write(store: SqlStore) -> None:
    store.members.put(
        PutMember(member_id=ALICE, name="alice", counter=1, signed_list=b"", blobs={})
    )

    def read(seq: int, previous: bytes) -> AuditLine:
        assert store.members.member("alice") is not None
        return chained(seq, previous)

    def write(seq: int, previous: bytes) -> AuditLine:
        store.counters.add("seals", 1, 10)
        return chained(seq, previous)

    assert store.audit.append_line(read).seq == 0
    with refused("store.nested-write", CallerError):
        store.audit.append_line(write)
    assert store.audit.tail().next_seq == 1
    assert store.counters.add("seals", 1, 10) == 1


@pytest.mark.parametrize(("before", "forgotten"), [(100, 0), (101, 1), (201, 2)])
def test_expired_requests_are_forgotten(store: SqlStore, before: int, forgotten: int) -> None:
    store.audit.consume_request(REQUEST, 100, chained)
    store.audit.consume_request(OTHER_REQUEST, 200, chained)
    assert store.audit.purge_requests(before) == forgotten
    assert store.audit.purge_requests(before) == 0
    assert store.audit.tail().next_seq == 2


def test_signed_heads_come_by_line_across_pages(store: SqlStore) -> None:
    heads = [AuditHead(seq // 2, bytes(32), 1_000 + seq, b"sig") for seq in range(2 * PAGE + 3)]
    for head in reversed(heads[2:]):
        store.audit.add_head(head.seq, head.hash, head.time, head.signature)
    for head in heads[:2]:
        store.audit.add_head(head.seq, head.hash, head.time, head.signature)
    found = list(store.audit.heads())
    assert len(found) == len(heads)
    assert [head.seq for head in found] == [head.seq for head in heads]
    assert set(found) == set(heads)
    assert found[:2] == heads[:2]
    assert [head.seq for head in store.audit.heads(PAGE)] == [PAGE, PAGE, PAGE + 1]
