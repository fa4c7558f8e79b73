"""Rows, views and errors: what opening a page gives, and for how long."""

from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import Iterator
from types import FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import defer, load_only, undefer

from tests.sqlalchemy.clinic import Chart, Clinic, Patient, counted
from twinlock import AsyncVault, CallerError, DataError
from twinlock.integrations.rows import HasRowSource, OpenedScope, row_source
from twinlock.integrations.sqlalchemy import (
    SealedUseError,
    error_of,
    opened_rows,
    opened_views,
    row_of,
    seal_again,
    sealed_items,
)

CANARY = "canary: I48.0 atrial fibrillation"


class PatientOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    name: str
    ward: str
    diagnosis: str | None
    notes: str | None = None


@pytest.fixture
def patients(clinic: Clinic) -> list[Patient]:
    """Three rows, loaded, in a session that stays open."""
    session = clinic.sessions()
    session.add_all(
        [
            Patient(name="Ada", diagnosis="I48.0", notes="rests"),
            Patient(name="Bea", diagnosis="I48.1"),
            Patient(name="Cleo"),
        ]
    )
    session.commit()
    return list(session.scalars(select(Patient).order_by(Patient.name)))


def damage(clinic: Clinic, sql: str) -> None:
    with clinic.engine.begin() as connection:
        connection.exec_driver_sql(sql)


# --- a page ---------------------------------------------------------------------------------


def test_a_page_is_one_request_and_one_round_to_the_token(
    clinic: Clinic, patients: list[Patient]
) -> None:
    vault, sizes = counted(clinic.vault)
    with clinic.recorded() as sql, opened_rows(patients, vault, clinic.deployment.kim.release) as v:
        assert [view.diagnosis for view in v] == ["I48.0", "I48.1", None]
        assert [view.notes for view in v] == ["rests", None, None]
    assert sizes == [2]
    assert sql == []


def test_a_page_without_sealed_values_asks_nobody(clinic: Clinic, patients: list[Patient]) -> None:
    vault, sizes = counted(clinic.vault)

    def nobody(_request: object) -> bytes:
        raise AssertionError

    with opened_rows([patients[2]], vault, nobody) as [view]:
        assert view.diagnosis is None
        assert view.name == "Cleo"
    with opened_rows([], vault, nobody) as views:
        assert views == []
    assert sizes == []


def test_items_and_views_can_be_had_one_by_one(clinic: Clinic, patients: list[Patient]) -> None:
    request = clinic.vault.request(sealed_items(patients), purpose="ward round")
    opened = clinic.vault.open(request, clinic.deployment.kim.release(request))
    with OpenedScope() as scope:
        views = opened_views(patients, opened, scope)
        assert [view.diagnosis for view in views] == ["I48.0", "I48.1", None]


def test_the_purpose_and_the_groups_reach_the_request(
    clinic: Clinic, patients: list[Patient]
) -> None:
    seen = []

    def answer(request: Any) -> Any:
        seen.append(request)
        return clinic.deployment.weber.release(request)

    groups = [clinic.vault.group("emergency")]
    with opened_rows(patients, clinic.vault, answer, purpose="audit", groups=groups) as views:
        assert views[0].diagnosis == "I48.0"
    assert seen[0].purpose == "audit"
    assert {len(asked.record.locks) for asked in seen[0].asked} == {1}


def test_mapped_rows_have_a_row_source_and_others_do_not(patients: list[Patient]) -> None:
    assert isinstance(patients[0], HasRowSource)
    context, _ = row_source(patients[0]).items()[0]
    assert (context.table, context.record, context.column) == ("patient", patients[0].id, None)
    with pytest.raises(CallerError) as refused:
        sealed_items([object()])
    assert refused.value.code == "opened.no-sealed-row"


# --- views ----------------------------------------------------------------------------------


def test_a_view_reads_like_its_row(clinic: Clinic, patients: list[Patient]) -> None:
    with clinic.views(*patients) as [view, *_]:
        assert (view.name, view.ward, view.id) == ("Ada", "cardiology", patients[0].id)
        assert row_of(view) is patients[0]
        with pytest.raises(AttributeError):
            _ = view.unknown
        assert "I48" not in repr(view)


def test_pydantic_makes_models_of_views(clinic: Clinic, patients: list[Patient]) -> None:
    with clinic.views(*patients) as views:
        models = [PatientOut.model_validate(view) for view in views]
    assert [model.diagnosis for model in models] == ["I48.0", "I48.1", None]
    assert models[0].notes == "rests"


def test_pydantic_refuses_a_row_that_was_not_opened(patients: list[Patient]) -> None:
    with pytest.raises(ValidationError) as refused:
        PatientOut.model_validate(patients[0])
    assert "redacted" in str(refused.value)


