"""The same under asyncio: AsyncSession and AsyncVault."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from tests.sqlalchemy.clinic import Base, Patient
from twinlock import AsyncVault, CallerError
from twinlock.integrations.sqlalchemy import (
    SealedUseError,
    opened_rows,
    seal_again,
    seal_with,
    sealed_items,
)
from twinlock.testing import MemoryDeployment

Sessions = async_sessionmaker[AsyncSession]


@asynccontextmanager
async def sessions_on(
    deployment: MemoryDeployment, folder: Any, suite: str | None = None
) -> AsyncIterator[tuple[Sessions, AsyncVault]]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/clinic.db")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    vault = AsyncVault(deployment.vault)
    try:
        yield seal_with(async_sessionmaker(engine), vault, suite=suite), vault
    finally:
        await engine.dispose()


@pytest.fixture
def run(twinlock_deployment: MemoryDeployment, tmp_path: Any) -> Callable[..., None]:
    def run(
        work: Callable[[Sessions, AsyncVault], Awaitable[None]], suite: str | None = None
    ) -> None:
        async def main() -> None:
            async with sessions_on(twinlock_deployment, tmp_path, suite) as (sessions, vault):
                await work(sessions, vault)

        asyncio.run(main())

    return run


@pytest.mark.parametrize("suite", ["rsa-oaep", "token-aes"])
def test_an_async_session_seals_and_a_page_is_opened(
    suite: str, run: Callable[..., None], twinlock_deployment: MemoryDeployment
) -> None:
    async def work(sessions: Sessions, vault: AsyncVault) -> None:
        async with sessions() as session:
            session.add_all([Patient(name=str(n), diagnosis=f"I48.{n}") for n in range(3)])
            await session.commit()
        async with sessions() as session:
            query = select(Patient).order_by(Patient.name)
            patients = (await session.scalars(query)).all()
            patients[0].diagnosis = "changed"
            await session.commit()
            patients = (await session.scalars(query)).all()
            async with opened_rows(
                patients, vault, twinlock_deployment.kim.release, purpose="ward round"
            ) as views:
                assert [view.diagnosis for view in views] == ["changed", "I48.1", "I48.2"]
            with pytest.raises(CallerError) as ended:
                _ = views[0].diagnosis
            assert ended.value.code == "opened.ended"

    run(work, suite)


def test_an_answer_may_be_awaited(
    run: Callable[..., None], twinlock_deployment: MemoryDeployment
) -> None:
    async def answer(request: Any) -> Any:
        await asyncio.sleep(0)
        return twinlock_deployment.kim.release(request)

    async def work(sessions: Sessions, vault: AsyncVault) -> None:
        async with sessions(expire_on_commit=False) as session:
            patient = Patient(diagnosis="I48.0")
            session.add(patient)
            await session.commit()
            async with opened_rows([patient], vault, answer) as [view]:
                assert view.diagnosis == "I48.0"
                seal_again(view)
            await session.commit()
            async with opened_rows([Patient()], vault, answer) as [view]:
                assert view.diagnosis is None

    run(work)


def test_sealing_runs_beside_the_event_loop_and_not_in_it(
    run: Callable[..., None], twinlock_deployment: MemoryDeployment
) -> None:
    threads: set[threading.Thread] = set()
    seal_row = twinlock_deployment.vault.seal_row

    def seal(*arguments: Any, **options: Any) -> Any:
        threads.add(threading.current_thread())
        return seal_row(*arguments, **options)

    twinlock_deployment.vault.seal_row = seal  # type: ignore[method-assign]

    async def work(sessions: Sessions, vault: AsyncVault) -> None:
        async with sessions() as session:
            session.add(Patient(diagnosis="I48.0"))
            await session.commit()
        assert threads
        assert threading.main_thread() not in threads
        threads.clear()
        async with seal_with(sessions, vault.vault)() as session:
            session.add(Patient(diagnosis="I48.0"))
            await session.commit()
        assert threads == {threading.main_thread()}

    run(work)


def test_an_expired_row_has_to_be_refreshed_first(run: Callable[..., None]) -> None:
    async def work(sessions: Sessions, vault: AsyncVault) -> None:
        async with sessions() as session:
            patient = Patient(diagnosis="I48.0")
            session.add(patient)
            await session.commit()
            with pytest.raises(CallerError) as refused:
                sealed_items([patient])
            assert refused.value.code == "sealed.not-loaded"
            await session.refresh(patient)
            assert len(sealed_items([patient])) == 1

    run(work)


def test_a_change_of_groups_of_an_expired_row_is_refused_too(run: Callable[..., None]) -> None:
    async def work(sessions: Sessions, vault: AsyncVault) -> None:
        async with sessions() as session:
            patient = Patient(diagnosis="I48.0")
            session.add(patient)
            await session.commit()
            patient.ward = "emergency"
            with pytest.raises(CallerError) as refused:
                await session.commit()
            assert refused.value.code == "sealed.regrouped"

    run(work)


def test_one_async_session_and_a_scoped_one_are_bound(run: Callable[..., None]) -> None:
    async def work(sessions: Sessions, vault: AsyncVault) -> None:
        plain = async_sessionmaker(sessions.kw["bind"])
        scoped = seal_with(
            async_scoped_session(async_sessionmaker(sessions.kw["bind"]), asyncio.current_task),
            vault,
        )
        for session in (seal_with(plain(), vault), scoped()):
            session.add(Patient(diagnosis="x"))
            await session.commit()
            await session.close()

    run(work)


def test_misuse_is_refused_in_async_sessions_too(run: Callable[..., None]) -> None:
    from sqlalchemy import String, cast, update

    async def work(sessions: Sessions, vault: AsyncVault) -> None:
        async with sessions() as session:
            with pytest.raises(SealedUseError):
                await session.execute(select(cast(Patient.diagnosis, String)))
            with pytest.raises(SealedUseError):
                await session.execute(update(Patient).values(diagnosis="x"))

    run(work)
