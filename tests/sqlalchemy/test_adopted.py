"""Mapped classes over a table that is being adopted: legacy, rewrapped and native values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import Engine, create_engine, make_url, select, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    configure_mappers,
    defer,
    mapped_column,
    sessionmaker,
)

from bench.legacy import diagnosis_of, notes_of
from tests.adopt.world import Place, place_at
from tests.http.clinic import client_for
from tests.server.world import World, world_on_softhsm
from tests.store.conftest import postgres_admin, postgres_schema_url, postgres_url
from tests.token.rigs import init_softhsm
from twinlock import AsyncVault, CallerError
from twinlock.adopt.layout import LegacyLayout
from twinlock.adopt.rollback import rollback_table
from twinlock.adopt.settings import Mode, Source
from twinlock.core.membership import ColumnState
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.integrations.rows import OpenedScope, legacy_batches, row_source
from twinlock.integrations.sqlalchemy import (
    Sealed,
    SealedTable,
    SealedUseError,
    error_of,
    opened_rows,
    seal_again,
    seal_with,
    sealed_column,
    sealed_items,
)

__all__ = ["postgres_admin", "postgres_schema_url", "postgres_url"]


def patient_class(name: str, layout: Any, dek: str = "twinlock_dek") -> Any:
    """The application's class over the old table, with sealed attributes in the new columns."""

    class Base(DeclarativeBase):
        pass

    class Patient(Base):
        __tablename__ = "patients"
        __twinlock__ = SealedTable(
            table=name, dek=dek, to=lambda p: ("cardiology", "emergency"), adopted=layout
        )
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        ward: Mapped[str | None]
        revision: Mapped[int] = mapped_column(default=0)
        key_name: Mapped[str] = mapped_column(default="")
        wrapped_dek: Mapped[bytes] = mapped_column(default=b"")
        diagnosis_ct: Mapped[bytes | None]
        diagnosis_nonce: Mapped[bytes | None]
        diagnosis_tag: Mapped[bytes | None]
        notes_ct: Mapped[bytes | None]
        diagnosis: Mapped[Sealed[str] | None] = sealed_column("diagnosis_sealed")
        notes: Mapped[Sealed[str] | None] = sealed_column("notes_sealed")

    return Patient


@dataclass
class Adopting:
    """An old application's table, the class mapped to it, and sessions that seal."""

    place: Place
    patient: Any
    engine: Engine
    sessions: sessionmaker[Session]

    @property
    def world(self) -> World:
        return self.place.world

    def rows(self, session: Session) -> list[Any]:
        return list(session.scalars(select(self.patient).order_by(self.patient.id)))

    def opened(self, rows: list[Any]) -> Any:
        return opened_rows(rows, self.world.vault, self.world.weber.release)

    def said(self) -> list[tuple[Any, Any]]:
        with self.sessions() as session, self.opened(self.rows(session)) as views:
            return [(view.diagnosis, view.notes) for view in views]

    def one(self, number: int) -> dict[str, Any]:
        [row] = self.place.rows(f"id = {number}")
        return row


