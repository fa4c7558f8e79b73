"""Scan, verify, cut over, contract, roll back, report, and the way out, on one database each."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import inspect, text

from bench.legacy import diagnosis_of
from tests.adopt.conftest import MakePlace
from tests.adopt.world import Place
from twinlock.adopt.contract import contraction, require_no_legacy
from twinlock.adopt.levels import ColumnLevels, count_levels
from twinlock.adopt.migration import execute
from twinlock.adopt.old_keys import old_keys
from twinlock.adopt.old_rows import read_old
from twinlock.adopt.report import Report
from twinlock.adopt.rollback import rollback_table
from twinlock.adopt.scan import TableScan, scan_table
from twinlock.adopt.settings import Mode
from twinlock.adopt.site import open_site
from twinlock.adopt.states import (
    all_columns,
    authority_state,
    require_cut_over,
    require_not_cut_over,
    shown_states,
)
from twinlock.adopt.status import table_status
from twinlock.adopt.tables import AppTable
from twinlock.adopt.unseal import Unsealing
from twinlock.adopt.verify import parse_sample, verify_table
from twinlock.core.membership import ColumnState
from twinlock.errors import CallerError, DataError


def _release(place: Place) -> Any:
    def release(items: Any) -> Any:
        request = place.world.vault.request(items)
        return place.world.vault.open(request, place.world.weber.release(request))

    return release


def _scan(place: Place, **settings: Any) -> TableScan:
    wanted = {"sample": 3, "allow_host_dek": False, "chance": random.Random(1), **settings}
    return scan_table(place.site, place.table, **wanted)


def _columns(place: Place) -> list[str]:
    with place.site.database.read() as connection:
        return [column["name"] for column in inspect(connection).get_columns("patients")]


# --- scan ----------------------------------------------------------------------------------------


def test_a_scan_counts_and_tries(place_of: MakePlace) -> None:
    place = place_of(migrated=False)
    place.execute("UPDATE patients SET ward = '9Z' WHERE id = 2")
    scan = _scan(place)
    assert (scan.rows, dict(scan.keys), scan.unknown) == (6, {"records-2021": 6}, ["2"])
    assert dict(scan.groups) == {"cardiology, emergency": 5}
    assert [(t.key, t.tried, t.good) for t in scan.trials] == [("records-2021", 3, 3)]
    assert scan.problems == []
    assert scan.facts()["unknown_groups"] == ["2"]


def test_a_scan_sees_levels_once_there_are_columns(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run(limit=2)
    assert _scan(place).levels["diagnosis"] == ColumnLevels(4, 2, 0, 0)


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({"dek_size": 16}, "legacy.dek-size", "16 bytes"),
        ({"nonce_size": 16}, "legacy.cell", "16 bytes"),
        ({"unwrap": False}, "legacy.no-unwrap", "unwrap"),
        ({"key_name": "records-1999"}, "adopt.unknown-key", "records-1999"),
        (
            {"change": lambda text: text.replace("patient:{id}", "person:{id}")},
            "legacy.content",
            "does not decrypt",
        ),
        (
            {"change": lambda text: text.replace('"sha1"', '"sha1"\nmgf-hash = "sha256"')},
            "adopt.oaep-hash",
            "but with sha1 and sha1",
        ),
        (
            {"change": lambda text: text.replace('oaep-hash = "sha1"', 'oaep-hash = "sha256"')},
            "adopt.oaep-hash",
            "but with sha1 and sha1",
        ),
        (
            {"change": lambda text: text.replace('id = "', 'id = "ffff')},
            "legacy.key-missing",
            "no RSA private key",
        ),
    ],
    ids=["AES-128", "nonce", "no unwrap", "unknown key", "aad", "mgf hash", "hash", "no key"],
)
def test_a_scan_names_what_will_stop_rows(
    place_of: MakePlace, settings: dict[str, Any], code: str, says: str
) -> None:
    place = place_of(**settings)
    [problem] = _scan(place).problems
    assert (problem.code, problem.rows) == (code, 3)
    assert says in problem.message
    assert problem.hint
    assert len(problem.keys) == 3


def test_a_scan_brings_no_dek_out_unless_that_is_allowed(place_of: MakePlace) -> None:
    place = place_of(unwrap=False)
    assert [trial.good for trial in _scan(place).trials] == [0]
    assert [trial.good for trial in _scan(place, allow_host_dek=True).trials] == [3]


# --- verify --------------------------------------------------------------------------------------


def test_a_sample_is_a_share_a_number_or_everything() -> None:
    assert [parse_sample("1%").of(total) for total in (0, 5, 1000)] == [0, 1, 10]
    assert [parse_sample("3").of(total) for total in (2, 9)] == [2, 3]
    assert parse_sample("all").of(7) == 7
    for wrong in ("", "0%", "101%", "0", "-1", "some"):
        with pytest.raises(CallerError) as refused:
            parse_sample(wrong)
        assert refused.value.code == "adopt.sample"


@pytest.mark.parametrize("mode", [Mode.REWRAP, Mode.RESEAL])
def test_a_member_opens_a_sample_and_it_says_what_the_old_form_says(
    place_of: MakePlace, mode: Mode
) -> None:
    place = place_of()
    place.sign()
    place.run(mode)
    seen = verify_table(place.site, place.table, parse_sample("all"), _release(place))
    assert (seen.opened, seen.compared, seen.findings, seen.why_not) == (6, 6, [], "")
    assert verify_table(place.site, place.table, parse_sample("2"), _release(place)).opened == 2


def test_a_row_that_says_something_else_is_named(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run(Mode.RESEAL)
    # As if resealing had made a mistake: the old form of row 4 says another thing now.
    other = place.old.row(4, 3)
    with place.site.database.write() as connection:
        from twinlock.adopt.triggers import drop_trigger

        postgresql = place.site.database.is_postgresql
        execute(connection, drop_trigger(place.table.settings, postgresql=postgresql))
        names = [name for name in other if name not in ("id", "revision")]
        values = ", ".join(f"{name} = :{name}" for name in names)
        connection.execute(text(f"UPDATE patients SET {values} WHERE id = 4"), other)
    place.execute("UPDATE patients SET diagnosis_sealed = notes_sealed WHERE id = 5")
    seen = verify_table(place.site, place.table, parse_sample("all"), _release(place))
    assert {f.key: f.code for f in seen.findings} == {
        "4": "adopt.differs",
        "5": "data.not-authentic",
    }
    assert (seen.opened, seen.compared) == (5, 5)


def test_after_the_cut_over_it_only_opens(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run()
    place.sign(ColumnState.CUT_OVER)
    place.site.use_legacy()
    seen = verify_table(place.site, place.table, parse_sample("all"), _release(place))
    assert (seen.opened, seen.compared, seen.findings) == (6, 0, [])
    assert "cut over" in seen.why_not


# --- cut over and contract -----------------------------------------------------------------------


def test_states_are_shown_and_required(place_of: MakePlace) -> None:
    place = place_of()
    columns = all_columns(place.site.adoption)
    names = [f"{table.name}.{column.name}" for table, column in columns]
    for sign, word in ((None, "none"), (ColumnState.LEGACY, "legacy")):
        if sign is not None:
            place.sign(sign)
        states = authority_state(place.world.vault, place.site.adoption)
        assert shown_states(states, columns) == dict.fromkeys(names, word)
        require_not_cut_over(states, columns)
        with pytest.raises(CallerError) as refused:
            require_cut_over(states, columns)
        assert refused.value.code == "adopt.not-cut-over"
    place.sign(ColumnState.CUT_OVER)
    states = authority_state(place.world.vault, place.site.adoption)
    require_cut_over(states, columns)
    with pytest.raises(CallerError) as refused:
        require_not_cut_over(states, columns)
    assert refused.value.code == "adopt.cut-over"


def test_columns_are_named_by_table_or_one_by_one(place_of: MakePlace) -> None:
    adoption = place_of().site.adoption
    name = adoption.tables[0].name
    assert [c.name for _, c in all_columns(adoption, [f"{name}.notes"])] == ["notes"]
    assert [c.name for _, c in all_columns(adoption, [name])] == ["diagnosis", "notes"]
    for wrong, code in (("other.notes", "adopt.no-table"), (f"{name}.x", "adopt.no-column")):
        with pytest.raises(CallerError) as refused:
            all_columns(adoption, [wrong])
        assert refused.value.code == code


def test_legacy_rows_must_be_accepted_one_by_one(place_of: MakePlace) -> None:
    place = place_of()
    place.execute("UPDATE patients SET ward = '9Z' WHERE id IN (2, 3)")
    place.sign()
    place.run()
    name = place.table.name
    with place.site.database.read() as connection:
        for accepted in (frozenset(), frozenset({f"{name}/2"})):
            with pytest.raises(CallerError) as refused:
                require_no_legacy(connection, [place.table], accepted)
            assert refused.value.code == "adopt.legacy-left"
            assert f"{name}/3" in refused.value.message
        both = frozenset({f"{name}/2", f"{name}/3"})
        assert require_no_legacy(connection, [place.table], both) == 2


def _contract(place: Place) -> AppTable:
    postgresql = place.site.database.is_postgresql
    with place.site.database.write() as connection:
        plan = contraction(connection, place.table, postgresql=postgresql)
        execute(connection, plan.statements)
    with open_site(place.site.adoption, place.world.vault) as after:
        return after.tables[0]


@pytest.mark.parametrize(
    ("mode", "stay"),
    [
        (Mode.REWRAP, {"diagnosis_ct", "diagnosis_nonce", "diagnosis_tag", "notes_ct"}),
        (Mode.RESEAL, set()),
    ],
)
def test_a_contraction_drops_what_only_the_old_application_needed(
    place_of: MakePlace, mode: Mode, stay: set[str]
) -> None:
    place = place_of()
    place.sign()
    place.run(mode)
    place.sign(ColumnState.CUT_OVER)
    _contract(place)
    kept = {"id", "ward", "revision", "key_name", *place.table.settings.targets}
    assert set(_columns(place)) == kept | stay
    with open_site(place.site.adoption, place.world.vault) as site:
        after = Place(place.world, site, place.old, place.folder)
        with site.database.read() as connection:
            rows = [dict(row) for row in after.table.rows(connection)]
            levels = count_levels(connection, after.table)["notes"]
        assert levels == ColumnLevels(0, *((6, 0) if stay else (0, 6)), 0)
        assert after.said(rows) == place.expected()


def test_a_contraction_needs_every_row(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run(limit=5)
    with pytest.raises(CallerError) as refused:
        _contract(place)
    assert refused.value.code == "adopt.legacy-left"
    assert "wrapped_dek" in _columns(place)


def test_after_the_cut_over_an_old_row_from_a_backup_is_refused_by_name(
    place_of: MakePlace,
) -> None:
    place = place_of()
    place.sign()
    backup = place.rows("id = 2")
    place.run()
    place.site.use_legacy()
    [(_, said)] = read_old(place.world.vault, place.table, place.site.keys, backup)  # type: ignore[misc]
    assert said["diagnosis"].decode() == diagnosis_of(2, 0)
    place.sign(ColumnState.CUT_OVER)
    place.execute("UPDATE patients SET twinlock_dek = NULL WHERE id = 2")
    with pytest.raises(DataError) as refused:
        read_old(place.world.vault, place.table, place.site.keys, place.rows("id = 2"))
    assert refused.value.code == "legacy.cut-over"
    assert f"{place.table.name}.diagnosis" in refused.value.message


def test_it_is_told_whether_the_old_key_is_in_reach(place_of: MakePlace) -> None:
    place = place_of()
    [key] = old_keys(place.site)
    assert (key.name, key.in_token, key.unwraps) == ("records-2021", True, True)
    gone = place.site.adoption.path.read_text().replace('id = "', 'id = "ff')
    place.site.adoption.path.write_text(gone)
    from twinlock.adopt.reading import load_adoption

    with open_site(load_adoption(place.site.adoption.path), place.world.vault) as site:
        assert [(key.in_token, key.where) for key in old_keys(site)] == [
            (False, "not in this token")
        ]


# --- roll back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.REWRAP, Mode.RESEAL])
def test_an_adoption_can_be_taken_back_and_done_again(place_of: MakePlace, mode: Mode) -> None:
    place = place_of(rows=12)
    before = place.rows()
    place.sign()
    place.run(mode, limit=9)
    result = rollback_table(place.site.database, place.table)
    assert (result.rows, list(result.kept)) == (9, [])
    assert place.rows() == before
    assert rollback_table(place.site.database, place.table).rows == 0
    place.run(mode)
    assert place.said() == place.expected()


def test_what_exists_in_native_form_only_is_kept_and_named(place_of: MakePlace) -> None:
    place = place_of()
    place.sign()
    place.run(Mode.RESEAL)
    # The new application added row 2, and wrote one column of row 3 by itself.
    place.execute("UPDATE patients SET diagnosis_ct = NULL, notes_ct = NULL WHERE id = 2")
    own = place.world.vault.seal(
        "new",
        to=place.world.ward,
        context=_own_context(place, 3),
    ).to_bytes()
    place.execute("UPDATE patients SET notes_sealed = :own WHERE id = 3", own=own)
    result = rollback_table(place.site.database, place.table)
    assert (result.rows, list(result.kept)) == (5, ["2", "3"])
    said = place.said()
    assert set(said) == {2, 3}
    assert said[2] == place.expected()[2]
    assert said[3] == {"notes": "new"}


def _own_context(place: Place, number: int) -> Any:
    from dataclasses import replace

    [row] = place.rows(f"id = {number}")
    return replace(place.table.layout.context(row), column="notes")


# --- report --------------------------------------------------------------------------------------


def test_a_report_says_what_was_done_and_what_stays_exposed(place_of: MakePlace) -> None:
    place = place_of(unwrap=False)
    place.execute("UPDATE patients SET ward = '9|Z' WHERE id = 2")
    place.sign()
    place.run(allow_host_dek=True)
    columns = all_columns(place.site.adoption)
    states = shown_states(authority_state(place.world.vault, place.site.adoption), columns)
    with place.site.database.read() as connection:
        statuses = [table_status(connection, place.table, states, every_head=True)]
    made = Report.of(place.site, statuses, 1_800_000_000)
    facts = made.facts()
    assert facts["tables"][0]["rows_host_dek"] == 5
    assert facts["tables"][0]["unknown_groups"] == ["2"]
    assert [run["adopted"] for run in facts["runs"]] == [5]
    assert facts["old_keys"] == [{"name": "records-2021", "in_token": True, "unwraps": False}]
    assert len(facts["exposed"]) == 3
    page = made.markdown()
    for part in ("2027-01-15", "adopt.unknown-group", "in this token, without CKA_UNWRAP"):
        assert part in page


# --- the way out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["TEXT", "bytes"])
def test_a_column_can_leave_again_and_go_on_where_it_stopped(
    place_of: MakePlace, kind: str
) -> None:
    place = place_of()
    blob = "BYTEA" if place.site.database.is_postgresql else "BLOB"
    place.execute(f"ALTER TABLE patients ADD COLUMN plain {blob if kind == 'bytes' else 'TEXT'}")
    place.sign()
    place.run(Mode.REWRAP, limit=3)
    place.run(Mode.RESEAL, limit=2)
    place.execute("UPDATE patients SET plain = 'done' WHERE id = 1") if kind == "TEXT" else None
    column = place.table.settings.column("diagnosis")
    unsealing = Unsealing.prepare(place.site, place.table, column, "plain")
    open_rows = sum(1 for row in place.rows("plain IS NULL") if row["twinlock_dek"])
    assert unsealing.left() == open_rows
    result = unsealing.run(_release(place))
    assert (result.rows, result.findings) == (open_rows, [])
    assert result.legacy == 6 - len(place.rows("twinlock_dek IS NOT NULL"))
    for row in place.rows("plain IS NOT NULL"):
        wanted = diagnosis_of(row["id"], 0)
        if kind == "TEXT":
            assert row["plain"] == ("done" if row["id"] == 1 else wanted)
        else:
            assert bytes(row["plain"]) == wanted.encode()
    assert unsealing.run(_release(place)).rows == 0


@pytest.mark.parametrize(
    ("into", "code"),
    [
        ("absent", "adopt.no-sql-column"),
        ("revision", "adopt.unseal-target"),
        ("ward", "adopt.unseal-target"),
        ("twinlock_dek", "adopt.unseal-target"),
        ("notes_ct", "adopt.unseal-target"),
    ],
)
def test_a_target_that_cannot_take_plaintext_is_refused(
    place_of: MakePlace, into: str, code: str
) -> None:
    place = place_of()
    with pytest.raises(CallerError) as refused:
        Unsealing.prepare(place.site, place.table, place.table.settings.columns[0], into)
    assert refused.value.code == code


def test_a_row_that_does_not_open_is_named_and_the_others_leave(place_of: MakePlace) -> None:
    place = place_of()
    place.execute("ALTER TABLE patients ADD COLUMN plain TEXT")
    place.sign()
    place.run()
    place.execute("UPDATE patients SET twinlock_dek = :head WHERE id = 4", head=b"TWA\x01junk")
    column = place.table.settings.column("notes")
    result = Unsealing.prepare(place.site, place.table, column, "plain").run(_release(place))
    assert (result.rows, [f.key for f in result.findings]) == (5, ["4"])
