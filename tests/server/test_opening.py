"""Requests, releases and openings: what opens, what does not, and what is said then."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server import forging
from tests.server.world import DIAGNOSIS, LETTER, PATIENT, SUITES, World, world_in_memory
from twinlock import AllOf, Context, DataError, SealedFile, SealedRow
from twinlock.core.envelope import decode_value
from twinlock.core.primitives import Kem
from twinlock.errors import CallerError, TwinlockError

by_suite = pytest.mark.parametrize("suite", SUITES)


def record(number: int) -> Context:
    return replace(DIAGNOSIS, record=number)


@by_suite
@pytest.mark.parametrize("value", ["I48.0 Vorhofflimmern", "", "x" * 100_000, b"\x00\xff" * 9])
def test_a_value_opens_as_it_was_sealed(world: World, suite: str, value: str | bytes) -> None:
    sealed = world.vault.seal(value, to=world.ward, context=DIAGNOSIS, suite=suite)
    [opened] = world.opened(world.asked((DIAGNOSIS, sealed.to_bytes())))
    assert opened.ok
    assert opened.context == DIAGNOSIS
    wanted = value.encode() if isinstance(value, str) else value
    assert opened.data().reveal() == wanted


@by_suite
def test_a_row_opens_with_the_columns_that_were_asked_for(world: World, suite: str) -> None:
    values = {"diagnosis": "I48.0", "note": b"\x80", "allergy": ""}
    row = world.vault.seal_row(values, to=world.ward, context=PATIENT, suite=suite)
    some = SealedRow(row.head, {"note": row.cells["note"], "allergy": row.cells["allergy"]})
    whole, part = world.opened(world.asked((PATIENT, row), (PATIENT, some)))
    assert set(whole.columns) == set(values)
    assert whole.text("diagnosis").reveal() == "I48.0"
    assert part.columns == ("note", "allergy")
    assert part.data("note").reveal() == b"\x80"
    for column in ("diagnosis", None):
        with pytest.raises(CallerError) as caught:
            part.data(column)
        assert caught.value.code == "opened.column"
    with pytest.raises(DataError) as no_text:
        part.text("note")
    assert no_text.value.code == "opened.not-text"


@by_suite
@pytest.mark.parametrize("size", [0, 1, 16_352, 16_384, 200_000])
def test_a_file_opens_as_it_was_sealed(world: World, suite: str, size: int, tmp_path: Path) -> None:
    content, sealed, plain = os.urandom(size), tmp_path / "letter.twl", tmp_path / "letter"
    source = io.BytesIO(content) if size % 2 else [content[:99], content[99:]]
    world.vault.seal_file(source, sealed, to=world.ward, context=LETTER, suite=suite)
    request = world.asked((LETTER, SealedFile(sealed)))
    world.vault.open_file(request, world.kim.release(request), plain)
    assert plain.read_bytes() == content
    assert plain.stat().st_mode & 0o777 == 0o600


@by_suite
def test_several_locks_each_open_the_record(world: World, suite: str) -> None:
    to = [world.groups["data-office"], world.groups["cardiology"]]
    sealed = world.vault.seal("x", to=to, context=DIAGNOSIS, suite=suite)
    for member in (world.officer, world.kim, world.weber):
        [opened] = world.opened(world.asked((DIAGNOSIS, sealed)), member)
        assert opened.text().reveal() == "x"


@by_suite
def test_an_and_lock_opens_with_a_share_of_each_group(world: World, suite: str) -> None:
    both = AllOf(world.ward, world.groups["data-office"])
    sealed = world.vault.seal("x", to=both, context=DIAGNOSIS, suite=suite)
    request = world.asked((DIAGNOSIS, sealed))
    bundle = request.bind(world.kim.hello())
    with pytest.raises(CallerError) as caught:
        world.kim.release(bundle)
    assert caught.value.code == "release.share-missing"
    share = world.officer.agent.help_with(request.assist(world.officer.hello(), bundle))
    [opened] = world.vault.open(request, world.kim.release(bundle, shares=[share]))
    assert opened.text().reveal() == "x"


def test_an_or_lock_beside_an_and_lock_opens_alone(world: World) -> None:
    ways = [AllOf(world.ward, world.groups["data-office"]), world.groups["emergency"]]
    sealed = world.vault.seal("x", to=ways, context=DIAGNOSIS)
    [opened] = world.opened(world.asked((DIAGNOSIS, sealed)), world.weber)
    assert opened.ok


@by_suite
@pytest.mark.parametrize("kem", Kem)
def test_both_kems_open_with_both_suites(suite: str, kem: Kem) -> None:
    with world_in_memory(groups={"cardiology": ["weber", "kim"]}, kem=kem) as world:
        assert world.opened(world.asked_for("x", suite))[0].text().reveal() == "x"
        assert world.vault.group_state(world.ward).current_epoch.kem is kem


def test_a_hundred_records_open_in_their_order_with_one_release(world: World) -> None:
    items = [
        (record(n), world.vault.seal(f"value {n}", to=world.ward, context=record(n)))
        for n in range(100)
    ]
    opened = world.opened(world.asked(*items))
    assert [o.text().reveal() for o in opened] == [f"value {n}" for n in range(100)]
    assert [o.context.record for o in opened] == list(range(100))


# --- records that are refused --------------------------------------------------------------------


def _moved(world: World, good: bytes) -> tuple[Context, bytes]:
    return replace(DIAGNOSIS, record="4712"), good


FORGERIES: dict[str, tuple[Callable[[World, bytes], tuple[Context, bytes]], str]] = {
    "another row's": (_moved, "data.not-authentic"),
    "another column's": (
        lambda w, good: (replace(DIAGNOSIS, column="allergy"), good),
        "data.not-authentic",
    ),
    "another table's": (
        lambda w, good: (replace(DIAGNOSIS, table="visitor"), good),
        "data.not-authentic",
    ),
    "another tenant's": (
        lambda w, good: (replace(DIAGNOSIS, tenant="clinic 2"), good),
        "data.not-authentic",
    ),
    "an earlier version": (
        lambda w, good: (replace(DIAGNOSIS, version=4), good),
        "data.not-authentic",
    ),
    "planted by nobody's writer": (
        lambda w, good: (DIAGNOSIS, forging.planted(w.vault, w.ward, DIAGNOSIS, "forged")),
        "data.not-authentic",
    ),
    "with another ciphertext": (
        lambda w, good: (DIAGNOSIS, forging.with_field(good, ciphertext=bytes(64))),
        "data.not-authentic",
    ),
    "with another signature": (
        lambda w, good: (DIAGNOSIS, forging.with_field(good, signature=bytes(64))),
        "data.not-authentic",
    ),
    "with another suite": (
        lambda w, good: (
            DIAGNOSIS,
            forging.with_header(good, outer_suite=w.vault.token.rsa_oaep_suite ^ 3),
        ),
        "data.wrapping-key-unknown",
    ),
    "truncated": (lambda w, good: (DIAGNOSIS, good[:-1]), "format.malformed"),
    "no record": (lambda w, good: (DIAGNOSIS, b"I48.0"), "format.malformed"),
    "empty": (lambda w, good: (DIAGNOSIS, b""), "format.malformed"),
    "of a later version": (lambda w, good: (DIAGNOSIS, b"TWL\x02" + good[4:]), "suite.unknown"),
}


@pytest.mark.parametrize("forgery", sorted(FORGERIES))
def test_a_forged_record_among_good_ones_shows_its_own_error_and_the_others_open(
    memory: World, forgery: str
) -> None:
    good = memory.vault.seal("genuine", to=memory.ward, context=DIAGNOSIS).to_bytes()
    forge, code = FORGERIES[forgery]
    forged = forge(memory, good)
    before, error, after = memory.opened(memory.asked((DIAGNOSIS, good), forged, (DIAGNOSIS, good)))
    assert (before.text().reveal(), after.text().reveal()) == ("genuine", "genuine")
    assert not error.ok
    assert error.columns == ()
    with pytest.raises(TwinlockError) as caught:
        error.text()
    assert caught.value.code == code
    assert caught.value is error.error


@by_suite
def test_an_outer_lock_that_was_changed_is_found_in_the_token(world: World, suite: str) -> None:
    good = world.vault.seal("genuine", to=world.ward, context=DIAGNOSIS, suite=suite).to_bytes()
    other = world.vault.seal("other", to=world.ward, context=DIAGNOSIS, suite=suite).to_bytes()
    outer, foreign = decode_value(good)[0].outer, decode_value(other)[0].outer
    forged = [
        forging.with_outer(good, o) for o in (forging.flipped(outer, 5), foreign, bytes(len(outer)))
    ]
    opened = world.opened(world.asked((DIAGNOSIS, good), *((DIAGNOSIS, f) for f in forged)))
    assert [o.error and o.error.code for o in opened] == [None] + ["data.not-authentic"] * 3


def test_a_lock_that_was_changed_is_refused_by_the_agent(memory: World) -> None:
    good = memory.vault.seal("genuine", to=memory.ward, context=DIAGNOSIS).to_bytes()
    [lock] = decode_value(good)[0].header.locks
    damaged = replace(lock, sealed=forging.flipped(lock.sealed, -1))
    request = memory.asked((DIAGNOSIS, forging.with_header(good, locks=(damaged,))))
    with pytest.raises(DataError) as caught:
        memory.kim.release(request)
    assert caught.value.code == "data.not-authentic"


def test_an_added_lock_to_a_group_whose_members_never_agreed_is_not_offered(memory: World) -> None:
    """R-SRV-2."""
    # The writer is named by the ward alone; a lock for the office does not make it an author there.
    sealed = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS).to_bytes()
    memory.vault.append(memory.officer.agent.admin.set_writers(_office(memory).group_id, []))
    [lock] = decode_value(sealed)[0].header.locks
    forged = forging.with_header(
        sealed, locks=(lock, replace(lock, group_id=_office(memory).group_id))
    )
    with pytest.raises(CallerError) as caught:
        memory.officer.release(memory.asked((DIAGNOSIS, forged)))
    assert caught.value.code == "record.no-lock"


def _office(world: World):
    return world.groups["data-office"]


def test_a_record_without_a_lock_for_the_member_is_left_out_and_says_so(memory: World) -> None:
    mine = memory.vault.seal("mine", to=memory.ward, context=DIAGNOSIS)
    theirs = memory.vault.seal("theirs", to=_office(memory), context=DIAGNOSIS)
    request = memory.asked((DIAGNOSIS, theirs), (DIAGNOSIS, mine))
    refused, opened = memory.opened(request)
    assert refused.error is not None
    assert refused.error.code == "record.no-lock"
    assert opened.text().reveal() == "mine"
    assert len(memory.kim.agent.examine(request).records) == 1


def test_a_request_of_which_nothing_is_left_says_why(memory: World) -> None:
    theirs = memory.vault.seal("theirs", to=_office(memory), context=DIAGNOSIS)
    for item, code in (
        ((DIAGNOSIS, theirs), "record.no-lock"),
        ((DIAGNOSIS, b"forged"), "format.malformed"),
    ):
        with pytest.raises(TwinlockError) as caught:
            memory.kim.release(memory.asked(item))
        assert caught.value.code == code


@pytest.mark.parametrize("count", [0, 1001])
def test_a_request_asks_for_one_to_a_thousand_deks(memory: World, count: int) -> None:
    with pytest.raises(CallerError) as caught:
        memory.asked(*[(DIAGNOSIS, b"")] * count)
    assert caught.value.code == "request.size"


@pytest.mark.parametrize(
    ("context", "stored", "code"),
    [
        (PATIENT, "genuine", "context.column"),
        (DIAGNOSIS, SealedRow(b"", {"a": b""}), "context.row"),
        (PATIENT, SealedRow(b"", {}), "context.row"),
        (DIAGNOSIS, "text", "record.kind"),
        (LETTER, SealedFile(Path("/nonexistent")), "file.missing"),
    ],
)
def test_a_callers_mistake_is_no_records_error(
    memory: World, context: Context, stored: object, code: str
) -> None:
    if stored == "genuine":
        stored = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS)
    with pytest.raises(CallerError) as caught:
        memory.asked((context, stored))
    assert caught.value.code == code


# --- sealed files --------------------------------------------------------------------------------


FILE_DAMAGE = {
    "its magic": lambda raw: b"XXXX" + raw[4:],
    "its version": lambda raw: b"TWF\x07" + raw[4:],
    "its head's length": lambda raw: raw[:4] + b"\x7f" + raw[5:],
    "its head": lambda raw: forging.flipped(raw, 30),
    "a segment": lambda raw: forging.flipped(raw, len(raw) - 9_000),
    "its last segment": lambda raw: forging.flipped(raw, len(raw) - 70),
    "its signature": lambda raw: forging.flipped(raw, len(raw) - 1),
    "its end": lambda raw: raw[:-1],
    "a whole segment": lambda raw: raw[: len(raw) - 64 - 16_400] + raw[-64:],
    "all but its head": lambda raw: raw[:300],
    "everything": lambda raw: b"",
}


@pytest.mark.parametrize("damage", sorted(FILE_DAMAGE))
def test_a_damaged_file_is_refused_before_anybody_is_asked(
    memory: World, damage: str, tmp_path: Path
) -> None:
    path = tmp_path / "letter.twl"
    memory.vault.seal_file(io.BytesIO(bytes(50_000)), path, to=memory.ward, context=LETTER)
    path.write_bytes(FILE_DAMAGE[damage](path.read_bytes()))
    request = memory.asked((LETTER, SealedFile(path)))
    with pytest.raises(DataError) as caught:
        memory.kim.release(request)
    assert caught.value.code.startswith(("format.", "suite.", "data."))


@pytest.mark.parametrize("world_name", ["memory", "softhsm"])
def test_a_file_that_changes_after_it_was_checked_leaves_no_plaintext(
    world_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """R-SRV-7."""
    world: World = request.getfixturevalue(world_name)
    path, plain = tmp_path / "letter.twl", tmp_path / "letter"
    world.vault.seal_file(io.BytesIO(bytes(50_000)), path, to=world.ward, context=LETTER)
    asked = world.asked((LETTER, SealedFile(path)))
    release = world.kim.release(asked)
    path.write_bytes(forging.flipped(path.read_bytes(), path.stat().st_size - 5_000))
    with pytest.raises(DataError) as caught:
        world.vault.open_file(asked, release, plain)
    assert caught.value.code == "data.not-authentic"
    assert list(tmp_path.iterdir()) == [path]


def test_files_and_values_are_opened_each_by_their_own_verb(memory: World, tmp_path: Path) -> None:
    path = tmp_path / "letter.twl"
    memory.vault.seal_file([b"x"], path, to=memory.ward, context=LETTER)
    file, value = memory.asked((LETTER, SealedFile(path))), memory.asked_for()
    with pytest.raises(CallerError) as as_value:
        memory.vault.open(file, memory.kim.release(file))
    with pytest.raises(CallerError) as as_file:
        memory.vault.open_file(value, memory.kim.release(value), tmp_path / "out")
    assert (as_value.value.code, as_file.value.code) == ("open.file", "open.not-a-file")


# --- many at once --------------------------------------------------------------------------------


def test_eight_threads_each_get_their_own_records(world: World) -> None:
    def one(number: int) -> bool:
        items = []
        for at in range(5):
            context = record(number * 10 + at)
            text = f"{number}/{at}"
            items.append((context, world.vault.seal(text, to=world.ward, context=context)))
        member = world.kim if number % 2 else world.weber
        opened = world.opened(world.asked(*items), member)
        return [o.text().reveal() for o in opened] == [f"{number}/{at}" for at in range(5)]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(24)))


def test_of_eight_threads_with_one_release_exactly_one_opens(world: World) -> None:
    request = world.asked_for("once")
    release = world.kim.release(request)

    def one(_: int) -> str:
        try:
            [opened] = world.vault.open(request, release)
        except DataError as error:
            return error.code
        return str(opened.text().reveal())

    with ThreadPoolExecutor(8) as threads:
        results = sorted(threads.map(one, range(8)))
    assert results == ["once"] + ["release.replayed"] * 7


def test_another_groups_record_is_refused_where_the_reader_says_whose_it_expects(
    world: World,
) -> None:
    """R-SRV-11."""
    ward, other = list(world.groups.values())[:2]
    sealed = world.vault.seal("I48.0", to=other, context=DIAGNOSIS)
    both = world.vault.seal("I48.0", to=[other, ward], context=DIAGNOSIS)
    items = [(DIAGNOSIS, sealed), (DIAGNOSIS, both)]
    foreign, shared = world.vault.request(items, groups=[ward]).asked
    assert foreign.error is not None
    assert foreign.error.code == "data.not-authentic"
    assert shared.record is not None
    assert [lock.group_id for lock in shared.record.locks] == [ward.group_id]
    assert all(asked.error is None for asked in world.vault.request(items).asked)