@pytest.fixture(scope="module")
def world(softhsm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    uri = init_softhsm("sqlalchemy adoption tests")
    with world_on_softhsm(tmp_path_factory.mktemp("deployment"), uri) as made:
        yield made


@contextmanager
def adopting_at(world: World, folder: Path, url: str, rows: int = 4) -> Iterator[Adopting]:
    with place_at(world, folder, url, rows=rows) as place:
        place.sign()
        place.site.use_legacy()
        layout = place.table.layout
        patient = patient_class(layout.table.name, lambda: layout)
        address = make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        engine = create_engine(address)
        yield Adopting(place, patient, engine, seal_with(sessionmaker(engine), world.vault))
        engine.dispose()


@pytest.fixture
def adopting(world: World, tmp_path: Path) -> Iterator[Adopting]:
    (tmp_path / "app.db").touch()
    with adopting_at(world, tmp_path, f"sqlite:///{tmp_path}/app.db") as made:
        yield made


def expected(count: int = 4, revision: int = 0) -> list[tuple[str, str]]:
    return [(diagnosis_of(n, revision), notes_of(n, revision)) for n in range(1, count + 1)]


def nobody(_request: object) -> bytes:
    raise AssertionError


# --- reading --------------------------------------------------------------------------------


def test_legacy_rows_are_opened_in_one_call_and_nobody_is_asked(adopting: Adopting) -> None:
    vault = adopting.world.vault
    sizes: list[int] = []
    open_legacy = vault.open_legacy

    def counting(items: Any) -> Any:
        sizes.append(len(items))
        return open_legacy(items)

    vault.open_legacy = counting  # type: ignore[method-assign]
    try:
        with adopting.sessions() as session:
            rows = adopting.rows(session)
            assert [repr(row.diagnosis) for row in rows] == ["Sealed(redacted)"] * 4
            assert sealed_items(rows) == []
            with opened_rows(rows, vault, nobody) as views:
                assert [(view.diagnosis, view.notes) for view in views] == expected()
    finally:
        del vault.open_legacy  # type: ignore[method-assign]
    assert sizes == [4]


@pytest.mark.parametrize("mode", list(Mode))
def test_adopted_rows_are_opened_with_a_members_release(mode: Mode, adopting: Adopting) -> None:
    adopting.place.run(mode)
    with adopting.sessions() as session:
        rows = adopting.rows(session)
        assert len(sealed_items(rows)) == 4
        with adopting.opened(rows) as views:
            assert [(view.diagnosis, view.notes) for view in views] == expected()


def test_a_page_may_hold_rows_of_every_level(adopting: Adopting) -> None:
    adopting.place.run(Mode.REWRAP)
    adopting.place.old.update(1, 1)  # legacy again
    with adopting.sessions() as session:
        rows = adopting.rows(session)
        rows[1].diagnosis = "partly native"
        rows[2].diagnosis, rows[2].notes = "native", "native too"
        session.commit()
        assert rows[1].notes is not None
    assert adopting.said() == [
        expected(1, revision=1)[0],
        ("partly native", notes_of(2, 0)),
        ("native", "native too"),
        expected()[3],
    ]
    heads = [bytes(row["twinlock_dek"] or b"")[:3] for row in adopting.place.rows()]
    # Each native value has a DEK of its own, by which `adopt rollback` knows it.
    assert heads == [b"", b"TWA", b"TWA", b"TWA"]
    assert bytes(adopting.one(2)["diagnosis_sealed"]).startswith(b"TWL")
    assert bytes(adopting.one(3)["diagnosis_sealed"]).startswith(b"TWL")


def test_a_new_write_leaves_the_old_columns_as_they_are(adopting: Adopting) -> None:
    before = adopting.one(1)
    with adopting.sessions() as session:
        row = adopting.rows(session)[0]
        row.diagnosis = "native"
        session.commit()
    after = adopting.one(1)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"diagnosis_sealed"}
    assert adopting.said()[0] == ("native", notes_of(1, 0))


def test_rows_of_the_new_application_are_native(adopting: Adopting) -> None:
    with adopting.sessions() as session:
        session.add(adopting.patient(id=9, ward="3B", diagnosis="new"))
        session.commit()
    assert adopting.said()[-1] == ("new", None)


def test_after_the_cut_over_legacy_values_are_refused_by_name_and_the_others_open(
    adopting: Adopting,
) -> None:
    adopting.place.run(Mode.REWRAP)
    old = adopting.one(1)
    adopting.place.execute("UPDATE patients SET twinlock_dek = NULL WHERE id = 1")
    adopting.place.sign(ColumnState.CUT_OVER)
    with adopting.sessions() as session, adopting.opened(adopting.rows(session)) as views:
        for name in ("diagnosis", "notes"):
            error = error_of(views[0], name)
            assert error is not None
            assert error.code == "legacy.cut-over"
        assert [view.diagnosis for view in views[1:]] == [d for d, _ in expected()[1:]]
    assert old["twinlock_dek"] is not None


def test_a_vault_that_was_told_of_no_old_data_says_so(adopting: Adopting) -> None:
    with adopting.world.another_vault() as other, adopting.sessions() as session:
        rows = adopting.rows(session)
        rows[1].diagnosis = "native"
        session.commit()
        with opened_rows(rows, other, adopting.world.weber.release) as views:
            with pytest.raises(CallerError) as refused:
                _ = views[0].diagnosis
            assert refused.value.code == "legacy.not-configured"
            assert views[1].diagnosis == "native"


def test_a_damaged_old_row_is_an_error_and_the_others_open(adopting: Adopting) -> None:
    adopting.place.execute("UPDATE patients SET notes_ct = X'00' WHERE id = 1")
    adopting.place.execute("UPDATE patients SET key_name = 'unknown' WHERE id = 2")
    adopting.place.execute("UPDATE patients SET diagnosis_nonce = NULL WHERE id = 3")
    with adopting.sessions() as session, adopting.opened(adopting.rows(session)) as views:
        codes = [
            None if error is None else error.code
            for error in (error_of(view, "diagnosis") for view in views)
        ]
    assert codes == ["legacy.cell", "legacy.unknown-key", "adopt.malformed", None]


