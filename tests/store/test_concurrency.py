"""Many threads and processes on one database: every line in the chain, every race won once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from twinlock.errors import TwinlockError
from twinlock.store import SealedRow, SqlStore
from twinlock.store.log import Append

from .expect import GROUP, SUBPROCESS_ENVIRONMENT, chained, entry_hash, is_one_chain

THREADS = 8


def race(action: Callable[[int], object], runners: int = THREADS) -> list[str]:
    """Start all at once; return, sorted, "won" or the code of the refusal of each."""
    start = threading.Barrier(runners)

    def run(number: int) -> str:
        start.wait()
        try:
            action(number)
        except TwinlockError as error:
            return error.code
        return "won"

    with ThreadPoolExecutor(runners) as threads:
        return sorted(threads.map(run, range(runners)))


def test_eight_threads_write_one_chain(store: SqlStore) -> None:
    def append(_: int) -> None:
        for _turn in range(10):
            store.audit.append_line(chained)

    assert race(append) == ["won"] * THREADS
    lines = list(store.audit.lines())
    assert len(lines) == THREADS * 10
    assert is_one_chain(lines)


APPEND = f"""
import sys, threading
from {chained.__module__} import chained
from twinlock.store import SqlStore
store = SqlStore.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
def append():
    for _ in range(10):
        store.audit.append_line(chained)
threads = [threading.Thread(target=append) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
store.close()
"""


def test_two_processes_write_one_chain(lasting_url: str, lasting_store: SqlStore) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, lasting_url],
            env=SUBPROCESS_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        process.communicate(b"go\n")
        assert process.returncode == 0
    lines = list(lasting_store.audit.lines())
    assert len(lines) == 80
    assert is_one_chain(lines)


def test_of_many_answers_to_one_request_one_is_taken(store: SqlStore) -> None:
    outcomes = race(lambda _: store.audit.consume_request(b"r" * 16, 100, chained))
    assert outcomes == ["release.replayed"] * (THREADS - 1) + ["won"]
    assert store.audit.tail().next_seq == 1


@pytest.mark.parametrize("seq", [0, 1])
def test_of_many_entries_for_one_place_one_is_taken(store: SqlStore, seq: int) -> None:
    def append(place: int, number: int) -> None:
        store.log.append(
            Append(
                GROUP,
                place,
                name="ward" if place == 0 else None,
                signed_entry=b"by %d" % number,
                entry_hash=entry_hash(number),
            )
        )

    for place in range(seq):
        append(place, place)
    outcomes = race(lambda number: append(seq, number))
    assert outcomes == ["group.log-moved"] * (THREADS - 1) + ["won"]
    assert len(store.log.entries(GROUP)) == seq + 1
    head = store.log.head(GROUP)
    assert head is not None
    winner = store.log.entries(GROUP, since=seq)[0].signed_entry
    assert entry_hash(int(winner.removeprefix(b"by "))) == head.entry_hash


def test_of_many_groups_with_one_name_one_is_founded(store: SqlStore) -> None:
    outcomes = race(
        lambda number: store.log.append(
            Append(bytes([number]) * 32, 0, name="ward", signed_entry=b"", entry_hash=bytes(32))
        )
    )
    assert outcomes == ["group.name-taken"] * (THREADS - 1) + ["won"]


def test_a_counter_gives_out_its_limit_exactly(store: SqlStore) -> None:
    def take(_: int) -> None:
        for _turn in range(5):
            store.counters.add("seals", 1, 39)

    assert race(take) == ["token.key-exhausted"] + ["won"] * (THREADS - 1)
    assert store.counters.value("seals") == 39


def test_of_many_who_turn_one_head_one_succeeds(store: SqlStore) -> None:
    store.records.put_rows("patient", [SealedRow(b"1", None, b"old", {})])
    turned: list[bool] = []
    race(
        lambda number: turned.append(
            store.records.update_head("patient", b"1", b"old", b"%d" % number)
        )
    )
    assert sorted(turned) == [False] * (THREADS - 1) + [True]


def test_a_row_that_is_replaced_meanwhile_is_read_whole(store: SqlStore) -> None:
    def written(number: int) -> list[SealedRow]:
        mark = b"%d" % number
        return [SealedRow(b"1", number, mark, {"a": mark, "b": mark}, mark)]

    store.records.put_rows("patient", written(0))
    mixed: list[SealedRow] = []

    def run(number: int) -> None:
        for turn in range(20):
            if number == 0:
                store.records.put_rows("patient", written(turn), replace=True)
            found = store.records.row("patient", b"1")
            if found not in [written(at)[0] for at in range(20)]:
                mixed.append(found)  # type: ignore[arg-type]

    assert race(run, 4) == ["won"] * 4
    assert mixed == []


FORK = f"""
import os, sys
from {chained.__module__} import chained
from twinlock.store import SqlStore
store = SqlStore.connect(sys.argv[1])
store.audit.append_line(chained)
child = os.fork()
for _ in range(20):
    store.audit.append_line(chained)
if child == 0:
    os._exit(0)
_, status = os.waitpid(child, 0)
store.audit.append_line(chained)
store.close()
sys.exit(status)
"""


def test_a_store_that_was_opened_before_a_fork_works_on_both_sides(
    lasting_url: str, lasting_store: SqlStore
) -> None:
    subprocess.run(
        [sys.executable, "-c", FORK, lasting_url],
        env=SUBPROCESS_ENVIRONMENT,
        check=True,
        timeout=60,
    )
    lines = list(lasting_store.audit.lines())
    assert len(lines) == 42
    assert is_one_chain(lines)
