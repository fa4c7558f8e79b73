"""The clinic's application on a deployment in memory, with browsers for its people."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from examples.clinic import seeding
from examples.clinic.app import create_app
from examples.clinic.invented import InventedPatient, invent
from examples.clinic.models import Base
from examples.clinic.people import CLICK_EACH, PEOPLE
from twinlock.integrations.sqlalchemy import seal_with
from twinlock.server.asynchronous import AsyncVault
from twinlock.testing import MemoryMember, memory_vault
from twinlock.testing.deployment import MemoryDeployment

with warnings.catch_warnings():
    # Starlette would rather have httpx2, a package that nothing else here needs.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

HOST: Final = "http://clinic.localhost"
AGENT: Final = "http://agent.clinic.localhost"
COUNT: Final = 12
TODAY: Final = date(2026, 11, 2)
GROUPS: Final = {person.group: (person.username,) for person in PEOPLE}
PASSWORDS: Final = {person.username: person.password for person in PEOPLE}


@dataclass
class ClinicUnderTest:
    """The application, its database file, and its people."""

    app: Any
    folder: Path
    deployment: MemoryDeployment
    _open: ExitStack

    def member(self, name: str) -> MemoryMember:
        """Somebody's agent, which clicks where a policy wants a click."""
        return self.deployment.member(name)

    def browser(self, name: str | None = None) -> TestClient:
        """A browser of somebody's own, signed in if a name is given; it does not follow."""
        client = TestClient(self.app, base_url=HOST, follow_redirects=False)
        client = self._open.enter_context(client)
        if name is not None:
            form = {"username": name, "password": PASSWORDS[name]}
            assert client.post("/login", data=form).status_code == 303
        return client

    def sql(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Run a statement as somebody with access to the database."""
        engine = create_engine(f"sqlite:///{self.folder / 'clinic.db'}")
        with engine.begin() as connection:
            result = connection.execute(text(statement), values)
            rows = [dict(row) for row in result.mappings()] if result.returns_rows else []
        engine.dispose()
        return rows

    def cases(self, ward: str) -> list[str]:
        """The ward's case numbers, by name."""
        found = self.sql(
            'SELECT "case" FROM clinic_patient WHERE ward = :ward ORDER BY name', ward=ward
        )
        return [row["case"] for row in found]

    def stored(self, case: str) -> dict[str, Any]:
        """A patient's row as it lies in the database."""
        [row] = self.sql('SELECT * FROM clinic_patient WHERE "case" = :case', case=case)
        return row

    def entered(self, case: str) -> InventedPatient:
        """What was entered for a case, in plain."""
        number = int(case.removeprefix("LH-")) - seeding.FIRST_CASE
        return list(invent(COUNT, today=TODAY))[number]


@contextmanager
def clinic_in(folder: Path) -> Iterator[ClinicUnderTest]:
    """Make a clinic with twelve patients, half of them in each ward."""
    url = f"sqlite+aiosqlite:///{folder / 'clinic.db'}"
    with memory_vault(groups=GROUPS) as deployment:
        _want_clicks(deployment)
        asyncio.run(_fill(url, deployment))
        vault = AsyncVault(deployment.vault)
        # Each browser has an event loop of its own, and no connection outlives a request.
        engine = create_async_engine(url, poolclass=NullPool)
        app = create_app(vault, engine, origin=HOST, agent_origin=AGENT)
        with ExitStack() as opened:
            yield ClinicUnderTest(app, folder, deployment, opened)
        asyncio.run(vault.close())


def _want_clicks(deployment: MemoryDeployment) -> None:
    """Have the groups of the demo that want a click for each release want it here."""
    for person in PEOPLE:
        if person.group in CLICK_EACH:
            admin, group = deployment.member(person.username).agent, deployment.groups[person.group]
            policy = replace(deployment.vault.group_state(group).policy, click_each=True)
            deployment.vault.append(admin.admin.set_policy(group.group_id, policy))
            deployment.founding.follow(admin)


async def _fill(url: str, deployment: MemoryDeployment) -> None:
    engine: AsyncEngine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = seal_with(async_sessionmaker(engine), deployment.vault)
    members = {name: member.agent.member_id for name, member in deployment.members.items()}
    async with sessions() as db:
        db.add_all(seeding.staff(members))
        db.add_all(seeding.patients(COUNT, today=TODAY))
        await db.commit()
    await engine.dispose()