def test_a_view_ends_with_its_scope(clinic: Clinic, patients: list[Patient]) -> None:
    with clinic.views(*patients) as views:
        pass
    for view in views:
        with pytest.raises(CallerError) as ended:
            _ = view.diagnosis
        assert ended.value.code == "opened.ended"
    assert views[0].name == "Ada"


@pytest.mark.parametrize(
    "misuse",
    [
        lambda view: setattr(view, "diagnosis", "x"),
        lambda view: setattr(view, "name", "x"),
        lambda view: delattr(view, "diagnosis"),
        pickle.dumps,
    ],
    ids=["assign", "assign plain", "delete", "pickle"],
)
def test_a_view_is_read_only_and_stays_here(
    misuse: Any, clinic: Clinic, patients: list[Patient]
) -> None:
    with clinic.views(*patients) as [view, *_]:
        with pytest.raises(SealedUseError) as refused:
            misuse(view)
        assert refused.value.code == "sealed.use"
        assert view.diagnosis == "I48.0"


# --- errors ---------------------------------------------------------------------------------


def test_a_damaged_row_raises_at_access_and_the_others_open(
    clinic: Clinic, patients: list[Patient]
) -> None:
    forged = patients[1].diagnosis.to_bytes()[:-1] + b"\x00"
    with clinic.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE patient SET diagnosis=? WHERE name='Bea'", (forged,))
    patients[1]._sa_instance_state.session.expire_all()
    with clinic.views(*patients) as [ada, bea, cleo]:
        assert ada.diagnosis == "I48.0"
        assert cleo.diagnosis is None
        with pytest.raises(DataError) as refused:
            _ = bea.diagnosis
        assert refused.value.code == "data.not-authentic"
        assert error_of(bea, "diagnosis") is refused.value
        assert error_of(bea, "notes") is None
        assert error_of(ada, "diagnosis") is None
        with pytest.raises(CallerError) as unknown:
            error_of(ada, "name")
        assert unknown.value.code == "sealed.no-attribute"
        with pytest.raises(DataError):
            seal_again(bea)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("UPDATE patient SET diagnosis = X'0102'", "format.malformed"),
        ("UPDATE patient SET diagnosis = X''", "format.malformed"),
        ("UPDATE patient SET twinlock_dek = NULL", "format.malformed"),
        ("UPDATE patient SET twinlock_dek = X''", "format.malformed"),
        ("UPDATE patient SET diagnosis = twinlock_dek", "format.malformed"),
        ("UPDATE patient SET diagnosis = notes", "data.not-authentic"),
        (
            "UPDATE patient SET diagnosis = (SELECT diagnosis FROM patient WHERE name='Bea')",
            "format.malformed",
        ),
        (
            "UPDATE patient SET (diagnosis, twinlock_dek, notes) ="
            " (SELECT diagnosis, twinlock_dek, NULL FROM patient WHERE name='Bea')",
            "data.not-authentic",
        ),
    ],
)
def test_what_a_database_writer_puts_into_a_row_is_an_error_and_never_a_value(
    sql: str, code: str, clinic: Clinic, patients: list[Patient]
) -> None:
    session = patients[0]._sa_instance_state.session
    session.execute(select(Patient))
    damage(clinic, f"{sql} WHERE name = 'Ada'")
    session.expire_all()
    with clinic.views(*patients[:2]) as [ada, bea]:
        error = error_of(ada, "diagnosis")
        assert error is not None
        assert error.code == code
        assert bea.diagnosis == "I48.1"


def test_a_page_of_damaged_rows_alone_shows_their_errors_and_asks_nobody(
    clinic: Clinic, patients: list[Patient]
) -> None:
    session = patients[0]._sa_instance_state.session
    damage(clinic, "UPDATE patient SET twinlock_dek = NULL")
    session.expire_all()

    def nobody(_request: object) -> bytes:
        raise AssertionError

    with opened_rows(patients[:1], clinic.vault, nobody) as [view]:
        error = error_of(view, "diagnosis")
        assert error is not None
        assert error.code == "format.malformed"
        assert view.name == "Ada"

    async def asynchronously() -> None:
        async with opened_rows(patients[:1], AsyncVault(clinic.vault), nobody) as [view]:
            assert error_of(view, "diagnosis") is not None

    asyncio.run(asynchronously())


def test_a_member_of_none_of_the_groups_gets_no_page(
    clinic: Clinic, patients: list[Patient]
) -> None:
    officer = clinic.deployment.officer
    with (
        pytest.raises(CallerError) as refused,
        opened_rows(patients, clinic.vault, officer.release),
    ):
        pass
    assert refused.value.code == "record.no-lock"


def test_what_is_not_flushed_cannot_be_opened(clinic: Clinic, patients: list[Patient]) -> None:
    patients[0].diagnosis = "new"
    with clinic.views(*patients) as [ada, bea, _]:
        with pytest.raises(CallerError) as pending:
            _ = ada.diagnosis
        assert pending.value.code == "sealed.pending"
        assert ada.notes == "rests"
        assert bea.diagnosis == "I48.1"


