"""Sealed attributes on a page: FastAPI, the HTTP flow, and a member who releases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from tests.http.clinic import client_for
from tests.sqlalchemy.clinic import Clinic, Patient, clinic_on, counted
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.integrations.sqlalchemy import error_of, seal_with
from twinlock.testing import MemoryDeployment


class PatientOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    name: str
    diagnosis: str | None


def application(deployment: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(
        TwinlockMiddleware,
        vault=deployment.vault,
        session=lambda connection: connection.cookies.get("session"),
    )
    return app


def sync_application(clinic: Clinic) -> FastAPI:
    app = application(clinic.deployment)

    def db() -> Iterator[Session]:
        with clinic.sessions() as session:
            yield session

    @app.get("/patients")
    def patients(
        db: Session = Depends(db),
        release: Releases = Depends(releases(purpose="ward round")),
    ) -> list[PatientOut]:
        rows = db.scalars(select(Patient).order_by(Patient.name)).all()
        return [PatientOut.model_validate(view) for view in release.sync.opened(rows)]

    @app.get("/errors")
    def errors(
        db: Session = Depends(db), release: Releases = Depends(releases())
    ) -> list[str | None]:
        rows = db.scalars(select(Patient).order_by(Patient.name)).all()
        found = [error_of(view, "diagnosis") for view in release.sync.opened(rows)]
        return [None if error is None else error.code for error in found]

    return app


@pytest.fixture
def clinic(twinlock_deployment: MemoryDeployment, tmp_path: Path) -> Iterator[Clinic]:
    engine = create_engine(f"sqlite:///{tmp_path}/clinic.db")
    made = clinic_on(twinlock_deployment, engine)
    with made.sessions() as session:
        session.add_all([Patient(name="Ada", diagnosis="I48.0"), Patient(name="Bea")])
        session.commit()
    yield made
    engine.dispose()


def test_a_page_shows_what_a_member_released(clinic: Clinic) -> None:
    _, sizes = counted(clinic.vault)
    client = client_for(sync_application(clinic))
    assert client.get("/patients").status_code == 428
    with clinic.deployment.weber.releasing(client):
        assert client.get("/patients").json() == [
            {"name": "Ada", "diagnosis": "I48.0"},
            {"name": "Bea", "diagnosis": None},
        ]
    assert set(sizes) == {1}


def test_a_forged_row_is_an_error_of_that_row_alone(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Patient(name="Cleo", diagnosis="I50.1"))
        session.commit()
        handle = session.scalars(select(Patient.diagnosis).where(Patient.name == "Ada")).one()
        forged = update(Patient).where(Patient.name == "Cleo").values(diagnosis=handle)
        session.execute(forged)
        session.commit()
    client = client_for(sync_application(clinic))
    with clinic.deployment.weber.releasing(client):
        assert client.get("/errors").json() == [None, None, "format.malformed"]


def test_an_async_handler_shows_the_same(clinic: Clinic, tmp_path: Path) -> None:
    app = application(clinic.deployment)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/clinic.db")
    sessions = seal_with(async_sessionmaker(engine), clinic.vault)

    async def db() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    @app.get("/patients")
    async def patients(
        db: AsyncSession = Depends(db),
        release: Releases = Depends(releases(purpose="ward round")),
    ) -> list[PatientOut]:
        rows = (await db.scalars(select(Patient).order_by(Patient.name))).all()
        return [PatientOut.model_validate(view) for view in await release.opened(rows)]

    with client_for(app) as client, clinic.deployment.weber.releasing(client):
        assert [row["diagnosis"] for row in client.get("/patients").json()] == ["I48.0", None]
        client.portal.call(engine.dispose)


class OtherBase(DeclarativeBase):
    pass


class OtherMapper(OtherBase):
    """A class with a row source of its own, that seals nothing by itself."""

    __tablename__ = "other"
    id: Mapped[int] = mapped_column(primary_key=True)

    def __twinlock_row__(self) -> Any:
        raise AssertionError


def test_classes_with_a_row_source_of_their_own_are_left_alone(clinic: Clinic) -> None:
    OtherBase.metadata.create_all(clinic.engine)
    with sessionmaker(clinic.engine)() as session:
        session.add(OtherMapper(id=1))
        session.execute(update(OtherMapper).values(id=2))
        assert session.scalars(select(OtherMapper.id)).all() == [2]