def test_old_columns_that_are_not_loaded_say_so(adopting: Adopting) -> None:
    patient = adopting.patient
    with adopting.sessions() as session:
        query = select(patient).options(defer(patient.diagnosis_tag)).order_by(patient.id)
        with adopting.opened(list(session.scalars(query))) as views:
            error = error_of(views[0], "diagnosis")
        assert error is not None
        assert error.code == "sealed.not-loaded"


def test_items_that_nobody_opened_are_an_error_and_not_none(adopting: Adopting) -> None:
    with adopting.sessions() as session, OpenedScope() as scope:
        source = row_source(adopting.rows(session)[0])
        view = source.view([], scope)
        error = error_of(view, "diagnosis")
        assert error is not None
        assert error.code == "sealed.not-adopted"
        assert [len(batch.items) for batch in legacy_batches([source])] == [1]


def test_an_async_vault_opens_every_level_too(adopting: Adopting) -> None:
    adopting.place.run(Mode.REWRAP)
    adopting.place.old.update(1, 1)

    async def main(rows: list[Any]) -> list[Any]:
        vault = AsyncVault(adopting.world.vault)
        async with opened_rows(rows, vault, adopting.world.weber.release) as views:
            return [view.diagnosis for view in views]

    with adopting.sessions() as session:
        said = asyncio.run(main(adopting.rows(session)))
    assert said == [diagnosis_of(1, 1), *(d for d, _ in expected()[1:])]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_page_over_http_shows_every_level(asynchronous: bool, adopting: Adopting) -> None:
    adopting.place.run(Mode.REWRAP)
    adopting.place.old.update(1, 1)
    app = FastAPI()
    app.add_middleware(
        TwinlockMiddleware,
        vault=adopting.world.vault,
        session=lambda connection: connection.cookies.get("session"),
    )

    def load() -> Iterator[list[Any]]:
        with adopting.sessions() as session:
            yield adopting.rows(session)

    @app.get("/sync")
    def sync(rows: Any = Depends(load), release: Releases = Depends(releases())) -> list[str]:
        return [view.diagnosis for view in release.sync.opened(rows)]

    @app.get("/async")
    async def beside(
        rows: Any = Depends(load), release: Releases = Depends(releases())
    ) -> list[str]:
        return [view.diagnosis for view in await release.opened(rows)]

    client = client_for(app)
    with adopting.world.weber.releasing(client):
        answer = client.get("/async" if asynchronous else "/sync")
    assert answer.json() == [diagnosis_of(1, 1), *(d for d, _ in expected()[1:])]
    assert answer.headers["cache-control"] == "no-store"


# --- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize("rewrapped", [False, True])
def test_an_old_value_that_is_set_to_none_is_gone(rewrapped: bool, adopting: Adopting) -> None:
    if rewrapped:
        adopting.place.run(Mode.REWRAP)
    with adopting.sessions() as session:
        row = adopting.rows(session)[0]
        row.diagnosis = None
        session.commit()
        assert row.diagnosis is None
        assert row.notes is not None
    assert adopting.said()[0] == (None, notes_of(1, 0))
    assert adopting.one(1)["diagnosis_ct"] is None
    assert (adopting.one(1)["twinlock_dek"] is None) is not rewrapped


def test_a_bulk_update_does_not_bring_an_old_value_back(adopting: Adopting) -> None:
    patient = adopting.patient
    with adopting.sessions() as session:
        adopting.rows(session)[0].diagnosis = "I48.1"
        session.commit()
        by_key = [{"id": 1, "diagnosis": None}]
        for clear, given in (
            (update(patient).values(diagnosis=None), None),
            (update(patient), by_key),
        ):
            with pytest.raises(CallerError) as refused:
                session.execute(clear, given)
            assert refused.value.code == "sealed.old-value"
        session.execute(update(patient).values(diagnosis=None, diagnosis_ct=None))
        session.commit()
    assert adopting.said()[0] == (None, notes_of(1, 0))


@pytest.mark.parametrize("mode", [Mode.REWRAP, Mode.RESEAL])
def test_what_was_written_since_the_adoption_survives_taking_that_back(
    mode: Mode, adopting: Adopting
) -> None:
    adopting.place.run(mode)
    with adopting.sessions() as session:
        row = adopting.rows(session)[0]
        row.diagnosis, row.notes = "I48.1", "walks"
        session.commit()
    result = rollback_table(adopting.place.site.database, adopting.place.table)
    assert result.kept == ["1"]
    assert adopting.said()[0] == ("I48.1", "walks")


