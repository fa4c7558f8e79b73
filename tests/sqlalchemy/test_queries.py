"""Sealed attributes in SQL: refused when the expression is built, or when it is executed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    String,
    case,
    cast,
    column,
    distinct,
    func,
    insert,
    null,
    select,
    table,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.orm import Query, Session, aliased, defer, load_only, sessionmaker

from tests.sqlalchemy.clinic import Chart, Clinic, Patient
from tests.sqlalchemy.test_flush import Base as Visits
from tests.sqlalchemy.test_flush import Unit, Visit
from twinlock import CallerError
from twinlock.integrations.sqlalchemy import Sealed, SealedUseError

CANARY = "I48.0 atrial fibrillation"
TABLE: Any = Patient.__table__
SUBQUERY = select(Patient).subquery()

BUILT: dict[str, Callable[[], Any]] = {
    "==": lambda: Patient.diagnosis == CANARY,
    "!=": lambda: Patient.diagnosis != CANARY,
    "reversed ==": lambda: Patient.diagnosis == CANARY,
    "== a handle": lambda: Patient.diagnosis == Sealed(CANARY),
    "== another attribute": lambda: Patient.diagnosis == Patient.notes,
    "an attribute == a sealed one": lambda: Patient.name == Patient.diagnosis,
    "<": lambda: Patient.diagnosis < CANARY,
    "like": lambda: Patient.diagnosis.like("I48%"),
    "ilike": lambda: Patient.diagnosis.ilike("I48%"),
    "contains": lambda: Patient.diagnosis.contains("I48"),
    "startswith": lambda: Patient.diagnosis.startswith("I48"),
    "regexp_match": lambda: Patient.diagnosis.regexp_match("I48"),
    "in_": lambda: Patient.diagnosis.in_([CANARY]),
    "not_in": lambda: Patient.diagnosis.not_in([CANARY]),
    "between": lambda: Patient.diagnosis.between("a", "b"),
    "is_ a value": lambda: Patient.diagnosis.is_(True),
    "is distinct from": lambda: Patient.diagnosis.is_distinct_from(None),
    "+": lambda: Patient.diagnosis + "x",
    "reversed +": lambda: "x" + Patient.diagnosis,
    "concat": lambda: Patient.diagnosis.concat("x"),
    "operator": lambda: Patient.diagnosis.op("~")("x"),
    "index": lambda: Patient.diagnosis["x"],
    "collate": lambda: Patient.diagnosis.collate("C"),
    "not": lambda: ~Patient.diagnosis,
    "desc": lambda: Patient.diagnosis.desc(),
    "order_by": lambda: select(Patient).order_by(Patient.diagnosis),
    "group_by": lambda: select(Patient).group_by(Patient.diagnosis),
    "group_by of all": lambda: select(Patient).group_by(Patient),
    "filter_by": lambda: select(Patient).filter_by(diagnosis=CANARY),
    "join": lambda: select(Patient).join(Chart, Chart.text == Patient.diagnosis),
    "lower": lambda: func.lower(Patient.diagnosis),
    "count": lambda: func.count(Patient.diagnosis),
    "max": lambda: func.max(Patient.diagnosis),
    "over": lambda: func.row_number().over(partition_by=Patient.diagnosis),
    "tuple": lambda: tuple_(Patient.diagnosis, Patient.name),
    "distinct": lambda: distinct(Patient.diagnosis),
    "an alias": lambda: aliased(Patient).diagnosis == CANARY,
    "an alias in order_by": lambda: select(Patient).order_by(aliased(Patient).diagnosis),
    "a label": lambda: Patient.diagnosis.label("d") == CANARY,
    "a table's column": lambda: TABLE.c.diagnosis == CANARY,
    "a table's column in order_by": lambda: select(TABLE).order_by(TABLE.c.diagnosis),
    "a subquery": lambda: SUBQUERY.c.diagnosis == CANARY,
    "a subquery in a function": lambda: func.lower(SUBQUERY.c.diagnosis),
}
EXECUTED: dict[str, Callable[[], Any]] = {
    "cast": lambda: select(cast(Patient.diagnosis, String)),
    "type_coerce": lambda: select(type_coerce(Patient.diagnosis, String)),
    "case": lambda: select(case((Patient.name == "x", Patient.diagnosis))),
    "where": lambda: select(Patient).where(Patient.diagnosis),
    "order_by of a label": lambda: select(Patient).order_by(Patient.diagnosis.label("d")),
    "comparing with a subquery": lambda: select(Patient).where(
        Patient.name == select(Chart.text).scalar_subquery()
    ),
    "in a subquery": lambda: select(Patient).where(Patient.name.in_(select(Chart.text))),
    "inside of another": lambda: select(select(cast(Patient.diagnosis, String)).subquery()),
}
ALLOWED: dict[str, Callable[[], Any]] = {
    "is_": lambda: select(Patient.name).where(Patient.notes.is_(None)),
    "is_not": lambda: select(Patient.name).where(Patient.diagnosis.is_not(None)),
    "== None": lambda: select(Patient.name).where(Patient.notes == None),  # noqa: E711
    "!= None": lambda: select(Patient.name).where(Patient.diagnosis != None),  # noqa: E711
    "null()": lambda: select(Patient.name).where(Patient.notes.is_(null())),
    "case of NULL": lambda: select(case((Patient.notes.is_(None), Patient.name))),
    "subquery": lambda: select(select(Patient).subquery().c.name),
    "alias": lambda: select(aliased(Patient).name),
}
PLAINTEXT: dict[str, Callable[[Session], Any]] = {
    "update": lambda s: s.execute(update(Patient).values(diagnosis=CANARY)),
    "update by attribute": lambda s: s.execute(update(Patient).values({Patient.diagnosis: CANARY})),
    "update by key": lambda s: s.execute(
        update(Patient), [{"id": uuid.uuid4(), "diagnosis": CANARY}] * 2
    ),
    "update of bytes": lambda s: s.execute(update(Patient).values(diagnosis=CANARY.encode())),
    "Query.update": lambda s: s.query(Patient).update({"diagnosis": CANARY}),
    "insert": lambda s: s.execute(insert(Patient).values(diagnosis=CANARY)),
    "insert of a handle": lambda s: s.execute(insert(Patient).values(diagnosis=Sealed(CANARY))),
    "insert of many": lambda s: s.execute(insert(Patient), [{"diagnosis": CANARY}] * 2),
    "insert of several": lambda s: s.execute(insert(Patient).values([{"diagnosis": CANARY}])),
    "table's insert": lambda s: s.execute(
        TABLE.insert(), [{"id": uuid.uuid4(), "diagnosis": CANARY}] * 2
    ),
    "table's update": lambda s: s.connection().execute(TABLE.update().values(diagnosis=CANARY)),
    "bulk_insert_mappings": lambda s: s.bulk_insert_mappings(Patient, [{"diagnosis": CANARY}]),
    "bulk_save_objects": lambda s: s.bulk_save_objects([Patient(diagnosis=CANARY)]),
}


@pytest.fixture
def session(clinic: Clinic) -> Any:
    Visits.metadata.create_all(clinic.engine)
    with clinic.sessions() as session:
        session.add(Patient(name="Ada", diagnosis="I48.0"))
        session.commit()
        yield session


@pytest.mark.parametrize("build", BUILT.values(), ids=BUILT.keys())
def test_an_expression_on_a_sealed_attribute_is_refused_when_it_is_built(
    build: Callable[[], Any],
) -> None:
    with pytest.raises(SealedUseError) as refused:
        build()
    assert refused.value.code == "sealed.query"
    assert "is_(None)" in refused.value.hint
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("build", EXECUTED.values(), ids=EXECUTED.keys())
def test_what_can_be_built_all_the_same_is_refused_when_it_is_executed(
    build: Callable[[], Any], session: Session
) -> None:
    statement = build()
    with pytest.raises(SealedUseError) as refused:
        session.execute(statement)
    assert refused.value.code == "sealed.query"


def test_a_session_that_seals_nothing_is_guarded_too(session: Session, clinic: Clinic) -> None:
    with sessionmaker(clinic.engine)() as other, pytest.raises(SealedUseError):
        other.execute(EXECUTED["cast"]())


@pytest.mark.parametrize("build", ALLOWED.values(), ids=ALLOWED.keys())
def test_tests_for_null_and_plain_attributes_work(
    build: Callable[[], Any], session: Session
) -> None:
    assert session.scalars(build()).all() == ["Ada"]


@pytest.mark.parametrize("store", PLAINTEXT.values(), ids=PLAINTEXT.keys())
def test_plaintext_in_a_bulk_statement_is_refused_and_never_stored(
    store: Callable[[Session], Any], session: Session, clinic: Clinic
) -> None:
    with pytest.raises(SealedUseError) as refused:
        store(session)
    assert refused.value.code == "sealed.plaintext"
    assert CANARY not in str(refused.value)
    session.rollback()
    assert len(clinic.stored("patient", "diagnosis")) == 1
    assert clinic.read(session.scalars(select(Patient)).one(), "diagnosis") == ["I48.0"]


@pytest.mark.parametrize(
    "move",
    [
        lambda s: s.execute(update(Visit).values(number="8")),
        lambda s: s.execute(update(Visit).values({Visit.clinic: "south"})),
        lambda s: s.execute(update(Visit).ordered_values((Visit.sealed_version, 7))),
        lambda s: s.execute(update(Visit), [{"unit_id": 1, "number": "7", "clinic": "south"}] * 2),
        lambda s: s.query(Visit).update({Visit.clinic: "south"}),
    ],
    ids=["key", "tenant", "version", "by key", "Query.update"],
)
def test_a_bulk_update_of_what_values_are_sealed_for_is_refused(
    move: Callable[[Session], Any], session: Session
) -> None:
    with pytest.raises(CallerError) as refused:
        move(session)
    assert refused.value.code == "sealed.moved"


def test_other_bulk_updates_and_those_of_other_tables_run(session: Session) -> None:
    session.execute(update(Patient).values(name="Bea"))
    patient = session.scalars(select(Patient)).one()
    session.execute(update(Patient), [{"id": patient.id, "name": "Cleo"}])
    assert session.scalars(select(Patient.name)).all() == ["Cleo"]
    session.execute(update(table("patient", column("name"))).values(name="Dora"))
    session.execute(update(Unit).values(group="x"))
    assert session.scalars(select(Patient.name)).all() == ["Dora"]


def test_columns_and_core_reads_give_handles(session: Session, clinic: Clinic) -> None:
    handles = [
        *session.scalars(select(Patient.diagnosis)),
        *session.scalars(select(Patient.diagnosis.label("d")).distinct()),
        *session.scalars(select(SUBQUERY.c.diagnosis)),
        *session.scalars(select(TABLE.c.diagnosis)),
        *session.connection().scalars(select(TABLE.c.diagnosis)),
    ]
    assert [type(handle) for handle in handles] == [Sealed] * 5
    assert {handle.to_bytes()[:3] for handle in handles} == {b"TWC"}


def test_a_stored_value_is_copied_in_core_by_its_handle(session: Session, clinic: Clinic) -> None:
    handle = session.scalars(select(Patient.diagnosis)).one()
    session.execute(TABLE.update().values(diagnosis=handle))
    session.commit()
    assert clinic.read(session.scalars(select(Patient)).one(), "diagnosis") == ["I48.0"]


@pytest.mark.parametrize("option", [load_only(Patient.diagnosis), defer(Patient.notes)])
def test_loader_options_take_sealed_attributes(option: Any, session: Session) -> None:
    [patient] = session.scalars(select(Patient).options(option))
    assert repr(patient.diagnosis) == "Sealed(redacted)"


def test_legacy_queries_page_and_count(session: Session) -> None:
    query: Query[Patient] = session.query(Patient).order_by(Patient.name)
    assert query.limit(1).one().name == "Ada"
    assert query.filter(Patient.diagnosis.is_(None)).count() == 0
