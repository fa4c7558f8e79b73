"""No database connection is held while a person decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends
from sqlalchemy import LargeBinary, create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from tests.http.clinic import Clinic, PatientSource, Talk, client_for, code, context_of
from twinlock import Context
from twinlock.integrations.fastapi import Releases, releases


class Base(DeclarativeBase):
    pass


class StoredPatient(Base):
    """A mapped row with a source of its own."""

    __tablename__ = "patient"
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stored: Mapped[bytes] = mapped_column(LargeBinary)

    @property
    def context(self) -> Context:
        return context_of(self.number)

    def __twinlock_row__(self) -> PatientSource:
        return PatientSource(self)  # type: ignore[arg-type]


@pytest.fixture
def database(clinic: Clinic, tmp_path: Path) -> Path:
    """A database with the clinic's patients."""
    path = tmp_path / "clinic.db"
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        for patient in clinic.patients:
            session.add(
                StoredPatient(number=patient.number, name=patient.name, stored=patient.stored)
            )
    engine.dispose()
    return path


class OnePool:
    """An application on a pool of one connection; ``checked_out`` says how many are in use."""

    def __init__(self, clinic: Clinic, path: Path, *, asynchronous: bool) -> None:
        self.app = clinic.application()
        make = self._async if asynchronous else self._sync
        make(f"{path}")

    def _sync(self, path: str) -> None:
        self.engine = create_engine(
            f"sqlite:///{path}", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=1
        )
        sessions = sessionmaker(self.engine)
        self.pool = self.engine.pool

        def db() -> Iterator[Session]:
            with sessions() as session:
                yield session

        @self.app.get("/patients")
        def patients(
            db: Session = Depends(db), release: Releases = Depends(releases())
        ) -> list[Any]:
            rows = db.scalars(select(StoredPatient).order_by(StoredPatient.number)).all()
            return [view.shown() for view in release.sync.opened(rows)]

        @self.app.get("/names")
        def names(db: Session = Depends(db)) -> list[str]:
            return list(db.scalars(select(StoredPatient.name)))

    def _async(self, path: str) -> None:
        self.engine = create_async_engine(  # type: ignore[assignment]
            f"sqlite+aiosqlite:///{path}",
            poolclass=AsyncAdaptedQueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=1,
        )
        sessions = async_sessionmaker(self.engine)  # type: ignore[call-overload]
        self.pool = self.engine.pool

        async def db() -> AsyncIterator[AsyncSession]:
            async with sessions() as session:
                yield session

        @self.app.get("/patients")
        async def patients(
            db: AsyncSession = Depends(db), release: Releases = Depends(releases())
        ) -> list[Any]:
            rows = (await db.scalars(select(StoredPatient).order_by(StoredPatient.number))).all()
            return [view.shown() for view in await release.opened(rows)]

        @self.app.get("/names")
        async def names(db: AsyncSession = Depends(db)) -> list[str]:
            return list(await db.scalars(select(StoredPatient.name)))

    @property
    def checked_out(self) -> int:
        return self.pool.checkedout()  # type: ignore[no-any-return, attr-defined]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_connection_is_back_in_the_pool_while_the_person_decides(
    clinic: Clinic, database: Path, asynchronous: bool
) -> None:
    """R-HTTP-13."""
    one = OnePool(clinic, database, asynchronous=asynchronous)
    with client_for(one.app) as client:
        talk = Talk(client, "/patients", clinic.weber)
        asked = client.get("/patients")
        assert code(asked) == (428, "http.release-needed")
        assert one.checked_out == 0
        bundle = talk.hello(asked).content
        assert client.get("/names").json() == ["Ada", "Ben"]
        assert talk.release(asked, bundle).json()[0] == {"name": "Ada", "diagnosis": "I48.0"}
        assert one.checked_out == 0
        if asynchronous:
            client.portal.call(one.engine.dispose)
        else:
            one.engine.dispose()
