"""The application that is measured: a page of 50 patients, in clear and sealed, on PostgreSQL.

Run as ``python -m bench.web_app FOLDER``: FOLDER holds a deployment, TWINLOCK_TEST_POSTGRES_URL
names the database. Prints the port that it listens on, and serves until it is ended.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.integrations.sqlalchemy import Sealed, SealedTable, seal_with, sealed_column
from twinlock.server.config import load_config
from twinlock.server.vault import Vault

PAGE: Final = 50
PAGES: Final = 20
SESSIONS: Final = 2
URL: Final = "TWINLOCK_TEST_POSTGRES_URL"


class Base(DeclarativeBase):
    """The benchmark's tables."""


class PlainPatient(Base):
    """A patient as everybody who reads the database sees one."""

    __tablename__ = "bench_plain"

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    born: Mapped[date]
    ward: Mapped[str] = mapped_column(index=True)
    diagnosis: Mapped[str]
    allergies: Mapped[str]


class _Sealed(Base):
    __abstract__ = True
    __twinlock__ = SealedTable(to="bench")

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    born: Mapped[date]
    ward: Mapped[str] = mapped_column(index=True)
    diagnosis: Mapped[Sealed[str]] = sealed_column()
    allergies: Mapped[Sealed[str]] = sealed_column()


class AesPatient(_Sealed):
    """A patient whose two fields are sealed under one DEK, with token-aes."""

    __tablename__ = "bench_token_aes"


class RsaPatient(_Sealed):
    """The same with rsa-oaep."""

    __tablename__ = "bench_rsa_oaep"


KINDS: Final = {"plain": PlainPatient, "token-aes": AesPatient, "rsa-oaep": RsaPatient}


class PatientOut(BaseModel):
    """A patient as the page shows one."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    name: str
    born: date
    ward: str
    diagnosis: str
    allergies: str


def fill(vault: Vault, url: str) -> None:
    """Make the tables, with the same patients in each: 20 pages of 50."""
    engine = create_engine(url)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    for kind, model in KINDS.items():
        with Session(engine) as session:
            if kind != "plain":
                seal_with(session, vault, suite=kind)
            session.add_all(model(**fields(number)) for number in range(PAGE * PAGES))
            session.commit()
    engine.dispose()


def fields(number: int) -> dict[str, Any]:
    """Return what is written of a patient: about 120 bytes are sealed."""
    return {
        "number": number,
        "name": f"Patient {number:05}",
        "born": date(1940 + number % 60, 1 + number % 12, 1 + number % 28),
        "ward": f"ward {number // PAGE}",
        "diagnosis": f"I48.{number % 10} Atrial fibrillation, seen on ward round {number}",
        "allergies": f"Penicillin, contrast media; reaction {number % 7} noted by the day shift",
    }


def application(vault: Vault, url: str) -> FastAPI:
    """Return the application: ``GET /KIND/WARD`` shows a page."""
    app = FastAPI()
    app.add_middleware(
        TwinlockMiddleware, vault=vault, session=lambda connection: connection.cookies["session"]
    )
    sessions = async_sessionmaker(create_async_engine(url))

    async def database() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    db = Annotated[AsyncSession, Depends(database)]

    async def rows(session: AsyncSession, kind: str, ward: int) -> Sequence[Any]:
        model: Any = KINDS[kind]
        query = select(model).where(model.ward == f"ward {ward}").order_by(model.number)
        return (await session.scalars(query)).all()

    async def plain(ward: int, session: Any) -> list[PatientOut]:
        return [PatientOut.model_validate(p) for p in await rows(session, "plain", ward)]

    async def sealed(kind: str, ward: int, session: Any, release: Releases) -> list[PatientOut]:
        found = await rows(session, kind, ward)
        return [PatientOut.model_validate(p) for p in await release.opened(found)]

    plain.__annotations__["session"] = db
    sealed.__annotations__ |= {"session": db, "release": Annotated[Releases, Depends(releases())]}
    app.get("/plain/{ward}")(plain)
    app.get("/{kind}/{ward}")(sealed)
    return app


def main(folder: str) -> None:
    """Serve with one worker, until ended."""
    config = load_config(Path(folder) / "twinlock.toml")
    vault = Vault.connect(replace(config, sessions=SESSIONS))
    # With the protocol named: only then asyncio sends without Nagle's delay, as it does for sockets
    # that uvicorn makes itself.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    print(listening.getsockname()[1], flush=True)
    app = application(vault, os.environ[URL])
    settings = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    finally:
        vault.close()


if __name__ == "__main__":
    main(sys.argv[1])
