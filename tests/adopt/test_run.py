"""Adopting rows: both ways in, what stops a row, and running beside the old application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.adopt.conftest import MakePlace
from tests.adopt.world import Place
from twinlock.adopt.levels import ColumnLevels, count_levels
from twinlock.adopt.settings import Mode
from twinlock.adopt.status import table_status
from twinlock.core.membership import ColumnState
from twinlock.errors import CallerError, DataError, EnvError


def _levels(place: Place, column: str = "diagnosis") -> ColumnLevels:
    with place.site.database.read() as connection:
        return count_levels(connection, place.table)[column]


def _codes(findings: Any) -> dict[str, str]:
    return {finding.key: finding.code for finding in findings}


@pytest.mark.parametrize(
    ("mode", "levels"),
    [(Mode.REWRAP, ColumnLevels(0, 6, 0, 0)), (Mode.RESEAL, ColumnLevels(0, 0, 6, 0))],
)
def test_adopted_rows_say_what_they_said_before(
    place_of: MakePlace, mode: Mode, levels: ColumnLevels
) -> None:
    place = place_of()
    before = place.rows()
    place.sign()
    outcome = place.run(mode)
    assert (outcome.counts.adopted, outcome.counts.failed, outcome.left) == (6, 0, 0)
    assert _levels(place) == _levels(place, "notes") == levels
    assert place.said() == place.expected()
    # The old columns are as they were, byte for byte.
    targets = place.table.settings.targets
    for was, now in zip(before, place.rows(), strict=True):
        assert {n: v for n, v in now.items() if n not in targets} == {
            n: v for n, v in was.items() if n not in targets
        }


def test_a_second_run_finds_nothing_to_do(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run()
    first = place.rows()
    assert place.run().counts.adopted == 0
    assert place.rows() == first


def test_rewrapped_rows_can_be_resealed(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run()
    assert place.run(Mode.RESEAL).counts.adopted == 6
    assert _levels(place) == ColumnLevels(0, 0, 6, 0)
    assert place.said() == place.expected()


def test_nothing_is_read_before_an_admin_signs(place_of: MakePlace) -> None:
    place = place_of()
    with pytest.raises(DataError) as refused:
        place.run()
    assert refused.value.code == "legacy.not-allowed"
    assert _levels(place) == ColumnLevels(6, 0, 0, 0)


def test_a_table_that_was_not_migrated_is_refused(place_of: MakePlace) -> None:
    with pytest.raises(CallerError) as refused:
        place_of(migrated=False).run()
    assert refused.value.code == "adopt.not-migrated"


def test_after_the_cut_over_nothing_runs(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.sign(ColumnState.CUT_OVER)
    with pytest.raises(DataError) as refused:
        place.run()
    assert refused.value.code == "legacy.cut-over"


def test_a_row_without_a_known_group_is_left_alone_and_named(place_of: MakePlace) -> None:
    place = place_of()
    place.execute("UPDATE patients SET ward = '9Z' WHERE id = 2")
    place.execute("UPDATE patients SET ward = NULL WHERE id = 5")
    place.sign()
    outcome = place.run()
    assert (outcome.counts.adopted, outcome.counts.failed, outcome.left) == (4, 2, 2)
    assert _codes(outcome.findings) == {"2": "adopt.unknown-group", "5": "adopt.unknown-group"}
    with place.site.database.read() as connection:
        status = table_status(connection, place.table, {}, every_head=True)
    assert (list(status.unknown_groups), status.left, status.host_dek) == (["2", "5"], 2, 0)

    place.execute("UPDATE patients SET ward = '3B' WHERE id IN (2, 5)")
    again = place.run()
    assert (again.counts.adopted, again.left) == (2, 0)
    assert place.said() == place.expected()


def _damage(column: str, value: bytes) -> Callable[[Place], None]:
    def damage(place: Place) -> None:
        place.execute(f"UPDATE patients SET {column} = :value WHERE id = 3", value=value)

    return damage


def _swap(place: Place) -> None:
    one, two = place.rows("id IN (3, 4)")
    place.execute("UPDATE patients SET wrapped_dek = :dek WHERE id = 3", dek=two["wrapped_dek"])
    assert one["wrapped_dek"] != two["wrapped_dek"]


@pytest.mark.parametrize("mode", [Mode.REWRAP, Mode.RESEAL])
@pytest.mark.parametrize(
    ("damage", "rewrap", "reseal"),
    [
        (_damage("wrapped_dek", b"x" * 256), "legacy.dek", "data.not-authentic"),
        (_damage("wrapped_dek", b""), "legacy.dek", "data.not-authentic"),
        (_damage("diagnosis_tag", b"x" * 16), "legacy.content", "data.not-authentic"),
        (_damage("diagnosis_nonce", b"x" * 16), "legacy.cell", "legacy.cell"),
        (_swap, "legacy.content", "data.not-authentic"),
        (
            lambda place: place.execute("UPDATE patients SET key_name = 'lost' WHERE id = 3"),
            "adopt.unknown-key",
            "adopt.unknown-key",
        ),
    ],
    ids=["other DEK", "no DEK", "tag", "nonce of 16 bytes", "DEK of another row", "unknown key"],
)
def test_a_damaged_row_stops_itself_alone(
    place_of: MakePlace, damage: Callable[[Place], None], rewrap: str, reseal: str, mode: Mode
) -> None:
    place = place_of()
    damage(place)
    place.sign()
    outcome = place.run(mode)
    assert (outcome.counts.adopted, outcome.left) == (5, 1)
    assert _codes(outcome.findings) == {"3": rewrap if mode is Mode.REWRAP else reseal}
    good = [row for row in place.rows() if row["id"] != 3]
    assert place.said() == place.expected(good)


def test_aes_128_is_resealed_and_not_rewrapped(place_of: MakePlace) -> None:
    place = place_of(dek_size=16)
    place.sign()
    assert set(_codes(place.run().findings).values()) == {"legacy.dek-size"}
    assert place.run(Mode.RESEAL).counts.adopted == 6
    assert place.said() == place.expected()


def test_a_key_that_only_decrypts_needs_permission_and_each_row_says_so(
    place_of: MakePlace,
) -> None:
    place = place_of(unwrap=False)
    place.sign()
    with pytest.raises(CallerError) as refused:
        place.run()
    assert refused.value.code == "legacy.no-unwrap"
    outcome = place.run(allow_host_dek=True)
    assert (outcome.counts.adopted, outcome.counts.host_dek) == (6, 6)
    with place.site.database.read() as connection:
        assert table_status(connection, place.table, {}, every_head=False).host_dek == 6
    assert place.said() == place.expected()


def test_a_limit_is_kept_and_the_rest_waits(place_of: MakePlace) -> None:
    place = place_of(rows=20)
    place.sign()
    first = place.run(limit=7, batch=3)
    assert (first.counts.adopted, first.left) == (7, 13)
    assert place.run(batch=3).counts.adopted == 13
    assert place.said() == place.expected()


def test_a_rate_does_not_change_what_is_done(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    assert place.run(rate=1000, batch=2).counts.adopted == 6


def test_many_workers_share_the_rows_on_postgresql_and_sqlite_takes_one(
    place_of: MakePlace,
) -> None:
    place = place_of(rows=60)
    place.sign()
    if not place.site.database.is_postgresql:
        with pytest.raises(CallerError) as refused:
            place.run(workers=2)
        assert refused.value.code == "adopt.one-worker"
        return
    outcome = place.run(workers=2, batch=5, limit=41)
    assert (outcome.counts.adopted, outcome.left) == (41, 19)
    assert place.run(batch=5).counts.adopted == 19
    assert place.said() == place.expected()


def test_an_error_of_a_workers_environment_ends_the_run_and_is_said(place_of: MakePlace) -> None:
    place = place_of(rows=8, key_id=b"gone")
    if not place.site.database.is_postgresql:
        pytest.skip("SQLite takes one worker, in this process")
    place.sign()
    settings = place.site.adoption.path
    settings.write_text(settings.read_text().replace('id = "676f6e65"', 'id = "abcdef"'))
    with pytest.raises(EnvError) as failed:
        place.run(workers=2)
    assert failed.value.code == "legacy.key-missing"
    assert _levels(place) == ColumnLevels(8, 0, 0, 0)


def test_what_the_old_application_writes_meanwhile_is_adopted_again(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run()
    place.old.update(2, 1)
    place.old.update(4, 7)
    place.old.insert(7, 1)
    assert _levels(place) == ColumnLevels(3, 4, 0, 0)
    assert place.run().counts.adopted == 3
    assert place.said() == place.expected()
    assert place.expected()[4]["diagnosis"].startswith("diagnosis 4, revision 7")


@pytest.mark.parametrize("mode", [Mode.REWRAP, Mode.RESEAL])
def test_a_resealed_row_that_the_old_application_moves_is_adopted_for_its_new_place(
    place_of: MakePlace, mode: Mode
) -> None:
    place = place_of(
        change=lambda toml: toml.replace('key = "id"', 'key = "id"\nversion = "revision"')
    )
    place.sign()
    place.run(Mode.RESEAL)
    place.execute("UPDATE patients SET revision = 7 WHERE id = 3")
    assert _levels(place).legacy == _levels(place, "notes").legacy == 1
    assert place.run(mode).counts.adopted == 1
    said = place.said()[3]
    assert said["diagnosis"].startswith("diagnosis 3, revision 0")
    assert said["notes"].startswith("notes on 3, revision 0")


@pytest.mark.parametrize("mode", [Mode.REWRAP, Mode.RESEAL])
def test_a_native_row_that_the_old_application_wrote_keeps_its_other_columns(
    place_of: MakePlace, mode: Mode
) -> None:
    place = place_of()
    place.sign()
    place.run(Mode.RESEAL)
    fresh = place.old.row(3, 5)
    place.execute(
        "UPDATE patients SET wrapped_dek = :wrapped_dek, diagnosis_ct = :diagnosis_ct, "
        "diagnosis_nonce = :diagnosis_nonce, diagnosis_tag = :diagnosis_tag WHERE id = 3",
        **{name: fresh[name] for name in ("wrapped_dek", *place.table.settings.columns[0].legacy)},
    )
    assert _levels(place).legacy == 1
    assert _levels(place, "notes").legacy == 0
    place.run(mode)
    said = place.said()[3]
    assert said["diagnosis"].startswith("diagnosis 3, revision 5")
    assert said["notes"].startswith("notes on 3, revision 0")


def test_a_row_that_changes_while_it_is_locked_anew_is_not_overwritten(
    place_of: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of()
    if place.site.database.is_postgresql:
        pytest.skip("PostgreSQL locks the rows meanwhile")
    place.sign()
    vault, rewrap = place.world.vault, place.world.vault.rewrap
    written = []

    def slow(*arguments: Any, **settings: Any) -> Any:
        if not written:
            written.append(True)
            place.old.update(2, 9)
        return rewrap(*arguments, **settings)

    monkeypatch.setattr(vault, "rewrap", slow)
    outcome = place.run()
    assert written
    assert (outcome.counts.adopted, outcome.left) == (6, 0)
    assert place.said() == place.expected()
    assert place.expected()[2]["diagnosis"].startswith("diagnosis 2, revision 9")


def test_a_row_that_somebody_holds_is_passed_over_and_taken_later(place_of: MakePlace) -> None:
    place = place_of()
    if not place.site.database.is_postgresql:
        pytest.skip("SQLite has no row locks")
    place.sign()
    with place.site.database.write() as connection:
        from sqlalchemy import text

        connection.execute(text("SELECT * FROM patients WHERE id = 3 FOR UPDATE"))
        outcome = place.run()
        assert (outcome.counts.adopted, outcome.counts.failed, outcome.left) == (5, 0, 1)
    assert place.run().counts.adopted == 1
    assert place.said() == place.expected()
