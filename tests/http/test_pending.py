"""What waits for a release is bounded in number, bytes and time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.http.clinic import Clinic, Talk, client_for, code, context_of
from twinlock import CallerError, DataError, EnvError
from twinlock.integrations.asgi import Limits
from twinlock.integrations.asgi.asks import Ask, Terms, held_bytes
from twinlock.integrations.asgi.calls import VaultCalls
from twinlock.integrations.asgi.pending import (
    MAX_HELLOS,
    WAIT_FOR_HELLO,
    Owner,
    Pending,
    PendingRequests,
)
from twinlock.server.records import Sealed, SealedRow
from twinlock.testing import MemoryClock

OWNER = Owner(b"s" * 32, "GET", b"/patients?")


def made(clock: MemoryClock | None = None, **limits: int) -> PendingRequests:
    return PendingRequests(limits=Limits(**limits), clock=clock or MemoryClock())


def add(waiting: PendingRequests, session: bytes = OWNER.session, size: int = 10) -> Pending:
    ask = Ask.of(Terms(), [(context_of(1), bytes(size))])
    request: Any = object()
    return waiting.add(Owner(session, "GET", b"/patients?"), Terms(), ask.items, request)


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises((CallerError, DataError, EnvError)) as caught:
        call(*arguments, **named)
    return caught.value.code


def test_the_oldest_request_of_a_session_makes_room_for_its_newest() -> None:
    """R-HTTP-11."""
    waiting = made(per_session=2)
    foreign = add(waiting, b"t" * 32)
    tabs = [add(waiting) for _ in range(3)]
    assert len(waiting) == 3
    assert refused(waiting.find, tabs[0].request_id, OWNER) == "http.request-unknown"
    assert [waiting.find(tab.request_id, OWNER) for tab in tabs[1:]] == tabs[1:]
    assert waiting.find(foreign.request_id, foreign.owner) is foreign


def test_a_session_cannot_push_out_another_ones_requests() -> None:
    waiting = made(requests=3, per_session=3)
    mine = add(waiting)
    for _ in range(2):
        add(waiting, b"t" * 32)
    assert refused(add, waiting, b"u" * 32) == "http.busy"
    assert waiting.find(mine.request_id, OWNER) is mine


def test_the_bytes_that_wait_are_bounded_and_given_back() -> None:
    """R-HTTP-11."""
    waiting = made(held_bytes=5000)
    first = add(waiting, size=3000)
    assert refused(add, waiting, size=3000) == "http.busy"
    waiting.take(first)
    assert waiting.held_bytes == 0
    add(waiting, size=3000)


def test_what_expired_is_dropped() -> None:
    clock = MemoryClock()
    waiting = made(clock)
    add(waiting)
    clock.forward(WAIT_FOR_HELLO)
    kept = add(waiting, b"t" * 32)
    assert len(waiting) == 2
    clock.forward(1)
    waiting.find(kept.request_id, kept.owner)
    assert len(waiting) == 1
    assert waiting.held_bytes == kept.size


def test_a_bound_request_lives_as_long_as_what_was_sent_to_the_agent() -> None:
    clock = MemoryClock()
    waiting = made(clock)
    pending = add(waiting)
    waiting.bound(pending)
    clock.forward(120)
    assert waiting.find(pending.request_id, OWNER) is pending
    waiting.bound(pending)
    clock.forward(121)
    assert refused(waiting.find, pending.request_id, OWNER) == "http.request-expired"
    assert refused(waiting.find, pending.request_id, OWNER) == "http.request-unknown"


def test_hellos_are_counted_and_the_last_one_ends_the_request() -> None:
    waiting = made()
    pending = add(waiting)
    for _ in range(MAX_HELLOS):
        waiting.count_hello(pending)
    assert refused(waiting.count_hello, pending) == "http.hellos"
    assert len(waiting) == 0


@pytest.mark.parametrize("end", ["take", "park"])
def test_one_of_many_takes_a_request(end: str) -> None:
    """R-HTTP-10."""
    waiting = made()
    pending = add(waiting)
    together = threading.Barrier(8)
    outcomes = []

    def take() -> None:
        together.wait(30)
        try:
            waiting.take(pending) if end == "take" else waiting.park(pending, b"release")
            outcomes.append("taken")
        except DataError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["release.replayed"] * 7 + ["taken"]


def test_a_request_that_was_answered_is_told_from_one_that_never_was() -> None:
    waiting = made()
    pending = add(waiting)
    waiting.take(pending)
    assert refused(waiting.find, pending.request_id, OWNER) == "release.replayed"
    thief = Owner(b"t" * 32, "GET", b"/patients?")
    assert refused(waiting.find, pending.request_id, thief) == "http.other-session"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Sealed(b"one"), True),
        (b"one", True),
        (b"two", False),
        (Sealed(b"two"), False),
        (SealedRow(b"head", {"a": b"1"}), False),
    ],
)
def test_items_are_the_same_when_context_and_stored_bytes_are(other: Any, same: bool) -> None:
    one = Ask.of(Terms(), [(context_of(1), b"one")])
    assert (one.keys == Ask.of(Terms(), [(context_of(1), other)]).keys) is same
    assert one.keys != Ask.of(Terms(), [(context_of(2), b"one")]).keys


def test_rows_are_the_same_when_head_and_cells_are() -> None:
    def key(head: bytes, **cells: bytes) -> Any:
        return Ask.of(Terms(), [(context_of(1), SealedRow(head, cells))]).keys

    assert key(b"h", a=b"1", b=b"2") == key(b"h", b=b"2", a=b"1")
    assert len({key(b"h", a=b"1"), key(b"h", a=b"2"), key(b"h", b=b"1"), key(b"g", a=b"1")}) == 4


def test_what_waits_is_weighed_with_all_its_cells() -> None:
    row = SealedRow(bytes(1000), {"a": bytes(2000), "b": bytes(3000)})
    ask = Ask.of(Terms(), [(context_of(1), row), (context_of(2), bytes(4000))])
    assert 10_000 < held_bytes(ask.items) < 12_000


def test_something_that_sealing_never_returned_is_refused() -> None:
    assert refused(Ask.of, Terms(), [(context_of(1), ["x"])]) == "record.kind"


def test_a_server_with_too_much_to_do_says_when_to_come_back(clinic: Clinic) -> None:
    client = client_for(clinic.list_application(limits=Limits(requests=1)))
    client.get("/patients")
    busy = client.get("/patients")
    assert code(busy) == (503, "http.busy")
    assert busy.headers["retry-after"] == "2"


def test_more_calls_than_may_wait_are_turned_away(clinic: Clinic) -> None:
    calls = VaultCalls(clinic.deployment.vault, limit=1)
    proceed = threading.Event()
    items = [(clinic.patients[0].context, clinic.patients[0].stored)]

    async def work() -> None:
        real = calls._vault.request

        async def slow(*arguments: Any, **named: Any) -> Any:
            await asyncio.to_thread(proceed.wait, 60)
            return await real(*arguments, **named)

        calls._vault.request = slow  # type: ignore[method-assign]
        first = asyncio.create_task(calls.request(items, Terms()))
        await asyncio.sleep(0)
        with pytest.raises(EnvError) as turned_away:
            await calls.request(items, Terms())
        assert (turned_away.value.code, turned_away.value.retryable) == ("http.busy", True)
        proceed.set()
        assert len((await first).asked) == 1
        assert len((await calls.request(items, Terms())).asked) == 1

    asyncio.run(work())


def test_many_tabs_of_one_session_are_answered_in_any_order(clinic: Clinic) -> None:
    client = client_for(clinic.list_application())
    tabs = []
    for number in range(3):
        talk = Talk(client, f"/patients?tab={number}", clinic.weber)
        tabs.append((talk, *talk.bound()))
    for talk, asked, bundle in reversed(tabs):
        assert talk.release(asked, bundle).status_code == 200