# --- what is loaded -------------------------------------------------------------------------


def test_deferred_attributes_are_not_loaded_and_not_opened(
    clinic: Clinic, patients: list[Patient]
) -> None:
    session = clinic.sessions()
    query = select(Patient).order_by(Patient.name)
    rows = list(session.scalars(query.options(defer(Patient.notes))))
    with clinic.recorded() as sql, clinic.views(*rows) as [ada, *_]:
        assert ada.diagnosis == "I48.0"
        with pytest.raises(CallerError) as missing:
            _ = ada.notes
        assert missing.value.code == "sealed.not-loaded"
    assert sql == []
    session.close()
    session = clinic.sessions()
    rows = list(session.scalars(query.options(load_only(Patient.diagnosis, raiseload=True))))
    with clinic.views(*rows) as [ada, *_]:
        error = error_of(ada, "diagnosis")
    assert error is not None
    assert error.code == "sealed.not-loaded"
    assert "twinlock_dek" in error.message


def test_an_attribute_deferred_by_its_class_is_opened_when_it_was_undeferred(
    clinic: Clinic,
) -> None:
    with clinic.sessions() as session:
        session.add(Chart(id=1, text="t", audited="both"))
        session.commit()
    for options, expected in (((), "sealed.not-loaded"), ((undefer(Chart.audited),), None)):
        with clinic.sessions() as session:
            chart = session.scalars(select(Chart).options(*options)).one()
            items = sealed_items([chart])
            assert len(items) == (1 if expected else 2)
            session.expire(chart)
            assert len(sealed_items([chart])) == 1
            assert chart.text is not None


def test_an_expired_row_is_refreshed_in_one_query(clinic: Clinic, patients: list[Patient]) -> None:
    session = patients[0]._sa_instance_state.session
    session.commit()
    with clinic.recorded() as sql:
        assert clinic.read(patients[0], "diagnosis", "notes") == ["I48.0", "rests"]
    assert len(sql) == 1


def test_an_expired_row_out_of_its_session_says_so(clinic: Clinic, patients: list[Patient]) -> None:
    session = patients[0]._sa_instance_state.session
    session.commit()
    session.close()
    with pytest.raises(CallerError) as refused:
        sealed_items(patients)
    assert refused.value.code == "sealed.not-loaded"


# --- where plaintext is ---------------------------------------------------------------------


def reachable(*roots: object) -> Iterator[object]:
    """Every object that the collector finds from here, code and modules left out."""
    seen: set[int] = set()
    todo: list[object] = list(roots)
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, type | ModuleType | FrameType | FunctionType):
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, memoryview):
            yield bytes(item)
        todo += gc.get_referents(item)


def shows(*roots: object) -> bool:
    return any(
        CANARY in item if isinstance(item, str) else CANARY.encode() in item
        for item in reachable(*roots)
        if isinstance(item, str | bytes | bytearray)
    )


def test_the_search_finds_plaintext_where_it_is(clinic: Clinic) -> None:
    text = "".join(["canary: ", "I48.0 atrial fibrillation"])
    with clinic.sessions() as session:
        patient = Patient(diagnosis=text, name="x")
        session.add(patient)
        assert shows(session)
        assert shows(patient)
        session.flush()
        with clinic.views(patient) as views:
            assert shows(views)


@pytest.mark.parametrize("way", ["flush", "update", "rollback", "refresh", "merge", "open"])
def test_no_plaintext_is_in_session_or_instances_after_the_flush(way: str, clinic: Clinic) -> None:
    text = "".join(["canary: ", "I48.0 atrial fibrillation"])
    with clinic.sessions(expire_on_commit=False) as session:
        patient = Patient(diagnosis="other" if way in {"update", "merge"} else text)
        session.add(patient)
        session.flush()
        views: list[Any] = []
        if way == "update":
            patient.diagnosis = text
            patient.notes = text
            session.flush()
        elif way == "rollback":
            session.rollback()
        elif way == "refresh":
            session.refresh(patient)
        elif way == "merge":
            session.merge(Patient(id=patient.id, diagnosis=text))
            session.flush()
        elif way == "open":
            session.commit()
            with clinic.views(patient) as views:
                assert views[0].diagnosis == CANARY
                assert not shows(session, patient)
        assert not shows(session, patient, views)
        session.commit()
        assert not shows(session, patient, views)


def test_no_plaintext_is_in_an_error_of_the_flush(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Patient(diagnosis=CANARY, ward="unknown"))
        with pytest.raises(CallerError) as refused:
            session.flush()
    assert refused.value.code == "group.unknown"
    assert CANARY not in str(refused.value)
    with clinic.sessions() as session:
        session.add_all([Chart(id=1, text=CANARY), Chart(id=1, text=CANARY)])
        with pytest.raises(Exception, match="UNIQUE") as failed:
            session.flush()
    assert CANARY not in repr(failed.value)
