"""What an agent remembers of recoveries, over runs and whatever order news come in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twinlock.agent.recovery_book import (
    AID_LIFE,
    MAX_AIDS,
    Aid,
    RecoveryBook,
    SeenNotice,
    decode_recovery_book,
)
from twinlock.errors import CallerError, DataError

NOTICE = SeenNotice(b"g" * 32, b"d" * 32, b"m" * 16, b"a" * 16, 1000)
AID = Aid(b"ask", b"reply", 500)
DONE = replace(AID, confirmed=True, opening=b"o")


def book(*notices: SeenNotice, **aids: Aid) -> RecoveryBook:
    made = RecoveryBook({notice.key: notice for notice in notices})
    made.aids = {name.encode() * 32: aid for name, aid in aids.items()}
    return made


def test_a_book_is_read_as_it_was_written() -> None:
    """R-CONTACTS-11."""
    other = replace(NOTICE, member_id=b"n" * 16, ended=True)
    written = book(NOTICE, other, x=replace(AID, opening=b"o", wrong_codes=2, confirmed=True))
    assert decode_recovery_book(written.items()) == written


def test_an_agent_that_reads_no_notices_leaves_an_empty_book() -> None:
    """R-CONTACTS-11: the browser's writes an empty list."""
    assert decode_recovery_book([]) == RecoveryBook()


@pytest.mark.parametrize("bad", [[[]], [[], [], []], [[[b""]], []], None])
def test_a_damaged_book_is_refused(bad) -> None:
    with pytest.raises(DataError) as caught:
        decode_recovery_book(bad)
    assert caught.value.code == "format.malformed"


def test_of_two_runs_the_first_sight_and_the_end_count() -> None:
    """R-CONTACTS-7: neither forgets what the other learnt."""
    ours, theirs = book(replace(NOTICE, first_seen=900)), book(replace(NOTICE, ended=True))
    ours.merge(theirs)
    assert list(ours.notices.values()) == [replace(NOTICE, first_seen=900, ended=True)]


@pytest.mark.parametrize(
    ("mine", "stored", "merged"),
    [
        (AID, DONE, DONE),
        (replace(AID, wrong_codes=3), replace(AID, wrong_codes=1), replace(AID, wrong_codes=3)),
        (DONE, AID, DONE),
        (replace(AID, reply=b"another", confirmed=True), AID, AID),
    ],
    ids=["confirmed elsewhere", "tries add up", "confirmed here", "the first reply counts"],
)
def test_of_two_runs_that_help_with_one_recovery_all_counts(
    mine: Aid, stored: Aid, merged: Aid
) -> None:
    """R-CONTACTS-5, R-CONTACTS-6."""
    ours = book(x=mine)
    ours.merge(book(x=stored))
    assert list(ours.aids.values()) == [merged]


def test_recoveries_that_still_count_are_not_forgotten_for_others() -> None:
    """R-CONTACTS-5: each answers one request once."""
    made = RecoveryBook()
    for number in range(MAX_AIDS):
        made.add_aid(number.to_bytes(32, "big"), replace(AID, begun=1000 + number))
    with pytest.raises(CallerError) as caught:
        made.add_aid(b"x" * 32, replace(AID, begun=5000))
    assert caught.value.code == "recovery.too-many"
    assert len(made.aids) == MAX_AIDS
    made.add_aid(b"x" * 32, replace(AID, begun=1000 + AID_LIFE + MAX_AIDS))
    assert list(made.aids) == [b"x" * 32]
