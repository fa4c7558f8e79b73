"""Sealing while a session flushes: what is written, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
from sqlalchemy import ForeignKey, select, update
from sqlalchemy import Sequence as SqlSequence
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
)

import twinlock as tl
from tests.sqlalchemy.clinic import Chart, Clinic, Patient, clinic_on, engine_in_memory
from twinlock import AsyncVault, CallerError
from twinlock.core.envelope import decode_row_head
from twinlock.core.ports import OuterSuite
from twinlock.integrations.sqlalchemy import (
    Sealed,
    SealedTable,
    all_of,
    seal_again,
    seal_with,
    sealed_column,
)
from twinlock.testing import MemoryDeployment, memory_vault


class Base(DeclarativeBase):
    pass


class Unit(Base):
    __tablename__ = "unit"
    id: Mapped[int] = mapped_column(primary_key=True)
    group: Mapped[str]


class Visit(Base):
    """A composite key with a foreign key, a tenant, a version, groups by property and relation."""

    __tablename__ = "visit_table"
    __twinlock__ = SealedTable(
        table="visit", dek="row_key", tenant="clinic", version="sealed_version"
    )

    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.id"), primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    clinic: Mapped[str] = mapped_column("clinic_name", default="north")
    sealed_version: Mapped[int]
    remark: Mapped[str | None]
    unit: Mapped[Unit] = relationship()
    finding: Mapped[Sealed[str] | None] = sealed_column(
        "finding_sealed", to=lambda v: v.responsible, column="finding"
    )
    therapy: Mapped[Sealed[str] | None] = sealed_column(to=lambda v: [v.unit.group])

    @property
    def responsible(self) -> tuple[str, ...]:
        return (self.unit.group, *self.more())

    def more(self) -> list[str]:
        return ["emergency"] if self.remark == "urgent" else []


class Letter(Base):
    """A key that the database makes, so another attribute is the record id."""

    __tablename__ = "letter"
    __twinlock__ = SealedTable(record="reference", to=all_of("cardiology", "data-office"))

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(default=lambda: uuid.uuid4().hex)
    team: Mapped[str | None]
    text: Mapped[Sealed[str] | None] = sealed_column()
    summary: Mapped[Sealed[str] | None] = sealed_column(to=lambda letter: letter.shown_to)

    @hybrid_property
    def shown_to(self) -> str:
        return self.team or "cardiology"


class Numbered(Base):
    """A key that the database makes, and nothing else to identify a row."""

    __tablename__ = "numbered"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")


class Room(Base):
    """A tenant without a default, and groups that are what a test says."""

    __tablename__ = "room"
    __twinlock__ = SealedTable(tenant="house", to=lambda room: room.groups or room.ward)
    groups: ClassVar[Any] = None

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    house: Mapped[str | None]
    ward: Mapped[str | None]
    text: Mapped[Sealed[str] | None] = sealed_column()

    def __init__(self, groups: Any = None, **values: Any) -> None:
        super().__init__(**values)
        self.groups = groups


class Ordered(Base):
    """A key from a sequence."""

    __tablename__ = "ordered"
    id: Mapped[int] = mapped_column(SqlSequence("ordered_id"), primary_key=True)
    text: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")


@pytest.fixture
def visits(twinlock_deployment: MemoryDeployment) -> Clinic:
    clinic = clinic_on(twinlock_deployment, engine_in_memory(), Base)
    with clinic.sessions() as session:
        session.add_all([Unit(id=1, group="cardiology"), Unit(id=2, group="emergency")])
        session.commit()
    return clinic


def refused(code: str, action: Callable[[], Any]) -> CallerError:
    with pytest.raises(CallerError) as found:
        action()
    assert found.value.code == code
    return found.value


# --- new rows -------------------------------------------------------------------------------


def test_a_new_row_has_one_dek_and_one_cell_per_attribute(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(name="Ada", diagnosis="I48.0", notes="rests")
        session.add(patient)
        with clinic.recorded() as sql:
            session.commit()
        assert [statement.split()[0] for statement in sql] == ["INSERT"]
        assert clinic.read(patient, "diagnosis", "notes") == ["I48.0", "rests"]
        assert len(clinic.open(patient)) == 1
    for column, magic in (
        ("diagnosis", b"TWC\x01"),
        ("notes", b"TWC\x01"),
        ("twinlock_dek", b"TWH\x01"),
    ):
        [raw] = clinic.stored("patient", column)
        assert raw.startswith(magic)
        assert b"I48.0" not in raw


def test_attributes_for_other_groups_have_deks_of_their_own(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        chart = Chart(id=1, text="t", number=4, audited="a")
        session.add(chart)
        session.commit()
        [result] = clinic.open(chart)
        assert sorted(result.columns) == ["number", "text"]
    [audited], [text] = clinic.stored("chart", "audited"), clinic.stored("chart", "text")
    assert audited.startswith(b"TWL\x01")
    assert text.startswith(b"TWC\x01")


def test_many_rows_are_sealed_by_add_all_with_the_inserts_that_they_need_anyway(
    clinic: Clinic,
) -> None:
    with clinic.sessions() as session:
        session.add_all([Patient(name=str(n), diagnosis=f"I48.{n}") for n in range(5)])
        with clinic.recorded() as sql:
            session.commit()
        assert len(sql) == 1
        patients = session.query(Patient).order_by(Patient.name).all()
        with clinic.views(*patients) as views:
            assert [view.diagnosis for view in views] == [f"I48.{n}" for n in range(5)]


def test_defaults_of_the_key_and_of_what_to_reads_are_known_before_the_insert(
    clinic: Clinic,
) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0")
        session.add(patient)
        session.flush()
        assert isinstance(patient.id, uuid.UUID)
        assert patient.ward == "cardiology"
        session.commit()
        assert clinic.read(patient, "diagnosis", "ward") == ["I48.0", "cardiology"]


def test_a_composite_key_gets_its_foreign_key_from_the_parent_in_the_same_flush(
    visits: Clinic,
) -> None:
    with visits.sessions() as session:
        visit = Visit(unit=Unit(id=3, group="cardiology"), number="7", finding="clear")
        session.add(visit)
        session.commit()
        assert visits.read(visit, "finding") == ["clear"]
        [result] = visits.open(visit)
    assert result.context.record == (3, "7")
    assert (result.context.table, result.context.tenant) == ("visit", "north")
    assert result.context.version == 1
    assert result.columns == ("finding",)


def test_a_key_that_the_database_makes_is_refused_with_the_ways_out(visits: Clinic) -> None:
    with visits.sessions() as session:
        session.add(Numbered(text="x"))
        error = refused("sealed.record", session.flush)
    for way in ("UUID", "sequence", "SealedTable(record=...)"):
        assert way in error.hint
    with visits.sessions() as session:
        session.add(Ordered(text="x"))  # SQLite has no sequences
        refused("sealed.record", session.flush)


def test_a_row_with_such_a_key_can_be_sealed_once_it_has_it(visits: Clinic) -> None:
    with visits.sessions() as session:
        row = Numbered()
        session.add(row)
        session.flush()
        row.text = "x"
        session.commit()
        assert visits.read(row, "text") == ["x"]


def test_another_attribute_can_be_the_record_id(visits: Clinic) -> None:
    with visits.sessions() as session:
        letter = Letter(summary="brief")
        session.add(letter)
        session.commit()
        assert visits.read(letter, "summary") == ["brief"]
        [result] = visits.open(letter)
        assert result.context.record == letter.reference


@pytest.mark.parametrize(
    "row",
    [
        Chart(id="1", text="x"),
        Chart(id=True, text="x"),
        Patient(id="ef1fa1ce-5e5b-4a2c-8d3c-111111111111", diagnosis="x"),
        Patient(id=b"x", diagnosis="x"),
    ],
    ids=["text for a number", "bool for a number", "text for a UUID", "bytes for a UUID"],
)
def test_a_record_id_of_another_type_than_is_loaded_is_refused(row: Any, clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(row)
        refused("sealed.record", session.flush)


def test_a_row_without_its_tenant_is_refused(visits: Clinic) -> None:
    with visits.sessions() as session:
        session.add(Room(id=1, text="x"))
        refused("sealed.record", session.flush)


@pytest.mark.parametrize("groups", [None, "", [], [""], 5, [()], [None], ["cardiology", 5]])
def test_groups_that_are_none_are_refused(groups: Any, visits: Clinic) -> None:
    with visits.sessions() as session:
        session.add(Room(id=1, house="h", text="x", groups=groups))
        refused("sealed.groups", session.flush)


def test_a_group_that_the_vault_does_not_trust_is_refused(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Patient(diagnosis="x", ward="unknown"))
        refused("group.unknown", session.flush)


def test_groups_of_the_vault_and_sets_are_taken_too(visits: Clinic) -> None:
    group = visits.vault.group("cardiology")
    entries: list[Any] = [group, {"cardiology", "emergency"}, tl.AllOf(group), [group, "emergency"]]
    for number, groups in enumerate(entries[:2] + entries[3:]):
        with visits.sessions() as session:
            room = Room(id=number, house="h", text="x", groups=groups)
            session.add(room)
            session.commit()
            assert visits.read(room, "text") == ["x"]


def test_an_and_lock_opens_with_both_groups_only(visits: Clinic) -> None:
    both = tl.AllOf(visits.vault.group("cardiology"), visits.vault.group("data-office"))
    for number, groups in enumerate([both, all_of("data-office", "cardiology")]):
        with visits.sessions() as session:
            room = Room(id=number, house="h", text="x", groups=groups)
            session.add(room)
            session.commit()
            refused("release.share-missing", partial(visits.open, room))


def test_values_without_a_vault_are_refused(clinic: Clinic) -> None:
    with sessionmaker(clinic.engine)() as session:
        session.add(Patient(name="no value, no vault"))
        session.flush()
        session.add(Patient(diagnosis="x"))
        refused("sealed.no-vault", session.flush)


@pytest.mark.parametrize("sessions", [None, object(), Patient])
def test_only_what_makes_sessions_is_bound(sessions: Any, clinic: Clinic) -> None:
    refused("sealed.binding", lambda: seal_with(sessions, clinic.vault))


def test_a_session_a_scoped_session_and_an_async_vault_are_bound(clinic: Clinic) -> None:
    plain = sessionmaker(clinic.engine)
    scoped = seal_with(scoped_session(sessionmaker(clinic.engine)), clinic.vault)
    for session in (
        seal_with(plain(), clinic.vault),
        scoped(),
        seal_with(plain(), AsyncVault(clinic.vault)),
        seal_with(plain, clinic.vault)(info={"own": 1}),
    ):
        session.add(Patient(diagnosis="x"))
        session.commit()
        session.close()
    assert len(clinic.stored("patient", "id")) == 4


def test_two_vaults_in_one_process_seal_for_their_own_groups() -> None:
    with memory_vault() as one, memory_vault() as other:
        clinics = [clinic_on(deployment, engine_in_memory()) for deployment in (one, other)]
        for clinic in clinics:
            with clinic.sessions() as session:
                patient = Patient(diagnosis="x")
                session.add(patient)
                session.commit()
                assert clinic.read(patient, "diagnosis") == ["x"]
            clinic.engine.dispose()


@pytest.mark.parametrize("suite", ["rsa-oaep", "token-aes"])
def test_the_suite_can_be_chosen(suite: str, clinic: Clinic) -> None:
    sessions = seal_with(sessionmaker(clinic.engine), clinic.vault, suite=suite)
    with sessions() as session:
        patient = Patient(diagnosis="x", notes="y")
        session.add(patient)
        session.commit()
        patient.notes = "z"
        session.commit()
        assert clinic.read(patient, "diagnosis", "notes") == ["x", "z"]
        head = decode_row_head(patient.twinlock_dek)
    assert (head.header.outer_suite is OuterSuite.TOKEN_AES) == (suite == "token-aes")


# --- changed rows ---------------------------------------------------------------------------


def test_a_changed_attribute_alone_is_written_and_has_a_dek_of_its_own(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.commit()
        [before] = clinic.stored("patient", "notes")
        patient.diagnosis = "I48.1"
        with clinic.recorded() as sql:
            session.commit()
        assert [statement for statement in sql if "UPDATE" in statement] == [
            "UPDATE patient SET diagnosis=? WHERE patient.id = ?"
        ]
        assert clinic.stored("patient", "notes") == [before]
        assert clinic.stored("patient", "diagnosis")[0].startswith(b"TWL\x01")
        assert clinic.read(patient, "diagnosis", "notes") == ["I48.1", "rests"]
        assert len(clinic.open(patient)) == 2


def test_a_save_without_a_change_writes_no_sealed_attribute(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0")
        session.add(patient)
        session.commit()
        same = patient.diagnosis
        patient.name, patient.diagnosis = "Ada", same
        with clinic.recorded() as sql:
            session.commit()
        assert sql == ["UPDATE patient SET name=? WHERE patient.id = ?"]


def test_attributes_that_all_changed_get_a_new_row_dek(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.commit()
        before = patient.twinlock_dek
        patient.diagnosis, patient.notes = "I48.1", "walks"
        with clinic.recorded() as sql:
            session.commit()
        assert len(sql) == 1
        assert patient.twinlock_dek != before
        assert clinic.read(patient, "diagnosis", "notes") == ["I48.1", "walks"]
        assert len(clinic.open(patient)) == 1


@pytest.mark.parametrize("first", ["diagnosis", "notes"])
def test_two_sessions_that_fill_different_attributes_lose_neither(
    first: str, clinic: Clinic
) -> None:
    with clinic.sessions() as session:
        session.add(Patient(name="Ada"))
        session.commit()
    maker = seal_with(sessionmaker(clinic.engine, expire_on_commit=False), clinic.vault)
    with maker() as one, maker() as other:
        rows = {"diagnosis": one.query(Patient).one(), "notes": other.query(Patient).one()}
        one.commit()
        other.commit()
        for name in (first, *(rows.keys() - {first})):
            setattr(rows[name], name, f"new {name}")
            (one if name == "diagnosis" else other).commit()
    with clinic.sessions() as session:
        patient = session.query(Patient).one()
        assert clinic.read(patient, "diagnosis", "notes") == ["new diagnosis", "new notes"]


def test_clearing_one_attribute_does_not_lose_another_that_a_session_filled_meanwhile(
    clinic: Clinic,
) -> None:
    with clinic.sessions() as session:
        session.add(Patient(diagnosis="I48.0"))
        session.commit()
    maker = seal_with(sessionmaker(clinic.engine, expire_on_commit=False), clinic.vault)
    with maker() as one, maker() as other:
        stale, patient = one.query(Patient).one(), other.query(Patient).one()
        one.commit()
        patient.diagnosis, patient.notes = "I48.1", "walks"
        other.commit()
        stale.diagnosis = None
        one.commit()
    with clinic.sessions() as session:
        assert clinic.read(session.query(Patient).one(), "diagnosis", "notes") == [None, "walks"]


def test_an_attribute_set_to_none_is_null_and_the_others_stay(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.commit()
        patient.diagnosis = None
        session.commit()
        assert clinic.read(patient, "diagnosis", "notes") == [None, "rests"]
        patient.notes = None
        session.commit()
    assert clinic.stored("patient", "diagnosis") == clinic.stored("patient", "notes") == [None]


def test_attributes_that_are_cleared_together_take_the_row_dek_with_them(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.commit()
        patient.diagnosis = patient.notes = None
        session.commit()
    assert clinic.stored("patient", "twinlock_dek") == [None]


def test_an_attribute_assigned_twice_has_the_last_value(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="first")
        patient.diagnosis = "second"
        session.add(patient)
        session.commit()
        patient.diagnosis = "third"
        patient.diagnosis = "fourth"
        session.commit()
        assert clinic.read(patient, "diagnosis") == ["fourth"]


def test_sealing_sends_no_query_of_its_own(clinic: Clinic) -> None:
    with clinic.sessions(expire_on_commit=False) as session:
        patients = [Patient(diagnosis=str(n), notes="x") for n in range(3)]
        session.add_all(patients)
        session.commit()
        for patient in patients:
            patient.diagnosis = "new"
            patient.name = "changed"
        with clinic.recorded() as sql:
            session.commit()
        assert {statement.split()[0] for statement in sql} == {"UPDATE"}


# --- changes that would lose values ---------------------------------------------------------


def change_key(visit: Visit) -> None:
    visit.number = "8"


def change_parent(visit: Visit) -> None:
    visit.unit_id = 2


def change_tenant(visit: Visit) -> None:
    visit.clinic = "south"


def change_version(visit: Visit) -> None:
    visit.sealed_version = 5


@pytest.mark.parametrize("change", [change_key, change_parent, change_tenant, change_version])
@pytest.mark.parametrize("expired", [False, True])
def test_a_row_that_moves_without_its_sealed_values_is_refused(
    change: Callable[[Visit], None], expired: bool, visits: Clinic
) -> None:
    with visits.sessions(expire_on_commit=False) as session:
        visit = Visit(unit=session.get_one(Unit, 1), number="7", finding="clear")
        session.add(visit)
        session.commit()
        if expired:
            session.expire(visit)
        change(visit)
        error = refused("sealed.moved", session.flush)
        assert "seal_again" in error.hint
        session.rollback()
        assert visits.read(visit, "finding") == ["clear"]


@pytest.mark.parametrize("change", [change_key, change_parent, change_tenant])
def test_a_row_moves_with_its_values_sealed_again(
    change: Callable[[Visit], None], visits: Clinic
) -> None:
    with visits.sessions() as session:
        visit = Visit(unit=session.get_one(Unit, 1), number="7", finding="clear", therapy="none")
        session.add(visit)
        session.commit()
        with visits.views(visit) as [view]:
            change(visit)
            seal_again(view)
        session.commit()
        assert visits.read(visit, "finding", "therapy") == ["clear", "none"]
        assert visit.sealed_version == 2


def test_a_value_that_equals_the_old_one_is_no_move(visits: Clinic) -> None:
    with visits.sessions() as session:
        visit = Visit(unit=session.get_one(Unit, 1), number="7", finding="clear")
        session.add(visit)
        session.commit()
        visit.clinic, visit.number = "north", "7"
        visit.remark = "something else"
        session.commit()
        assert visits.read(visit, "finding") == ["clear"]


def test_a_row_without_sealed_values_moves_freely(visits: Clinic) -> None:
    with visits.sessions() as session:
        visit = Visit(unit=session.get_one(Unit, 1), number="7", sealed_version=1)
        session.add(visit)
        session.commit()
        visit.number, visit.clinic, visit.remark = "8", "south", "urgent"
        assert visit.finding is None
        assert visit.therapy is None
        session.commit()


@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize("assigned", ["ward of the row", "property", "hybrid"])
def test_a_row_that_changes_groups_without_its_sealed_values_is_refused(
    assigned: str, expired: bool, visits: Clinic
) -> None:
    with visits.sessions(expire_on_commit=False) as session:
        room = Room(id=1, house="h", text="x", groups=None, ward="cardiology")
        visit = Visit(unit=session.get_one(Unit, 1), number="7", finding="clear")
        letter = Letter(summary="brief")
        session.add_all([room, visit, letter])
        session.commit()
        if expired:
            session.expire_all()
        if assigned == "ward of the row":
            room.ward = "emergency"
        elif assigned == "property":
            visit.remark = "urgent"
        else:
            letter.team = "emergency"
        error = refused("sealed.regrouped", session.flush)
        assert "seal_again" in error.hint


def test_a_row_changes_groups_with_its_values_sealed_again(clinic: Clinic) -> None:
    kim, weber = clinic.deployment.kim, clinic.deployment.weber
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0")
        session.add(patient)
        session.commit()
        with clinic.views(patient, member=kim) as [view]:
            assert view.diagnosis == "I48.0"
            patient.ward = "data-office"
            seal_again(view)
        session.commit()
        assert clinic.read(patient, "diagnosis") == ["I48.0"]  # weber is in emergency
        with pytest.raises(CallerError) as locked, clinic.views(patient, member=kim):
            pass
    assert locked.value.code == "record.no-lock"
    assert weber.name == "weber"


def test_a_new_parent_object_counts_as_a_change_of_groups(visits: Clinic) -> None:
    with visits.sessions() as session:
        visit = Visit(unit=session.get_one(Unit, 1), number="7", therapy="none")
        session.add(visit)
        session.commit()
        assert visit.unit.group == "cardiology"
        visit.unit = session.get_one(Unit, 2)
        refused("sealed.moved", session.flush)


def test_a_row_with_a_version_is_sealed_anew_as_a_whole(visits: Clinic) -> None:
    with visits.sessions() as session:
        visit = Visit(unit=session.get_one(Unit, 1), number="7", finding="clear", therapy="none")
        session.add(visit)
        session.commit()
        visit.finding = "unclear"
        refused("sealed.version", session.flush)
        session.rollback()
        visit.finding, visit.therapy = "unclear", "rest"
        session.commit()
        assert visit.sealed_version == 2
        visit.finding, visit.therapy, visit.sealed_version = "clear", "none", 9
        session.commit()
        assert visit.sealed_version == 9
        assert visits.read(visit, "finding", "therapy") == ["clear", "none"]
        visit.finding = None
        session.commit()
        assert visits.read(visit, "finding", "therapy") == [None, "none"]


# --- handles that were assigned -------------------------------------------------------------


@pytest.mark.parametrize("new", [False, True])
def test_a_sealed_value_of_another_row_is_refused(new: bool, clinic: Clinic) -> None:
    with clinic.sessions() as session:
        one = Patient(diagnosis="I48.0", notes="x")
        other = Patient(diagnosis="I48.1", notes="y")
        session.add_all([one, other])
        session.commit()
        if new:
            session.add(Patient(diagnosis=one.diagnosis))
        else:
            other.diagnosis = one.diagnosis
        refused("sealed.foreign", session.flush)


def test_a_sealed_value_of_another_attribute_is_refused(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="x")
        session.add(patient)
        session.commit()
        patient.notes = patient.diagnosis
        refused("sealed.foreign", session.flush)


def test_bytes_that_are_no_sealed_value_are_refused(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Patient(diagnosis=Sealed.from_bytes(b"plaintext")))
        refused("sealed.foreign", session.flush)


# --- what sessions do -----------------------------------------------------------------------


def test_a_new_row_that_was_rolled_back_can_be_added_again(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.flush()
        session.rollback()
        session.add(patient)
        patient.notes = "walks"
        session.commit()
        assert clinic.read(patient, "diagnosis", "notes") == ["I48.0", "walks"]
        key = patient.id
    with clinic.sessions() as session:
        assert session.get_one(Patient, key).diagnosis is not None


def test_a_rolled_back_row_that_gets_another_key_is_refused(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0")
        session.add(patient)
        session.flush()
        session.rollback()
        patient.id = uuid.uuid4()
        session.add(patient)
        refused("sealed.foreign", session.flush)


def test_a_rolled_back_row_that_is_for_other_groups_now_is_refused(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", ward="cardiology")
        session.add(patient)
        session.flush()
        session.rollback()
        patient.ward = "data-office"
        session.add(patient)
        error = refused("sealed.regrouped", session.flush)
        assert "plain value" in error.hint
        session.rollback()
        patient.diagnosis = "I48.0"
        session.add(patient)
        session.commit()
        [result] = clinic.open(patient, member=clinic.deployment.officer)
        assert result.ok


def test_a_flush_that_fails_in_the_database_leaves_sealed_values_only(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Chart(id=1, text="first"))
        session.commit()
    with clinic.sessions() as session:
        chart = Chart(id=1, text="second")
        session.add(chart)
        with pytest.raises(IntegrityError):
            session.flush()
        assert repr(chart.text) == "Sealed(redacted)"


def test_a_change_that_is_rolled_back_leaves_the_old_value(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0")
        session.add(patient)
        session.commit()
        patient.diagnosis = "I48.1"
        session.flush()
        session.rollback()
        assert clinic.read(patient, "diagnosis") == ["I48.0"]
        with session.begin_nested() as savepoint:
            patient.diagnosis = "I48.2"
            session.flush()
            savepoint.rollback()
        session.commit()
        assert clinic.read(patient, "diagnosis") == ["I48.0"]


def test_expiring_and_refreshing_drop_what_was_assigned(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0")
        session.add(patient)
        session.commit()
        for forget in (session.expire, session.refresh):
            patient.diagnosis = "I48.1"
            forget(patient)
            session.commit()
            assert clinic.read(patient, "diagnosis") == ["I48.0"]


def test_merging_a_transient_object_seals_its_values(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.commit()
        merged = session.merge(Patient(id=patient.id, diagnosis="I48.1"))
        assert merged is patient
        session.commit()
        assert clinic.read(patient, "diagnosis", "notes") == ["I48.1", "rests"]


def test_merging_a_detached_object_writes_what_changed_only(clinic: Clinic) -> None:
    with clinic.sessions(expire_on_commit=False) as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.commit()
        session.expunge(patient)
    patient.notes = "walks"
    with clinic.sessions() as session:
        merged = session.merge(patient)
        with clinic.recorded() as sql:
            session.commit()
        assert sql == ["UPDATE patient SET notes=? WHERE patient.id = ?"]
        assert clinic.read(merged, "diagnosis", "notes") == ["I48.0", "walks"]


def test_a_row_that_takes_the_place_of_a_deleted_one_keeps_nothing_of_it(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Chart(id=1, text="old", number=1))
        session.commit()
        session.delete(session.get_one(Chart, 1))
        new = Chart(id=1, text="new")
        session.add(new)
        session.commit()
        assert clinic.read(new, "text", "number") == ["new", None]


def test_a_detached_row_keeps_its_handles_and_is_opened_as_it_is(clinic: Clinic) -> None:
    with clinic.sessions(expire_on_commit=False) as session:
        patient = Patient(diagnosis="I48.0")
        session.add(patient)
        session.commit()
    assert clinic.read(patient, "diagnosis") == ["I48.0"]


def test_a_core_read_gives_handles(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Patient(diagnosis="I48.0"))
        session.commit()
    with clinic.engine.connect() as connection:
        [raw] = connection.scalars(select(Patient.__table__.c.diagnosis))
    assert isinstance(raw, Sealed)


def test_a_sealed_value_can_be_cleared_in_bulk_and_others_changed(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis="I48.0", notes="rests")
        session.add(patient)
        session.commit()
        session.execute(update(Patient).values(diagnosis=None, name="Ada"))
        session.commit()
        assert clinic.read(patient, "diagnosis", "notes", "name") == [None, "rests", "Ada"]


def test_a_default_that_needs_a_statement_is_refused_by_name() -> None:
    class Own(DeclarativeBase):
        pass

    class Note(Own):
        __tablename__ = "note"
        id: Mapped[str] = mapped_column(
            primary_key=True, default=lambda context: context.get_current_parameters()["kind"]
        )
        kind: Mapped[str]
        text: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")

    engine = engine_in_memory()
    Own.metadata.create_all(engine)
    with memory_vault() as deployment, sessionmaker(engine)() as session:
        seal_with(session, deployment.vault)
        session.add(Note(kind="x", text="I48.0"))
        error = refused("sealed.default", session.flush)
        assert "note.id" in error.message
        session.rollback()
        session.add(Note(id="n1", kind="x", text="I48.0"))
        session.flush()
