"""Classes that share, inherit or generate what is sealed, and declarations that cannot work."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from sqlalchemy import ForeignKey, event, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    configure_mappers,
    mapped_column,
    registry,
    with_polymorphic,
)

from tests.sqlalchemy.clinic import Clinic, clinic_on, engine_in_memory
from twinlock import CallerError
from twinlock.integrations.sqlalchemy import (
    Codec,
    Sealed,
    SealedTable,
    seal_again,
    sealed_column,
    sealed_items,
)
from twinlock.testing import MemoryDeployment

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Base(DeclarativeBase):
    pass


class Upper:
    """A codec of the application's own."""

    def encode(self, value: Any) -> bytes:
        return str(value).upper().encode()

    def decode(self, data: bytes) -> str:
        return data.decode()


class Noted:
    """A mixin."""

    note: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")


class Signed:
    """Another one."""

    signature: Mapped[Sealed[bytes] | None] = sealed_column(to="cardiology")


class Person(Noted, Base):
    """Joined inheritance; the root has sealed attributes, and so have the classes below."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012


class Doctor(Person):
    __tablename__ = "doctor"
    id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    license: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")
    __mapper_args__ = {"polymorphic_identity": "doctor"}  # noqa: RUF012


class Surgeon(Doctor):
    """Single inheritance below a joined class."""

    knife: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")
    __mapper_args__ = {"polymorphic_identity": "surgeon"}  # noqa: RUF012


class Thing(Base):
    """Single inheritance; the root seals nothing, its children do."""

    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}  # noqa: RUF012


class Pump(Thing):
    serial: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")
    __mapper_args__ = {"polymorphic_identity": "pump"}  # noqa: RUF012


class Bed(Thing, Signed):
    room: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")
    __mapper_args__ = {"polymorphic_identity": "bed"}  # noqa: RUF012


class Both(Noted, Signed, Base):
    """Two mixins with sealed attributes."""

    __tablename__ = "both"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)


class Renamed(Base):
    """Everything has another name than it would have by itself."""

    __tablename__ = "renamed_today"
    __twinlock__ = SealedTable(table="before", dek="wrapped", to="cardiology")
    id: Mapped[int] = mapped_column("key", primary_key=True, autoincrement=False)
    now: Mapped[Sealed[str] | None] = sealed_column("now_sql", column="then", codec=Upper())
    unknown: ClassVar[Unknown]
    typed: Mapped[Sealed[int] | None] = sealed_column(comment="a number", info={"own": 1})


class Required(Base):
    """NOT NULL, and declared without an annotation."""

    __tablename__ = "required"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    must: Mapped[Sealed[str]] = sealed_column(to="cardiology")
    may = sealed_column(to="cardiology", codec=Upper())


class DataBase(MappedAsDataclass, DeclarativeBase):
    pass


class Record(DataBase):
    __tablename__ = "record"
    id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, default_factory=uuid.uuid4, kw_only=True
    )
    text: Mapped[Sealed[str]] = sealed_column(to="cardiology")
    more: Mapped[Sealed[str] | None] = sealed_column(to="cardiology", default=None)


@pytest.fixture
def clinic(twinlock_deployment: MemoryDeployment) -> Any:
    engine = engine_in_memory()
    made = clinic_on(twinlock_deployment, engine, Base)
    yield made
    engine.dispose()


@pytest.fixture
def session(clinic: Clinic) -> Any:
    with clinic.sessions() as session:
        yield session


def saved(session: Session, row: Any) -> Any:
    session.add(row)
    session.commit()
    session.expunge_all()
    return session.scalars(select(type(row))).one()


def columns(kind: type) -> list[str]:
    return list(kind.__table__.columns.keys())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("row", "values"),
    [
        (Person(id=1, note="n"), {"note": "n"}),
        (Doctor(id=1, note="n", license="l"), {"note": "n", "license": "l"}),
        (Surgeon(id=1, license="l", knife="k"), {"note": None, "license": "l", "knife": "k"}),
        (Pump(id=1, serial="s"), {"serial": "s"}),
        (Bed(id=1, room="r", signature=b"s"), {"room": "r", "signature": b"s"}),
        (Both(note="n", signature=b"s"), {"note": "n", "signature": b"s"}),
        (Renamed(id=1, now="now", typed=4), {"now": "NOW", "typed": 4}),
        (Required(id=1, must="m", may="x"), {"must": "m", "may": "X"}),
    ],
    ids=lambda row: type(row).__name__,
)
def test_a_row_of_every_kind_of_class_is_sealed_under_one_dek_and_opened(
    row: Any, values: dict[str, Any], session: Session, clinic: Clinic
) -> None:
    found = saved(session, row)
    assert len(sealed_items([found])) == 1
    assert dict(zip(values, clinic.read(found, *values), strict=True)) == values


def test_each_hierarchy_has_one_wrapped_dek_in_the_table_of_its_first_sealed_class() -> None:
    assert columns(Person) == ["id", "kind", "note", "twinlock_dek"]
    assert columns(Doctor) == ["id", "license", "knife"]
    assert [name for name in columns(Thing) if "dek" in name] == ["twinlock_dek"]
    assert columns(Both)[1:] == ["note", "twinlock_dek", "signature"]
    assert columns(Renamed) == ["key", "now_sql", "typed", "wrapped"]


def test_a_hierarchy_has_one_table_name_in_its_contexts(session: Session) -> None:
    found = saved(session, Surgeon(id=1, license="l", knife="k"))
    [(context, stored)] = sealed_items([found])
    assert context.table == "person"
    assert sorted(stored.cells) == ["knife", "license"]  # type: ignore[union-attr]


def test_a_row_loaded_as_its_base_class_opens_what_is_loaded(
    session: Session, clinic: Clinic
) -> None:
    session.add(Doctor(id=1, note="n", license="l"))
    session.commit()
    session.expunge_all()
    person = session.scalars(select(Person)).one()
    assert clinic.read(person, "note") == ["n"]
    session.expunge_all()
    person = session.scalars(select(with_polymorphic(Person, [Doctor]))).one()
    assert clinic.read(person, "note", "license") == ["n", "l"]


def test_values_of_an_inherited_attribute_are_watched_once_in_every_class(
    session: Session, clinic: Clinic
) -> None:
    doctor = saved(session, Doctor(id=1, note="n", license="l"))
    doctor.note = "changed"
    with clinic.recorded() as sql:
        session.commit()
    assert [statement.split(" WHERE")[0] for statement in sql if "UPDATE" in statement] == [
        "UPDATE person SET note=?"
    ]
    assert clinic.read(doctor, "note", "license") == ["changed", "l"]


def test_names_in_contexts_are_the_declared_ones(session: Session) -> None:
    [(context, stored)] = sealed_items([saved(session, Renamed(id=1, now="x", typed=1))])
    assert context.table == "before"
    assert set(stored.cells) == {"then", "typed"}  # type: ignore[union-attr]


def test_annotations_decide_whether_null_is_allowed() -> None:
    table: Any = Required.__table__
    assert not table.c.must.nullable
    assert table.c.may.nullable


def test_options_of_the_column_arrive() -> None:
    column: Any = Renamed.__table__.c.typed  # type: ignore[attr-defined]
    assert column.comment == "a number"
    assert column.info["own"] == 1


def test_codecs_are_protocols() -> None:
    codec: Codec = Upper()
    assert codec.encode("x") == b"X"


def test_mapped_dataclasses_take_sealed_fields(twinlock_deployment: MemoryDeployment) -> None:
    clinic = clinic_on(twinlock_deployment, engine_in_memory(), DataBase)
    record = Record(Sealed("x"))
    assert repr(record).endswith("text=Sealed(to be sealed), more=None)")
    with clinic.sessions() as session:
        session.add(record)
        session.commit()
        assert clinic.read(record, "text", "more") == ["x", None]
        record.more = Sealed("y")
        session.commit()
        assert clinic.read(record, "text", "more") == ["x", "y"]
    clinic.engine.dispose()


def test_classes_mapped_by_a_decorator_work(twinlock_deployment: MemoryDeployment) -> None:
    mapping = registry()

    @mapping.mapped
    class Decorated:
        __tablename__ = "decorated"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        text: Mapped[Sealed[str]] = sealed_column(to="cardiology")

    engine = engine_in_memory()
    clinic = Clinic(twinlock_deployment, engine, None)  # type: ignore[arg-type]
    mapping.metadata.create_all(engine)
    from sqlalchemy.orm import sessionmaker

    from twinlock.integrations.sqlalchemy import seal_with

    with seal_with(sessionmaker(engine), clinic.vault)() as session:
        row = Decorated(id=1, text="x")  # type: ignore[call-arg]
        session.add(row)
        session.commit()
        assert clinic.read(row, "text") == ["x"]
    engine.dispose()


def test_a_validator_of_the_application_sees_what_is_assigned(
    session: Session, clinic: Clinic
) -> None:
    seen: list[Any] = []

    def look(_row: Any, value: Any, *_: Any) -> None:
        seen.append(value)

    event.listen(Person.note, "set", look)
    try:
        saved(session, Person(id=1, note="n"))
    finally:
        event.remove(Person.note, "set", look)
    assert all(value is None or isinstance(value, Sealed) for value in seen)


def test_sealing_a_hierarchys_row_again_seals_all_of_it(session: Session, clinic: Clinic) -> None:
    surgeon = saved(session, Surgeon(id=1, note="n", license="l", knife="k"))
    before = surgeon.twinlock_dek
    with clinic.views(surgeon) as [view]:
        seal_again(view)
    session.commit()
    assert surgeon.twinlock_dek != before
    assert clinic.read(surgeon, "note", "license", "knife") == ["n", "l", "k"]


# --- declarations that cannot work ----------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"default": "x"},
        {"insert_default": "x"},
        {"server_default": "x"},
        {"onupdate": "x"},
        {"index": True},
        {"unique": True},
        {"primary_key": True},
        {"active_history": True},
    ],
)
def test_an_option_that_needs_plaintext_in_the_database_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CallerError) as refused:
        sealed_column(to="cardiology", **options)
    assert refused.value.code == "sealed.declaration"
    assert next(iter(options)) in str(refused.value)


def without_groups(base: Any) -> None:
    class NoGroups(base):
        __tablename__ = "no_groups"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[Sealed[str]] = sealed_column()


def with_an_unknown_tenant(base: Any) -> None:
    class UnknownTenant(base):
        __tablename__ = "unknown_tenant"
        __twinlock__ = SealedTable(tenant="house", to="cardiology")
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[Sealed[str]] = sealed_column()


def with_an_unknown_record(base: Any) -> None:
    class UnknownRecord(base):
        __tablename__ = "unknown_record"
        __twinlock__ = SealedTable(record=("id", "none"), to="cardiology")
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[Sealed[str]] = sealed_column()


def with_a_counted_version(base: Any) -> None:
    class Counted(base):
        __tablename__ = "counted"
        __twinlock__ = SealedTable(version="version", to="cardiology")
        id: Mapped[int] = mapped_column(primary_key=True)
        version: Mapped[int] = mapped_column()
        text: Mapped[Sealed[str]] = sealed_column()
        __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


def with_a_type_without_codec(base: Any) -> None:
    class NoCodec(base):
        __tablename__ = "no_codec"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[Sealed[float]] = sealed_column(to="cardiology")


def without_an_annotation(base: Any) -> None:
    class NoAnnotation(base):
        __tablename__ = "no_annotation"
        id: Mapped[int] = mapped_column(primary_key=True)
        text = sealed_column(to="cardiology")


@pytest.mark.parametrize(
    ("declare", "code"),
    [
        (without_groups, "sealed.declaration"),
        (with_an_unknown_tenant, "sealed.declaration"),
        (with_an_unknown_record, "sealed.declaration"),
        (with_a_counted_version, "sealed.declaration"),
        (with_a_type_without_codec, "sealed.codec"),
        (without_an_annotation, "sealed.codec"),
    ],
)
def test_a_class_that_cannot_be_sealed_is_refused_when_mappers_are_configured(
    declare: Callable[[Any], None], code: str
) -> None:
    class Own(DeclarativeBase):
        pass

    declare(Own)
    with pytest.raises(CallerError) as refused:
        configure_mappers()
    assert refused.value.code == code
    Own.registry.dispose()


def test_a_class_that_declares_its_dek_column_itself_seals_like_any_other(
    twinlock_deployment: MemoryDeployment,
) -> None:
    class Own(DeclarativeBase):
        pass

    class Case(Own):
        __tablename__ = "case_file"

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        twinlock_dek: Mapped[bytes | None] = mapped_column(default=None)
        note: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")

    engine = engine_in_memory()
    clinic = clinic_on(twinlock_deployment, engine, Own)
    with clinic.sessions() as session:
        case = Case(id=1, note="rests")
        session.add(case)
        session.commit()
        assert clinic.read(case, "note") == ["rests"]
    engine.dispose()
