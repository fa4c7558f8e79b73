"""The audit chain is written before anything opens, and shows what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.forging import execute, flipped, signed_by, with_outer
from tests.server.world import DIAGNOSIS, LETTER, World
from twinlock import Agent, DataError, EnvError, SealedFile, TwinlockError
from twinlock.agent.home import FileHome
from twinlock.agent.state import MemberState, save_state
from twinlock.core import audit
from twinlock.core.audit import AuditLine, decode_line
from twinlock.core.envelope import decode_value
from twinlock.core.ports import DekOpening, KeyRole
from twinlock.server.auditor import (
    SIGN_EVERY_LINES,
    SIGN_EVERY_SECONDS,
    USED_REQUESTS_KEPT,
    AuditReport,
    verify_audit,
)
from twinlock.server.setup import state_key
from twinlock.testing.member import MemoryMember
from twinlock.testing.memory_opening import MemoryOpening, StreamedDek


def lines(world: World) -> list[AuditLine]:
    return [decode_line(entry.line) for entry in world.vault.store.audit.lines()]


def outcomes(world: World) -> list[str]:
    return [line.outcome for line in lines(world)]


@contextmanager
def watched(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Collects what the audit log said each time that the token was about to open."""
    token, seen = world.vault.token, []
    real = token.opening

    def opening(kid: bytes, block: bytes):
        seen.append(outcomes(world))
        return real(kid, block)

    with monkeypatch.context() as patched:
        patched.setattr(token, "opening", opening)
        yield seen


