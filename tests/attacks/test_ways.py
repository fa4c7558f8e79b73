"""The tools of the attacks on ways in: one that finds nothing must be able to find something."""

from __future__ import annotations

import os

from attacks.ways_in_server import _Takeover, _Timers
from attacks.ways_recorded import Recorder
from twinlock.core.enrolment import member_keys
from twinlock.core.secret import Secret
from twinlock.server import agents

SEED = os.urandom(32)


def takeover() -> _Takeover:
    return _Takeover({member_keys(Secret(SEED)).signing.public: "ada"})


def test_a_seed_that_lies_anywhere_in_memory_is_found() -> None:
    held = {"deep": [(Secret(SEED), "somewhere")]}
    one = takeover()
    one.read_memory()
    assert list(one.seeds) == ["ada"]
    assert held["deep"]


def test_nothing_is_found_where_no_seed_is() -> None:
    one = takeover()
    one.read_memory()
    one.hear(member_keys(Secret(os.urandom(32))))
    assert one.seeds == {}


def test_the_token_answers_each_question_once_and_not_at_all_once_it_is_gone() -> None:
    asked = []

    def answer(kid: bytes, point: bytes) -> bytes:
        asked.append((kid, point))
        return b"answer"

    recorder = Recorder(answer)
    assert [recorder.harden(b"k", b"p") for _ in range(2)] == [b"answer"] * 2
    assert asked == [(b"k", b"p")]
    recorder.asks = None
    assert recorder.harden(b"k", b"p") == b"answer"
    assert recorder.harden(b"k", b"other") == bytes(32)


def test_what_waits_for_a_timer_runs_when_it_rings() -> None:
    before, rung = agents.Timer, []
    with _Timers() as timers:
        agents.Timer(60, lambda: rung.append("rung")).start()
        assert rung == []
        timers.ring()
        timers.ring()
    assert rung == ["rung"]
    assert agents.Timer is before