def test_a_save_of_something_else_writes_nothing_of_old_values(adopting: Adopting) -> None:
    before = adopting.one(1)
    with adopting.sessions() as session:
        row = adopting.rows(session)[0]
        same = row.diagnosis
        row.diagnosis = same
        row.revision = 5
        session.commit()
        session.refresh(row)
        session.expire(row, ["diagnosis"])
        assert repr(row.diagnosis) == "Sealed(redacted)"
    after = adopting.one(1)
    assert {name for name in after if after[name] != before[name]} == {"revision"}


@pytest.mark.parametrize("change", ["id", "ward"])
def test_what_old_values_depend_on_stays_until_they_are_sealed_again(
    change: str, adopting: Adopting
) -> None:
    adopting.place.run(Mode.REWRAP)
    with adopting.sessions() as session:
        row = adopting.rows(session)[0]
        setattr(row, change, {"id": 77, "ward": "4A" if row.ward == "3B" else "3B"}[change])
        with pytest.raises(CallerError) as refused:
            session.flush()
        assert refused.value.code == "sealed.moved"
        session.rollback()
        with adopting.opened([row]) as [view]:
            seal_again(view)
        session.commit()
        row.ward = "3B" if row.ward == "4A" else "4A"  # native now, and bound to the id alone
        session.commit()
    assert adopting.said()[0] == expected()[0]


def test_a_handle_of_an_old_value_is_no_value_and_stays_in_its_row(adopting: Adopting) -> None:
    with adopting.sessions() as session:
        one, other, *_ = adopting.rows(session)
        for use in (
            lambda: one.diagnosis == "x",
            lambda: str(one.diagnosis),
            one.diagnosis.to_bytes,
        ):
            with pytest.raises(SealedUseError):
                use()
        with pytest.raises(CallerError) as refused:
            other.diagnosis = one.diagnosis
        assert refused.value.code == "sealed.foreign"
        one.diagnosis = "native"
        session.flush()
        assert session.merge(one) is one


def test_old_values_are_not_part_of_sql_either(adopting: Adopting) -> None:
    with adopting.sessions() as session:
        query = select(adopting.patient.id).where(adopting.patient.diagnosis.is_(None))
        assert len(session.scalars(query).all()) == 4


# --- declarations ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: replace(settings, name="another"),
        lambda settings: replace(settings, target="elsewhere"),
        lambda settings: replace(settings, dek="unmapped"),
        lambda settings: replace(
            settings, columns=(replace(settings.columns[0], target="elsewhere"),)
        ),
    ],
    ids=["name", "head", "dek", "cell"],
)
def test_a_class_that_does_not_fit_adopt_toml_is_refused(
    change: Callable[[Any], Any], adopting: Adopting
) -> None:
    settings = adopting.place.table.settings
    made = patient_class(settings.name, LegacyLayout(change(settings)))
    with pytest.raises(CallerError) as refused:
        configure_mappers()
    assert refused.value.code == "sealed.declaration"
    made.registry.dispose()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"source": Source.PLAINTEXT}, "sealed.not-adopted"),
        ({"version": "revision"}, "sealed.declaration"),
    ],
)
def test_what_a_view_cannot_read_of_an_old_row_is_an_error(
    change: dict[str, Any], code: str, adopting: Adopting
) -> None:
    settings = replace(adopting.place.table.settings, **change)
    patient = patient_class(settings.name, LegacyLayout(settings))
    with adopting.sessions() as session:
        rows = list(session.scalars(select(patient)))
        with adopting.opened(rows) as views:
            error = error_of(views[0], "diagnosis")
        assert error is not None
        assert error.code == code
    patient.registry.dispose()


def test_every_level_works_on_postgresql(
    world: World, tmp_path: Path, postgres_schema_url: str
) -> None:
    with ExitStack() as stack:
        made = stack.enter_context(adopting_at(world, tmp_path, postgres_schema_url))
        assert made.said() == expected()
        made.place.run(Mode.REWRAP)
        made.place.old.update(1, 1)
        with made.sessions() as session:
            rows = made.rows(session)
            rows[1].notes = None
            rows[2].diagnosis = "native"
            session.commit()
        assert made.said() == [
            expected(1, revision=1)[0],
            (diagnosis_of(2, 0), None),
            ("native", notes_of(3, 0)),
            expected()[3],
        ]