def test_the_line_stands_before_the_token_is_asked(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-SRV-4."""
    request = memory.asked_for()
    release = memory.kim.release(request)
    with watched(memory, monkeypatch) as seen:
        assert memory.vault.open(request, release)[0].ok
    assert seen == [["opening"]]
    [line] = lines(memory)
    assert (line.release, line.request_digest) == (release.raw, request.pending[0].digest)
    assert line.time == memory.clock()


def failing(code: str) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise EnvError(code, "The token failed.", hint="Look at it.", retryable=True)

    return fail


@pytest.mark.parametrize("place", ["opening", "open_many"])
def test_a_token_that_fails_leaves_the_line_and_one_about_the_failure(
    memory: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """R-SRV-8."""
    request = memory.asked_for()
    release = memory.kim.release(request)
    with monkeypatch.context() as patched:
        owner = memory.vault.token if place == "opening" else MemoryOpening
        patched.setattr(owner, place, failing("token.device-error"))
        with pytest.raises(EnvError) as caught:
            memory.vault.open(request, release)
    assert caught.value.code == "token.device-error"
    assert outcomes(memory) == ["opening", "failed: token.device-error"]
    assert memory.opened(memory.asked_for())[0].ok
    assert memory.vault.verify_audit().ok


def test_a_token_that_fails_in_the_middle_of_a_file_is_noted_too(
    memory: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "letter.twl"
    memory.vault.seal_file([bytes(50_000)], path, to=memory.ward, context=LETTER)
    request = memory.asked((LETTER, SealedFile(path)))
    release = memory.kim.release(request)
    monkeypatch.setattr(StreamedDek, "decrypt", failing("token.device-error"))
    with pytest.raises(EnvError):
        memory.vault.open_file(request, release, tmp_path / "plain")
    assert outcomes(memory) == ["opening", "failed: token.device-error"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_audit_log_that_fails_opens_nothing_and_the_token_is_not_asked(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-SRV-4."""
    request = memory.asked_for()
    release = memory.kim.release(request)
    with watched(memory, monkeypatch) as seen, monkeypatch.context() as patched:
        store = memory.vault.store.audit
        patched.setattr(type(store), "consume_request", failing("store.unreachable"))
        with pytest.raises(EnvError) as caught:
            memory.vault.open(request, release)
    assert caught.value.code == "store.unreachable"
    assert seen == []
    assert memory.vault.open(request, release)[0].ok


@pytest.mark.parametrize("code", ["release.mismatch", "release.replayed", "release.not-authentic"])
def test_a_release_that_is_refused_never_reaches_the_token(
    memory: World, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    request = memory.asked_for()
    release = memory.kim.release(request)
    raw = {
        "release.mismatch": signed_by(memory.kim.agent, release, transport_kid=bytes(16)),
        "release.replayed": release.raw,
        "release.not-authentic": release.raw[:-1] + bytes([release.raw[-1] ^ 1]),
    }[code]
    if code == "release.replayed":
        memory.vault.open(request, release)
    with watched(memory, monkeypatch) as seen, pytest.raises(DataError) as caught:
        memory.vault.open(request, raw)
    assert (caught.value.code, seen) == (code, [])


def test_records_that_do_not_open_are_counted_in_a_line_of_their_own(memory: World) -> None:
    good = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS).to_bytes()
    bad = with_outer(good, flipped(decode_value(good)[0].outer, 3))
    memory.opened(memory.asked((DIAGNOSIS, good), (DIAGNOSIS, bad), (DIAGNOSIS, good)))
    assert outcomes(memory) == ["opening", "failed: 1 of 3"]


# --- signed heads --------------------------------------------------------------------------------


def heads(world: World) -> int:
    return len(list(world.vault.store.audit.heads()))


def test_the_head_is_signed_once_a_minute_when_something_was_opened(memory: World) -> None:
    """R-SRV-8."""
    memory.opened(memory.asked_for())
    assert heads(memory) == 0
    memory.clock.forward(SIGN_EVERY_SECONDS)
    memory.opened(memory.asked_for())
    memory.opened(memory.asked_for())
    assert heads(memory) == 1
    memory.clock.forward(SIGN_EVERY_SECONDS)
    memory.opened(memory.asked_for())
    assert heads(memory) == 2
    report = memory.vault.verify_audit()
    assert (report.heads, report.signed_seq, report.ok) == (2, 3, True)


def test_the_head_is_signed_after_a_thousand_lines_however_fast_they_come(memory: World) -> None:
    """R-SRV-8."""
    for _ in range(SIGN_EVERY_LINES - 1):
        memory.vault.auditor.note(bytes(32), "filler")
    assert heads(memory) == 0
    memory.opened(memory.asked_for())
    assert heads(memory) == 1


def test_used_requests_are_forgotten_a_day_after_they_expired(memory: World) -> None:
    def remembered() -> int:
        return memory.vault.store.audit.purge_requests(2**62)

    memory.opened(memory.asked_for())
    memory.clock.forward(USED_REQUESTS_KEPT)
    memory.opened(memory.asked_for())
    memory.clock.forward(USED_REQUESTS_KEPT)
    memory.opened(memory.asked_for())
    assert remembered() == 2


def test_an_empty_chain_is_sound_and_gets_no_head(memory: World) -> None:
    memory.vault.auditor.sign_head()
    assert heads(memory) == 0
    report = memory.vault.verify_audit()
    assert (report.ok, report.lines, report.signed_seq) == (True, 0, -1)


# --- what is done to the chain -------------------------------------------------------------------


def rewrite(world: World, seq: int, line: AuditLine) -> None:
    raw = line.encode()
    execute(
        world,
        "UPDATE twinlock_audit_lines SET line = :line, line_hash = :hash WHERE seq = :seq",
        line=raw,
        hash=audit.line_hash(raw),
        seq=seq,
    )


def cut_off(world: World, first: int, *, set_tail: bool) -> None:
    execute(world, "DELETE FROM twinlock_audit_lines WHERE seq >= :first", first=first)
    if set_tail:
        last = list(world.vault.store.audit.lines())[-1].line_hash
        execute(
            world,
            "UPDATE twinlock_audit_tail SET next_seq = :next, last_hash = :hash",
            next=first,
            hash=last,
        )


def delete_one(world: World, seq: int) -> None:
    execute(world, "DELETE FROM twinlock_audit_lines WHERE seq = :seq", seq=seq)


def swap(world: World, one: int, other: int) -> None:
    for source, target in ((one, 99), (other, one), (99, other)):
        execute(
            world,
            "UPDATE twinlock_audit_lines SET seq = :target WHERE seq = :source",
            source=source,
            target=target,
        )


def edit(world: World, seq: int, **changes: object) -> None:
    rewrite(world, seq, replace(lines(world)[seq], **changes))


def rebuild_from(world: World, first: int) -> None:
    """Delete a line and chain everything after it anew, as whoever holds the database can."""
    kept = lines(world)
    previous = kept[first - 1].encode()
    for seq, line in enumerate(kept[first + 1 :], first):
        rewrite(world, seq, replace(line, seq=seq, previous=audit.line_hash(previous)))
        previous = lines(world)[seq].encode()
    cut_off(world, len(kept) - 1, set_tail=True)


TAMPERINGS: dict[str, tuple[Callable[[World], None], str]] = {
    "a line deleted": (lambda w: delete_one(w, 2), "Audit line 2 "),
    "the first line deleted": (lambda w: delete_one(w, 0), "Audit line 0 "),
    "the last line deleted": (lambda w: delete_one(w, 5), "its end was cut off"),
    "lines swapped": (lambda w: swap(w, 1, 3), "Audit line 1 "),
    "a time edited": (lambda w: edit(w, 2, time=0), "Audit line 3 "),
    "an outcome edited": (lambda w: edit(w, 3, outcome="nothing"), "Audit line 4 "),
    "a release taken out": (lambda w: edit(w, 1, release=b""), "Audit line 2 "),
    "the signed last line edited": (lambda w: edit(w, 5, time=0), "line 5 is not the one"),
    "the end cut off under a signed head": (
        lambda w: cut_off(w, 3, set_tail=True),
        "its end was cut off",
    ),
    "everything chained anew": (lambda w: rebuild_from(w, 2), "signed"),
    "no chain at all": (
        lambda w: execute(
            w, "UPDATE twinlock_audit_lines SET line = :line WHERE seq = 0", line=b"nothing"
        ),
        "Audit line 0 ",
    ),
    "a head's signature replaced": (
        lambda w: execute(w, "UPDATE twinlock_audit_heads SET signature = :s", s=bytes(64)),
        "is not authentic",
    ),
    "a head moved to another line": (
        lambda w: execute(w, "UPDATE twinlock_audit_heads SET seq = 4"),
        "is not authentic",
    ),
}


@pytest.fixture
def audited(memory: World) -> World:
    """Six lines, of which the last is the one whose head was signed."""
    for _ in range(3):
        memory.opened(memory.asked_for())
        memory.opened(memory.asked_for(), memory.weber)
    memory.vault.auditor.sign_head()
    assert memory.vault.verify_audit().ok
    return memory


@pytest.mark.parametrize("tampering", sorted(TAMPERINGS))
def test_what_was_done_to_the_chain_is_named(audited: World, tampering: str) -> None:
    tamper, said = TAMPERINGS[tampering]
    tamper(audited)
    report = audited.vault.verify_audit()
    assert not report.ok
    assert any(said in problem for problem in report.problems), report.problems


def test_a_new_chain_without_a_members_release_shows_the_gap(memory: World) -> None:
    for _ in range(4):
        memory.opened(memory.asked_for())
    rebuild_from(memory, 1)
    report = memory.vault.verify_audit()
    assert report.problems == []
    [gap] = report.gaps
    assert gap.startswith("line 1: member")
    assert memory.kim.agent.member_id.hex() in gap


def test_an_end_that_was_cut_off_unsigned_shows_at_the_members_next_release(memory: World) -> None:
    for _ in range(3):
        memory.opened(memory.asked_for())
    cut_off(memory, 2, set_tail=True)
    assert memory.vault.verify_audit().ok
    memory.opened(memory.asked_for())
    [gap] = memory.vault.verify_audit().gaps
    assert gap.startswith("line 2: member")


def test_a_release_that_was_never_sent_is_a_gap(memory: World) -> None:
    memory.opened(memory.asked_for())
    memory.kim.release(memory.asked_for())
    memory.opened(memory.asked_for())
    assert len(memory.vault.verify_audit().gaps) == 1


def test_a_member_with_two_agents_has_two_counts_and_no_gap(memory: World, tmp_path: Path) -> None:
    first = memory.kim.agent
    memory.opened(memory.asked_for())
    path = tmp_path / "kim.member"
    browser = MemberState(
        first._state.deployment_id, first.member_id, first.name, first._state.enrolments
    )
    browser.groups = dict(first._state.groups)
    browser.identity = first._state.identity
    save_state(path, browser, first._unlocked())
    second = MemoryMember(Agent(FileHome(path), browser, first._unlocked(), clock=memory.clock), [])
    second.agent._group_keys = first._group_keys
    for member in (second, memory.kim, second, memory.kim):
        assert all(item.ok for item in memory.opened(memory.asked_for(), member))
    assert memory.vault.verify_audit().ok
    second.release(memory.asked_for())
    memory.opened(memory.asked_for(), second)
    assert len(memory.vault.verify_audit().gaps) == 1


def test_a_chain_that_goes_on_under_a_new_audit_key_is_sound(audited: World) -> None:
    vault, config = audited.vault, audited.config
    token, identity = vault.token, vault.directory.identity
    audited.clock.forward(1000)
    key = token.generate_key(KeyRole.AUDIT)
    state_key(vault.store, token, identity, config.deployment_id, key, audited.clock())
    with audited.another_vault() as other:
        other.token.load_keys([key])
        other.auditor.sign_head()
        report: AuditReport = other.verify_audit()
    assert (report.ok, report.heads) == (True, 2)


def test_each_line_is_told_while_verifying(audited: World) -> None:
    seen: list[int] = []
    vault, config = audited.vault, audited.config
    verify_audit(vault.store, vault.directory, config.deployment_id, on_line=seen.append)
    assert seen == list(range(6))


def test_an_opening_that_fails_for_another_reason_is_still_in_the_chain(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, items: list[DekOpening]) -> object:
        raise MemoryError

    request = memory.asked_for()
    release = memory.kim.release(request)
    monkeypatch.setattr(MemoryOpening, "open_many", broken)
    with pytest.raises(MemoryError):
        memory.vault.open(request, release)
    assert outcomes(memory) == ["opening"]
    with pytest.raises(TwinlockError) as caught:
        memory.vault.open(request, release)
    assert caught.value.code == "release.replayed"
